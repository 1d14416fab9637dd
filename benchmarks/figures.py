"""The result format of all benchmarks: figures with unit, direction, target and baseline, printed as a table and written as JSON.

Each ``benchmarks/*/bench_*.py`` takes ``--quick`` (a short form, for ``make bench``) and ``--json FILE``:

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from benchmarks.figures import Figure, Result, finish, parser

    options = parser(__doc__).parse_args()          # --quick and --json, more by add_argument
    …
    finish(Result(name="bench_engine", what="…", figures=[Figure(id="lifecycle_us", …)]), options)

``finish`` prints a table and writes FILE. Pictures are SVG files that the script writes to the folder of FILE (``save_picture``);
the result contains only their names. ``benchmarks/run.py`` adds the header (machine, commit, versions).
"""

import argparse
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, Self

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

_ID: Final = re.compile(r"[a-z][a-z0-9_.]*")
_FORMER_FIELDS: Final = {"floor": "baseline", "cpu_yardstick_ms": "cpu_baseline_ms"}
"""Fields by the names that results of earlier commits have; ``compare.py`` reads those too."""


class FiguresInvalid(Exception):
    """A results file cannot be read, or a result is invalid; the text says where and why."""


class Figure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measured value, with what is needed to interpret it."""

    id: str
    """Stable: ``compare.py`` matches figures by it. Lower case, digits, ``_`` and ``.``."""
    title: str
    """Description with the size of the workload, the same in all runs of that size: figures with different titles are not
    compared."""
    value: float
    unit: str
    """``µs``, ``ms``, ``/s``, ``MiB``, ``ratio`` …"""
    better: Literal["lower", "higher", "none"] = "none"
    """``none``: the value describes the workload (an offered rate, a number of repeats)."""
    target: float | None = None
    """Upper limit if lower is better, lower limit if higher is better."""
    baseline: float | None = None
    """Comparison value in the same unit, measured in the same run: a bare write, a null server, the same events without routing."""
    limit: str | None = None
    """What limited the value or makes it uncertain: ``load generator at 97 % of its core``. None: nothing known."""
    spread: tuple[float, float] | None = None
    """Least and greatest of the repeats; a change within it is noise. If the best repeat counts: the best and the median."""

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; None without a target."""
        if self.target is None or self.better == "none":
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @property
    def baseline_ratio(self) -> float | None:
        """Return the value divided by the baseline; None without a baseline."""
        return self.value / self.baseline if self.baseline else None

    @classmethod
    def of_repeats(cls, values: Sequence[float], *, best: bool = False, **fields: Any) -> Self:
        """Return a figure of repeated measurements: the median, with the least and the greatest value as its spread.

        ``best``: the best value (the one least disturbed by other processes), with the median as the other end of its spread.
        One value has no spread.
        """
        if len(values) == 1:
            return cls(value=values[0], **fields)
        least, middle, greatest = min(values), median(values), max(values)
        if not best:
            return cls(value=middle, spread=(least, greatest), **fields)
        if fields.get("better") == "higher":
            return cls(value=greatest, spread=(middle, greatest), **fields)
        return cls(value=least, spread=(least, middle), **fields)


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machine, commit and versions of a run; written by ``run.py``."""

    commit: str
    """With a star if there were uncommitted changes."""
    date: str
    """Date and time in UTC, ISO 8601."""
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str]
    disk: str
    """File system and directory of the benchmarks' journals."""
    fsync_p50_ms: float
    """A 4 KiB write + ``fdatasync`` there, measured before the benchmarks."""
    fsync_p99_ms: float
    cpu_baseline_ms: float
    """CPU time of a fixed Python loop before the benchmarks: the speed of the machine at that time."""
    load_before: float
    """Load average of the minute before the first benchmark: near 0 on an idle machine."""
    form: Literal["short", "full"]


class Result(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All figures of one script."""

    name: str
    """The script's stem: ``bench_engine``."""
    what: str
    """One or two sentences: what is measured, under which load, compared with what."""
    figures: list[Figure]
    details: dict[str, Any] = {}
    """Further data in any form; not compared."""
    pictures: list[str] = []
    """Names of SVG files in the folder of the results file."""
    seconds: float | None = None
    """Duration of the script; written by ``run.py``."""
    header: Header | None = None

    def check(self) -> None:
        """Raise FiguresInvalid if the result is not valid."""
        if not self.figures:
            raise FiguresInvalid(f"{self.name}: no figures")
        seen: set[str] = set()
        for figure in self.figures:
            subject = f"{self.name}: figure {figure.id!r}"
            if not _ID.fullmatch(figure.id):
                raise FiguresInvalid(f"{subject}: an id is lower case, digits, '_' and '.'")
            if figure.id in seen:
                raise FiguresInvalid(f"{subject} occurs twice")
            seen.add(figure.id)
            spread = figure.spread or ()
            numbers = (figure.value, figure.target, figure.baseline, *spread)
            if not all(number is None or isfinite(number) for number in numbers):
                raise FiguresInvalid(f"{subject}: {numbers} is not finite")
            if figure.target is not None and figure.better == "none":
                raise FiguresInvalid(f"{subject} has a target but no direction")
        for picture in self.pictures:
            if "/" in picture or not picture.endswith(".svg"):
                raise FiguresInvalid(f"{self.name}: picture {picture!r} is not the name of an SVG file")


def save(path: Path, result: Result) -> None:
    """Write a results file as indented JSON. Raises FiguresInvalid."""
    result.check()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def decode(data: bytes | str, source: str) -> Result:
    """Return the result in this JSON. Raises FiguresInvalid, which names ``source``."""
    try:
        result = msgspec.convert(_rename_fields(msgspec.json.decode(data)), Result)
        result.check()
    except (msgspec.DecodeError, UnicodeDecodeError, FiguresInvalid) as error:
        raise FiguresInvalid(f"{source} contains no figures: {error}") from error
    return result


def _rename_fields(found: Any) -> Any:
    """Return decoded JSON with today's names of the fields of figures and headers."""
    if not isinstance(found, dict):
        return found
    figures = found.get("figures")
    for fields in (found.get("header"), *(figures if isinstance(figures, list) else ())):
        if isinstance(fields, dict):
            for former, name in _FORMER_FIELDS.items():
                if former in fields:
                    fields[name] = fields.pop(former)
    return found


def load(path: Path) -> Result:
    """Return the result in a file. Raises FiguresInvalid."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FiguresInvalid(f"{path} cannot be read: {error.strerror}") from error
    return decode(data, str(path))


def save_picture(options: argparse.Namespace, name: str, svg: bytes | str) -> list[str]:
    """Write a picture to the folder of the results file and return the list for ``Result.pictures``.

    Without ``--json`` nothing is written and the list is empty.
    """
    if options.json is None:
        return []
    options.json.parent.mkdir(parents=True, exist_ok=True)
    data = svg.encode() if isinstance(svg, str) else svg
    (options.json.parent / name).write_bytes(data)
    return [name]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark has; ``doc`` is the script's docstring."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run the short form, for `make bench`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    return parser


def format_number(value: float) -> str:
    """Return the number with three significant digits and thousands separators."""
    if value == 0 or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(result: Result) -> Table:
    """Return the figures as a table for the terminal."""
    table = Table(title=result.name, title_justify="left", caption=result.what, caption_justify="left")
    table.add_column("figure")
    for column in ("value", "target", "baseline"):
        table.add_column(column, justify="right")
    table.add_column("limit")
    for figure in result.figures:
        mark = {True: " ✓", False: " ✗", None: ""}[figure.met]
        target = "" if figure.target is None else format_number(figure.target) + mark
        baseline = "" if figure.baseline is None else format_number(figure.baseline)
        value = f"{format_number(figure.value)} {figure.unit}"
        table.add_row(figure.title, value, target, baseline, figure.limit or "")
    return table


def finish(result: Result, options: argparse.Namespace) -> None:
    """Check and print the result, and write it to the file of ``--json``. Raises FiguresInvalid."""
    result.check()
    Console(width=120).print(table(result))
    if options.json is not None:
        save(options.json, result)
