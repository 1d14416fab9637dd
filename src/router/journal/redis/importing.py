"""Import of a journal from files into an empty store.

Until the import is complete, the key of the store names it (``IMPORT_FIELD``), and each start and each creation of a workspace
refuses such a store, so that no router serves a part of it. The records are appended by the same scripts as those of a router, at
positions and with chain values that are compared. An import that was interrupted therefore goes on where the store ends; that it is
the same journal is compared by a digest over all workspaces.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from router.journal.port import Snapshot, WorkspaceHistory
from router.journal.records import WorkspaceTail, decode_envelope, initial_chain
from router.journal.redis.address import parse_address
from router.journal.redis.appender import Appender, WaitRule
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreConnection, StoreOptions, StoreRefusal
from router.journal.redis.layout import IMPORT_FIELD, Meta, directory_key, store_key
from router.journal.redis.lease import LeaseRenewal
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.mark import NodeMark, SeenPosition
from router.journal.redis.preflight import prepare_connection
from router.journal.redis.recovery import StoreOpening
from router.journal.redis.snapshots import begin_snapshot, commit_snapshot, delete_snapshot, split_snapshot, write_part
from router.journal.redis.stored_copy import StoredCopy
from router.model.errors import JournalCorrupt, JournalError, JournalUnavailable
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

_BATCH_RECORDS: Final = 512
_DELETED_ENTRIES: Final = 10_000


class ImportedWorkspace(Struct, kw_only=True):
    """A workspace of the journal that is imported."""

    tail: WorkspaceTail
    read_rows: Callable[[int], Iterator[bytes]]
    """Records after an event, as they are stored."""
    snapshots: list[tuple[Snapshot, bytes]]
    """With the chain value after each; the oldest first."""

    @property
    def first_chain(self) -> bytes:
        """Return the chain value before the first record."""
        return initial_chain(self.tail.workspace) if self.tail.base_chain is None else self.tail.base_chain


class ImportMarker(Struct, frozen=True, kw_only=True):
    """What the key of the store says while an import is not finished."""

    digest: str
    """Digest over all workspaces and where they end."""
    workspaces: tuple[WorkspaceId, ...]

    @classmethod
    def of(cls, workspaces: list[ImportedWorkspace]) -> "ImportMarker":
        """Return the marker for these workspaces."""
        digest = blake2b(digest_size=16)
        for one in workspaces:
            tail = one.tail
            digest.update(f"{tail.workspace} {tail.history_id} {tail.first_seq} {tail.last_seq} ".encode() + tail.chain)
        return cls(digest=digest.hexdigest(), workspaces=tuple(one.tail.workspace for one in workspaces))


class StoreImport:
    """Writes into a store; used by one thread. Every function raises JournalError."""

    def __init__(self, settings: StoreSettings, data_directory: Path) -> None:
        """``data_directory`` gets the mark of this node. Raises SettingsInvalid."""
        assert settings.url is not None
        self._settings = settings
        address = parse_address(settings.url)
        options = StoreOptions.of(settings, address)

        def prepare(connection: StoreConnection) -> None:
            prepare_connection(connection, address, settings)

        self._stopping = threading.Event()
        self._client = StoreClient(address, options, on_connect=prepare)
        self._mark = NodeMark(data_directory)
        self._data_directory = data_directory
        self._opening = StoreOpening(self._client, settings, self._mark, self._stopping)
        self._appender = Appender(self._client, settings.durability, outage_s=float(settings.outage_s_max), stopping=self._stopping)
        self._leases = LeaseRenewal(
            StoreClient(address, options, on_connect=prepare), lease_s=settings.lease_s, on_lost=self._note_lost
        )
        self._lost: JournalError | None = None
        self._logs: dict[WorkspaceId, WorkspaceLog] = {}
        self.copy = StoredCopy(settings, data_directory)
        """What the store has after ``write``."""

    def open(self) -> None:
        """Take the lock of the data directory."""
        self._mark.open()
        self._opening.begin()

    def close(self) -> None:
        """Give the leases and the lock back, and close the connections. Idempotent."""
        self._stopping.set()
        self._leases.stop()
        self._opening.give_back(list(self._logs))
        self._logs = {}
        self.copy.close()
        self._client.close()
        self._mark.close()

    # --- importing -------------------------------------------------------------------------

    def write(self, workspaces: list[ImportedWorkspace], *, on_progress: Callable[[float], None]) -> list[WorkspaceHistory]:
        """Write what the store lacks and return the histories as the store has them; they are not served yet."""
        marker = ImportMarker.of(workspaces)
        self._begin(marker)
        for one in workspaces:
            tail = one.tail
            self._opening.make_head(
                tail.workspace, history_id=tail.history_id, chain=one.first_chain, seq=tail.first_seq - 1, epoch=tail.epoch
            )
        heads = {one.tail.workspace: self._checked_head(one) for one in workspaces}
        self._opening.take_over(marker.workspaces)
        for one in workspaces:
            self._lead(one.tail.workspace, heads[one.tail.workspace])
        self._leases.start()
        total = sum(one.tail.last_seq - one.tail.first_seq + 1 for one in workspaces) or 1
        done = 0
        for one in workspaces:
            for count in self._write_records(one):
                done += count
                on_progress(done / total)
            self._write_snapshots(one)
        return [self.copy.add(name, self._head(name)) for name in marker.workspaces]

    def finish(self) -> None:
        """Make the imported workspaces part of the store, as durable as the settings ask for."""
        key, names = directory_key(self._settings.prefix), list(self._logs)
        for number, name in enumerate(names, start=1):
            self._opening.call(partial(self._client.call, key, "HSETNX", key, name, number))
        self._check_leases()
        store, rule = store_key(self._settings.prefix), WaitRule.of(self._settings.durability)

        def remove_marker() -> None:
            requests = [Request(store, ("HDEL", store, IMPORT_FIELD))]
            replies, waits = self._client.run_and_wait(requests, rule.commands, wait_s=1.0)
            for reply in replies:
                if isinstance(reply, StoreRefusal):
                    raise reply
            for reply in waits:
                rule.check(reply)

        self._opening.call(remove_marker)
        positions = {
            name: SeenPosition(history_id=log.history_id, epoch=log.epoch, seq=log.confirmed.seq, chain=log.confirmed_chain)
            for name, log in self._logs.items()
        }
        self._mark.write(self._opening.store_id, positions)

    def _begin(self, marker: ImportMarker) -> None:
        """Note the import in the store, or find that it is the one that was interrupted."""
        key = store_key(self._settings.prefix)
        store = self._opening.fields(key)
        self._mark.check_store(store.get("id", b"").decode())
        if IMPORT_FIELD not in store:
            found = self._opening.fields(directory_key(self._settings.prefix))
            used = [*found, *(name for name in marker.workspaces if name not in found and self._opening.meta(name) is not None)]
            if used:
                raise JournalUnavailable(
                    f"the store has a journal already (workspaces {', '.join(used[:5])}); import into an empty one: choose another "
                    "store.prefix or another server"
                )
            data = msgspec.json.encode(marker)
            self._opening.call(lambda: self._client.call(key, "HSETNX", key, IMPORT_FIELD, data))
            store = self._opening.fields(key)
        if _parse_marker(store.get(IMPORT_FIELD, b"")) != marker:
            raise JournalUnavailable(
                "the store holds an unfinished import of another journal: import the same file again, or remove what it has "
                "written with `router journal discard-import`"
            )
        self._opening.make_store(is_import=True)

    def _checked_head(self, one: ImportedWorkspace) -> Meta:
        """Return the head of a log, which must be a position of the imported journal."""
        tail, head = one.tail, self._head(one.tail.workspace)
        if head.seq == tail.last_seq:
            chain = tail.chain
        elif head.seq == tail.first_seq - 1:
            chain = one.first_chain
        else:
            envelope = next(map(decode_envelope, one.read_rows(head.seq)), None)
            chain = envelope.previous_chain if envelope is not None and envelope.seq == head.seq + 1 else b""
        if head.history_id != tail.history_id or head.chain != chain:
            raise JournalCorrupt(
                f"workspace {tail.workspace}: the store ends at event {head.seq}, which is not one of this journal"
            )
        return head

    def _lead(self, workspace: WorkspaceId, head: Meta) -> None:
        epochs = self._opening.view(workspace, head).epochs
        log = WorkspaceLog(
            workspace,
            self._opening.keys(workspace),
            head,
            epoch=self._opening.epochs[workspace],
            owner=self._opening.owner,
            epochs=epochs,
        )
        self._logs[workspace] = log
        self._appender.add(log)
        self._leases.add(log)

    def _write_records(self, one: ImportedWorkspace) -> Iterator[int]:
        """Append the records that the store lacks; yields the number of events of each batch."""
        log = self._logs[one.tail.workspace]
        yield log.confirmed.seq - one.tail.first_seq + 1
        pending = 0
        for data in one.read_rows(log.confirmed.seq):
            envelope = decode_envelope(data)
            log.adopt(envelope.last_seq, envelope.chain, data)
            pending += 1
            if pending == _BATCH_RECORDS:
                yield self._append(log)
                pending = 0
        yield self._append(log)

    def _append(self, log: WorkspaceLog) -> int:
        self._check_leases()
        before = log.confirmed.seq
        self._appender.append([log])
        return log.confirmed.seq - before

    def note_heartbeat(self) -> None:
        """Note that the import goes on, so that its leases are renewed."""
        self._leases.note_heartbeat()

    def _check_leases(self) -> None:
        self.note_heartbeat()
        if self._lost is not None:
            raise self._lost

    def _write_snapshots(self, one: ImportedWorkspace) -> None:
        log = self._logs[one.tail.workspace]
        for snapshot, chain in one.snapshots:
            self._check_leases()
            parts = list(split_snapshot(snapshot))
            if not self._opening.call(partial(begin_snapshot, self._client, log, snapshot.seq, len(parts))):
                continue
            for number, data in enumerate(parts):
                self._opening.call(partial(write_part, self._client, log.keys, snapshot.seq, number, data))
            self._opening.call(partial(commit_snapshot, self._client, log, snapshot, chain, len(parts)))

    # --- discarding ------------------------------------------------------------------------

    def discard(self) -> list[WorkspaceId]:
        """Remove what an unfinished import has written and return the names of its workspaces."""
        key, directory = store_key(self._settings.prefix), directory_key(self._settings.prefix)
        marker = _parse_marker(self._opening.fields(key).get(IMPORT_FIELD, b""))
        if marker is None:
            raise JournalUnavailable("the store holds no unfinished import; nothing was removed")
        found = [name for name in marker.workspaces if self._opening.meta(name) is not None]
        self._opening.take_over(found, is_loss_accepted=True)
        for name in found:
            self._remove(name)
        for name in marker.workspaces:
            self._opening.call(partial(self._client.call, directory, "HDEL", directory, name))
        self._opening.call(lambda: self._client.call(key, "HDEL", key, IMPORT_FIELD))
        return list(marker.workspaces)

    def _remove(self, workspace: WorkspaceId) -> None:
        keys, head = self._opening.keys(workspace), self._head(workspace)
        for seq in {head.snapshot_seq, head.previous_snapshot_seq} - {0}:
            self._opening.call(partial(delete_snapshot, self._client, keys, seq))
        unfinished = self._opening.fields(keys.meta).get("snap_new", b"").split()
        for part in range(int(unfinished[1]) if unfinished else 0):
            self._opening.call(partial(self._client.call, keys.meta, "DEL", keys.snapshot_part(int(unfinished[0]), part)))
        # In steps, because a large deletion blocks the server.
        trim = partial(self._client.call, keys.log, "XTRIM", keys.log, "MAXLEN", "~", 0, "LIMIT", _DELETED_ENTRIES)
        while self._opening.call(trim):
            pass
        self._opening.call(lambda: self._client.call(keys.meta, "DEL", keys.log, keys.epochs, keys.meta, keys.lease))

    # --- parts -----------------------------------------------------------------------------

    def _head(self, workspace: WorkspaceId) -> Meta:
        meta = self._opening.meta(workspace)
        if meta is None:
            raise JournalCorrupt(f"workspace {workspace}: the store has lost its log during the import")
        return meta

    def _note_lost(self, error: JournalError) -> None:
        self._lost = error


def _parse_marker(data: bytes) -> ImportMarker | None:
    try:
        return msgspec.json.decode(data, type=ImportMarker) if data else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalCorrupt(f"the note of an import in the store is damaged: {error}") from error
