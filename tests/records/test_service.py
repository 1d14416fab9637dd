"""The records as a part of the event loop: failures of the file at moments that cannot be met from outside."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from router.record_settings import RecordSettings
from router.records.handlers import Targets
from router.records.reading import RecordsUnavailable
from router.records.service import KnownCustomers, RecordService
from router.records.sqlite import SqliteRecordStore
from router.runtime.publisher import PublishedRecord
from tests.support.journal_records import a_record


class QuietSubscription:
    """A subscription to which nothing is published."""

    event_types: Any = None

    def position(self, workspace: str) -> Any:
        return SimpleNamespace(seq=0)

    async def close(self) -> None:
        return None


class QuietFeed:
    """A feed without workspaces."""

    publisher: Any = SimpleNamespace(workspaces=[], last_seq=lambda _workspace: 0)

    def subscribe_inline(self, *_: Any, **__: Any) -> QuietSubscription:
        return QuietSubscription()


async def _no_targets(workspace: str) -> Targets:
    return {}


async def _started(known_customers: KnownCustomers | None = None) -> RecordService:
    feed: Any = QuietFeed()
    service = RecordService(None, RecordSettings(), feed, now_ms=lambda: 0, targets=_no_targets, known_customers=known_customers)
    await service.start()
    return service


def _publish(service: RecordService) -> None:
    published: Any = SimpleNamespace(workspace="w", history_id="h", record=None)
    service._collector.collect(published)


async def test_an_unexpected_error_of_the_writer_ends_each_read_and_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    service = await _started()
    failures: list[Exception] = []
    service.on_failed = failures.append

    def write(*_: Any) -> int:
        raise LookupError("unexpected")

    monkeypatch.setattr(service, "_write", write)
    _publish(service)
    async with asyncio.timeout(20):
        for _ in range(2):
            with pytest.raises(RecordsUnavailable):
                await service.get("w", "c1", gateway_id=None)
        await service.stop()
    assert [str(one) for one in failures] == ["unexpected"]


async def test_a_batch_that_ends_after_the_file_was_opened_again_stops_no_read(monkeypatch: pytest.MonkeyPatch) -> None:
    service = await _started()
    has_begun, may_end = threading.Event(), threading.Event()

    def write(*_: Any) -> int:
        has_begun.set()
        may_end.wait(20)
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(service, "_write", write)
        _publish(service)
        flushing = service._flush_soon()
        await asyncio.to_thread(has_begun.wait, 20)
        _publish(service)
        failing = asyncio.ensure_future(service._fail(OSError("the disk is full"), service._store))
        await asyncio.sleep(0)
        may_end.set()
        await asyncio.gather(flushing, failing)
    await service._open()
    async with asyncio.timeout(20):
        assert await service.get("w", "c1", gateway_id=None) is None
        await service.stop()


async def test_a_check_of_customers_that_fails_unexpectedly_is_noted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def slices(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise LookupError("unexpected")
        return {}, 0

    async def known(workspace: str, customer_ids: Any) -> list[str]:
        return []

    monkeypatch.setattr(SqliteRecordStore, "customers_after", slices)
    monkeypatch.setattr("router.records.service.TRIM_S", 0.01)
    monkeypatch.setattr("router.records.service.REOPEN_S", 0.01)
    service = await _started(known)
    failures: list[str] = []
    service.on_failed = lambda error: failures.append(str(error))
    async with asyncio.timeout(20):
        while asked < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await service.stop()
    assert failures == ["unexpected"]


async def test_the_position_is_written_although_no_event_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.records.service.PAUSE_S", 0.0)
    monkeypatch.setattr("router.records.service.CHECKPOINT_S", 0.05)
    service = await _started()
    written: list[tuple[int, bool]] = []
    is_saved = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(store: SqliteRecordStore, taken: list[Any], write: bool, checkpoint: bool) -> int:
        written.append((len(taken), checkpoint))
        if checkpoint:
            loop.call_soon_threadsafe(is_saved.set)
        return 0

    monkeypatch.setattr(service, "_write", write)
    _publish(service)
    async with asyncio.timeout(20):
        await is_saved.wait()
        await service.stop()
    assert [count for count, _ in written] == [1] + [0] * (len(written) - 1)


class OneWorkspaceFeed(QuietFeed):
    """A feed with one workspace, of which the service hears what a test collects."""

    publisher: Any = SimpleNamespace(workspaces=[], last_seq=lambda _workspace: 0, history_id=lambda _workspace: "h")

    def first_seq(self, workspace: str) -> int:
        return 1


async def test_a_workspace_that_is_left_and_followed_again_goes_on_after_all_that_was_collected() -> None:
    feed: Any = OneWorkspaceFeed()
    service = RecordService(None, RecordSettings(), feed, now_ms=lambda: 0, targets=_no_targets)
    await service.start()
    await service.load_workspace("w")

    def collect(*seqs: int) -> None:
        for seq in seqs:
            service._collector.collect(PublishedRecord("w", "h", a_record(seq)))

    collect(1, 2, 3, 4, 5)
    await service._save()
    is_released = threading.Event()
    async with asyncio.timeout(20):
        # The writing thread is busy, a batch waits for it, and another record for the next batch.
        service._writing.submit(is_released.wait, 20)
        collect(6, 7)
        service._flush_soon()
        await asyncio.sleep(0)
        collect(8)
        service.forget_workspace("w")
        loading = asyncio.ensure_future(service.load_workspace("w"))
        for _ in range(10):
            await asyncio.sleep(0)
        is_released.set()
        await loading
        assert service._cursors.load("")["w"].seq == 8
        assert len(service._written["w"].builder._opened) == 8
        await service.stop()
