"""Published versions of a workspace's policy: who published what and when, and what it changed; and who created the workspace."""

from msgspec import Struct

from router.model.policy import Policy


class ChangeCounts(Struct, frozen=True, kw_only=True):
    """How many paths of the policy a publication added, removed and changed. Omitted keys count as their defaults."""

    added: int = 0
    """Paths that did not exist before."""
    removed: int = 0
    """Paths that do not exist any more."""
    changed: int = 0
    """Paths with another value."""


class PublishedPolicy(Struct, frozen=True, kw_only=True):
    """One published version, as the state of the workspace keeps it."""

    version: int
    seq: int = 0
    """Sequence number of its event; 0: published by an earlier release of the router, whose snapshot did not keep it."""
    published_at_ms: int = 0
    """When it was published, epoch milliseconds; 0: not known, as above."""
    published_by: str = ""
    """Who published it, as events name authors; empty: not recorded."""
    note: str = ""
    restores: int | None = None
    """Version whose content it restored; none: it was no rollback."""
    changes: ChangeCounts | None = None
    """What it changed; none: not counted."""
    content: bytes | None = None
    """The policy as MessagePack; none: no longer kept."""
    is_scheduled: bool = False
    """Whether it was scheduled and published by itself."""


class ScheduledPolicy(Struct, frozen=True, kw_only=True):
    """The policy that will be published at a time, or that could not be; as the state of the workspace keeps it."""

    policy: Policy
    publish_at_ms: int
    seq: int
    """Sequence number of the event that scheduled it: its entity tag."""
    scheduled_at_ms: int
    scheduled_by: str = ""
    note: str = ""
    replaces: int | None = None
    """Version that must be active then; none: whichever is."""
    drain_to: dict[str, str] = {}
    changes: ChangeCounts | None = None
    refused: str = ""
    """Code of the refusal at its time; empty: it is not due yet."""
    refused_detail: str = ""
    refused_at_ms: int | None = None


class WorkspaceCreation(Struct, frozen=True, kw_only=True):
    """How a workspace was created over the API."""

    created_by: str
    created_at_ms: int
    removed_at_ms: int | None = None
    """When it was removed; its name is not used again, because its history is that of another tenant."""
