"""Distribution of the time until a contact's turn: moments of a pure death process, quantiles of a gamma distribution.

**Moments.** With n agents whose contacts take h on average, k contacts ahead and an abandon rate θ of each contact ahead, the
queue ahead is a pure death process: while i contacts are ahead, the next one leaves after 1 / (n/h + iθ) on average. Mean and
variance of the whole time are therefore the sums over i = 0…k of that term and of its square. With θ = 0 this is the Erlang
distribution with k+1 stages. Sources: W. Whitt, "Predicting Queueing Delays", Management Science 45(6), 1999; R. Ibrahim and W.
Whitt, "Real-Time Delay Estimation in Overloaded Multiserver Queues with Abandonments", Management Science 55(10), 2009 (QL and
QLa).

**Quantiles** are those of the gamma distribution with this mean and variance, by the cube-root normal approximation of E. B.
Wilson and M. M. Hilferty, "The Distribution of Chi-Square", PNAS 17, 1931: (x/mean)^(1/3) is nearly normal. The error is below
3 % of the mean at shape 1 and below 1 % from shape 2 on, for every quantile used here, and the inverse needs no iteration.

Only operations that IEEE 754 rounds alike on every machine (+ − × ÷ and the square root) are used, so the same history gives
the same figures everywhere.
"""

from math import frexp, ldexp, sqrt
from typing import Final

# Terms summed one by one. The rest is summed in blocks, each an eighth of the terms before it, by the value at its midpoint.
_EXACT_TERMS: Final = 64


def clearing(ahead: float, rate: float, leaving: float) -> tuple[float, float]:
    """Return mean and variance of the time until ``ahead`` contacts and then one more have been taken.

    ``rate`` is the number of contacts taken per unit of time, above 0; ``abandon_rate`` applies to each contact ahead. A
    fractional contact counts as that fraction of its term. Complexity: logarithmic beyond the first 64 terms.
    """
    whole = int(ahead)
    mean = variance = 0.0
    place = 0
    while place <= whole:
        width = 1 if place < _EXACT_TERMS else min(place // 8, whole + 1 - place)
        step = 1 / (rate + (place + (width - 1) / 2) * leaving)
        mean += width * step
        variance += width * step * step
        place += width
    step = 1 / (rate + (whole + 1) * leaving)
    rest = ahead - whole
    return mean + rest * step, variance + rest * step * step


def stretch(shape: float, score: float) -> float:
    """Return the quantile at a standard normal score as a multiple of the mean, at least 0."""
    root = 1 - 1 / (9 * shape) + score / (3 * sqrt(shape))
    return root * root * root if root > 0 else 0.0


def score(shape: float, ratio: float) -> float:
    """Return the standard normal score of a value that is ``ratio`` times the mean: the inverse of ``gamma_quantile``."""
    return (_cube_root(ratio) - 1 + 1 / (9 * shape)) * 3 * sqrt(shape)


def _cube_root(x: float) -> float:
    """Return the cube root by Newton's method, which rounds alike on every machine."""
    if x <= 0:
        return 0.0
    part, exponent = frexp(x)
    while exponent % 3:
        part, exponent = part / 2, exponent + 1
    root = 0.5 + part / 2
    for _ in range(6):
        root = (2 * root + part / (root * root)) / 3
    return ldexp(root, exponent // 3)
