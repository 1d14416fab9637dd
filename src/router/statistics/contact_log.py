"""The live contacts in order of their submit, for a walk in slices while contacts are added and removed.

Theory of operation. A snapshot needs the contacts as they were at one moment. To copy the keys of a map of a hundred thousand
contacts takes five to twenty milliseconds, because each key has to be fetched from memory, and the event loop waits. So every
contact is also appended to a list, and the walk reads the list up to where it ended at that moment. A contact that has been removed
stays in the list: an entry counts only while the map has the very same record for its id. What is removed or changed during the
walk has been encoded before, by ``IncrementalStats.before_event``. The walk drops the entries that no longer count; where no
snapshots are taken, the list is rebuilt when most of its entries do not count.
"""

from collections.abc import Generator
from typing import Final

from router.statistics.open_records import LiveContact

_SLACK: Final = 1_000
"""Entries that are added between two looks at how many still count."""


class ContactLog:
    """Ids and records of contacts in order of their submit; some may no longer be live."""

    __slots__ = ("_is_read", "_live", "ids", "length_max", "records")

    def __init__(self, live: dict[str, LiveContact]) -> None:
        """``live`` is the map of the live contacts, which the caller changes."""
        self._live = live
        self.ids: list[str | None] = list(live)
        """The caller appends each contact that the map has received as its last one, its id here and its record below."""
        self.records: list[LiveContact | None] = list(live.values())
        self.length_max = len(live) + _SLACK
        """Length beyond which the caller calls ``trim``."""
        self._is_read = False

    def trim(self) -> None:
        """Rebuild the list if most of its entries do not count, and set the next length. Amortized constant time per entry."""
        if len(self.ids) > 2 * len(self._live) + _SLACK and not self._is_read:
            self.ids, self.records = list(self._live), list(self._live.values())
        self.length_max = len(self.ids) + _SLACK

    def read(self, slice_size: int) -> Generator[list[tuple[str, LiveContact]]]:
        """Yield the present entries in slices, also those that do not count; drop these. One walk at a time.

        Close the iterator if it is not read to its end.
        """
        assert not self._is_read, "only one walk at a time"
        self._is_read = True
        slices = self._slices(len(self.ids), slice_size)
        next(slices)  # From now on closing it ends the walk.
        return slices

    def _slices(self, end: int, slice_size: int) -> Generator[list[tuple[str, LiveContact]]]:
        ids, records, live = self.ids, self.records, self._live
        done = kept = 0
        try:
            yield []
            while done < end:
                taken: list[tuple[str, LiveContact]] = []
                for place in range(done, min(done + slice_size, end)):
                    contact_id, record = ids[place], records[place]
                    assert contact_id is not None and record is not None
                    taken.append((contact_id, record))
                    # Dropped one by one: to free thousands at once would take milliseconds.
                    ids[place] = records[place] = None
                    if live.get(contact_id) is record:
                        ids[kept], records[kept] = contact_id, record
                        kept += 1
                done += len(taken)
                yield taken
        finally:
            del ids[kept:done], records[kept:done]
            self._is_read = False
