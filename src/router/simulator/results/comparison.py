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

from router.simulator.results.day_profile import DayProfile
from router.simulator.results.estimates import ConfidenceInterval, confidence_interval
from router.simulator.results.report import PartReport, SimulationReport

FORMAT: Final = 1


class PolicyRun(Struct, frozen=True, kw_only=True):
    """Results of one policy's run."""

    name: str
    report: SimulationReport
    profile: DayProfile
    samples: tuple[Mapping[str, float], ...] = ()
    """Statistics of each replication, by name."""


class PolicyResult(Struct, frozen=True, kw_only=True):
    """One policy compared with the first. Names are paths such as ``occupancy`` or ``queues.vip.service_level``."""

    name: str
    stats: dict[str, float | None]
    differences: dict[str, float | None]
    """Value of this policy minus that of the first; none if either is missing; zero for the first policy itself."""
    difference_intervals: dict[str, ConfidenceInterval]
    """95 % confidence intervals of the paired differences; empty without replications, and for the first policy."""
    profile: DayProfile
    report: SimulationReport


class Comparison(Struct, frozen=True, kw_only=True):
    """All policies on the same day; the first is the baseline."""

    format: int = FORMAT
    name: str
    source: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Remarks that affect the comparison, such as different service-level thresholds."""
    policies: tuple[PolicyResult, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        """The violations found by the audits, each with the name of its policy."""
        return tuple(f"{one.name}: {v}" for one in self.policies for v in one.report.audit.violations)

    def to_json(self, *, with_speed: bool = False) -> bytes:
        """Return indented JSON; the same input gives the same bytes unless the speed is included."""
        shown = self
        if not with_speed:
            quiet = [
                structs.replace(one, report=structs.replace(one.report, contacts_per_second=None, speed=None))
                for one in self.policies
            ]
            shown = structs.replace(self, policies=tuple(quiet))
        return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"


def compare_runs(trials: Sequence[PolicyRun], *, notes: Sequence[str] = ()) -> Comparison:
    """Compare all runs with the first; they must be runs of the same days."""
    first = trials[0]
    base = stats_of(first)
    return Comparison(
        name=first.report.name,
        source=first.report.source,
        notes=tuple(notes),
        policies=tuple(_result(trial, first, base) for trial in trials),
    )


def _result(trial: PolicyRun, first: PolicyRun, base: Mapping[str, float | None]) -> PolicyResult:
    found = stats_of(trial)
    return PolicyResult(
        name=trial.name,
        stats=found,
        differences={name: _difference_of(value, base.get(name)) for name, value in found.items()},
        difference_intervals={} if trial is first else dict(_intervals(trial, first)),
        profile=trial.profile,
        report=trial.report,
    )


def _difference_of(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else round(value - base, 9)


def _intervals(trial: PolicyRun, first: PolicyRun) -> Iterator[tuple[str, ConfidenceInterval]]:
    """Return confidence intervals of paired differences, without statistics that any replication lacks."""
    pairs = list(zip(trial.samples, first.samples, strict=True))
    for name in sorted(stats_of(trial)):
        if pairs and all(name in own and name in base for own, base in pairs):
            found = confidence_interval([(own[name] - base[name], 1) for own, base in pairs])
            if found is not None:
                yield name, found


# --- statistics -----------------------------------------------------------------------------------------------------


class StatUnit(Enum):
    """Unit in which a statistic is displayed."""

    COUNT = "count"
    SECONDS = "seconds"
    SHARE = "share"
    PLAIN = "plain"


class StatRow(Struct, frozen=True):
    """Row of the comparison table."""

    name: str
    label: str
    unit: StatUnit
    better_direction: int
    """1: higher is better; -1: lower is better; 0: neither in general."""
    only_if_any: bool = False
    """Whether the row is omitted if the value is zero for all policies."""


_PER_AGENT_ROWS: Final = (
    StatRow("contacts_min", "contacts of an agent, fewest", StatUnit.COUNT, 0),
    StatRow("contacts_median", "contacts of an agent, median", StatUnit.COUNT, 0),
    StatRow("contacts_max", "contacts of an agent, most", StatUnit.COUNT, 0),
    StatRow("contacts_gini", "uneven contacts (Gini)", StatUnit.PLAIN, -1),
)
STAT_ROWS: Final = (
    StatRow("contacts", "contacts", StatUnit.COUNT, 0),
    StatRow("answered", "answered", StatUnit.COUNT, 1),
    StatRow("abandoned", "abandoned", StatUnit.COUNT, -1),
    StatRow("abandoned_share", "abandoned, of contacts", StatUnit.SHARE, -1),
    StatRow("blocked", "blocked", StatUnit.COUNT, -1),
    StatRow("expired", "expired", StatUnit.COUNT, -1, only_if_any=True),
    StatRow("called_back", "called back", StatUnit.COUNT, 0, only_if_any=True),
    StatRow("unfinished", "unfinished", StatUnit.COUNT, -1, only_if_any=True),
    StatRow("mean_wait_answered_s", "mean wait of the answered", StatUnit.SECONDS, -1),
    StatRow("mean_wait_all_s", "mean wait of all", StatUnit.SECONDS, -1),
    StatRow("p50_wait_s", "p50 wait", StatUnit.SECONDS, -1),
    StatRow("p90_wait_s", "p90 wait", StatUnit.SECONDS, -1),
    StatRow("p95_wait_s", "p95 wait", StatUnit.SECONDS, -1),
    StatRow("service_level", "service level", StatUnit.SHARE, 1),
    StatRow("occupancy", "occupancy", StatUnit.SHARE, 0),
    StatRow("declined_offers", "declined offers", StatUnit.COUNT, -1, only_if_any=True),
    StatRow("missed_offers", "missed offers (RONA)", StatUnit.COUNT, -1, only_if_any=True),
    StatRow("load_gini", "uneven load (Gini)", StatUnit.PLAIN, -1),
    *_PER_AGENT_ROWS,
)
_WHOLE_ONLY: Final = {"unfinished", "mean_wait_all_s", "p50_wait_s", "occupancy", "load_gini"} | {
    row.name for row in _PER_AGENT_ROWS
}
_QUEUE_ROWS: Final = tuple(row for row in STAT_ROWS if row.name not in _WHOLE_ONLY)
_GROUP_ROWS: Final = (StatRow("answered", "answered", StatUnit.COUNT, 0), StatRow("occupancy", "occupancy", StatUnit.SHARE, 0))


def stats_of(trial: PolicyRun) -> dict[str, float | None]:
    """Return all statistics by name: of the whole run, of every queue and of every agent group."""
    report = trial.report
    parts, load = report.queues.values(), report.load
    own: dict[str, float | None] = {
        "abandoned_share": _share(report.abandoned, report.contacts),
        "service_level": report.service_level.value,
        "declined_offers": sum(part.declined_offers for part in parts),
        "missed_offers": sum(part.missed_offers for part in parts),
        "load_gini": trial.profile.load_gini,
        **{f.name: None if load is None else getattr(load, f.name) for f in _PER_AGENT_ROWS},
    }
    found = {f.name: own[f.name] if f.name in own else getattr(report, f.name) for f in STAT_ROWS}
    for queue_id, part in report.queues.items():
        found |= {f"queues.{queue_id}.{f.name}": _of_part(part, f.name) for f in _QUEUE_ROWS}
    for name, group in report.agent_groups.items():
        found |= {f"agent_groups.{name}.{f.name}": getattr(group, f.name) for f in _GROUP_ROWS}
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
    _add_rows(whole, comparison, "", STAT_ROWS)
    parts: list[RenderableType] = [whole]
    for title, place, names, rows in (
        ("by queue", "queues", report.queues, _QUEUE_ROWS),
        ("by agent group", "agent_groups", report.agent_groups, _GROUP_ROWS),
    ):
        table = _table(comparison, title)
        for name in names:
            table.add_section()
            table.add_row(Text(name, style="bold"))
            _add_rows(table, comparison, f"{place}.{name}.", rows, indent="  ")
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


def _add_rows(table: Table, comparison: Comparison, place: str, rows: Sequence[StatRow], indent: str = "") -> None:
    first, *others = comparison.policies
    for row in rows:
        name = place + row.name
        if row.only_if_any and not any(one.stats.get(name) for one in comparison.policies):
            continue
        cells: list[Text] = [Text(indent + row.label), Text(format_stat(row, first.stats[name]))]
        for one in others:
            cells.append(Text(format_stat(row, one.stats.get(name))))
            cells.append(_difference(row, one.differences.get(name)))
            if one.difference_intervals:
                cells.append(Text(_interval(row, one.difference_intervals.get(name))))
        table.add_row(*cells)


def format_stat(row: StatRow, value: float | None) -> str:
    """Format a value with its unit."""
    if value is None:
        return "–"
    match row.unit:
        case StatUnit.COUNT:
            return f"{value:,.0f}"
        case StatUnit.SECONDS:
            return f"{value:,.1f} s"
        case StatUnit.SHARE:
            return f"{value:.1%}"
        case StatUnit.PLAIN:
            return f"{value:.3f}"


def format_difference(row: StatRow, value: float | None) -> str:
    """Format a difference with sign and unit; differences of shares are in percentage points."""
    if value is None:
        return "–"
    points = row.unit is StatUnit.SHARE
    size = f"{abs(value) * 100:.1f} pp" if points else format_stat(row, abs(value))
    if not any(digit in size for digit in "123456789"):
        return "0" if value == 0 else "≈ 0"
    return ("+" if value > 0 else "−") + size


def _difference(row: StatRow, value: float | None) -> Text:
    text = format_difference(row, value)
    if row.better_direction == 0 or not value or text == "≈ 0":
        return Text(text)
    return Text(text, style="green" if value * row.better_direction > 0 else "red")


def _interval(row: StatRow, found: ConfidenceInterval | None) -> str:
    return "" if found is None else f"[{format_difference(row, found.low)}, {format_difference(row, found.high)}]"
