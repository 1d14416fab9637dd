"""Evaluation of alerts about once a second, in the workspaces that this process leads.

One task asks the engine for the policy, the alerts that are raised and the figures of the moment, evaluates the statistics in steps
between which the event loop goes on, and reports what is to be raised or cleared by a command: events make it durable before anyone
hears of it. A workspace without alerts is asked again only after an event, as only a policy can bring some. Of several nodes the
leader evaluates; the next leader goes on from the events.

A workspace may be left, removed or led by another node while it is evaluated; the evaluation then ends without a result. Any other
error concerns the alerts of its workspace only: it is reported, at most once a minute, and the next evaluation starts from nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from router.engine.engine import Engine
from router.model.commands import AlertReading, AlertSubject, ReportAlerts
from router.model.errors import CommandQueueFull, Stopping
from router.model.policy import Policy
from router.model.states import WorkspaceId
from router.runtime.writer import Writer
from router.statistics.alerts import EVALUATION_MS, AlertEvaluator, KnownAlerts, PresentFigures, queues_needed
from router.statistics.workspace import WorkspaceStats

ALERTS_ACTOR: Final = "router:alerts"
# Alerts that one command raises and clears.
_READINGS_PER_COMMAND: Final = 50
# Evaluations of a workspace that fail one after the other before the next report of it: about a minute.
_FAILURES_PER_REPORT: Final = 60


class _Inputs(NamedTuple):
    policy: Policy | None
    version: int
    known: KnownAlerts
    agents_ready: int


class AlertRunner:
    """Evaluate the alerts of all workspaces. Run ``run`` as a task, after the writer has recovered and is running."""

    def __init__(
        self,
        writer: Writer,
        stats_of: Callable[[WorkspaceId], WorkspaceStats],
        on_failure: Callable[[WorkspaceId, Exception], None],
    ) -> None:
        """``stats_of`` returns the statistics of a workspace. ``on_failure`` is told why alerts cannot be evaluated."""
        self._writer = writer
        self._stats_of = stats_of
        self._on_failure = on_failure
        self._evaluators: dict[WorkspaceId, AlertEvaluator] = {}
        self._without_alerts: dict[WorkspaceId, int] = {}
        """Workspaces whose policy has no alerts, with the number of the newest event then."""
        self._failures: dict[WorkspaceId, int] = {}
        """Evaluations of a workspace that have failed one after the other."""

    async def run(self) -> None:
        """Evaluate until cancelled or until the router stops."""
        while True:
            await asyncio.sleep(EVALUATION_MS / 1000)
            try:
                await self.evaluate_all()
            except Stopping:
                return

    async def evaluate_all(self) -> None:
        """Evaluate the alerts of all workspaces once. Raises Stopping."""
        for workspace in [*self._writer.workspaces, *self._evaluators, *self._without_alerts, *self._failures]:
            if not self._is_led(workspace):
                self._forget(workspace)
        for workspace in self._writer.workspaces:
            if not self._is_led(workspace):
                continue  # Left while another one was evaluated.
            try:
                await self._evaluate(workspace)
                self._failures.pop(workspace, None)
            except Stopping:
                raise
            except CommandQueueFull:
                continue  # The next evaluation tries again.
            except Exception as error:
                if self._is_led(workspace):
                    self._note_failure(workspace, error)

    def _is_led(self, workspace: WorkspaceId) -> bool:
        return self._writer.has_workspace(workspace) and self._writer.is_led(workspace)

    def _forget(self, workspace: WorkspaceId) -> None:
        self._evaluators.pop(workspace, None)
        self._without_alerts.pop(workspace, None)
        self._failures.pop(workspace, None)

    def _note_failure(self, workspace: WorkspaceId, error: Exception) -> None:
        """Report an error and forget what may be the cause of the next one."""
        count = self._failures.get(workspace, 0)
        self._forget(workspace)
        self._failures[workspace] = count + 1
        if count % _FAILURES_PER_REPORT == 0:
            self._on_failure(workspace, error)

    async def _evaluate(self, workspace: WorkspaceId) -> None:
        seq = self._writer.publisher.last_seq(workspace)
        if self._without_alerts.get(workspace) == seq:
            return
        policy, version, known, agents_ready = (await self._writer.query(workspace, alert_inputs)).value
        if policy is None or not policy.alerts:
            self._evaluators.pop(workspace, None)
            self._without_alerts[workspace] = seq
            return
        self._without_alerts.pop(workspace, None)
        now_ms = self._writer.clock.now_ms()
        present = PresentFigures((), agents_ready)
        if names := queues_needed(policy):
            views = await self._writer.query_in_slices(workspace, lambda engine: engine.alert_figures(names, now_ms))
            present = PresentFigures(views.value, agents_ready)
        evaluator = self._evaluators.setdefault(workspace, AlertEvaluator())
        steps = self._stats_of(workspace).alert_readings(evaluator, policy, version, known, present, now_ms)
        try:
            while True:
                next(steps)
                await asyncio.sleep(0)
        except StopIteration as done:
            readings: list[AlertReading] = done.value
        finally:
            steps.close()
        for start in range(0, len(readings), _READINGS_PER_COMMAND):
            if not self._is_led(workspace):
                return
            some = tuple(readings[start : start + _READINGS_PER_COMMAND])
            await self._writer.execute(workspace, ReportAlerts(policy_version=version, readings=some), actor=ALERTS_ACTOR)


def alert_inputs(engine: Engine) -> _Inputs:
    """Return what the engine knows of alerts."""
    states = engine.alerts
    known = KnownAlerts(
        raised={key: AlertSubject(one.alert, one.by, one.subject) for key, one in states.items() if one.is_raised},
        quiet_until_ms={key: one.quiet_until_ms for key, one in states.items() if not one.is_raised},
    )
    return _Inputs(engine.policy, engine.policy_version, known, engine.ready_count)
