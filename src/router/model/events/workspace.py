"""Base struct of all events, and the events of a workspace: opening and closing of queues, policies, start of a day.

The conventions of all events (tags, fields) are documented in the package ``router.model.events``.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.

from msgspec import Struct

from router.model.policy import Policy
from router.model.policy_versions import ChangeCounts
from router.model.states import ContactId, QueueId


class EventStruct(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True):
    """Base of all events: frozen, keyword-only, with a stable tag; fields at their default are omitted from the journal."""


class QueueOpened(EventStruct, frozen=True, kw_only=True, tag="queue.opened"):
    """The queue is open, and contacts that waited for the opening may be offered.

    Also emitted for an open queue whose ``until_ms`` changes.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """Time of the next change, epoch milliseconds; null: not within a year, or not known."""
    reason: str = "hours"
    """``hours`` (the calendar) or ``supervisor``."""
    wait_until_ms: int | None = None
    """When contacts that waited for the opening overflow or expire: their maximum wait counts from this event."""
    contact_ids: tuple[ContactId, ...] | None = None
    """Contacts that stop waiting for the opening now; further events of this kind follow for the others. Null: all of them."""


class QueueClosed(EventStruct, frozen=True, kw_only=True, tag="queue.closed"):
    """The queue is closed. Also emitted for a closed queue whose ``until_ms`` or reason changes.

    What happens to its waiting contacts is recorded by separate events.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """Time of the next change, epoch milliseconds; null: not within a year, or not known."""
    reason: str = "hours"
    """``hours`` (the calendar), ``holiday`` or ``supervisor``."""
    holds_contacts: bool = False
    """True if waiting contacts are kept until the opening."""


class WorkspaceCreated(EventStruct, frozen=True, kw_only=True, tag="workspace.created"):
    """The workspace was created over the API; it exists without being in the settings."""

    created_by: str = ""
    """Who created it."""


class WorkspaceRemoved(EventStruct, frozen=True, kw_only=True, tag="workspace.removed"):
    """The workspace was removed over the API: its tokens are refused from now on, and its name is not used again."""

    removed_by: str = ""
    """Who removed it."""


class PolicyPublished(EventStruct, frozen=True, kw_only=True, tag="policy.published"):
    """A policy has become active."""

    version: int
    """Version of the policy: 1, 2, 3, …"""
    policy: Policy
    """The complete policy."""
    drain_to: dict[QueueId, QueueId] = {}
    """Queue for the contacts of each removed queue. Waiting contacts are moved by separate events."""
    note: str = ""
    """Why it was published, as its author wrote it."""
    published_by: str = ""
    """Who published it; empty: not recorded."""
    changes: ChangeCounts | None = None
    """How many paths it added, removed and changed; null: not counted."""
    restores: int | None = None
    """Version whose content it restores; null: it is no rollback."""
    is_scheduled: bool = False
    """Whether it was scheduled, and is now due."""


class PolicyScheduled(EventStruct, frozen=True, kw_only=True, tag="policy.scheduled"):
    """A policy will be published at a time. It replaces one that was scheduled before."""

    policy: Policy
    """The complete policy."""
    publish_at_ms: int
    """When it is published, epoch milliseconds."""
    replaces: int | None = None
    """Version that must then be active; null: whichever is."""
    drain_to: dict[QueueId, QueueId] = {}
    """Queue for the contacts of each queue that it removes."""
    note: str = ""
    """Why, as its author wrote it."""
    scheduled_by: str = ""
    """Who scheduled it."""
    changes: ChangeCounts | None = None
    """How many paths it adds, removes and changes; null: not counted."""


class PolicyScheduleCancelled(EventStruct, frozen=True, kw_only=True, tag="policy.schedule_cancelled"):
    """The scheduled policy will not be published; also the end of one that was refused."""


class PolicyScheduleRefused(EventStruct, frozen=True, kw_only=True, tag="policy.schedule_refused"):
    """The scheduled policy was due and could not be published; the active one stays. It is not tried again."""

    refused: str
    """Code of the refusal, as a publication would have had it."""
    detail: str = ""
    """Its text."""


class DayStarted(EventStruct, frozen=True, kw_only=True, tag="workspace.day_started"):
    """A local day has started, or the policy has begun to use daily counts; ``contacts_today`` of all agents is reset to 0."""

    day: str
    """Local date (ISO 8601)."""
    until_ms: int
    """Start of the next day."""


class ShadowPolicySet(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_set"):
    """A shadow policy now runs in parallel with the active policy: it decides nothing; differences are counted."""

    policy: Policy
    """The complete shadow policy."""


class ShadowPolicyCleared(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_cleared"):
    """The shadow policy was cleared."""


class IdempotencyKeyRecorded(EventStruct, frozen=True, kw_only=True, tag="idempotency_key.recorded"):
    """A command other than a submit was carried out with an idempotency key; a repeat of it gets the answer recorded here.

    The events of the command precede it; there are none if the command had nothing to change.
    """

    subject: str
    """Id of the object that the command concerned."""
    state: str
    """State in the answer."""
    answer_seq: int
    """Sequence number in the answer."""
    key: bytes | None = None
    """Hash of client and idempotency key; never sent to clients."""
    fingerprint: bytes | None = None
    """Hash of the command, to recognise a key that is used with another one; never sent to clients."""
    client: str = ""
    """Client to which the key belongs."""
