"""The day's own clock, laid over the wall clock: when something is due here, and what time of the day an event was.

Two clocks meet: this process's loop, by which customers and agents act, and the router's, which stamps events. They are tied
together once, at the beginning of the day. Moments of the day are milliseconds of the day, as everywhere in the simulator.
"""

import asyncio


class DayClock:
    """``speed`` times real time. Asking it before ``start`` is an error of the program."""

    def __init__(self, *, start_ms: int, speed: float) -> None:
        self.start_ms = start_ms
        self.speed = speed
        self._began_s: float | None = None
        self._router_began_ms = 0

    def start(self, *, router_now_ms: int) -> None:
        """The day begins now, and this is what the router's clock says now."""
        self._began_s = asyncio.get_running_loop().time()
        self._router_began_ms = router_now_ms

    @property
    def has_started(self) -> bool:
        """True once the day runs."""
        return self._began_s is not None

    @property
    def passed_s(self) -> float:
        """Wall-clock seconds since the day began; 0 before."""
        if self._began_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._began_s

    @property
    def now_ms(self) -> int:
        """The time of the day."""
        return self.start_ms + round(self.passed_s * 1000 * self.speed)

    def of_event_ms(self, at_ms: int) -> int:
        """The time of the day at which the router did something, by its own stamp."""
        return self.start_ms + round((at_ms - self._router_began_ms) * self.speed)

    def wall_s(self, duration_ms: float) -> float:
        """How long something that took so long that day takes here."""
        return duration_ms / 1000 / self.speed

    def late_s(self, at_ms: int) -> float:
        """By how much a moment of the day is past, in wall-clock seconds; negative: still to come."""
        return self.passed_s - self.wall_s(at_ms - self.start_ms)

    async def until(self, at_ms: int) -> None:
        """Wait for a moment of the day; returns at once where it is past."""
        early_s = -self.late_s(at_ms)
        if early_s > 0:
            await asyncio.sleep(early_s)

    async def pause(self, duration_ms: float) -> None:
        """Let so much of the day pass."""
        await asyncio.sleep(self.wall_s(duration_ms))
