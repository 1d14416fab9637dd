"""The clock of the writer: wall-clock milliseconds that never fall and never leap.

Deadlines must not depend on what an administrator or NTP does to the wall clock, yet the times in the journal must mean
something to people. So the clock runs on the machine's boot-time clock (which counts a suspended machine's sleep, for the
customers have waited), starts at the wall clock, and drifts towards it by at most ``SLEW_PER_S`` when the two differ.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

# Half a per cent: a 15 s offer is never wrong by more than 75 ms, and a wall clock set by a minute is caught up with in 3.3 hours.
SLEW_PER_S: Final = 0.005
# Nobody sets a clock by less on purpose; below it, millisecond rounding would make the clock hunt.
_TOLERANCE_MS: Final = 2.0


class Clock(Protocol):
    """What the writer asks of a clock."""

    def now_ms(self) -> int:
        """Epoch milliseconds; never less than before."""
        ...

    def raise_floor(self, at_ms: int) -> None:
        """From now on the clock reads at least this, and runs on from there."""
        ...

    def delay_s(self, at_ms: int) -> float:
        """Seconds until it reads ``at_ms``; 0 where it does already."""
        ...


class SystemClock:
    """The machine's clock."""

    def __init__(
        self,
        *,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] | None = None,
    ) -> None:
        """``wall_s`` may jump either way, ``steady_s`` only runs. Both for tests."""
        self._wall_s = wall_s
        self._steady_s = steady_s if steady_s is not None else _steady_s
        self._seen_s = self._steady_s()
        self._exact_ms = self._wall_s() * 1000
        self._now_ms = int(self._exact_ms)

    def now_ms(self) -> int:
        """Epoch milliseconds; never less than before."""
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
        """From now on the clock reads at least this, and runs on from there (not: stands still until the wall clock is there)."""
        if self.now_ms() < at_ms:
            self._exact_ms = float(at_ms)
            self._now_ms = at_ms

    def delay_s(self, at_ms: int) -> float:
        """Seconds until it reads ``at_ms``; 0 where it does already."""
        return max(0.0, (at_ms - self.now_ms()) / 1000)


def _steady_s() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
