"""Paired measurements: two sides in alternating rounds, the ratio of each round, and how sure the median of the ratios is.

The speed of a shared machine varies by a fifth within minutes, but the two measurements of a round are close together: what counts
is their ratio. The order changes from round to round, so that neither side always runs on the warmer machine.

The interval is that of the sign test, which makes no assumption about the distribution: with n rounds, the k-th least and the k-th
greatest ratio. Fewer than six rounds give no interval of 95 %.
"""

from collections.abc import Callable, Sequence
from math import comb
from statistics import median, quantiles
from typing import Final, Literal, TypeVar

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.figures import format_number

CONFIDENCE: Final = 0.95

SideT = TypeVar("SideT")
Better = Literal["lower", "higher"]


class Comparison(Struct, frozen=True, kw_only=True):
    """One figure of both sides over all rounds."""

    name: str
    title: str
    unit: str
    better: Better
    base: float
    """Median of the base."""
    new: float
    ratio: float
    """Median of the ratios of the rounds."""
    quartiles: tuple[float, float]
    interval: tuple[float, float] | None
    """Contains the true median with at least 95 %; None: too few rounds."""
    rounds: int

    @property
    def verdict(self) -> str:
        """Return ``better``, ``worse``, ``=`` (the interval contains 1), or a question mark without an interval."""
        if self.interval is None:
            return "?"
        low, high = self.interval
        if low <= 1 <= high:
            return "="
        return "better" if (low > 1) == (self.better == "higher") else "worse"


def sign_test_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the k-th least and k-th greatest value that contain the median with at least this confidence.

    The number of values below the true median has a binomial distribution with probability 1/2, whatever the distribution of the
    values. None: there are too few.
    """
    ordered, count = sorted(values), len(values)
    outside = 0.0
    rank = 0
    while (more := outside + 2 * comb(count, rank) / 2**count) <= 1 - confidence:
        outside = more
        rank += 1
    return (ordered[rank - 1], ordered[count - rank]) if rank else None


def compare_rounds(name: str, base: Sequence[float], new: Sequence[float], *, title: str, unit: str, better: Better) -> Comparison:
    """Return the comparison of the rounds of one figure."""
    ratios = [after / before for before, after in zip(base, new, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else (ratios[0],) * 3
    return Comparison(
        name=name,
        title=title,
        unit=unit,
        better=better,
        base=median(base),
        new=median(new),
        ratio=median(ratios),
        quartiles=(low, high),
        interval=sign_test_interval(ratios),
        rounds=len(ratios),
    )


def run_rounds(
    sides: dict[str, SideT],
    rounds: int,
    measure: Callable[[SideT], dict[str, float]],
    note: Callable[[str], None] = print,
    describe: Callable[[dict[str, float]], str] = str,
) -> dict[str, list[dict[str, float]]]:
    """Return the measurements by side, one of each in a round, in alternating order."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            found[name].append(measure(sides[name]))
        shown = ", ".join(f"{name} {describe(found[name][-1])}" for name in order)
        note(f"round {number + 1} of {rounds}: {shown}")
    return found


def show(title: str, comparisons: list[Comparison], console: Console) -> None:
    """Print the comparisons as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for column in ("base", "new", "median ratio", "quartiles", "95 % interval", ""):
        table.add_column(column, justify="right")
    for one in comparisons:
        interval = "–" if one.interval is None else f"{one.interval[0]:.3f} – {one.interval[1]:.3f}"
        values = [f"{format_number(value)} {one.unit}" for value in (one.base, one.new)]
        quartiles = f"{one.quartiles[0]:.3f} – {one.quartiles[1]:.3f}"
        table.add_row(one.title, *values, f"{one.ratio:.3f}", quartiles, interval, one.verdict)
    console.print(table)
