"""Turns of the writer: other tasks run between any two pieces of a long batch, and nothing is durable or published out of order."""

import asyncio
from typing import Any

import pytest

from router.engine.engine import Engine
from router.journal.memory import MemoryJournal
from router.model.results import Done
from router.runtime import command_queue
from router.runtime.command_queue import TURN_S, Turns
from router.runtime.publisher import PublishedRecord
from router.runtime.workspace import QueryResult, Reply
from router.runtime.writer import Writer
from tests.support.builders import START_MS, a_contact, a_policy_with_queue, published
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer

COUNT = 60


class Trace:
    """What happened, in order, with a ``turn`` for each iteration of the event loop."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.steps.append("turn")
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Stop counting turns."""
        self._task.cancel()

    def most_in_a_turn(self, step: str) -> int:
        """Return how many of these steps happened in one turn at most."""
        most = here = 0
        for one in self.steps:
            here = 0 if one == "turn" else here + (one == step)
            most = max(most, here)
        return most


class Answer:
    """Notes a reply."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.result: Reply | None = None

    def done(self) -> bool:
        """Return whether there is a reply."""
        return self.result is not None

    def set_result(self, result: Reply) -> None:
        """Note the reply."""
        self._trace.steps.append("reply")
        self.result = result

    def set_exception(self, error: BaseException) -> None:
        """Fail the test."""
        raise AssertionError from error


async def traced(monkeypatch: pytest.MonkeyPatch, writer: Writer) -> tuple[Trace, list[Answer]]:
    """Execute many commands that arrive at once."""
    await writer.add_workspace("main")
    await execute_done(writer, published(a_policy_with_queue()))
    trace = Trace()
    handle = Engine.handle

    def noted(self: Engine, *args: Any) -> Any:
        trace.steps.append("command")
        return handle(self, *args)

    def on_record(record: PublishedRecord) -> None:
        trace.steps.append("published")

    monkeypatch.setattr(Engine, "handle", noted)
    writer.publisher.subscribe(on_record)
    answers = [Answer(trace) for _ in range(COUNT)]
    for number, answer in enumerate(answers):
        writer.submit("main", a_contact(f"c{number}"), actor="test", reply=answer)
    await writer.query("main", lambda engine: None)
    trace.stop()
    return trace, answers


async def test_other_tasks_run_between_the_pieces_of_a_long_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With turns of no length, each command, each published record and each reply is in a turn of its own."""
    monkeypatch.setattr(command_queue, "TURN_S", -1.0)
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        trace, answers = await traced(monkeypatch, writer)
    for step in ("command", "published", "reply"):
        assert trace.steps.count(step) == COUNT
        assert trace.most_in_a_turn(step) == 1, step
    # One commit: all is decided before anything is published, and published before anything is answered.
    order = [step for step in trace.steps if step != "turn"]
    assert order == ["command"] * COUNT + ["published"] * COUNT + ["reply"] * COUNT
    assert all(answer.result is not None and type(answer.result.outcome.result) is Done for answer in answers)


async def test_a_short_batch_is_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_queue, "TURN_S", 60.0)
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        trace, _ = await traced(monkeypatch, writer)
    assert trace.most_in_a_turn("command") == COUNT


async def test_a_query_has_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_queue, "_FRESH_TURN_S", -1.0)
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published(a_policy_with_queue()))
        trace = Trace()

        def query(engine: Engine) -> None:
            trace.steps.append("query")

        waiting: list[asyncio.Task[QueryResult[None]]] = []
        for number in range(5):
            writer.submit("main", a_contact(f"c{number}"), actor="test", reply=None)
            waiting.append(asyncio.create_task(writer.query("main", query)))
        await asyncio.gather(*waiting)
        trace.stop()
    assert trace.steps.count("query") == 5 and trace.most_in_a_turn("query") == 1


async def test_a_turn_ends_by_time_and_begins_when_other_tasks_have_run() -> None:
    now_s = 0.0
    turns = Turns(lambda: now_s)
    assert not turns.is_over()
    now_s = 2 * TURN_S
    assert turns.is_over()

    async def without_pause() -> None:
        pass

    await turns.run(without_pause())
    assert turns.is_over(), "no other task has run"

    async def with_pause() -> None:
        await asyncio.sleep(0)

    await turns.run(with_pause())
    assert not turns.is_over()
    now_s += 2 * TURN_S
    await turns.end()
    assert not turns.is_over() and turns.is_fresh()
