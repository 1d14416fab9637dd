"""The clock of the writer: epoch milliseconds that never go back and never jump.

Deadlines must not depend on adjustments of the wall clock by NTP or an administrator, while the times in the journal must be
readable as wall-clock times. The clock therefore starts at the wall clock, advances with the boot-time clock of the machine
(which includes the time that the machine was suspended, because customers waited during it), and is slewed towards the wall
clock by at most ``SLEW_PER_S`` when the two differ.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

# Half a per cent: a 15 s offer is off by at most 75 ms, and a wall-clock change of one minute is absorbed in 3.3 hours.
SLEW_PER_S: Final = 0.005
# Differences below this are rounding; correcting them would make the clock oscillate.
_TOLERANCE_MS: Final = 2.0


class Clock(Protocol):
    """The clock used by the writer."""

    def now_ms(self) -> int:
        """Return epoch milliseconds, never less than before."""
        ...

    def raise_floor(self, at_ms: int) -> None:
        """Make the clock read at least ``at_ms`` and advance from there."""
        ...

    def delay_s(self, at_ms: int) -> float:
        """Return the seconds until the clock reads ``at_ms``, 0 where it already does."""
        ...


class SystemClock:
    """The clock of the machine."""

    def __init__(
        self,
        *,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] | None = None,
    ) -> None:
        """``wall_s`` can jump in both directions, ``steady_s`` only advances. Both are replaced in tests."""
        self._wall_s = wall_s
        self._steady_s = steady_s if steady_s is not None else _steady_s
        self._seen_s = self._steady_s()
        self._exact_ms = self._wall_s() * 1000
        self._now_ms = int(self._exact_ms)

    def now_ms(self) -> int:
        """Return epoch milliseconds, never less than before."""
        steady_s = self._steady_s()
        passed_s = steady_s - self._seen_s
        if passed_s > 0:
            self._seen_s = steady_s
            self._exact_ms += passed_s * 1000
            behind_ms = self._wall_s() * 1000 - self._exact_ms
            if abs(behind_ms) > _TOLERANCE_MS:
                slew_ms = passed_s * 1000 * SLEW_PER_S
                self._exact_ms += max(-slew_ms, min(slew_ms, behind_ms))
            self._now_ms = max(self._now_ms, int(self._exact_ms))
        return self._now_ms

    def raise_floor(self, at_ms: int) -> None:
        """Make the clock read at least ``at_ms`` and advance from there, rather than wait for the wall clock."""
        if self.now_ms() < at_ms:
            self._exact_ms = float(at_ms)
            self._now_ms = at_ms

    def delay_s(self, at_ms: int) -> float:
        """Return the seconds until the clock reads ``at_ms``, 0 where it already does."""
        return max(0.0, (at_ms - self.now_ms()) / 1000)


def _steady_s() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
