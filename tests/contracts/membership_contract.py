"""The contract of every ``MemberDirectory``; the test file of each runs all of it.

``directories`` are two nodes' ways to one directory, with a bound of ``BOUND_S``.
"""

import asyncio

from router.cluster.membership import Member, MemberDirectory

BOUND_S = 0.6

ADA = Member(node_id="ada", run="00000001", url="http://ada:8080", version="1.2")
BOB = Member(node_id="bob", run="00000002", url="http://bob:8080")


def ids(members: tuple[Member, ...]) -> list[str]:
    return [member.node_id for member in members]


class MembershipContract:
    """The tests of the contract; subclasses provide the fixture ``directories``."""

    async def test_a_node_is_a_member_when_it_has_announced_itself(self, directories: list[MemberDirectory]) -> None:
        here, there = directories
        assert await there.members() == ()
        assert ids(await here.announce(BOB)) == ["bob"]
        assert ids(await there.announce(ADA)) == ["ada", "bob"]
        [ada, bob] = await here.members()
        assert (ada.url, ada.run, ada.version, ada.is_draining) == ("http://ada:8080", "00000001", "1.2", False)
        assert 0 <= ada.silent_ms <= bob.silent_ms < BOUND_S * 1_000

    async def test_a_silent_node_is_no_member_after_the_bound_and_one_that_speaks_is(
        self, directories: list[MemberDirectory]
    ) -> None:
        here, there = directories
        await here.announce(ADA)
        for _ in range(6):
            await there.announce(BOB)
            await asyncio.sleep(BOUND_S / 4)
        assert ids(await here.members()) == ["bob"]
        assert ids(await here.announce(ADA)) == ["ada", "bob"]

    async def test_a_node_that_leaves_is_no_member_at_once(self, directories: list[MemberDirectory]) -> None:
        here, there = directories
        await here.announce(ADA)
        await there.announce(BOB)
        await here.leave(ADA)
        await here.leave(ADA)
        assert ids(await there.members()) == ["bob"]

    async def test_an_earlier_start_does_not_remove_a_later_one(self, directories: list[MemberDirectory]) -> None:
        here, there = directories
        later = Member(node_id="ada", run="0000000f", url="http://ada:8080")
        await here.announce(ADA)
        assert [member.run for member in await there.announce(later)] == ["0000000f"]
        await here.leave(ADA)
        assert [member.run for member in await here.members()] == ["0000000f"]

    async def test_a_node_may_change_what_it_says_of_itself(self, directories: list[MemberDirectory]) -> None:
        here, there = directories
        await here.announce(ADA)
        await here.announce(Member(node_id="ada", run=ADA.run, url="http://ada:9090", is_draining=True))
        [ada] = await there.members()
        assert ada.is_draining and ada.url == "http://ada:9090"
