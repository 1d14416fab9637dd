"""The SQLite context store: the operations of ``ContextStore`` over customers, journeys and keys."""

import itertools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import structs

from router.context.customers import (
    STRONG_AND_ADDRESS_MAX,
    ConsentChange,
    ContextCorrupt,
    ContextError,
    CustomerView,
    ErasedCustomer,
    IdentityTaken,
    IdentityView,
    Merged,
    MergeRefused,
    ProfileChange,
    Resolved,
    UnknownCustomer,
    UnknownIdentity,
    Unmerged,
    VersionMismatch,
)
from router.context.identities import NormalIdentity
from router.context.journey import STEPS_MAX, Step, merge_steps
from router.context.keys import DataKey, MasterKeys
from router.context.limits import CustomerRates
from router.context.port import (
    AuditEntry,
    ChangedPage,
    ContextChange,
    CustomerChangeKind,
    CustomerExport,
    Erased,
    NewStep,
    SearchPage,
    StepResult,
)
from router.context.sqlite.contacts import CONTACT_KEPT_MS, SqliteContacts
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import ContextDatabase, ContextFiles, translate_errors
from router.context.sqlite.erasure import Erasure
from router.context.sqlite.export import merge_entry, reads_of
from router.context.sqlite.journeys import JourneyTable
from router.context.sqlite.profiles import ProfileTable, searched_words
from router.context.sqlite.reference_erasure import ReferenceErasure
from router.context.sqlite.references import SqliteReferences
from router.context.sqlite.rotation import KeyRotation
from router.context.sqlite.step_retention import StepRetention
from router.context.sqlite.steps import SqliteSteps
from router.context.sqlite.verification import SqliteVerifications

IDLE_FOLD_MS: Final = 10 * 60_000
LOG_BYTES_MAX: Final = 16 << 20
_FOLD_SLICE: Final = 50
_RETENTION_SLICE: Final = 500
_BLOCKS_SLICE: Final = 8
"""Blocks of references without a customer that are deleted at once."""
# Journeys unpacked in one call of ``maintain``, about 20 µs each.
STEP_SLICE: Final = 200


class SqliteContextStore:
    """The customer context in ``context.db`` and ``context-keys.db``. Confined to one thread."""

    _erasure_type: type[Erasure] = Erasure
    _keys_type: type[KeyStore] = KeyStore
    _contacts_type: type[SqliteContacts] = SqliteContacts
    _references_type: type[SqliteReferences] = SqliteReferences
    _rotation_type: type[KeyRotation] = KeyRotation

    def __init__(
        self,
        directory: Path,
        master: MasterKeys,
        *,
        now_ms: int = 0,
        idle_customer_ms: int = 400 * 24 * 3_600_000,
        steps_per_minute: int | None = None,
        key_path: Path | None = None,
        contact_kept_ms: int = CONTACT_KEPT_MS,
        steps_kept_ms: Mapping[str, int] | None = None,
    ) -> None:
        """Open or create the files and repair what an end of the process left behind, as of the time ``now_ms``.

        ``idle_customer_ms``: customers not seen for this long are erased. ``steps_per_minute``: limit of each customer.
        ``contact_kept_ms``: time for which what is stored about a contact is kept. ``steps_kept_ms``: the same of steps, by type.

        Raises ContextUnavailable or ContextCorrupt.
        """
        self._build(
            ContextFiles(directory),
            master,
            now_ms=now_ms,
            idle_customer_ms=idle_customer_ms,
            steps_per_minute=steps_per_minute,
            key_path=key_path,
            contact_kept_ms=contact_kept_ms,
            steps_kept_ms=steps_kept_ms,
        )

    def _build(
        self,
        files: ContextDatabase,
        master: MasterKeys,
        *,
        now_ms: int,
        idle_customer_ms: int,
        steps_per_minute: int | None,
        key_path: Path | None,
        contact_kept_ms: int,
        steps_kept_ms: Mapping[str, int] | None,
    ) -> None:
        self._files = files
        self._idle_customer_ms = idle_customer_ms
        self._workspaces: dict[str, CustomerTable] = {}
        self._changes: list[ContextChange] = []
        self._changes_before_attempt = self._writes_before_attempt = 0
        self._change_count = 0
        self._is_attempting = self._are_keys_marked = False
        try:
            with translate_errors():
                self._keys = self._keys_type(self._files.keys, master)
                self._keys.before_write = self._mark_keys
                self._erasure = self._erasure_type(
                    self._files, self._keys, lambda: getattr(self, "_journeys", None), lambda: self._next_change()
                )
                self._next_change = self._changes_from()
                self._load_workspaces()
                self._erasure.repair(now_ms=now_ms)
                self._rotation = self._rotation_type(self._files, self._keys, lambda: self._workspaces.values(), key_path)
                self._profiles = ProfileTable(self._data, self._keys)
                self._journeys = self._new_journeys()
                self._steps = SqliteSteps(
                    self._data,
                    table_of=self._table,
                    journeys=self._journeys,
                    erasure=self._erasure,
                    rates=None if steps_per_minute is None else CustomerRates(steps_per_minute),
                    on_step=lambda workspace, customer_id, step: self._note_change(
                        workspace, customer_id, CustomerChangeKind.STEP, step
                    ),
                )
                self._step_retention = StepRetention(self._data, self._journeys, steps_kept_ms or {})
                self._references = self._references_type(self._data, self._table, kept_ms=contact_kept_ms)
                self._reference_erasure = ReferenceErasure(
                    self._files, self._keys, self._references, self._erasure, self._note_reference_erased
                )
                self._contacts = self._contacts_type(
                    self._data,
                    table_of=self._table,
                    journeys=lambda: self._journeys,
                    change_count=lambda: self._change_count,
                    on_change=lambda workspace, row, kind: self._changed(workspace, row, CustomerChangeKind(kind)),
                    kept_ms=contact_kept_ms,
                )
                self._verifications = SqliteVerifications(self._data, table_of=self._table, contacts=self._contacts)
        except BaseException:
            self._files.close()
            raise

    def _changes_from(self) -> Callable[[], int]:
        """Return a function that gives the position of each change in the order of all changes of customers."""
        [(newest,)] = self._data.execute(
            "SELECT ifnull(max(newest), 0) FROM"
            " (SELECT max(changed) AS newest FROM customer UNION ALL SELECT max(changed) FROM erased_change)"
        ).fetchall()
        return itertools.count(int(newest) + 1).__next__

    def _new_journeys(self) -> JourneyTable:
        return JourneyTable(self._data, key_of=self._key_of)

    @property
    def verifications(self) -> SqliteVerifications:
        """Return the operations on verifications and proposals of merges."""
        return self._verifications

    @property
    def contacts(self) -> SqliteContacts:
        """Return the operations on contacts."""
        return self._contacts

    @property
    def references(self) -> SqliteReferences:
        """Return the operations on references of contacts."""
        return self._references

    def take_changes(self) -> list[ContextChange]:
        """Return the changes since the last call, in order."""
        taken, self._changes = self._changes, []
        return taken

    def _changed(self, workspace: str, row: int, kind: CustomerChangeKind = CustomerChangeKind.PROFILE) -> None:
        self._note_change(workspace, self._workspaces[workspace].id_of(row), kind)

    def _note_change(self, workspace: str, customer_id: str, kind: CustomerChangeKind, step: Step | None = None) -> None:
        self._add_change(ContextChange(workspace=workspace, customer_id=customer_id, kind=kind, step=step))

    def _note_reference_erased(self, workspace: str, contact_id: str) -> None:
        kind = CustomerChangeKind.REFERENCE_ERASED
        self._add_change(ContextChange(workspace=workspace, customer_id="", kind=kind, contact_id=contact_id))

    def _add_change(self, change: ContextChange) -> None:
        self._change_count += 1
        self._changes.append(structs.replace(change, number=self._change_count))

    def _customer_table(self, number: int, name: str) -> CustomerTable:
        return CustomerTable(
            self._data, self._keys, number=number, name=name, next_change=self._next_change, on_change=self._changed
        )

    @property
    def _data(self) -> sqlite3.Connection:
        return self._files.data

    def _load_workspaces(self) -> None:
        for number, name in self._data.execute("SELECT number, name FROM workspace").fetchall():
            self._workspaces[name] = self._customer_table(number, name)
            # Opened now, so that a wrong master key is noticed at the start and not at the first request.
            self._keys.lookup_key(number)
        [(customers,)] = self._data.execute("SELECT count(*) FROM (SELECT 1 FROM customer LIMIT 1)").fetchall()
        if customers and not self._workspaces:
            raise ContextCorrupt("there are customers but no workspaces")

    def _table(self, workspace: str) -> CustomerTable:
        """Return the tables of a workspace, which begins with its first customer."""
        table = self._workspaces.get(workspace)
        if table is None:
            number = self._data.execute("INSERT INTO workspace (name) VALUES (?)", (workspace,)).lastrowid
            assert number is not None
            self._keys.lookup_key(number)
            table = self._workspaces[workspace] = self._customer_table(number, workspace)
        return table

    def _key_of(self, row: int) -> DataKey | None:
        [(number,)] = self._data.execute("SELECT workspace FROM customer WHERE row = ?", (row,)).fetchall() or [(None,)]
        for table in self._workspaces.values():
            if table.number == number:
                return table.key_of(row)
        return None

    # --- groups --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a group of operations. Raises ContextUnavailable."""
        with translate_errors():
            self._files.begin()

    def commit(self) -> None:
        """Make the group durable. Raises ContextUnavailable; the store cannot be used afterwards."""
        with translate_errors():
            self._files.commit()

    def attempt_began(self) -> None:
        """Mark the state to which ``attempt_failed`` returns; one operation of the group begins."""
        self._changes_before_attempt, self._writes_before_attempt = len(self._changes), self._writes()
        self._data.execute("SAVEPOINT attempt")
        self._is_attempting, self._are_keys_marked = True, False

    def attempt_done(self) -> None:
        """Keep the changes of the operation."""
        self._end_attempt("RELEASE attempt")

    def _end_attempt(self, *statements: str) -> None:
        self._is_attempting = False
        for connection in (self._files.keys, self._data) if self._are_keys_marked else (self._data,):
            for statement in statements:
                connection.execute(statement)

    def _mark_keys(self) -> None:
        """Let the operation, which is about to write keys, undo that if it fails; most write none."""
        self._files.begin_keys()
        if self._is_attempting and not self._are_keys_marked:
            self._files.keys.execute("SAVEPOINT attempt")
            self._are_keys_marked = True

    def attempt_failed(self) -> None:
        """Discard the changes of the operation, also those in memory."""
        del self._changes[self._changes_before_attempt :]
        self._end_attempt("ROLLBACK TO attempt", "RELEASE attempt")
        if self._writes() == self._writes_before_attempt and not self._journeys.has_pending:
            return  # Nothing was written, so nothing in memory is wrong; reading the tail again would take long.
        self._keys.forget()
        self._journeys.reload()
        known = {name for (name,) in self._data.execute("SELECT name FROM workspace").fetchall()}
        self._workspaces = {name: table for name, table in self._workspaces.items() if name in known}

    def _writes(self) -> int:
        """Return the number of rows that were changed since the start."""
        return self._files.keys.total_changes + self._data.total_changes

    # --- customers -----------------------------------------------------------------------------

    def resolve(self, workspace: str, identities: Sequence[NormalIdentity], *, at_ms: int, create: bool, now_ms: int) -> Resolved:
        """Return the customer of identities; with ``create`` attach, move and merge. Raises TooManyIdentities."""
        return self._table(workspace).resolve(identities, at_ms=at_ms, create=create, now_ms=now_ms)

    def is_known(self, workspace: str, customer_id: str) -> bool:
        """Return whether a customer has this id and was not erased."""
        try:
            self._table(workspace).row_of(customer_id)
        except (UnknownCustomer, ErasedCustomer):
            return False
        return True

    def customer(self, workspace: str, customer_id: str, *, unmasked: bool = False) -> CustomerView:
        """Return a customer. Raises UnknownCustomer or ErasedCustomer."""
        table = self._table(workspace)
        return table.view(table.row_of(customer_id), unmasked=unmasked)

    def member_ids(self, workspace: str, customer_id: str) -> frozenset[str]:
        """Return the ids of all customers who were merged with a customer, its own among them. Raises as ``customer``."""
        table = self._table(workspace)
        return frozenset(table.id_of(row) for row in table.members_of(table.root_of(table.row_of(customer_id))))

    def change_profile(
        self, workspace: str, customer_id: str, change: ProfileChange, *, versions: frozenset[int] | None, actor: str, now_ms: int
    ) -> CustomerView:
        """Change the profile of the root.

        Raises UnknownCustomer, ErasedCustomer, or VersionMismatch where its version is none of ``versions``.
        """
        table = self._table(workspace)
        row = table.row_of(customer_id)
        root = table.root_of(row)
        if versions is not None and table.view(root).version not in versions:
            raise VersionMismatch("the customer was changed since that version; read it again")
        self._profiles.change(table, root, change, actor=actor, now_ms=now_ms)
        return table.view(row)

    def put_customer(
        self, workspace: str, identities: Sequence[NormalIdentity], change: ProfileChange, *, actor: str, now_ms: int
    ) -> Resolved:
        """Find or create a customer and change the profile of the root. Raises TooManyIdentities."""
        table = self._table(workspace)
        found = table.resolve(identities, at_ms=now_ms, create=True, now_ms=now_ms)
        if found.customer_id is not None:
            root, is_new = table.row_of(found.customer_id), found.created and not found.merged
            self._profiles.change(table, root, change, actor=actor, now_ms=now_ms, is_new=is_new)
        return found

    def attach(
        self, workspace: str, customer_id: str, identity: NormalIdentity, *, now_ms: int
    ) -> tuple[CustomerView, IdentityView]:
        """Attach an identity. Raises IdentityTaken where another customer has it, and TooManyIdentities."""
        table = self._table(workspace)
        root = table.root_of(table.row_of(customer_id))
        found = table.find(identity)
        if found.owner is not None and found.owner.row != root:
            raise IdentityTaken("another customer has this identity; merge the customers or detach it there")
        table.attach_one(root, found, at_ms=now_ms, limit=STRONG_AND_ADDRESS_MAX)
        view = table.view(root)
        number = table.number_of(found.hash)
        return view, next(one for one in view.identities if one.number == number)

    def detach(self, workspace: str, customer_id: str, number: int) -> CustomerView:
        """Detach an identity. Raises UnknownIdentity."""
        table = self._table(workspace)
        root = table.root_of(table.row_of(customer_id))
        members = table.members_of(root)
        places = ",".join("?" * len(members))
        done = self._data.execute(f"DELETE FROM identity WHERE number = ? AND row IN ({places})", (number, *members)).rowcount
        if not done:
            raise UnknownIdentity("the customer has no identity of this number")
        table.bump(root)
        return table.view(root)

    def merge(self, workspace: str, winner_id: str, loser_id: str, *, actor: str, reason: str, now_ms: int) -> Merged:
        """Merge two customers; which one wins is decided by rule. Raises MergeRefused."""
        table = self._table(workspace)
        try:
            one, other = table.row_of(winner_id), table.row_of(loser_id)
        except ErasedCustomer:
            raise MergeRefused("one of both customers was erased") from None
        return table.merge(one, other, actor=actor, reason=reason, at_ms=now_ms)

    def undo_merge(self, workspace: str, merge_id: str, *, actor: str, now_ms: int) -> Unmerged:
        """Undo a merge. Raises UnknownMerge or MergeRefused."""
        return self._table(workspace).undo(merge_id, actor=actor, now_ms=now_ms)

    # --- journey -------------------------------------------------------------------------------

    def read_ahead(self, workspace: str, *, identities: Sequence[NormalIdentity], customer_ids: Sequence[str]) -> None:
        """Do nothing: reading one customer after the other from files costs no more."""

    def append_step(
        self, workspace: str, step: Step, *, customer_id: str | None, identity: NormalIdentity | None, now_ms: int
    ) -> StepResult:
        """Store a step of a customer, who is created where an identity is new. Raises UnknownCustomer or ErasedCustomer."""
        [found] = self._steps.append(workspace, [NewStep(step, customer_id, identity)], now_ms=now_ms)
        if isinstance(found, ContextError):
            raise found
        return found

    def append_steps(self, workspace: str, steps: Sequence[NewStep], *, now_ms: int) -> list[StepResult | ContextError]:
        """Store steps as ``append_step``, together; what became of each, or what ``append_step`` would raise."""
        return self._steps.append(workspace, steps, now_ms=now_ms)

    def steps(self, workspace: str, customer_id: str, *, limit: int) -> list[Step]:
        """Return the newest steps of all members of a customer, oldest first."""
        return self._steps.newest(workspace, customer_id, limit=limit)

    def replace_steps(self, workspace: str, customer_id: str, steps: Sequence[Step]) -> None:
        """Replace the steps of one member by these, oldest first; for loading many customers at once."""
        self._journeys.replace(self._table(workspace).row_of(customer_id), steps[-STEPS_MAX:])

    def log_bytes(self) -> int:
        """Return the size of the larger write-ahead log."""
        return self._files.log_bytes()

    # --- search and export ---------------------------------------------------------------------

    def search(
        self, workspace: str, *, identity: NormalIdentity | None, name: str | None, after_row: int, limit: int
    ) -> SearchPage:
        """Return customers by an exact identity or by the beginnings of the words of their name."""
        table = self._table(workspace)
        if identity is not None:
            owner = table.find(identity).owner
            return SearchPage(customers=[] if owner is None else [table.view(owner.row)])
        words = searched_words(name or "")
        if not words:
            return SearchPage(customers=[])
        lookup = self._keys.lookup_key(table.number)
        sql = " INTERSECT ".join(["SELECT row FROM name_token WHERE workspace = ? AND hash = ? AND row > ?"] * len(words))
        arguments = [value for word in words for value in (table.number, lookup.hash("name", word), after_row)]
        rows = [row for (row,) in self._data.execute(f"{sql} ORDER BY row LIMIT ?", (*arguments, limit + 1)).fetchall()]
        views = {table.root_of(row): None for row in rows[:limit]}
        return SearchPage(customers=[table.view(row) for row in views], next_row=rows[limit - 1] if len(rows) > limit else None)

    def changed_after(self, workspace: str, position: int, *, limit: int, unmasked: bool = False) -> ChangedPage:
        """Return customers in the order of their last change, from a position on."""
        table = self._table(workspace)
        found = table.changed_after(position, limit)
        return ChangedPage(
            customers=[table.view(row, unmasked=unmasked) for _, row, _, _ in found if row is not None],
            erased=[
                Erased(customer_id=f"c_{id.hex()}", erased_at_ms=at_ms) for _, _, id, at_ms in found if id and at_ms is not None
            ],
            position=found[-1][0] if found else position,
            has_more=len(found) == limit,
        )

    def export(self, workspace: str, customer_id: str) -> CustomerExport:
        """Return everything that is stored about a customer."""
        table = self._table(workspace)
        root = table.root_of(table.row_of(customer_id))
        members = table.members_of(root)
        ids = {row: table.id_of(row) for row in members}
        places = ",".join("?" * len(members))
        merges = self._data.execute(
            "SELECT merge_id, winner, loser, reason, at_ms, undone_ms FROM merge"
            f" WHERE winner IN ({places}) AND loser IN ({places}) ORDER BY number",
            (*members, *members),
        ).fetchall()
        steps: list[Step] = []
        changes: list[ConsentChange] = []
        reads: list[AuditEntry] = []
        for row in members:
            steps = merge_steps(steps, self._journeys.steps(row))
            changes += table.profile(row).consent_changes
            reads += reads_of(self._data, ids[row])
        contacts, notes = self._contacts.history(workspace, members)
        return CustomerExport(
            customer=table.view(root, unmasked=True),
            contacts=contacts,
            notes=notes,
            references=self._references.of_customer(table, members),
            steps=steps,
            consent_changes=changes,
            merges=[merge_entry(ids, *merge) for merge in merges],
            reads=sorted(reads, key=lambda one: one.at_ms),
        )

    def note_read(self, customer_id: str, *, actor: str, purpose: str, fields: str, now_ms: int) -> None:
        """Record that a person read the data of a customer."""
        self._data.execute(
            "INSERT INTO read_audit (at_ms, actor, customer_id, purpose, fields) VALUES (?, ?, ?, ?, ?)",
            (now_ms, actor, bytes.fromhex(customer_id[2:]), purpose, fields),
        )

    # --- erasure -------------------------------------------------------------------------------

    def erase(self, workspace: str, customer_id: str, *, now_ms: int) -> bool:
        """Erase a customer with all members; call outside a group. False: a reader still holds the key's page, call again.

        The customer is gone for everyone after the first call, also where it returns False.
        """
        table = self._table_for_reading(workspace)
        try:
            root = table.root_of(table.row_of(customer_id))
        except ErasedCustomer:
            if not self._erasure.is_log_pending:
                raise
            with translate_errors():
                return self._erasure.empty_logs()
        members = table.members_of(root)
        for row in members:
            self._changed(workspace, row, CustomerChangeKind.ERASED)
        with translate_errors():
            return self._erasure.erase(members, now_ms=now_ms)

    def erase_references(self, workspace: str, contact_ids: Sequence[str], *, now_ms: int) -> bool:
        """Erase references of contacts without a customer; call outside a group. False: it is not finished, call again."""
        with translate_errors():
            return workspace not in self._workspaces or self._reference_erasure.erase(workspace, contact_ids, now_ms=now_ms)

    def _table_for_reading(self, workspace: str) -> CustomerTable:
        table = self._workspaces.get(workspace)
        if table is None:
            raise UnknownCustomer("no customer has this id")
        return table

    # --- keys and maintenance ------------------------------------------------------------------

    def use_master_keys(self, master: MasterKeys) -> None:
        """Wrap new keys with the newest of these master keys from now on; ``rewrap`` changes the older ones."""
        self._keys.master = master

    def rewrap(self, *, limit: int) -> int:
        """Wrap at most ``limit`` keys with the newest master key; return how many remain."""
        return self._rotation.rewrap(limit=limit)

    @property
    def rotation(self) -> KeyRotation:
        """Return the rotation of the master keys."""
        return self._rotation

    def maintain(self, *, now_ms: int) -> None:
        """Fold, expire and checkpoint a slice; call outside a group from time to time."""
        with translate_errors():
            self._files.begin()
            try:
                self._journeys.fold_idle(before_ms=now_ms - IDLE_FOLD_MS, limit=_FOLD_SLICE)
                self._erasure.forget_suppressed(now_ms=now_ms)
                self._verifications.expire(now_ms=now_ms, limit=_RETENTION_SLICE)
                for workspace in self._workspaces:
                    self._contacts.expire(workspace, now_ms=now_ms)
                self._references.expire(now_ms=now_ms, limit=_RETENTION_SLICE)
                changed = self._step_retention.expire(now_ms=now_ms, limit=STEP_SLICE)
                self._files.commit()
            except BaseException:
                self._files.rollback()
                self._journeys.reload()
                raise
            names = {table.number: name for name, table in self._workspaces.items()}
            for number, row in changed:
                self._changed(names[number], row)
            if idle := self._idle_rows(now_ms):
                # All at once: each erasure alone would empty both logs.
                self._erasure.erase(idle, now_ms=now_ms)
            self._reference_erasure.go_on(self._workspaces, now_ms=now_ms)
            if self._erasure.is_log_pending or self._files.log_bytes() > LOG_BYTES_MAX:
                self._erasure.empty_logs()

    def _idle_rows(self, now_ms: int) -> list[int]:
        """Return the rows of customers not seen for too long, with all members, and those of contacts without a customer."""
        found: dict[int, None] = {}
        for table in self._workspaces.values():
            roots = self._data.execute(
                "SELECT row FROM customer WHERE workspace = ? AND seen_ms < ? AND merged_into IS NULL LIMIT ?",
                (table.number, now_ms - self._idle_customer_ms, _RETENTION_SLICE),
            ).fetchall()
            days = self._references.rows_of_old_days(table, now_ms=now_ms, limit=_BLOCKS_SLICE)
            for root in [*(row for (row,) in roots), *self._contacts.rows_alone(table.name, now_ms=now_ms), *days]:
                members = dict.fromkeys(table.members_of(root))
                for row in members.keys() - found.keys():
                    self._changed(table.name, row, CustomerChangeKind.ERASED)
                found |= members
        return list(found)

    @property
    def poll_s(self) -> float | None:
        """Return None: only this store writes to the files."""
        return None

    def poll(self) -> None:
        """Do nothing: only this store writes to the files."""

    def close(self, *, has_failed: bool = False) -> None:
        """Close the storage; after a failure without writing anything. Idempotent."""
        self._files.close(has_failed=has_failed)
