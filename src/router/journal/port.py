"""The journal as the rest of the house sees it: records in, records out, nothing lost.

A **record** is one step of one workspace: the events of one command, durable together or not at all. Its events are
numbered ``first_seq``, ``first_seq + 1`` and so on; per workspace and generation the numbers run 1, 2, 3… without a gap.

What every keeper promises (the contract suite holds each to these sentences):

1. ``append`` returns only when all its records are durable, whole and in order; if it raises, the process must end.
2. A record that was appended is read back byte for byte, after any restart.
3. A record that is missing, torn or altered is detected at ``open``: ``JournalCorrupt``, never a shorter history.
4. Only one process has a journal: the second one gets ``JournalLocked`` and changes nothing.
5. A journal of a newer format gets ``JournalTooNew`` and changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from router.model.events import Event
from router.model.ids import WorkspaceId


class Position(Struct, frozen=True, order=True, gc=False):
    """A place in a workspace's history. ``epoch`` grows with every start of the process; ``seq`` never has a gap."""

    epoch: int
    seq: int


class Record(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One step of a workspace."""

    epoch: int
    first_seq: int
    at_ms: int
    actor: str
    """Who asked: ``agent:ada``, ``gateway:web``, ``supervisor:eve``, ``admin:…`` or ``router`` for timers."""
    cause: str
    """The tag of the command."""
    events: tuple[Event, ...]

    @property
    def last_seq(self) -> int:
        """The number of its last event."""
        return self.first_seq + len(self.events) - 1


class Snapshot(Struct, frozen=True, kw_only=True):
    """The engine's state (and the meters') after the event ``seq``, as bytes that only their makers read."""

    seq: int
    at_ms: int
    core: bytes
    meters: bytes


class WorkspaceHistory(Struct, frozen=True, kw_only=True):
    """What ``open`` found for one workspace."""

    workspace: WorkspaceId
    gen: str
    last: Position
    snapshot: Snapshot | None


class Journal(Protocol):
    """A keeper of journals: one a process, for all its workspaces. Not thread-safe; called from one event loop."""

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify everything since each workspace's newest good snapshot, say what is there."""
        ...

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Begin the history of a new workspace with a new random generation."""
        ...

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """The records after ``after_seq``, in order; before the writer starts (blocking)."""
        ...

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """At most ``limit`` records whose last event is after ``after_seq``; while the writer runs."""
        ...

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the batch durable, all of it in one commit."""
        ...

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Keep a snapshot; the one before it is kept too."""
        ...

    async def tend(self) -> None:
        """Housekeeping until the journal is closed. The writer runs it beside the corridor.

        Raises JournalUnavailable when the medium fails, also where nothing is being appended.
        """
        ...

    async def close(self) -> None:
        """Orderly end: everything on disk, lock given back. Idempotent."""
        ...
