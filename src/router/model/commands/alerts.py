"""Command of the router itself on alerts: what its statistics say."""

from msgspec import Struct

from router.model.commands.contact import CommandStruct
from router.model.policy import AlertBy
from router.model.states import Name


class AlertSubject(Struct, frozen=True, gc=False):
    """An alert of the policy and what it watches."""

    alert: Name
    by: AlertBy
    subject: str = ""
    """Id of the queue, channel, team or agent; empty: the workspace."""

    @property
    def key(self) -> str:
        """What tells it from all others of the workspace; no id contains a space."""
        return f"{self.alert} {self.subject}"


class AlertReading(Struct, frozen=True, gc=False):
    """Measure of a subject that is beyond the threshold or has come back."""

    of: AlertSubject
    is_raised: bool
    """Whether to raise the alert, or else to clear it."""
    value: float | None = None
    since_ms: int = 0
    """Since when the value was seen beyond the threshold."""
    samples: int | None = None


class ReportAlerts(CommandStruct, frozen=True, kw_only=True, tag="alert.report"):
    """Raise and clear alerts, by measures that the router has computed by a version of the policy.

    What does not fit the state is left out: an alert that is raised already or is quiet, and those of another version.
    """

    policy_version: int
    readings: tuple[AlertReading, ...]
