"""Alerts: thresholds over statistics, with the time that they must hold, their hysteresis and their quiet period."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from router.model.policy.values import DAY_S, PolicyStruct
from router.model.states import SubjectId

ALERTS_MAX: Final = 100
"""Alerts of a policy."""


class AlertBy(StrEnum):
    """What an alert watches, each by itself."""

    WORKSPACE = "workspace"
    """The whole workspace."""
    QUEUE = "queue"
    """Each queue."""
    CHANNEL = "channel"
    """Each channel."""
    TEAM = "team"
    """Each team."""
    AGENT = "agent"
    """Each agent."""


class AlertPeriod(StrEnum):
    """Time over which the measure is computed."""

    LAST_15M = "last_15m"
    """The running minute and 15 minutes before it."""
    LAST_30M = "last_30m"
    """The running minute and 30 minutes before it."""
    LAST_60M = "last_60m"
    """The running minute and 60 minutes before it."""
    TODAY = "today"
    """The running local day."""


class AlertSeverity(StrEnum):
    """How urgent an alert is; for those who read it, the router treats all alike."""

    INFO = "info"
    """To be known."""
    WARNING = "warning"
    """To be looked at."""
    CRITICAL = "critical"
    """To be acted on at once."""


LIVE_MEASURES: Final[dict[str, frozenset[AlertBy]]] = {
    "waiting": frozenset({AlertBy.WORKSPACE, AlertBy.QUEUE}),
    "longest_waiting_ms": frozenset({AlertBy.WORKSPACE, AlertBy.QUEUE}),
    "agents_ready": frozenset({AlertBy.WORKSPACE, AlertBy.QUEUE, AlertBy.TEAM}),
    "agents_available": frozenset({AlertBy.QUEUE}),
}
"""Measures of the present moment, as ``GET /v1/queues`` shows them, with what they can be watched for."""

_ALL: Final = frozenset(AlertBy)
_OF_CONTACTS: Final = frozenset({AlertBy.WORKSPACE, AlertBy.QUEUE, AlertBy.CHANNEL})
_OF_AGENTS: Final = frozenset({AlertBy.WORKSPACE, AlertBy.TEAM, AlertBy.AGENT})

_ENDED: Final = "answered and abandoned contacts"
_ANSWERED: Final = "answered contacts"
_HANDLED: Final = "completed assignments"
_OFFERS: Final = "offers accepted, declined or expired"
_MINUTES: Final = "minutes of agents"

SAMPLED_MEASURES: Final[dict[str, tuple[frozenset[AlertBy], str]]] = {
    **dict.fromkeys(("service_level", "service_level_of_offered", "service_level_early_is_good"), (_OF_CONTACTS, _ENDED)),
    **dict.fromkeys(("abandonment_rate", "abandonment_rate_without_short", "mean_wait_ms"), (_OF_CONTACTS, _ENDED)),
    "service_level_of_first_queue": (frozenset({AlertBy.QUEUE}), _ENDED),
    **dict.fromkeys(("service_level_of_answered", "asa_ms", "longest_wait_ms"), (_ALL, _ANSWERED)),
    **dict.fromkeys(("wait_p50_ms", "wait_p80_ms", "wait_p90_ms", "wait_p95_ms", "wait_p99_ms"), (_ALL, _ANSWERED)),
    **dict.fromkeys(("aht_ms", "mean_talk_ms", "mean_hold_ms", "mean_wrap_up_ms", "transfer_rate"), (_ALL, _HANDLED)),
    **dict.fromkeys(("rona_rate", "acceptance_rate"), (_ALL, _OFFERS)),
    "reach_rate": (_OF_CONTACTS, "callbacks connected or failed"),
    **dict.fromkeys(("occupancy", "utilisation", "concurrency"), (_OF_AGENTS, _MINUTES)),
    "goal_completion": (_ALL, "goals of which it is known whether they are done"),
    "repeat_rate": (_ALL, "contacts with a goal"),
    **dict.fromkeys(("first_contact_resolution", "first_contact_resolution_reported"), (_ALL, "first contacts")),
    **dict.fromkeys(("ease_mean", "ease_share"), (_ALL, "scores of ease")),
    "effort_mean": (_ALL, "scores of effort"),
    **dict.fromkeys(("satisfaction_mean", "satisfaction_share"), (_ALL, "scores of satisfaction")),
}
"""Shares, means and quantiles, with what they can be watched for and what their samples are."""

COUNTED_MEASURES: Final[dict[str, frozenset[AlertBy]]] = {
    **dict.fromkeys(("submitted", "entered", "overflowed_in", "overflowed_out", "moved_in", "moved_out", "requeued"), _OF_CONTACTS),
    **dict.fromkeys(("cancelled", "expired", "called_back", "abandoned", "abandoned_short", "abandoned_early"), _OF_CONTACTS),
    **dict.fromkeys(("callbacks_requested", "callbacks_failed", "callbacks_given_up", "channels_switched"), _OF_CONTACTS),
    **dict.fromkeys(("answered", "answered_within", "handled", "transferred_in", "transferred_out"), _ALL),
    **dict.fromkeys(("talk_ms", "hold_ms", "wrap_up_ms", "parked_ms", "consults_asked", "consults_given"), _ALL),
    **dict.fromkeys(("offers_made", "offers_accepted", "offers_declined", "offers_expired", "offers_rescinded"), _ALL),
    **dict.fromkeys(("busy_ms", "idle_ms", "not_ready_ms", "signed_in_ms", "state_ready_ms", "state_not_ready_ms"), _OF_AGENTS),
}
"""Counts and durations, with what they can be watched for."""


def subjects_of(measure: str) -> frozenset[AlertBy] | None:
    """Return what a measure can be watched for; none: there is no such measure."""
    if measure in SAMPLED_MEASURES:
        return SAMPLED_MEASURES[measure][0]
    return LIVE_MEASURES.get(measure) or COUNTED_MEASURES.get(measure)


def is_of_time(measure: str) -> bool:
    """Return whether a measure is computed from the time of agents."""
    return subjects_of(measure) == _OF_AGENTS


class AlertPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Threshold of a measure. It is watched for each subject by itself, and raised and cleared by events."""

    measure: Annotated[str, Meta(min_length=1, max_length=64)]
    """What is compared: a measure of ``GET /v1/statistics``, or a figure of this moment such as ``waiting``."""
    above: float | None = None
    """Raised while the measure is greater than this; exactly one of ``above`` and ``below`` is given."""
    below: float | None = None
    """Raised while the measure is less than this."""
    clear: float | None = None
    """Cleared when the measure reaches this, on the other side of the threshold; null: when it reaches the threshold again."""
    by: AlertBy = AlertBy.QUEUE
    """What is watched, each by itself."""
    only: Annotated[tuple[SubjectId, ...], Meta(max_length=200)] = ()
    """Ids of the queues, channels, teams or agents that are watched; empty: all."""
    period: AlertPeriod = AlertPeriod.LAST_15M
    """Time over which the measure is computed; without effect for a figure of this moment."""
    for_s: Annotated[int, Meta(ge=0, le=DAY_S)] = 0
    """How long the measure must be beyond the threshold without a break before the alert is raised, in seconds."""
    quiet_s: Annotated[int, Meta(ge=0, le=7 * DAY_S)] = 0
    """Least time from one raise to the next one of the same subject, in seconds."""
    samples_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Least number of samples of a share, mean or quantile; with fewer the alert is neither raised nor cleared, with
    none at all a raised one is cleared."""
    severity: AlertSeverity = AlertSeverity.WARNING
    """How urgent it is."""

    def is_beyond(self, value: float) -> bool:
        """Return whether a value is beyond the threshold."""
        return value > self.above if self.above is not None else self.below is not None and value < self.below

    def is_recovered(self, value: float) -> bool:
        """Return whether a value has come back as far as a raised alert needs."""
        if self.above is not None:
            return value <= (self.above if self.clear is None else self.clear)
        return value >= (self.threshold if self.clear is None else self.clear)

    @property
    def threshold(self) -> float:
        """The value beyond which the alert is raised."""
        return (self.above if self.above is not None else self.below) or 0.0
