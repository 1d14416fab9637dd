"""Execution of a load test: the scaled clock of the day, the group of running tasks, and the error that ends a run.

Two clocks are involved: the event loop of this process, by which customers and agents act, and the router's clock, which stamps
events. They are synchronized once, at the start of the day. Times of the day are milliseconds of the day, as in the simulator.
"""

import asyncio


class DayClock:
    """Clock of the simulated day, running at ``speed`` times real time from the call of ``start``."""

    def __init__(self, *, start_ms: int, speed: float) -> None:
        self.start_ms = start_ms
        self.speed = speed
        self._began_s: float | None = None
        self._router_began_ms = 0

    def start(self, *, router_now_ms: int) -> None:
        """Start the day now; ``router_now_ms`` is the present time of the router's clock (Unix milliseconds)."""
        self._began_s = asyncio.get_running_loop().time()
        self._router_began_ms = router_now_ms

    @property
    def has_started(self) -> bool:
        """Whether the day has started."""
        return self._began_s is not None

    @property
    def passed_s(self) -> float:
        """Wall-clock seconds since the start of the day; 0 before it."""
        if self._began_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._began_s

    @property
    def now_ms(self) -> int:
        """Present time of the day in milliseconds."""
        return self.start_ms + round(self.passed_s * 1000 * self.speed)

    def of_event_ms(self, at_ms: int) -> int:
        """Convert the router's timestamp of an event to a time of the day."""
        return self.start_ms + round((at_ms - self._router_began_ms) * self.speed)

    def wall_s(self, duration_ms: float) -> float:
        """Convert a duration of the day (milliseconds) to wall-clock seconds."""
        return duration_ms / 1000 / self.speed

    def late_s(self, at_ms: int) -> float:
        """Return the wall-clock seconds since a time of the day; negative if it is in the future."""
        return self.passed_s - self.wall_s(at_ms - self.start_ms)

    async def until(self, at_ms: int) -> None:
        """Sleep until a time of the day; return at once if it has passed."""
        early_s = -self.late_s(at_ms)
        if early_s > 0:
            await asyncio.sleep(early_s)

    async def pause(self, duration_ms: float) -> None:
        """Sleep for a duration of the day (milliseconds)."""
        await asyncio.sleep(self.wall_s(duration_ms))
