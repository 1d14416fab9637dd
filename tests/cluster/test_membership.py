"""What a node knows of the others: joins, crashes, restarts, doubts, and a store that is away."""

from router.cluster.membership import Member, Membership, MemoryMemberDirectory, digests_of
from router.model.errors import SharedStateUnavailable

BOUND_S = 6.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Directory(MemoryMemberDirectory):
    is_away = False

    async def announce(self, member: Member) -> tuple[Member, ...]:
        if self.is_away:
            raise SharedStateUnavailable("away")
        return await super().announce(member)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.directory = Directory(bound_s=BOUND_S, now_s=self.clock)
        self.changes = 0

    def node(self, node_id: str, run: str) -> Membership:
        member = Member(node_id=node_id, run=run, url=f"http://{node_id}")
        membership = Membership(self.directory, member, now_s=self.clock)
        membership.on_change.append(self.count)
        return membership

    def count(self) -> None:
        self.changes += 1

    async def pass_beats(self, *nodes: Membership, count: int = 1) -> None:
        for _ in range(count):
            self.clock.now_s += BOUND_S / 3
            for node in nodes:
                await node.announce()


async def test_a_node_that_joins_is_known_with_the_next_announcement() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await ada.announce()
    await bob.announce()
    assert list(bob.live()) == ["ada", "bob"] and list(ada.live()) == ["ada"]
    await world.pass_beats(ada)
    assert list(ada.live()) == ["ada", "bob"] and ada.is_run_live("b1") and world.changes == 2


async def test_a_crashed_node_is_gone_when_it_is_missing_twice_and_its_run_is_dead_then() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await bob.announce()
    await ada.announce()
    changes = world.changes
    await world.pass_beats(ada, count=3)
    # The directory lacks it now for the first time.
    assert list(ada.live()) == ["ada", "bob"] and ada.is_run_live("b1") and world.changes == changes
    await world.pass_beats(ada)
    assert list(ada.live()) == ["ada"] and not ada.is_run_live("b1") and world.changes == changes + 1


async def test_a_node_that_is_missing_once_stays() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await bob.announce()
    await ada.announce()
    changes = world.changes
    bob.on_change.clear()
    await world.pass_beats(ada, count=3)
    await bob.announce()
    await world.pass_beats(ada, bob, count=4)
    assert list(ada.live()) == ["ada", "bob"] and world.changes == changes


async def test_the_run_before_a_restart_is_dead_at_once() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await bob.announce()
    await ada.announce()
    changes = world.changes
    await world.node("bob", "b2").announce()
    await ada.announce()
    assert not ada.is_run_live("b1") and ada.is_run_live("b2") and world.changes > changes


async def test_an_unknown_run_is_in_doubt_until_two_more_answers_lack_it() -> None:
    world = World()
    ada = world.node("ada", "a1")
    await ada.announce()
    assert ada.is_run_live("f1")
    changes = world.changes
    await world.pass_beats(ada)
    assert ada.is_run_live("f1") and world.changes == changes
    await world.pass_beats(ada)
    assert not ada.is_run_live("f1") and world.changes == changes + 1
    # A node that has just started is heard of before any session of it is seen.
    await world.node("new", "f1").announce()
    await world.pass_beats(ada)
    assert ada.is_run_live("f1")


async def test_while_the_store_is_away_every_run_is_in_doubt() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await bob.announce()
    await ada.announce()
    await world.pass_beats(ada, count=4)
    assert not ada.is_run_live("b1")
    world.directory.is_away = True
    world.clock.now_s += BOUND_S
    assert ada.is_run_live("b1")
    world.directory.is_away = False
    await ada.announce()
    assert not ada.is_run_live("b1")


async def test_a_draining_node_says_so_and_a_stopped_one_leaves() -> None:
    world = World()
    ada, bob = world.node("ada", "a1"), world.node("bob", "b1")
    await bob.start()
    await ada.start()
    await bob.set_draining()
    await ada.announce()
    assert ada.live()["bob"].is_draining
    await bob.stop()
    await bob.stop()
    assert [member.node_id for member in await world.directory.members()] == ["ada"]
    await ada.stop()


def test_a_member_may_lead_what_it_follows_unless_it_drains_and_one_that_does_not_say_may_lead_anything() -> None:
    some = Member(node_id="ada", run="a1", url="", follows=digests_of(["main", "second"]))
    assert [some.can_lead(name) for name in ("main", "second", "third")] == [True, True, False]
    assert Member(node_id="old", run="b1", url="").can_lead("third")
    assert not Member(node_id="old", run="b1", url="", is_draining=True).can_lead("third")
