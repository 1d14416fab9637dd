"""Alerts: raised and cleared by what the statistics say, within the limits that only the state knows.

The statistics are derived from the events outside of the engine, so their measures come with a command. Whether an alert is raised
already, and whether it is quiet, is decided here, by what the events have recorded: after a restart or under another leader the
decisions go on as they were.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.transaction import Transaction
from router.engine.state.alerts import ALERT_STATES_MAX, AlertState
from router.model.commands import AlertReading, ReportAlerts
from router.model.events import AlertCleared, AlertRaised
from router.model.policy import AlertPolicy, Policy
from router.model.results import CommandResult


def _report_alerts(tx: Transaction, command: ReportAlerts) -> CommandResult:
    state = tx.state
    if command.policy_version == state.policy_version and state.policy is not None:
        for reading in command.readings:
            kept = state.alerts.get(reading.of.key)
            is_raised = kept is not None and kept.is_raised
            policy = state.policy.alerts.get(reading.of.alert)
            if not reading.is_raised:
                if kept is not None and is_raised:
                    reason = "no_data" if reading.value is None else "recovered"
                    tx.emit(_cleared(kept, reason, reading.value))
            elif policy is not None and not is_raised and _may_be_raised(tx, kept):
                tx.emit(_raised(policy, reading))
    return tx.done("alerts", "reported")


def _may_be_raised(tx: Transaction, kept: AlertState | None) -> bool:
    if kept is not None:
        return kept.quiet_until_ms <= tx.at_ms
    alerts = tx.state.alerts
    return len(alerts) < ALERT_STATES_MAX or any(one.is_over(tx.at_ms) for one in alerts.values())


def _raised(policy: AlertPolicy, reading: AlertReading) -> AlertRaised:
    of = reading.of
    assert reading.value is not None, "an alert is raised by a value"
    return AlertRaised(
        alert=of.alert,
        by=of.by,
        measure=policy.measure,
        value=reading.value,
        threshold=policy.threshold,
        is_above=policy.above is not None,
        severity=policy.severity,
        since_ms=reading.since_ms,
        samples=reading.samples,
        **_subject(of.by, of.subject),
    )


def _cleared(kept: AlertState, reason: str, value: float | None) -> AlertCleared:
    return AlertCleared(
        alert=kept.alert,
        by=kept.by,
        measure=kept.measure,
        reason=reason,
        value=value,
        raised_at_ms=kept.raised_at_ms,
        severity=kept.severity,
        **_subject(kept.by, kept.subject),
    )


def _subject(by: str, subject: str) -> dict[str, Any]:
    name = {"queue": "queue_id", "channel": "channel", "agent": "agent_id", "team": "team"}.get(by)
    return {} if name is None else {name: subject}


def clear_changed_alerts(tx: Transaction, policy: Policy) -> None:
    """Clear the alerts that a new policy removes or changes; call it before the policy is published."""
    before = tx.state.policy
    if before is None or not tx.state.alerts or before.alerts == policy.alerts:
        return
    for _, kept in sorted(tx.state.alerts.items()):
        if kept.is_raised and before.alerts.get(kept.alert) != policy.alerts.get(kept.alert):
            tx.emit(_cleared(kept, "policy", None))


ALERT_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {ReportAlerts: _report_alerts}
