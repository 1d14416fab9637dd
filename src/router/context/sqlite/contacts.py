"""What the context store keeps of contacts in SQLite: their context, their notes, and how they went.

The context and the notes of a contact are sealed with the key of a customer. A contact whose customer is not known gets a customer
of its own without identities, so that there is one kind of key, one way to erase, and one retention.

How contacts went (``work``) is computed from the event feed. The position in the feed is stored in the same transaction, so that
after a crash, or after the store was away, reading on from there repairs the table.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from router.context.cards import (
    NOTES_MAX,
    CardContact,
    CardContent,
    CardNote,
    ContactContext,
    KeptContact,
    TooManyNotes,
    WorkChange,
)
from router.context.customers import CustomerView, ErasedCustomer, NotErasable, UnknownCustomer
from router.context.identities import Assurance
from router.context.journey import STEPS_MAX, Step, merge_steps
from router.context.keys import DataKey, SealBroken
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.journeys import JourneyTable

CONTACT_KEPT_MS: Final = 90 * 24 * 3_600_000
"""Time for which the context, the notes and the course of a contact are kept."""
_RETENTION_SLICE: Final = 500
AFTER_ALL_MS: Final = 1 << 52
"""Later than everything that is stored; also exact as a floating-point number."""
_CONTEXT_COLUMN: Final = "contact.content"
_NOTE_COLUMN: Final = "note.text"
_WORK_SHOWN: Final = 16
_WORK_FIELDS: Final = ("state", "channel", "queue_id", "agent_id", "disposition")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ContactContext)


class ContactTable:
    """The tables of contacts of one workspace. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self._workspace = number

    # --- context -------------------------------------------------------------------------------

    def keep(
        self,
        contact_id: str,
        row: int,
        key: DataKey,
        *,
        is_owned: bool,
        assurance: Assurance | None,
        context: ContactContext | None,
        at_ms: int,
    ) -> None:
        """Store the context of a contact, replacing an earlier one."""
        sealed = None if context is None else key.seal(_CONTEXT_COLUMN, _encoder.encode(context))
        self._connection.execute(
            "INSERT OR REPLACE INTO contact (workspace, contact_id, row, is_owned, assurance, content, at_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._workspace, contact_id, row, is_owned, assurance, sealed, at_ms),
        )

    def row_of(self, contact_id: str) -> int | None:
        """Return the row whose key seals what is stored about a contact; None: nothing is stored."""
        found = self._connection.execute(
            "SELECT row FROM contact WHERE workspace = ? AND contact_id = ?", (self._workspace, contact_id)
        ).fetchone()
        return None if found is None else int(found[0])

    def kept_ms(self, contact_id: str) -> int | None:
        """Return when what is stored about a contact was stored; None: nothing is stored."""
        found = self._connection.execute(
            "SELECT at_ms FROM contact WHERE workspace = ? AND contact_id = ?", (self._workspace, contact_id)
        ).fetchone()
        return None if found is None else int(found[0])

    def get(self, contact_id: str, key: DataKey | None) -> KeptContact | None:
        """Return what is stored about a contact; ``key`` is that of its row."""
        found = self._connection.execute(
            "SELECT row, is_owned, assurance, content FROM contact WHERE workspace = ? AND contact_id = ?",
            (self._workspace, contact_id),
        ).fetchone()
        if found is None:
            return None
        row, is_owned, assurance, sealed = found
        context = None if sealed is None or key is None else _decoder.decode(key.open(_CONTEXT_COLUMN, sealed))
        return KeptContact(
            row=row, is_owned=bool(is_owned), assurance=None if assurance is None else Assurance(assurance), context=context
        )

    # --- notes ---------------------------------------------------------------------------------

    def raise_assurance(self, contact_id: str, assurance: Assurance) -> bool:
        """Set the assurance of a contact; return False where nothing is stored about it."""
        return bool(
            self._connection.execute(
                "UPDATE contact SET assurance = ? WHERE workspace = ? AND contact_id = ?", (assurance, self._workspace, contact_id)
            ).rowcount
        )

    def add_note(self, contact_id: str, row: int, key: DataKey, *, author: str, text: str, at_ms: int) -> None:
        """Store a note. Raises TooManyNotes."""
        [(count,)] = self._connection.execute(
            "SELECT count(*) FROM note WHERE workspace = ? AND contact_id = ?", (self._workspace, contact_id)
        ).fetchall()
        if count >= NOTES_MAX:
            raise TooManyNotes(f"the contact has {NOTES_MAX} notes, which is the limit")
        self._connection.execute(
            "INSERT INTO note (workspace, contact_id, row, author, at_ms, text) VALUES (?, ?, ?, ?, ?, ?)",
            (self._workspace, contact_id, row, author, at_ms, key.seal(_NOTE_COLUMN, text.encode())),
        )

    def notes(self, row: int, key: DataKey) -> list[CardNote]:
        """Return the newest notes that are sealed with the key of a row, oldest first."""
        found = self._connection.execute(
            "SELECT contact_id, author, at_ms, text FROM note WHERE row = ? ORDER BY number DESC LIMIT ?", (row, NOTES_MAX)
        ).fetchall()
        return [
            CardNote(at_ms=at_ms, author=author, text=key.open(_NOTE_COLUMN, text).decode(), contact_id=contact_id)
            for contact_id, author, at_ms, text in reversed(found)
        ]

    # --- work ----------------------------------------------------------------------------------

    def record_work(self, changes: Sequence[WorkChange], row_of: Callable[[str], int | None]) -> set[int]:
        """Apply changes and return the rows of their customers.

        ``row_of`` returns the row of a customer; None: there is none. A change of a contact that is not listed is left out.
        The changes of one contact are applied together: most of a short contact's come at once.
        """
        begun: dict[str, WorkChange] = {}
        later: dict[str, WorkChange] = {}
        for change in changes:
            name = change.contact_id
            if change.customer_id is not None:
                begun.setdefault(name, change)
            else:
                later[name] = _combined(later[name], change) if name in later else change
        rows: set[int] = set()
        for name in begun | later:
            first, further = begun.get(name), later.get(name)
            row = None if first is None or first.customer_id is None else row_of(first.customer_id)
            if row is None or first is None or not self._insert_work(first, further, row):
                if further is not None:
                    self._update_work(further)
                row = self._row_of_work(name)
            if row is not None:
                rows.add(row)
        return rows

    def _insert_work(self, first: WorkChange, further: WorkChange | None, row: int) -> bool:
        """List a contact as it is after all of these changes; return False where it is listed already."""
        found = first if further is None else _combined(first, further)
        return bool(
            self._connection.execute(
                "INSERT OR IGNORE INTO work"
                " (workspace, contact_id, row, state, channel, queue, agent, disposition, queued_ms, changed_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._workspace,
                    found.contact_id,
                    row,
                    found.state or "open",
                    found.channel or "",
                    found.queue_id or "",
                    found.agent_id,
                    found.disposition,
                    first.at_ms,
                    found.at_ms,
                ),
            ).rowcount
        )

    def _update_work(self, change: WorkChange) -> None:
        self._connection.execute(
            "UPDATE work SET state = coalesce(?, state), channel = coalesce(?, channel), queue = coalesce(?, queue),"
            " agent = coalesce(?, agent), disposition = coalesce(?, disposition), changed_ms = max(changed_ms, ?)"
            " WHERE workspace = ? AND contact_id = ?",
            (
                change.state,
                change.channel,
                change.queue_id,
                change.agent_id,
                change.disposition,
                change.at_ms,
                self._workspace,
                change.contact_id,
            ),
        )

    def _row_of_work(self, contact_id: str) -> int | None:
        found = self._connection.execute(
            "SELECT row FROM work WHERE workspace = ? AND contact_id = ?", (self._workspace, contact_id)
        ).fetchone()
        return None if found is None else int(found[0])

    def set_cursor(self, history_id: str, seq: int) -> None:
        """Store the position in the event feed up to which the table of work is complete."""
        self._connection.execute("INSERT OR REPLACE INTO feed_cursor VALUES (?, ?, ?)", (self._workspace, history_id, seq))

    def cursor(self) -> tuple[str, int] | None:
        """Return the position in the event feed up to which the table of work is complete; None: nothing was read yet."""
        found = self._connection.execute(
            "SELECT history_id, seq FROM feed_cursor WHERE workspace = ?", (self._workspace,)
        ).fetchone()
        return None if found is None else (str(found[0]), int(found[1]))

    def work(self, rows: Sequence[int]) -> list[CardContact]:
        """Return the newest contacts of customers, newest first."""
        places = ",".join("?" * len(rows))
        found = self._connection.execute(
            "SELECT contact_id, state, channel, queue, agent, disposition, queued_ms, changed_ms FROM work"
            f" WHERE row IN ({places}) ORDER BY queued_ms DESC, number DESC LIMIT ?",
            (*rows, _WORK_SHOWN),
        ).fetchall()
        return [
            CardContact(
                contact_id=contact_id,
                state=state,
                channel=channel,
                queue_id=queue,
                agent_id=agent,
                disposition=disposition,
                queued_at_ms=queued_ms,
                changed_at_ms=changed_ms,
            )
            for contact_id, state, channel, queue, agent, disposition, queued_ms, changed_ms in found
        ]

    # --- retention -----------------------------------------------------------------------------

    def owner_of(self, contact_id: str) -> tuple[int, bool] | None:
        """Return the row that a contact is stored under, and whether it is that of a customer; None: nothing is stored."""
        found = self._connection.execute(
            "SELECT row, is_owned FROM contact WHERE workspace = ? AND contact_id = ?", (self._workspace, contact_id)
        ).fetchone()
        return None if found is None else (int(found[0]), bool(found[1]))

    def rows_alone(self, *, before_ms: int, limit: int) -> list[int]:
        """Return rows that stand for one old contact alone, whose customer was never known."""
        found = self._connection.execute(
            "SELECT row FROM contact WHERE workspace = ? AND at_ms < ? AND is_owned = 0 LIMIT ?",
            (self._workspace, before_ms, limit),
        ).fetchall()
        return [int(row) for (row,) in found]

    def expire(self, *, before_ms: int, limit: int) -> None:
        """Delete what is stored about old contacts of known customers, at most ``limit`` of each table."""
        for table, condition in (
            ("contact", "at_ms < ? AND is_owned = 1"),
            ("note", "at_ms < ?"),
            ("work", "changed_ms < ? AND state NOT IN ('open', 'suspended')"),
        ):
            self._connection.execute(
                f"DELETE FROM {table} WHERE number IN (SELECT number FROM {table} WHERE workspace = ? AND {condition} LIMIT ?)",
                (self._workspace, before_ms, limit),
            )


def _combined(before: WorkChange, after: WorkChange) -> WorkChange:
    """Return two changes of one contact as one."""
    changed = {name: value for name in _WORK_FIELDS if (value := getattr(after, name)) is not None}
    return msgspec.structs.replace(before, at_ms=max(before.at_ms, after.at_ms), **changed)


class SqliteContacts:
    """Operations on contacts over all workspaces. Confined to the thread of its connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        table_of: Callable[[str], CustomerTable],
        journeys: Callable[[], JourneyTable],
        on_change: Callable[[str, int, str], None],
        kept_ms: int = CONTACT_KEPT_MS,
        change_count: Callable[[], int],
    ) -> None:
        """``on_change`` is called with a workspace, the row of a customer and what has changed."""
        self._connection = connection
        self._table_of = table_of
        self._journeys = journeys
        self._on_change = on_change
        self._kept_ms = kept_ms
        self._change_count = change_count

    def _contacts(self, workspace: str) -> tuple[CustomerTable, ContactTable]:
        customers = self._table_of(workspace)
        return customers, ContactTable(self._connection, customers.number)

    def keep(
        self,
        workspace: str,
        contact_id: str,
        *,
        customer_id: str | None,
        assurance: Assurance | None,
        context: ContactContext | None,
        now_ms: int,
    ) -> KeptContact:
        """Store the context of a contact and return what is stored. Raises UnknownCustomer or ErasedCustomer."""
        customers, contacts = self._contacts(workspace)
        if customer_id is None:
            row = root = customers.create(now_ms=now_ms)
        else:
            row, root = customers.row_and_root_of(customer_id)
        key = customers.key_of(row)
        assert key is not None
        is_owned = customer_id is not None
        contacts.keep(contact_id, row, key, is_owned=is_owned, assurance=assurance, context=context, at_ms=now_ms)
        return KeptContact(row=row, root=root, is_owned=is_owned, assurance=assurance, context=context)

    def resume(self, workspace: str, contact_id: str, *, customer_id: str, submitted_as: str, at_ms: int) -> CardContent:
        """Give a resumed contact what came with the submit by which its customer is back; return what its card shows then.

        That is how the customer is known, asserted where nothing was stored for the submit, and the context, if there is one.
        """
        before = self.content(workspace, contact_id, customer_id=customer_id)
        if before.customer is None:
            return before
        try:
            came = self.content(workspace, submitted_as, customer_id=None)
        except (SealBroken, ValueError):  # What cannot be read is no proof either.
            came = CardContent()
        # How the customer was known before they were away proves nothing of the one who is back.
        assurance, context = came.assurance or Assurance.ASSERTED, came.context or before.context
        self.keep(workspace, contact_id, customer_id=customer_id, assurance=assurance, context=context, now_ms=at_ms)
        return msgspec.structs.replace(before, assurance=assurance, context=context)

    def _resume_again(self, workspace: str, change: WorkChange) -> None:
        """Resume a contact as ``resume`` does, if the router has ended, or the store has failed, before that was stored."""
        customers, contacts = self._contacts(workspace)
        row, kept_ms = contacts.row_of(change.contact_id), contacts.kept_ms(change.contact_id)
        if change.submitted_as is None or row is None or kept_ms is None or kept_ms >= change.at_ms:
            return
        # A customer whose key or contents cannot be read costs no other change of the batch; nothing of them can be shown either.
        with suppress(SealBroken, ValueError, UnknownCustomer, ErasedCustomer):
            if customers.key_of(row) is not None:
                customer_id = customers.id_of(row)
                self.resume(
                    workspace, change.contact_id, customer_id=customer_id, submitted_as=change.submitted_as, at_ms=change.at_ms
                )

    def raise_assurance(self, workspace: str, contact_id: str, *, customer_id: str, assurance: Assurance, now_ms: int) -> None:
        """Record how the customer of a contact is known from now on. Raises UnknownCustomer or ErasedCustomer."""
        customers, contacts = self._contacts(workspace)
        if not contacts.raise_assurance(contact_id, assurance):
            self.keep(workspace, contact_id, customer_id=customer_id, assurance=assurance, context=None, now_ms=now_ms)
        self._on_change(workspace, customers.row_of(customer_id), "profile")

    def add_note(self, workspace: str, contact_id: str, *, customer_id: str | None, author: str, text: str, now_ms: int) -> None:
        """Store a note on a contact. Raises TooManyNotes, UnknownCustomer or ErasedCustomer."""
        customers, contacts = self._contacts(workspace)
        row = contacts.row_of(contact_id) if customer_id is None else customers.row_of(customer_id)
        if row is None:
            self.keep(workspace, contact_id, customer_id=None, assurance=None, context=None, now_ms=now_ms)
            row = contacts.row_of(contact_id)
        assert row is not None
        key = customers.key_of(row)
        if key is None:
            raise ErasedCustomer("the customer was erased")
        contacts.add_note(contact_id, row, key, author=author, text=text, at_ms=now_ms)
        self._on_change(workspace, row, "note")

    def content(self, workspace: str, contact_id: str, *, customer_id: str | None, kept: KeptContact | None = None) -> CardContent:
        """Return what a card of a contact shows; nothing of it is recorded as read.

        ``kept`` is what ``keep`` has stored of it in the same operation: it is not read again.
        """
        customers, contacts = self._contacts(workspace)
        if customer_id is None:
            return self._content_without_customer(customers, contacts, contact_id)
        if kept is not None and kept.root is not None:
            row, root = kept.row, kept.root
        else:
            try:
                row, root = customers.row_and_root_of(customer_id)
            except ErasedCustomer:
                return CardContent(is_erased=True)
            except UnknownCustomer:
                return CardContent()
            kept = contacts.get(contact_id, customers.key_of(row))
        members = customers.members_of(root)
        work, notes = self.history(workspace, members)
        return CardContent(
            customer=customers.view(row, members=members),
            assurance=None if kept is None else kept.assurance,
            context=None if kept is None else kept.context,
            steps=self._steps(customers, members),
            work=work,
            notes=notes,
            as_of=self._change_count(),
        )

    def _content_without_customer(self, customers: CustomerTable, contacts: ContactTable, contact_id: str) -> CardContent:
        row = contacts.row_of(contact_id)
        key = None if row is None else customers.key_of(row)
        if row is None or key is None:
            return CardContent(is_erased=row is not None)
        kept = contacts.get(contact_id, key)
        context, assurance = (None, None) if kept is None else (kept.context, kept.assurance)
        return CardContent(context=context, assurance=assurance, notes=contacts.notes(row, key))

    def history(self, workspace: str, members: Sequence[int]) -> tuple[list[CardContact], list[CardNote]]:
        """Return the newest contacts and notes of a customer, given by the rows of all members."""
        customers, contacts = self._contacts(workspace)
        notes: list[CardNote] = []
        for member in members:
            key = customers.key_of(member)
            if key is not None:
                notes += contacts.notes(member, key)
        return contacts.work(members), sorted(notes, key=lambda one: one.at_ms)[-NOTES_MAX:]

    def customer(self, workspace: str, customer_id: str) -> tuple[CustomerView, list[Step]]:
        """Return a customer with the newest steps of all members, oldest first. Raises UnknownCustomer or ErasedCustomer."""
        customers = self._table_of(workspace)
        row, root = customers.row_and_root_of(customer_id)
        members = customers.members_of(root)
        return customers.view(row, members=members), self._steps(customers, members)

    def _steps(self, customers: CustomerTable, members: Sequence[int]) -> list[Step]:
        journeys = self._journeys()
        found = journeys.steps_of(members[0], customers.key_of(members[0]))
        for member in members[1:]:
            found = merge_steps(found, journeys.steps_of(member, customers.key_of(member)))
        return found[-STEPS_MAX:]

    def record_work(
        self, workspace: str, changes: Sequence[WorkChange], *, history_id: str, seq: int, is_complete: bool = True
    ) -> None:
        """Apply how contacts went, up to the event ``seq``; the position is stored with the changes, if they are complete."""
        customers, contacts = self._contacts(workspace)

        def row_of(customer_id: str) -> int | None:
            try:
                return customers.row_of(customer_id)
            except (UnknownCustomer, ErasedCustomer):
                return None

        for change in changes:
            if change.submitted_as is not None:
                self._resume_again(workspace, change)
        for row in contacts.record_work(changes, row_of):
            self._on_change(workspace, row, "work")
        if is_complete:
            contacts.set_cursor(history_id, seq)

    def cursor(self, workspace: str) -> tuple[str, int] | None:
        """Return the history and the event up to which ``record_work`` was applied; None: nothing was."""
        return self._contacts(workspace)[1].cursor()

    def rows_alone(self, workspace: str, *, now_ms: int) -> list[int]:
        """Return rows that stand for one contact alone, whose customer was never known, and that are no longer kept."""
        return self._contacts(workspace)[1].rows_alone(before_ms=now_ms - self._kept_ms, limit=_RETENTION_SLICE)

    def ids_without_customer(self, workspace: str, *, limit: int) -> list[str]:
        """Return ids of which each is erased as a customer is, but stands for one contact whose customer was never known."""
        customers, contacts = self._contacts(workspace)
        return [customers.id_of(row) for row in contacts.rows_alone(before_ms=AFTER_ALL_MS, limit=limit)]

    def id_without_customer(self, workspace: str, contact_id: str) -> str | None:
        """Return such an id of one contact; None: nothing is stored of it. Raises NotErasable where its customer is known."""
        customers, contacts = self._contacts(workspace)
        found = contacts.owner_of(contact_id)
        if found is None:
            return None
        row, is_owned = found
        if is_owned:
            raise NotErasable("the contact belongs to a customer, whose key seals its context: erase the customer")
        return customers.id_of(row)

    def expire(self, workspace: str, *, now_ms: int) -> None:
        """Delete a slice of what is stored about contacts that are no longer kept."""
        self._contacts(workspace)[1].expire(before_ms=now_ms - self._kept_ms, limit=_RETENTION_SLICE)
