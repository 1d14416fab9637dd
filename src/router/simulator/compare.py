"""Comparison of the same day under several policies: statistics, and the difference of each policy to the first.

Works on the results of finished runs. A difference is the policy's value minus that of the first policy. With replications it has a
95 % confidence interval from paired differences: in each replication all policies receive the same customers, so that most of the
variance between days cancels out.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec
from msgspec import Struct, structs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.simulator.course import Course
from router.simulator.intervals import Interval, interval
from router.simulator.report import PartReport, Report

FORMAT: Final = 1


class Trial(Struct, frozen=True, kw_only=True):
    """Results of one policy's run."""

    name: str
    report: Report
    course: Course
    samples: tuple[Mapping[str, float], ...] = ()
    """Statistics of each replication, by name."""


class Compared(Struct, frozen=True, kw_only=True):
    """One policy compared with the first. Names are paths such as ``occupancy`` or ``queues.vip.service_level``."""

    name: str
    figures: dict[str, float | None]
    differences: dict[str, float | None]
    """Value of this policy minus that of the first; none if either is missing; zero for the first policy itself."""
    difference_intervals: dict[str, Interval]
    """95 % confidence intervals of the paired differences; empty without replications, and for the first policy."""
    course: Course
    report: Report


class Comparison(Struct, frozen=True, kw_only=True):
    """All policies on the same day; the first is the baseline."""

    format: int = FORMAT
    name: str
    source: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Remarks that affect the comparison, such as different service-level thresholds."""
    policies: tuple[Compared, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        """The violations found by the audits, each with the name of its policy."""
        return tuple(
            f"{one.name}: {v}" for one in self.policies for v in one.report.audit.violations
        )

    def to_json(self, *, with_speed: bool = False) -> bytes:
        """Return indented JSON; the same input gives the same bytes unless the speed is included."""
        shown = self
        if not with_speed:
            quiet = [
                structs.replace(
                    one, report=structs.replace(one.report, contacts_per_second=None, speed=None)
                )
                for one in self.policies
            ]
            shown = structs.replace(self, policies=tuple(quiet))
        return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"


def compare(trials: Sequence[Trial], *, notes: Sequence[str] = ()) -> Comparison:
    """Compare all runs with the first; they must be runs of the same days."""
    first = trials[0]
    base = figures_of(first)
    return Comparison(
        name=first.report.name,
        source=first.report.source,
        notes=tuple(notes),
        policies=tuple(_beside(trial, first, base) for trial in trials),
    )


def _beside(trial: Trial, first: Trial, base: Mapping[str, float | None]) -> Compared:
    found = figures_of(trial)
    return Compared(
        name=trial.name,
        figures=found,
        differences={name: _less(value, base.get(name)) for name, value in found.items()},
        difference_intervals={} if trial is first else dict(_intervals(trial, first)),
        course=trial.course,
        report=trial.report,
    )


def _less(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else round(value - base, 9)


def _intervals(trial: Trial, first: Trial) -> Iterator[tuple[str, Interval]]:
    """Return confidence intervals of paired differences, without statistics that any replication lacks."""
    pairs = list(zip(trial.samples, first.samples, strict=True))
    for name in sorted(figures_of(trial)):
        if pairs and all(name in mine and name in theirs for mine, theirs in pairs):
            found = interval([(mine[name] - theirs[name], 1) for mine, theirs in pairs])
            if found is not None:
                yield name, found


# --- statistics -----------------------------------------------------------------------------------------------------


class Unit(Enum):
    """Unit in which a statistic is displayed."""

    COUNT = "count"
    SECONDS = "seconds"
    SHARE = "share"
    PLAIN = "plain"


class Figure(Struct, frozen=True):
    """Row of the comparison table."""

    name: str
    label: str
    unit: Unit
    better: int
    """1: higher is better; -1: lower is better; 0: neither in general."""
    only_if_any: bool = False
    """Whether the row is omitted if the value is zero for all policies."""


_PER_AGENT: Final = (
    Figure("contacts_min", "contacts of an agent, fewest", Unit.COUNT, 0),
    Figure("contacts_median", "contacts of an agent, median", Unit.COUNT, 0),
    Figure("contacts_max", "contacts of an agent, most", Unit.COUNT, 0),
    Figure("contacts_gini", "uneven contacts (Gini)", Unit.PLAIN, -1),
)
FIGURES: Final = (
    Figure("contacts", "contacts", Unit.COUNT, 0),
    Figure("answered", "answered", Unit.COUNT, 1),
    Figure("abandoned", "abandoned", Unit.COUNT, -1),
    Figure("abandoned_share", "abandoned, of contacts", Unit.SHARE, -1),
    Figure("blocked", "blocked", Unit.COUNT, -1),
    Figure("expired", "expired", Unit.COUNT, -1, only_if_any=True),
    Figure("called_back", "called back", Unit.COUNT, 0, only_if_any=True),
    Figure("unfinished", "unfinished", Unit.COUNT, -1, only_if_any=True),
    Figure("mean_wait_answered_s", "mean wait of the answered", Unit.SECONDS, -1),
    Figure("mean_wait_all_s", "mean wait of all", Unit.SECONDS, -1),
    Figure("p50_wait_s", "p50 wait", Unit.SECONDS, -1),
    Figure("p90_wait_s", "p90 wait", Unit.SECONDS, -1),
    Figure("p95_wait_s", "p95 wait", Unit.SECONDS, -1),
    Figure("service_level", "service level", Unit.SHARE, 1),
    Figure("occupancy", "occupancy", Unit.SHARE, 0),
    Figure("declined_offers", "declined offers", Unit.COUNT, -1, only_if_any=True),
    Figure("missed_offers", "missed offers (RONA)", Unit.COUNT, -1, only_if_any=True),
    Figure("load_gini", "uneven load (Gini)", Unit.PLAIN, -1),
    *_PER_AGENT,
)
_OF_WHOLE: Final = {"unfinished", "mean_wait_all_s", "p50_wait_s", "occupancy", "load_gini"} | {
    figure.name for figure in _PER_AGENT
}
_OF_QUEUES: Final = tuple(figure for figure in FIGURES if figure.name not in _OF_WHOLE)
_OF_GROUPS: Final = (
    Figure("answered", "answered", Unit.COUNT, 0),
    Figure("occupancy", "occupancy", Unit.SHARE, 0),
)


def figures_of(trial: Trial) -> dict[str, float | None]:
    """Return all statistics by name: of the whole run, of every queue and of every agent group."""
    report = trial.report
    parts, load = report.queues.values(), report.load
    own: dict[str, float | None] = {
        "abandoned_share": _share(report.abandoned, report.contacts),
        "service_level": report.service_level.value,
        "declined_offers": sum(part.declined_offers for part in parts),
        "missed_offers": sum(part.missed_offers for part in parts),
        "load_gini": trial.course.load_gini,
        **{f.name: None if load is None else getattr(load, f.name) for f in _PER_AGENT},
    }
    found = {f.name: own[f.name] if f.name in own else getattr(report, f.name) for f in FIGURES}
    for queue_id, part in report.queues.items():
        found |= {f"queues.{queue_id}.{f.name}": _of_part(part, f.name) for f in _OF_QUEUES}
    for name, group in report.agent_groups.items():
        found |= {f"agent_groups.{name}.{f.name}": getattr(group, f.name) for f in _OF_GROUPS}
    return found


def _of_part(part: PartReport, name: str) -> float | None:
    if name == "abandoned_share":
        return _share(part.abandoned, part.contacts)
    value: float | None = getattr(part, name)
    return value


def _share(count: int, whole: int) -> float | None:
    return round(count / whole, 9) if whole else None


# --- terminal -------------------------------------------------------------------------------------------------------


def render(comparison: Comparison) -> RenderableType:
    """Return the comparison as tables for a terminal: whole run, queues, agent groups."""
    report = comparison.policies[0].report
    whole = _table(comparison, comparison.name)
    _add_rows(whole, comparison, "", FIGURES)
    parts: list[RenderableType] = [whole]
    for title, place, names, figures in (
        ("by queue", "queues", report.queues, _OF_QUEUES),
        ("by agent group", "agent_groups", report.agent_groups, _OF_GROUPS),
    ):
        table = _table(comparison, title)
        for name in names:
            table.add_section()
            table.add_row(Text(name, style="bold"))
            _add_rows(table, comparison, f"{place}.{name}.", figures, indent="  ")
        parts.append(table)
    parts += [Text(f"note: {note}", style="yellow") for note in comparison.notes]
    if comparison.violations:
        parts.append(Text("\n".join(("VIOLATIONS", *comparison.violations)), style="bold red"))
    else:
        checks = sum(one.report.audit.checks for one in comparison.policies)
        parts.append(Text(f"audit: {checks:,} checks, no violation", style="green"))
    return Group(*parts)


def _table(comparison: Comparison, title: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    table.add_column("statistic")
    first, *others = comparison.policies
    table.add_column(Text(first.name), justify="right", overflow="fold")
    for one in others:
        table.add_column(Text(one.name), justify="right", overflow="fold")
        table.add_column("difference", justify="right")
        if one.difference_intervals:
            table.add_column("95 % interval", justify="right")
    return table


def _add_rows(
    table: Table,
    comparison: Comparison,
    place: str,
    figures: Sequence[Figure],
    indent: str = "",
) -> None:
    first, *others = comparison.policies
    for figure in figures:
        name = place + figure.name
        if figure.only_if_any and not any(one.figures.get(name) for one in comparison.policies):
            continue
        cells: list[Text] = [Text(indent + figure.label), Text(shown(figure, first.figures[name]))]
        for one in others:
            cells.append(Text(shown(figure, one.figures.get(name))))
            cells.append(_difference(figure, one.differences.get(name)))
            if one.difference_intervals:
                cells.append(Text(_interval(figure, one.difference_intervals.get(name))))
        table.add_row(*cells)


def shown(figure: Figure, value: float | None) -> str:
    """Format a value with its unit."""
    if value is None:
        return "–"
    match figure.unit:
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.SECONDS:
            return f"{value:,.1f} s"
        case Unit.SHARE:
            return f"{value:.1%}"
        case Unit.PLAIN:
            return f"{value:.3f}"


def signed(figure: Figure, value: float | None) -> str:
    """Format a difference with sign and unit; differences of shares are in percentage points."""
    if value is None:
        return "–"
    points = figure.unit is Unit.SHARE
    size = f"{abs(value) * 100:.1f} pp" if points else shown(figure, abs(value))
    if not any(digit in size for digit in "123456789"):
        return "0" if value == 0 else "≈ 0"
    return ("+" if value > 0 else "−") + size


def _difference(figure: Figure, value: float | None) -> Text:
    text = signed(figure, value)
    if figure.better == 0 or not value or text == "≈ 0":
        return Text(text)
    return Text(text, style="green" if value * figure.better > 0 else "red")


def _interval(figure: Figure, found: Interval | None) -> str:
    return "" if found is None else f"[{signed(figure, found.low)}, {signed(figure, found.high)}]"
