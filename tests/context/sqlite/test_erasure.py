"""Erasure in the SQLite backend: the end of the process at every statement, older copies of the data, and pending logs."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from router.context.customers import ErasedCustomer, ProfileChange
from router.context.identities import Assurance, Identity, NormalIdentity, normalise
from router.context.journey import Step
from router.context.keys import new_master_keys
from router.context.port import ContactReference
from router.context.sqlite.database import ACCEPT_FILE
from router.context.sqlite.references import BLOCK_SIZE
from router.context.sqlite.store import SqliteContextStore

NOW = 1_800_000_000_000
MASTER = new_master_keys()


def user(value: str) -> NormalIdentity:
    return normalise(Identity(type="app_user", value=value, assurance=Assurance.VERIFIED), region="DE")


def create(store: SqliteContextStore, value: str) -> str:
    found = store.resolve("default", [user(value)], at_ms=NOW, create=True, now_ms=NOW)
    assert found.customer_id is not None
    store.change_profile("default", found.customer_id, ProfileChange(name=value), versions=None, actor="s", now_ms=NOW)
    for number in range(40):
        store.append_step("default", Step(NOW + number, "view"), customer_id=found.customer_id, identity=None, now_ms=NOW)
    return found.customer_id


def all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


def wrapped_key(directory: Path, row: int) -> bytes:
    connection = sqlite3.connect(f"{(directory / 'context-keys.db').as_uri()}?mode=ro", uri=True)
    [(wrapped,)] = connection.execute("SELECT wrapped FROM customer_key WHERE row = ?", (row,)).fetchall()
    connection.close()
    return bytes(wrapped)


def erase_until(directory: Path, customer_id: str, statement: int) -> bool:
    """Erase in a process that is killed before its statement of this number; return whether it was done before."""
    return run_until(directory, lambda store: store.erase("default", customer_id, now_ms=NOW), statement)


def run_until(directory: Path, operation: Callable[[SqliteContextStore], bool], statement: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            store = SqliteContextStore(directory, MASTER, now_ms=NOW)
            left = statement

            def count_down(_: str) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            for connection in (store._files.keys, store._files.data):
                connection.set_trace_callback(count_down)
            operation(store)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


@pytest.fixture
def origin(tmp_path: Path) -> tuple[Path, str, str]:
    """A directory with two customers; the first is to be erased."""
    directory = tmp_path / "origin"
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    store.begin()
    erased, kept = create(store, "canary-erased"), create(store, "canary-kept")
    store.commit()
    store.close()
    return directory, erased, kept


def test_a_kill_at_any_statement_of_an_erasure_leaves_all_or_no_customer(origin: tuple[Path, str, str], tmp_path: Path) -> None:
    directory, erased, kept = origin
    wrapped = wrapped_key(directory, 1)
    assert wrapped in all_bytes(directory)
    outcomes = []
    for statement in range(1, 200):
        copy = tmp_path / "copy"
        shutil.copytree(directory, copy)
        is_done = erase_until(copy, erased, statement)
        store = SqliteContextStore(copy, MASTER, now_ms=NOW)
        assert len(store.steps("default", kept, limit=200)) == 40
        try:
            assert store.customer("default", erased).name == "canary-erased"
            assert len(store.steps("default", erased, limit=200)) == 40
            outcomes.append("kept")
        except ErasedCustomer:
            outcomes.append("erased")
            assert wrapped not in all_bytes(copy), statement
            store.begin()
            late = store.append_step("default", Step(NOW, "view"), customer_id=None, identity=user("canary-erased"), now_ms=NOW + 1)
            assert late.customer_id is None
            store.commit()
        store.close()
        shutil.rmtree(copy)
        if is_done:
            break
    assert outcomes[0] == "kept" and outcomes[-1] == "erased" and len(outcomes) > 10
    assert outcomes == sorted(outcomes, reverse=True), "once the key is deleted, the customer stays erased"


def test_an_older_copy_of_the_data_cannot_be_opened_after_an_erasure(origin: tuple[Path, str, str], tmp_path: Path) -> None:
    directory, erased, kept = origin
    older = tmp_path / "older.db"
    shutil.copy(directory / "context.db", older)
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    assert store.erase("default", erased, now_ms=NOW)
    store.close()
    shutil.copy(older, directory / "context.db")
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    with pytest.raises(ErasedCustomer):
        store.customer("default", erased)
    assert store.customer("default", kept).name == "canary-kept"
    store.close()


def test_a_log_that_a_reader_holds_at_the_start_is_emptied_later(origin: tuple[Path, str, str]) -> None:
    directory, erased, kept = origin
    wrapped = wrapped_key(directory, 1)
    # Killed after the commit of the keys, before the checkpoint.
    statement = next(number for number in range(1, 50) if _is_first_without_key(directory, erased, number))
    erase_until(directory, erased, statement)
    assert wrapped in all_bytes(directory)
    reader = sqlite3.connect(f"{(directory / 'context-keys.db').as_uri()}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM customer_key").fetchall() == [(1,)]
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    with pytest.raises(ErasedCustomer):
        store.customer("default", erased)
    reader.execute("COMMIT")
    reader.close()
    store.maintain(now_ms=NOW)
    assert wrapped not in all_bytes(directory)
    assert store.customer("default", kept).name == "canary-kept"
    store.close()


def _is_first_without_key(directory: Path, customer_id: str, statement: int) -> bool:
    """Return whether a kill before this statement leaves the key deleted, though its bytes may still be in the file."""
    copy = directory.with_name("trial")
    shutil.copytree(directory, copy)
    erase_until(copy, customer_id, statement)
    connection = sqlite3.connect(copy / "context-keys.db")
    [(count,)] = connection.execute("SELECT count(*) FROM customer_key").fetchall()
    connection.close()
    shutil.rmtree(copy)
    return bool(count == 1)


def test_files_of_an_earlier_version_get_the_table_of_erased_customers(origin: tuple[Path, str, str]) -> None:
    directory, erased, kept = origin
    connection = sqlite3.connect(directory / "context.db")
    connection.execute("DROP TABLE erased_change")
    connection.close()
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    assert store.erase("default", erased, now_ms=NOW)
    page = store.changed_after("default", 0, limit=10)
    assert [one.customer_id for one in page.customers] == [kept]
    assert [(one.customer_id, one.erased_at_ms) for one in page.erased] == [(erased, NOW)]
    store.close()


# --- the reference of one contact ---------------------------------------------------------------------------------------
def with_references(directory: Path, count: int) -> SqliteContextStore:
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    store.begin()
    store.references.keep("default", [ContactReference(f"k{n}", f"canary-{n}") for n in range(count)], now_ms=NOW)
    store.commit()
    return store


def references_of(store: SqliteContextStore, count: int) -> dict[str, str]:
    names = [f"k{number}" for number in range(count)]
    return {name: one.reference for name, one in store.references.read("default", names).items()}


def test_a_kill_at_any_statement_leaves_the_other_references_and_brings_an_erased_one_never_back(tmp_path: Path) -> None:
    directory, older = tmp_path / "origin", tmp_path / "older.db"
    with_references(directory, 4).close()
    shutil.copy(directory / "context.db", older)
    wrapped = wrapped_key(directory, 1)
    others = {f"k{number}": f"canary-{number}" for number in (0, 1, 3)}
    outcomes = []
    for statement in range(1, 200):
        copy = tmp_path / "copy"
        shutil.copytree(directory, copy)
        is_done = run_until(copy, lambda store: store.erase_references("default", ["k2"], now_ms=NOW), statement)
        store = SqliteContextStore(copy, MASTER, now_ms=NOW)
        found = references_of(store, 4)
        assert found in (others, others | {"k2": "canary-2"})
        outcomes.append("kept" if "k2" in found else "gone")
        # What was interrupted is made up for by itself; then no copy of the data is of any use.
        store.maintain(now_ms=NOW)
        assert references_of(store, 4) == found
        store.close()
        assert (wrapped in all_bytes(copy)) is ("k2" in found), statement
        shutil.rmtree(copy)
        if is_done:
            break
    assert outcomes == sorted(outcomes, reverse=True) and outcomes[-1] == "gone" and len(outcomes) > 10


def test_an_older_copy_of_the_data_does_not_show_a_reference_that_was_erased_alone(tmp_path: Path) -> None:
    directory, older = tmp_path / "context", tmp_path / "older.db"
    store = with_references(directory, BLOCK_SIZE + 5)
    store.close()
    shutil.copy(directory / "context.db", older)
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    assert store.erase_references("default", ["k3"], now_ms=NOW), "one block is one slice"
    store.close()
    shutil.copy(older, directory / "context.db")
    (directory / ACCEPT_FILE).touch()  # The older data lack the block to which the others were moved.
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    assert sorted(references_of(store, BLOCK_SIZE + 5)) == [f"k{number}" for number in range(BLOCK_SIZE, BLOCK_SIZE + 5)]
    store.close()


def test_a_reference_that_an_earlier_version_has_stored_is_erased_alone_in_slices(tmp_path: Path) -> None:
    """Its key is that of the whole day."""
    count = 2 * BLOCK_SIZE + 7
    directory = tmp_path / "context"
    store = with_references(directory, BLOCK_SIZE)
    store.close()
    connection = sqlite3.connect(directory / "context.db")
    [(row, workspace, day)] = connection.execute("SELECT row, workspace, day FROM reference_block").fetchall()
    connection.execute("DELETE FROM reference_block")
    connection.execute("INSERT INTO reference_day VALUES (?, ?, ?)", (workspace, day, row))
    connection.commit()
    connection.close()
    store = SqliteContextStore(directory, MASTER, now_ms=NOW)
    table = store._workspaces["default"]
    key = table.key_of(row)
    assert key is not None
    sealed = [
        (workspace, f"k{n}", row, key.seal(f"reference.value.k{n}", f"canary-{n}".encode())) for n in range(BLOCK_SIZE, count)
    ]
    store.begin()
    store._data.executemany("INSERT INTO reference VALUES (?, ?, ?, ?, NULL)", sealed)
    store.commit()
    calls = 1
    while not store.erase_references("default", ["k9"], now_ms=NOW):
        assert len(references_of(store, count)) == count - 1, "the others can be read all the time"
        calls += 1
    assert calls == 3
    assert references_of(store, count) == {f"k{n}": f"canary-{n}" for n in range(count) if n != 9}
    assert table.key_of(row) is None
    assert store._data.execute("SELECT count(*) FROM reference_day").fetchall() == [(0,)]
    store.close()


def test_references_of_old_days_go_with_their_keys(tmp_path: Path) -> None:
    store = with_references(tmp_path / "context", BLOCK_SIZE + 5)
    store.maintain(now_ms=NOW + 89 * 24 * 3_600_000)
    assert len(references_of(store, BLOCK_SIZE + 5)) == BLOCK_SIZE + 5
    store.maintain(now_ms=NOW + 92 * 24 * 3_600_000)
    assert references_of(store, BLOCK_SIZE + 5) == {}
    assert store._data.execute("SELECT count(*) FROM reference_block").fetchall() == [(0,)]
    assert store._files.keys.execute("SELECT count(*) FROM customer_key").fetchall() == [(0,)]
    store.close()
