"""What lost connections leave behind: at a pace, in order, and none is left out."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from router.edge.departures import Departures
from router.model.commands import LoseDesktop
from router.model.errors import InboxFull, Stopping
from router.runtime.writer import Writer

MANY = 500
PATIENCE_S = 10


class FakeWriter:
    """Takes commands; answers when told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.unanswered: list[Any] = []
        self.most_unanswered = 0
        self.raises: Exception | None = None

    def submit(self, workspace: str, command: LoseDesktop, *, actor: str, reply: Any) -> None:
        if self.raises is not None:
            raise self.raises
        assert (workspace, actor, reply.done()) == ("main", "router", False)
        self.taken.append(command.session_id)
        self.unanswered.append(reply)
        self.most_unanswered = max(self.most_unanswered, len(self.unanswered))

    def answer(self) -> None:
        unanswered, self.unanswered = self.unanswered, []
        for reply in unanswered:
            reply.set_result(None)


def a_line() -> tuple[FakeWriter, Departures]:
    writer = FakeWriter()
    return writer, Departures(cast(Writer, writer))


def lose(departures: Departures, count: int) -> list[str]:
    names = [f"s{number}" for number in range(count)]
    for name in names:
        departures.lose_desktop("main", "ada", name)
    return names


async def answered_until(writer: FakeWriter, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(writer.taken) < count:
            writer.answer()
            await asyncio.sleep(0.001)


async def test_few_go_at_once_and_many_a_few_at_a_time_in_order() -> None:
    writer, departures = a_line()
    names = lose(departures, MANY)
    assert 1 <= len(writer.taken) < MANY / 10
    for _ in range(5):
        await asyncio.sleep(0.01)
    few = len(writer.taken)
    assert few < MANY / 10, "without an answer no further ones go"
    await answered_until(writer, MANY)
    assert writer.taken == names
    assert writer.most_unanswered == few


async def test_a_full_inbox_costs_time_and_no_desktop() -> None:
    writer, departures = a_line()
    writer.raises = InboxFull("full")
    names = lose(departures, 3)
    await asyncio.sleep(0)
    assert writer.taken == []
    writer.raises = None
    names += [f"t{number}" for number in range(2)]
    for name in names[3:]:
        departures.lose_desktop("main", "ada", name)
    await answered_until(writer, len(names))
    assert writer.taken == names


async def test_at_the_end_all_that_is_left_goes_at_once() -> None:
    writer, departures = a_line()
    forgotten: list[int] = []

    def forget(number: int) -> Callable[[], None]:
        return lambda: forgotten.append(number)

    for number in range(MANY):
        departures.forget(forget(number))
    names = lose(departures, MANY)
    async with asyncio.timeout(PATIENCE_S):
        await departures.finish()
    assert writer.taken == names
    assert forgotten == list(range(MANY))
    departures.lose_desktop("main", "ada", "late")
    assert writer.taken[-1] == "late"


async def test_an_end_waits_for_room_in_the_inbox() -> None:
    writer, departures = a_line()
    writer.raises = InboxFull("full")
    names = lose(departures, MANY)
    ending = asyncio.create_task(departures.finish())
    await asyncio.sleep(0.05)
    assert not ending.done()
    writer.raises = None
    async with asyncio.timeout(PATIENCE_S):
        await ending
    assert writer.taken == names


async def test_a_writer_that_stops_ends_the_line() -> None:
    writer, departures = a_line()
    lose(departures, MANY)
    before = len(writer.taken)
    writer.raises = Stopping("the end")
    writer.answer()
    async with asyncio.timeout(PATIENCE_S):
        await departures.finish()
    assert len(writer.taken) == before


async def test_connections_are_forgotten_over_several_ticks_and_one_that_fails_is_alone() -> None:
    _, departures = a_line()
    forgotten: list[int] = []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def forget(number: int) -> None:
        if number == 7:
            raise ValueError
        forgotten.append(number)

    def later(number: int) -> Callable[[], None]:
        return lambda: forget(number)

    for number in range(MANY):
        departures.forget(later(number))
    assert forgotten == []
    await asyncio.sleep(0)
    assert 0 < len(forgotten) < MANY / 5
    async with asyncio.timeout(PATIENCE_S):
        while len(forgotten) < MANY - 1:  # noqa: ASYNC110  (ticks are waited for)
            await asyncio.sleep(0)
    assert forgotten == [number for number in range(MANY) if number != 7]
    assert [type(context["exception"]) for context in reported] == [ValueError]
