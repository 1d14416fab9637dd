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

from collections.abc import Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, Final, TypeAlias

from msgspec import Raw

from router.engine.events.changed_records import WIDE_EVENTS, named_records
from router.engine.events.contacts import ENDED_DROPPED_PER_EVENT
from router.engine.routing_state import RoutingState
from router.engine.snapshots.full import ROW_GETTERS, SNAPSHOT_ENCODER, goal_row, leading_fields, trailing_fields
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.engine.state.idempotency import IdempotencyKeys, IdempotencyRecord, chunk_of
from router.engine.state.records import Assignment, Offer
from router.model.events import (
    ContactAbandoned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactQueued,
    Event,
    IdempotencyKeyRecorded,
)
from router.model.states import AgentId, ContactId

# Records in one piece: a few hundred microseconds of work.
_RECORDS: Final = 128
_KEYS: Final = 1_024

_ENDING_EVENTS: Final = frozenset({ContactAbandoned, ContactCancelled, ContactExpired, ContactEnded})

_CONTACT_ROW: Final = ROW_GETTERS[Contact]


_AgentRows: TypeAlias = tuple[Raw, bytes, int, bytes, int]
"""An agent's row; the rows of its offers and their number; the rows of its assignments and their number. Kept as bytes, which the
garbage collector does not visit: there may be as many as there are agents."""


def _encode_agent(agent: Agent) -> _AgentRows:
    offer_row, assignment_row = ROW_GETTERS[Offer], ROW_GETTERS[Assignment]
    offers = [offer_row(offer) for offer in agent.offers.values()]
    assignments = [assignment_row(work) for work in agent.assignments.values()]
    row = Raw(SNAPSHOT_ENCODER.encode(ROW_GETTERS[Agent](agent)))
    return row, _items(offers), len(offers), _items(assignments), len(assignments)


class IncrementalSnapshot:
    """A snapshot in progress, at most one a state: call ``advance`` until it returns False, then take ``parts``."""

    def __init__(self, state: RoutingState) -> None:
        assert state.incremental_snapshot is None, "only one incremental snapshot at a time"
        self._state = state
        self.seq = state.seq
        """The event after which the state was as the snapshot shows it."""
        self.at_ms = state.event_at_ms
        self.policy = state.policy
        self.shadow_policy = state.shadow_policy
        self.shadow_seq = state.shadow_seq
        self.is_cancelled = False
        """Whether it was cancelled; there will be no result."""
        self.is_done = False
        statistics = state.wait_statistics
        self._leading = [SNAPSHOT_ENCODER.encode(value) for value in leading_fields(state)]
        self._trailing = [SNAPSHOT_ENCODER.encode(value) for value in trailing_fields(state)]
        self._statistics = [
            SNAPSHOT_ENCODER.encode(value) for value in (statistics.handling, statistics.forecast_counts, statistics.calibrations)
        ]
        self._statistics_tail = [SNAPSHOT_ENCODER.encode(value) for value in (statistics.second, statistics.forecasts_in_second)]
        self._no_agents = SNAPSHOT_ENCODER.encode(state.no_agents_since)
        self._scheduled = SNAPSHOT_ENCODER.encode(state.scheduled_policy)
        self._created = SNAPSHOT_ENCODER.encode(state.created)
        self._history = state.policy_history.entries()
        # They are never modified either.
        self._alerts = dict(sorted(state.alerts.items()))
        self._goals = state.goals.freeze()
        # Forecasts are never modified, and there are 10,000 at most, so a copy of the table is enough.
        self._pending = dict(statistics.pending_forecasts)
        self._ended_first, self._ended_end = state.ended_contacts.first, state.ended_contacts.end
        self._early_ended: dict[int, tuple[ContactId, int]] = {}
        """Entries of ended contacts that may be dropped before they are read, by number."""
        self._keys = _KeyWalk(state.idempotency)
        self._contacts = _RecordLog(state.contact_log, state.seq)
        self._agents = _RecordLog(state.agent_log, state.agents_registered)
        self._early_contacts: dict[int, bytes] = {}
        """Encoded contacts that changed before the walk reached them, by ``queued_seq``."""
        self._early_agents: dict[int, _AgentRows] = {}
        """The same for agents, by registration number."""
        self._parts: list[bytes] = []
        self._work = self._pieces()
        state.incremental_snapshot = self
        state.observers.append(self)

    # --- encoding ---------------------------------------------------------------------------------
    def advance(self) -> bool:
        """Encode one more piece. Return False when the snapshot is complete or cancelled."""
        if self.is_done or self.is_cancelled:
            return False
        if next(self._work, self) is self:
            self.is_done = True
            self._detach()
            return False
        return True

    def parts(self) -> list[bytes]:
        """Return the bytes, in parts to be concatenated; the snapshot must be complete."""
        assert self.is_done
        return self._parts

    def cancel(self) -> None:
        """Cancel the snapshot and restore the logs."""
        if self.is_done or self.is_cancelled:
            return
        self.is_cancelled = True
        self._work.close()
        self._contacts.compact()
        self._agents.compact()
        self._detach()

    def _detach(self) -> None:
        self._state.incremental_snapshot = None
        self._state.observers.remove(self)

    def _pieces(self) -> Generator[None, None, None]:
        contacts: list[bytes] = []
        contacts_count = yield from _gather(self._contact_rows(), contacts)
        ended: list[bytes] = []
        ended_count = yield from _gather(self._ended_rows(), ended)
        sections = _AgentSections()
        for rows in self._agent_rows():
            sections.add(rows)
            yield
        dedupe: list[bytes] = []
        keys_count = yield from _gather(self._keys.rows(), dedupe)
        sorted_runs: list[list[str]] = []
        for some_ids in _slices(list(self._pending), _KEYS):
            sorted_runs.append(sorted(some_ids))
            yield
        pending: list[bytes] = []
        contact_ids = merge(*sorted_runs)
        while some := {name: self._pending[name] for name in islice(contact_ids, _KEYS)}:
            pending.append(_map_items(some))
            yield
        history: list[bytes] = []
        # One at a time, because contents are large. A publication would have cancelled the snapshot.
        versions_count = yield from _gather(([version] for version in self._history), history)
        alerts: list[bytes] = []
        names = iter(self._alerts)
        while some_alerts := {name: self._alerts[name] for name in islice(names, _KEYS)}:
            alerts.append(_map_items(some_alerts))
            yield
        goals: list[bytes] = []
        goals_count = yield from _gather(([goal_row(*item) for item in chunk.items()] for chunk in self._goals), goals)
        self._parts = [
            _array(len(self._leading) + 6 + len(self._trailing) + 6 + bool(goals_count)),
            *self._leading,
            *(_array(contacts_count), *contacts),
            *(_array(ended_count), *ended),
            *(_array(sections.offers_count), *sections.offers),
            *(_array(sections.assignments_count), *sections.assignments),
            *(_array(sections.agents_count), *sections.agents),
            *(_array(keys_count), *dedupe),
            *self._trailing,
            *(_array(len(self._statistics) + 1 + len(self._statistics_tail)), *self._statistics),
            *(_map(len(self._pending)), *pending),
            *self._statistics_tail,
            self._no_agents,
            self._scheduled,
            self._created,
            b"".join((_array(versions_count), *history)),
            b"".join((_map(len(self._alerts)), *alerts)),
            *((_array(goals_count), *goals) if goals_count else ()),
        ]

    def _contact_rows(self) -> Iterator[list[Any]]:
        known, early = self._state.contacts, self._early_contacts
        for contacts in self._contacts.pieces():
            rows: list[Any] = []
            for contact in contacts:
                saved = early.pop(contact.queued_seq, None)
                exists = known.get(contact.contact_id) is contact
                if saved is not None:
                    rows.append(Raw(saved))
                elif exists:
                    rows.append(_CONTACT_ROW(contact))
                if exists:
                    self._contacts.retain(contact)
            self._contacts.processed_up_to = contacts[-1].queued_seq
            yield rows
        self._contacts.compact()

    def _ended_rows(self) -> Iterator[list[tuple[ContactId, int]]]:
        log, early = self._state.ended_contacts, self._early_ended
        while self._ended_first < self._ended_end:
            start, self._ended_first = self._ended_first, min(self._ended_first + _KEYS, self._ended_end)
            dropped = range(start, min(log.first, self._ended_first))
            rows = [early[number] for number in dropped] + log.between(start, self._ended_first)
            for number in dropped:
                del early[number]
            yield rows

    def _agent_rows(self) -> Iterator[list[_AgentRows]]:
        known, early = self._state.agents, self._early_agents
        for agents in self._agents.pieces():
            rows: list[_AgentRows] = []
            for agent in agents:
                saved = early.pop(agent.registration_number, None)
                exists = known.get(agent.agent_id) is agent
                if saved is not None:
                    rows.append(saved)
                elif exists:
                    rows.append(_encode_agent(agent))
                if exists:
                    self._agents.retain(agent)
            self._agents.processed_up_to = agents[-1].registration_number
            yield rows
        self._agents.compact()

    # --- before an event is applied ---------------------------------------------------------------
    def before_event(self, event: Event) -> None:
        """Save the records that this event is about to change."""
        kind = type(event)
        if kind in WIDE_EVENTS:
            self.cancel()
            return
        contact_id, agent_ids = named_records(self._state, event)
        if contact_id is not None:
            self._save_contact(contact_id)
        for agent_id in agent_ids:
            self._save_agent(agent_id)
        if kind in _ENDING_EVENTS:
            self._save_ended()
        elif kind is ContactQueued or kind is IdempotencyKeyRecorded:
            self._keys.save(event.gateway_id if isinstance(event, ContactQueued) else getattr(event, "client", ""))

    def _save_ended(self) -> None:
        """Save what is dropped if an end makes the oldest ended contacts pass their retention."""
        log = self._state.ended_contacts
        for number, entry in enumerate(log.between(log.first, log.first + ENDED_DROPPED_PER_EVENT), start=log.first):
            self._save_contact(entry[0])
            if self._ended_first <= number < self._ended_end:
                self._early_ended[number] = entry

    def _save_contact(self, contact_id: ContactId) -> None:
        contact = self._state.contacts.get(contact_id)
        if contact is None:
            return
        number = contact.queued_seq
        if self._contacts.is_pending(number) and number not in self._early_contacts:
            self._early_contacts[number] = SNAPSHOT_ENCODER.encode(_CONTACT_ROW(contact))

    def _save_agent(self, agent_id: AgentId) -> None:
        agent = self._state.agents.get(agent_id)
        if agent is None:
            return
        number = agent.registration_number
        if self._agents.is_pending(number) and number not in self._early_agents:
            self._early_agents[number] = _encode_agent(agent)


class _RecordLog:
    """Walk over a log of records with ascending numbers, dropping the records that no longer exist."""

    def __init__(self, records: list[Any], last: int) -> None:
        self._records = records
        self._end = len(records)
        self._last = last
        self._read = self._written = 0
        self.processed_up_to = 0
        """Number of the last record that has been processed."""

    def pieces(self) -> Iterator[list[Any]]:
        """Yield all records that were present at the beginning, in pieces."""
        while self._read < self._end:
            start, self._read = self._read, min(self._read + _RECORDS, self._end)
            yield self._records[start : self._read]

    def retain(self, record: Any) -> None:
        """Keep a record that still exists."""
        self._records[self._written] = record
        self._written += 1

    def is_pending(self, number: int) -> bool:
        """Return whether the record's turn is still to come."""
        return self.processed_up_to < number <= self._last

    def compact(self) -> None:
        """Remove the processed records that no longer exist. Must be called at the end, also after a cancellation."""
        del self._records[self._written : self._read]
        self._end = self._read = self._written
        self.processed_up_to = self._last


class _KeyWalk:
    """Walk over the idempotency keys that were stored when it began, a chunk at a time."""

    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys
        self._end = keys.next_number
        self._chunk_numbers = keys.chunk_numbers()
        self._walked = -1
        """The last chunk that has been walked."""
        self._early: dict[int, dict[int, tuple[bytes, IdempotencyRecord]]] = {}
        """Keys that may be dropped before the walk reaches them: by chunk, then by number."""

    def rows(self) -> Iterator[list[Any]]:
        """Yield the keys with their records."""
        row = ROW_GETTERS[IdempotencyRecord]
        for chunk_number in self._chunk_numbers:
            left = [(number, key) for number, key in self._keys.chunk(chunk_number) if number < self._end]
            early = self._early.pop(chunk_number, None)
            self._walked = chunk_number
            if early is None:
                yield [(key, row(self._keys[key])) for _, key in left]
                continue
            early.update((number, (key, self._keys[key])) for number, key in left)
            yield [(key, row(record)) for _, (key, record) in sorted(early.items())]

    def save(self, client: str) -> None:
        """Save the keys that a new key of this client may replace."""
        for number, key in self._keys.may_drop(client):
            if number < self._end and (chunk_number := chunk_of(number)) > self._walked:
                self._early.setdefault(chunk_number, {})[number] = key, self._keys[key]


class _AgentSections:
    """Encoded agents, offers and assignments."""

    def __init__(self) -> None:
        self.agents: list[bytes] = []
        self.offers: list[bytes] = []
        self.assignments: list[bytes] = []
        self.agents_count = self.offers_count = self.assignments_count = 0

    def add(self, rows: list[_AgentRows]) -> None:
        """Append encoded agents."""
        self.agents_count += len(rows)
        self.agents.append(_items([row for row, *_ in rows]))
        self.offers.append(b"".join([offers for _, offers, _, _, _ in rows]))
        self.assignments.append(b"".join([assignments for _, _, _, assignments, _ in rows]))
        self.offers_count += sum([count for _, _, count, _, _ in rows])
        self.assignments_count += sum([count for *_, count in rows])


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
    return SNAPSHOT_ENCODER.encode(items)[len(_array(len(items))) :]


def _map_items(items: dict[str, Any]) -> bytes:
    return SNAPSHOT_ENCODER.encode(items)[len(_map(len(items))) :]
