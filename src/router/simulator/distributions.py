"""Seeded random generators and the distributions of handle times and patience.

Every source of randomness has a generator of its own, seeded from the master seed, the replication and a name (common random
numbers). A change in one part of a workload, such as an added stream, therefore leaves all other draws unchanged, and two policies
are compared on exactly the same customers.

Times are drawn as floating-point seconds and converted to milliseconds once, by rounding half to even. The error is at most half a
millisecond with mean zero, and it does not accumulate, because arrival times are summed before they are rounded.
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
    """Return the 64-bit seed of a named source of randomness in one replication."""
    text = f"{master_seed}/{replication}/{name}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def random_generator(master_seed: int, replication: int, name: str) -> Random:
    """Return the generator of a named source of randomness."""
    return Random(derived_seed(master_seed, replication, name))


def to_ms(seconds: float) -> int:
    """Convert seconds to whole milliseconds, rounding half to even."""
    return round(seconds * 1000)


class _Distribution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="dist"):
    """Distribution of durations in seconds, identified by the tag ``dist``."""


class Constant(_Distribution, frozen=True, kw_only=True, tag="constant"):
    """Constant duration."""

    value_s: NonNegative

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.value_s

    def draw(self, rng: Random) -> float:
        """Return the duration in seconds without using the generator."""
        return self.value_s


class Exponential(_Distribution, frozen=True, kw_only=True, tag="exponential"):
    """Exponential distribution, the usual model of handle times and patience in queueing theory."""

    mean_s: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """Draw a duration in seconds."""
        return rng.expovariate(1.0 / self.mean_s)


class Lognormal(_Distribution, frozen=True, kw_only=True, tag="lognormal"):
    """Lognormal distribution, which fits handle times of real contact centres. ``cv``: standard deviation over mean."""

    mean_s: Positive
    cv: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """Draw a duration in seconds."""
        variance = log(1.0 + self.cv**2)
        return rng.lognormvariate(log(self.mean_s) - variance / 2, sqrt(variance))


class Gamma(_Distribution, frozen=True, kw_only=True, tag="gamma"):
    """Gamma distribution; shape 1 is the exponential, larger shapes have less variance."""

    mean_s: Positive
    shape: Positive

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        return self.mean_s

    def draw(self, rng: Random) -> float:
        """Draw a duration in seconds."""
        return rng.gammavariate(self.shape, self.mean_s / self.shape)


class Empirical(_Distribution, frozen=True, kw_only=True, tag="empirical"):
    """Empirical distribution: one of the values, with probability proportional to its weight (default: equal)."""

    values_s: Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
    weights: tuple[NonNegative, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.values_s):
            raise ValueError("weights and values_s must have the same length")
        if self.weights and sum(self.weights) <= 0:
            raise ValueError("weights must not all be zero")

    @property
    def mean(self) -> float:
        """The mean in seconds."""
        weights = self.weights or (1.0,) * len(self.values_s)
        return sum(v * w for v, w in zip(self.values_s, weights, strict=True)) / sum(weights)

    def draw(self, rng: Random) -> float:
        """Draw a duration in seconds."""
        if not self.weights:
            return self.values_s[int(rng.random() * len(self.values_s))]
        steps = list(accumulate(self.weights))
        return self.values_s[min(bisect(steps, rng.random() * steps[-1]), len(steps) - 1)]


Distribution: TypeAlias = Constant | Exponential | Lognormal | Gamma | Empirical
