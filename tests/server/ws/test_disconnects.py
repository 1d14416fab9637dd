"""Disconnect queue: limited rate, order kept, no loss dropped."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from router.model.commands import LoseDesktop
from router.model.errors import CommandQueueFull, JournalUnavailable, Stopping
from router.runtime.writer import Writer
from router.server.ws.disconnects import DisconnectQueue

MANY = 500
TIMEOUT_S = 10


class FakeWriter:
    """Writer that records commands and replies only on ``answer``."""

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

    def fail(self) -> None:
        unanswered, self.unanswered = self.unanswered, []
        for reply in unanswered:
            reply.set_exception(JournalUnavailable("the leader of the workspace did not answer in time"))

    def answer(self) -> None:
        unanswered, self.unanswered = self.unanswered, []
        for reply in unanswered:
            reply.set_result(None)


def a_queue() -> tuple[FakeWriter, DisconnectQueue]:
    writer = FakeWriter()
    return writer, DisconnectQueue(cast(Writer, writer))


def lose(queue: DisconnectQueue, count: int) -> list[str]:
    names = [f"s{number}" for number in range(count)]
    for name in names:
        queue.add_lost_desktop("main", "ada", name)
    return names


async def answered_until(writer: FakeWriter, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while len(writer.taken) < count:
            writer.answer()
            await asyncio.sleep(0.001)


async def test_losses_are_submitted_in_order_with_few_unanswered_commands() -> None:
    writer, queue = a_queue()
    names = lose(queue, MANY)
    assert 1 <= len(writer.taken) < MANY / 10
    for _ in range(5):
        await asyncio.sleep(0.01)
    limit = len(writer.taken)
    assert limit < MANY / 10, "no further command without a reply"
    await answered_until(writer, MANY)
    assert writer.taken == names
    assert writer.most_unanswered == limit


async def test_a_full_command_queue_delays_losses_but_drops_none() -> None:
    writer, queue = a_queue()
    writer.raises = CommandQueueFull("full")
    names = lose(queue, 3)
    await asyncio.sleep(0)
    assert writer.taken == []
    writer.raises = None
    names += [f"t{number}" for number in range(2)]
    for name in names[3:]:
        queue.add_lost_desktop("main", "ada", name)
    await answered_until(writer, len(names))
    assert writer.taken == names


async def test_a_loss_without_an_answer_is_submitted_again_and_the_others_go_on() -> None:
    writer, queue = a_queue()
    names = lose(queue, MANY)
    failed = list(writer.taken)
    writer.fail()
    await answered_until(writer, MANY + len(failed))
    assert sorted(writer.taken) == sorted(names + failed)
    queue.add_lost_desktop("main", "ada", "only")
    await answered_until(writer, MANY + len(failed) + 1)
    writer.answer()
    queue.add_lost_desktop("main", "ada", "alone")
    await answered_until(writer, MANY + len(failed) + 1)
    writer.fail()
    await answered_until(writer, MANY + len(failed) + 3)
    assert writer.taken[-2:] == ["alone", "alone"]


async def test_draining_submits_everything_at_once() -> None:
    writer, queue = a_queue()
    cleaned_up: list[int] = []

    def cleanup(number: int) -> Callable[[], None]:
        return lambda: cleaned_up.append(number)

    for number in range(MANY):
        queue.schedule_cleanup(cleanup(number))
    names = lose(queue, MANY)
    async with asyncio.timeout(TIMEOUT_S):
        await queue.drain()
    assert writer.taken == names
    assert cleaned_up == list(range(MANY))
    queue.add_lost_desktop("main", "ada", "late")
    assert writer.taken[-1] == "late"


async def test_draining_waits_for_a_full_command_queue() -> None:
    writer, queue = a_queue()
    writer.raises = CommandQueueFull("full")
    names = lose(queue, MANY)
    ending = asyncio.create_task(queue.drain())
    await asyncio.sleep(0.05)
    assert not ending.done()
    writer.raises = None
    async with asyncio.timeout(TIMEOUT_S):
        await ending
    assert writer.taken == names


async def test_a_stopping_writer_empties_the_queue() -> None:
    writer, queue = a_queue()
    lose(queue, MANY)
    before = len(writer.taken)
    writer.raises = Stopping("stopping")
    writer.answer()
    async with asyncio.timeout(TIMEOUT_S):
        await queue.drain()
    assert len(writer.taken) == before


async def test_cleanups_run_over_several_iterations_and_a_failing_one_does_not_stop_others() -> None:
    _, queue = a_queue()
    cleaned_up: list[int] = []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def cleanup(number: int) -> None:
        if number == 7:
            raise ValueError
        cleaned_up.append(number)

    def later(number: int) -> Callable[[], None]:
        return lambda: cleanup(number)

    for number in range(MANY):
        queue.schedule_cleanup(later(number))
    assert cleaned_up == []
    await asyncio.sleep(0)
    assert 0 < len(cleaned_up) < MANY / 5
    async with asyncio.timeout(TIMEOUT_S):
        while len(cleaned_up) < MANY - 1:  # noqa: ASYNC110  (waits for loop iterations)
            await asyncio.sleep(0)
    assert cleaned_up == [number for number in range(MANY) if number != 7]
    assert [type(context["exception"]) for context in reported] == [ValueError]
