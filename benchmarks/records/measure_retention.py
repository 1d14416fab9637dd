"""Records of contacts over 400 days: size of the file, start, searches, and what retention deletes.

``--days`` days of ``--per-day`` contacts are written through the store as in ``measure_records.py``. Then ``--more`` days follow,
and with each of them the oldest records are deleted as the router does every minute, in the same slices. ``start`` is the elapsed
time to open the file, with its pages in the cache of the machine; ``search`` is that of a page of 100 records of one agent and
queue.

    python benchmarks/records/measure_retention.py [--days N --per-day N --more N]
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path
from random import Random
from statistics import quantiles
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.records.measure_records import DAY_MS, START_MS, WORKSPACE, records
from router.records.builder import ChangedRecord, RecordChanges
from router.records.reading import RecordSearch
from router.records.record import term
from router.records.sqlite import SqliteRecordStore

SLICE = 200
SEARCHES = 300


def search_ms(store: SqliteRecordStore, from_ms: int, to_ms: int) -> str:
    """Return median and 99th percentile of searches for records of one agent and one queue."""
    reader, random = store.reader(), Random(2)
    times_ms: list[float] = []
    for _ in range(SEARCHES):
        agent, queue = f"agent-{random.randrange(300)}", f"queue-{random.randrange(30)}"
        groups = ((term("agent", WORKSPACE, agent),), (term("queue", WORKSPACE, queue),))
        began_s = perf_counter()
        reader.find(WORKSPACE, RecordSearch(groups=groups, from_ms=from_ms, to_ms=to_ms))
        times_ms.append((perf_counter() - began_s) * 1e3)
    reader.close()
    cuts = quantiles(times_ms, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=400, help="days of contacts (400)")
    parser.add_argument("--per-day", type=int, default=10_000, help="contacts a day (10,000)")
    parser.add_argument("--more", type=int, default=5, help="days after them, each of which deletes one (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        store = SqliteRecordStore(path)
        days, until_ms, written = options.days + options.more, START_MS + options.days * DAY_MS, 0
        began_s, longest_ms, deleted, trimmed_s = process_time(), 0.0, 0, 0.0
        is_full = False
        for batch in records(days, options.per_day):
            if batch[0].submitted_at_ms >= until_ms:
                if not is_full:
                    is_full = True
                    cpu_us = (process_time() - began_s) / written * 1e6
                    print(f"{written:,} records: {_mb(path)} MB, made and written in {cpu_us:.0f} µs of CPU each")
                    _report(store, path)
                while True:
                    slice_s = perf_counter()
                    oldest_ms = batch[0].submitted_at_ms - options.days * DAY_MS
                    count = store.trim(WORKSPACE, ended_before_ms=oldest_ms, count_max=1 << 40, slice_count=SLICE)
                    took_s = perf_counter() - slice_s
                    longest_ms, trimmed_s, deleted = max(longest_ms, took_s * 1e3), trimmed_s + took_s, deleted + count
                    if count < SLICE:
                        break
            store.write(WORKSPACE, RecordChanges(records=[ChangedRecord(one, None, is_new=True) for one in batch]))
            written += len(batch)
        store.close()
        each_us = trimmed_s / max(1, deleted) * 1e6
        print(f"{options.more} days later: {deleted:,} deleted, {each_us:.0f} µs each, {SLICE} in at most {longest_ms:.0f} ms")
        store = SqliteRecordStore(path)
        print(f"{store.count(WORKSPACE):,} records: {_mb(path)} MB")
        store.close()


def _report(store: SqliteRecordStore, path: Path) -> None:
    began_s = perf_counter()
    opened = SqliteRecordStore(path)
    print(f"start: {(perf_counter() - began_s) * 1e3:.0f} ms")
    opened.close()
    print(f"search in all days: {search_ms(store, START_MS, 1 << 60)}")
    print(f"search in one day: {search_ms(store, START_MS + 9 * DAY_MS, START_MS + 10 * DAY_MS)}")
    print(f"memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _mb(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.0f}"


if __name__ == "__main__":
    main()
