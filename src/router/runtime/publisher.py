"""Publication of durable records, and retention of the newest ones in memory.

Callbacks are called synchronously, in commit order, after the commit and before any reply is completed. They must be quick and
must not raise: an exception ends the process. Subscribe through ``EventFeed`` instead, which isolates its subscribers.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Final, TypeAlias, cast

from msgspec import Struct

from router.journal.records import Record
from router.model.errors import RouterError
from router.model.states import WorkspaceId

# Enough for a desktop that was disconnected for a minute in a busy workspace.
WORKSPACE_RECORDS_MAX: Final = 2_048
# Limit over all workspaces: 64 MB at about 1 KB per record.
RECORDS_MAX: Final = 65_536


class PublishedRecord(Struct, frozen=True, gc=False):
    """A durable record with its workspace and history."""

    workspace: WorkspaceId
    history_id: str
    record: Record


# Freed entries at the front of the list before it is compacted.
_FREED_ENTRIES_MIN: Final = 64

_first_seq_of: Final = attrgetter("first_seq")
_last_seq_of: Final = attrgetter("last_seq")

RecordCallback: TypeAlias = Callable[[PublishedRecord], None]


class _RecentRecords:
    """The newest records of one workspace, without a gap.

    A list rather than a deque: clients resume in the middle, where indexing a deque is slow.
    """

    __slots__ = ("_begin", "_records", "evicted", "history_id", "last_seq")

    def __init__(self, history_id: str, last_seq: int) -> None:
        self.history_id = history_id
        self.last_seq = last_seq
        self._records: list[Record | None] = []
        """Records from index ``_begin`` on; entries before it have been evicted."""
        self._begin = 0
        self.evicted = 0
        """Entries in the publication order of the publisher whose record has already been evicted here."""

    def __len__(self) -> int:
        return len(self._records) - self._begin

    @property
    def oldest(self) -> Record | None:
        """Return the oldest retained record, None where there is none."""
        return self._records[self._begin] if self else None

    def append(self, record: Record) -> None:
        self._records.append(record)

    def drop_oldest(self) -> None:
        # Release one record at a time: freeing thousands at once would stall the event loop.
        self._records[self._begin] = None
        self._begin += 1
        if self._begin > _FREED_ENTRIES_MIN + len(self):
            del self._records[: self._begin]
            self._begin = 0

    def records_between(self, after_seq: int, until_seq: int) -> list[Record]:
        records = self._records
        begin = bisect_right(records, after_seq, self._begin, key=_last_seq_of)
        end = bisect_right(records, until_seq, begin, key=_first_seq_of)
        return cast(list[Record], records[begin:end])


class SubscriberBehind(RouterError):
    """More was published than a subscriber has taken; the feed delivers it again."""


class RecordCollector:
    """Published records that wait to be taken in batches, as a handler of a subscription. Confined to the event loop.

    It is with the publisher, and calls nothing else, because it is on the way of every commit.
    """

    def __init__(self, take: Callable[[], "asyncio.Task[None]"], *, pause_s: float, batch_max: int, waiting_max: int) -> None:
        """Call ``take`` after ``pause_s``, or at once where a batch waits; its task takes records off ``pending``.

        Beyond ``waiting_max`` records are refused, so that the feed delivers them again.
        """
        self.pending: list[PublishedRecord] = []
        self.collected = 0
        """Records that were ever collected."""
        self.is_due = False
        """Whether ``take`` is going to be called or its task runs; the owner resets it after the task."""
        self._take = take
        self._pause_s = pause_s
        self._batch_max = batch_max
        self._waiting_max = waiting_max

    def collect(self, published: PublishedRecord) -> Awaitable[None] | None:
        """Collect a record; return what a reader of earlier records waits for, if a batch waits. Raises SubscriberBehind."""
        waiting = len(self.pending)
        if waiting >= self._waiting_max:
            raise SubscriberBehind("a subscriber is behind; the events are read again")
        self.pending.append(published)
        self.collected += 1
        if waiting >= self._batch_max:
            return asyncio.shield(self._take())
        if not self.is_due:
            self.is_due = True
            asyncio.get_running_loop().call_later(self._pause_s, self._take)
        return None


class Publisher:
    """Publish durable records and retain the newest ones for clients that resume."""

    def __init__(self, *, workspace_records_max: int = WORKSPACE_RECORDS_MAX, records_max: int = RECORDS_MAX) -> None:
        self._workspace_records_max = workspace_records_max
        self._records_max = records_max
        self._callbacks: tuple[tuple[object, RecordCallback], ...] = ()
        self._recent: dict[WorkspaceId, _RecentRecords] = {}
        self._order: deque[WorkspaceId] = deque()
        """One entry per retained record, oldest first: the workspace whose record is evicted next at the overall limit."""

    def subscribe(self, callback: RecordCallback) -> Callable[[], None]:
        """Call ``callback`` with every record from now on; return a function that unsubscribes it."""
        key = object()
        self._callbacks += ((key, callback),)

        def unsubscribe() -> None:
            self._callbacks = tuple(one for one in self._callbacks if one[0] is not key)

        return unsubscribe

    @property
    def workspaces(self) -> list[WorkspaceId]:
        """Return the ids of all workspaces."""
        return list(self._recent)

    def history_id(self, workspace: WorkspaceId) -> str:
        """Return the history id of a workspace. Raises KeyError for an unknown workspace."""
        return self._recent[workspace].history_id

    def add_workspace(self, workspace: WorkspaceId, history_id: str, *, last_seq: int) -> None:
        """Add a workspace at its newest event, before its first record is published or loaded."""
        self._recent[workspace] = _RecentRecords(history_id, last_seq)

    def remove_workspace(self, workspace: WorkspaceId) -> None:
        """Forget a workspace and its records, of which nothing is published any more. Idempotent."""
        if self._recent.pop(workspace, None) is not None:
            self._order = deque(name for name in self._order if name != workspace)

    def load_record(self, workspace: WorkspaceId, record: Record) -> None:
        """Retain a record from before the start for clients that resume, without publishing it."""
        self._keep(self._recent[workspace], workspace, record)

    def publish(self, workspace: WorkspaceId, record: Record) -> None:
        """Publish a record that has just become durable."""
        recent = self._recent[workspace]
        self._keep(recent, workspace, record)
        recent.last_seq = record.last_seq
        published = PublishedRecord(workspace, recent.history_id, record)
        # Callbacks may unsubscribe themselves or others, which creates a new tuple.
        for _, callback in self._callbacks:
            callback(published)

    def records_between(self, workspace: WorkspaceId, after_seq: int, until_seq: int) -> list[Record]:
        """Return the retained records with events after ``after_seq`` and up to ``until_seq``, oldest first."""
        return self._recent[workspace].records_between(after_seq, until_seq)

    def covers(self, workspace: WorkspaceId, history_id: str, after_seq: int) -> bool:
        """Return whether all events after ``after_seq`` of this history are retained."""
        recent = self._recent.get(workspace)
        if recent is None or recent.history_id != history_id:
            return False
        return self.evicted_seq(workspace) <= after_seq <= recent.last_seq

    def evicted_seq(self, workspace: WorkspaceId) -> int:
        """Return the number of the newest evicted event."""
        recent = self._recent[workspace]
        return recent.last_seq if recent.oldest is None else recent.oldest.first_seq - 1

    def last_seq(self, workspace: WorkspaceId) -> int:
        """Return the number of the newest durable event."""
        return self._recent[workspace].last_seq

    def _keep(self, recent: _RecentRecords, workspace: WorkspaceId, record: Record) -> None:
        recent.append(record)
        self._order.append(workspace)
        if len(recent) > self._workspace_records_max:
            recent.drop_oldest()
            recent.evicted += 1
        while len(self._order) > self._records_max:
            self._evict_oldest()

    def _evict_oldest(self) -> None:
        recent = self._recent[self._order.popleft()]
        if recent.evicted:
            recent.evicted -= 1
        else:
            recent.drop_oldest()
