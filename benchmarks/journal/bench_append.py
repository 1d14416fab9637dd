"""How fast the journal acknowledges, beside what the disk itself allows.

Every batch size runs twice in the same process on the same file system: the **floor** appends the same bytes to a plain file
and calls ``fdatasync``; the **journal** appends the same records through ``SqliteJournal``, as the writer does, one batch
at a time. An acknowledgement is the time from handing the batch over to having it back, durable.

    python benchmarks/journal/bench_append.py [--seconds 2] [--directory DIR] [--json]
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, TypeAlias

import click
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from router.journal.codec import encode_body, seal
from router.journal.port import Record
from router.journal.sqlite import SqliteJournal
from router.model.events import ContactQueued, OfferMade

BATCHES = (1, 10, 100, 256)
# The first commits warm caches and prepared statements.
WARM_UP_COMMITS = 20

Milliseconds: TypeAlias = Annotated[float, "ms"]


class Figures(Struct, kw_only=True):
    """One row."""

    what: str
    batch: int
    records_per_second: int
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    max_ms: Milliseconds
    bytes_per_record: int


def a_record(first_seq: int) -> Record:
    """What one submit leaves when an agent is free: the contact and the offer."""
    contact_id = f"01J{first_seq:023d}"
    queued = ContactQueued(
        contact_id=contact_id,
        channel="voice",
        queue_id="support",
        req="voice|support|english:5",
        cfg=3,
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
        req=queued.req,
        prio=0,
        cfg=3,
        reason="longest_idle",
    )
    return Record(
        epoch=1,
        first_seq=first_seq,
        at_ms=1_767_603_600_000 + first_seq,
        actor="gateway:web",
        cause="contact.enqueue",
        events=[queued, offer],
    )


def figures(what: str, batch: int, times_s: list[float], record_bytes: int) -> Figures:
    """The figures of one run, without its warm-up."""
    kept = times_s[WARM_UP_COMMITS:]
    ordered = sorted(kept)

    def quantile_ms(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3)

    return Figures(
        what=what,
        batch=batch,
        records_per_second=round(batch * len(kept) / sum(kept)),
        p50_ms=quantile_ms(0.5),
        p99_ms=quantile_ms(0.99),
        max_ms=quantile_ms(1.0),
        bytes_per_record=record_bytes,
    )


def floor(directory: Path, batch: int, seconds: float) -> Figures:
    """The same bytes, one ``write`` and one ``fdatasync`` a batch."""
    record = a_record(1)
    data = seal(seq=1, at_ms=1, count=2, previous=bytes(16), body=encode_body(record))
    times: list[float] = []
    descriptor = os.open(directory / f"floor-{batch}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends or len(times) <= WARM_UP_COMMITS:
            started = time.perf_counter()
            os.write(descriptor, data * batch)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
    return figures("floor", batch, times, len(data))


async def journal(directory: Path, batch: int, seconds: float) -> Figures:
    """Batches through the journal, tended as under the writer."""
    keeper = SqliteJournal(directory / f"journal-{batch}.db", ballast_bytes=0)
    await keeper.open()
    await keeper.create_workspace("main")
    tending = asyncio.create_task(keeper.tend())
    record = a_record(1)
    size = len(seal(seq=1, at_ms=1, count=2, previous=bytes(16), body=encode_body(record)))
    times: list[float] = []
    next_seq = 1
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(times) <= WARM_UP_COMMITS:
        records = [("main", a_record(next_seq + 2 * n)) for n in range(batch)]
        next_seq += 2 * batch
        started = time.perf_counter()
        await keeper.append(records)
        times.append(time.perf_counter() - started)
    await keeper.close()
    await tending
    return figures("journal", batch, times, size)


async def measure(directory: Path, seconds: float) -> list[Figures]:
    """All batch sizes, floor and journal in turn."""
    rows = []
    for batch in BATCHES:
        rows.append(await asyncio.to_thread(floor, directory, batch, seconds))
        rows.append(await journal(directory, batch, seconds))
    return rows


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="How long each of the eight runs.")
@click.option("--directory", type=click.Path(path_type=Path), help="On the disk to measure.")
@click.option("--json", "as_json", is_flag=True, help="Figures for programs.")
def main(seconds: float, directory: Path | None, *, as_json: bool) -> None:
    """Records a second and time to acknowledgement, by batch size."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        rows = uvloop.run(measure(Path(scratch), seconds))
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    table = Table(title="Journal append")
    for column in ("batch", "what", "records/s", "p50 ms", "p99 ms", "max ms", "bytes/record"):
        table.add_column(column, justify="right")
    for row in rows:
        cells = (row.batch, row.what, f"{row.records_per_second:,}", row.p50_ms, row.p99_ms)
        table.add_row(*map(str, (*cells, row.max_ms, row.bytes_per_record)))
    Console().print(table)


if __name__ == "__main__":
    main()
