"""What every benchmark gives back: figures with their unit, direction, target and yardstick, in one form for people and programs.

Each ``benchmarks/*/bench_*.py`` takes ``--quick`` (a short form, for ``make bench``) and ``--json FILE``:

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from benchmarks.figures import Figure, Result, finish, parser

    options = parser(__doc__).parse_args()          # --quick and --json, more by add_argument
    …
    finish(Result(name="bench_engine", what="…", figures=[Figure(id="lifecycle_us", …)]), options)

``finish`` prints a table and writes FILE. Pictures are SVG files that the script puts into the folder of FILE
(``save_picture``); the result only names them. ``benchmarks/run.py`` adds the header (machine, commit, versions).
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


class FiguresInvalid(Exception):
    """A results file that cannot be read, or a result that breaks the contract; the text says where and why."""


class Figure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number, and all that is needed to read it."""

    id: str
    """Stable: what ``compare.py`` finds the same figure by. Lower case, digits, ``_`` and ``.``."""
    title: str
    """For people, with the size it was measured at, and nothing that differs between two runs of the same size: figures whose
    titles differ are not compared."""
    value: float
    unit: str
    """``µs``, ``ms``, ``/s``, ``MiB``, ``ratio`` …"""
    better: Literal["lower", "higher", "none"] = "none"
    """``none``: it describes what was measured (a rate offered, a number of repeats)."""
    target: float | None = None
    """At most that (``lower``) or at least that (``higher``)."""
    floor: float | None = None
    """The yardstick in the same unit, measured in the same run: a bare write, a null server, the same events unrouted."""
    limit: str | None = None
    """What held the figure back or bounds its truth: ``load generator at 97 % of its core``. None: nothing known."""
    spread: tuple[float, float] | None = None
    """Within what the repeats lay, where there were some: a move within it is noise. Of a best-of: best and median."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None or self.better == "none":
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @property
    def to_floor(self) -> float | None:
        """The value in yardsticks."""
        return self.value / self.floor if self.floor else None

    @classmethod
    def of_repeats(cls, values: Sequence[float], *, best: bool = False, **fields: Any) -> Self:
        """The median of repeats with least and greatest; with ``best`` the one that neighbours on the machine disturbed least,
        and the median beside it. One value has no spread.
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
    """Where and of what a result is. ``run.py`` writes it."""

    commit: str
    """With a star: there were changes beside it."""
    date: str
    """Day and time in UTC, ISO 8601."""
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str]
    disk: str
    """File system and place of the benchmarks' journals."""
    fsync_p50_ms: float
    """Of a 4 KiB write + ``fdatasync`` there, measured before the benchmarks."""
    fsync_p99_ms: float
    cpu_yardstick_ms: float
    """One fixed piece of pure Python, before the benchmarks: how fast this machine was then."""
    load_before: float
    """Load average of the last minute before the first benchmark: near 0 on an idle machine."""
    form: Literal["short", "full"]


class Result(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All figures of one script."""

    name: str
    """The script's stem: ``bench_engine``."""
    what: str
    """A sentence or two: what is measured, in what situation, against what."""
    figures: list[Figure]
    details: dict[str, Any] = {}
    """Whatever else a reader may want, in no form; not compared."""
    pictures: list[str] = []
    """File names beside the results file."""
    seconds: float | None = None
    """How long the script took; written by ``run.py``."""
    header: Header | None = None

    def check(self) -> None:
        """Raises FiguresInvalid where this is no proper result."""
        if not self.figures:
            raise FiguresInvalid(f"{self.name}: no figures")
        seen: set[str] = set()
        for figure in self.figures:
            at = f"{self.name}: figure {figure.id!r}"
            if not _ID.fullmatch(figure.id):
                raise FiguresInvalid(f"{at}: an id is lower case, digits, '_' and '.'")
            if figure.id in seen:
                raise FiguresInvalid(f"{at} is there twice")
            seen.add(figure.id)
            spread = figure.spread or ()
            numbers = (figure.value, figure.target, figure.floor, *spread)
            if not all(number is None or isfinite(number) for number in numbers):
                raise FiguresInvalid(f"{at}: {numbers} is not finite")
            if figure.target is not None and figure.better == "none":
                raise FiguresInvalid(f"{at} has a target but no direction")
        for picture in self.pictures:
            if "/" in picture or not picture.endswith(".svg"):
                raise FiguresInvalid(f"{self.name}: picture {picture!r} is no name of an SVG file")


def save(path: Path, result: Result) -> None:
    """Write a results file, for programs and for people who look at differences. Raises FiguresInvalid."""
    result.check()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def decode(data: bytes | str, source: str) -> Result:
    """A result from its JSON. Raises FiguresInvalid, which names ``source``."""
    try:
        result = msgspec.json.decode(data, type=Result)
        result.check()
    except (msgspec.DecodeError, UnicodeDecodeError, FiguresInvalid) as error:
        raise FiguresInvalid(f"{source} holds no figures: {error}") from error
    return result


def load(path: Path) -> Result:
    """Read a results file. Raises FiguresInvalid."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FiguresInvalid(f"{path} cannot be read: {error.strerror}") from error
    return decode(data, str(path))


def save_picture(options: argparse.Namespace, name: str, svg: bytes | str) -> list[str]:
    """Put a picture beside the results file; what to name in ``pictures``: nothing where no file is written."""
    if options.json is None:
        return []
    options.json.parent.mkdir(parents=True, exist_ok=True)
    data = svg.encode() if isinstance(svg, str) else svg
    (options.json.parent / name).write_bytes(data)
    return [name]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; ``doc`` is the script's docstring."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the short form, for `make bench`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    return parser


def format_number(value: float) -> str:
    """A number as people read it: three figures that count, thousands apart."""
    if value == 0 or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(result: Result) -> Table:
    """The figures for a terminal."""
    table = Table(
        title=result.name, title_justify="left", caption=result.what, caption_justify="left"
    )
    table.add_column("figure")
    for column in ("value", "target", "yardstick"):
        table.add_column(column, justify="right")
    table.add_column("limit")
    for figure in result.figures:
        sign = {True: " ✓", False: " ✗", None: ""}[figure.met]
        target = "" if figure.target is None else format_number(figure.target) + sign
        floor = "" if figure.floor is None else format_number(figure.floor)
        value = f"{format_number(figure.value)} {figure.unit}"
        table.add_row(figure.title, value, target, floor, figure.limit or "")
    return table


def finish(result: Result, options: argparse.Namespace) -> None:
    """Check, print, and write the file that ``--json`` names. Raises FiguresInvalid."""
    result.check()
    Console(width=120).print(table(result))
    if options.json is not None:
        save(options.json, result)
