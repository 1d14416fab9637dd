"""``kill -9`` at every change of the disk that an erasure makes, and at those after its answer.

The process that erases records its file operations (``tests/support/disk_recorder.py``) and is killed before the n-th of them, for
every n until it comes to its end. Whatever it has acknowledged holds at once: the wrapped key is in no byte of any file. After the
next start the customer is there as a whole or is erased; an erased one cannot be opened with the master key and a copy of the
data from before the erasure either.
"""

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from router.context.customers import ErasedCustomer
from router.context.journey import Step
from router.context.keys import DataKey, SealBroken, scope_of
from router.context.sqlite.store import SqliteContextStore
from tests.context.sqlite.test_erasure import MASTER, NOW, all_bytes, create, wrapped_key
from tests.integration.recorded_router import sabotage_context
from tests.support.disk_recorder import Recorder
from tests.support.power_loss import fast_directory

ENTRIES_MAX: Final = 400


def erase_until(directory: Path, customer_id: str, kept: str, entries: int, sabotage: str) -> tuple[bool, bool]:
    """Erase, then append a step, in a process that is killed after some changes of the disk; return (acknowledged, ended)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            recorder = Recorder(directory, directory.with_name("disk.log"))
            recorder.install()
            if sabotage:
                sabotage_context(sabotage)
            store = SqliteContextStore(directory, MASTER, now_ms=NOW)
            recorder.kill_after(entries)
            if store.erase("default", customer_id, now_ms=NOW):
                os.write(writing, b"!")
            store.begin()
            store.append_step("default", Step(NOW, "late"), customer_id=kept, identity=None, now_ms=NOW)
            store.commit()
            store.maintain(now_ms=NOW)
            store.close()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    acknowledged = os.read(reading, 1) == b"!"
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
    else:
        assert os.WEXITSTATUS(status) == 0
    return acknowledged, not os.WIFSIGNALED(status)


def opens(store: SqliteContextStore, data: Path, row: int) -> bool:
    """Return whether any key that the key file has opens an identity of a row in a copy of the data."""
    connection = sqlite3.connect(f"{data.as_uri()}?mode=ro&immutable=1", uri=True)
    sealed = [value for (value,) in connection.execute("SELECT value FROM identity WHERE row = ?", (row,))]
    connection.close()
    assert sealed
    for owner, wrapped, version in store._files.keys.execute("SELECT row, wrapped, version FROM customer_key").fetchall():
        raw = MASTER.unwrap(wrapped, version, scope_of("default", owner))
        for value in sealed:
            try:
                DataKey(raw, scope_of("default", row)).open("identity.value", value)
            except SealBroken:
                continue
            return True
    return False


def find_faults(directory: Path, erased: str, kept: str, sabotage: str = "") -> tuple[list[str], list[str]]:
    """Try every point; return what is wrong, and the outcomes in order."""
    wrapped, faults, outcomes = wrapped_key(directory, 1), [], []
    copy, older = directory.with_name("copy"), directory / "context.db"
    for entries in range(1, ENTRIES_MAX):
        shutil.copytree(directory, copy)
        acknowledged, has_ended = erase_until(copy, erased, kept, entries, sabotage)
        if acknowledged and wrapped in all_bytes(copy):
            faults.append(f"{entries}: the key is in a file after the answer")
        store = SqliteContextStore(copy, MASTER, now_ms=NOW)
        assert len(store.steps("default", kept, limit=200)) in (40, 41)
        try:
            assert store.customer("default", erased).name == "canary-erased"
            assert len(store.steps("default", erased, limit=200)) == 40
            outcomes.append("kept")
            if acknowledged:
                faults.append(f"{entries}: the customer is there after the answer")
        except ErasedCustomer:
            outcomes.append("erased")
            if wrapped in all_bytes(copy):
                faults.append(f"{entries}: the key is in a file after the start")
            if opens(store, older, 1):
                faults.append(f"{entries}: a key opens the older data")
        store.close()
        shutil.rmtree(copy)
        if has_ended:
            assert acknowledged
            return faults, outcomes
    raise AssertionError("the process does not come to its end")


@pytest.fixture
def origin() -> Iterator[tuple[Path, str, str]]:
    """A directory with two customers; the first is to be erased."""
    with fast_directory() as place:
        directory = place / "origin"
        store = SqliteContextStore(directory, MASTER, now_ms=NOW)
        store.begin()
        erased, kept = create(store, "canary-erased"), create(store, "canary-kept")
        store.commit()
        store.close()
        yield directory, erased, kept


def test_a_kill_at_any_change_of_the_disk_leaves_no_key_of_an_erased_customer(origin: tuple[Path, str, str]) -> None:
    faults, outcomes = find_faults(*origin)
    assert faults == []
    assert outcomes[0] == "kept" and outcomes[-1] == "erased" and len(outcomes) > 30
    assert outcomes == sorted(outcomes, reverse=True), "once the key is deleted, the customer stays erased"


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["erase_without_checkpoint", "no_secure_delete"])
def test_a_wrong_erasure_is_convicted(origin: tuple[Path, str, str], sabotage: str) -> None:
    faults, _ = find_faults(*origin, sabotage=sabotage)
    assert faults
