"""Replay index: recent events by recipient, so that many resuming clients do not each scan the whole history.

Theory of operation. The publisher keeps the most recent records of a workspace. A client that resumes needs those of its own
events that follow its last position. A scan costs time proportional to all events; when a thousand desktops reconnect at
once, a thousand scans would block the event loop for seconds. The index is built when the first client resumes and only as
far back as that client asks; each event is examined once, however many clients resume. Building the index of a busy contact
centre takes about 0.1 s, so it is done in slices of 128 events (about 0.5 ms) between which the loop serves other work
(``extend_to``). Short gaps are scanned directly.

The index covers one contiguous range of sequence numbers and grows at both ends. It holds references only: an event that the
publisher has dropped is not returned, and a range that has mostly been dropped is discarded as a whole.

Which events a client receives is decided in ``protocol/audience.py``.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import Final, TypeAlias

from router.model.events import Event
from router.protocol.audience import is_visible_to, recipient_agents, recipient_gateways
from router.runtime.publisher import Publisher

StampedEvent: TypeAlias = tuple[int, int, Event]
"""An event with its sequence number and time: (seq, at_ms, event)."""

# Dropped events are swept out only if the index is larger than this.
_SWEEP_MIN: Final = 4_096

# Up to this many events, a scan is faster than the index.
_SHORT: Final = 64

# Events indexed in one slice: about 0.5 ms.
_SLICE: Final = 128

_seq_of: Final = itemgetter(0)


class ReplayIndex:
    """Replay index of one workspace and history."""

    def __init__(self, publisher: Publisher, workspace: str, history_id: str) -> None:
        self.history_id = history_id
        self._publisher = publisher
        self._workspace = workspace
        # Indexed range: events with _after < seq <= _until.
        self._after = self._until = publisher.last_seq(workspace)
        self._agents: dict[str, deque[StampedEvent]] = {}
        self._gateways: dict[str, deque[StampedEvent]] = {}
        self._extending = asyncio.Lock()

    async def extend_to(self, after_seq: int) -> None:
        """Extend the index back to ``after_seq`` in slices, so that ``events_since`` does not block the event loop."""
        # Without the lock, every waiting client would index one slice per loop iteration.
        async with self._extending:
            # New events keep arriving: less than one slice is left to ``events_since``.
            while self._missing(after_seq) > _SLICE:
                self._index_slice(after_seq)
                await asyncio.sleep(0)

    def events_since(self, after_seq: int, *, role: str, subject: str) -> list[StampedEvent] | None:
        """Return the events for a client after a position, oldest first; None if the position is no longer held."""
        if not self._publisher.covers(self._workspace, self.history_id, after_seq):
            return None
        if self._is_short(after_seq) or role not in ("agent", "gateway"):
            return [
                stamped
                for stamped in self._events(after_seq, self._publisher.last_seq(self._workspace))
                if is_visible_to(stamped[2], role=role, subject=subject)
            ]
        while self._missing(after_seq):
            self._index_slice(after_seq)
        found = (self._agents if role == "agent" else self._gateways).get(subject)
        if found is None:
            return []
        return list(islice(found, bisect_right(found, after_seq, key=_seq_of), None))

    def _is_short(self, after_seq: int) -> bool:
        return self._publisher.last_seq(self._workspace) - after_seq <= _SHORT

    def _missing(self, after_seq: int) -> int:
        """Return how many events after ``after_seq`` are not indexed; discard the index if it is mostly out of date."""
        publisher, newest = self._publisher, self._publisher.last_seq(self._workspace)
        if self._after <= after_seq and self._until == newest:
            return 0
        if not publisher.covers(self._workspace, self.history_id, after_seq):
            return 0
        forgotten = publisher.evicted_seq(self._workspace)
        if self._until < forgotten or newest - self._after > _SWEEP_MIN + 2 * (newest - forgotten):
            self._agents, self._gateways = {}, {}
            self._after = self._until = newest
        return newest - self._until + max(0, self._after - after_seq)

    def _index_slice(self, after_seq: int) -> None:
        """Index one slice: new events first, then older ones."""
        newest = self._publisher.last_seq(self._workspace)
        until = min(self._until + _SLICE, newest)
        for of, name, stamped in self._by_recipient(self._until, until):
            of.setdefault(name, deque()).extend(stamped)
        # Older events with the rest of the slice.
        after = max(self._after - _SLICE + (until - self._until), min(after_seq, self._after))
        for of, name, stamped in self._by_recipient(after, self._after):
            of.setdefault(name, deque()).extendleft(reversed(stamped))
        self._after, self._until = after, until

    def _by_recipient(self, after_seq: int, until_seq: int) -> list[tuple[dict[str, deque[StampedEvent]], str, list[StampedEvent]]]:
        """Return the events of a range by recipient: the index to update, the recipient id, the events."""
        if after_seq >= until_seq:
            return []
        agents: dict[str, list[StampedEvent]] = {}
        gateways: dict[str, list[StampedEvent]] = {}
        for stamped in self._events(after_seq, until_seq):
            for agent_id in recipient_agents(stamped[2]):
                agents.setdefault(agent_id, []).append(stamped)
            for gateway_id in recipient_gateways(stamped[2]):
                gateways.setdefault(gateway_id, []).append(stamped)
        both = ((self._agents, agents), (self._gateways, gateways))
        return [(of, name, stamped) for of, some in both for name, stamped in some.items()]

    def _events(self, after_seq: int, until_seq: int) -> list[StampedEvent]:
        return [
            (seq, record.at_ms, event)
            for record in self._publisher.records_between(self._workspace, after_seq, until_seq)
            for seq, event in enumerate(record.events, record.first_seq)
            if after_seq < seq <= until_seq
        ]
