"""The contacts that have ended, oldest first, until they are forgotten.

Each entry has a number, the first one 0, which stays the same while older entries are dropped. A snapshot reads the entries between
two numbers in slices, so that nothing is copied as a whole: a copy of tens of thousands of entries takes a millisecond, and several
in the garbage collections that visit it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from router.model.states import ContactId

_FREED_MIN: Final = 1_000
"""Dropped entries whose places are kept, so that the list is seldom moved."""


class EndedContacts:
    """Ids of ended contacts with the time of their end in epoch milliseconds, oldest first."""

    __slots__ = ("_begin", "_entries", "_freed")

    def __init__(self, entries: Iterable[tuple[ContactId, int]] = ()) -> None:
        self._entries: list[tuple[ContactId, int] | None] = list(entries)
        self._begin = 0
        """Place of the oldest entry in the list."""
        self._freed = 0
        """Entries whose places have been removed from the list."""

    def __len__(self) -> int:
        return len(self._entries) - self._begin

    def __iter__(self) -> Iterator[tuple[ContactId, int]]:
        return iter(self.between(self.first, self.end))

    @property
    def first(self) -> int:
        """Number of the oldest entry."""
        return self._freed + self._begin

    @property
    def end(self) -> int:
        """Number that the next entry will have."""
        return self._freed + len(self._entries)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest contact ended; None: there is none."""
        entry = self._entries[self._begin] if self else None
        return None if entry is None else entry[1]

    def append(self, contact_id: ContactId, at_ms: int) -> None:
        """Add a contact that has ended."""
        self._entries.append((contact_id, at_ms))

    def pop_oldest(self) -> ContactId:
        """Remove the oldest entry and return its contact. There must be one. Amortized constant time."""
        entry = self._entries[self._begin]
        assert entry is not None
        self._entries[self._begin] = None
        self._begin += 1
        if self._begin > _FREED_MIN + len(self):
            del self._entries[: self._begin]
            self._freed += self._begin
            self._begin = 0
        return entry[0]

    def between(self, start: int, end: int) -> list[tuple[ContactId, int]]:
        """Return the entries with the numbers from ``start`` up to ``end``, ``end`` excluded, that are not dropped."""
        start = max(start, self.first)
        return [entry for entry in self._entries[start - self._freed : max(0, end - self._freed)] if entry is not None]
