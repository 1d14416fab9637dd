"""Chance with a seed: every source of randomness has a generator of its own, derived from one master seed.

So a change in one part of a workload (one more stream, another patience) leaves the draws of all the others alone, and two
policies can be compared on exactly the same customers. Times are drawn as floating-point seconds; a moment or a duration
becomes milliseconds once, at the end, by rounding to the nearest (halves to even): the error is below half a millisecond and
has mean zero, and as arrival times are summed before they are rounded, it does not add up.
"""

from bisect import bisect
from hashlib import blake2b
from itertools import accumulate
from math import log, sqrt
from random import Random
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

Positive: TypeAlias = Annotated[float, Meta(gt=0)]
NonNegative: TypeAlias = Annotated[float, Meta(ge=0)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


def derived_seed(master_seed: int, replication: int, name: str) -> int:
    """A 64-bit seed for one named source of chance in one replication."""
    text = f"{master_seed}/{replication}/{name}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(master_seed: int, replication: int, name: str) -> Random:
    """The generator of one named source of chance."""
    return Random(derived_seed(master_seed, replication, name))


def to_ms(seconds: float) -> int:
    """Seconds to whole milliseconds, without bias."""
    return round(seconds * 1000)


class _Distribution(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="dist"
):
    """A distribution of durations in seconds; ``dist`` names it."""


class Constant(_Distribution, frozen=True, kw_only=True, tag="constant"):
    """Always the same."""

    value_s: NonNegative

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.value_s

    def draw(self, rng: Random) -> float:
        """A duration in seconds; takes nothing from the generator."""
        return self.value_s


class Exponential(_Distribution, frozen=True, kw_only=True, tag="exponential"):
    """Memoryless; the textbook's handle time and patience."""

    mean_s: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """A duration in seconds."""
        return rng.expovariate(1.0 / self.mean_s)


class Lognormal(_Distribution, frozen=True, kw_only=True, tag="lognormal"):
    """What handle times of real centres look like. ``cv``: standard deviation over mean."""

    mean_s: Positive
    cv: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """A duration in seconds."""
        variance = log(1.0 + self.cv**2)
        return rng.lognormvariate(log(self.mean_s) - variance / 2, sqrt(variance))


class Gamma(_Distribution, frozen=True, kw_only=True, tag="gamma"):
    """Shape 1 is the exponential, larger shapes are narrower."""

    mean_s: Positive
    shape: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """A duration in seconds."""
        return rng.gammavariate(self.shape, self.mean_s / self.shape)


class Empirical(_Distribution, frozen=True, kw_only=True, tag="empirical"):
    """One of the values, each as likely as its weight says (without weights: equally likely)."""

    values_s: Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
    weights: tuple[NonNegative, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.values_s):
            raise ValueError("weights and values_s differ in length")
        if self.weights and sum(self.weights) <= 0:
            raise ValueError("the weights are all zero")

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        weights = self.weights or (1.0,) * len(self.values_s)
        return sum(v * w for v, w in zip(self.values_s, weights, strict=True)) / sum(weights)

    def draw(self, rng: Random) -> float:
        """A duration in seconds."""
        if not self.weights:
            return self.values_s[int(rng.random() * len(self.values_s))]
        steps = list(accumulate(self.weights))
        return self.values_s[min(bisect(steps, rng.random() * steps[-1]), len(steps) - 1)]


Distribution: TypeAlias = Constant | Exponential | Lognormal | Gamma | Empirical
