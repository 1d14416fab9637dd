"""The context service: group commits, isolation of failures, limits, and erasures between groups."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from router.context.customers import ContextUnavailable, ErasedCustomer, UnknownCustomer
from router.context.identities import Assurance, Identity, normalise
from router.context.keys import new_master_keys
from router.context.port import ContextStore
from router.context.service import ContextService
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
MASTER = new_master_keys()


class Clock:
    def now_ms(self) -> int:
        return NOW


async def started(directory: Path, queue_max: int = 20_000) -> ContextService:
    service = ContextService(lambda: SqliteContextStore(directory, MASTER), Clock(), queue_max=queue_max)
    await service.start()
    return service


async def create(service: ContextService, value: str) -> str:
    identity = normalise(Identity(type="app_user", value=value, assurance=Assurance.VERIFIED), region="DE")
    found = await service.run(lambda store: store.resolve("default", [identity], at_ms=NOW, create=True, now_ms=NOW))
    assert found.customer_id is not None
    return found.customer_id


async def test_operations_that_wait_together_are_committed_together(tmp_path: Path) -> None:
    service = await started(tmp_path)
    gate = threading.Event()
    first = asyncio.ensure_future(service.run(lambda store: gate.wait(5)))
    await asyncio.sleep(0.05)
    others = [asyncio.ensure_future(create(service, f"u-{number}")) for number in range(50)]
    await asyncio.sleep(0)
    gate.set()
    await first
    assert len(set(await asyncio.gather(*others))) == 50
    assert service.status().groups == 2 and service.status().operations == 51
    await service.stop()


async def test_what_comes_while_a_commit_is_awaited_joins_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an erasure, which runs between two groups, nor what comes after it."""
    service = await started(tmp_path)
    customer_id = await create(service, "u-0")
    monkeypatch.setattr("router.context.service.COMMIT_GAP_S", 30.0)  # Ended by the stop below, not by the time.
    ran: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def note(number: int) -> Callable[[ContextStore], object]:
        return lambda store: loop.call_soon_threadsafe(ran.put_nowait, number)

    operations = [asyncio.ensure_future(service.run(note(1)))]
    assert await ran.get() == 1  # The group is open from here on.
    operations.append(asyncio.ensure_future(service.run(note(2))))
    assert await ran.get() == 2
    erasure = asyncio.ensure_future(service.erase("default", customer_id))
    await asyncio.sleep(0)
    operations.append(asyncio.ensure_future(service.run(note(3))))
    await asyncio.sleep(0)
    assert not any(one.done() for one in operations)
    await service.stop()
    await asyncio.gather(*operations)
    assert await erasure and ran.get_nowait() == 3
    assert service.status().groups == 3 and service.status().operations == 4


async def test_the_commit_of_a_contacts_operation_waits_for_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await started(tmp_path)
    monkeypatch.setattr("router.context.service.COLLECT_S", 30.0)  # Ended by the stop below, not by the time.
    ran = asyncio.Event()
    loop = asyncio.get_running_loop()
    _, stored = await service.run_in_time(lambda store: None, deadline_s=20)
    other = asyncio.ensure_future(service.run(lambda store: loop.call_soon_threadsafe(ran.set)))
    await ran.wait()
    assert not stored.done() and not other.done()
    await service.stop()
    await asyncio.gather(stored, other)
    assert service.status().groups == 1 and service.status().operations == 2


async def test_what_has_joined_a_group_is_told_that_the_store_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await started(tmp_path)
    await create(service, "u-0")
    monkeypatch.setattr("router.context.service.COMMIT_GAP_S", 30.0)
    opened = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = asyncio.ensure_future(service.run(lambda store: loop.call_soon_threadsafe(opened.set)))
    await opened.wait()

    def fail(store: SqliteContextStore) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteContextStore, "attempt_done", fail)
    for one in (first, asyncio.ensure_future(service.run(lambda store: None))):
        with pytest.raises(ContextUnavailable):
            await one
    await service.stop()


async def test_the_key_of_a_customer_goes_with_the_operation_that_failed(tmp_path: Path) -> None:
    service = await started(tmp_path)

    def fail(store: ContextStore) -> None:
        identity = normalise(Identity(type="app_user", value="lost"), region="DE")
        store.resolve("default", [identity], at_ms=NOW, create=True, now_ms=NOW)
        raise ValueError("a mistake")

    results = await asyncio.gather(create(service, "u-1"), service.run(fail), return_exceptions=True)
    assert isinstance(results[1], ValueError)
    await service.run(lambda store: None)
    await service.stop()
    connection = sqlite3.connect(tmp_path / "context-keys.db")
    assert connection.execute("SELECT count(*) FROM customer_key").fetchall() == [(1,)]
    connection.close()


async def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    service = await started(tmp_path)
    ids = [await create(service, f"u-{number}") for number in range(3)]
    await service.stop()
    again = await started(tmp_path)
    assert [await create(again, f"u-{number}") for number in range(3)] == ids
    await again.stop()


async def test_an_operation_that_fails_is_undone_alone(tmp_path: Path) -> None:
    service = await started(tmp_path)

    def fail(store: ContextStore) -> None:
        identity = normalise(Identity(type="app_user", value="lost"), region="DE")
        store.resolve("default", [identity], at_ms=NOW, create=True, now_ms=NOW)
        raise ValueError("a mistake")

    results = await asyncio.gather(create(service, "u-1"), service.run(fail), create(service, "u-2"), return_exceptions=True)
    assert isinstance(results[1], ValueError) and isinstance(results[0], str) and isinstance(results[2], str)
    identity = normalise(Identity(type="app_user", value="lost"), region="DE")
    found = await service.run(lambda store: store.resolve("default", [identity], at_ms=NOW, create=False, now_ms=NOW))
    assert found.customer_id is None and service.status().failed_operations == 1
    await service.stop()


async def test_a_disk_that_fails_ends_the_store_and_not_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await started(tmp_path)
    await create(service, "u-1")

    def fail(self: SqliteContextStore) -> None:
        raise ContextUnavailable("the disk failed")

    monkeypatch.setattr(SqliteContextStore, "commit", fail)
    with pytest.raises(ContextUnavailable):
        await create(service, "u-2")
    with pytest.raises(ContextUnavailable, match="routing goes on"):
        await create(service, "u-3")
    assert not service.is_available and service.status().last_error == "ContextUnavailable"
    await service.stop()


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    service = await started(tmp_path, queue_max=3)
    gate = threading.Event()
    first = asyncio.ensure_future(service.run(lambda store: gate.wait(5)))
    await asyncio.sleep(0.05)
    waiting = [asyncio.ensure_future(create(service, f"u-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ContextUnavailable, match="more than 3"):
        await create(service, "u-9")
    gate.set()
    await asyncio.gather(first, *waiting)
    await service.stop()


async def test_a_caller_goes_on_after_its_deadline(tmp_path: Path) -> None:
    service = await started(tmp_path)
    gate = threading.Event()
    slow = asyncio.ensure_future(service.run(lambda store: gate.wait(5)))
    await asyncio.sleep(0.02)
    with pytest.raises(ContextUnavailable, match=r"within 0\.05 s"):
        await service.run(lambda store: None, timeout_s=0.05)
    gate.set()
    await slow
    await service.stop()


async def test_contacts_do_not_wait_one_after_another_for_a_stalled_store(tmp_path: Path) -> None:
    service = await started(tmp_path)
    gate = threading.Event()
    slow = asyncio.ensure_future(service.run(lambda store: gate.wait(5)))
    await asyncio.sleep(0.02)
    done: list[int] = []
    began = time.monotonic()
    for number in range(20):
        with pytest.raises(ContextUnavailable):
            await service.run_in_time(lambda store, number=number: done.append(number), deadline_s=0.5)  # type: ignore[misc]
    assert time.monotonic() - began < 5, "the first waits half a second, and no other one"
    gate.set()
    await slow
    await service.run_in_time(lambda store: done.append(99), deadline_s=5)
    # What its caller no longer waits for is not carried out.
    assert done == [99]
    await service.stop()


async def test_what_a_contact_waits_for_runs_first_and_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await started(tmp_path)
    order: list[str] = []
    began, gate, disk = threading.Event(), threading.Event(), threading.Event()
    commit = SqliteContextStore.commit

    def slow_commit(self: SqliteContextStore) -> None:
        disk.wait(5)
        commit(self)

    monkeypatch.setattr(SqliteContextStore, "commit", slow_commit)

    def first(store: ContextStore) -> None:
        began.set()
        gate.wait(5)

    others = [asyncio.ensure_future(service.run(first))]
    await asyncio.to_thread(began.wait, 5)
    others += [asyncio.ensure_future(service.run(lambda store: order.append("other"))) for _ in range(3)]
    await asyncio.sleep(0)

    def read(store: ContextStore) -> str:
        order.append("contact")
        return "found"

    waiting = asyncio.ensure_future(service.run_in_time(read, deadline_s=5))
    await asyncio.sleep(0)
    gate.set()
    result, stored = await waiting
    assert result == "found" and not stored.done(), "before the commit"
    assert order[0] == "contact", "before those that came earlier"
    assert not any(one.done() for one in others)
    disk.set()
    await stored
    await asyncio.gather(*others)
    await service.stop()


async def test_a_failed_commit_is_told_to_who_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await started(tmp_path)

    def fail(self: SqliteContextStore) -> None:
        raise ContextUnavailable("the disk failed")

    monkeypatch.setattr(SqliteContextStore, "commit", fail)
    result, stored = await service.run_in_time(lambda store: 7, deadline_s=5)
    assert result == 7
    with pytest.raises(ContextUnavailable):
        await stored
    with pytest.raises(ContextUnavailable):
        await service.run_in_time(lambda store: 7, deadline_s=5)
    await service.stop()


async def test_an_error_of_what_a_contact_waits_for_is_its_own(tmp_path: Path) -> None:
    service = await started(tmp_path)
    await create(service, "u-1")
    with pytest.raises(UnknownCustomer):
        await service.run_in_time(lambda store: store.customer("default", "c_" + "0" * 32), deadline_s=5)
    assert await service.run_in_time(lambda store: 8, deadline_s=5)
    await service.stop()


async def test_an_erasure_is_answered_when_the_key_is_gone(tmp_path: Path) -> None:
    service = await started(tmp_path)
    customer_id = await create(service, "u-1")
    assert await service.erase("default", customer_id)
    with pytest.raises(ErasedCustomer):
        await service.erase("default", customer_id)
    with pytest.raises(UnknownCustomer):
        await service.erase("default", "c_" + "0" * 32)
    assert await create(service, "u-1") != customer_id
    await service.stop()


async def test_an_erasure_that_a_reader_blocks_is_pending_and_done_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.context.service.ERASE_PENDING_S", 0.2)
    service = await started(tmp_path)
    customer_id = await create(service, "u-1")
    is_blocked = True
    erase = SqliteContextStore.erase

    def blocked(self: SqliteContextStore, workspace: str, customer_id: str, *, now_ms: int) -> bool:
        return not is_blocked and erase(self, workspace, customer_id, now_ms=now_ms)

    monkeypatch.setattr(SqliteContextStore, "erase", blocked)
    assert not await service.erase("default", customer_id)
    assert service.status().erasures_pending == 1
    is_blocked = False
    async with asyncio.timeout(30):
        while service.status().erasures_pending:  # noqa: ASYNC110  (state of a thread)
            await asyncio.sleep(0.01)
    with pytest.raises(ErasedCustomer):
        await service.run(lambda store: store.customer("default", customer_id))
    await service.stop()


async def test_a_store_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    service = await started(tmp_path)
    with pytest.raises(ContextUnavailable, match="another process"):
        await started(tmp_path)
    await service.stop()
    with pytest.raises(ContextUnavailable):
        await create(service, "u-1")
