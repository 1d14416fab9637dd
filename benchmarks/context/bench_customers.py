"""Customer context: bytes per customer, rate of loading, look-up with decrypted journey, cold start, and steps per second.

Customers have three identities (app user, telephone, device), a profile and a journey of 20 steps. They are loaded as by an import,
in larger groups. A look-up goes from an identity to profile and journey, decrypted; customers are chosen at random. Steps are
appended in groups of 100, each one commit of both files. The baseline of a group is the same number of bytes written to a plain
file with fdatasync. Before the cold start the operating system is told to forget the files.

    python benchmarks/context/bench_customers.py [--quick] [--json FILE] [--customers N] [--directory DIR]

A million customers take 1.2 GB on the disk. Progress goes to standard error.
"""

import os
import random
import resource
import sys
import tempfile
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Final

from router.context.customers import ProfileChange
from router.context.identities import Assurance, NormalIdentity, Strength
from router.context.journey import Step
from router.context.keys import new_master_keys
from router.context.sqlite.store import SqliteContextStore

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import Figure, Result, finish, parser

QUICK_BUDGET_S = 35

NOW_MS: Final = 1_800_000_000_000
STEPS: Final = 20
GROUP: Final = 2_000
PROGRESS_S: Final = 10.0
STEP_GROUP: Final = 100
LOOK_UPS: Final = 5_000
BYTES_TARGET: Final = 1_200
_TYPES: Final = ("payment", "view", "search", "login", "message")
_RESULTS: Final = ("ok", "failed", None)


def identities(number: int) -> list[NormalIdentity]:
    """Return the identities of a customer in their normal form."""
    phone = f"+4915{number:09d}"
    return [
        NormalIdentity("app_user", Strength.STRONG, Assurance.VERIFIED, f"user-{number}", (f"user-{number}",)),
        NormalIdentity("phone", Strength.ADDRESS, Assurance.ASSERTED, phone, (phone,)),
        NormalIdentity("device", Strength.WEAK, Assurance.ASSERTED, f"device-{number}", (f"device-{number}",)),
    ]


def journey(number: int) -> list[Step]:
    """Return the steps of a customer, with text that no other customer has."""
    bits = random.Random(number).getrandbits(96 * STEPS)
    found = []
    for position in range(STEPS):
        drawn = bits >> 96 * position
        found.append(
            Step(
                NOW_MS - 3_600_000 * (STEPS - position),
                _TYPES[drawn % 5],
                f"item-{(drawn >> 8) % 500}",
                _RESULTS[(drawn >> 20) % 3],
                "app",
                {"amount_cents": (drawn >> 24) % 100_000, "text": f"{drawn >> 48 & 0xFFFF_FFFF_FFFF:x}"},
                id=f"{number}-{position}",
            )
        )
    return found


def load(store: SqliteContextStore, count: int) -> float:
    """Load customers; return how many a second. Making them up is not counted."""
    took, told = 0.0, perf_counter()
    change = ProfileChange(tier="gold", locale="de-DE", time_zone="Europe/Berlin")
    for first in range(0, count, GROUP):
        made = [(identities(number), journey(number)) for number in range(first, min(count, first + GROUP))]
        began = perf_counter()
        store.begin()
        for known, steps in made:
            found = store.put_customer("default", known, change, actor="import", now_ms=NOW_MS)
            assert found.customer_id is not None
            store.replace_steps("default", found.customer_id, steps)
        store.commit()
        store.take_changes()
        store.maintain(now_ms=NOW_MS)
        took += perf_counter() - began
        if perf_counter() - told > PROGRESS_S:
            told = perf_counter()
            print(f"{first + len(made):,} of {count:,} customers, {(first + len(made)) / took:,.0f}/s", file=sys.stderr, flush=True)
    return count / took


def forget_cached(directory: Path) -> None:
    """Let the operating system forget what it has in memory of the files."""
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def look_up(store: SqliteContextStore, count: int) -> list[float]:
    """Return the times of look-ups in microseconds."""
    pick, times = random.Random(1), []
    for _ in range(LOOK_UPS):
        [user, *_] = identities(pick.randrange(count))
        began = perf_counter()
        found = store.resolve("default", [user], at_ms=NOW_MS, create=False, now_ms=NOW_MS)
        assert found.customer_id is not None
        view = store.customer("default", found.customer_id)
        steps = store.steps("default", found.customer_id, limit=STEPS)
        times.append(1e6 * (perf_counter() - began))
        assert len(steps) == STEPS and view.tier == "gold"
    return times


def append(store: SqliteContextStore, count: int, seconds: float) -> tuple[float, float]:
    """Append steps in groups; return steps a second and bytes of the log per step."""
    pick, stored = random.Random(2), 0
    began = perf_counter()
    while perf_counter() - began < seconds:
        store.begin()
        for _ in range(STEP_GROUP):
            step = Step(NOW_MS, pick.choice(_TYPES), "invoice", "failed", "app", {"amount_cents": pick.randrange(100_000)})
            store.append_step("default", step, customer_id=None, identity=identities(pick.randrange(count))[0], now_ms=NOW_MS)
        store.commit()
        store.take_changes()
        stored += STEP_GROUP
    return stored / (perf_counter() - began), store.log_bytes() / stored


def bare_writes(directory: Path, seconds: float) -> float:
    """Return how many groups a second of the size of a group of steps a plain file takes, times the steps of a group."""
    content, groups = os.urandom(STEP_GROUP * 250), 0
    with (directory / "bare").open("wb", buffering=0) as file:
        began = perf_counter()
        while perf_counter() - began < seconds:
            file.write(content)
            os.fdatasync(file.fileno())
            groups += 1
        return groups * STEP_GROUP / (perf_counter() - began)


def measure(directory: Path, count: int, seconds: float) -> Result:
    """Load, open again, look up and append."""
    master = new_master_keys()
    store = SqliteContextStore(directory, master, now_ms=NOW_MS)
    rate = load(store, count)
    store.close()
    size = sum(path.stat().st_size for path in directory.iterdir())
    starts_s = []
    for is_cold in (True, False):
        if is_cold:
            forget_cached(directory)
        began = perf_counter()
        store = SqliteContextStore(directory, master, now_ms=NOW_MS)
        starts_s.append(perf_counter() - began)
        if is_cold:
            store.close()
    times = quantiles(look_up(store, count), n=100)
    steps_per_s, log_bytes = append(store, count, seconds)
    store.close()
    customers = f"{count:,} customers, {STEPS} steps each"
    bare = bare_writes(directory, seconds)
    figures = [
        Figure(
            id="bytes_per_customer",
            title=f"Bytes on disk per customer: {customers}",
            value=size / count,
            unit="B",
            better="lower",
            target=BYTES_TARGET,
        ),
        Figure(id="loaded_per_s", title=f"Customers loaded a second: {customers}", value=rate, unit="/s", better="higher"),
        Figure(id="look_up_p50_us", title=f"Look-up, p50: {customers}", value=times[49], unit="µs", better="lower"),
        Figure(id="look_up_p99_us", title=f"Look-up, p99: {customers}", value=times[98], unit="µs", better="lower"),
        Figure(
            id="cold_start_s", title=f"Opening the files, not in memory: {customers}", value=starts_s[0], unit="s", better="lower"
        ),
        Figure(id="start_s", title=f"Opening the files: {customers}", value=starts_s[1], unit="s", better="lower"),
        Figure(
            id="steps_per_s",
            title=f"Steps a second, {STEP_GROUP} a commit: {customers}",
            value=steps_per_s,
            unit="/s",
            better="higher",
            baseline=bare,
        ),
        Figure(id="log_bytes_per_step", title="Bytes of the logs per step", value=log_bytes, unit="B", better="lower"),
        Figure(
            id="memory_mib",
            title=f"Greatest memory of the process: {customers}",
            value=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            unit="MiB",
            better="lower",
        ),
    ]
    what = "The SQLite context store alone, on one thread: WAL, synchronous=FULL, AES-256-GCM with a key per customer."
    return Result(name="bench_customers", what=what, figures=figures)


def main() -> None:
    """Measure the context store with many customers."""
    arguments = parser(__doc__)
    arguments.add_argument("--customers", type=int, default=1_000_000, help="number of customers")
    arguments.add_argument("--directory", type=Path, help="directory on the disk to measure")
    options = arguments.parse_args()
    count, seconds = (min(options.customers, 20_000), 1.0) if options.quick else (options.customers, 10.0)
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        finish(measure(Path(scratch) / "context", count, seconds), options)


if __name__ == "__main__":
    main()
