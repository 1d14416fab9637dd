"""State of alerts: which are raised, and which are quiet."""

from typing import Final

from msgspec import Struct

from router.model.policy import AlertBy, AlertSeverity

ALERT_STATES_MAX: Final = 4_000
"""Alerts of a workspace that are raised or quiet at a time; further ones are not raised until some are over."""


class AlertState(Struct, array_like=True, frozen=True, kw_only=True):
    """An alert of one subject that is raised, or was and is quiet."""

    alert: str
    by: AlertBy
    subject: str
    """Id of the queue, channel, team or agent; empty: the workspace."""
    measure: str
    severity: AlertSeverity
    is_raised: bool
    raised_at_ms: int
    """When it was raised the last time."""
    since_ms: int
    """Since when the value was seen beyond the threshold then."""
    value: float
    """The value then."""
    threshold: float
    is_above: bool
    samples: int | None = None
    quiet_until_ms: int = 0
    """Before this time it is not raised again."""

    def is_over(self, at_ms: int) -> bool:
        """Return whether it may be forgotten."""
        return not self.is_raised and self.quiet_until_ms <= at_ms
