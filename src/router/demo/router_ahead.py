"""The router of the story's second part: ``router serve`` with a clock that is ahead of the machine's.

``python -m router.demo.router_ahead SECONDS SETTINGS`` builds the same process as ``router serve --config SETTINGS``; only the
clock of the writer, from which all times and deadlines are taken, reads SECONDS more. Tokens are still checked by the machine's
clock. ``router serve`` has no such option, and no setting shifts the clock: the journal would be ahead of the calendar for good.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from router.app.process import main_serve
from router.runtime.clock import SystemClock
from router.settings import load_settings


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped and return the exit code."""
    seconds, path = arguments
    ahead_s = int(seconds)
    return main_serve(load_settings(Path(path), environment={}), clock=SystemClock(wall_s=lambda: time.time() + ahead_s))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
