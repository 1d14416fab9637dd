"""Statistics of a recorded day, counted by the code of a live router (``router.statistics``).

The events of a journal are counted as they are. A log of another kind has no events; those that its contacts imply are made from
it: queued at the arrival, offered and accepted after the recorded wait, ended after the handle time, or lost after the patience.
Nothing is simulated: the figures are those of the day as it was. What such a log does not have (offers that were missed, wrap-up,
times not ready) is not in the figures.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from router.model.events import Event
from router.model.events.agent import AgentStateChanged, AgentUpdated, AssignmentCompleted, OfferAccepted, OfferMade
from router.model.events.contact import ContactAbandoned, ContactCancelled, ContactEnded, ContactExpired, ContactQueued
from router.model.events.workspace import PolicyPublished
from router.model.policy import Policy
from router.model.states import AgentState
from router.policy.calendar import local_day_bounds
from router.runtime.journal_reading import WorkspaceReading
from router.simulator.day import DayWindow, PlannedAgent, PlannedContact, RecordedOutcome, WorkloadInvalid
from router.simulator.formats import parse_logs
from router.simulator.formats.journal import read_journal
from router.simulator.formats.recorded_log import RecordedLog, derived_policy
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion, spans_of
from router.statistics.rows import StatisticsRow
from router.statistics.workspace import WorkspaceStats

DAY_MS: Final = 86_400_000
WINDOW_MS_MAX: Final = 7 * DAY_MS
"""Limit of a window: for eight days the statistics have quarters of an hour."""

_UNKNOWN_AGENT: Final = "unknown"
_BY_RULES: Final = "by-rules"
_ORDER: Final[dict[type, int]] = {
    PolicyPublished: 0,
    AgentUpdated: 1,
    ContactEnded: 2,
    AssignmentCompleted: 3,
    AgentStateChanged: 4,
    ContactQueued: 5,
}


class RecordedDay(Struct, frozen=True, kw_only=True):
    """Figures of a recorded day."""

    name: str
    zone: str
    """IANA zone of the policy, in which the day begins and ends."""
    from_ms: int
    to_ms: int
    is_derived: bool
    """Whether the events were made from a log without events."""
    intervals: list[StatisticsRow]
    """The workspace by interval, with a row for each."""
    rows: dict[Dimension, list[StatisticsRow]]
    """Rows of the whole window by dimension."""
    notes: tuple[str, ...]


def count_day(sources: Sequence[str], window: DayWindow, *, policy: Policy | None, interval: Interval | None) -> RecordedDay:
    """Return the figures of a day; without a window the local day of the last arrival.

    Raises ``WorkloadInvalid`` (no contacts, a window that is too long) and ``JournalError``.
    """
    journals = [source for source in sources if source.startswith("journal:")]
    if not journals:
        return _count_log(parse_logs(sources, window), window, policy, interval)
    if len(sources) > 1 or policy is not None:
        raise WorkloadInvalid("a report of a journal has one --log and the policy of the journal")
    source = journals[0].removeprefix("journal:")
    window = window if window.to_ms is not None and window.from_ms is not None else _last_day(source, window)
    return read_journal(source, lambda reading: _count_journal(reading, window, interval))


# --- journals -------------------------------------------------------------------------------------------------------


def _last_day(source: str, window: DayWindow) -> DayWindow:
    """Return the window with the local day of its last arrival for what it leaves open."""

    def last_arrival(reading: WorkspaceReading) -> tuple[int, str]:
        found_ms, zone = -1, "UTC" if reading.engine is None or reading.engine.policy is None else reading.engine.policy.zone
        for record in reading.records:
            if window.is_over(record.at_ms):
                break
            for event in record.events:
                if isinstance(event, PolicyPublished):
                    zone = event.policy.zone
                elif isinstance(event, ContactQueued):
                    found_ms = record.at_ms
        return found_ms, zone

    at_ms, zone = read_journal(source, last_arrival)
    if at_ms < 0:
        raise WorkloadInvalid("the journal has no contacts in this time")
    return _whole_day(window, at_ms, zone)


def _whole_day(window: DayWindow, at_ms: int, zone: str) -> DayWindow:
    from_ms, to_ms = local_day_bounds(zone, at_ms)
    start_ms = from_ms if window.from_ms is None else window.from_ms
    return DayWindow(start_ms, to_ms if window.to_ms is None else window.to_ms)


def _count_journal(reading: WorkspaceReading, window: DayWindow, interval: Interval | None) -> RecordedDay:
    stats = _restored(reading.stats_state)
    last_ms = 0
    for record in reading.records:
        if window.is_over(record.at_ms):
            break
        for number, event in enumerate(record.events):
            stats.apply(event, record.first_seq + number, record.at_ms)
        last_ms = record.at_ms
    return _figures(stats, f"journal {reading.workspace}", window, interval, last_ms=last_ms)


def _restored(stats_state: bytes) -> WorkspaceStats:
    if not stats_state:
        return WorkspaceStats(local_day_bounds)
    try:
        return WorkspaceStats.restore(stats_state, local_day_bounds)
    except ValueError:
        raise WorkloadInvalid(
            "the first events of the journal are in an archive, and its snapshot has statistics of another version; "
            "put the archive back (`router journal unarchive`)"
        ) from None


# --- other logs -----------------------------------------------------------------------------------------------------


def _count_log(log: RecordedLog, window: DayWindow, policy: Policy | None, interval: Interval | None) -> RecordedDay:
    if not log.contacts:
        raise WorkloadInvalid("the logs have no contacts")
    chosen = policy or derived_policy(log)
    window = _whole_day(window, log.contacts[-1].at_ms, chosen.zone)
    stats = WorkspaceStats(local_day_bounds)
    last_ms = 0
    for seq, (at_ms, event) in enumerate(_events_of(log, chosen), start=1):
        if window.is_over(at_ms):
            break
        stats.apply(event, seq, at_ms)
        last_ms = at_ms
    return _figures(stats, log.name, window, interval, last_ms=last_ms, notes=log.notes, is_derived=True)


def _events_of(log: RecordedLog, policy: Policy) -> Iterator[tuple[int, Event]]:
    """Yield the events that a log implies, in order."""
    found: list[tuple[int, Event]] = []
    for agent in log.agents:
        found += _agent_events(agent)
    if any(contact.served_by is None for contact in log.contacts):
        found.append((0, AgentUpdated(agent_id=_UNKNOWN_AGENT)))
    for contact in log.contacts:
        found += _contact_events(contact)
    start_ms = min(at_ms for at_ms, event in found if not isinstance(event, AgentUpdated))
    timed = [(start_ms, PolicyPublished(version=1, policy=policy)), *((max(at_ms, start_ms), event) for at_ms, event in found)]
    # Sorting keeps the order of events of one kind; an agent is free before the next contact comes.
    yield from sorted(timed, key=lambda pair: (pair[0], _ORDER.get(type(pair[1]), 6)))


def _agent_events(agent: PlannedAgent) -> Iterable[tuple[int, Event]]:
    yield 0, AgentUpdated(agent_id=agent.agent_id, skills=agent.skills)
    for shift in agent.shifts:
        yield shift.from_ms, _state(agent.agent_id, AgentState.READY, AgentState.OFFLINE)
        if shift.to_ms is not None:
            yield shift.to_ms, _state(agent.agent_id, AgentState.OFFLINE, AgentState.READY)


def _state(agent_id: str, state: AgentState, before: AgentState) -> AgentStateChanged:
    return AgentStateChanged(agent_id=agent_id, state=state, from_state=before)


def _contact_events(contact: PlannedContact) -> Iterable[tuple[int, Event]]:
    contact_id, queue_id, at_ms = contact.contact_id, contact.queue_id or _BY_RULES, contact.at_ms
    yield (
        at_ms,
        ContactQueued(contact_id=contact_id, channel=contact.channel, queue_id=queue_id, requirement="", policy_version=1),
    )
    wait_ms = contact.waited_ms if contact.patience_ms is None else contact.patience_ms
    outcome = contact.outcome or (RecordedOutcome.ABANDONED if contact.patience_ms is not None else RecordedOutcome.ANSWERED)
    if wait_ms is None or outcome is RecordedOutcome.OPEN:
        return
    until_ms = at_ms + wait_ms
    lost: dict[str, Any] = {"contact_id": contact_id, "queue_id": queue_id}
    match outcome:
        case RecordedOutcome.ABANDONED:
            yield until_ms, ContactAbandoned(**lost, waited_ms=wait_ms)
        case RecordedOutcome.EXPIRED:
            yield until_ms, ContactExpired(**lost, waited_ms=wait_ms, reason="wait_max")
        case RecordedOutcome.CANCELLED:
            yield until_ms, ContactCancelled(**lost, waited_ms=wait_ms, reason="cancelled")
        case _:
            yield from _conversation_events(contact, queue_id, until_ms)


def _conversation_events(contact: PlannedContact, queue_id: str, at_ms: int) -> Iterable[tuple[int, Event]]:
    contact_id, agent_id, offer_id = contact.contact_id, contact.served_by or _UNKNOWN_AGENT, f"{contact.contact_id}.1"
    yield (
        at_ms,
        OfferMade(
            offer_id=offer_id,
            contact_id=contact_id,
            agent_id=agent_id,
            channel=contact.channel,
            queue_id=queue_id,
            units=0,
            deadline_ms=at_ms,
            requirement="",
            effective_priority_s=0,
            policy_version=1,
            reason="recorded",
        ),
    )
    yield at_ms, OfferAccepted(offer_id=offer_id, contact_id=contact_id, agent_id=agent_id, waited_ms=at_ms - contact.at_ms)
    end_ms = at_ms + max(1, contact.handle_ms)  # After the accept, also in the order of one millisecond.
    yield end_ms, ContactEnded(contact_id=contact_id, assignment_id=offer_id, agent_id=agent_id, reason="completed")
    yield end_ms, AssignmentCompleted(assignment_id=offer_id, contact_id=contact_id, agent_id=agent_id, reason="no_wrap_up")


# --- figures --------------------------------------------------------------------------------------------------------


def _figures(
    stats: WorkspaceStats,
    name: str,
    window: DayWindow,
    interval: Interval | None,
    *,
    last_ms: int,
    notes: tuple[str, ...] = (),
    is_derived: bool = False,
) -> RecordedDay:
    assert window.from_ms is not None
    assert window.to_ms is not None
    if window.to_ms - window.from_ms > WINDOW_MS_MAX:
        raise WorkloadInvalid(f"a report covers at most {WINDOW_MS_MAX // DAY_MS} days: give --from and --to")
    to_ms = min(window.to_ms, last_ms + 1)
    if to_ms <= window.from_ms:
        raise WorkloadInvalid("the logs have nothing between --from and --to; times without a zone are UTC")
    chosen = interval or _fitting_interval(to_ms - window.from_ms)

    question = StatisticsQuestion(by=Dimension.WORKSPACE, from_ms=window.from_ms, to_ms=to_ms)
    return RecordedDay(
        name=name,
        zone=stats.history.zone,
        from_ms=window.from_ms,
        to_ms=to_ms,
        is_derived=is_derived,
        intervals=_by_interval(stats, question._replace(interval=chosen), last_ms),
        rows={by: _answer(stats, question._replace(by=by), last_ms) for by in Dimension},
        notes=notes,
    )


def _answer(stats: WorkspaceStats, question: StatisticsQuestion, now_ms: int) -> list[StatisticsRow]:
    steps = stats.rows(question, now_ms)
    while True:
        try:
            next(steps)
        except StopIteration as result:
            found: list[StatisticsRow] = result.value
            return found


def _by_interval(stats: WorkspaceStats, question: StatisticsQuestion, now_ms: int) -> list[StatisticsRow]:
    """Return a row for each interval from the first to the last one in which something was counted."""
    counted = {row.from_ms: row for row in _answer(stats, question, now_ms)}
    if not counted:
        return []
    spans = spans_of(stats.history, question, now_ms)
    return [
        counted.get(span.start_ms) or StatisticsRow(from_ms=span.start_ms, to_ms=span.end_ms)
        for span in spans
        if min(counted) <= span.start_ms <= max(counted)
    ]


def _fitting_interval(length_ms: int) -> Interval:
    if length_ms <= DAY_MS // 4:
        return Interval.QUARTER
    return Interval.HALF_HOUR if length_ms <= DAY_MS + DAY_MS // 12 else Interval.HOUR
