"""Time two checkouts in alternating rounds: is the new one faster or slower, and how sure is that?

    python benchmarks/pairs.py BASE NEW [--rounds 10] [--desktops 500] [--rate 500] [--seconds 2] [--quick] [--json FILE]
                                         [--new-setting NAME=VALUE]…

BASE and NEW are folders with a checkout, or git revisions, which are checked out to a temporary folder. In each round both sides
are measured one after the other, each in a process of its own with its own sources; the order changes from round to round, so
that neither side always runs on the warmer machine. The speed of a shared machine varies by a fifth within minutes, but the two
measurements of a round are close together: what counts is their ratio (new / base).

``--new-setting`` sets an environment variable of NEW alone, for a setting that BASE does not have: what does a part of it cost?

For each figure the median of the ratios is printed, their quartiles, and an interval that contains the true median with at least
95 %. It is that of the sign test, which makes no assumption about the distribution: with n rounds, the k-th least and the k-th
greatest ratio. Fewer than six rounds give no such interval. A figure is ``better`` or ``worse`` if the interval does not contain 1.

Nothing else should run on the machine: the server has one CPU, the load generator another.

Exit: 0, 1 if a measurement failed, 2 if BASE or NEW cannot be read.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import Figure, Result, parser, save
from benchmarks.paired_rounds import Better, Comparison, compare_rounds, run_rounds, show

ROOT: Final = Path(__file__).parents[1]
_SIDE: Final = Path(__file__).with_name("pair_side.py")
_TIMEOUT_S: Final = 300.0

MEASURED: Final[dict[str, tuple[str, str, Better]]] = {
    "ws_per_s": ("lifecycles over WebSockets", "/s", "higher"),
    "http_per_s": ("lifecycles, submitted over HTTP", "/s", "higher"),
    "ws_cpu_us": ("server CPU per lifecycle, WebSockets", "µs", "lower"),
    "http_cpu_us": ("server CPU per lifecycle, HTTP", "µs", "lower"),
    "offer_p50_ms": ("submit to offer, p50", "ms", "lower"),
    "offer_p95_ms": ("submit to offer, p95", "ms", "lower"),
    "offer_p99_ms": ("submit to offer, p99", "ms", "lower"),
    "engine_us": ("lifecycle in the engine", "µs", "lower"),
}
"""Figures that ``pair_side.py`` prints: title, unit and direction."""


def compare(name: str, base: Sequence[float], new: Sequence[float]) -> Comparison:
    """Return the comparison of the rounds of one figure."""
    title, unit, better = MEASURED[name]
    return compare_rounds(name, base, new, title=title, unit=unit, better=better)


class Side(Struct, frozen=True):
    """One side of the comparison."""

    checkout: Path
    settings: dict[str, str] = {}
    """Environment variables that are set for this side alone."""


def measure_side(checkout: Path, options: argparse.Namespace, settings: dict[str, str]) -> dict[str, float]:
    """Measure a checkout in a process of its own, with its own sources and settings. Raises SystemExit if that fails."""
    own_python = checkout / ".venv" / "bin" / "python"
    command = [str(own_python if own_python.exists() else sys.executable), str(_SIDE), str(checkout)]
    for name in ("desktops", "seconds", "rate"):
        command += [f"--{name}", str(getattr(options, name))]
    # First in the path, also for the server that it starts: an editable installation may be of another checkout.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(checkout / "src"), str(checkout))), **settings}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{checkout}: the measurement took more than {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        sys.stderr.write(done.stderr[-4000:])
        raise SystemExit(1)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


@contextlib.contextmanager
def checkout_of(source: str) -> Iterator[Path]:
    """Provide a folder with the sources: the folder itself, or a git revision, checked out for the time of the run."""
    path = Path(source)
    if path.is_dir():
        if not (path / "benchmarks" / "server" / "load.py").exists():
            raise LookupError(f"{source} is not a checkout of this project with benchmarks/server/load.py")
        yield path.resolve()
        return
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "checkout")
        added = _git("worktree", "add", "--detach", str(target), source)
        if added.returncode:
            raise LookupError(f"{source!r} is neither a folder nor a git revision")
        try:
            yield target
        finally:
            _git("worktree", "remove", "--force", str(target))


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError("write NAME=VALUE")
    return name, value


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


def result_of(comparisons: list[Comparison], measured: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> Result:
    """Return the ratios as figures, with all measurements as details."""
    return Result(
        name="pairs",
        what=f"New divided by base in {options.rounds} alternating rounds with {options.desktops} desktops: median of the ratios, "
        f"with its 95 % interval as spread. Latency at {options.rate:g}/s. Base: {options.base}. New: {options.new}"
        f"{''.join(f', {name}={value}' for name, value in options.new_setting)}.",
        figures=[
            Figure(
                id=f"{one.name}.ratio",
                title=MEASURED[one.name][0],
                value=one.ratio,
                unit="ratio",
                better=MEASURED[one.name][2],
                spread=one.interval,
                limit=None if one.interval else f"{one.rounds} rounds are too few for an interval",
            )
            for one in comparisons
        ],
        details={"rounds": measured},
    )


def _described(measured: dict[str, float]) -> str:
    return f"{measured['ws_per_s']:,.0f}/s"


def main() -> int:
    """Parse the options, measure both sides and compare them."""
    arguments = parser(__doc__)
    arguments.add_argument("base", metavar="BASE")
    arguments.add_argument("new", metavar="NEW")
    for name, value, what in (
        ("rounds", 10, "rounds, each with one measurement of both sides"),
        ("desktops", 500, "connected desktops"),
        ("rate", 500.0, "submits per second for the latency"),
        ("seconds", 2.0, "duration of each load; the latency takes half as much again"),
    ):
        arguments.add_argument(f"--{name}", type=type(value), metavar="N", help=f"{what}; default {value:g}")
        arguments.set_defaults(**{name: None})
    arguments.add_argument(
        "--new-setting", type=_setting, action="append", default=[], metavar="NAME=VALUE", help="environment variable of NEW alone"
    )
    options = arguments.parse_args()
    defaults = {"rounds": 10, "desktops": 500, "rate": 500.0, "seconds": 2.0}
    short = {"rounds": 2, "desktops": 20, "rate": 100.0, "seconds": 1.0}
    for name, value in (short if options.quick else defaults).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    try:
        with checkout_of(options.base) as base, checkout_of(options.new) as new:
            sides = {"base": Side(base), "new": Side(new, dict(options.new_setting))}
            measured = run_rounds(
                sides, options.rounds, lambda side: measure_side(side.checkout, options, side.settings), describe=_described
            )
    except LookupError as error:
        print(error, file=sys.stderr)
        return 2
    names = [name for name in MEASURED if name in measured["base"][0] and name in measured["new"][0]]
    comparisons = [compare(name, [one[name] for one in measured["base"]], [one[name] for one in measured["new"]]) for name in names]
    show("pairs: new / base", comparisons, Console(width=132))
    if options.json is not None:
        save(options.json, result_of(comparisons, measured, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
