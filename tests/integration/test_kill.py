"""SIGKILL at every crash point: acknowledged commands survive exactly once (F1, F2; I1, I2, I4, I5, I25)."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router.journal.crash_points import CRASH_POINTS
from router.journal.sqlite.journal import SqliteJournal
from router.model.events import ContactQueued
from router.runtime.offline import verify_journal_file

REPOSITORY = Path(__file__).parents[2]


def run_router(
    path: Path, *, first: int, count: int = 64, crash_at: str = "", command: tuple[str, ...] = ()
) -> tuple[int, dict[str, tuple[int, str]]]:
    """Run a router process; return its exit status and its acknowledgements: contact → (seq, history id)."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("CRASH_AT", None)
    if crash_at:
        environment["CRASH_AT"] = crash_at
    router = (sys.executable, "-m", "tests.integration.crashing_router")
    done = subprocess.run(
        [*command, *router, str(path), str(first), str(count)],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return done.returncode, {contact: (int(seq), gen) for contact, seq, gen in lines}


async def queued(path: Path) -> tuple[str, list[tuple[str, int]]]:
    """Return the history id and every ContactQueued event with its sequence number, in order."""
    journal = SqliteJournal(path, reserved_bytes=0)
    (history,) = await journal.open()
    found = [
        (event.contact_id, seq)
        for record in journal.replay("main")
        for seq, event in enumerate(record.events, start=record.first_seq)
        if isinstance(event, ContactQueued)
    ]
    await journal.close()
    return history.history_id, found


@pytest.mark.slow
@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_acknowledged_commands_survive_exactly_once(point: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged: dict[str, tuple[int, str]] = {}
    # The first three batches are set-up; then one early crash, one late crash, and one complete run.
    for life, crash_at in enumerate((f"{point}:4", f"{point}:9", "")):
        status, acks = await asyncio.to_thread(run_router, path, first=1_000 * life, crash_at=crash_at)
        assert status == (-signal.SIGKILL if crash_at else 0)
        acknowledged |= acks
    gen, found = await queued(path)
    assert len(found) == len(dict(found))
    assert {gen for _, gen in acknowledged.values()} == {gen}
    assert {c: seq for c, (seq, _) in acknowledged.items()}.items() <= dict(found).items()
    report = await verify_journal_file(path)
    assert report.ok, report
    assert report.workspaces[0].epochs == 3


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before_commit", "inside_commit", "after_commit", "before_reply"])
async def test_a_commit_is_atomic(point: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    # Three batches are set-up (policy, agent, ready); then bursts of eight contacts follow.
    _, acks = await asyncio.to_thread(run_router, path, first=0, crash_at=f"{point}:6")
    _, found = await queued(path)
    durable = {"before_commit": 16, "inside_commit": 16, "after_commit": 24, "before_reply": 24}
    assert (len(acks), len(found)) == (16, durable[point])


STRACE = shutil.which("strace")
CALLS = "fdatasync,fsync,pwrite64,write"


def can_trace() -> bool:
    """Return whether strace can trace processes here."""
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def replies_after_the_fault(trace: Path) -> int:
    """Count the acknowledgements that were written after the injected error."""
    lines = trace.read_text().splitlines()
    [fault, *_] = [number for number, line in enumerate(lines) if "(INJECTED)" in line]
    return sum(" write(1<" in line and '"c' in line for line in lines[fault:])


@pytest.mark.slow
@pytest.mark.skipif(not can_trace(), reason="needs strace and the right to trace")
class TestUnderStrace:
    async def test_fdatasync_happens_between_the_commit_and_the_reply(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        command = ("strace", "-f", "-y", "-e", f"trace={CALLS}", "-o", str(trace))
        status, acks = await asyncio.to_thread(run_router, tmp_path / "journal.db", first=0, count=24, command=command)
        assert (status, len(acks)) == (0, 24)
        synced = written = False
        replies = 0
        for line in trace.read_text().splitlines():
            if "journal.db-wal" in line and "pwrite64(" in line:
                written, synced = True, False
            elif "journal.db-wal" in line and "fdatasync(" in line:
                synced = True
            elif " write(1<" in line and '"c' in line:
                replies += 1
                assert written and synced
        assert replies == 24

    @pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
    @pytest.mark.parametrize("repeats", ["", "+"])
    async def test_after_an_io_error_nothing_is_acknowledged(self, call: str, repeats: str, tmp_path: Path) -> None:
        """One call that fails is enough, also where all later ones succeed."""
        path = tmp_path / "journal.db"
        status, _ = await asyncio.to_thread(run_router, path, first=0, count=8)
        assert status == 0
        at = {"fdatasync": 20, "pwrite64": 80}[call]
        trace = tmp_path / "trace"
        fault = f"inject={call}:error=EIO:when={at}{repeats}"
        command = ("strace", "-f", "-y", "-e", f"trace={CALLS}", "-e", fault, "-o", str(trace))
        status, acks = await asyncio.to_thread(run_router, path, first=1_000, count=400, command=command)
        assert status == 1
        assert 0 < len(acks) < 400, "nothing was acknowledged before the fault, or all of it"
        assert replies_after_the_fault(trace) == 0
        _, found = await queued(path)
        assert {c: seq for c, (seq, _) in acks.items()}.items() <= dict(found).items()
        assert (await verify_journal_file(path)).ok

    async def test_a_full_disk_stops_cleanly_and_loses_no_acknowledged_command(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        fault = "inject=pwrite64:error=ENOSPC:when=60+"
        command = ("strace", "-f", "-e", f"trace={CALLS}", "-e", fault, "-o", "/dev/null")
        status, acks = await asyncio.to_thread(run_router, path, first=0, count=400, command=command)
        assert status == 1
        assert acks, "nothing was acknowledged before the fault"
        _, found = await queued(path)
        assert {c: seq for c, (seq, _) in acks.items()}.items() <= dict(found).items()
