"""The context store in Redis or Valkey: one customer context for all nodes of a store.

The rules and the statements are those of the SQLite backend, run over tables whose rows are in Redis; see ``layout`` for where, and
``rows`` for what keeps the operations of different nodes apart. What differs is here: nothing read is kept between two operations,
each operation is written by itself, a group of the service is what is confirmed together, and the changes of one node are
announced to the others.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from router.context.cards import CardContent, KeptContact, WorkChange
from router.context.customers import ContextConflict, ContextCorrupt, ContextError, ContextUnavailable, ErasedCustomer, NotErasable
from router.context.identities import NormalIdentity
from router.context.journey import Step
from router.context.keys import DataKey, MasterKeys, SealBroken
from router.context.port import ContactReference, ContextChange, CustomerChangeKind
from router.context.redis.database import ContextRows
from router.context.redis.journeys import SharedJourneys
from router.context.redis.layout import hash_name, split_place
from router.context.redis.rows import RowBuffer, index_name
from router.context.sqlite.contacts import CONTACT_KEPT_MS, SqliteContacts
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import FORMAT, FORMATS_READ
from router.context.sqlite.erasure import Erasure
from router.context.sqlite.journeys import JourneyTable
from router.context.sqlite.references import Block, SqliteReferences
from router.context.sqlite.rotation import KeyRotation
from router.context.sqlite.step_retention import StepRetention
from router.context.sqlite.store import IDLE_FOLD_MS, STEP_SLICE, SqliteContextStore

T = TypeVar("T")

POLL_S: Final = 0.1
"""Interval at which the changes of other nodes are read."""
CHANGES_MAX: Final = 10_000
"""Changes in the stream; a node that has missed more opens the store again."""
ATTEMPTS_MAX: Final = 20
REWRITE_PAUSE_S: Final = 600.0
"""Shortest time between two rewrites of the server's files after erasures by age."""
_SLICE: Final = 500
_FOLD_SLICE: Final = 50
_DAY_MS: Final = 24 * 3_600_000
_MASTER_PLACE: Final = b"check\x00context"
_LATE_S: Final = 1.0
_BEGINNING: Final = b"0-0"


class _Announcement(Struct, frozen=True, array_like=True):
    """That a customer has changed, for the other nodes. It says nothing else about the customer."""

    workspace: str
    customer_id: str
    kind: CustomerChangeKind
    row: int


_change_encoder: Final = msgspec.msgpack.Encoder()
_change_decoder: Final = msgspec.msgpack.Decoder(list[_Announcement])
_reference_decoder: Final = msgspec.msgpack.Decoder(list[tuple[str, str]])


def was_begun(rows: ContextRows) -> bool:
    """Return whether a node has begun a customer context there. Raises ContextUnavailable."""
    return bool(rows.buffer.call(("EXISTS", f"{rows.buffer.base}:check"))[0])


def read_owners(buffer: RowBuffer, sets: Sequence[str], *, kinds: str) -> list[str]:
    """Read hashes of the customers that these sets lead to, at once, and return their numbers."""
    buffer.load(sets=sets)
    numbers = dict.fromkeys(split_place(place)[0].partition(":")[2] for name in sets for place in buffer.members(name))
    buffer.load(f"{kind}:{number}" for number in numbers for kind in kinds)
    return [*numbers]


class SharedReferences(SqliteReferences):
    """Operations on references, for many contacts at once."""

    buffer: RowBuffer
    told: dict[tuple[str, str], None]
    """Workspace and contact of the references that the operation has stored, for the other nodes."""

    def keep(self, workspace: str, references: Sequence[ContactReference], *, now_ms: int) -> None:
        """Store references; that of a customer who was erased meanwhile is dropped."""
        number = self._table_of(workspace).number
        customers = {bytes.fromhex(one.customer_id[2:]) for one in references if one.customer_id is not None}
        places = [index_name("customer", "id", (one,)) for one in customers]
        self.buffer.load((hash_name("r", (number, one.contact_id)) for one in references), places)
        read_owners(self.buffer, places, kinds="c")
        super().keep(workspace, references, now_ms=now_ms)
        self.told.update(((workspace, one.contact_id), None) for one in references)

    def _open_block(self, table: CustomerTable, day: int, now_ms: int) -> Block:
        read_owners(self.buffer, [index_name("reference_block", "open", (table.number, day))], kinds="c")
        return super()._open_block(table, day, now_ms)

    def _adopt_day(self, row: int) -> None:
        # Which references a key of a day seals is not known here: erased, it would take all of them with it.
        raise NotErasable(
            "an earlier version has stored the reference with one key for all of its day; it goes when that day is no longer kept"
        )

    def empty(self, workspace: str, row: int) -> bool:
        """Seal a slice of a retired block again with other keys; return whether no reference is left in it."""
        place = index_name("reference", "row", (row,))
        self.buffer.load([hash_name("c", (row,))], [place])
        self.buffer.load(name for name, _ in map(split_place, self.buffer.members(place)))
        return super().empty(workspace, row)

    def read(self, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference]:
        """Return the references of those of these contacts that have one, by contact."""
        number = self._table_of(workspace).number
        self.buffer.load(hash_name("r", (number, one)) for one in contact_ids)
        return super().read(workspace, contact_ids)


class SharedContacts(SqliteContacts):
    """Operations on contacts whose course several nodes follow."""

    buffer: RowBuffer

    def content(self, workspace: str, contact_id: str, *, customer_id: str | None, kept: KeptContact | None = None) -> CardContent:
        """Return what a card of a contact shows; nothing of it is recorded as read."""
        number = self._table_of(workspace).number
        places = [index_name("contact", "contact", (number, contact_id))]
        if customer_id is not None:
            places.append(index_name("customer", "id", (bytes.fromhex(customer_id[2:]),)))
        rows = read_owners(self.buffer, places, kinds="cjh")
        self.buffer.load(sets=[f"candidate.hash:{hash}" for row in rows for hash in self._identity_hashes(int(row))])
        return super().content(workspace, contact_id, customer_id=customer_id, kept=kept)

    def _identity_hashes(self, row: int) -> list[str]:
        return [hash.hex() for (hash,) in self._connection.execute("SELECT hash FROM identity WHERE row = ?", (row,))]

    def record_work(
        self, workspace: str, changes: Sequence[WorkChange], *, history_id: str, seq: int, is_complete: bool = True
    ) -> None:
        """Apply how contacts went, unless another node has done so up to the event ``seq``."""
        done = self.cursor(workspace)
        if done is None or done[0] != history_id or done[1] < seq:
            super().record_work(workspace, changes, history_id=history_id, seq=seq, is_complete=is_complete)


class SharedKeyRotation(KeyRotation):
    """The rotation of the master keys beside other nodes."""

    def rewrap_slice(self) -> None:
        """Wrap some keys again; where another node comes between, the next call does."""
        with suppress(ContextConflict):
            super().rewrap_slice()


class SharedErasure(Erasure):
    """Erasure where a customer and the key are written and deleted together."""

    def repair(self, *, now_ms: int) -> None:
        """Do nothing: there is never one without the other."""


class SharedKeys(KeyStore):
    """The wrapped keys in Redis, with a cache of the plain ones."""

    def get(self, workspace: str, row: int) -> DataKey | None:
        """Return the data key of a customer; None where it was erased.

        Raises ContextUnavailable where the master key is not in the file, and SealBroken where it does not open the key.
        """
        try:
            return super().get(workspace, row)
        except SealBroken as error:
            version = self._version_of(row)
            if version < 0 or version in self.master.versions:
                raise
            raise ContextUnavailable(
                f"a key of the customer context in Redis cannot be opened ({error}): where the master keys were rotated on another "
                "node, copy its file of master keys to this one"
            ) from error

    def _version_of(self, row: int) -> int:
        [(version,)] = self._connection.execute("SELECT version FROM customer_key WHERE row = ?", (row,)).fetchall()
        return int(version)

    def drop(self, row: int) -> None:
        """Forget the plain key of a customer that another node has erased."""
        self._cache.pop(row, None)


class RedisContextStore(SqliteContextStore):
    """The customer context in Redis. Confined to one thread."""

    _erasure_type = SharedErasure
    _keys_type = SharedKeys
    _contacts_type = SharedContacts
    _references_type = SharedReferences
    _rotation_type = SharedKeyRotation
    _contacts: SharedContacts
    _references: SharedReferences
    _keys: SharedKeys

    def __init__(
        self,
        rows: ContextRows,
        master: MasterKeys,
        *,
        node: bytes,
        now_ms: int = 0,
        idle_customer_ms: int = 400 * _DAY_MS,
        steps_per_minute: int | None = None,
        key_path: Path | None = None,
        contact_kept_ms: int = CONTACT_KEPT_MS,
        steps_kept_ms: Mapping[str, int] | None = None,
    ) -> None:
        """Use the tables, and check that the master keys fit them.

        ``node`` tells the changes of this store from those of others. The rest as in the SQLite backend.

        Raises ContextUnavailable or ContextCorrupt.
        """
        self._rows = rows
        self._node = node
        self._deletions: dict[str, int] = {}
        """Erasures that are not acknowledged yet, by customer, with the number of the deletion."""
        self._idle_deletion: int | None = None
        self._rewritten_at = -REWRITE_PAUSE_S
        self._polled_at = 0.0
        self._told: dict[tuple[str, str, CustomerChangeKind], int] = {}
        """What the operation tells the other nodes, with the row of the customer where it is known."""
        self._told_references: dict[tuple[str, str], None] = {}
        self._told_erased: dict[tuple[str, str], None] = {}
        """Workspace and contact of the references that the operation has erased alone."""
        try:
            self._check_master(master)
            self._check_format()
            self._position = self._last_change()
        except BaseException:
            rows.close()
            raise
        self._build(
            rows,
            master,
            now_ms=now_ms,
            idle_customer_ms=idle_customer_ms,
            steps_per_minute=steps_per_minute,
            key_path=key_path,
            contact_kept_ms=contact_kept_ms,
            steps_kept_ms=steps_kept_ms,
        )
        self._contacts.buffer = self._references.buffer = rows.buffer
        self._references.told = self._told_references
        self._idle_deletion = rows.wanted_rewrite()
        rows.rollback()

    def _check_master(self, master: MasterKeys) -> None:
        """Check that the master keys are those with which the context in Redis was begun; the first node leaves the proof."""
        key, buffer = f"{self._rows.buffer.base}:check", self._rows.buffer
        proof = master.wrap(bytes(32), _MASTER_PLACE)
        buffer.call(("HSETNX", key, f"v{master.newest_version}", proof))
        [stored] = buffer.call(("HGET", key, f"v{master.newest_version}"))
        try:
            master.unwrap(stored, master.newest_version, _MASTER_PLACE)
        except SealBroken:
            raise ContextCorrupt(
                "the master keys of this node are not those of the customer context in Redis: copy the file "
                "context.master_key_path (context-master.json beside the journal) from the node that began it"
            ) from None

    def _check_format(self) -> None:
        """Note the format in which values are stored from now on. Raises ContextCorrupt where it is that of a later version."""
        key, buffer = f"{self._rows.buffer.base}:check", self._rows.buffer
        [found] = buffer.call(("HGET", key, "format"))
        if found is not None and int(found) > FORMAT:
            raise ContextCorrupt(
                f"the customer context in Redis has format {int(found)}, this version reads formats {FORMATS_READ[0]} to {FORMAT}: "
                "use the version of the other nodes here"
            )
        buffer.call(("HSET", key, "format", FORMAT))

    # --- what the tables are built with --------------------------------------------------------

    def _changes_from(self) -> Callable[[], int]:
        # The server gives the positions when it commits.
        return lambda: 0

    def _new_journeys(self) -> JourneyTable:
        self._shared = SharedJourneys(self._data, self._rows.buffer, key_of=self._key_of)
        return self._shared

    def _load_workspaces(self) -> None:
        for number, name in self._data.execute("SELECT number, name FROM workspace").fetchall():
            if name not in self._workspaces:
                self._workspaces[name] = self._customer_table(number, name)

    def _table(self, workspace: str) -> CustomerTable:
        if workspace not in self._workspaces:
            self._load_workspaces()  # Another node may have begun it.
        return super()._table(workspace)

    def _table_for_reading(self, workspace: str) -> CustomerTable:
        if workspace not in self._workspaces:
            self._load_workspaces()
        return super()._table_for_reading(workspace)

    # --- reading many at once ------------------------------------------------------------------

    def read_ahead(self, workspace: str, *, identities: Sequence[NormalIdentity], customer_ids: Sequence[str]) -> None:
        """Read at once what the operations that follow need of many customers."""
        table, buffer = self._table(workspace), self._rows.buffer
        lookup = self._keys.lookup_key(table.number)
        hashes = {lookup.hash(one.type, one.candidates[0]) for one in identities}
        places = [index_name("identity", "hash", (table.number, hash)) for hash in hashes]
        places += [index_name("customer", "id", (bytes.fromhex(one[2:]),)) for one in set(customer_ids)]
        buffer.load((hash_name("s", (table.number, hash)) for hash in hashes), places)
        read_owners(buffer, places, kinds="cj")

    # --- groups --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a group of operations."""
        self._forget_told()
        self._rows.begin()
        self._journeys.reload()

    def commit(self) -> None:
        """Write what is left of the group and wait until the group is durable. Raises ContextConflict and ContextUnavailable."""
        self._flush()
        self._rows.commit()

    def attempt_began(self) -> None:
        """Write what the group has collected so far; one operation of the group begins. Raises ContextUnavailable."""
        self._flush()
        self._changes_before_attempt, self._writes_before_attempt = len(self._changes), self._writes()

    def attempt_done(self) -> None:
        """Write the changes of the operation. Raises ContextConflict, where it has to be run again, and ContextUnavailable."""
        try:
            self._flush()
        except ContextConflict:
            self._forget_attempt()
            raise

    def attempt_failed(self) -> None:
        """Discard the changes of the operation. Raises ContextConflict where it has failed because of another node."""
        self._forget_attempt()
        self._rows.discard()

    def _flush(self) -> None:
        if self._told or self._told_references or self._told_erased:
            told = _change_encoder.encode([_Announcement(*change, row) for change, row in self._told.items()])
            # A field of their own: a node of an earlier version, beside this one, passes over it.
            references: tuple[str | bytes, ...] = ()
            for field, contacts in (("r", self._told_references), ("x", self._told_erased)):
                if contacts:
                    references += (field, _change_encoder.encode([*contacts]))
            entry = ("MAXLEN", "~", CHANGES_MAX, "*", "node", self._node, "p", told, *references)
            self._rows.buffer.add(("XADD", f"{self._rows.buffer.base}:changes", *entry))
        self._forget_told()
        self._rows.flush()
        self._journeys.reload()

    def _forget_attempt(self) -> None:
        del self._changes[self._changes_before_attempt :]
        self._forget_told()
        self._journeys.reload()
        if self._writes() != self._writes_before_attempt:
            self._keys.forget()
            self._workspaces.clear()

    def _forget_told(self) -> None:
        self._told.clear()
        self._told_references.clear()
        self._told_erased.clear()

    def _try(self, work: Callable[[], T]) -> T:
        """Run work as a group of its own, again where another node comes between. Raises ContextUnavailable."""
        for _ in range(ATTEMPTS_MAX):
            self.begin()
            self.attempt_began()
            try:
                found = work()
                self.attempt_done()
            except ContextConflict:
                continue
            except ContextUnavailable:
                raise
            except (ContextError, ValueError):
                # A mixture of two states can lack a row that a statement expects.
                if self._has_read_a_mixture():
                    continue
                raise
            self.commit()
            return found
        raise ContextUnavailable("other nodes change the same customer all the time")

    def _has_read_a_mixture(self) -> bool:
        """Discard the changes of an operation that failed; return whether it failed because of another node."""
        try:
            self.attempt_failed()
        except ContextConflict:
            return True
        return False

    # --- other nodes ---------------------------------------------------------------------------

    @property
    def poll_s(self) -> float | None:
        """Return how often ``poll`` is to be called."""
        return POLL_S

    def poll(self) -> None:
        """Read what other nodes have changed. Raises ContextUnavailable, also where more was missed than is kept."""
        buffer, key = self._rows.buffer, f"{self._rows.buffer.base}:changes"
        is_late, self._polled_at = time.monotonic() - self._polled_at > _LATE_S, time.monotonic()
        if is_late and self._position != _BEGINNING and not buffer.call(("XRANGE", key, self._position, self._position))[0]:
            raise ContextUnavailable("more customers were changed by other nodes than could be followed")
        while True:
            [reply] = buffer.call(("XREAD", "COUNT", _SLICE, "STREAMS", key, self._position))
            entries = reply[0][1] if reply else []
            for position, fields in entries:
                self._position = position
                found = dict(zip(fields[::2], fields[1::2], strict=True))
                if found[b"node"] != self._node:
                    for change in _change_decoder.decode(found[b"p"]):
                        self._hear(change)
                    for workspace, contact_id in _reference_decoder.decode(found[b"r"]) if b"r" in found else ():
                        self._hear_reference(workspace, contact_id)
                    for workspace, contact_id in _reference_decoder.decode(found[b"x"]) if b"x" in found else ():
                        super()._note_reference_erased(workspace, contact_id)
            if len(entries) < _SLICE:
                return

    def _hear(self, change: _Announcement) -> None:
        """Note a change that another node has told."""
        if change.kind is CustomerChangeKind.ERASED:
            self._keys.drop(change.row)
        super()._note_change(change.workspace, change.customer_id, change.kind)

    def _hear_reference(self, workspace: str, contact_id: str) -> None:
        self._change_count += 1
        self._changes.append(
            ContextChange(
                workspace=workspace,
                customer_id="",
                kind=CustomerChangeKind.REFERENCE,
                number=self._change_count,
                contact_id=contact_id,
            )
        )

    def _note_change(self, workspace: str, customer_id: str, kind: CustomerChangeKind, step: Step | None = None) -> None:
        super()._note_change(workspace, customer_id, kind, step)
        # The step stays here: it is personal, and only the node that has stored it acts on it.
        self._told.setdefault((workspace, customer_id, kind), 0)

    def _changed(self, workspace: str, row: int, kind: CustomerChangeKind = CustomerChangeKind.PROFILE) -> None:
        super()._changed(workspace, row, kind)
        self._told[workspace, self._changes[-1].customer_id, kind] = row

    def _last_change(self) -> bytes:
        [found] = self._rows.buffer.call(("XREVRANGE", f"{self._rows.buffer.base}:changes", "+", "-", "COUNT", 1))
        self._polled_at = time.monotonic()
        return bytes(found[0][0]) if found else _BEGINNING

    # --- erasure and maintenance ---------------------------------------------------------------

    def erase(self, workspace: str, customer_id: str, *, now_ms: int) -> bool:
        """Erase a customer with all members; call outside a group. False: the server rewrites its files, call again.

        The customer is gone for everyone after the first call, also where it returns False.
        """
        deletion = self._deletions.get(customer_id)
        if deletion is None:
            deletion = self._delete(workspace, customer_id, now_ms)
        if not self._rows.is_rewritten(deletion):
            self._deletions[customer_id] = deletion
            return False
        self._deletions.pop(customer_id, None)
        return True

    def _delete(self, workspace: str, customer_id: str, now_ms: int) -> int:
        """Delete a customer, and return the number of the deletion; of the last one where the customer was deleted before."""

        def work() -> None:
            table = self._table_for_reading(workspace)
            members = table.members_of(table.root_of(table.row_of(customer_id)))
            for row in members:
                self._changed(workspace, row, CustomerChangeKind.ERASED)
            self._delete_rows(members, now_ms=now_ms)

        try:
            self._try(work)
        except ErasedCustomer:
            wanted = self._rows.wanted_rewrite()
            if wanted is None:
                raise
            return wanted
        return self._rows.wanted_rewrite() or 0

    def _delete_rows(self, rows: Sequence[int], *, now_ms: int) -> None:
        self._keys.delete(rows)
        self._erasure.delete_rows(rows, now_ms=now_ms)
        self._rows.want_rewrite()

    def erase_references(self, workspace: str, contact_ids: Sequence[str], *, now_ms: int) -> bool:
        """Erase references of contacts without a customer; call outside a group. False: it is not finished, call again.

        They are gone for everyone after the first call. Raises NotErasable where a customer's key seals one of them.
        """
        name = "/".join((workspace, *contact_ids))
        deletion = self._deletions.get(name)
        if deletion is None:

            def work() -> bool:
                if emptied := self._reference_erasure.retire(workspace, contact_ids):
                    self._delete_rows(emptied, now_ms=now_ms)
                return self._references.retired(workspace) is None

            if not self._try(work):
                return False
            deletion = self._rows.wanted_rewrite() or 0
        if not self._rows.is_rewritten(deletion):
            self._deletions[name] = deletion
            return False
        self._deletions.pop(name, None)
        return True

    def _note_reference_erased(self, workspace: str, contact_id: str) -> None:
        super()._note_reference_erased(workspace, contact_id)
        self._told_erased[workspace, contact_id] = None

    def maintain(self, *, now_ms: int) -> None:
        """Fold and expire a slice; call outside a group from time to time. Raises ContextUnavailable."""
        self._load_workspaces()
        for row in self._shared.idle_rows(before_ms=now_ms - IDLE_FOLD_MS, limit=_FOLD_SLICE):
            self._try(lambda row=row: self._shared.fold_idle_row(row, now_ms=now_ms))  # type: ignore[misc]
        self._try(lambda: self._erasure.forget_suppressed(now_ms=now_ms))
        self._try(lambda: self._verifications.expire(now_ms=now_ms, limit=_SLICE))
        for workspace in [*self._workspaces]:
            self._try(lambda name=workspace: self._contacts.expire(name, now_ms=now_ms))  # type: ignore[misc]
        self._try(lambda: self._references.expire(now_ms=now_ms, limit=_SLICE))
        for workspace in [*self._workspaces]:
            if self._try(lambda name=workspace: self._references.retired(name)) is not None:  # type: ignore[misc]
                self.erase_references(workspace, (), now_ms=now_ms)
        self._step_retention = self._try(lambda: self._retire_steps(now_ms))
        if self._try(lambda: self._delete_idle(now_ms)):
            self._idle_deletion = self._rows.wanted_rewrite()
        is_due = self._idle_deletion is not None and time.monotonic() - self._rewritten_at > REWRITE_PAUSE_S
        if is_due and self._rows.is_rewritten(self._idle_deletion or 0):
            self._idle_deletion, self._rewritten_at = None, time.monotonic()

    def _retire_steps(self, now_ms: int) -> StepRetention:
        """Delete steps of types with a time of their own, in a slice; return where the round is then."""
        after = copy(self._step_retention)
        changed = after.expire(now_ms=now_ms, limit=STEP_SLICE)
        names = {table.number: name for name, table in self._workspaces.items()}
        for number, row in changed:
            self._changed(names[number], row)
        return after

    def _delete_idle(self, now_ms: int) -> bool:
        """Delete customers not seen for too long; return whether there were any."""
        idle = self._idle_rows(now_ms)
        if idle:
            self._delete_rows(idle, now_ms=now_ms)
        return bool(idle)
