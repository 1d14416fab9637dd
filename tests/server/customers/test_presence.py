"""Presence of customers: what the engine is told, when, and how many commands at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from router.model.commands import SetCustomerPresence
from router.model.errors import CommandQueueFull, JournalUnavailable, Stopping
from router.runtime.writer import Writer
from router.server.customers.presence import CustomerPresence
from tests.support.virtual_time import in_virtual_time

ABSENT_S = 0.1
MANY = 500
TIMEOUT_S = 10


class AnsweringWriter:
    """Writer that records what it is told and answers in the next turn of the loop."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.away_ms: list[int] = []
        self.raises: Exception | None = None
        self.fails = False
        self.unanswered = self.most_unanswered = 0

    def submit(self, workspace: str, command: SetCustomerPresence, *, actor: str, reply: Any) -> None:
        if self.raises is not None:
            raise self.raises
        assert (workspace, actor, reply.done()) == ("main", "router", False)
        self.told.append((command.contact_id, command.is_here))
        self.away_ms.append(command.away_ms)
        self.unanswered += 1
        self.most_unanswered = max(self.most_unanswered, self.unanswered)
        asyncio.get_running_loop().call_soon(self._answer, reply)

    def _answer(self, reply: Any) -> None:
        self.unanswered -= 1
        if self.fails:
            reply.set_exception(JournalUnavailable("the leader of the workspace did not answer in time"))
        else:
            reply.set_result(None)


def a_presence() -> tuple[AnsweringWriter, CustomerPresence]:
    writer = AnsweringWriter()
    return writer, CustomerPresence(cast(Writer, writer), absent_after_s=ABSENT_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (plain data of another task)
            await asyncio.sleep(0.005)


@in_virtual_time
async def test_a_customer_is_away_some_time_after_the_last_connection() -> None:
    writer, presence = a_presence()
    first, second = presence.enter("main", "r1"), presence.enter("main", "r1")
    assert writer.told == [("r1", True)]
    first()
    await asyncio.sleep(2 * ABSENT_S)
    assert writer.told == [("r1", True)], "another connection is open"
    second()
    await until(lambda: len(writer.told) == 2)
    assert writer.told[1] == ("r1", False)
    assert 1000 * ABSENT_S <= writer.away_ms[1] < 10_000 * ABSENT_S, "the engine is told since when"


@in_virtual_time
async def test_a_customer_who_reconnects_or_polls_is_never_away() -> None:
    writer, presence = a_presence()
    for _ in range(10):
        presence.enter("main", "r1")()
        presence.note_request("main", "r2")
        await asyncio.sleep(ABSENT_S / 2)
    assert writer.told == [("r1", True), ("r2", True)]
    await until(lambda: len(writer.told) == 4)
    presence.note_request("main", "r1")
    assert writer.told[-1] == ("r1", True)


@in_virtual_time
async def test_many_who_lose_their_network_at_once_are_told_a_few_at_a_time() -> None:
    writer, presence = a_presence()
    names = [f"r{number}" for number in range(MANY)]
    ends = [presence.enter("main", name) for name in names]
    await until(lambda: len(writer.told) == MANY)
    for end in ends:
        end()
    await until(lambda: len(writer.told) == 2 * MANY)
    assert writer.told == [(name, True) for name in names] + [(name, False) for name in names]
    assert writer.most_unanswered <= 20


@in_virtual_time
async def test_nothing_is_lost_while_the_command_queue_is_full() -> None:
    writer, presence = a_presence()
    writer.raises = CommandQueueFull()
    end = presence.enter("main", "r1")
    presence.enter("main", "r2")
    end()
    await asyncio.sleep(2 * ABSENT_S)
    writer.raises = None
    await until(lambda: len(writer.told) == 2)
    assert dict(writer.told) == {"r1": False, "r2": True}, "it is told what holds then"


@in_virtual_time
async def test_what_was_told_in_vain_is_told_again() -> None:
    writer, presence = a_presence()
    writer.fails = True
    leave = presence.enter("main", "r1")
    presence.enter("main", "r2")
    await asyncio.sleep(0)
    leave()
    await until(lambda: ("r1", False) in writer.told)
    first_ms = writer.away_ms[writer.told.index(("r1", False))]
    await asyncio.sleep(0)
    writer.fails = False
    before = len(writer.told)
    await until(lambda: len(writer.told) > before)
    told = dict(writer.told[before:])
    assert told["r1"] is False
    assert writer.away_ms[len(writer.told) - 1 - [one for one, _ in reversed(writer.told)].index("r1")] > first_ms, "since when"
    assert ("r2", True) in writer.told[2:]
    presence.enter("main", "r1")
    await until(lambda: writer.told[-1] == ("r1", True))


@in_virtual_time
async def test_nothing_is_told_at_the_end() -> None:
    writer, presence = a_presence()
    end = presence.enter("main", "r1")
    presence.close()
    end()
    await asyncio.sleep(3 * ABSENT_S)
    assert writer.told == [("r1", True)]
    writer, presence = a_presence()
    writer.raises = Stopping()
    presence.enter("main", "r1")
    writer.raises = None
    presence.enter("main", "r2")
    assert writer.told == []


@in_virtual_time
async def test_a_customer_that_another_node_takes_for_away_is_reported_as_here_again() -> None:
    writer, presence = a_presence()
    presence.note_away("main", "r1")
    assert writer.told == [], "nothing is known of this customer"
    leave = presence.enter("main", "r1")
    presence.note_away("main", "r1")
    assert writer.told == [("r1", True), ("r1", True)]
    leave()
    await until(lambda: len(writer.told) == 3)
    presence.note_away("main", "r1")
    assert writer.told[2:] == [("r1", False)]
