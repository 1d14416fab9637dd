"""Crash points: named places in the commit path where a test can kill the process with SIGKILL.

``CRASH_AT=after_commit`` kills the process the first time it reaches that point, ``CRASH_AT=after_commit:7`` the seventh time.
The environment variable is read once, when a module requests its crash points. Where it is not set a crash point is ``None``,
which costs one comparison at the call site.
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from router.model.errors import SettingsInvalid

# In the order in which a batch reaches them.
CRASH_POINTS: Final = (
    "before_decide",
    "after_decide",
    "before_commit",
    "inside_commit",
    "after_commit",
    "before_reply",
    "after_reply",
)

CrashPoint: TypeAlias = Callable[[], None] | None


def crash_point(name: str, environ: Mapping[str, str] = os.environ) -> CrashPoint:
    """Return the function to call at a crash point, or None where no crash is configured there.

    Raises SettingsInvalid where CRASH_AT names an unknown point.
    """
    assert name in CRASH_POINTS
    place, _, passes = environ.get("CRASH_AT", "").partition(":")
    if place and place not in CRASH_POINTS:
        raise SettingsInvalid(f"CRASH_AT: unknown crash point; use one of {', '.join(CRASH_POINTS)}")
    if passes and not (passes.isascii() and passes.isdigit() and int(passes) >= 1):
        raise SettingsInvalid("CRASH_AT: the number of passes must be 1 or more")
    return _kill_after(int(passes or 1)) if place == name else None


def _kill_after(passes: int) -> Callable[[], None]:
    left = passes

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count_down
