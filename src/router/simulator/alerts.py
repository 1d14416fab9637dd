"""Alerts of a run: the code of a live router, in virtual time.

The alerts of a policy are evaluated each second of the day, as a live router does about once a second. Seconds in which nothing
could change are left out: without an event, without a measure that moves by itself, and within one minute.
"""

from typing import Final

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model.commands import AlertReading, Command, ReportAlerts
from router.model.events import AlertCleared, AlertRaised
from router.model.policy import Policy, is_of_time
from router.model.results import Outcome
from router.runtime.alert_runner import alert_inputs
from router.simulator.results.alert_report import AlertReport, RaisedAlert
from router.simulator.results.statistics_rows import StatisticsListener
from router.statistics.alerts import EVALUATION_MS, AlertEvaluator, PresentFigures, queues_needed
from router.statistics.history import MINUTE_MS

RAISED_LISTED_MAX: Final = 100
"""Alerts that a report lists one by one; the others are counted."""
_MOVING: Final = "longest_waiting_ms"


class AlertTrial(StatisticsListener):
    """Evaluates the alerts of the policy of a run, and notes which were raised."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        super().__init__()
        self.next_ms: int | None = None
        """When to evaluate next; none: after the next event."""
        self._engine = engine
        self._evaluator = AlertEvaluator()
        self._moves = any(alert.measure == _MOVING or is_of_time(alert.measure) for alert in policy.alerts.values())
        self._open: dict[tuple[str, str], RaisedAlert] = {}
        self.reports = {name: AlertReport(measure=alert.measure) for name, alert in policy.alerts.items()}
        self._last_ms = 0

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Count the events of an outcome, and note alerts."""
        super().on_outcome(command, outcome)
        self._last_ms = outcome.at_ms
        for event in outcome.events:
            if isinstance(event, AlertRaised):
                self._note_raised(event, outcome.at_ms)
            elif isinstance(event, AlertCleared):
                self._note_cleared(event, outcome.at_ms)
        if outcome.events:
            self._evaluate_within(outcome.at_ms, EVALUATION_MS)

    def evaluate(self, at_ms: int) -> ReportAlerts | None:
        """Return what is to be raised and cleared; none: nothing."""
        self.next_ms = None
        policy, version, known, agents_ready = alert_inputs(self._engine)
        if policy is None:
            return None
        views = run_to_end(self._engine.alert_figures(queues_needed(policy), at_ms))
        present = PresentFigures(views, agents_ready)
        readings: list[AlertReading] = run_to_end(
            self.stats.alert_readings(self._evaluator, policy, version, known, present, at_ms)
        )
        is_moving = self._moves or self._evaluator.is_pending or bool(known.raised) or bool(readings)
        self._evaluate_within(at_ms, EVALUATION_MS if is_moving else MINUTE_MS)
        return ReportAlerts(policy_version=version, readings=tuple(readings)) if readings else None

    def _evaluate_within(self, at_ms: int, length_ms: int) -> None:
        """Evaluate at the next whole second or minute, unless that is to be sooner already."""
        next_ms = at_ms - at_ms % length_ms + length_ms
        self.next_ms = next_ms if self.next_ms is None else min(self.next_ms, next_ms)

    def _note_raised(self, event: AlertRaised, at_ms: int) -> None:
        subject = event.queue_id or event.channel or event.agent_id or event.team or ""
        report = self.reports[event.alert]
        report.raised += 1
        report.subjects[subject] = report.subjects.get(subject, 0) + 1
        raised = RaisedAlert(subject=subject, raised_at_ms=at_ms, value=event.value)
        self._open[event.alert, subject] = raised
        if len(report.listed) < RAISED_LISTED_MAX:
            report.listed.append(raised)

    def _note_cleared(self, event: AlertCleared, at_ms: int) -> None:
        subject = event.queue_id or event.channel or event.agent_id or event.team or ""
        raised = self._open.pop((event.alert, subject))
        raised.cleared_at_ms = at_ms
        self.reports[event.alert].raised_s += (at_ms - raised.raised_at_ms) / 1000

    def close(self) -> None:
        """Count the time of the alerts that are raised at the end."""
        for (name, _), raised in self._open.items():
            self.reports[name].raised_s += (self._last_ms - raised.raised_at_ms) / 1000
