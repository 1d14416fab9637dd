"""Commands to the leaders while the store is away: what is still sent afterwards, and how many may wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from router.cluster import outbox as module
from router.cluster.messages import AnswerMessage
from router.cluster.outbox import Outbox
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreRefusal, StoreUnreachable
from router.journal.redis.layout import WorkspaceKeys
from router.model.errors import CommandQueueFull, JournalUnavailable, SettingsInvalid
from router.model.results import Done
from router.runtime.workspace import QueuedCommand, Reply
from tests.support.builders import an_agent

WORKSPACE = "main"
SHORT_S = 0.05
LONG_S = 60.0


class Store:
    """A store that can be away, and the numbers that were written to it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.attempts = 0
        self.written: list[int] = []

    def call(self, _key: str, *command: Any) -> list[Any]:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        # The script, its two keys and three arguments come before.
        self.written += [number for number in command[8::2] if number not in self.written]
        return [b"OK", 0]

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_S", 0.01)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)


@asynccontextmanager
async def an_outbox(store: Store, *, answer_s: float = LONG_S, outage_s: float = LONG_S) -> AsyncIterator[Outbox]:
    outbox = Outbox(
        cast(StoreClient, store),
        node_id="node",
        run="run",
        keys=lambda workspace: WorkspaceKeys.of("t", workspace),
        put_work=lambda _workspace, _work: None,
        answer_s=answer_s,
        outage_s=outage_s,
    )
    running = asyncio.create_task(outbox.run())
    yield outbox
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await outbox.close()


def send(outbox: Outbox, *, has_caller: bool = True) -> "asyncio.Future[Reply]":
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    outbox.send(WORKSPACE, QueuedCommand(an_agent("ada"), "admin:test", reply if has_caller else None))
    return reply


async def handled(outbox: Outbox) -> None:
    """Wait until the result of what the thread is doing has come."""
    await outbox._thread.run(lambda: None)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (the store is written from a thread)
            await asyncio.sleep(0.002)


async def test_a_command_whose_caller_was_told_of_the_failure_is_not_sent_later() -> None:
    store = Store()
    store.error = StoreUnreachable("away")
    async with an_outbox(store, answer_s=SHORT_S) as outbox:
        replies = [send(outbox) for _ in range(300)]
        for reply in replies:
            with pytest.raises(JournalUnavailable):
                await reply
        assert outbox.pending_count == 0
        await handled(outbox)
        store.error = None
        send(outbox)
        await until(lambda: 301 in store.written)
        assert store.written == [301]


async def test_a_command_without_a_caller_waits_for_the_end_of_an_outage() -> None:
    store = Store()
    store.error = StoreUnreachable("away")
    async with an_outbox(store, answer_s=SHORT_S) as outbox:
        send(outbox, has_caller=False)
        with pytest.raises(JournalUnavailable):
            await send(outbox)
        await handled(outbox)
        store.error = None
        await until(lambda: store.written == [1])


async def test_a_command_without_a_caller_is_dropped_after_the_longest_outage() -> None:
    store = Store()
    store.error = StoreUnreachable("away")
    async with an_outbox(store, outage_s=SHORT_S) as outbox:
        send(outbox, has_caller=False)
        await until(lambda: outbox.pending_count == 0)
        await handled(outbox)
        store.error = None
        send(outbox)
        await until(lambda: 2 in store.written)
        assert store.written == [2]


async def test_commands_without_a_caller_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_MAX", 10)
    store = Store()
    async with an_outbox(store) as outbox:
        for _ in range(10):
            outbox.admit(WORKSPACE)
            send(outbox, has_caller=False)
        with pytest.raises(CommandQueueFull):
            outbox.admit(WORKSPACE)
        assert not outbox.is_settled(WORKSPACE)
        outbox.on_answer(AnswerMessage(number=10, done=Done(subject="ada", state="OFFLINE")))
        outbox.admit(WORKSPACE)
        assert outbox.is_settled(WORKSPACE)


async def test_a_connection_that_cannot_be_prepared_is_tried_again() -> None:
    store = Store()
    store.error = SettingsInvalid("store.password_path: cannot be read")
    async with an_outbox(store) as outbox:
        send(outbox)
        await until(lambda: store.attempts > 2)
        store.error = None
        await until(lambda: store.written == [1])


async def test_a_defect_of_sending_ends_the_node() -> None:
    store = Store()
    store.error = ValueError("a defect")
    with pytest.raises(ExceptionGroup) as raised:
        async with an_outbox(store) as outbox:
            send(outbox)
            await until(lambda: store.attempts > 0)
            await handled(outbox)
    assert isinstance(raised.value.exceptions[0], ValueError)


async def test_a_refusal_that_will_not_end_ends_the_process_and_one_that_will_is_waited_for() -> None:
    store = Store()
    outbox = Outbox(
        cast(StoreClient, store),
        node_id="node",
        run="run",
        keys=lambda workspace: WorkspaceKeys.of("t", workspace),
        put_work=lambda _workspace, _work: None,
        answer_s=LONG_S,
        outage_s=LONG_S,
    )
    running = asyncio.create_task(outbox.run())
    store.error = StoreRefusal("OOM command not allowed when used memory > 'maxmemory'")
    outbox.send(WORKSPACE, QueuedCommand(an_agent("ada"), "admin:test", None))
    while store.attempts < 3:  # noqa: ASYNC110  (plain data of another task)
        await asyncio.sleep(0.005)
    assert not running.done() and store.written == []
    store.error = StoreRefusal("WRONGTYPE Operation against a key holding the wrong kind of value")
    with pytest.raises(ExceptionGroup) as failed:
        await running
    assert failed.group_contains(JournalUnavailable, match="refuses commands to the leaders")
    await outbox.close()
