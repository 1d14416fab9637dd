"""Incremental snapshots: the state after one event, encoded in pieces while further events are applied.

Theory of operation. An incremental snapshot walks the contact log and the agent log in pieces of 128 records, from the state as it
was when the snapshot began. Before any event is applied it is shown to ``before_event``, which encodes the records that the
event names if the walk has not reached them yet. So the result equals, byte for byte, what ``full.dump`` would have returned at
the beginning. Records that are no longer in the tables are dropped from the logs on the way.

Events that change very many records at once (a new policy, a queue that opens or closes, a new day) cancel the snapshot; the
caller begins another one. An event handler must never change a record that its event does not name, unless the event is in
that list: the snapshot would mix two moments.

Cost: one comparison a command while no snapshot is in progress, and a few hundred microseconds a piece. Routing is not
affected.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, Final, TypeAlias

from msgspec import Raw

from router.core.apply.contacts import DEDUPE_FORGOTTEN_AT_ONCE, FORGOTTEN_AT_ONCE
from router.core.snapshot import ENCODER, ROW, head_of, tail_of
from router.core.state import Agent, Assignment, Contact, Dedupe, Offer, RoutingState
from router.model.events import (
    ContactAbandoned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactQueued,
    DayBegan,
    Event,
    PolicyPublished,
    QueueClosed,
    QueueOpened,
)
from router.model.ids import AgentId, ContactId

# Records in one piece: a few hundred microseconds of work.
_RECORDS: Final = 128
_KEYS: Final = 1_024

_ENDS_THE_IMAGE: Final = frozenset({PolicyPublished, QueueOpened, QueueClosed, DayBegan})
_FORGETS: Final = frozenset({ContactAbandoned, ContactCancelled, ContactExpired, ContactEnded})

_Name: TypeAlias = Callable[[Any], Any]
_Names: TypeAlias = tuple[_Name | None, tuple[_Name, ...], tuple[_Name, ...], _Name | None]
_AGENT_FIELDS: Final = ("agent_id", "from_agent_id", "for_agent_id")
_WORK_FIELDS: Final = ("assignment_id", "from_assignment_id")
_CONTACT_ROW: Final = ROW[Contact]


_Kept: TypeAlias = tuple[Raw, bytes, int, bytes, int]
"""An agent's row; the rows of its offers and their number; the rows of its assignments and their number. Kept as bytes, which the
garbage collector does not visit: there may be as many as there are agents."""


def _kept(agent: Agent) -> _Kept:
    offer_row, work_row = ROW[Offer], ROW[Assignment]
    offers = [offer_row(offer) for offer in agent.offers.values()]
    works = [work_row(work) for work in agent.assignments.values()]
    row = Raw(ENCODER.encode(ROW[Agent](agent)))
    return row, _items(offers), len(offers), _items(works), len(works)


class Imaging:
    """A snapshot in progress, at most one a state: call ``advance`` until it returns False, then take ``parts``."""

    def __init__(self, state: RoutingState) -> None:
        assert state.imaging is None, "only one incremental snapshot at a time"
        self._state = state
        self.seq = state.seq
        """The event after which the state was as the snapshot shows it."""
        self.at_ms = state.event_at_ms
        self.policy = state.policy
        self.shadow_policy = state.shadow_policy
        self.shadow_seq = state.shadow_seq
        self.broken = False
        """Whether it was cancelled; there will be no result."""
        self.is_done = False
        learned = state.learned
        self._figures = [ENCODER.encode(value) for value in head_of(state)]
        self._rest = [ENCODER.encode(value) for value in tail_of(state)]
        self._learned = [
            ENCODER.encode(value) for value in (learned.paces, learned.counts, learned.calibrations)
        ]
        self._learned_last = [
            ENCODER.encode(value) for value in (learned.second, learned.in_second)
        ]
        # Forecasts are never modified, so a copy of the table is enough; likewise for tables that only gain and lose entries.
        self._pending = dict(learned.pending)
        self._ended = list(state.ended)
        self._keys = list(state.dedupe_order)
        self._contacts = _Log(state.contact_log, state.seq)
        self._agents = _Log(state.agent_log, state.agents_joined)
        self._early: dict[int, bytes] = {}
        """Encoded contacts that changed before the walk reached them, by ``orig_seq``."""
        self._early_agents: dict[int, _Kept] = {}
        """The same for agents, by registration number."""
        self._early_dedupe: dict[bytes, Dedupe] = {}
        self._parts: list[bytes] = []
        self._work = self._pieces()
        state.imaging = self

    # --- encoding ---------------------------------------------------------------------------------
    def proceed(self) -> bool:
        """Encode one more piece. Return False when the snapshot is complete or cancelled."""
        if self.is_done or self.broken:
            return False
        if next(self._work, self) is self:
            self.is_done = True
            self._state.imaging = None
            return False
        return True

    def parts(self) -> list[bytes]:
        """Return the bytes, in parts to be concatenated; the snapshot must be complete."""
        assert self.is_done
        return self._parts

    def give_up(self) -> None:
        """Cancel the snapshot and restore the logs."""
        if self.is_done or self.broken:
            return
        self.broken = True
        self._work.close()
        self._contacts.tidy()
        self._agents.tidy()
        self._state.imaging = None

    def _pieces(self) -> Generator[None, None, None]:
        contacts: list[bytes] = []
        contacts_count = yield from _gather(self._contact_rows(), contacts)
        ended: list[bytes] = []
        yield from _gather(_slices(self._ended, _KEYS), ended)
        hands = _Hands()
        for some in self._agents_kept():
            hands.add(some)
            yield
        dedupe: list[bytes] = []
        yield from _gather(self._dedupe_rows(), dedupe)
        names = sorted(self._pending)
        pending: list[bytes] = []
        for some_names in _slices(names, _KEYS):
            pending.append(_map_items({name: self._pending[name] for name in some_names}))
            yield
        self._parts = [
            _array(len(self._figures) + 6 + len(self._rest) + 1),
            *self._figures,
            *(_array(contacts_count), *contacts),
            *(_array(len(self._ended)), *ended),
            *(_array(hands.offers_count), *hands.offers),
            *(_array(hands.works_count), *hands.works),
            *(_array(hands.agents_count), *hands.agents),
            *(_array(len(self._keys)), *dedupe),
            *self._rest,
            *(_array(len(self._learned) + 1 + len(self._learned_last)), *self._learned),
            *(_map(len(names)), *pending),
            *self._learned_last,
        ]

    def _contact_rows(self) -> Iterator[list[Any]]:
        contacts, early = self._state.contacts, self._early
        for some in self._contacts.pieces():
            rows: list[Any] = []
            for contact in some:
                kept = early.pop(contact.orig_seq, None)
                stands = contacts.get(contact.contact_id) is contact
                if kept is not None:
                    rows.append(Raw(kept))
                elif stands:
                    rows.append(_CONTACT_ROW(contact))
                if stands:
                    self._contacts.keep(contact)
            self._contacts.passed = some[-1].orig_seq
            yield rows
        self._contacts.tidy()

    def _agents_kept(self) -> Iterator[list[_Kept]]:
        agents, early = self._state.agents, self._early_agents
        for some in self._agents.pieces():
            found: list[_Kept] = []
            for agent in some:
                kept = early.pop(agent.joined_no, None)
                stands = agents.get(agent.agent_id) is agent
                if kept is not None:
                    found.append(kept)
                elif stands:
                    found.append(_kept(agent))
                if stands:
                    self._agents.keep(agent)
            self._agents.passed = some[-1].joined_no
            yield found
        self._agents.tidy()

    def _dedupe_rows(self) -> Iterator[list[Any]]:
        known, row = self._state.dedupe, ROW[Dedupe]
        for keys in _slices(self._keys, _KEYS):
            yield [
                (
                    key,
                    row(self._early_dedupe.get(key) or known[key]),
                )  # A forgotten key was saved early.
                for key in keys
            ]

    # --- before an event is applied ---------------------------------------------------------------
    def before(self, event: Event) -> None:
        """Save the records that this event is about to change."""
        kind = type(event)
        if kind in _ENDS_THE_IMAGE:
            self.give_up()
            return
        contact_id, agents, works, offer = _names(kind)
        if contact_id is not None:
            self._keep_contact(contact_id(event))
        for agent_id in agents:
            self._keep_agent(agent_id(event))
        for assignment_id in works:
            work = self._state.assignments.get(assignment_id(event))
            if work is not None:
                self._keep_agent(work.agent_id)
        if offer is not None:
            known = self._state.offers.get(offer(event))
            if known is not None:
                self._keep_agent(known.agent_id)
        if kind in _FORGETS:
            for name, _ in islice(self._state.ended, FORGOTTEN_AT_ONCE):
                self._keep_contact(name)
        elif kind is ContactQueued:
            for key in islice(self._state.dedupe_order, DEDUPE_FORGOTTEN_AT_ONCE):
                self._early_dedupe[key] = self._state.dedupe[key]

    def _keep_contact(self, contact_id: ContactId) -> None:
        contact = self._state.contacts.get(contact_id)
        if contact is None:
            return
        number = contact.orig_seq
        if self._contacts.is_ahead(number) and number not in self._early:
            self._early[number] = ENCODER.encode(_CONTACT_ROW(contact))

    def _keep_agent(self, agent_id: AgentId | None) -> None:
        agent = None if agent_id is None else self._state.agents.get(agent_id)
        if agent is None:
            return
        number = agent.joined_no
        if self._agents.is_ahead(number) and number not in self._early_agents:
            self._early_agents[number] = _kept(agent)


class _Log:
    """Walk over a log of records with ascending numbers, dropping the records that no longer exist."""

    def __init__(self, records: list[Any], last: int) -> None:
        self._records = records
        self._end = len(records)
        self._last = last
        self._read = self._written = 0
        self.passed = 0
        """Number of the last record that has been processed."""

    def pieces(self) -> Iterator[list[Any]]:
        """Yield all records that were present at the beginning, in pieces."""
        while self._read < self._end:
            start, self._read = self._read, min(self._read + _RECORDS, self._end)
            yield self._records[start : self._read]

    def keep(self, record: Any) -> None:
        """Keep a record that still exists."""
        self._records[self._written] = record
        self._written += 1

    def is_ahead(self, number: int) -> bool:
        """Return whether the record's turn is still to come."""
        return self.passed < number <= self._last

    def tidy(self) -> None:
        """Remove the processed records that no longer exist. Must be called at the end, also after a cancellation."""
        del self._records[self._written : self._read]
        self._end = self._read = self._written
        self.passed = self._last


class _Hands:
    """Encoded agents, offers and assignments."""

    def __init__(self) -> None:
        self.agents: list[bytes] = []
        self.offers: list[bytes] = []
        self.works: list[bytes] = []
        self.agents_count = self.offers_count = self.works_count = 0

    def add(self, some: list[_Kept]) -> None:
        """Append encoded agents."""
        self.agents_count += len(some)
        self.agents.append(_items([row for row, *_ in some]))
        self.offers.append(b"".join([offers for _, offers, _, _, _ in some]))
        self.works.append(b"".join([works for _, _, _, works, _ in some]))
        self.offers_count += sum([count for _, _, count, _, _ in some])
        self.works_count += sum([count for *_, count in some])


_KNOWN_NAMES: Final[dict[type, _Names]] = {}


def _names(kind: type[Event]) -> _Names:
    """Return getters for the ids of the records that an event of this type changes."""
    known = _KNOWN_NAMES.get(kind)
    if known is None:
        fields = kind.__struct_fields__
        known = _KNOWN_NAMES[kind] = (
            attrgetter("contact_id") if "contact_id" in fields else None,
            tuple(attrgetter(name) for name in _AGENT_FIELDS if name in fields),
            tuple(attrgetter(name) for name in _WORK_FIELDS if name in fields),
            attrgetter("offer_id") if "offer_id" in fields else None,
        )
    return known


def _slices(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _gather(pieces: Iterable[list[Any]], into: list[bytes]) -> Generator[None, None, int]:
    """Append each piece as bytes; return the total number of items."""
    count = 0
    for items in pieces:
        count += len(items)
        into.append(_items(items))
        yield
    return count


# MessagePack: the length precedes the items of an array or map, in 1, 3 or 5 bytes (``array 16`` is 0xdc, ``map 16`` 0xde).
def _header(count: int, fixed: int, long: int) -> bytes:
    if count < 16:
        return bytes((fixed | count,))
    if count < 1 << 16:
        return bytes((long,)) + count.to_bytes(2, "big")
    return bytes((long + 1,)) + count.to_bytes(4, "big")


def _array(count: int) -> bytes:
    return _header(count, 0x90, 0xDC)


def _map(count: int) -> bytes:
    return _header(count, 0x80, 0xDE)


def _items(items: list[Any]) -> bytes:
    """Return the encoded items of an array, without its length."""
    return ENCODER.encode(items)[len(_array(len(items))) :]


def _map_items(items: dict[str, Any]) -> bytes:
    return ENCODER.encode(items)[len(_map(len(items))) :]
