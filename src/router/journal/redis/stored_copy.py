"""The content of a store as of one moment, read without leading it: to copy it into files, and to check what was imported.

Nothing is written to the server, and its settings do not matter. The heads are read first; what a router appends afterwards is not
part of the content. Records that are archived meanwhile are missed, which is an error.
"""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.journal.port import Snapshot, WorkspaceHistory
from router.journal.records import CHAIN_BYTES, CommitIndex, Position, Record, WorkspaceTail, base_row, decode_envelope
from router.journal.redis.address import parse_address
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreOptions
from router.journal.redis.layout import Meta, directory_key, store_key
from router.journal.redis.mark import NodeMark
from router.journal.redis.reading import LogView, newest_record, read_rows, verify_rows
from router.journal.redis.recovery import StoreOpening, check_format, check_no_import
from router.journal.redis.snapshots import IntactSnapshot, load_snapshots
from router.journal.sqlite.export import ExportedWorkspace, ExportPlan, Row, SnapshotHeader
from router.journal.sqlite.snapshots import snapshot_header, split_snapshot
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

_NO_EVENT_TEXT: Final = "the store has no journal under store.prefix"


class CopiedWorkspace(Struct, kw_only=True):
    """One workspace as of the moment of the copy."""

    meta: Meta
    view: LogView
    snapshots: list[IntactSnapshot]
    """Newest first."""
    epoch: int = 0
    """Epoch of the newest record."""


class StoredCopy:
    """Access to the content. Used by one thread; every function raises JournalError."""

    def __init__(self, settings: StoreSettings, data_directory: Path) -> None:
        """``data_directory`` may hold the mark of a node, with which the store is compared. Raises SettingsInvalid."""
        assert settings.url is not None
        address = parse_address(settings.url)
        self._settings = settings
        self._client = StoreClient(address, StoreOptions.of(settings, address))
        self._mark = NodeMark(data_directory)
        self._opening = StoreOpening(self._client, settings, self._mark, threading.Event())
        self.workspaces: dict[WorkspaceId, CopiedWorkspace] = {}
        self._parts: list[bytes] = []

    def open(self, *, is_used: bool = False) -> list[WorkspaceHistory]:
        """Read the heads and the snapshots of all workspaces.

        ``is_used``: a router may lead the store meanwhile. Raises JournalLocked where one does and may not.
        """
        mark = self._mark.read_only()
        store = self._opening.fields(store_key(self._settings.prefix))
        mark.check_store(store.get("id", b"").decode())
        check_no_import(store)
        directory = self._opening.fields(directory_key(self._settings.prefix))
        mark.check_lost(directory)
        if not directory:
            raise JournalUnavailable(f"{_NO_EVENT_TEXT} {self._settings.prefix}: check store.url and store.prefix")
        check_format("the store", store.get("fmt", b"0"))
        names = sorted(directory, key=lambda name: (int(directory[name]), name))
        if not is_used:
            self.check_unused(names)
        for name in names:
            meta = self._meta(name)
            mark.check_history(name, meta)
        return [self.add(name, self._meta(name)) for name in names]

    def add(self, workspace: WorkspaceId, meta: Meta) -> WorkspaceHistory:
        """Add a workspace as it is at this moment and return its history."""
        view = self._opening.view(workspace, meta)
        needed = self._opening.newest_snapshot(workspace, meta)
        seqs = [seq for seq in (meta.snapshot_seq, meta.previous_snapshot_seq) if meta.first_seq - 1 <= seq <= meta.seq]
        ids = {meta.history_id, *meta.former_history_ids}
        found = self._opening.call(lambda: list(load_snapshots(self._client, view.keys, ids, seqs)))
        copied = self.workspaces[workspace] = CopiedWorkspace(meta=meta, view=view, snapshots=found)
        newest = self._opening.call(lambda: newest_record(self._client, view))
        copied.epoch = meta.epoch if newest is None else newest.epoch
        return WorkspaceHistory(
            workspace=workspace,
            history_id=meta.history_id,
            last_position=Position(copied.epoch, meta.seq),
            snapshot=None if needed is None else needed.snapshot,
            first_seq=meta.first_seq,
        )

    def check_unused(self, workspaces: list[WorkspaceId]) -> None:
        """Check that no router holds a lease. Raises JournalLocked."""
        for name in workspaces:
            keys = self._opening.keys(name)
            holder = self._opening.call(lambda: self._client.call(keys.lease, "GET", keys.lease))  # noqa: B023 - called at once
            if holder:
                node = holder.decode().partition(".")[0]
                raise JournalLocked(
                    f"workspace {name}: the router of node {node} uses this store; stop it (its lease ends "
                    f"{self._settings.lease_s} s after it has died), or copy what it has written so far with --running"
                )

    def check_unchanged(self) -> None:
        """Check that nothing was written since ``open``. Raises JournalLocked."""
        self.check_unused(list(self.workspaces))
        for name, one in self.workspaces.items():
            meta = self._meta(name)
            if (meta.epoch, meta.seq, meta.chain) != (one.meta.epoch, one.meta.seq, one.meta.chain):
                raise JournalLocked(f"workspace {name}: a router was started on this store during the copy; stop it and try again")

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the verified records after ``after_seq`` in order."""
        one = self.workspaces[workspace]
        verifier = one.view.verifier()
        for _, record in verify_rows(self._client, one.view, verifier):
            if record.first_seq > after_seq:
                yield record
            if record.last_seq >= one.meta.seq:
                break
        verifier.check_end(last_seq=one.meta.seq, chain=one.meta.chain)

    async def load_snapshots(self, workspace: WorkspaceId) -> list[Snapshot]:
        """Return the intact snapshots, newest first."""
        return [stored.snapshot for stored in self.workspaces[workspace].snapshots]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- as the source of an export ----------------------------------------------------------

    def plan(self) -> ExportPlan:
        """Return the plan of a complete journal in files."""
        exported = [self._exported(number, name) for number, name in enumerate(self.workspaces, start=1)]
        digests = 0
        for one in exported:
            digests ^= one.tail.digest
        index = CommitIndex(number=0, chain=secrets.token_bytes(CHAIN_BYTES), digests=digests)
        row = index.append_row(at_ms=0, count=0)
        return ExportPlan(mark=index.mark, commit_row=row, workspaces=exported)

    def _exported(self, number: int, workspace: WorkspaceId) -> ExportedWorkspace:
        one = self.workspaces[workspace]
        first_seq, chain = one.meta.first_seq, one.meta.base_chain
        tail = WorkspaceTail(
            number=number,
            workspace=workspace,
            history_id=one.meta.history_id,
            chain=one.meta.chain,
            last_seq=one.meta.seq,
            epoch=one.epoch,
            first_seq=first_seq,
            base_chain=chain if first_seq > 1 else None,
        )
        tail.digest = tail.compute_digest()
        base = base_row(number, first_seq, chain, one.epoch) if first_seq > 1 else None
        headers: list[SnapshotHeader] = [snapshot_header(number, stored.snapshot, stored.chain) for stored in one.snapshots]
        return ExportedWorkspace(tail=tail, first_seq=first_seq, base=base, snapshots=headers)

    def read_rows(self, number: int, first_key: int, last_seq: int, limit: int) -> list[Row]:
        """Return records as they are stored, at most up to the end of the copy."""
        one = [*self.workspaces.values()][number - 1]
        # The key may be an event inside the last record read, which then comes again.
        found = self._opening.call(lambda: read_rows(self._client, one.view, from_seq=first_key, limit=limit + 1))
        keyed = [(number, decode_envelope(row.data).seq, row.data) for row in found if row.last_seq <= last_seq]
        rows = [row for row in keyed if row[1] >= first_key][:limit]
        if not rows and first_key == one.meta.first_seq:
            raise JournalCorrupt(f"workspace {one.view.workspace}: the records from event {first_key} on are not in the store")
        return rows

    def read_part(self, number: int, seq: int, part: int) -> bytes | None:
        """Return a part of a snapshot, None after the last one."""
        one = [*self.workspaces.values()][number - 1]
        if part == 0:
            [snapshot] = [stored.snapshot for stored in one.snapshots if stored.snapshot.seq == seq]
            self._parts = list(split_snapshot(snapshot))
        return self._parts[part] if part < len(self._parts) else None

    def _meta(self, workspace: WorkspaceId) -> Meta:
        meta = self._opening.meta(workspace)
        if meta is None:
            raise JournalCorrupt(f"workspace {workspace}: the store has lost its log (docs/how-to/redis.md)")
        check_format(f"workspace {workspace}", str(meta.format).encode())
        return meta
