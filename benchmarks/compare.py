"""Compare two runs of the benchmarks: which figures changed, and by more than the noise?

    python benchmarks/compare.py A B [--noise 0.2] [--all] [--strict]

A and B are a folder of results, one results file, or a git revision; of a revision the committed reference results are read
(``benchmarks/results/reference``). The table shows each figure before and after, the ratio, and the ratio of its baseline in the
same runs. *Noise* is the greatest of the two spreads of the repeats (``--noise`` without repeats) and the change of the machine's
speed, measured by a fixed Python loop before each run. The verdict:

* ``better``, ``worse``: changed by more than the noise, both the value and the value divided by its baseline.
* ``changed``: changed by more than the noise, but no direction is better.
* ``machine``: changed, but the baseline changed too, so the machine was faster or slower.
* ``other``: the title differs, so the size of the workload does; not judged.

Exit: 0; 1 with ``--strict`` if a figure is worse; 2 if A or B cannot be read.
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
"""Variation of figures without repeats on a shared machine."""
NOISE_MIN: Final = 0.05
"""Repeats within one run vary less than two runs do."""

Verdict = Literal["better", "worse", "machine", "changed", "other", "="]


class FigureChange(Struct, frozen=True, kw_only=True):
    """One figure before and after."""

    name: str
    before: Figure
    after: Figure
    ratio: float | None
    """After / before; None if one of them is not positive."""
    baseline_ratio: float | None
    """The same ratio of the baseline."""
    noise: float
    verdict: Verdict


def load_results(source: str) -> dict[str, Result]:
    """Return the results in a folder, file or git revision by script. Raises FiguresInvalid."""
    path = Path(source)
    if path.is_dir():
        found = read(path)
    elif path.is_file():
        found = [load(path)]
    else:
        found = list(_committed(source))
    return {result.name: result for result in found}


def _committed(revision: str) -> Iterator[Result]:
    commit = _git("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    if commit is None:
        raise FiguresInvalid(f"{revision!r} is not a folder, a file or a git revision")
    listed = _git("ls-tree", "--name-only", commit.strip(), f"{REFERENCE}/") or ""
    files = [name for name in listed.splitlines() if name.endswith(".json")]
    if not files:
        raise FiguresInvalid(f"{revision} has no committed results in {REFERENCE}")
    for name in files:
        yield decode(_git("show", f"{commit.strip()}:{name}") or "", f"{revision}:{name}")


def _git(*arguments: str) -> str | None:
    """Return the output of git; None if it exits with an error."""
    try:
        done = subprocess.run(("git", *arguments), cwd=HERE.parent, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FiguresInvalid(f"git cannot be run: {error.strerror}") from error
    return done.stdout if done.returncode == 0 else None


def figure_changes(before: dict[str, Result], after: dict[str, Result], noise: float) -> list[FigureChange]:
    """Return the change of every figure that occurs in both runs."""
    found = []
    for name, old in before.items():
        if name not in after:
            continue
        noise_min = machine_change(old.header, after[name].header)
        new = {figure.id: figure for figure in after[name].figures}
        found += [figure_change(name, figure, new[figure.id], noise, noise_min) for figure in old.figures if figure.id in new]
    return found


def machine_change(before: Header | None, after: Header | None) -> float:
    """Return by which share a fixed Python loop was faster or slower, at least ``NOISE_MIN``."""
    if before is None or after is None:
        return NOISE_MIN
    ratio = _ratio(before.cpu_baseline_ms, after.cpu_baseline_ms) or 1.0
    return max(NOISE_MIN, ratio - 1, 1 / ratio - 1)


def figure_change(name: str, before: Figure, after: Figure, noise: float, noise_min: float = NOISE_MIN) -> FigureChange:
    """Return the change of one figure with its verdict; ``noise``: for a figure without repeats."""
    ratio = _ratio(before.value, after.value)
    baseline_ratio = None
    if before.baseline is not None and after.baseline is not None:
        baseline_ratio = _ratio(before.baseline, after.baseline)
    noise = max(noise_min, _spread(before, noise), _spread(after, noise))
    return FigureChange(
        name=name,
        before=before,
        after=after,
        ratio=ratio,
        baseline_ratio=baseline_ratio,
        noise=noise,
        verdict=_verdict(before, after, ratio, baseline_ratio, noise),
    )


def _verdict(before: Figure, after: Figure, ratio: float | None, baseline_ratio: float | None, noise: float) -> Verdict:
    if before.title != after.title or before.unit != after.unit:
        return "other"
    if ratio is None:
        return "=" if before.value == after.value else "changed"
    if abs(log(ratio)) <= log(1 + noise):
        return "="
    if baseline_ratio is not None:
        net = log(ratio / baseline_ratio)
        if abs(net) <= log(1 + noise) or (net > 0) != (ratio > 1):
            return "machine"
    if after.better == "none":
        return "changed"
    return "better" if (ratio > 1) == (after.better == "higher") else "worse"


def _ratio(before: float, after: float) -> float | None:
    return after / before if before > 0 and after > 0 else None


def _spread(figure: Figure, default: float) -> float:
    if figure.spread is None or figure.spread[0] <= 0:
        return default
    return figure.spread[1] / figure.spread[0] - 1


# --- output -----------------------------------------------------------------------------------


def print_table(console: Console, found: list[FigureChange], *, include_unchanged: bool) -> None:
    """Print the table of changes."""
    table = Table(title="Changes", title_justify="left")
    table.add_column("figure")
    for column in ("before", "after", "ratio", "baseline ratio", "noise", "verdict"):
        table.add_column(column, justify="right")
    unchanged = 0
    for change in found:
        if change.verdict == "=" and not include_unchanged:
            unchanged += 1
            continue
        table.add_row(
            f"{change.name}: {change.after.title}",
            f"{format_number(change.before.value)} {change.before.unit}",
            f"{format_number(change.after.value)} {change.after.unit}",
            "" if change.ratio is None else f"{change.ratio:.2f}",
            "" if change.baseline_ratio is None else f"{change.baseline_ratio:.2f}",
            f"±{change.noise:.0%}",
            change.verdict,
        )
    if table.row_count:
        console.print(table)
    if unchanged:
        console.print(f"{unchanged} figures changed by less than the noise (--all shows them)")


def only_in_one(before: dict[str, Result], after: dict[str, Result]) -> Iterator[str]:
    """Yield a line for scripts and figures that occur in one run only."""
    for run, this, other in (("before", before, after), ("after", after, before)):
        if scripts := sorted(this.keys() - other.keys()):
            yield f"only {run}: {', '.join(scripts)}"
        for name in sorted(this.keys() & other.keys()):
            ids = {figure.id for figure in this[name].figures}
            if unmatched := sorted(ids - {figure.id for figure in other[name].figures}):
                yield f"only {run}, of {name}: {', '.join(unmatched)}"


def machine_lines(before: dict[str, Result], after: dict[str, Result]) -> Iterator[str]:
    """Yield lines on the machines of both runs and their speeds."""
    old = next((result.header for result in before.values() if result.header), None)
    new = next((result.header for result in after.values() if result.header), None)
    if old is None or new is None:
        yield "No header: the machines of the two runs cannot be compared."
        return
    yield f"before: {_description(old)}"
    yield f"after:  {_description(new)}"
    for label, a, b in (
        ("fixed Python loop", old.cpu_baseline_ms, new.cpu_baseline_ms),
        ("4 KiB + fdatasync, p50", old.fsync_p50_ms, new.fsync_p50_ms),
        ("4 KiB + fdatasync, p99", old.fsync_p99_ms, new.fsync_p99_ms),
    ):
        ratio = _ratio(a, b)
        yield f"machine: {label}: {a} → {b} ms" + (f" ({ratio:.2f})" if ratio else "")
    for label, differs in (
        ("machines", (old.cpu, old.cores, old.memory_gib) != (new.cpu, new.cores, new.memory_gib)),
        ("forms (short and full)", old.form != new.form),
        ("versions of Python", old.python != new.python),
    ):
        if differs:
            yield f"NOTE: the runs have different {label}; their ratios are of little value."


def _description(header: Header) -> str:
    return f"{header.commit}, {header.date}, {header.form}, {header.cpu}, {header.python}"


def main() -> int:
    """Compare the two runs given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="A")
    parser.add_argument("after", metavar="B")
    parser.add_argument("--noise", type=float, default=NOISE, help="noise of figures without repeats, a share")
    parser.add_argument("--all", action="store_true", help="also show unchanged figures")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a figure is worse")
    options = parser.parse_args()
    try:
        if options.noise < 0:
            raise FiguresInvalid("--noise is a share, 0.2 for 20 %")
        before, after = load_results(options.before), load_results(options.after)
        if not before.keys() & after.keys():
            raise FiguresInvalid(f"no script in common: {', '.join(before)} before, {', '.join(after)} after")
    except FiguresInvalid as error:
        print(error, file=sys.stderr)
        return 2
    found = figure_changes(before, after, options.noise)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for line in machine_lines(before, after):
        console.print(line, highlight=False)
    print_table(console, found, include_unchanged=options.all)
    for line in only_in_one(before, after):
        console.print(line, highlight=False)
    return int(options.strict and any(change.verdict == "worse" for change in found))


if __name__ == "__main__":
    sys.exit(main())
