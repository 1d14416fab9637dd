"""Memory of the test processes.

A process that has run thousands of tests has millions of objects, and the garbage collector looks at all of them only when a
quarter as many are new. A few objects in reference cycles that hold the images of a disk would stay until then, and the process
would take several GB. So garbage is collected whenever a process has grown by ``GROWTH_BYTES_MAX``.
"""

import gc
import resource
from pathlib import Path
from typing import Final

GROWTH_BYTES_MAX: Final = 200 * 1024 * 1024


class ResidentMemory:
    """Resident memory of this process, and what it was after the last collection."""

    def __init__(self) -> None:
        self._collected = 0

    def limit_growth(self) -> None:
        """Collect garbage if the process has grown by more than the limit since the last collection."""
        if resident_bytes() - self._collected > GROWTH_BYTES_MAX:
            gc.collect()
            self._collected = resident_bytes()


def resident_bytes() -> int:
    """Return the resident memory of this process; where the system does not tell it, the greatest that it had."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(pages) * resource.getpagesize()


_memory: Final = ResidentMemory()


def pytest_runtest_logfinish(nodeid: str, location: tuple[str, int | None, str]) -> None:
    """Limit the memory after each test."""
    _memory.limit_growth()
