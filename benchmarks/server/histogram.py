"""Latencies in fixed log-linear buckets, as HdrHistogram keeps them: no sample is dropped, none takes memory of its own.

Each power of two is cut into 128 equal buckets, so a quantile is at most 0.8 % above the true one; a count is one list access.
"""

from collections.abc import Iterator
from typing import Final

_SUB_BITS: Final = 7
_SUB: Final = 1 << _SUB_BITS


class Histogram:
    """Counts of non-negative integers (here: nanoseconds)."""

    def __init__(self) -> None:
        self._counts: list[int] = [0] * (_SUB * 48)
        self.count = 0
        self.max = 0
        self.sum = 0

    def add(self, value: int) -> None:
        """Count one. A negative one counts as 0."""
        if value < 0:
            value = 0
        shift = max(0, value.bit_length() - _SUB_BITS - 1)
        self._counts[(shift << _SUB_BITS) + (value >> shift)] += 1
        self.count += 1
        self.sum += value
        if value > self.max:
            self.max = value

    def __add__(self, other: "Histogram") -> "Histogram":
        """Both together."""
        both = Histogram()
        both._counts = [
            mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)
        ]
        both.count, both.sum = self.count + other.count, self.sum + other.sum
        both.max = max(self.max, other.max)
        return both

    def quantile(self, share: float) -> int:
        """The upper end of the bucket in which that share of all values is reached; 0 where there is none."""
        wanted = max(1, -(-self.count * share // 1))
        for upper, seen in self._cumulated():
            if seen >= wanted:
                return min(upper, self.max)
        return self.max

    def points(self) -> Iterator[tuple[float, int]]:
        """The curve: for each bucket in use, the share of values up to its end, and that end."""
        for upper, seen in self._cumulated():
            yield seen / self.count, min(upper, self.max)

    @property
    def mean(self) -> float:
        """The mean; 0 where there is none."""
        return self.sum / self.count if self.count else 0.0

    def _cumulated(self) -> Iterator[tuple[int, int]]:
        seen = 0
        for index, count in enumerate(self._counts):
            if count:
                seen += count
                yield _upper_end(index), seen


def _upper_end(index: int) -> int:
    shift = max(0, (index >> _SUB_BITS) - 1)
    return ((index - (shift << _SUB_BITS) + 1) << shift) - 1
