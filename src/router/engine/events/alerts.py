"""Handlers of the events of alerts."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from router.engine.routing_state import RoutingState
from router.engine.state.alerts import ALERT_STATES_MAX, AlertState
from router.model.commands import AlertSubject
from router.model.events import AlertCleared, AlertRaised


def _subject_of(event: AlertRaised | AlertCleared) -> str:
    return event.queue_id or event.channel or event.agent_id or event.team or ""


def _alert_raised(state: RoutingState, event: AlertRaised) -> None:
    alerts, subject = state.alerts, _subject_of(event)
    key = AlertSubject(event.alert, event.by, subject).key
    if key not in alerts and len(alerts) >= ALERT_STATES_MAX:
        for over in [name for name, one in alerts.items() if one.is_over(state.at_ms)]:
            del alerts[over]
    policy = None if state.policy is None else state.policy.alerts.get(event.alert)
    alerts[key] = AlertState(
        alert=event.alert,
        by=event.by,
        subject=subject,
        measure=event.measure,
        severity=event.severity,
        is_raised=True,
        raised_at_ms=state.at_ms,
        since_ms=event.since_ms,
        value=event.value,
        threshold=event.threshold,
        is_above=event.is_above,
        samples=event.samples,
        quiet_until_ms=state.at_ms + (0 if policy is None else 1000 * policy.quiet_s),
    )


def _alert_cleared(state: RoutingState, event: AlertCleared) -> None:
    key = AlertSubject(event.alert, event.by, _subject_of(event)).key
    kept = state.alerts[key]
    # A changed policy is another alert, to which the quiet period does not belong.
    if event.reason == "policy" or kept.quiet_until_ms <= state.at_ms:
        del state.alerts[key]
    else:
        state.alerts[key] = structs.replace(kept, is_raised=False)


def keep_alerts_of(state: RoutingState, names: frozenset[str]) -> None:
    """Forget the quiet periods of all other alerts: a new policy has changed or removed them."""
    state.alerts = {key: one for key, one in state.alerts.items() if one.alert in names}


ALERT_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {AlertRaised: _alert_raised, AlertCleared: _alert_cleared}
