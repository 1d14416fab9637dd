"""The ``Journal`` port: the protocol and the records that every storage backend implements.

A **record** holds the events of one command in one workspace; they become durable together or not at all. The events are
numbered ``first_seq``, ``first_seq + 1`` and so on. Within one workspace and one history (``history_id``) the sequence
numbers run 1, 2, 3… without a gap.

Every backend guarantees the following; the contract suite (``tests/contracts/journal_contract.py``) checks each sentence:

1. ``append`` returns only when all its records are durable, complete and in order; if it raises, the process must end.
2. A record that was appended is read back byte for byte, after any restart.
3. A record that is missing, torn or altered is detected at ``open`` and raises ``JournalCorrupt``; the history is never
   silently shorter.
4. Only one process can open a journal: a second one gets ``JournalLocked`` and changes nothing.
5. A journal of a newer format raises ``JournalTooNew``, one of an older format ``JournalOutdated``; both are left unchanged.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from router.journal.records import Position, Record
from router.model.errors import JournalError
from router.model.states import WorkspaceId


class JournalOutdated(JournalError):
    """The journal has an older format; ``router journal migrate`` converts it once."""


class EventsArchived(JournalError):
    """Events were requested that are no longer in the journal, but in an archive."""

    def __init__(self, workspace: WorkspaceId, first_seq: int) -> None:
        super().__init__(f"workspace {workspace}: events before seq {first_seq} have been archived")
        self.first_seq = first_seq


class Snapshot(Struct, frozen=True, kw_only=True):
    """The state of the engine and of the statistics after the event ``seq``, as bytes opaque to the journal."""

    seq: int
    at_ms: int
    engine_state: bytes
    stats_state: bytes


class WorkspaceHistory(Struct, frozen=True, kw_only=True):
    """The state of one workspace as found by ``Journal.open``."""

    workspace: WorkspaceId
    history_id: str
    last_position: Position
    snapshot: Snapshot | None
    first_seq: int = 1
    """First event that the journal has; a snapshot covers the events before it."""
    epoch: int | None = None
    """Epoch of this start, where the storage grants it; None: one more than that of the newest record."""
    is_led: bool = True
    """Whether this process may append to it; no: another one may, and this one follows."""


class Consumed(Struct, frozen=True, gc=False):
    """A command from another node that is carried out with the record at this place of a batch, or without any record before it."""

    place: int
    workspace: WorkspaceId
    entry_id: str
    """Its position in the inbound stream of the workspace."""


class HistoryLoss(Struct, frozen=True, kw_only=True):
    """The accepted loss of one workspace; ``kept_seq`` is the last event that remains."""

    workspace: WorkspaceId
    old_history_id: str
    new_history_id: str
    kept_seq: int
    dropped_records: int


class JournalStatus(Struct, frozen=True, kw_only=True):
    """What the storage promises at this moment."""

    durability: str
    """What has confirmed a commit before it is acknowledged: `none`, `fsync`, or the level of the store."""
    problem: str | None = None
    """Why commits wait or are in danger; None: all is well."""


class LedFigures(Struct, frozen=True, kw_only=True):
    """A workspace that this process leads in a store, for the metrics."""

    workspace: WorkspaceId
    epoch: int
    events: int
    """Events in the store, without those in archives."""
    unconfirmed_events: int
    """Events that have not been confirmed with the durability asked for."""


class StoreFigures(Struct, frozen=True, kw_only=True):
    """Figures of a store and of what this process has done with it, for the metrics."""

    led: tuple[LedFigures, ...]
    connects: int
    archives: int
    archived_events: int
    archives_failed: int
    memory_bytes: int
    """Memory that the servers use; 0: not known yet."""
    memory_max_bytes: int
    """Memory that they may use; 0: without limit, or not known yet."""
    replicas: int
    """Replicas that are online, of the server that has the fewest."""


class Journal(Protocol):
    """A storage backend of the event log, one per process for all workspaces.

    Not thread-safe: call it from one event loop only.
    """

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take the lock, verify every record since the newest intact snapshot, and return all histories.

        Raises JournalLocked, JournalTooNew, JournalOutdated, JournalCorrupt or JournalUnavailable.
        """
        ...

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Start the history of a new workspace under a new random history id."""
        ...

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order.

        Blocks on the storage: only for use before the writer runs.
        """
        ...

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records whose last event is after ``after_seq``, while the writer runs.

        Raises EventsArchived where events directly after ``after_seq`` are no longer in the journal.
        """
        ...

    def status(self) -> JournalStatus:
        """Return what the storage promises at this moment."""
        ...

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that the journal has; more than 1 where events have been archived."""
        ...

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the whole batch durable in one commit."""
        ...

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot; the previous one is retained as a fallback."""
        ...

    async def run_maintenance(self) -> None:
        """Run periodic maintenance until the journal is closed; the writer runs this as a task.

        Raises JournalUnavailable when the storage fails, even while nothing is being appended.
        """
        ...

    async def close(self) -> None:
        """Flush everything to disk and release the lock. Idempotent."""
        ...


@runtime_checkable
class StoreJournal(Journal, Protocol):
    """A ``Journal`` on a server, as the rest of the process sees it: its client library is loaded only where one is used."""

    warnings: list[str]
    """Advice of the checks at the start."""
    on_trouble: Callable[[str | None], None] | None
    """Called when commits begin to wait for the store (the reason), and when they go on (None)."""
    on_append: Callable[[float], None] | None
    """Called on a thread with the time that each append took, its confirmation included."""
    on_archive_failed: Callable[[JournalError], None] | None
    """Called where an archive could not be made; the records stay in the store."""

    async def accept_history_loss(self) -> list[HistoryLoss]:
        """Keep the intact records of each damaged workspace under a new history id, in place of ``open``."""
        ...

    def figures(self) -> StoreFigures:
        """Return figures for the metrics; may be called on any thread."""
        ...

    @property
    def label(self) -> str:
        """Return the address without credentials."""
        ...

    @property
    def read_backs(self) -> int:
        """Return how often the outcome of a write had to be read back."""
        ...

    @property
    def repaired_events(self) -> int:
        """Return the number of confirmed events that a server had lost and that were written again."""
        ...

    @property
    def lease_age_s(self) -> float:
        """Return the time since the leases were renewed."""
        ...
