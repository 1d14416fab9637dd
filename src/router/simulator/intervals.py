"""95 % confidence intervals of ratio estimators, from replications or from the batches of one long run.

Every statistic is a ratio of two sums (waits over contacts, busy time over time on duty). The estimate is the ratio of the
totals. Its variance is that of ``numerator - estimate x denominator`` over the samples, the usual linearisation for ratio
estimators (Law, Simulation Modeling and Analysis, 4.5 and 9.5). The half-width uses Student's t with n - 1 degrees of freedom.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final, TypeAlias

from msgspec import Struct

Ratio: TypeAlias = tuple[float, float]
"""Numerator and denominator of a sample."""

_Z: Final = 1.959963984540054
# The expansion below is inaccurate for one and two degrees of freedom; these values are exact.
_T_SMALL: Final = {1: 12.706204736, 2: 4.302652730}


class Interval(Struct, frozen=True, kw_only=True):
    """Estimate with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    samples: int


def t_quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t; from three degrees on by the Cornish-Fisher expansion, to four digits."""
    if degrees in _T_SMALL:
        return _T_SMALL[degrees]
    z, v = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def interval(samples: Sequence[Ratio]) -> Interval | None:
    """Return the confidence interval of a ratio; none with fewer than two samples or a zero denominator."""
    n = len(samples)
    denominator = sum(d for _, d in samples)
    if n < 2 or denominator <= 0:
        return None
    estimate = sum(x for x, _ in samples) / denominator
    squares = sum((x - estimate * d) ** 2 for x, d in samples)
    half = t_quantile(n - 1) * sqrt(squares / (n - 1) / n) / (denominator / n)
    return Interval(
        mean=round(estimate, 9),
        low=round(estimate - half, 9),
        high=round(estimate + half, 9),
        samples=n,
    )
