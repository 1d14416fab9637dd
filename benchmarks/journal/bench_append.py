"""Rate and acknowledgement time of the journal, compared with a plain file on the same disk.

Every batch size runs twice in the same process on the same file system: the **baseline** appends the same bytes to a plain file
and calls ``fdatasync``; the **journal** appends the same records through ``SqliteJournal``, as the writer does, one batch
at a time. The acknowledgement time lasts from the call of ``append`` until it returns, with the batch durable.

    python benchmarks/journal/bench_append.py [--quick] [--json FILE] [--seconds 2] [--directory DIR]
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import uvloop
from msgspec import Struct

from router.journal.records import Record, encode_body, encode_envelope
from router.journal.sqlite.journal import SqliteJournal
from router.model.events import ContactQueued, OfferMade

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 20
BATCHES = (1, 10, 100, 256)
# The first commits fill caches and prepare statements.
WARM_UP_COMMITS = 20

Milliseconds: TypeAlias = Annotated[float, "ms"]


class BatchTimes(Struct, kw_only=True):
    """The measured times of one batch size, for the journal or the baseline."""

    kind: str
    batch: int
    records_per_second: int
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    max_ms: Milliseconds
    bytes_per_record: int


def new_record(first_seq: int) -> Record:
    """Return the record of a submit that is offered at once: the contact and the offer."""
    contact_id = f"01J{first_seq:023d}"
    queued = ContactQueued(
        contact_id=contact_id,
        channel="voice",
        queue_id="support",
        requirement="voice|support|english:5",
        policy_version=3,
        skills={"english": 5},
        attributes={"vip": True, "tier": 2},
        gateway_id="web",
        dedupe_key=first_seq.to_bytes(16),
        fingerprint=first_seq.to_bytes(16),
    )
    offer = OfferMade(
        offer_id=f"{contact_id}.1",
        contact_id=contact_id,
        agent_id="agent-0042",
        channel="voice",
        queue_id="support",
        units=100,
        deadline_ms=1_767_603_615_000,
        requirement=queued.requirement,
        effective_priority_s=0,
        policy_version=3,
        reason="longest_idle",
    )
    return Record(
        epoch=1,
        first_seq=first_seq,
        at_ms=1_767_603_600_000 + first_seq,
        actor="gateway:web",
        cause="contact.enqueue",
        events=(queued, offer),
    )


def batch_times(kind: str, batch: int, times_s: list[float], record_bytes: int) -> BatchTimes:
    """Return the rate and the quantiles of one run without its warm-up."""
    measured = times_s[WARM_UP_COMMITS:]
    ordered = sorted(measured)

    def quantile_ms(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)

    return BatchTimes(
        kind=kind,
        batch=batch,
        records_per_second=round(batch * len(measured) / sum(measured)),
        p50_ms=quantile_ms(0.5),
        p99_ms=quantile_ms(0.99),
        max_ms=quantile_ms(1.0),
        bytes_per_record=record_bytes,
    )


def baseline(directory: Path, batch: int, seconds: float) -> BatchTimes:
    """Append the same bytes to a plain file, one ``write`` and one ``fdatasync`` per batch."""
    record = new_record(1)
    data = encode_envelope(seq=1, at_ms=1, count=2, previous=bytes(16), body=encode_body(record))
    times: list[float] = []
    descriptor = os.open(directory / f"baseline-{batch}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        ends_s = time.perf_counter() + seconds
        while time.perf_counter() < ends_s or len(times) <= WARM_UP_COMMITS:
            started = time.perf_counter()
            os.write(descriptor, data * batch)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
    return batch_times("baseline", batch, times, len(data))


async def journal(directory: Path, batch: int, seconds: float) -> BatchTimes:
    """Append batches through the journal, with its maintenance running as under the writer."""
    sqlite = SqliteJournal(directory / f"journal-{batch}.db", reserved_bytes=0)
    await sqlite.open()
    await sqlite.create_workspace("main")
    maintenance = asyncio.create_task(sqlite.run_maintenance())
    record = new_record(1)
    size = len(encode_envelope(seq=1, at_ms=1, count=2, previous=bytes(16), body=encode_body(record)))
    times: list[float] = []
    next_seq = 1
    ends_s = time.perf_counter() + seconds
    while time.perf_counter() < ends_s or len(times) <= WARM_UP_COMMITS:
        records = [("main", new_record(next_seq + 2 * n)) for n in range(batch)]
        next_seq += 2 * batch
        started = time.perf_counter()
        await sqlite.append(records)
        times.append(time.perf_counter() - started)
    await sqlite.close()
    await maintenance
    return batch_times("journal", batch, times, size)


async def measure(directory: Path, seconds: float) -> list[BatchTimes]:
    """Measure all batch sizes, the baseline and the journal in turns."""
    rows = []
    for batch in BATCHES:
        rows.append(await asyncio.to_thread(baseline, directory, batch, seconds))
        rows.append(await journal(directory, batch, seconds))
    return rows


def result(rows: list[BatchTimes]) -> Result:
    """Return the figures of the journal, each with the baseline of the same batch size."""
    baselines = {row.batch: row for row in rows if row.kind == "baseline"}
    figures = []
    for row in rows:
        if row.kind == "baseline":
            continue
        bare = baselines[row.batch]
        figures.append(
            Figure(
                id=f"records_per_s.{row.batch}",
                title=f"Records a second, {row.batch} a commit",
                value=row.records_per_second,
                unit="/s",
                better="higher",
                baseline=bare.records_per_second,
            )
        )
        for share, value, bare_value in (("p50", row.p50_ms, bare.p50_ms), ("p99", row.p99_ms, bare.p99_ms)):
            figures.append(
                Figure(
                    id=f"acknowledged_{share}_ms.{row.batch}",
                    title=f"Until on disk, {share}, {row.batch} a commit",
                    value=value,
                    unit="ms",
                    better="lower",
                    baseline=bare_value,
                )
            )
    return Result(
        name="bench_append",
        what="Records through SqliteJournal (WAL, synchronous=FULL), one batch at a time as the writer does, until durable. "
        "Baseline: the same bytes appended to a plain file with fdatasync.",
        figures=figures,
        details={"rows": msgspec.to_builtins(rows)},
    )


def main() -> None:
    """Measure records per second and acknowledgement times by batch size."""
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=2.0, help="duration of each of the eight runs")
    arguments.add_argument("--directory", type=Path, help="directory on the disk to measure")
    options = arguments.parse_args()
    seconds = min(options.seconds, 1.0) if options.quick else options.seconds
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        rows = uvloop.run(measure(Path(scratch), seconds))
    finish(result(rows), options)


if __name__ == "__main__":
    main()
