"""Evaluation of alerts: which are to be raised or cleared now, by the figures of the statistics.

Theory of operation. Alerts of the same kind of subject and period share a *group*, for which the row of each subject is computed
once. A subject of which nothing was counted since its last row, and of which no alert is raised or about to be, is left out until
the next minute begins, when sliding windows move and the time of agents is added: a quiet centre costs next to nothing. A group
that reads many cells is evaluated less often than once a second, so that alerts take at most a small share of a core. The figures
of this moment (contacts that wait, agents who are ready) are given by the caller, who has the engine.

The evaluation decides nothing for good: whether an alert is raised already or quiet is what the events have recorded, and the
engine looks again. What is remembered here is only since when a measure has been beyond its threshold. A restart, another leader
or another policy forgets it, and the time of ``for_s`` then begins again.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from router.model.commands import AlertReading, AlertSubject
from router.model.policy import LIVE_MEASURES, SAMPLED_MEASURES, AlertBy, AlertPeriod, AlertPolicy, Policy, is_of_time
from router.model.states import AgentState
from router.model.views import QueueView
from router.statistics.alert_rows import SubjectRows
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow
from router.statistics.state import StatsState

EVALUATION_MS: Final = 1_000
"""Time between two evaluations of a group, unless it is large."""
# Cells that are looked up in a second, and what the measures of a row cost in cells: together about a twentieth of a core.
_LOOKUPS_PER_S: Final = 600_000
_LOOKUPS_PER_ROW: Final = 400
# Rows in a step: about a third of a millisecond.
_ROWS_PER_STEP: Final = 8
_SUBJECTS_PER_STEP: Final = 128

_ALL_QUEUES: Final = frozenset({"waiting", "longest_waiting_ms"})


class PresentFigures(NamedTuple):
    """Figures of this moment, from the engine."""

    queues: Sequence[QueueView] = ()
    """The queues that ``queues_needed`` has named."""
    agents_ready: int = 0
    """Agents of the workspace who are ready."""


class KnownAlerts(NamedTuple):
    """What the events have recorded of alerts, by the key of alert and subject."""

    raised: Mapping[str, AlertSubject]
    quiet_until_ms: Mapping[str, int]


class _Group(NamedTuple):
    by: AlertBy
    period: AlertPeriod | None
    """None: figures of this moment."""


class _Value(NamedTuple):
    value: float | None
    samples: int | None


_UNKNOWN: Final = _Value(None, None)


def queues_needed(policy: Policy) -> list[str]:
    """Return the queues whose present figures the alerts of a policy need."""
    found: dict[str, None] = {}
    for alert in policy.alerts.values():
        if alert.by is AlertBy.QUEUE and alert.measure in LIVE_MEASURES:
            found |= dict.fromkeys(alert.only or policy.queues)
        elif alert.by is AlertBy.WORKSPACE and alert.measure in _ALL_QUEUES:
            found |= dict.fromkeys(policy.queues)
    return list(found)


class AlertEvaluator:
    """Alerts of one workspace: since when measures are beyond their thresholds, and which subjects have changed."""

    def __init__(self) -> None:
        self._version = -1
        self._groups: dict[_Group, list[str]] = {}
        self._beyond_since_ms: dict[_Group, dict[str, int]] = {}
        self._seen: dict[_Group, dict[str, tuple[int, ...]]] = {}
        """By subject: the mark of its last row."""
        self._due_ms: dict[_Group, int] = {}

    @property
    def is_pending(self) -> bool:
        """Whether a measure is beyond its threshold and its alert is not raised yet."""
        return any(self._beyond_since_ms.values())

    def evaluate(
        self, state: StatsState, policy: Policy, version: int, known: KnownAlerts, present: PresentFigures, now_ms: int
    ) -> Generator[None, None, list[AlertReading]]:
        """Return what is to be raised and cleared; events may be counted between the steps."""
        if version != self._version:
            self._use(policy, version)
        readings: list[AlertReading] = []
        raised: dict[str, set[str]] = {}
        for one in known.raised.values():
            raised.setdefault(one.alert, set()).add(one.subject)
        for group, names in self._groups.items():
            if now_ms < self._due_ms.get(group, 0):
                continue
            work = _GroupWork(group, {name: policy.alerts[name] for name in names}, known, raised, now_ms)
            work.since_ms = self._beyond_since_ms.get(group, {})
            if group.period is None:
                yield from work.present(state, policy, present)
            else:
                yield from work.rows(state, policy, group.period, self._seen.get(group, {}))
            self._beyond_since_ms[group], self._seen[group] = work.still_beyond, work.seen
            self._due_ms[group] = now_ms + max(EVALUATION_MS, 1000 * work.cost // _LOOKUPS_PER_S)
            readings += work.readings
        return readings

    def _use(self, policy: Policy, version: int) -> None:
        self._version = version
        self._beyond_since_ms, self._seen, self._due_ms, self._groups = {}, {}, {}, {}
        for name, alert in policy.alerts.items():
            group = _Group(alert.by, None if alert.measure in LIVE_MEASURES else alert.period)
            self._groups.setdefault(group, []).append(name)


class _GroupWork:
    """One evaluation of the alerts of a group."""

    def __init__(
        self, group: _Group, alerts: dict[str, AlertPolicy], known: KnownAlerts, raised: dict[str, set[str]], now_ms: int
    ) -> None:
        self._group = group
        self._alerts = alerts
        self._known = known
        self._raised = {name: raised.get(name, set()) for name in alerts}
        self._now_ms = now_ms
        self.since_ms: dict[str, int] = {}
        self.still_beyond: dict[str, int] = {}
        self.seen: dict[str, tuple[int, ...]] = {}
        self.readings: list[AlertReading] = []
        self.cost = 0

    def present(self, state: StatsState, policy: Policy, present: PresentFigures) -> Generator[None]:
        """Judge the figures of this moment."""
        views = {view.queue_id: view for view in present.queues}
        teams: dict[str, int] = {}
        if self._group.by is AlertBy.TEAM:
            teams = yield from _ready_by_team(state)
        subjects = self._subjects(policy.queues if self._group.by is AlertBy.QUEUE else sorted(teams))
        for number, subject in enumerate(subjects, 1):
            for name, alert in self._alerts.items():
                if alert.only and subject not in alert.only:
                    continue
                if self._group.by is AlertBy.TEAM:
                    value: float | None = teams.get(subject)
                elif self._group.by is AlertBy.QUEUE:
                    value = _of_queue(alert.measure, views.get(subject), self._now_ms)
                else:
                    value = _of_workspace(alert.measure, present, self._now_ms)
                self._judge(name, alert, subject, _Value(value, None))
            if number % _SUBJECTS_PER_STEP == 0:
                yield
        self._clear_gone(subjects)

    def rows(self, state: StatsState, policy: Policy, period: AlertPeriod, seen: dict[str, tuple[int, ...]]) -> Generator[None]:
        """Judge the rows of the subjects that have changed or have an alert raised or about to be."""
        if self._group.by in (AlertBy.WORKSPACE, AlertBy.CHANNEL, AlertBy.QUEUE):
            yield from state.flush_in_steps()
        has_time = any(is_of_time(alert.measure) for alert in self._alerts.values())
        rows = SubjectRows(state, self._group.by, Period(period.value), self._now_ms, has_time=has_time)
        yield from rows.prepare()
        declared: Iterable[str]
        match self._group.by:
            case AlertBy.QUEUE:
                declared = policy.queues
            case AlertBy.CHANNEL:
                declared = policy.channels
            case _:
                declared = rows.subjects()
        subjects = self._subjects(declared)
        active = set().union(*self._raised.values(), (key.partition(" ")[2] for key in self.since_ms))
        row_count = 0
        for number, subject in enumerate(subjects, 1):
            if number % _SUBJECTS_PER_STEP == 0:
                yield
                rows.refresh()
            mark = rows.mark(subject)
            if mark is not None:
                self.seen[subject] = mark
                if subject not in active and seen.get(subject) == mark:
                    continue
            row = yield from rows.row(subject)
            row_count += 1
            for name, alert in self._alerts.items():
                if not alert.only or subject in alert.only:
                    self._judge(name, alert, subject, _of_row(alert.measure, row))
            if row_count % _ROWS_PER_STEP == 0:
                yield
                rows.refresh()
        self.cost = rows.lookups + _LOOKUPS_PER_ROW * row_count
        self._clear_gone(subjects)

    def _subjects(self, everything: Iterable[str]) -> list[str]:
        """Return the subjects that some alert watches, and that there are."""
        if self._group.by is AlertBy.WORKSPACE:
            return [""]
        if all(alert.only for alert in self._alerts.values()):
            wanted = {subject for alert in self._alerts.values() for subject in alert.only}
            return [subject for subject in everything if subject in wanted]
        return list(everything)

    def _clear_gone(self, subjects: list[str]) -> None:
        """Clear the alerts of subjects that are gone."""
        for name, raised in self._raised.items():
            for subject in sorted(raised.difference(subjects)) if raised else ():
                self._clear(AlertSubject(name, self._group.by, subject), _UNKNOWN)

    def _judge(self, name: str, alert: AlertPolicy, subject: str, found: _Value) -> None:
        of, value = AlertSubject(name, self._group.by, subject), found.value
        has_samples = found.samples is None or found.samples >= alert.samples_min
        if subject in self._raised[name]:
            if value is None or (has_samples and alert.is_recovered(value)):
                self._clear(of, found)
            return
        if value is None or not has_samples or not alert.is_beyond(value):
            return
        since_ms = self.still_beyond[of.key] = self.since_ms.get(of.key, self._now_ms)
        if self._now_ms - since_ms >= 1000 * alert.for_s and self._now_ms >= self._known.quiet_until_ms.get(of.key, 0):
            self.readings.append(AlertReading(of, is_raised=True, value=value, since_ms=since_ms, samples=found.samples))

    def _clear(self, of: AlertSubject, found: _Value) -> None:
        self.readings.append(AlertReading(of, is_raised=False, value=found.value, samples=found.samples))


def _of_queue(measure: str, view: QueueView | None, now_ms: int) -> float | None:
    if view is None:
        return None
    if measure == "longest_waiting_ms":
        return 0 if view.oldest_queued_at_ms is None else max(0, now_ms - view.oldest_queued_at_ms)
    value: int = getattr(view, measure)
    return value


def _of_workspace(measure: str, present: PresentFigures, now_ms: int) -> float | None:
    if measure == "agents_ready":
        return present.agents_ready
    values = [_of_queue(measure, view, now_ms) or 0 for view in present.queues]
    return sum(values) if measure == "waiting" else max(values, default=0)


def _ready_by_team(state: StatsState) -> Generator[None, None, dict[str, int]]:
    found: dict[str, int] = {}
    for number, agent in enumerate(list(state.agents.values()), 1):
        if agent.team is not None:
            found[agent.team] = found.get(agent.team, 0) + (agent.state is AgentState.READY)
        if number % (8 * _SUBJECTS_PER_STEP) == 0:
            yield
    return found


def _of_row(measure: str, row: StatisticsRow) -> _Value:
    value: float | None = getattr(row, measure)
    kind = SAMPLED_MEASURES.get(measure)
    if kind is None:
        return _Value(value, None)
    samples = _samples(kind[1], row)
    return _Value(None if measure == "longest_wait_ms" and not samples else value, samples)


def _samples(kind: str, row: StatisticsRow) -> int:
    """Return the number of samples of a measure, by what they are."""
    match kind:
        case "answered and abandoned contacts":
            return row.answered + row.abandoned
        case "answered contacts":
            return row.answered
        case "completed assignments":
            return row.handled
        case "offers accepted, declined or expired":
            return row.offers_accepted + row.offers_declined + row.offers_expired
        case "callbacks connected or failed":
            return row.callbacks_connected + row.callbacks_failed
        case "goals of which it is known whether they are done":
            return row.goals_done + row.goals_partly + row.goals_not_done
        case "contacts with a goal":
            return row.goals
        case "first contacts":
            return row.first_contacts
        case "scores of ease":
            return row.ease_scores
        case "scores of effort":
            return row.effort_scores
        case "scores of satisfaction":
            return row.satisfaction_scores
        case "minutes of agents":
            return row.signed_in_ms // 60_000
        case _:
            raise AssertionError(kind)
