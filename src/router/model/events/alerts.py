"""Events of alerts: a measure of the statistics went beyond its threshold, or came back."""

from router.model.events.workspace import EventStruct
from router.model.policy import AlertBy, AlertSeverity
from router.model.states import AgentId, Name, QueueId, TeamId


class AlertRaised(EventStruct, frozen=True, kw_only=True, tag="alert.raised"):
    """A measure has been beyond the threshold of an alert for as long as its policy says."""

    alert: Name
    """Name of the alert in the policy."""
    by: AlertBy
    """What is watched: with the id below, except for the workspace."""
    measure: str
    """The measure."""
    value: float
    """Its value."""
    threshold: float
    """Threshold of the policy."""
    is_above: bool
    """Whether the value is greater than the threshold; false: less."""
    severity: AlertSeverity
    """How urgent it is."""
    since_ms: int
    """Since when the value was seen beyond the threshold, epoch milliseconds."""
    samples: int | None = None
    """Number of samples of a share, mean or quantile; null: the measure is none of these."""
    queue_id: QueueId | None = None
    """Queue that is watched; null: another subject."""
    channel: Name | None = None
    """Channel that is watched; null: another subject."""
    agent_id: AgentId | None = None
    """Agent who is watched, and whose desktop does not receive it; null: another subject."""
    team: TeamId | None = None
    """Team that is watched; null: another subject."""


class AlertCleared(EventStruct, frozen=True, kw_only=True, tag="alert.cleared"):
    """An alert is over: its measure has come back, or cannot be computed any more."""

    alert: Name
    """Name of the alert in the policy by which it was raised."""
    by: AlertBy
    """What is watched: with the id below, except for the workspace."""
    measure: str
    """The measure."""
    reason: str
    """``recovered``, ``no_data`` (nothing left to compute the measure from, or the subject is gone) or ``policy`` (a new policy has
    changed or removed the alert)."""
    value: float | None = None
    """Value of the measure; null: there is none."""
    raised_at_ms: int
    """When it was raised, epoch milliseconds."""
    severity: AlertSeverity
    """How urgent it was."""
    queue_id: QueueId | None = None
    """Queue that is watched; null: another subject."""
    channel: Name | None = None
    """Channel that is watched; null: another subject."""
    agent_id: AgentId | None = None
    """Agent who is watched, and whose desktop does not receive it; null: another subject."""
    team: TeamId | None = None
    """Team that is watched; null: another subject."""
