"""Statistics of a workspace: every event is applied once and in order, and views can be read at any time.

A live router, a replay and the simulator use the same code, so that their statistics can be compared. Reading changes nothing.
Contacts, offers and assignments are forgotten after their last event; ``history`` keeps what was counted by time.
"""

from collections.abc import Generator
from copy import copy
from typing import Final, NamedTuple

import msgspec

from router.model.commands import AlertReading
from router.model.events import Event
from router.model.policy import Policy
from router.model.views import WorkspaceCounts
from router.statistics.alerts import AlertEvaluator, KnownAlerts, PresentFigures
from router.statistics.changed_rows import ChangedRows
from router.statistics.counters import ContactCounters, sum_counters
from router.statistics.event_handlers import EVENT_HANDLERS
from router.statistics.history import DayOf, History, utc_day
from router.statistics.incremental import IncrementalStats
from router.statistics.occupancy import AgentActivity, WorkforceTime, occupancy, utilisation
from router.statistics.open_records import ASSIGNED, CALLBACK, OFFERED, QUEUED, SUSPENDED
from router.statistics.questions import StatisticsQuestion, answer
from router.statistics.rows import StatisticsRow
from router.statistics.service_level import WaitHistogram
from router.statistics.state import FORMAT, AlertCounters, EntryRuleCounters, StatsSnapshot, StatsState
from router.statistics.views import (
    AgentStatsView,
    QueueStatsView,
    WorkspaceStatsView,
    agent_stats,
    contact_stats,
    queue_stats,
    wait_stats,
)

_ENCODER: Final = msgspec.msgpack.Encoder()


class QueueTotals(NamedTuple):
    """Counters of a queue."""

    contacts_by_state: tuple[int, ...]
    """Numbers of live contacts: queued, offered, assigned, callbacks for later."""
    counters: ContactCounters
    waits: WaitHistogram


class WorkspaceStats:
    """Statistics of one workspace."""

    def __init__(self, day_of: DayOf = utc_day) -> None:
        """``day_of`` finds the local days of a time zone; this package knows no zones."""
        self._day_of = day_of
        self._state = StatsState(StatsSnapshot(), day_of)

    # --- events ------------------------------------------------------------------------------------------------------

    def apply(self, event: Event, seq: int, at_ms: int) -> None:
        """Count an event. Each event is applied once and in order, and ``at_ms`` never decreases."""
        state = self._state
        snapshot = state.snapshot
        assert seq > snapshot.seq and at_ms >= snapshot.at_ms, "events come once and in order"
        if state.incremental is not None:
            state.incremental.before_event(event)
        snapshot.seq = seq
        snapshot.at_ms = at_ms
        if at_ms >= state.history.minute_end_ms:
            state.start_minute(at_ms)
        state.step()
        handler = EVENT_HANDLERS.get(type(event))
        if handler is not None:
            handler(state, event, at_ms)

    def snapshot(self) -> bytes:
        """Return the statistics as bytes; the same events give the same figures."""
        snapshot = self._flushed()
        self._state.history.finish()
        snapshot.history = self._state.history.content()
        return _ENCODER.encode(snapshot)

    def prepare_snapshot(self) -> bool:
        """Do a piece of the work that ``incremental_snapshot`` would do at once; return whether there is more.

        It is not complete while readers hold the history: a snapshot would have to copy what they hold.
        """
        is_held = self._state.history.expect_snapshot()
        return self._state.flush_next() or is_held

    def incremental_snapshot(self) -> IncrementalStats:
        """Begin a snapshot as of the last event, which is encoded in pieces while others are counted."""
        return IncrementalStats(self._state)

    @classmethod
    def restore(cls, snapshot: bytes, day_of: DayOf = utc_day) -> "WorkspaceStats":
        """Restore statistics from a snapshot. Raises ``ValueError`` for bytes that are not a snapshot of this format."""
        try:
            content = msgspec.msgpack.decode(snapshot, type=StatsSnapshot)
        except msgspec.DecodeError:
            raise ValueError("not a snapshot of statistics") from None
        if content.format != FORMAT:
            raise ValueError(f"snapshot of statistics has format {content.format}, expected {FORMAT}")
        stats = cls(day_of)
        stats._state = StatsState(content, day_of)
        return stats

    # --- queries -----------------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The sequence number of the last applied event."""
        return self._state.snapshot.seq

    @property
    def at_ms(self) -> int:
        """The time of the last applied event."""
        return self._state.snapshot.at_ms

    def queue_ids(self) -> list[str]:
        """Return the ids of the queues that have statistics."""
        return list(self._state.queues)

    def agent_ids(self) -> list[str]:
        """Return the ids of the agents that have statistics."""
        return list(self._state.agents)

    def queue_stats(self, queue_id: str, now_ms: int) -> QueueStatsView | None:
        """Return the statistics of a queue; none for an unknown queue."""
        self._state.flush_queue(queue_id)
        queue = self._state.queues.get(queue_id)
        return None if queue is None else queue_stats(queue_id, queue, now_ms)

    def queue_totals(self, queue_id: str) -> QueueTotals | None:
        """Return copies of the counters of a queue, summed over its channels, without the figures computed from them."""
        self._state.flush_queue(queue_id)
        queue = self._state.queues.get(queue_id)
        if queue is None:
            return None
        waits = copy(queue.waits)
        waits.buckets = list(waits.buckets)
        return QueueTotals(tuple(queue.contacts_by_state), sum_counters(queue.channels.values()), waits)

    def agent_stats(self, agent_id: str, now_ms: int) -> AgentStatsView | None:
        """Return the statistics of an agent; none for an unknown agent."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else agent_stats(agent_id, agent, now_ms)

    def workspace_stats(self, now_ms: int) -> WorkspaceStatsView:
        """Return the statistics of the workspace; O(channels + queues), independent of contacts and agents."""
        snapshot = self._flushed()
        workforce = self._workforce(now_ms)
        return WorkspaceStatsView(
            as_of_seq=snapshot.seq,
            at_ms=now_ms,
            counts=self.counts(),
            contacts=contact_stats(sum_counters(snapshot.channels.values())),
            waits=wait_stats(snapshot.waits),
            agents_by_activity={doing.name.lower(): workforce.agents_by_activity[doing] for doing in AgentActivity},
            time=workforce.time,
            occupancy=occupancy(workforce.time),
            utilisation=utilisation(workforce.time),
            channels={name: contact_stats(counters) for name, counters in snapshot.channels.items()},
        )

    def wait_histogram(self, queue_id: str) -> WaitHistogram | None:
        """Return a copy of the histogram of waits of a queue; none for an unknown queue."""
        queue = self._state.queues.get(queue_id)
        if queue is None:
            return None
        waits = copy(queue.waits)
        waits.buckets = list(waits.buckets)
        return waits

    def entry_rules(self) -> dict[str, EntryRuleCounters]:
        """Return copies of the counters of the entry rules of the active policy, by rule name."""
        return {name: copy(counters) for name, counters in self._state.snapshot.rules.items()}

    def counts(self) -> WorkspaceCounts:
        """Return the number of contacts by state; ``submitted`` is the sum of the others."""
        snapshot = self._flushed()
        channels = snapshot.channels.values()
        by_state = [queue.contacts_by_state for queue in snapshot.queues.values()]
        return WorkspaceCounts(
            submitted=sum(counters.flow.submitted for counters in channels),
            queued=sum(states[QUEUED] for states in by_state),
            offered=sum(states[OFFERED] for states in by_state),
            assigned=sum(states[ASSIGNED] for states in by_state),
            callback_scheduled=sum(states[CALLBACK] for states in by_state),
            ended=snapshot.ended,
            abandoned=sum(counters.service.abandoned for counters in channels),
            cancelled=sum(counters.flow.cancelled for counters in channels),
            expired=sum(counters.flow.expired for counters in channels),
            suspended=sum(states[SUSPENDED] for states in by_state),
            choosing=snapshot.choosing,
        )

    def rows(
        self, question: StatisticsQuestion, now_ms: int, *, rows_max: int | None = None
    ) -> Generator[None, None, list[StatisticsRow]]:
        """Return the rows of a question as of one moment; events may be counted between the steps.

        Raises TooManySpans, and TooManyRows as soon as there are more than ``rows_max``.
        """
        for _ in self._state.flush_in_steps():
            yield
        return (yield from answer(self._state.history, self._state.agents, question, now_ms=now_ms, rows_max=rows_max))

    def alert_readings(
        self, evaluator: AlertEvaluator, policy: Policy, version: int, known: KnownAlerts, present: PresentFigures, now_ms: int
    ) -> Generator[None, None, list[AlertReading]]:
        """Return which alerts are to be raised and cleared; events may be counted between the steps."""
        return (yield from evaluator.evaluate(self._state, policy, version, known, present, now_ms))

    def are_changes_known(self, changed: ChangedRows, now_ms: int) -> bool:
        """Return whether ``changed_rows`` of this reader are all that changed by events in the running span."""
        return changed.is_possible and changed.is_begun(self._state, now_ms)

    def note_rows(self, changed: ChangedRows, now_ms: int) -> Generator[None]:
        """Note what all subjects are, before all rows are read; nothing where changes cannot be told."""
        if changed.is_possible:
            yield from changed.note_all(self._state, now_ms)

    def changed_rows(self, changed: ChangedRows, now_ms: int) -> Generator[None, None, list[StatisticsRow]]:
        """Return the rows that events have changed since they were read; events may be counted between the steps."""
        return (yield from changed.read(self._state, now_ms))

    def alert_counters(self) -> dict[str, AlertCounters]:
        """Return copies of the counters of the alerts of the active policy, by name."""
        return {name: copy(counters) for name, counters in self._state.snapshot.alerts.items()}

    @property
    def history(self) -> History:
        """The history by time, for its limits."""
        return self._state.history

    def _flushed(self) -> StatsSnapshot:
        """Return the snapshot content with all pending counters added."""
        self._state.flush()
        return self._state.snapshot

    def _workforce(self, now_ms: int) -> WorkforceTime:
        """Return a copy of the time of all agents, with present activities counted up to now."""
        workforce = copy(self._state.snapshot.workforce)
        workforce.time = copy(workforce.time)
        workforce.advance(max(now_ms, workforce.since_ms))
        return workforce
