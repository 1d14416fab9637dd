"""What has become durable, told to whoever listens, in order; and the newest of it kept for those who were away.

Listeners are called synchronously, after the commit and before anybody gets an answer. They must be quick and must not
raise: what they raise ends the process. A listener sees every record of every workspace; it picks its own.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final, TypeAlias, cast

from msgspec import Struct

from router.journal.port import Record
from router.model.ids import WorkspaceId

# Enough for a desktop that was away for a minute in a busy workspace.
WORKSPACE_RECORDS_MAX: Final = 2_048
# Over all workspaces: at about 1 KB a record, 64 MB.
RECORDS_MAX: Final = 65_536


class Published(Struct, frozen=True, gc=False):
    """One durable record."""

    workspace: WorkspaceId
    gen: str
    record: Record


# Entries of records that are gone, before the list is made shorter.
_GONE_MIN: Final = 64

_first_seq_of: Final = attrgetter("first_seq")
_last_seq_of: Final = attrgetter("last_seq")

Listener: TypeAlias = Callable[[Published], None]


class _Ring:
    """The newest records of one workspace, without a gap.

    A list, not a deque: somebody who was away begins in the middle, and there a deque is slow.
    """

    __slots__ = ("_begin", "_records", "forgotten", "gen", "last_seq")

    def __init__(self, gen: str, last_seq: int) -> None:
        self.gen = gen
        self.last_seq = last_seq
        self._records: list[Record | None] = []
        """From ``_begin`` on; what is before it is gone."""
        self._begin = 0
        self.forgotten = 0
        """Entries in the publisher's order whose record this ring has dropped already."""

    def __len__(self) -> int:
        return len(self._records) - self._begin

    @property
    def oldest(self) -> Record | None:
        """The oldest that is kept."""
        return self._records[self._begin] if self else None

    def append(self, record: Record) -> None:
        self._records.append(record)

    def drop_oldest(self) -> None:
        # One at a time, so that the memory of thousands is never given back in one go.
        self._records[self._begin] = None
        self._begin += 1
        if self._begin > _GONE_MIN + len(self):
            del self._records[: self._begin]
            self._begin = 0

    def between(self, after_seq: int, until_seq: int) -> list[Record]:
        records = self._records
        begin = bisect_right(records, after_seq, self._begin, key=_last_seq_of)
        end = bisect_right(records, until_seq, begin, key=_first_seq_of)
        return cast(list[Record], records[begin:end])


class Publisher:
    """Listeners and rings."""

    def __init__(
        self,
        *,
        workspace_records_max: int = WORKSPACE_RECORDS_MAX,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self._workspace_records_max = workspace_records_max
        self._records_max = records_max
        self._listeners: tuple[tuple[object, Listener], ...] = ()
        self._rings: dict[WorkspaceId, _Ring] = {}
        self._order: deque[WorkspaceId] = deque()
        """One entry a record, oldest first: whose record has to go when all rings together hold too many."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with everything from now on; gives back how to end that."""
        key = object()
        self._listeners += ((key, listener),)

        def unsubscribe() -> None:
            self._listeners = tuple(one for one in self._listeners if one[0] is not key)

        return unsubscribe

    def begin(self, workspace: WorkspaceId, gen: str, *, last_seq: int) -> None:
        """A workspace and where it stands, before its first record is published or recalled."""
        self._rings[workspace] = _Ring(gen, last_seq)

    def recall(self, workspace: WorkspaceId, record: Record) -> None:
        """A record from before the start: kept for those who resume, told to nobody."""
        self._keep(self._rings[workspace], workspace, record)

    def publish(self, workspace: WorkspaceId, record: Record) -> None:
        """A record that has just become durable."""
        ring = self._rings[workspace]
        self._keep(ring, workspace, record)
        ring.last_seq = record.last_seq
        published = Published(workspace, ring.gen, record)
        # A listener may end its own subscription, or that of another: that makes another tuple.
        for _, listener in self._listeners:
            listener(published)

    def between(self, workspace: WorkspaceId, after_seq: int, until_seq: int) -> list[Record]:
        """The kept records that hold an event after the one number, up to the other; oldest first."""
        return self._rings[workspace].between(after_seq, until_seq)

    def reaches(self, workspace: WorkspaceId, gen: str, after_seq: int) -> bool:
        """Whether all after that event is kept: not of another generation, from the future, or too long ago."""
        ring = self._rings.get(workspace)
        if ring is None or ring.gen != gen:
            return False
        return self.forgotten_seq(workspace) <= after_seq <= ring.last_seq

    def forgotten_seq(self, workspace: WorkspaceId) -> int:
        """The newest event that is not kept any more."""
        ring = self._rings[workspace]
        return ring.last_seq if ring.oldest is None else ring.oldest.first_seq - 1

    def last_seq(self, workspace: WorkspaceId) -> int:
        """The number of the newest durable event."""
        return self._rings[workspace].last_seq

    def _keep(self, ring: _Ring, workspace: WorkspaceId, record: Record) -> None:
        ring.append(record)
        self._order.append(workspace)
        if len(ring) > self._workspace_records_max:
            ring.drop_oldest()
            ring.forgotten += 1
        while len(self._order) > self._records_max:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        ring = self._rings[self._order.popleft()]
        if ring.forgotten:
            ring.forgotten -= 1
        else:
            ring.drop_oldest()
