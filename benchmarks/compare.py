"""What moved between two runs of the benchmarks, and whether by more than the noise.

    python benchmarks/compare.py A B [--noise 0.2] [--all] [--strict]

A and B are a folder of results, one results file, or a git revision, of which the committed reference results are taken
(``benchmarks/results/reference``). Each figure is shown before and after with its ratio, beside it how its yardstick moved in
the same runs. *Noise* is the greatest of the two spreads of the repeats (``--noise`` where there were none) and of how far the
machine itself moved: a fixed piece of Python before each run. The verdict:

* ``better``, ``worse``: moved by more than the noise, as it is and in yardsticks.
* ``machine``: moved, but so did the yardstick: the machine was another one then.
* ``other``: measured at another size, which the title shows; not judged.

Exit: 0; 1 with ``--strict`` where something is worse; 2 where A or B cannot be read.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import Figure, FiguresInvalid, Header, Result, decode, format_number, load
from benchmarks.report import read

HERE: Final = Path(__file__).parent
REFERENCE: Final = "benchmarks/results/reference"
NOISE: Final = 0.2
"""What figures without repeats wander by on a shared machine."""
SMALL: Final = 0.05
"""Repeats within one run agree better than two runs do."""

Verdict = Literal["better", "worse", "machine", "moved", "other", "="]


class FigureChange(Struct, frozen=True, kw_only=True):
    """One figure before and after."""

    name: str
    before: Figure
    after: Figure
    ratio: float | None
    """After / before; None where that says nothing."""
    yardstick: float | None
    """Likewise of the yardstick."""
    noise: float
    verdict: Verdict


def results(source: str) -> dict[str, Result]:
    """By script. Raises FiguresInvalid with what to do about it."""
    path = Path(source)
    if path.is_dir():
        found = read(path)
    elif path.is_file():
        found = [load(path)]
    else:
        found = list(_committed(source))
    return {one.name: one for one in found}


def _committed(revision: str) -> Iterator[Result]:
    commit = _git("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    if commit is None:
        raise FiguresInvalid(f"{revision!r} is no folder, no file and no git revision")
    listed = _git("ls-tree", "--name-only", commit.strip(), f"{REFERENCE}/") or ""
    files = [name for name in listed.splitlines() if name.endswith(".json")]
    if not files:
        raise FiguresInvalid(f"{revision} has no committed results in {REFERENCE}")
    for name in files:
        yield decode(_git("show", f"{commit.strip()}:{name}") or "", f"{revision}:{name}")


def _git(*arguments: str) -> str | None:
    """What git says; None where it refuses."""
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=HERE.parent, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise FiguresInvalid(f"git does not run: {error.strerror}") from error
    return done.stdout if done.returncode == 0 else None


def figure_changes(
    before: dict[str, Result], after: dict[str, Result], noise: float
) -> list[FigureChange]:
    """Of every figure that both have, in the order of the runs."""
    found = []
    for name, old in before.items():
        if name not in after:
            continue
        least = machine_change(old.header, after[name].header)
        new = {figure.id: figure for figure in after[name].figures}
        found += [
            figure_change(name, figure, new[figure.id], noise, least)
            for figure in old.figures
            if figure.id in new
        ]
    return found


def machine_change(before: Header | None, after: Header | None) -> float:
    """The share by which a fixed piece of Python was faster or slower; little where that is not known."""
    if before is None or after is None:
        return SMALL
    ratio = _ratio(before.cpu_yardstick_ms, after.cpu_yardstick_ms) or 1.0
    return max(SMALL, ratio - 1, 1 / ratio - 1)


def figure_change(
    name: str, before: Figure, after: Figure, noise: float, least: float = SMALL
) -> FigureChange:
    """How one figure moved, judged; ``least`` is noise whatever the repeats say."""
    ratio = _ratio(before.value, after.value)
    yardstick = None
    if before.floor is not None and after.floor is not None:
        yardstick = _ratio(before.floor, after.floor)
    noise = max(least, _spread(before, noise), _spread(after, noise))
    return FigureChange(
        name=name,
        before=before,
        after=after,
        ratio=ratio,
        yardstick=yardstick,
        noise=noise,
        verdict=_verdict(before, after, ratio, yardstick, noise),
    )


def _verdict(
    before: Figure, after: Figure, ratio: float | None, yardstick: float | None, noise: float
) -> Verdict:
    if before.title != after.title or before.unit != after.unit:
        return "other"
    if ratio is None:
        return "=" if before.value == after.value else "moved"
    if abs(log(ratio)) <= log(1 + noise):
        return "="
    if yardstick is not None:
        net = log(ratio / yardstick)
        if abs(net) <= log(1 + noise) or (net > 0) != (ratio > 1):
            return "machine"
    if after.better == "none":
        return "moved"
    return "better" if (ratio > 1) == (after.better == "higher") else "worse"


def _ratio(before: float, after: float) -> float | None:
    return after / before if before > 0 and after > 0 else None


def _spread(figure: Figure, otherwise: float) -> float:
    if figure.spread is None or figure.spread[0] <= 0:
        return otherwise
    return figure.spread[1] / figure.spread[0] - 1


# --- for people -----------------------------------------------------------------------------------


def show(console: Console, found: list[FigureChange], *, all_of_them: bool) -> None:
    """The table of moves."""
    table = Table(title="What moved", title_justify="left")
    table.add_column("figure")
    for column in ("before", "after", "ratio", "yardstick", "noise", "verdict"):
        table.add_column(column, justify="right")
    still = 0
    for one in found:
        if one.verdict == "=" and not all_of_them:
            still += 1
            continue
        table.add_row(
            f"{one.name}: {one.after.title}",
            f"{format_number(one.before.value)} {one.before.unit}",
            f"{format_number(one.after.value)} {one.after.unit}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.yardstick is None else f"{one.yardstick:.2f}",
            f"±{one.noise:.0%}",
            one.verdict,
        )
    if table.row_count:
        console.print(table)
    if still:
        console.print(f"{still} figures stayed within their noise (--all shows them)")


def only_in_one(before: dict[str, Result], after: dict[str, Result]) -> Iterator[str]:
    """What could not be compared."""
    for place, here, there in (("before", before, after), ("after", after, before)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            yield f"only {place}: {', '.join(alone)}"
        for name in sorted(here.keys() & there.keys()):
            ids = {figure.id for figure in here[name].figures}
            lone = sorted(ids - {figure.id for figure in there[name].figures})
            if lone:
                yield f"only {place}, of {name}: {', '.join(lone)}"


def machines(before: dict[str, Result], after: dict[str, Result]) -> Iterator[str]:
    """Whether both are of one machine, and how fast it was each time."""
    old = next((one.header for one in before.values() if one.header), None)
    new = next((one.header for one in after.values() if one.header), None)
    if old is None or new is None:
        yield "No header: whether both are of one machine cannot be said."
        return
    yield f"before: {_described(old)}"
    yield f"after:  {_described(new)}"
    for what, a, b in (
        ("fixed piece of Python", old.cpu_yardstick_ms, new.cpu_yardstick_ms),
        ("4 KiB + fdatasync, p50", old.fsync_p50_ms, new.fsync_p50_ms),
        ("4 KiB + fdatasync, p99", old.fsync_p99_ms, new.fsync_p99_ms),
    ):
        ratio = _ratio(a, b)
        yield f"machine: {what}: {a} → {b} ms" + (f" ({ratio:.2f})" if ratio else "")
    for what, is_other in (
        ("machines", (old.cpu, old.cores, old.memory_gib) != (new.cpu, new.cores, new.memory_gib)),
        ("forms (short and full)", old.form != new.form),
        ("versions of Python", old.python != new.python),
    ):
        if is_other:
            yield f"NOTE: these are two {what}; the ratios say little."


def _described(header: Header) -> str:
    return f"{header.commit}, {header.date}, {header.form}, {header.cpu}, {header.python}"


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", metavar="A")
    parser.add_argument("after", metavar="B")
    parser.add_argument("--noise", type=float, default=NOISE, help="of figures without repeats")
    parser.add_argument("--all", action="store_true", help="also what did not move")
    parser.add_argument("--strict", action="store_true", help="exit 1 where something is worse")
    options = parser.parse_args()
    try:
        if options.noise < 0:
            raise FiguresInvalid("--noise is a share, 0.2 for 20 %")
        before, after = results(options.before), results(options.after)
        if not before.keys() & after.keys():
            raise FiguresInvalid(
                f"nothing in common: {', '.join(before)} before, {', '.join(after)} after"
            )
    except FiguresInvalid as error:
        print(error, file=sys.stderr)
        return 2
    found = figure_changes(before, after, options.noise)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for line in machines(before, after):
        console.print(line, highlight=False)
    show(console, found, all_of_them=options.all)
    for line in only_in_one(before, after):
        console.print(line, highlight=False)
    return int(options.strict and any(one.verdict == "worse" for one in found))


if __name__ == "__main__":
    sys.exit(main())
