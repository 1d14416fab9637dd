"""The header of a result: the machine, its disk and its speed at that time, the commit, Python and the relevant libraries."""

import os
import platform
import sqlite3
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, Literal

from benchmarks.figures import Header

_HERE: Final = Path(__file__).parent
LIBRARIES: Final = ("contact-router", "aiohttp", "uvloop", "msgspec", "sortedcontainers", "crc32c", "cel-expr-python")
"""The libraries that process a contact."""
_SYNC_COUNT: Final = 300
_RUNS: Final = 9


def header(form: Literal["short", "full"]) -> Header:
    """Return the header for this machine and commit; takes a second or two."""
    load_before = round(os.getloadavg()[0], 2)
    scratch = Path(tempfile.gettempdir())
    p50_ms, p99_ms = fsync_ms(scratch)
    return Header(
        commit=commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={**{name: _version(name) for name in LIBRARIES}, "sqlite": sqlite3.sqlite_version},
        disk=f"{file_system(scratch)} at {scratch}",
        fsync_p50_ms=p50_ms,
        fsync_p99_ms=p99_ms,
        cpu_baseline_ms=cpu_baseline_ms(),
        load_before=load_before,
        form=form,
    )


def commit() -> str:
    """Return the commit, with a star if there are uncommitted changes outside the results."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        paths = ("--", ":/", ":(exclude,top)benchmarks/results")
        return head + ("*" if _git("status", "--porcelain", "--untracked-files=no", *paths) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), cwd=_HERE, capture_output=True, text=True, check=True).stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def cpu_model() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(directory: Path) -> str:
    """Return the type of the file system that contains this directory."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    absolute = directory.resolve()
    found = [(len(at), kind) for _, at, kind, *_ in mounts if absolute.is_relative_to(at)]
    return max(found)[1] if found else "unknown"


def fsync_ms(directory: Path) -> tuple[float, float]:
    """Return the median and the 99th percentile of a 4 KiB append + ``fdatasync``."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        page = bytes(4096)
        for _ in range(_SYNC_COUNT):
            started = perf_counter()
            os.write(file.fileno(), page)
            os.fdatasync(file.fileno())
            times.append((perf_counter() - started) * 1000)
    times.sort()
    return round(times[_SYNC_COUNT // 2], 3), round(times[_SYNC_COUNT * 99 // 100], 3)


def cpu_baseline_ms() -> float:
    """Return the CPU time of a fixed Python loop, the best of nine runs: the current speed of the machine."""
    best = float("inf")
    for _ in range(_RUNS):
        started = process_time()
        seen: dict[str, int] = {}
        for number in range(50_000):
            key = f"k{number % 997}"
            seen[key] = seen.get(key, 0) + number
        best = min(best, process_time() - started)
    return round(best * 1000, 2)
