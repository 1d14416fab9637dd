"""Migration of a journal from format 1: nothing is lost, and a crash at any moment leaves something usable."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from router.engine.engine import Engine
from router.journal.port import JournalOutdated
from router.journal.sqlite import migration
from router.journal.sqlite.journal import SqliteJournal
from router.journal.sqlite.migration import MigrationReport, migrate_journal
from router.model.errors import JournalCorrupt, JournalError, JournalLocked, JournalTooNew, JournalUnavailable
from router.runtime.offline import verify_journal_file
from tests.support.golden_journal import SMALL, extract, golden_workspaces

# Renamed tags and reasons, written down a second time: independent of the tables that are under test.
TAGS = {
    "contact.relaxed": "contact.preferred_agent_expired",
    "callback.due": "callback.dial_requested",
    "workspace.day_began": "workspace.day_started",
}
NAMED = ("contact_id", "agent_id", "offer_id", "queue_id", "reason")
REASONS = {("contact.requeued", "stays"): "overflow_impossible", ("offer.made", "by_facts"): "by_attributes"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return extract(tmp_path / "var", SMALL)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return extract(tmp_path / "golden")


async def sound(path: Path) -> Sequence[str]:
    """Verify nothing: for tests of the files."""
    return []


async def migrated(path: Path) -> MigrationReport:
    report = await migrate_journal(path, verify=sound)
    assert report is not None
    return report


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


async def refusal(path: Path) -> JournalError | None:
    """Open the journal as a router does; return why it does not."""
    journal = SqliteJournal(path, reserved_bytes=0)
    try:
        await journal.open()
    except JournalError as error:
        return error
    finally:
        await journal.close()
    return None


class TestTheGoldenJournal:
    async def test_it_is_refused_and_left_alone_before_the_migration(self, golden: Path) -> None:
        before = files(golden.parent)
        with pytest.raises(JournalOutdated, match="router journal migrate"):
            await SqliteJournal(golden).open()
        report = await verify_journal_file(golden)
        assert "router journal migrate" in report.problems[0]
        assert files(golden.parent) == before

    async def test_all_decisions_and_the_state_are_those_of_the_old_version(self, golden: Path) -> None:
        expected_workspaces = golden_workspaces()
        report = await migrated(golden)
        assert {one.workspace for one in report.workspaces} == set(expected_workspaces)
        journal = SqliteJournal(golden, reserved_bytes=0)
        for history in await journal.open():
            old = expected_workspaces[history.workspace]
            engine = Engine()
            decisions = []
            for record in journal.replay(history.workspace):
                engine.replay(record.events, record.first_seq, record.at_ms)
                for seq, event in enumerate(record.events, start=record.first_seq):
                    plain = msgspec.to_builtins(event)
                    named = [plain.get(name) for name in NAMED]
                    tag = event.__struct_config__.tag
                    decisions.append((seq, record.at_ms, tag, *named))
            assert decisions == [
                (seq, at_ms, TAGS.get(tag, tag), *names, REASONS.get((tag, reason or ""), reason))
                for seq, at_ms, tag, *names, reason in old.decisions
            ]
            for contact_id, expected in old.contacts.items():
                contact = engine.contact(contact_id)
                found = contact and (contact.state.value, contact.queue_id, sorted(offer.agent_id for offer in contact.offers))
                assert found == expected, (history.workspace, contact_id)
            for agent_id, state in old.agents.items():
                agent = engine.agent(agent_id)
                assert agent is not None
                assert (agent.state.value, agent.reason) == state, (history.workspace, agent_id)
            assert engine.check_invariants() == []
        await journal.close()

    async def test_it_verifies_after_the_migration(self, golden: Path) -> None:
        async def verified(new: Path) -> Sequence[str]:
            report = await verify_journal_file(new)
            return [*report.problems, *(problem for one in report.workspaces for problem in one.problems)]

        assert await migrate_journal(golden, verify=verified) is not None
        assert (await verify_journal_file(golden)).ok

    async def test_histories_positions_and_epochs_are_kept(self, golden: Path) -> None:
        with closing(sqlite3.connect(golden)) as old:
            names = old.execute("SELECT name, gen FROM workspace ORDER BY number").fetchall()
        report = await migrated(golden)
        journal = SqliteJournal(golden, reserved_bytes=0)
        histories = await journal.open()
        await journal.close()
        assert [(one.workspace, one.history_id) for one in histories] == names
        assert [one.last_position.seq for one in histories] == [one.last_seq for one in report.workspaces]
        assert {one.last_position.epoch for one in histories} <= {1, 2}
        assert all(one.snapshot is None for one in histories)


class TestTheFiles:
    async def test_the_old_journal_remains_complete_beside_the_new_one(self, path: Path) -> None:
        before = files(path.parent)
        report = await migrated(path)
        names = {one.name for one in path.parent.iterdir()}
        assert names == {"journal.db", "journal.db.hwm", "journal.db.v1", "journal.db.v1.hwm"}
        assert report.backup == str(path.with_name("journal.db.v1"))
        old = files(path.parent)
        assert old["journal.db.v1"] == before["journal.db"]
        assert old["journal.db.v1.hwm"] == before["journal.db.hwm"]
        assert os.stat(path).st_mode & 0o777 == 0o600

    async def test_a_log_that_was_not_checkpointed_is_migrated_too(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE passing (x)")
        connection.execute("DROP TABLE passing")
        shutil.copytree(path.parent, path.parent.with_name("crashed"))
        connection.close()
        path = path.parent.with_name("crashed") / path.name
        for shared in path.parent.glob("*-shm"):
            shared.unlink()
        assert path.with_name("journal.db-wal").stat().st_size > 0
        await migrated(path)
        assert path.with_name("journal.db.v1-wal").stat().st_size > 0
        assert await refusal(path) is None

    async def test_the_reserved_space_of_format_1_is_freed(self, path: Path) -> None:
        # The name of format 1.
        old = path.with_name("journal.db.ballast")  # plain-words: a file name of format 1
        old.write_bytes(bytes(100))
        await migrated(path)
        assert not old.exists()

    async def test_a_migrated_journal_is_left_alone(self, path: Path) -> None:
        await migrated(path)
        before = files(path.parent)
        assert await migrate_journal(path, verify=sound) is None
        assert files(path.parent) == before

    async def test_an_earlier_backup_is_not_overwritten(self, path: Path) -> None:
        path.with_name("journal.db.v1").write_bytes(b"precious")
        before = files(path.parent)
        with pytest.raises(JournalUnavailable, match="move it away"):
            await migrate_journal(path, verify=sound)
        assert files(path.parent) == before


class TestRefusals:
    async def refused(self, path: Path, kind: type[JournalError], text: str) -> None:
        before = files(path.parent)
        with pytest.raises(kind, match=text):
            await migrate_journal(path, verify=sound)
        assert files(path.parent) == before

    async def test_a_missing_journal(self, tmp_path: Path) -> None:
        await self.refused(tmp_path / "none.db", JournalUnavailable, "does not exist")

    async def test_a_missing_mark(self, path: Path) -> None:
        path.with_name("journal.db.hwm").unlink()
        await self.refused(path, JournalCorrupt, "mark is missing")

    async def test_a_journal_in_use(self, path: Path) -> None:
        await migrated(path)
        journal = SqliteJournal(path, reserved_bytes=0)
        await journal.open()
        with pytest.raises(JournalLocked):
            await migrate_journal(path, verify=sound)
        await journal.close()

    async def test_a_newer_journal(self, path: Path) -> None:
        self.change(path, "PRAGMA user_version = 99")
        await self.refused(path, JournalTooNew, "format 99")

    async def test_another_file(self, path: Path) -> None:
        write(path.parent, {path.name: b"text" * 100})
        await self.refused(path, JournalCorrupt, "not a journal")

    async def test_a_missing_record(self, path: Path) -> None:
        self.change(path, "DELETE FROM record WHERE workspace = 2 AND first_seq = 2")
        await self.refused(path, JournalCorrupt, "missing")

    async def test_a_missing_end(self, path: Path) -> None:
        self.change(
            path, "DELETE FROM record WHERE workspace = 2 AND first_seq = (SELECT max(first_seq) FROM record WHERE workspace = 2)"
        )
        await self.refused(path, JournalCorrupt, "commit index")

    async def test_a_journal_that_does_not_verify(self, path: Path) -> None:
        async def unsound(new: Path) -> Sequence[str]:
            assert new != path
            return ["two owners"]

        before = files(path.parent)
        with pytest.raises(JournalCorrupt, match="two owners"):
            await migrate_journal(path, verify=unsound)
        assert files(path.parent) == before

    async def test_a_conversion_that_would_lose_something(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(migration, "to_format_1", lambda record: {**record, "actor": "lost"})
        await self.refused(path, JournalCorrupt, "would change the record")

    async def test_a_copy_that_differs(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written = migration._copy_records

        async def damaged(*arguments: object) -> object:
            workspaces, digests = await written(*arguments)  # type: ignore[arg-type]
            return workspaces, {**digests, "hold": b""}

        monkeypatch.setattr(migration, "_copy_records", damaged)
        await self.refused(path, JournalCorrupt, "hold: the copy differs")

    @staticmethod
    def change(path: Path, statement: str) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()


class Killed(BaseException):
    """The process ends here."""


# Steps that change names: link, three renames of the swap (no log here), the marker, and the removal.
CALLS: list[tuple[object, str]] = [
    (os, "link"),
    (os, "fsync"),
    (Path, "rename"),
    (Path, "unlink"),
    (shutil, "copyfile"),
    (shutil, "rmtree"),
]


def kill_at(number: int, patch: pytest.MonkeyPatch, *, after: bool) -> list[int]:
    """Kill the migration before or after the call of that number; return the count of the calls."""
    calls = [0]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*arguments: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] > number:
                raise Killed
            if calls[0] == number and not after:
                raise Killed
            result = call(*arguments, **options)
            if calls[0] == number:
                raise Killed
            return result

        return counting

    for owner, name in CALLS:
        patch.setattr(owner, name, counted(getattr(owner, name)))
    return calls


@pytest.mark.slow
async def test_a_crash_at_any_step_is_completed_by_the_next_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        calls = kill_at(10**9, patch, after=False)
        counted = tmp_path / "counted"
        original = files(path.parent)
        write(counted, original)
        await migrated(counted / path.name)
    total = calls[0]
    assert total > 15
    expected = await contents(counted / path.name)
    for number in range(1, total + 1):
        for after in (False, True):
            directory = tmp_path / f"{number}-{after}"
            write(directory, original)
            crashed = directory / path.name
            with monkeypatch.context() as patch:
                kill_at(number, patch, after=after)
                with pytest.raises(Killed):
                    await migrate_journal(crashed, verify=sound)
            # A router either refuses to start, or starts with the complete new journal; it never changes or hides anything.
            error = await refusal(crashed)
            if error is None:
                assert await contents(crashed) == expected
            await migrate_journal(crashed, verify=sound)
            assert await refusal(crashed) is None
            assert await contents(crashed) == expected
            old = files(directory)
            assert old["journal.db.v1"] == original["journal.db"]
            assert old["journal.db.v1.hwm"] == original["journal.db.hwm"]
            assert not crashed.with_name("journal.db.migrating").exists()
            shutil.rmtree(directory)


def write(directory: Path, content: dict[str, bytes]) -> None:
    directory.mkdir(exist_ok=True)
    for name, data in content.items():
        (directory / name).write_bytes(data)


async def contents(path: Path) -> dict[str, tuple[str, int, int]]:
    """Return history id, last seq and number of records of each workspace."""
    journal = SqliteJournal(path, reserved_bytes=0)
    found = {}
    for history in await journal.open():
        count = sum(1 for _ in journal.replay(history.workspace))
        found[history.workspace] = (history.history_id, history.last_position.seq, count)
    await journal.close()
    return found
