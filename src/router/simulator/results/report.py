"""Report of a simulation: a struct with reproducible JSON, and tables for a terminal.

Times are in seconds. A wait lasts from the submit to the first accept, or to the end of the contact if no agent accepted.
Statistics cover the contacts that arrived within the window (after the warm-up). The speed of the run depends on the machine and
is left out of the JSON unless requested, so that the same input gives the same bytes.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.simulator.results.alert_report import AlertReport, alerts_table
from router.simulator.results.estimates import (
    AgentLoadReport,
    BatchSums,
    ConfidenceInterval,
    Ratio,
    confidence_interval,
    percentile,
    ratios,
)
from router.simulator.results.forecast_accuracy import ForecastReport
from router.simulator.results.run_stats import RunCounts
from router.statistics import service_level as stats
from router.statistics.service_level import ServiceLevelFormula

FORMAT: Final = 1


class ServiceLevelReport(Struct, frozen=True, kw_only=True):
    """Service level by three formulas, which the statistics package defines."""

    value: float | None
    """Service level by ``formula``."""
    threshold_s: int | None
    """Threshold of all queues; none: the thresholds differ, and each contact is judged by that of its queue."""
    formula: ServiceLevelFormula = ServiceLevelFormula.EXCLUDE_SHORT
    of_offered: float | None = None
    exclude_early: float | None = None


class PartReport(Struct, frozen=True, kw_only=True):
    """Statistics of a queue or an arrival stream."""

    contacts: int
    answered: int
    abandoned: int
    blocked: int
    expired: int
    called_back: int
    declined_offers: int
    missed_offers: int
    p_wait: float | None
    mean_wait_answered_s: float | None
    mean_wait_all_s: float | None
    p50_wait_s: float | None
    p90_wait_s: float | None
    p95_wait_s: float | None
    service_level: float | None
    mean_handle_s: float | None


class GroupReport(Struct, frozen=True, kw_only=True):
    """Statistics of an agent group."""

    agents: int
    answered: int
    answered_by_stream: dict[str, int]
    occupancy: float | None
    """Time with open work (talk, hold, wrap-up) / time ready or with open work."""
    on_duty_s: float


class AuditResult(Struct, frozen=True, kw_only=True):
    """Result of the independent audit."""

    checks: int
    violations: tuple[str, ...] = ()


class RunSpeed(Struct, frozen=True, kw_only=True):
    """Speed of the run on this machine."""

    wall_s: float
    contacts_per_second: float
    events_per_second: float


class SimulationReport(Struct, frozen=True, kw_only=True):
    """Results of a simulation. With several replications, counts are sums over all of them."""

    format: int = FORMAT
    name: str
    source: tuple[str, ...]
    options: dict[str, str | int | float | bool | None]
    """Seed and options, given or drawn."""
    window_s: float
    contacts: int
    answered: int
    abandoned: int
    blocked: int
    expired: int
    cancelled: int
    called_back: int
    """Contacts served by a callback that an agent accepted before the customer was called; not among the answered."""
    unfinished: int
    """Contacts that were still live at the end because no agent was available."""
    p_wait: float | None
    mean_wait_answered_s: float | None
    mean_wait_all_s: float | None
    p50_wait_s: float | None
    p90_wait_s: float | None
    p95_wait_s: float | None
    service_level: ServiceLevelReport
    mean_handle_s: float | None
    mean_waiting: float | None
    occupancy: float | None
    queues: dict[str, PartReport]
    streams: dict[str, PartReport]
    agent_groups: dict[str, GroupReport]
    load: AgentLoadReport | None = None
    """Distribution of contacts over the agents who were on duty."""
    intervals: dict[str, ConfidenceInterval]
    """95 % confidence intervals by the path of the value; empty for a single run in one batch."""
    events: int
    digest: str
    """Hash over every event with its time, in order."""
    state_digest: str
    """Hash of the engine's final state, of the last replication."""
    audit: AuditResult
    contacts_per_second: float | None = None
    speed: RunSpeed | None = None
    forecasts: dict[str, ForecastReport] = {}
    """Accuracy of expected waits by queue; ``*``: all queues."""
    alerts: dict[str, AlertReport] = {}
    """Alerts of the policy, with those that it would have raised."""
    notes: tuple[str, ...] = ()
    """Remarks that a reader of the results must know, such as entry rules that are never evaluated."""

    def to_json(self, *, with_speed: bool = False) -> bytes:
        """Return indented JSON; the same input gives the same bytes unless the speed is included."""
        report = self
        if not with_speed:
            report = msgspec.structs.replace(self, contacts_per_second=None, speed=None)
        return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


# --- building -------------------------------------------------------------------------------------------------------


def part_report(counts: RunCounts) -> PartReport:
    """Return the statistics of a queue or stream."""
    waits = sorted(counts.waits)
    named = {k: _divide(v) for k, v in ratios_of(counts).items()}
    return PartReport(
        contacts=counts.contacts,
        answered=counts.answered,
        abandoned=counts.abandoned,
        blocked=counts.blocked,
        expired=counts.expired,
        called_back=counts.called_back,
        declined_offers=counts.declined,
        missed_offers=counts.missed,
        p_wait=named["p_wait"],
        mean_wait_answered_s=named["mean_wait_answered_s"],
        mean_wait_all_s=named["mean_wait_all_s"],
        p50_wait_s=_seconds(percentile(waits, 0.5)),
        p90_wait_s=_seconds(percentile(waits, 0.9)),
        p95_wait_s=_seconds(percentile(waits, 0.95)),
        service_level=named["service_level"],
        mean_handle_s=named["mean_handle_s"],
    )


def ratios_of(counts: RunCounts) -> dict[str, Ratio]:
    """Return the ratios of one set of counts."""
    sums = BatchSums()
    sums.total.add(counts)
    return ratios(sums)


def intervals_of(samples: Sequence[BatchSums]) -> dict[str, ConfidenceInterval]:
    """Return the confidence intervals of all ratios, and of counts and percentiles as means over the samples."""
    columns: dict[str, list[Ratio]] = {}
    for sums in samples:
        for name, ratio in (ratios(sums) | _counts(sums)).items():
            columns.setdefault(name, []).append(ratio)
    found = {name: confidence_interval(column) for name, column in sorted(columns.items())}
    return {name: i for name, i in found.items() if i is not None}


def _counts(sums: BatchSums) -> dict[str, Ratio]:
    total = sums.total
    waits = sorted(total.waits)
    found: dict[str, Ratio] = {
        "contacts": (total.contacts, 1),
        "answered": (total.answered, 1),
        "abandoned": (total.abandoned, 1),
        "blocked": (total.blocked, 1),
    }
    for name, share in (("p50_wait_s", 0.5), ("p90_wait_s", 0.9), ("p95_wait_s", 0.95)):
        wait_ms = percentile(waits, share)
        if wait_ms is not None:
            found[name] = (wait_ms / 1000, 1)
    return found


def group_reports(sums: BatchSums, agents: dict[str, int]) -> dict[str, GroupReport]:
    """Return the statistics by agent group; ``agents`` has the size of each group."""
    return {
        name: GroupReport(
            agents=agents.get(name, 0),
            answered=sum(sums.groups.get(name, {}).values()),
            answered_by_stream=dict(sorted(sums.groups.get(name, {}).items())),
            occupancy=_divide((sums.handling_ms[name], on_duty_ms)),
            on_duty_s=on_duty_ms / 1000,
        )
        for name, on_duty_ms in sorted(sums.on_duty_ms.items())
    }


def _divide(ratio: Ratio) -> float | None:
    return round(ratio[0] / ratio[1], 9) if ratio[1] else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def service_level(sums: BatchSums, thresholds_s: set[int]) -> ServiceLevelReport:
    """Return the service level over all queues, each contact judged by the threshold of its queue."""
    counts = sums.total.service
    return ServiceLevelReport(
        value=_rounded(stats.service_level(counts)),
        threshold_s=next(iter(thresholds_s)) if len(thresholds_s) == 1 else None,
        of_offered=_rounded(stats.service_level(counts, ServiceLevelFormula.OF_OFFERED)),
        exclude_early=_rounded(stats.service_level(counts, ServiceLevelFormula.EXCLUDE_EARLY)),
    )


def build_report(
    *,
    name: str,
    source: tuple[str, ...],
    options: dict[str, str | int | float | bool | None],
    sums: BatchSums,
    samples: Sequence[BatchSums],
    thresholds_s: set[int],
    agents: dict[str, int],
    load: AgentLoadReport | None,
    unfinished: int,
    events: int,
    digests: tuple[str, str],
    audit: AuditResult,
    forecasts: dict[str, ForecastReport] | None = None,
    alerts: dict[str, AlertReport] | None = None,
    notes: tuple[str, ...] = (),
) -> SimulationReport:
    """Build the report of one run or of several replications."""
    total = sums.total
    summary = part_report(total)
    named = ratios(sums)
    return SimulationReport(
        name=name,
        source=source,
        options=options,
        window_s=sums.window_ms / 1000,
        contacts=total.contacts,
        answered=total.answered,
        abandoned=total.abandoned,
        blocked=total.blocked,
        expired=total.expired,
        cancelled=total.cancelled,
        called_back=total.called_back,
        unfinished=unfinished,
        p_wait=summary.p_wait,
        mean_wait_answered_s=summary.mean_wait_answered_s,
        mean_wait_all_s=summary.mean_wait_all_s,
        p50_wait_s=summary.p50_wait_s,
        p90_wait_s=summary.p90_wait_s,
        p95_wait_s=summary.p95_wait_s,
        service_level=service_level(sums, thresholds_s),
        mean_handle_s=summary.mean_handle_s,
        mean_waiting=_divide(named["mean_waiting"]),
        occupancy=_divide(named["occupancy"]),
        queues={k: part_report(t) for k, t in sorted(sums.queues.items())},
        streams={k: part_report(t) for k, t in sorted(sums.streams.items())},
        agent_groups=group_reports(sums, agents),
        load=load,
        intervals=intervals_of(samples),
        events=events,
        digest=digests[0],
        state_digest=digests[1],
        audit=audit,
        forecasts=forecasts or {},
        alerts=alerts or {},
        notes=notes,
    )


# --- terminal -------------------------------------------------------------------------------------------------------


def render(report: SimulationReport) -> RenderableType:
    """Return the report as tables for a terminal."""
    parts: list[RenderableType] = [_summary_table(report), _parts_table("queue", report.queues)]
    if set(report.streams) != set(report.queues):
        parts.append(_parts_table("stream", report.streams))
    parts.append(_groups_table(report))
    if report.forecasts:
        parts.append(_forecasts_table(report))
    if report.alerts:
        parts.append(alerts_table(report.alerts))
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    if report.audit.violations:
        parts.append(Text("\n".join(("VIOLATIONS", *report.audit.violations)), style="bold red"))
    else:
        parts.append(Text(f"audit: {report.audit.checks:,} checks, no violation", style="green"))
    return Group(*parts)


def _summary_table(report: SimulationReport) -> Table:
    table = Table(title=report.name, title_justify="left")
    table.add_column("statistic")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    level = report.service_level
    rows = {
        "contacts": report.contacts,
        "answered": report.answered,
        "abandoned": report.abandoned,
        "blocked": report.blocked,
        "expired": report.expired,
        **({"called_back": report.called_back} if report.called_back else {}),
        "unfinished": report.unfinished,
        "p_wait": report.p_wait,
        "mean_wait_answered_s": report.mean_wait_answered_s,
        "mean_wait_all_s": report.mean_wait_all_s,
        "p50_wait_s": report.p50_wait_s,
        "p90_wait_s": report.p90_wait_s,
        "p95_wait_s": report.p95_wait_s,
        "service_level": level.value,
        "service_level_of_offered": level.of_offered,
        "service_level_exclude_early": level.exclude_early,
        "mean_handle_s": report.mean_handle_s,
        "mean_waiting": report.mean_waiting,
        "occupancy": report.occupancy,
        **_load(report.load),
    }
    for name, value in rows.items():
        table.add_row(name, _shown(value), _shown_interval(report.intervals.get(name)))
    table.add_row("events", f"{report.events:,}", "")
    table.add_row("digest", report.digest[:16], "")
    if report.speed is not None:
        table.add_row("contacts per second", f"{report.speed.contacts_per_second:,.0f}", "")
    return table


def _load(load: AgentLoadReport | None) -> dict[str, float | None]:
    if load is None:
        return {}
    return {
        "contacts_per_agent_min": load.contacts_min,
        "contacts_per_agent_median": load.contacts_median,
        "contacts_per_agent_max": load.contacts_max,
        "contacts_per_agent_gini": load.contacts_gini,
    }


def _parts_table(kind: str, parts: dict[str, PartReport]) -> Table:
    table = Table()
    table.add_column(kind)
    columns = ("contacts", "answered", "abandoned", "blocked", "p_wait", "mean_wait_answered_s",
               "p90_wait_s", "service_level", "mean_handle_s")  # fmt: skip
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, one in parts.items():
        table.add_row(name, *(_shown(getattr(one, column)) for column in columns))
    return table


def _groups_table(report: SimulationReport) -> Table:
    table = Table()
    for column in ("agent group", "agents", "answered", "occupancy"):
        table.add_column(column, justify="left" if column == "agent group" else "right")
    for name, group in report.agent_groups.items():
        table.add_row(name, *map(_shown, (group.agents, group.answered, group.occupancy)))
    return table


def _forecasts_table(report: SimulationReport) -> Table:
    table = Table()
    columns = ("expected wait", "answered", "in 50 %", "in 90 %", "error s", "bias s",
               "uncalibrated", "in 90 %", "last wait", "last hour")  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column == "expected wait" else "right")
    for name, one in report.forecasts.items():
        expected, plain = one.expected, one.uncalibrated
        values = (one.answered, expected.within_50, expected.within_90, expected.mean_error_s,
                   expected.bias_s, plain.mean_error_s, plain.within_90,
                   one.last_wait.mean_error_s, one.last_hour.mean_error_s)  # fmt: skip
        table.add_row("all queues" if name == "*" else name, *map(_shown, values))
    return table


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _shown_interval(found: ConfidenceInterval | None) -> str:
    return "" if found is None else f"[{_shown(found.low)}, {_shown(found.high)}]"
