"""Time from the start of the process until it is ready, with a large journal.

The script writes a journal with the engine, the statistics and ``SqliteJournal`` of the router, in large batches: 1,000,000
lifecycles (submit, offer, accept, end: three records, five events each) and 100,000 contacts that still wait. Then it starts the
server process on this journal and measures the time until ``/readyz`` returns 200. There are two starts:

* **after a kill**: the newest snapshot is as old as the settings allow (``runtime.snapshot_event_count`` events), and all events
  after it are verified, decoded and replayed;
* **after an orderly stop** of the first server: there are no events after the newest snapshot.

``--quick``: a tenth of everything except the events since the snapshot.

    python benchmarks/restart/bench_restart.py [--quick] [--lifecycles N] [--open N] [--json FILE]
"""

import argparse
import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.error import URLError

import msgspec

from router.engine.engine import Engine
from router.journal.port import Snapshot
from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.commands import AcceptOffer, Command, EndContact, EnqueueContact, PublishPolicy, PutAgent, SetAgentState
from router.model.events import Event, OfferMade
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import Refused
from router.model.states import AgentState
from router.settings import RuntimeSettings
from router.statistics.workspace import WorkspaceStats

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

AGENTS = 500
LIFECYCLES, OPEN = 1_000_000, 100_000
TARGET_S = 10.0
SERVER_CPU, LOAD_CPU = 0, 1
TAIL_EVENTS = RuntimeSettings().snapshot_event_count
_BATCH_RECORDS = 5_000
_START_TIMEOUT_S = 120.0
_SERVE = (
    "import os, sys; from router.app import main_serve; from router.settings import load_settings; "
    "sys.exit(main_serve(load_settings(environment=os.environ)))"
)


class JournalBuilder:
    """Writes a journal from the events of an engine."""

    def __init__(self, journal: SqliteJournal, at_ms: int) -> None:
        self._journal = journal
        self._engine, self._stats = Engine(), WorkspaceStats()
        self._at_ms = at_ms
        self._batch: list[tuple[str, Record]] = []
        self._ids = count()
        self.events = 0

    async def execute(self, command: Command, actor: str = "gateway:web") -> list[Event]:
        """Execute a command and append its record as the writer does; return its events."""
        outcome = self._engine.handle(command, self._at_ms)
        assert not isinstance(outcome.result, Refused), outcome.result
        events = outcome.events
        record = Record(
            epoch=1,
            first_seq=outcome.first_seq,
            at_ms=self._at_ms,
            actor=actor,
            cause=str(type(command).__struct_config__.tag),
            events=tuple(events),
        )
        for seq, event in enumerate(events, start=outcome.first_seq):
            self._stats.apply(event, seq, self._at_ms)
        self.events += len(events)
        self._batch.append(("default", record))
        if len(self._batch) >= _BATCH_RECORDS:
            await self.flush()
        return events

    async def flush(self) -> None:
        """Append the pending batch to the journal."""
        batch, self._batch = self._batch, []
        await self._journal.append(batch)

    async def prepare(self) -> None:
        """Publish the policy and make the agents ready."""
        policy = Policy(
            channels={"voice": ChannelPolicy(wrap_up_s=0)}, queues={"support": QueuePolicy()}, skills=("english", "rare")
        )
        await self.execute(PublishPolicy(policy=policy, expected_version=0), "admin:bench")
        for number in range(AGENTS):
            agent_id = f"agent-{number:04}"
            await self.execute(PutAgent(agent_id=agent_id, skills={"english": 5}), "admin:bench")
            state = SetAgentState(agent_id=agent_id, state=AgentState.READY)
            await self.execute(state, f"agent:{agent_id}")

    async def submit_waiting(self, contacts: int) -> None:
        """Submit contacts that no agent can take."""
        for _ in range(contacts):
            await self.execute(self._submit("rare"))

    async def lifecycles(self, number: int) -> None:
        """Run whole lifecycles, one after the other, a hundred per second of the engine's time."""
        for _ in range(number):
            self._at_ms += 10
            submit = self._submit("english")
            [offer] = [e for e in await self.execute(submit) if isinstance(e, OfferMade)]
            agent_id = offer.agent_id
            accept = AcceptOffer(offer_id=offer.offer_id, agent_id=agent_id)
            await self.execute(accept, f"agent:{agent_id}")
            end = EndContact(contact_id=submit.contact_id, agent_id=agent_id)
            await self.execute(end, f"agent:{agent_id}")

    async def snapshot(self) -> int:
        """Save a snapshot and return its size in bytes."""
        await self.flush()
        engine = self._engine
        snapshot = Snapshot(seq=engine.seq, at_ms=engine.at_ms, engine_state=engine.snapshot(), stats_state=self._stats.snapshot())
        await self._journal.save_snapshot("default", snapshot)
        return len(snapshot.engine_state) + len(snapshot.stats_state)

    def _submit(self, skill: str) -> EnqueueContact:
        number = next(self._ids)
        return EnqueueContact(
            contact_id=f"{number:032x}",
            channel="voice",
            queue_id="support",
            skills={skill: 1},
            gateway_id="web",
            dedupe_key=number.to_bytes(16, "big"),
            fingerprint=number.to_bytes(16, "big"),
        )


async def build(path: Path, *, lifecycles: int, open_contacts: int) -> dict[str, Any]:
    """Write the journal and return its contents in numbers."""
    started_s = perf_counter()
    journal = SqliteJournal(path, reserved_bytes=0, checkpoint_bytes_max=256 << 20)
    await journal.open()
    await journal.create_workspace("default")
    # Each lifecycle takes 10 ms of the engine's time; the last one ends at the present.
    builder = JournalBuilder(journal, int(time.time() * 1000) - lifecycles * 10)
    await builder.prepare()
    tail = min(lifecycles, TAIL_EVENTS // 5)
    await builder.lifecycles(lifecycles - tail)
    await builder.submit_waiting(open_contacts)
    snapshot_bytes = await builder.snapshot()
    before_tail = builder.events
    await builder.lifecycles(tail)
    await builder.flush()
    await journal.close()
    return {
        "build_s": round(perf_counter() - started_s, 1),
        "events": builder.events,
        "events_since_snapshot": builder.events - before_tail,
        "snapshot_mib": round(snapshot_bytes / 2**20, 1),
    }


class RouterProcess:
    """The process of the router, with this journal."""

    def __init__(self, path: Path, port: int) -> None:
        environment = {
            "ROUTER__JOURNAL__PATH": str(path),
            "ROUTER__SERVER__PORT": str(port),
            "ROUTER__TELEMETRY__METRICS_PORT": "0",
            "ROUTER__TELEMETRY__ACCESS_LOG": "false",
            "ROUTER__POLICY__SEED_PATH": "null",
        }
        self._url = f"http://127.0.0.1:{port}/readyz"
        self._log = path.with_name("router.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CPU % (os.cpu_count() or 1)}),
        )

    def ready_s(self) -> float:
        """Wait until the server is ready and return the seconds since the start. Raises SystemExit if it ends."""
        started_s = perf_counter()
        while perf_counter() - started_s < _START_TIMEOUT_S and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._url, timeout=5) as response:
                    if response.status == 200:
                        return perf_counter() - started_s
            except (URLError, OSError):
                pass
            time.sleep(0.01)
        self._log.seek(0)
        raise SystemExit(f"the server did not start: {self._log.read()[-2000:]}")

    def rss_mib(self) -> float:
        """Return the resident memory of the process."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self, with_signal: signal.Signals) -> None:
        """Send ``SIGTERM`` (orderly stop) or ``SIGKILL``, and wait for the end of the process."""
        self._process.send_signal(with_signal)
        self._process.wait(_START_TIMEOUT_S)
        self._log.close()


def free_port() -> int:
    """Return a TCP port that is not in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def measure(path: Path, *, stop_signal: signal.Signals) -> tuple[float, float]:
    """Start the server, stop it, and return the seconds until it was ready and its MiB of memory then."""
    server = RouterProcess(path, free_port())
    try:
        return server.ready_s(), server.rss_mib()
    finally:
        server.stop(stop_signal)


def run(options: argparse.Namespace) -> Result:
    """Write the journal and measure both starts."""
    divisor = 10 if options.quick else 1
    lifecycles = options.lifecycles or LIFECYCLES // divisor
    open_contacts = options.open or OPEN // divisor
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        path = Path(directory) / "journal.db"
        details = asyncio.run(build(path, lifecycles=lifecycles, open_contacts=open_contacts))
        journal_mib = path.stat().st_size / 2**20
        gc.collect()
        killed_s, rss_mib = measure(path, stop_signal=signal.SIGTERM)
        stopped_s, _ = measure(path, stop_signal=signal.SIGKILL)
    size = f"{lifecycles:,} lifecycles, {open_contacts:,} open contacts"
    return Result(
        name="bench_restart",
        what=f"From the start of the process to /readyz, on a journal of {size}.",
        figures=[
            Figure(
                id="after_kill_s",
                title=f"after a kill, {details['events_since_snapshot']:,} events since the snapshot, {size}",
                value=killed_s,
                unit="s",
                better="lower",
                target=TARGET_S,
            ),
            Figure(
                id="after_stop_s",
                title=f"after an orderly stop, {size}",
                value=stopped_s,
                unit="s",
                better="lower",
                target=TARGET_S,
            ),
            Figure(id="rss_mib", title=f"memory when ready, {size}", value=rss_mib, unit="MiB"),
            Figure(id="journal_mib", title=f"journal on the disk, {size}", value=journal_mib, unit="MiB"),
        ],
        details=msgspec.to_builtins(details),
    )


def main() -> None:
    """Parse the options, pin this process to its CPU, measure, print."""
    arguments = parser(__doc__)
    arguments.add_argument("--lifecycles", type=int, default=0)
    arguments.add_argument("--open", type=int, default=0, help="number of waiting contacts")
    arguments.add_argument("--directory", type=Path, help="directory on the disk to measure")
    options = arguments.parse_args()
    os.sched_setaffinity(0, {LOAD_CPU % (os.cpu_count() or 1)})
    finish(run(options), options)


if __name__ == "__main__":
    main()
