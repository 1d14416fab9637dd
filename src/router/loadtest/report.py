"""Report of a load test: the simulator's report, with the latency, submit delays and checks of the real run.

The statistics of the simulator are computed from the recorded history, with its times converted to times of the day. One
difference is unavoidable: in a real run every step takes time. A contact that was offered in the transaction of its submit counts
as one that did not wait (``p_wait``), although its wait up to the accept is a few milliseconds, and ``speed`` times as much in the
time of the day.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, structs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.loadtest.checks import RunCheck, group_by_moment, outcome_at
from router.loadtest.customers import WITHDRAWN_REASON
from router.loadtest.execution import DayClock
from router.loadtest.http_api import RecordedEvent
from router.loadtest.scaling import is_auto_accepted
from router.loadtest.tracker import ContactTracker, TrackedContact
from router.model import events as ev
from router.model.commands import AdvanceTime, EnqueueContact
from router.model.policy import Policy
from router.model.results import Outcome, RefusalCode, Refused
from router.policy.entry_rules import classify
from router.simulator.day import Day, PlannedContact
from router.simulator.results.estimates import BatchSums, agent_load, percentile
from router.simulator.results.report import AuditResult, RunSpeed, SimulationReport, build_report, render
from router.simulator.results.run_stats import RunStats

LATENCY_DEFINITION: Final = (
    "from sending the submit to the arrival of the offer at a desktop, both in this process and by one clock, for contacts that "
    "were offered in the transaction of their submit"
)


class OfferLatency(Struct, frozen=True, kw_only=True):
    """Latency from submit to offer, measured by the clients, in milliseconds of the wall clock."""

    definition: str = LATENCY_DEFINITION
    samples: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class LoadTestMeasurements(Struct, frozen=True, kw_only=True):
    """Measurements of the run itself; all times are of the wall clock."""

    speed: float
    wall_s: float
    desktops: int
    connections_lost: int
    """Number of desktop connections that were lost and re-established."""
    separate_cores: bool
    """Whether the router had a processor core of its own."""
    latency: OfferLatency
    submit_late_p99_ms: float | None
    """Delay of the submits behind their planned times; a large value means that the load generator was overloaded."""
    submit_late_max_ms: float | None
    rounded: tuple[str, ...]
    """Times of the policy that had to be rounded, as sentences."""
    checks: tuple[RunCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.holds for check in self.checks)


class LoadTestReport(SimulationReport, frozen=True, kw_only=True):
    """Report of the simulator with the measurements of the run."""

    run: LoadTestMeasurements
    passed: bool


def measure_offer_latency(tracker: ContactTracker) -> OfferLatency:
    """Return the latency from submit to offer of a run."""
    found = _percentiles_ms(tracker.latencies_s)
    return OfferLatency(
        samples=len(tracker.latencies_s), p50_ms=found(0.5), p90_ms=found(0.9), p99_ms=found(0.99), max_ms=found(1.0)
    )


def submit_lateness_ms(tracker: ContactTracker, share: float) -> float | None:
    """Return a percentile (``share`` from 0 to 1) of the submit delays; None without submits."""
    return _percentiles_ms([v.lateness_s for v in tracker.contacts if v.sent_at_s is not None])(share)


def _percentiles_ms(values_s: Sequence[float]) -> Callable[[float], float | None]:
    sorted_us = sorted(round(value * 1_000_000) for value in values_s)

    def at(share: float) -> float | None:
        value_us = percentile(sorted_us, share)
        return None if value_us is None else value_us / 1000

    return at


def make_report(
    *,
    day: Day,
    tracker: ContactTracker,
    clock: DayClock,
    history: Sequence[RecordedEvent],
    source: tuple[str, ...],
    options: dict[str, str | int | float | bool | None],
    digests: tuple[str, str],
    audit: AuditResult,
    run: LoadTestMeasurements,
) -> LoadTestReport:
    """Return the report of a finished run."""
    stats = _measure(day, tracker, clock, history)
    sums = BatchSums().add_batches(stats, range(stats.batches))
    report = build_report(
        name=day.name,
        source=source,
        options=options,
        sums=sums,
        samples=(),
        thresholds_s={q.service_level.threshold_s for q in day.policy.queues.values()},
        agents=stats.agents_by_group,
        load=agent_load(stats),
        unfinished=sum(contact.withdrawn for contact in tracker.contacts),
        events=len(history),
        digests=digests,
        audit=audit,
        notes=day.notes,
    )
    plain = {name: getattr(report, name) for name in SimulationReport.__struct_fields__}
    rate = round(report.contacts / run.wall_s, 1)
    plain["contacts_per_second"] = rate
    plain["speed"] = RunSpeed(
        wall_s=round(run.wall_s, 3), contacts_per_second=rate, events_per_second=round(len(history) / run.wall_s, 1)
    )
    return LoadTestReport(**plain, run=run, passed=run.passed)


# --- measuring ------------------------------------------------------------------------------------------------------


def _measure(day: Day, tracker: ContactTracker, clock: DayClock, history: Sequence[RecordedEvent]) -> RunStats:
    stats = RunStats(structs.replace(day, batches=1))
    known_agents: set[str] = set()

    def introduce(agent_id: str) -> None:
        if agent_id not in known_agents:
            known_agents.add(agent_id)
            events: list[ev.Event] = [ev.AgentUpdated(agent_id=agent_id)]
            stats.on_outcome(AdvanceTime(), outcome_at(history, at_ms=day.start_ms, events=events))

    for agent in day.agents:
        introduce(agent.agent_id)
    at_ms = day.start_ms
    for step in group_by_moment(history):
        events = [r.event for r in step if _is_counted(r.event, tracker)]
        at_ms = clock.to_day_ms(step[0].at_ms)
        for event in events:
            if isinstance(event, ev.ContactQueued):
                contact = tracker.by_contact_id(event.contact_id)
                assert contact is not None
                contact.plan = _with_queue(contact.plan, day.policy, event)
                stats.on_arrival(structs.replace(contact.plan, contact_id=event.contact_id))
            elif (agent_id := getattr(event, "agent_id", None)) is not None:
                introduce(agent_id)
        stats.on_outcome(AdvanceTime(), outcome_at(step, at_ms=at_ms, events=events))
    for contact in tracker.contacts:
        if contact.blocked:
            contact.plan = _with_queue(contact.plan, day.policy, None)
            _record_blocked(stats, contact, at_ms)
    stats.close()
    _recount_waited(stats, day, tracker, history)
    return stats


def _with_queue(plan: PlannedContact, policy: Policy, event: ev.ContactQueued | None) -> PlannedContact:
    """Return a planned contact with the queue that the entry rules chose, if it names none.

    A refused contact has no event; its queue is that of the rules without the facts of queues, which are no longer known.
    """
    if plan.queue_id is not None:
        return plan
    if event is None:
        rule = classify(policy, plan.channel, plan.attributes).rule
    else:
        rule = next((one for one in policy.entry if one.name == event.rule), None)
    return structs.replace(plan, queue_id=(policy.default_queue or "") if rule is None else rule.queue)


def _is_counted(event: ev.Event, tracker: ContactTracker) -> bool:
    """Return whether an event counts: those of agents and of this run's contacts, except withdrawals at the end of the day.

    A contact withdrawn at the end of the day counts as unfinished, not as cancelled.
    """
    contact_id = getattr(event, "contact_id", None)
    if contact_id is None:
        return isinstance(event, ev.AgentStateChanged)
    contact = tracker.by_contact_id(contact_id)
    if contact is None:
        return False
    return not (isinstance(event, ev.ContactCancelled) and event.reason == WITHDRAWN_REASON)


def _record_blocked(stats: RunStats, contact: TrackedContact, at_ms: int) -> None:
    stats.on_arrival(contact.plan)
    command = EnqueueContact(contact_id=contact.plan.contact_id, channel=contact.plan.channel)
    refused = Refused(code=RefusalCode.QUEUE_FULL)
    stats.on_outcome(command, Outcome(result=refused, first_seq=0, at_ms=at_ms, events=[]))


def _recount_waited(stats: RunStats, day: Day, tracker: ContactTracker, history: Sequence[RecordedEvent]) -> None:
    """Recount the contacts that waited.

    A contact has not waited if it was offered in the transaction of its submit and that agent accepted it without a planned delay.
    """
    prompt = {agent.agent_id for agent in day.agents if not agent.behaviour.answer_mean_ms}
    at_once: set[str] = set()
    answered: set[str] = set()
    for recorded in history:
        event = recorded.event
        if isinstance(event, ev.OfferMade) and event.waited_ms == 0:
            by_itself = is_auto_accepted(day.policy, queue_id=event.queue_id, channel=event.channel)
            if by_itself or event.agent_id in prompt:
                at_once.add(event.offer_id)
        elif isinstance(event, ev.OfferAccepted) and event.offer_id in at_once:
            answered.add(event.contact_id)
    not_waited: dict[tuple[str, str], int] = {}
    for contact_id in answered:
        contact = tracker.by_contact_id(contact_id)
        if contact is not None and stats.cuts[0] <= contact.plan.at_ms < stats.cuts[-1]:
            assert contact.plan.queue_id is not None, "the queue of a queued contact is known"
            key = (contact.plan.stream or contact.plan.queue_id, contact.plan.queue_id)
            not_waited[key] = not_waited.get(key, 0) + 1
    for (_, stream, queue_id), tally in stats.counts.items():
        entered = tally.answered + tally.abandoned + tally.expired + tally.cancelled
        tally.waited = entered - not_waited.get((stream, queue_id), 0)


# --- tables ---------------------------------------------------------------------------------------------------------


def render_loadtest_report(report: LoadTestReport) -> RenderableType:
    """Return the simulator's tables and those of the run."""
    return Group(render(report), _run_table(report.run), *_check_lines(report.run))


def _run_table(run: LoadTestMeasurements) -> Table:
    table = Table(title="the run (wall clock)", title_justify="left", show_header=False)
    table.add_column("measurement")
    table.add_column("value", justify="right")
    latency = run.latency
    table.add_row("speed", f"{run.speed:g}×")
    table.add_row("duration", f"{run.wall_s:,.1f} s")
    table.add_row("desktops", f"{run.desktops:,}")
    table.add_row("connections lost", f"{run.connections_lost:,}")
    table.add_row("submit → offer p50", _format_ms(latency.p50_ms))
    table.add_row("submit → offer p99", _format_ms(latency.p99_ms))
    table.add_row("submit → offer max", _format_ms(latency.max_ms))
    table.add_row("latency samples", f"{latency.samples:,} contacts offered at once")
    delays = (_format_ms(run.submit_late_p99_ms), _format_ms(run.submit_late_max_ms))
    table.add_row("submit delay p99 / max", " / ".join(delays))
    return table


def _check_lines(run: LoadTestMeasurements) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(f"rounded: {note}", style="yellow") for note in run.rounded]
    for check in run.checks:
        mark, style = ("✓", "green") if check.holds else ("✗", "bold red")
        lines.append(Text(f"{mark} {check.name}: {check.detail}", style=style))
    return lines


def _format_ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f} ms"
