"""API operation on alerts: which are raised now. Alerts are part of the policy, and their events are in the event log."""

from typing import Final

from msgspec import Struct

from router.engine.engine import Engine
from router.engine.state.alerts import AlertState
from router.model.filters import SupervisorScope
from router.model.policy import AlertBy, AlertSeverity
from router.server.api.request import ApiRequest, ApiResponse, encode_in_turns

_ALERTS_PER_TURN: Final = 200


class AlertView(Struct, frozen=True, kw_only=True):
    """An alert that is raised now."""

    alert: str
    """Name of the alert in the policy."""
    by: AlertBy
    """What is watched: with the id below, except for the workspace."""
    queue_id: str | None
    """Queue that is watched; null: another subject."""
    channel: str | None
    """Channel that is watched; null: another subject."""
    agent_id: str | None
    """Agent who is watched; null: another subject."""
    team: str | None
    """Team that is watched; null: another subject."""
    measure: str
    """The measure."""
    value: float
    """Its value when the alert was raised."""
    threshold: float
    """Threshold of the policy then."""
    is_above: bool
    """Whether the value was greater than the threshold; false: less."""
    samples: int | None
    """Number of samples of a share, mean or quantile then."""
    severity: AlertSeverity
    """How urgent it is."""
    since_ms: int
    """Since when the value was seen beyond the threshold, epoch milliseconds."""
    raised_at_ms: int
    """When it was raised, epoch milliseconds."""


class AlertList(Struct, frozen=True, kw_only=True):
    """Alerts that are raised, by name and subject."""

    as_of_seq: int
    """Sequence number of the newest event."""
    policy_version: int
    """Version of the policy that has the alerts."""
    alerts: tuple[AlertView, ...]
    """At most 4,000."""


async def list_alerts(request: ApiRequest) -> ApiResponse:
    """List the alerts that are raised now. They are defined in the policy, under `alerts`."""
    scope = request.scope

    def find(engine: Engine) -> tuple[int, list[AlertState]]:
        raised = [one for one in engine.alerts.values() if one.is_raised]
        if request.credential.scope is not None:
            raised = [one for one in raised if _is_in_scope(one, scope, engine)]
        return engine.policy_version, raised

    answered = await request.query_engine(find)
    version, raised = answered.value
    views = (_view(one) for one in sorted(raised, key=lambda one: (one.alert, one.subject)))
    alerts = await encode_in_turns(views, _ALERTS_PER_TURN)
    return ApiResponse(body=AlertList(as_of_seq=answered.seq, policy_version=version, alerts=alerts))


def _is_in_scope(alert: AlertState, scope: SupervisorScope, engine: Engine) -> bool:
    """Return whether an alert is about a queue, team or agent of a limited supervisor; the workspace and channels are not."""
    match alert.by:
        case AlertBy.QUEUE:
            return scope.has_queue(alert.subject)
        case AlertBy.TEAM:
            return scope.teams is not None and scope.has_team(alert.subject)
        case AlertBy.AGENT:
            return scope.teams is not None and scope.has_team(engine.team_of(alert.subject))
        case _:
            return False


def _view(alert: AlertState) -> AlertView:
    return AlertView(
        alert=alert.alert,
        by=alert.by,
        queue_id=alert.subject if alert.by is AlertBy.QUEUE else None,
        channel=alert.subject if alert.by is AlertBy.CHANNEL else None,
        agent_id=alert.subject if alert.by is AlertBy.AGENT else None,
        team=alert.subject if alert.by is AlertBy.TEAM else None,
        measure=alert.measure,
        value=alert.value,
        threshold=alert.threshold,
        is_above=alert.is_above,
        samples=alert.samples,
        severity=alert.severity,
        since_ms=alert.since_ms,
        raised_at_ms=alert.raised_at_ms,
    )
