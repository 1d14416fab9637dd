"""Published versions of a workspace's policy: who published what and when, and what it changed."""

from msgspec import Struct


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
