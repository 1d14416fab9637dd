"""Incremental snapshots of statistics: the state after one event, encoded in pieces while further events are counted.

Theory of operation. In a large workspace encoding everything at once takes tens of milliseconds. So the small parts are encoded
at the beginning, and the large maps in pieces. Before an event is counted it is shown to ``before_event``, which encodes what the
event is going to change and the walk has not reached yet. What an event changes is what its fields name (``..._id``), and the
agent and queue of the contact, offer or assignment that they name. So the result equals, byte for byte, what
``WorkspaceStats.snapshot`` would have returned at the beginning. A policy changes all queues and cancels the snapshot.

The history is held meanwhile, so that its spans stay as they are. ``prepare_snapshot`` waits until no reader holds them: a snapshot
that begins while one does, at an orderly stop, copies everything first.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from router.model.events import Event, PolicyPublished
from router.statistics.contact_log import ContactLog
from router.statistics.history import Cells, Span, sorted_cell
from router.statistics.open_records import LiveContact
from router.statistics.state import StatsState

_encode: Final = msgspec.msgpack.Encoder().encode

# Entries in one piece: about a tenth of a millisecond.
_ENTRIES: Final = 128

_KINDS: Final = {
    "contact_id": ("contacts",),
    "offer_id": ("offers", "assignments"),
    "assignment_id": ("assignments", "offers"),
    "agent_id": ("agents",),
    "queue_id": ("queues",),
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
        state.history.finish()  # Nothing after ``prepare_snapshot``.
        self._state = state
        self.is_cancelled = False
        """Whether it was cancelled; there will be no result."""
        self.is_done = False
        self._contacts = _ContactWalk(state.contacts, state.contact_log)
        self._walks = {
            "queues": _Walk(state.queues),
            "contacts": self._contacts,
            "offers": _Walk(state.offers),
            "assignments": _Walk(state.assignments),
            "agents": _Walk(state.agents),
        }
        self._parts: list[bytes] = []
        history = state.history
        is_whole = not history.has_layer  # Else a reader holds the spans, for which only an orderly stop does not wait.
        history.hold_for_snapshot()
        if not is_whole:
            kept = history.content()
            self._spans = (kept.minutes, kept.quarters, kept.days)
        else:
            self._spans = (list(history.minutes.values()), list(history.quarters.values()), list(history.days))
        self._zone = history.zone
        self._work = self._pieces(state)
        next(self._work)
        state.incremental = self

    def _pieces(self, state: StatsState) -> Iterator[None]:
        """Encode the fields in their order; the first step encodes whatever changes with every event."""
        snapshot, walks, parts = state.snapshot, self._walks, self._parts
        small = {name: _encode(getattr(snapshot, name)) for name in snapshot.__struct_fields__ if name not in _LARGE}
        undisposed = state.undisposed.copy()  # Its entries never change.
        yield
        parts.append(_array_header(len(snapshot.__struct_fields__)))
        for name in snapshot.__struct_fields__:
            if name in small:
                parts.append(small[name])
            elif name == "undisposed":
                yield from self._append(_Walk(undisposed).pieces())
            elif name == "history":
                yield from self._append(self._history_pieces())
            else:
                yield from self._append(walks[name].pieces())

    def _history_pieces(self) -> Iterator[bytes]:
        """Yield the history, as ``HistorySnapshot``."""
        yield _array_header(len(self._spans) + 1)
        for spans in self._spans:
            yield _array_header(len(spans))
            for span in spans:
                yield from _span_pieces(span)
        yield _encode(self._zone)

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
            self._end()
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
            self._end()

    def _end(self) -> None:
        self._spans = ([], [], [])
        self._state.incremental = None
        self._state.history.release()

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
            if contact.first_queue_id:
                self._keep(contact.first_queue_id, _KINDS["queue_id"])
        elif maps[0] in ("offers", "assignments"):
            if (offer := state.offers.get(key)) is not None:
                self._keep(offer.queue_id, _KINDS["queue_id"])
            if (work := state.assignments.get(key)) is not None:
                self._keep(work.queue_id, _KINDS["queue_id"])
                walks["agents"].keep(work.agent_id)


_LARGE: Final = frozenset({"queues", "contacts", "offers", "assignments", "agents", "history", "undisposed"})


def _span_pieces(span: Span) -> Iterator[bytes]:
    yield _array_header(len(span.__struct_fields__)) + _encode(span.start_ms) + _encode(span.end_ms)
    yield from _cell_pieces(span.cells)
    yield from _cell_pieces(span.merged)
    yield _array_header(len(span.chunks))
    for chunk in span.chunks:
        yield _encode(chunk)
    yield _encode(span.bounds)


def _cell_pieces(cells: Cells) -> Iterator[bytes]:
    """Yield cells in the order of their keys."""
    yield _map_header(len(cells))
    keys = sorted(cells)
    for start in range(0, len(keys), _ENTRIES):
        yield b"".join([_entry(key, sorted_cell(cells[key])) for key in keys[start : start + _ENTRIES]])


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
