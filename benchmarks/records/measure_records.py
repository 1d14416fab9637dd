"""Records of contacts: bytes of one, processor time to write one with its parts, and times of searches in a large file.

Each contact has two offers and three attributes; ``--days`` days of ``--per-day`` contacts are written through the store, 2,000
in a transaction. ``before packing`` is the JSON document that a request gets, ``packed`` what is stored; ``on disk`` is the whole
file with its index, by record. The size of 400 days is computed from it. Times are CPU time of the process, those of searches
elapsed time.

    python benchmarks/records/measure_records.py [--days N --per-day N]
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import quantiles
from time import perf_counter, process_time

import msgspec

from router.records.builder import ChangedRecord, RecordChanges
from router.records.reading import RecordCodec, RecordSearch
from router.records.record import ContactRecord, QueueStay, RecordedOffer, RecordedWait, RecordedWork, indexed_values, term
from router.records.sqlite import SqliteRecordStore

DAY_MS = 86_400_000
START_MS = 1_780_272_000_000
WORKSPACE = "default"
BATCH = 2_000
SEARCHES = 300


def a_record(number: int, at_ms: int, random: Random) -> ContactRecord:
    """Return the record of an answered contact that was offered twice."""
    contact_id = f"{random.getrandbits(128):032x}"
    agent_id, queue_id = f"agent-{random.randrange(300)}", f"queue-{random.randrange(30)}"
    wait_ms, talk_ms = random.randrange(60_000), random.randrange(30_000, 600_000)
    answered_ms = at_ms + wait_ms
    ended_ms = answered_ms + talk_ms
    offers = [
        RecordedOffer(
            f"{contact_id}.1", f"agent-{random.randrange(300)}", queue_id, at_ms, outcome="expired", answered_at_ms=at_ms
        ),
        RecordedOffer(f"{contact_id}.2", agent_id, queue_id, at_ms, outcome="accepted", answered_at_ms=answered_ms),
    ]
    work = RecordedWork(f"{contact_id}.2", agent_id, "owner", queue_id, "voice", answered_ms, ended_ms + 10_000, talk_ms)
    work.wrap_up_ms, work.disposition = 10_000, f"code-{random.randrange(12)}"
    record = ContactRecord(
        contact_id=contact_id,
        state="ended",
        reason="finished",
        ended_by="agent",
        channel="voice",
        queue_id=queue_id,
        gateway_id="pbx",
        submitted_at_ms=at_ms,
        ended_at_ms=ended_ms,
        answered_at_ms=answered_ms,
        completed_at_ms=ended_ms + 10_000,
        first_channel="voice",
        attributes={
            "language": random.choice(("de", "en")),
            "tier": random.choice(("gold", "basic")),
            "returning": bool(number % 2),
        },
        queues=[QueueStay(queue_id, at_ms, answered_ms, "answered")],
        waits=[RecordedWait(queue_id, "voice", wait_ms, "answered", wait_ms <= 20_000)],
        offers=offers,
        assignments=[work],
    )
    record.add_up()
    return record


def records(days: int, per_day: int) -> Iterator[list[ContactRecord]]:
    """Yield the records in the order of time, in batches."""
    random = Random(1)
    for first in range(0, days * per_day, BATCH):
        numbers = range(first, min(first + BATCH, days * per_day))
        yield [a_record(number, START_MS + number * DAY_MS // per_day, random) for number in numbers]


def per_record_us(count: int, began_s: float) -> float:
    return (process_time() - began_s) / count * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--days", type=int, default=20, help="days of contacts (20)")
    parser.add_argument("--per-day", type=int, default=10_000, help="contacts per day (10,000)")
    options = parser.parse_args()
    count = options.days * options.per_day
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        store = SqliteRecordStore(path)
        written_s = 0.0
        sample: list[ContactRecord] = []
        for batch in records(options.days, options.per_day):
            sample = batch
            began_s = process_time()
            store.write(WORKSPACE, RecordChanges(records=[ChangedRecord(one, None, is_new=True) for one in batch]))
            written_s += process_time() - began_s
        print(f"records                     {count:,}")
        print(f"write, CPU                  {written_s / count * 1e6:.0f} µs a record")
        codec = RecordCodec()
        began_s = process_time()
        packed = sum(len(codec.pack(one)) for one in sample)
        print(f"  of these packing          {per_record_us(len(sample), began_s):.0f} µs")
        began_s = process_time()
        terms = sum(len([term(kind, WORKSPACE, *value) for kind, *value in indexed_values(one)]) for one in sample)
        print(f"  and {terms / len(sample):.0f} terms of the index  {per_record_us(len(sample), began_s):.0f} µs")
        print(f"before packing              {sum(len(msgspec.json.encode(one)) for one in sample) / len(sample):,.0f} bytes")
        print(f"packed                      {packed / len(sample):,.0f} bytes")
        size = sum(one.stat().st_size for one in Path(folder).iterdir() if one.name == "records.db")
        print(f"on disk                     {size / count:,.0f} bytes a record")
        print(f"400 days of 10,000          {size / count * 4_000_000 / 1e9:.1f} GB (computed)")
        reader, random = store.reader(), Random(2)
        times_ms = []
        for _ in range(SEARCHES):
            groups = tuple((term(kind, WORKSPACE, name),) for kind, name in _asked(random))
            search = RecordSearch(groups=groups, from_ms=START_MS, to_ms=START_MS + 1_000 * DAY_MS)
            began_s = perf_counter()
            reader.find(WORKSPACE, search)
            times_ms.append((perf_counter() - began_s) * 1e3)
        cuts = quantiles(times_ms, n=100)
        print(f"search by agent and queue   p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms (100 records a page)")
        reader.close()
        store.close()
    return 0


def _asked(random: Random) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("agent", f"agent-{random.randrange(300)}"), ("queue", f"queue-{random.randrange(30)}")


if __name__ == "__main__":
    sys.exit(main())
