"""Records of contacts, built from the events of one workspace.

Theory of operation. ``apply`` takes the records of the journal in order and returns nothing; what has changed is collected until
``take_changes`` (records) and ``take_opened`` (contacts that are not over). A contact is over when it has ended and no agent is
busy with it any more; its record is final then, except for a disposition or a goal that is reported later. ``take_changes`` returns
unfinished records, of contacts in their wrap-up, only when asked for.

A contact that is not over is kept encoded, as the bytes that the storage also has, so that a waiting contact needs a few hundred
bytes. It is decoded by the first event that concerns it and stays decoded until the next ``take_opened``, or until its wrap-up is
over: most contacts are over before, and are never encoded.

Waits, talk and hold are computed with the structs of the statistics (``LiveContact``, ``LiveAssignment``), so that the sums over
records are the figures of the queues; ``tests/records/test_agreement.py`` compares both.

An event of a contact whose beginning is not known, because it was archived before the records were begun, is passed over.
"""

from typing import Final

import msgspec
from msgspec import Struct, field

from router.journal.records import Record
from router.model.events import ContactChoosing, ContactGoal, ContactQueued, DispositionRecorded, GoalChanged, PolicyPublished
from router.records.handlers import CONTACT_EVENTS, RECORD_HANDLERS, OpenContact, Targets, thresholds
from router.records.record import ContactRecord
from router.statistics.open_records import ASSIGNED, CALLBACK, SUSPENDED

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(OpenContact).decode


DECODED_MAX: Final = 4_000
"""Contacts that may be decoded at the end of a batch."""


class ChangedRecord(Struct):
    """A record to be written, in place of the one of the same contact."""

    record: ContactRecord
    customer_id: str | None
    is_new: bool = False
    """Whether it was not returned before; after a crash it may be stored all the same."""


class LateDisposition(Struct, frozen=True):
    """A disposition for a record that is complete."""

    at_ms: int
    """When it was given: the contact is the last one that had the id then."""
    contact_id: str
    assignment_id: str
    disposition: str

    def apply(self, record: ContactRecord) -> bool:
        """Change the record; return whether it has that assignment."""
        return set_disposition(record, self.assignment_id, self.disposition)


class LateGoal(Struct, frozen=True):
    """A change of the goal of a contact whose record is complete."""

    at_ms: int
    """When it changed: the contact is the last one that had the id then."""
    contact_id: str
    goal: ContactGoal

    def apply(self, record: ContactRecord) -> bool:
        """Change the record."""
        record.set_goal(self.goal)
        return True


class RecordChanges(Struct, kw_only=True):
    """What has changed since the last call."""

    records: list[ChangedRecord] = field(default_factory=list)
    late: list[LateDisposition | LateGoal] = field(default_factory=list)
    """To be applied after the records."""


class RecordBuilder:
    """Builds the records of one workspace. Confined to one thread."""

    def __init__(self, opened: dict[str, bytes], targets: Targets) -> None:
        """Continue with the contacts that were not over, and the thresholds of service levels then."""
        self._opened = opened
        self.targets = targets
        self._active: dict[str, OpenContact] = {}
        """Those that are decoded; of those that have ended all, until they are returned as finished."""
        self._changed: dict[tuple[str, int], OpenContact] = {}
        """Contacts with a record to be written, by contact and submit, as an id may be used again before they are."""
        self._late: list[LateDisposition | LateGoal] = []
        self._encoded: dict[str, bytes | None] = {}
        """Those that were concerned since the last ``take_opened`` and are encoded again."""
        self._over: list[str] = []
        """Contacts that are over and were in ``opened`` at the last ``take_opened``."""
        self.finished_count = 0
        """Contacts that are over since the last ``take_changes``."""
        for encoded in opened.values():
            contact = _decode(encoded)
            if contact.record.state:
                self._changed[_key(contact.record)] = self._active[contact.record.contact_id] = contact

    def apply(self, record: Record) -> None:
        """Apply the events of one command."""
        at_ms = record.at_ms
        touched: dict[str, OpenContact] = {}
        for event in record.events:
            kind = type(event)
            if kind is PolicyPublished:
                assert isinstance(event, PolicyPublished)
                self._apply_policy(event)
            elif kind in CONTACT_EVENTS:
                contact_id: str = event.contact_id  # type: ignore[union-attr]  # every event of this set has one
                contact = touched.get(contact_id) or self._contact(contact_id)
                if contact is not None:
                    RECORD_HANDLERS[kind](contact, event, at_ms, self.targets)
                elif isinstance(event, ContactQueued | ContactChoosing):
                    contact = OpenContact.begin(event, at_ms)
                    self._active[contact_id] = contact
                elif isinstance(event, DispositionRecorded | GoalChanged):
                    self._add_late(event, at_ms)
                if contact is not None:
                    touched[contact_id] = contact
        for contact in touched.values():
            self._note(contact, at_ms)

    def take_changes(self, *, unfinished: bool = True) -> RecordChanges:
        """Return what has changed since the last call; ``unfinished``: with records of contacts that an agent is busy with."""
        taken = [contact for contact in self._changed.values() if unfinished or contact.is_over]
        left = {} if unfinished else {key: contact for key, contact in self._changed.items() if not contact.is_over}
        changes = RecordChanges(late=self._late)
        for contact in taken:
            contact.record.add_up()
            changes.records.append(ChangedRecord(contact.record, contact.customer_id, not contact.is_written))
            contact.is_written = True
            if contact.is_over:
                self._forget(contact)
        self._changed, self._late, self.finished_count = left, [], 0
        return changes

    def take_opened(self) -> dict[str, bytes | None]:
        """Return the contacts that were concerned since the last call, encoded, by id; None: it is over."""
        changed: dict[str, bytes | None] = dict.fromkeys(self._over) | self._encoded
        for contact_id, contact in self._active.items():
            self._opened[contact_id] = changed[contact_id] = _encode(contact)
        self._active = {contact_id: contact for contact_id, contact in self._active.items() if contact.record.state}
        self._over, self._encoded = [], {}
        return changed

    def limit_decoded(self) -> None:
        """Encode contacts that have not ended where many are decoded: so many objects would hold up the garbage collector."""
        if len(self._active) <= DECODED_MAX:
            return
        for contact_id, contact in self._active.items():
            if not contact.record.state:
                self._opened[contact_id] = self._encoded[contact_id] = _encode(contact)
        self._active = {contact_id: contact for contact_id, contact in self._active.items() if contact.record.state}

    def _forget(self, contact: OpenContact) -> None:
        """Forget a contact that is over and returned, unless its id is used again."""
        contact_id = contact.record.contact_id
        if self._active.get(contact_id) is contact:
            del self._active[contact_id]
            if self._opened.pop(contact_id, None) is not None:
                self._over.append(contact_id)
                self._encoded.pop(contact_id, None)

    def _contact(self, contact_id: str) -> OpenContact | None:
        contact = self._active.get(contact_id)
        if contact is not None:
            return None if contact.is_over else contact
        encoded = self._opened.get(contact_id)
        if encoded is None:
            return None
        contact = self._active[contact_id] = _decode(encoded)
        return contact

    def _note(self, contact: OpenContact, at_ms: int) -> None:
        """Collect the record of a contact that has ended; it is over when no agent is busy with it."""
        if not contact.record.state:
            return
        if not contact.work and not contact.pending:
            contact.is_over = True
            self.finished_count += 1
            contact.record.completed_at_ms = at_ms
        self._changed[_key(contact.record)] = contact

    def _add_late(self, event: DispositionRecorded | GoalChanged, at_ms: int) -> None:
        late: LateDisposition | LateGoal
        if isinstance(event, GoalChanged):
            late = LateGoal(at_ms, event.contact_id, event.goal)
        else:
            late = LateDisposition(at_ms, event.contact_id, event.assignment_id, event.disposition)
        contact = self._active.get(event.contact_id)
        if contact is None or _key(contact.record) not in self._changed:
            self._late.append(late)
        else:
            late.apply(contact.record)

    def _apply_policy(self, event: PolicyPublished) -> None:
        if event.drain_to:
            self._drain(event.drain_to)
        self.targets |= thresholds(event.policy)

    def _drain(self, drain_to: dict[str, str]) -> None:
        """Move conversations, scheduled callbacks and suspended contacts of removed queues; waiting ones have own events."""
        for contact_id in list(self._opened | dict.fromkeys(self._active, b"")):
            contact = self._contact(contact_id)
            if contact is None:
                continue
            queue_id = drain_to.get(contact.live.queue_id)
            if queue_id is not None and contact.live.state in (ASSIGNED, CALLBACK, SUSPENDED):
                contact.live.queue_id = queue_id


def _key(record: ContactRecord) -> tuple[str, int]:
    return record.contact_id, record.submitted_at_ms


def set_disposition(record: ContactRecord, assignment_id: str, disposition: str) -> bool:
    """Set the disposition of an assignment; return whether the record has that assignment."""
    for work in record.assignments:
        if work.assignment_id == assignment_id:
            work.disposition = disposition
            return True
    return False
