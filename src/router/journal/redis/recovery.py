"""Opening a store: which workspaces it has, taking them over, verifying their records, and what to do after an accepted loss."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from router.journal.port import JournalOutdated, WorkspaceHistory
from router.journal.records import FORMAT, ChainVerifier, Position, Record, initial_chain
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreError, StoreRefusal
from router.journal.redis.layout import (
    IMPORT_FIELD,
    META_FIELDS,
    EpochIndex,
    Meta,
    WorkspaceKeys,
    directory_key,
    new_owner,
    store_key,
)
from router.journal.redis.lease import LeaseHeld, acquire_leases, held_text, release_leases
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.mark import NodeMark
from router.journal.redis.preflight import ServerUnfit
from router.journal.redis.reading import LogView, newest_record, verify_rows
from router.journal.redis.scripts import INIT, evalsha
from router.journal.redis.shared import FollowedLog
from router.journal.redis.snapshots import IntactSnapshot, load_snapshots
from router.model.errors import JournalCorrupt, JournalTooNew, JournalUnavailable
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

T = TypeVar("T")

# Time beyond the lifetime of a lease in which its holder would have renewed it.
_LEASE_GRACE_S: Final = 2.0
_RETRY_S: Final = 0.25
_STORE_ID_BYTES: Final = 16
# Times that a log is read again from its beginning because its leader archived what was being read.
_FOLLOW_ATTEMPTS: Final = 5


class OpenedWorkspace(Struct, frozen=True):
    """A workspace that this process leads now."""

    log: WorkspaceLog
    history: WorkspaceHistory


class FollowedWorkspace(Struct, frozen=True):
    """A workspace that another node may lead."""

    log: FollowedLog
    history: WorkspaceHistory


class StoreOpening:
    """Opens the store on the thread of the writer."""

    def __init__(self, client: StoreClient, settings: StoreSettings, mark: NodeMark, stopping: threading.Event) -> None:
        self._client = client
        self._settings = settings
        self._mark = mark
        self._stopping = stopping
        self.epochs: dict[WorkspaceId, int] = {}
        """Epochs granted by the last take-over."""
        self.owner = ""
        self.store_id = ""

    def open_all(self) -> list[OpenedWorkspace]:
        """Take over every workspace in the store and verify it. Raises JournalError; nothing is held then."""
        found = self.identify()
        self.take_over(found)
        try:
            opened = [self.open_workspace(workspace, self.epochs[workspace]) for workspace in found]
        except BaseException:
            self.give_back(found)
            raise
        return opened

    def follow_workspace(self, workspace: WorkspaceId) -> FollowedWorkspace:
        """Verify a workspace up to where it ends now; its leader may append and trim meanwhile. Raises JournalError."""
        for attempt in range(_FOLLOW_ATTEMPTS):
            meta = self.meta(workspace)
            if meta is None:
                raise JournalCorrupt(f"workspace {workspace}: the store has lost its log (docs/how-to/redis.md)")
            check_format(f"workspace {workspace}", str(meta.format).encode())
            self._mark.check_history(workspace, meta)
            try:
                return self._follow(workspace, meta)
            except JournalCorrupt:
                # The leader may have replaced the snapshot, or archived the records after it, while they were read.
                now = self.meta(workspace)
                is_same = now is not None and (now.first_seq, now.snapshot_seq) == (meta.first_seq, meta.snapshot_seq)
                if is_same or attempt == _FOLLOW_ATTEMPTS - 1:
                    raise
        raise AssertionError("the loop returns or raises")

    def _follow(self, workspace: WorkspaceId, meta: Meta) -> FollowedWorkspace:
        view = self.view(workspace, meta)
        stored = self.newest_snapshot(workspace, meta)
        verifier = self.call(lambda: self._verify_until(view, meta, stored))
        position = Position(view.epochs.epoch_of(meta.seq) if meta.seq else 0, meta.seq)
        log = FollowedLog(view, verifier, position=position, history_id=meta.history_id, chain=meta.chain)
        history = WorkspaceHistory(
            workspace=workspace,
            history_id=meta.history_id,
            last_position=position,
            snapshot=None if stored is None else stored.snapshot,
            first_seq=meta.first_seq,
            epoch=position.epoch,
            is_led=False,
        )
        return FollowedWorkspace(log, history)

    def make_workspace(self, workspace: WorkspaceId) -> None:
        """Create a workspace where it does not exist yet, without taking it over. Raises JournalError."""
        self.make_store()
        self._make_log(workspace)
        self._add_to_directory(workspace)

    def begin(self) -> None:
        """Choose the owner of this start; call it once the mark is open."""
        assert self._mark.node_id, "the mark of the node is not open"
        self.owner = new_owner(self._mark.node_id)

    def identify(self) -> list[WorkspaceId]:
        """Check which store this is, and return its workspaces in the order of their creation. Raises JournalError."""
        self.begin()
        store = self.fields(store_key(self._settings.prefix))
        self.store_id = store.get("id", b"").decode()
        self._mark.check_store(self.store_id)
        check_no_import(store)
        if store:
            check_format("the store", store.get("fmt", b"0"))
        directory = self.fields(directory_key(self._settings.prefix))
        lost = [name for name in self._mark.workspaces if name not in directory]
        for name in lost:
            self._mark.check_history(name, self.meta(name))
        return sorted(directory, key=lambda name: (int(directory[name]), name))

    def take_over(self, workspaces: Sequence[WorkspaceId], *, is_loss_accepted: bool = False) -> None:
        """Acquire the leases. Raises JournalLocked where another node goes on renewing one, and JournalError."""
        for workspace in () if is_loss_accepted else workspaces:
            meta = self.meta(workspace)
            if meta is None:
                raise JournalCorrupt(f"workspace {workspace}: the store has lost its log (docs/how-to/redis.md)")
            check_format(f"workspace {workspace}", str(meta.format).encode())
            self._mark.check_history(workspace, meta)
        until_s = time.monotonic() + self._settings.lease_s + _LEASE_GRACE_S
        wanted = [(name, self.keys(name), self.highest_epoch(name)) for name in workspaces]
        while True:
            try:
                self.epochs = self.call(
                    lambda: acquire_leases(
                        self._client,
                        wanted,
                        owner=self.owner,
                        lease_s=self._settings.lease_s,
                        ended_owners=f"{self._mark.node_id}.",
                    )
                )
            except LeaseHeld as error:
                if time.monotonic() > until_s or self._stopping.wait(_RETRY_S):
                    raise held_text(error, self._settings.lease_s) from error
            else:
                return

    def give_back(self, workspaces: Sequence[WorkspaceId]) -> None:
        """Release the leases as far as the store can be reached."""
        try:
            release_leases(self._client, [self.keys(name) for name in workspaces], self.owner)
        except StoreError:
            return

    def open_workspace(self, workspace: WorkspaceId, epoch: int) -> OpenedWorkspace:
        """Verify a workspace whose lease is held. Raises JournalError."""
        meta = self.meta(workspace)
        if meta is None:
            raise JournalCorrupt(f"workspace {workspace}: the store has lost its log (docs/how-to/redis.md)")
        view = self.view(workspace, meta)
        stored = self.newest_snapshot(workspace, meta)
        newest = self.call(lambda: self._verify(view, meta, stored))
        if newest is None:
            newest = self.call(lambda: newest_record(self._client, view))
        log = WorkspaceLog(workspace, view.keys, meta, epoch=epoch, owner=self.owner, epochs=view.epochs)
        history = WorkspaceHistory(
            workspace=workspace,
            history_id=meta.history_id,
            last_position=Position(0 if newest is None else newest.epoch, meta.seq),
            snapshot=None if stored is None else stored.snapshot,
            first_seq=meta.first_seq,
            epoch=epoch,
        )
        return OpenedWorkspace(log, history)

    def create_workspace(self, workspace: WorkspaceId) -> OpenedWorkspace:
        """Create a workspace, or take over one whose creation was interrupted. Raises JournalError."""
        self.make_store()
        self._make_log(workspace)
        self.take_over([workspace])
        try:
            opened = self.open_workspace(workspace, self.epochs[workspace])
            self._add_to_directory(workspace)
        except BaseException:
            self.give_back([workspace])
            raise
        return opened

    def _make_log(self, workspace: WorkspaceId) -> None:
        self.make_head(workspace, history_id=secrets.token_hex(16), chain=initial_chain(workspace), seq=0, epoch=0)

    def _add_to_directory(self, workspace: WorkspaceId) -> None:
        name = directory_key(self._settings.prefix)
        number = self.call(lambda: self._client.call(name, "HLEN", name))
        self.call(lambda: self._client.call(name, "HSETNX", name, workspace, number + 1))

    def make_head(self, workspace: WorkspaceId, *, history_id: str, chain: bytes, seq: int, epoch: int) -> None:
        """Make the head of a log that begins after the event ``seq``, where there is none yet. Raises JournalError."""
        keys = self.keys(workspace)
        arguments: tuple[str | bytes | int, ...] = (workspace, history_id, FORMAT, chain, seq, epoch)
        reply = self.call(lambda: self._client.call(keys.meta, *evalsha(INIT, [keys.meta, keys.log], *arguments)))
        if reply[0] not in {b"OK", b"EXISTS"}:
            raise JournalCorrupt(f"workspace {workspace}: the store has records of it, but not the head of its log")

    def make_store(self, *, is_import: bool = False) -> None:
        """Make the keys that identify the store, where they are missing. Raises JournalUnavailable beside an unfinished import."""
        key = store_key(self._settings.prefix)
        if not is_import:
            check_no_import(self.fields(key))
        if not self.store_id:
            self.call(lambda: self._client.call(key, "HSETNX", key, "fmt", FORMAT))
            self.call(lambda: self._client.call(key, "HSETNX", key, "id", secrets.token_hex(_STORE_ID_BYTES)))
            self.store_id = self.fields(key)["id"].decode()

    @property
    def prefix(self) -> str:
        """Return the first part of all key names."""
        return self._settings.prefix

    # --- parts --------------------------------------------------------------------------

    def keys(self, workspace: WorkspaceId) -> WorkspaceKeys:
        """Return the key names of a workspace."""
        return WorkspaceKeys.of(self._settings.prefix, workspace)

    def meta(self, workspace: WorkspaceId) -> Meta | None:
        """Return the head of a log. Raises JournalError."""
        keys = self.keys(workspace)
        reply = self.call(lambda: self._client.call(keys.meta, "HMGET", keys.meta, *META_FIELDS))
        try:
            return Meta.from_reply(reply)
        except ValueError as error:
            raise JournalCorrupt(f"workspace {workspace}: the head of its log is damaged: {error}") from error

    def view(self, workspace: WorkspaceId, meta: Meta) -> LogView:
        """Return what is needed to read a log. Raises JournalError."""
        keys = self.keys(workspace)
        starts = [(int(epoch), int(seq)) for epoch, seq in self.fields(keys.epochs).items()]
        return LogView(workspace, keys, EpochIndex(starts), meta.first_seq, meta.base_chain)

    def newest_snapshot(self, workspace: WorkspaceId, meta: Meta) -> IntactSnapshot | None:
        """Return the newest intact snapshot. Raises JournalCorrupt where one is needed and there is none."""
        keys, ids = self.keys(workspace), {meta.history_id, *meta.former_history_ids}
        seqs = [meta.snapshot_seq, meta.previous_snapshot_seq]
        for stored in self.call(lambda: list(load_snapshots(self._client, keys, ids, seqs))):
            if meta.first_seq - 1 <= stored.snapshot.seq <= meta.seq:
                return stored
        if meta.first_seq > 1:
            raise JournalCorrupt(
                f"workspace {workspace}: no snapshot can be read, and the events before {meta.first_seq} have been archived"
            )
        return None

    def _verify(self, view: LogView, meta: Meta, stored: IntactSnapshot | None) -> Record | None:
        """Verify the records after a snapshot and return the newest one."""
        verifier = view.verifier()
        if stored is not None and stored.snapshot.seq >= view.first_seq:
            verifier.next_seq, verifier.chain = stored.snapshot.seq + 1, stored.chain
        newest: Record | None = None
        for _, record in verify_rows(self._client, view, verifier):
            newest = record
        verifier.check_end(last_seq=meta.seq, chain=meta.chain)
        return newest

    def _verify_until(self, view: LogView, meta: Meta, stored: IntactSnapshot | None) -> ChainVerifier:
        """Verify the records after a snapshot up to where the head says that they end; there may be newer ones already."""
        verifier = view.verifier()
        if stored is not None and stored.snapshot.seq >= view.first_seq:
            verifier.next_seq, verifier.chain = stored.snapshot.seq + 1, stored.chain
        if verifier.next_seq <= meta.seq:
            for row, _ in verify_rows(self._client, view, verifier):
                if row.last_seq >= meta.seq:
                    break
        verifier.check_end(last_seq=meta.seq, chain=meta.chain)
        return verifier

    def highest_epoch(self, workspace: WorkspaceId) -> int:
        """Return the highest epoch of a workspace that this node has seen."""
        seen = self._mark.seen(workspace)
        return 0 if seen is None else seen.epoch

    def fields(self, key: str) -> dict[str, bytes]:
        """Return a hash. Raises JournalError."""
        reply = self.call(lambda: self._client.call(key, "HGETALL", key))
        return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}

    def call(self, work: Callable[[], T]) -> T:
        """Run idempotent work, again where the store cannot be reached for a moment. Raises JournalUnavailable after a while."""
        until_s = time.monotonic() + self._settings.call_timeout_ms / 1_000
        while True:
            try:
                return work()
            except LeaseHeld:
                raise
            except ServerUnfit as error:
                raise JournalUnavailable(str(error)) from error
            except StoreError as error:
                is_final = isinstance(error, StoreRefusal) and not error.is_temporary
                if is_final or time.monotonic() > until_s or self._stopping.wait(_RETRY_S):
                    raise JournalUnavailable(f"the store cannot be used: {error}") from error


def check_no_import(store: Mapping[str, bytes]) -> None:
    """Check that no import into the store was interrupted, given the fields of its key. Raises JournalUnavailable."""
    if IMPORT_FIELD in store:
        raise JournalUnavailable(
            "the store holds an import that is not finished: run `router journal import` again with the same file, or remove what "
            "it has written with `router journal discard-import`"
        )


def check_format(what: str, text: bytes) -> None:
    """Check that something in the store has the format of this version. Raises JournalTooNew or JournalOutdated."""
    version = int(text) if text.isdigit() else 0
    if version > FORMAT:
        raise JournalTooNew(f"{what} has format {version}; this version reads format {FORMAT}")
    if version < FORMAT:
        raise JournalOutdated(f"{what} has format {version}; this version reads format {FORMAT}")
