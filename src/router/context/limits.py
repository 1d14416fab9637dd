"""Limits of the rate of steps: of one customer, and of one workspace.

A customer who sends more than others (a loop in an app) loses only their own steps. A workspace above its rate is refused as a
whole, with the time after which the same batch fits, so that a sender slows down instead of losing steps.
"""

from collections import OrderedDict
from typing import Final

CUSTOMERS_MAX: Final = 100_000
"""Customers whose rate is remembered; the one with the oldest step is forgotten, and starts with a full minute."""


class CustomerRates:
    """Steps of each customer: ``per_minute`` at once, refilled evenly over a minute. Confined to one thread."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute: Final = per_minute
        self._tokens: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def try_take(self, row: int, *, now_ms: int) -> bool:
        """Take one step of a customer; return False above the rate. O(1)."""
        tokens, at_ms = self._tokens.pop(row, (float(self.per_minute), now_ms))
        tokens = min(float(self.per_minute), tokens + max(0, now_ms - at_ms) * self.per_minute / 60_000)
        is_allowed = tokens >= 1
        self._tokens[row] = (tokens - is_allowed, now_ms)
        if len(self._tokens) > CUSTOMERS_MAX:
            self._tokens.popitem(last=False)
        return is_allowed


class StepBudget:
    """Steps of one workspace: ``burst`` at once, ``per_s`` on average. Confined to the event loop."""

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s: Final = per_s
        self.burst: Final = burst
        self._tokens = float(burst)
        self._at_s = 0.0

    def take(self, steps: int, *, now_s: float) -> float | None:
        """Take the steps of a batch; return None, or the seconds after which it fits. A batch is never larger than the burst."""
        self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if steps > self._tokens:
            return (steps - self._tokens) / self.per_s
        self._tokens -= steps
        return None
