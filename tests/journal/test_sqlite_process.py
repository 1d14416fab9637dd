"""The journal among other processes, and on a disk that is full."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.journal.schema import PRAGMAS
from router.journal.sqlite import SqliteJournal
from router.model.errors import JournalUnavailable
from tests.contracts.journal_contract import filled, keeper_open
from tests.journal.records import a_record, records
from tests.journal.sqlite_keeper import SqliteKeeper

OPEN = """
import asyncio, sys
from pathlib import Path
from router.journal.sqlite import SqliteJournal
from router.model.errors import JournalError
try:
    asyncio.run(SqliteJournal(Path(sys.argv[1]), ballast_bytes=0).open())
except JournalError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def keeper(tmp_path: Path) -> SqliteKeeper:
    return SqliteKeeper(tmp_path)


async def test_a_second_process_is_kept_out_and_the_first_goes_on(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, records(3))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OPEN, str(keeper.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "JournalLocked\n"
    await journal.append([("main", a_record(7))])
    await journal.close()
    assert (await keeper_open(keeper))[0].last.seq == 7


async def test_sqlites_own_command_line_is_kept_out(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, records(3))
    script = (
        "import sqlite3, sys\n"
        "try: sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA wal_checkpoint').fetchall()\n"
        "except sqlite3.OperationalError as error: print(error)"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(keeper.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "database is locked\n"
    await journal.append([("main", a_record(7))])
    await journal.close()


async def test_the_settings_are_in_force(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, records(1))

    def in_force() -> list[object]:
        connection = journal._file._open_connection  # type: ignore[attr-defined]
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name, _, _ in PRAGMAS]

    assert await journal._job(in_force) == [  # type: ignore[attr-defined]
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
    assert not keeper.path.with_name("journal.db-shm").exists()
    await journal.close()


async def test_a_full_disk_is_said_plainly_and_the_end_is_orderly(keeper: SqliteKeeper) -> None:
    journal = SqliteJournal(keeper.path, ballast_bytes=1 << 20)
    await journal.open()
    await journal.create_workspace("main")
    await journal.append([("main", a_record(1))])
    connection = journal._file._open_connection
    # SQLite's own bound on the file's pages answers like a disk without room.
    await journal._job(lambda: connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.append([("main", record) for record in records(200, first_seq=2)])
    with pytest.raises(JournalUnavailable, match="failed before"):
        await journal.append([("main", a_record(2))])
    with pytest.raises(JournalUnavailable):
        await journal.tend()
    await journal.close()
    assert not keeper.path.with_name("journal.db.ballast").exists()
    assert not keeper.wal.exists()
    (history,) = await keeper_open(keeper)
    assert history.last.seq == 1


async def test_after_a_fault_the_files_are_left_alone(keeper: SqliteKeeper) -> None:
    journal = await filled(keeper, records(3))

    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(JournalUnavailable):
        await journal._job(fail)  # type: ignore[attr-defined]
    before = keeper.fingerprint()
    await journal.close()
    assert keeper.fingerprint() == before
    with pytest.raises(JournalUnavailable):
        await journal.append([("main", a_record(7))])
