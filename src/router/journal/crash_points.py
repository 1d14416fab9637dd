"""Named places where a test may end the process as ``kill -9`` would.

``CRASH_AT=after_commit`` ends it at the first pass of that place, ``CRASH_AT=after_commit:7`` at the seventh. The variable
is read once, when a module asks for its points; where it is not set, a point is ``None`` and costs one comparison.
It decides nothing else: a point that does not kill does nothing.
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from router.model.errors import SettingsInvalid

# In the order in which a batch passes them.
POINTS: Final = (
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
    """What to call at that place; none where no crash was asked for there. Raises SettingsInvalid for an unknown place."""
    assert name in POINTS
    place, _, passes = environ.get("CRASH_AT", "").partition(":")
    if place and place not in POINTS:
        raise SettingsInvalid(f"CRASH_AT knows {', '.join(POINTS)}")
    if passes and not (passes.isascii() and passes.isdigit() and int(passes) >= 1):
        raise SettingsInvalid("CRASH_AT: the number of passes is 1 or more")
    return _killer(int(passes or 1)) if place == name else None


def _killer(passes: int) -> Callable[[], None]:
    left = passes

    def pass_by() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
