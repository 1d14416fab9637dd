"""The SQLite connection: pragmas, formats, and translation of errors."""

import sqlite3
from pathlib import Path

import pytest

from router.journal.port import JournalOutdated
from router.journal.records import FORMAT
from router.journal.sqlite.connection import PRAGMAS, DiskFull, check_format, file_format, translate_errors
from router.model.errors import JournalCorrupt, JournalError, JournalLocked, JournalTooNew, JournalUnavailable
from tests.contracts.journal_contract import filled_journal
from tests.support.journal_records import records
from tests.support.sqlite_storage import SqliteJournalStorage


@pytest.fixture
def storage(tmp_path: Path) -> SqliteJournalStorage:
    return SqliteJournalStorage(tmp_path)


async def test_all_pragmas_are_applied(storage: SqliteJournalStorage) -> None:
    journal = await filled_journal(storage, records(1))

    def in_force() -> list[object]:
        connection = journal._file._open_connection  # type: ignore[attr-defined]
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name, _, _ in PRAGMAS]

    assert await journal._run_guarded(in_force) == [  # type: ignore[attr-defined]
        "exclusive",
        "wal",
        2,
        0,
        1,
        0,
        0,
        1,
        2,
    ]
    assert not storage.path.with_name("journal.db-shm").exists()
    await journal.close()


def test_the_format_is_read_from_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for data in (b"", b"SQLite format 3", bytes(200)):
        path.write_bytes(data)
        assert file_format(path) is None
        with pytest.raises(JournalCorrupt, match="not a journal"):
            check_format(path)
        assert path.read_bytes() == data


@pytest.mark.parametrize(("version", "error"), [(FORMAT + 1, JournalTooNew), (FORMAT - 1, JournalOutdated)])
async def test_another_format_is_reported_before_the_file_is_opened(
    storage: SqliteJournalStorage, version: int, error: type[JournalError]
) -> None:
    await (await filled_journal(storage, records(1))).close()
    check_format(storage.path)
    storage.set_format(version)
    assert file_format(storage.path) == version
    with pytest.raises(error, match=f"format {version}"):
        check_format(storage.path)


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "translated"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), JournalLocked),
        (sqlite_error(sqlite3.SQLITE_LOCKED), JournalLocked),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), JournalCorrupt),
        (sqlite_error(sqlite3.SQLITE_NOTADB), JournalCorrupt),
        (sqlite_error(sqlite3.SQLITE_CORRUPT | 1 << 8), JournalCorrupt),
        (sqlite_error(sqlite3.SQLITE_FULL), DiskFull),
        (sqlite_error(sqlite3.SQLITE_IOERR), JournalUnavailable),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "text"), JournalCorrupt),
        (OSError(5, "Input/output error"), JournalUnavailable),
    ],
)
def test_errors_are_translated(error: Exception, translated: type[JournalError]) -> None:
    with pytest.raises(JournalError) as raised, translate_errors():
        raise error
    assert type(raised.value) is translated
    assert raised.value.__cause__ is error


def test_a_generic_error_is_damage_only_while_opening() -> None:
    generic = sqlite_error(sqlite3.SQLITE_ERROR)
    with pytest.raises(JournalCorrupt), translate_errors(opening=True):
        raise generic
    with pytest.raises(JournalUnavailable), translate_errors():
        raise generic
