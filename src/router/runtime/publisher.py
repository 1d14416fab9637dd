"""What has become durable, told to whoever listens, in order; and the newest of it kept for those who were away.

Listeners are called synchronously, after the commit and before anybody gets an answer. They must be quick and must not
raise: what they raise ends the process. A listener sees every record of every workspace; it picks its own.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

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


Listener: TypeAlias = Callable[[Published], None]


class _Ring:
    """The newest records of one workspace, without a gap."""

    __slots__ = ("forgotten", "gen", "last_seq", "records")

    def __init__(self, gen: str, last_seq: int) -> None:
        self.gen = gen
        self.last_seq = last_seq
        self.records: deque[Record] = deque()
        self.forgotten = 0
        """Entries in the publisher's order whose record this ring has dropped already."""


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

    def since(self, workspace: WorkspaceId, gen: str, after_seq: int) -> list[Record] | None:
        """The records that reach beyond ``after_seq``, oldest first.

        None where they cannot all be given: another generation, a number from the future, or longer ago than is kept.
        """
        if not self.reaches(workspace, gen, after_seq):
            return None
        missed: list[Record] = []
        for record in reversed(self._rings[workspace].records):
            if record.last_seq <= after_seq:
                break
            missed.append(record)
        missed.reverse()
        return missed

    def reaches(self, workspace: WorkspaceId, gen: str, after_seq: int) -> bool:
        """Whether ``since`` has an answer."""
        ring = self._rings.get(workspace)
        if ring is None or ring.gen != gen:
            return False
        return self.forgotten_seq(workspace) <= after_seq <= ring.last_seq

    def forgotten_seq(self, workspace: WorkspaceId) -> int:
        """The newest event that is not kept any more."""
        ring = self._rings[workspace]
        return ring.records[0].first_seq - 1 if ring.records else ring.last_seq

    def last_seq(self, workspace: WorkspaceId) -> int:
        """The number of the newest durable event."""
        return self._rings[workspace].last_seq

    def _keep(self, ring: _Ring, workspace: WorkspaceId, record: Record) -> None:
        ring.records.append(record)
        self._order.append(workspace)
        if len(ring.records) > self._workspace_records_max:
            ring.records.popleft()
            ring.forgotten += 1
        while len(self._order) > self._records_max:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        ring = self._rings[self._order.popleft()]
        if ring.forgotten:
            ring.forgotten -= 1
        else:
            ring.records.popleft()
