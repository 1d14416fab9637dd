"""Directory of contacts: finds contacts by owner, queue and state, in order of arrival, without examining the others.

Contacts are listed in chunks of ``_CHUNK_LENGTH``. Beside its contacts, a chunk keeps their owners, queues and states as columns
of bytes, which the ``find`` of ``bytearray`` searches many thousand entries a microsecond. A search with several conditions moves
from column to column until all agree, so the number of steps depends on the number of contacts that meet the most selective one.

The directory is derived and follows on demand: contacts are listed by the next query, or when many are not listed
(``catch_up``, in pieces), the newest last. Until then a contact costs nothing. A listed contact updates its columns when its
state or queue changes (``Contact.slot``), and leaves its chunk when it is forgotten; a chunk that is mostly empty is rebuilt
from what is left.

A position is the ``queued_seq`` of a contact: unique, constant, ascending in order of arrival and valid after a restart.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from router.engine.state.contact import Contact
from router.engine.state.workspace import WorkspaceRecords
from router.model.states import ContactState, QueueId

_SLOT_BITS: Final = 10
_CHUNK_LENGTH: Final = 1 << _SLOT_BITS
_PLACE_MASK: Final = _CHUNK_LENGTH - 1
# A chunk is rebuilt when at most this many of its contacts are left.
_SPARSE_LENGTH: Final = _CHUNK_LENGTH // 4

# Only the first byte of a name's code has its highest bit set, so ``find`` never matches across two codes.
_CODE_LENGTH: Final = 3
_GONE: Final = 0
_STATE_CODES: Final = {state: code for code, state in enumerate(ContactState, start=1)}


class _Chunk:
    """Up to ``_CHUNK_LENGTH`` contacts in order of arrival, with a column for each property."""

    __slots__ = ("base_slot", "contacts", "listed", "owners", "queues", "seqs", "states")

    def __init__(self, base_slot: int) -> None:
        self.base_slot = base_slot
        self.contacts: list[Contact | None] = []
        self.listed = 0
        """Number of contacts that are not forgotten."""
        self.seqs = array("Q")
        self.states = bytearray()
        self.owners = bytearray()
        self.queues = bytearray()


class ContactFilter(NamedTuple):
    """Conditions of a search for contacts; None: any."""

    owner: str | None = None
    """Gateway that submitted them."""
    queue_id: QueueId | None = None
    state: ContactState | None = None


class ContactDirectory:
    """Contacts of a workspace in order of arrival, with the columns by which they are searched."""

    def __init__(self, records: WorkspaceRecords) -> None:
        self._records = records
        self._chunks: list[_Chunk] = []
        self._chunks_by_number: dict[int, _Chunk] = {}
        self._numbers_used = 0
        self._unlisted: list[Contact] = []
        """Contacts to be listed, newest first."""
        self._codes: dict[str, bytes] = {}
        self.listed = 0
        """Number of contacts that are listed."""

    # --- listing ----------------------------------------------------------------------------------
    def catch_up(self, count_max: int) -> bool:
        """List at most ``count_max`` further contacts; return whether all are listed."""
        unlisted = self._unlisted
        if not unlisted:
            for contact in reversed(self._records.contacts.values()):
                if contact.slot:
                    break
                unlisted.append(contact)
        for _ in range(min(count_max, len(unlisted))):
            contact = unlisted.pop()
            if self._records.contacts.get(contact.contact_id) is contact:
                self._list(contact)
        return not unlisted and self._is_newest_listed()

    def _is_newest_listed(self) -> bool:
        newest = next(reversed(self._records.contacts.values()), None)
        return newest is None or bool(newest.slot)

    def _list(self, contact: Contact) -> None:
        chunk = self._chunks[-1] if self._chunks else None
        if chunk is None or len(chunk.contacts) == _CHUNK_LENGTH:
            self._numbers_used += 1
            chunk = self._chunks_by_number[self._numbers_used] = _Chunk(self._numbers_used << _SLOT_BITS)
            self._chunks.append(chunk)
        contact.slot = chunk.base_slot | len(chunk.contacts)
        chunk.listed += 1
        self.listed += 1
        self._append(chunk, contact)

    def _append(self, chunk: _Chunk, contact: Contact) -> None:
        chunk.contacts.append(contact)
        chunk.seqs.append(contact.queued_seq)
        chunk.states.append(_STATE_CODES[contact.state])
        chunk.owners += self._code(contact.gateway_id)
        chunk.queues += self._code(contact.queue_id)

    def _code(self, name: str) -> bytes:
        """Return the code of a name; owners and queues share the codes."""
        code = self._codes.get(name)
        if code is None:
            number = len(self._codes)
            code = self._codes[name] = bytes((0x80 | number >> 14 & 0x7F, number >> 7 & 0x7F, number & 0x7F))
        return code

    # --- changes of a listed contact ----------------------------------------------------------------
    def set_state(self, contact: Contact) -> None:
        """Update the state of a contact with a slot."""
        slot = contact.slot
        self._chunks_by_number[slot >> _SLOT_BITS].states[slot & _PLACE_MASK] = _STATE_CODES[contact.state]

    def set_queue(self, contact: Contact) -> None:
        """Update the queue of a contact with a slot."""
        slot = contact.slot
        start = _CODE_LENGTH * (slot & _PLACE_MASK)
        self._chunks_by_number[slot >> _SLOT_BITS].queues[start : start + _CODE_LENGTH] = self._code(contact.queue_id)

    def set_owner(self, contact: Contact) -> None:
        """Update the gateway of a contact with a slot."""
        slot = contact.slot
        start = _CODE_LENGTH * (slot & _PLACE_MASK)
        self._chunks_by_number[slot >> _SLOT_BITS].owners[start : start + _CODE_LENGTH] = self._code(contact.gateway_id)

    def forget(self, contact: Contact) -> None:
        """Remove a contact with a slot."""
        slot, contact.slot = contact.slot, 0
        chunk = self._chunks_by_number[slot >> _SLOT_BITS]
        place = slot & _PLACE_MASK
        chunk.contacts[place] = None
        chunk.states[place] = _GONE
        chunk.listed -= 1
        self.listed -= 1
        if chunk.listed > _SPARSE_LENGTH or len(chunk.contacts) <= 2 * chunk.listed or chunk is self._chunks[-1]:
            return
        if chunk.listed:
            self._rebuild(chunk)
        else:
            del self._chunks_by_number[slot >> _SLOT_BITS]
            del self._chunks[self._index_of_chunk(chunk.seqs[0])]

    def _rebuild(self, chunk: _Chunk) -> None:
        contacts = [contact for contact in chunk.contacts if contact is not None]
        chunk.contacts, chunk.seqs = [], array("Q")
        chunk.states, chunk.owners, chunk.queues = bytearray(), bytearray(), bytearray()
        for contact in contacts:
            contact.slot = chunk.base_slot | len(chunk.contacts)
            self._append(chunk, contact)

    # --- search -------------------------------------------------------------------------------------
    def search(self, wanted: ContactFilter, after_seq: int) -> Iterator[tuple[int, Contact | None]]:
        """Yield a position and a contact for each step after a position; None: the step found no contact.

        A step looks at one contact or passes at most one chunk. The directory must not change between two steps; a search is
        continued later by a new one after the last position. Only contacts that meet the filter are yielded.
        """
        owner = None if wanted.owner is None else self._code(wanted.owner)
        queue = None if wanted.queue_id is None else self._code(wanted.queue_id)
        state = None if wanted.state is None else _STATE_CODES[wanted.state]
        for index in range(self._index_of_chunk(after_seq), len(self._chunks)):
            chunk = self._chunks[index]
            place = bisect_right(chunk.seqs, after_seq)
            length = len(chunk.contacts)
            while place < length:
                furthest = _furthest_match(chunk, place, owner, queue, state)
                if furthest < 0:
                    break
                # A column that has moved on is compared with the others in the next step.
                contact = chunk.contacts[place] if furthest == place else None
                if furthest == place:
                    yield chunk.seqs[place], contact
                    place += 1
                else:
                    place = furthest
                    yield chunk.seqs[place] - 1, None
            if chunk.seqs[-1] > after_seq:
                yield chunk.seqs[-1], None

    def _index_of_chunk(self, seq: int) -> int:
        """Return the index of the last chunk that begins at or before a position; 0 if there is none."""
        return max(0, bisect_right(self._chunks, seq, key=_first_seq) - 1)


def _first_seq(chunk: _Chunk) -> int:
    return chunk.seqs[0]


def _furthest_match(chunk: _Chunk, place: int, owner: bytes | None, queue: bytes | None, state: int | None) -> int:
    """Return the furthest of the columns' next matches from a place on; -1: a column has no more match."""
    if owner is not None:
        found = chunk.owners.find(owner, _CODE_LENGTH * place)
        if found < 0:
            return -1
        place = found // _CODE_LENGTH
    if queue is not None:
        found = chunk.queues.find(queue, _CODE_LENGTH * place)
        if found < 0:
            return -1
        place = found // _CODE_LENGTH
    return place if state is None else chunk.states.find(state, place)
