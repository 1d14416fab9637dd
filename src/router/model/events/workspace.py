"""Base struct of all events, and the events of a workspace: opening and closing of queues, policies, start of a day.

The conventions of all events (tags, fields) are documented in the package ``router.model.events``.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.

from msgspec import Struct

from router.model.ids import QueueId
from router.model.policy import Policy


class EventStruct(
    Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True
):
    """Base of all events: frozen, keyword-only, with a stable tag; fields at their default are omitted from the journal."""


class QueueOpened(EventStruct, frozen=True, kw_only=True, tag="queue.opened"):
    """The queue is open, and contacts that waited for the opening may be offered.

    Also emitted for an open queue whose ``until_ms`` changes. Reasons: ``hours``, ``supervisor``.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """Time of the next change, if known; none: not within a year."""
    reason: str = "hours"
    wait_until_ms: int | None = None
    """When contacts that waited for the opening overflow or expire: their maximum wait counts from this event."""


class QueueClosed(EventStruct, frozen=True, kw_only=True, tag="queue.closed"):
    """The queue is closed. Also emitted for a closed queue whose ``until_ms`` or reason changes.

    Reasons: ``hours``, ``holiday``, ``supervisor``. What happens to its waiting contacts is recorded by separate events.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """Time of the next change, if known; none: not within a year."""
    reason: str = "hours"
    holds_contacts: bool = False
    """True if waiting contacts are kept until the opening."""


class PolicyPublished(EventStruct, frozen=True, kw_only=True, tag="policy.published"):
    """A policy has become active."""

    version: int
    policy: Policy
    drain_to: dict[QueueId, QueueId] = {}
    """Queue for the contacts of each removed queue. Waiting contacts are moved by separate events."""


class DayStarted(EventStruct, frozen=True, kw_only=True, tag="workspace.day_started"):
    """A day of the workspace's time zone has begun, or counting by day has: all agents' contacts of the day are reset to 0."""

    day: str
    """Local date (ISO 8601)."""
    until_ms: int
    """Start of the next day."""


class ShadowPolicySet(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_set"):
    """A shadow policy now runs in parallel with the active policy: it decides nothing; differences are counted."""

    policy: Policy


class ShadowPolicyCleared(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_cleared"):
    """The shadow policy was removed."""
