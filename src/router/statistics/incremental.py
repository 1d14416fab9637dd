"""Incremental snapshots of statistics: the state after one event, encoded in pieces while further events are counted.

Theory of operation. In a large workspace encoding everything at once takes tens of milliseconds. So the small parts are encoded
at the beginning, and the large maps in pieces. Before an event is counted it is shown to ``before_event``, which encodes what the
event is going to change and the walk has not reached yet. What an event changes is what its fields name (``..._id``), and the
agent and queue of the contact, offer or assignment that they name. So the result equals, byte for byte, what
``WorkspaceStats.snapshot`` would have returned at the beginning. A policy changes all queues and cancels the snapshot.

Closed intervals never change again, so they are encoded when the walk reaches them.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from router.model.events import Event, PolicyPublished
from router.statistics.contact_log import ContactLog
from router.statistics.open_records import LiveContact
from router.statistics.state import StatsInterval, StatsState

_encode: Final = msgspec.msgpack.Encoder().encode

# Entries in one piece: about a tenth of a millisecond.
_ENTRIES: Final = 128

_KINDS: Final = {
    "contact_id": ("contacts",),
    "offer_id": ("offers", "assignments"),
    "assignment_id": ("assignments", "offers"),
    "agent_id": ("agents",),
    "queue_id": ("queues", "cells"),
}
"""By the end of a field's name: the maps with an entry of that id. An accepted offer becomes the assignment of the same id."""

_fields_by_event: Final[dict[type, tuple[tuple[str, tuple[str, ...]], ...]]] = {}


class _Walk:
    """A map that is encoded entry by entry, as it was at the beginning."""

    __slots__ = ("_early", "_is_done", "_keys", "_live")

    def __init__(self, live: dict[str, Any]) -> None:
        self._live = live
        # The garbage collector visits a tuple of strings only once.
        self._keys = tuple(live)
        self._early: dict[str, bytes] = {}
        self._is_done = False

    def keep(self, key: str) -> None:
        """Encode an entry that is about to change."""
        if not self._is_done and key not in self._early and key in self._live:
            self._early[key] = _entry(key, self._live[key])

    def pieces(self) -> Iterator[bytes]:
        """Yield the map in pieces."""
        yield _map_header(len(self._keys))
        early, live = self._early, self._live
        for start in range(0, len(self._keys), _ENTRIES):
            keys = self._keys[start : start + _ENTRIES]
            yield b"".join([early[key] if key in early else _entry(key, live[key]) for key in keys])
        self._is_done = True
        early.clear()


class _ContactWalk(_Walk):
    """The map of the live contacts, whose keys are not copied, as there may be a hundred thousand."""

    __slots__ = ("_early_contacts", "_length", "_slices")

    def __init__(self, live: dict[str, LiveContact], log: ContactLog) -> None:
        super().__init__({})
        self._live = live
        self._length = len(live)
        self._slices = log.read(_ENTRIES)
        self._early_contacts: dict[str, tuple[LiveContact, bytes]] = {}

    def keep(self, key: str) -> None:
        """Encode a contact that is about to change."""
        if not self._is_done and key not in self._early_contacts and key in self._live:
            self._early_contacts[key] = (self._live[key], _entry(key, self._live[key]))

    def pieces(self) -> Iterator[bytes]:
        """Yield the map in pieces."""
        yield _map_header(self._length)
        for contacts in self._slices:
            yield b"".join([self._encoded(key, contact) for key, contact in contacts])
        self._is_done = True
        self._early_contacts.clear()

    def _encoded(self, key: str, contact: LiveContact) -> bytes:
        """Return an entry as it was at the beginning; nothing for one that was over then."""
        early = self._early_contacts.get(key)
        if early is not None:
            return early[1] if early[0] is contact else b""
        return _entry(key, contact) if self._live.get(key) is contact else b""

    def end(self) -> None:
        """End a walk that is not complete."""
        self._slices.close()


class IncrementalStats:
    """A snapshot in progress, at most one for a state: call ``advance`` until it returns False, then take ``parts``."""

    def __init__(self, state: StatsState) -> None:
        """Begin at the present event."""
        assert state.incremental is None, "only one incremental snapshot at a time"
        state.flush()
        self._state = state
        self.is_cancelled = False
        """Whether it was cancelled; there will be no result."""
        self.is_done = False
        series = state.snapshot.series
        running = series.intervals[-1] if series.intervals else StatsInterval(start_ms=0)
        self._closed = series.intervals[:-1]
        self._contacts = _ContactWalk(state.contacts, state.contact_log)
        self._walks = {
            "queues": _Walk(state.queues),
            "contacts": self._contacts,
            "offers": _Walk(state.offers),
            "assignments": _Walk(state.assignments),
            "agents": _Walk(state.agents),
            "cells": _Walk(running.cells),
        }
        self._parts: list[bytes] = []
        self._work = self._pieces(state)
        next(self._work)
        state.incremental = self

    def _pieces(self, state: StatsState) -> Iterator[None]:
        """Encode the fields in their order; the first step encodes whatever changes with every event."""
        snapshot, series, walks, parts = state.snapshot, state.snapshot.series, self._walks, self._parts
        small = {name: _encode(getattr(snapshot, name)) for name in snapshot.__struct_fields__ if name not in _LARGE}
        series_end = _encode(series.cell_count) + _encode(series.closed_time)
        running = series.intervals[-1] if series.intervals else None
        running_start = b"" if running is None else _array_header(4) + _encode(running.start_ms)
        running_end = b"" if running is None else _encode(running.time) + _encode(running.cell_count)
        yield
        parts.append(_array_header(len(snapshot.__struct_fields__)))
        for name in snapshot.__struct_fields__:
            if name in small:
                parts.append(small[name])
            elif name in walks:
                yield from self._append(walks[name].pieces())
            else:
                parts.append(
                    _array_header(len(series.__struct_fields__)) + _array_header(len(self._closed) + (running is not None))
                )
                for interval in self._closed:
                    parts.append(_array_header(4) + _encode(interval.start_ms))
                    yield from self._append(_Walk(interval.cells).pieces())
                    parts.append(_encode(interval.time) + _encode(interval.cell_count))
                if running is not None:
                    parts.append(running_start)
                    yield from self._append(walks["cells"].pieces())
                    parts.append(running_end)
                parts.append(series_end)

    def _append(self, pieces: Iterator[bytes]) -> Iterator[None]:
        for piece in pieces:
            self._parts.append(piece)
            yield

    def advance(self) -> bool:
        """Encode one more piece. Return False when the snapshot is complete or cancelled."""
        if self.is_done or self.is_cancelled:
            return False
        if next(self._work, self) is self:
            self.is_done = True
            self._state.incremental = None
            return False
        return True

    def parts(self) -> list[bytes]:
        """Return the bytes, in parts to be concatenated; the snapshot must be complete."""
        assert self.is_done
        return self._parts

    def cancel(self) -> None:
        """End a snapshot that is not complete. Idempotent."""
        if not self.is_done and not self.is_cancelled:
            self.is_cancelled = True
            self._contacts.end()
            self._state.incremental = None

    def before_event(self, event: Event) -> None:
        """Encode what this event changes."""
        kind = type(event)
        if kind is PolicyPublished:
            self.cancel()
            return
        fields = _fields_by_event.get(kind)
        if fields is None:
            fields = _fields_by_event[kind] = tuple(
                (name, maps) for name in kind.__struct_fields__ for end, maps in _KINDS.items() if name.endswith(end)
            )
        for name, maps in fields:
            key = getattr(event, name)
            if type(key) is str:
                self._keep(key, maps)

    def _keep(self, key: str, maps: tuple[str, ...]) -> None:
        state, walks = self._state, self._walks
        for name in maps:
            walks[name].keep(key)
        if maps[0] == "contacts" and (contact := state.contacts.get(key)) is not None:
            self._keep(contact.queue_id, _KINDS["queue_id"])
        elif maps[0] in ("offers", "assignments"):
            if (offer := state.offers.get(key)) is not None:
                self._keep(offer.queue_id, _KINDS["queue_id"])
            if (work := state.assignments.get(key)) is not None:
                self._keep(work.queue_id, _KINDS["queue_id"])
                walks["agents"].keep(work.agent_id)


_LARGE: Final = frozenset({"queues", "contacts", "offers", "assignments", "agents", "series"})


def _entry(key: str, value: Any) -> bytes:
    return _encode(key) + _encode(value)


def _map_header(length: int) -> bytes:
    """Return the header of a MessagePack map."""
    return _header(length, short=0x80, medium=b"\xde", long=b"\xdf")


def _array_header(length: int) -> bytes:
    return _header(length, short=0x90, medium=b"\xdc", long=b"\xdd")


def _header(length: int, *, short: int, medium: bytes, long: bytes) -> bytes:
    if length < 16:
        return bytes((short | length,))
    return medium + length.to_bytes(2, "big") if length < 1 << 16 else long + length.to_bytes(4, "big")
