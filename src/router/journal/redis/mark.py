"""What this node remembers of the store, in its own data directory: which node it is, and how far it has seen each history go.

The mark is evidence outside the store. A store that was emptied, put back from an older copy, or failed over to a replica that
lacked the newest records looks intact by itself; compared with the mark it does not, and the start is refused. The lock says that
no other process uses this data directory, so the leases that an earlier process of this node held can be taken at once.
"""

import fcntl
import os
import secrets
import socket
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from router.journal.files import FILE_MODE, fsync_directory, prepare_directory, scratch_path
from router.journal.redis.layout import Meta
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from router.model.states import WorkspaceId

_LOCK_FILE: Final = "store.lock"
_MARK_FILE: Final = "store.mark"
_HOW_TO: Final = "put the newest copy of the store back, or start once with --accept-history-loss (docs/how-to/redis.md)"


class SeenPosition(Struct, frozen=True, kw_only=True):
    """The newest position of a workspace that was acknowledged here."""

    history_id: str
    epoch: int
    seq: int
    chain: bytes


class NodeFile(Struct, kw_only=True):
    """The content of the mark."""

    node_id: str
    host: str = ""
    """Name of the machine; a directory that was copied to another one gets another id."""
    store_id: str = ""
    workspaces: dict[WorkspaceId, SeenPosition] = {}


class NodeMark:
    """The mark and the lock of a node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None
        self._file = NodeFile(node_id="")
        self._written = b""
        self._writing = threading.Lock()

    @property
    def node_id(self) -> str:
        """Return the id of this node, which stays the same over its starts."""
        return self._file.node_id

    @property
    def store_id(self) -> str:
        """Return the id of the store that this node used last; empty: none."""
        return self._file.store_id

    def seen(self, workspace: WorkspaceId) -> SeenPosition | None:
        """Return the newest known position of a workspace."""
        return self._file.workspaces.get(workspace)

    @property
    def workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that this node has seen in the store."""
        return list(self._file.workspaces)

    def open(self) -> None:
        """Take the lock and read the mark, or make both. Raises JournalLocked, JournalUnavailable or JournalCorrupt."""
        prepare_directory(self._directory)
        path = self._directory / _LOCK_FILE
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise JournalLocked(f"{path}: another router uses this data directory; give each its own (--data)") from None
        except OSError as error:
            self.close()
            raise JournalUnavailable(f"{path}: cannot be opened ({error.strerror})") from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def read_only(self) -> "NodeMark":
        """Read the mark where there is one, also while another process writes it. Raises JournalUnavailable or JournalCorrupt."""
        if (self._directory / _MARK_FILE).exists():
            self._read()
        return self

    def close(self) -> None:
        """Release the lock. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, store_id: str, positions: Mapping[WorkspaceId, SeenPosition]) -> None:
        """Replace the mark where something has changed. Raises JournalUnavailable."""
        with self._writing:
            self._file.store_id = store_id
            self._file.workspaces = {**self._file.workspaces, **positions}
            self._write_file()

    def forget(self, workspace: WorkspaceId | None = None) -> None:
        """Forget a workspace, or the whole store, whose loss the operator has accepted."""
        if workspace is None:
            self._file.store_id, self._file.workspaces = "", {}
        else:
            self._file.workspaces.pop(workspace, None)
        self._write_file()

    def check_store(self, store_id: str) -> None:
        """Check that the store is the one that this node used before. Raises JournalCorrupt. Empty: the store is new."""
        if self.store_id and store_id != self.store_id:
            found = "is empty" if not store_id else "is another one"
            raise JournalCorrupt(f"the store {found}, but this node has seen events of its journal: {_HOW_TO}")

    def check_lost(self, found: Collection[WorkspaceId]) -> None:
        """Check that every workspace that this node has seen is among those found. Raises JournalCorrupt."""
        for name in self._file.workspaces:
            if name not in found:
                self.check_history(name, None)

    def check_history(self, workspace: WorkspaceId, meta: Meta | None) -> None:
        """Check that a history is not shorter than this node has seen it, and not another one. Raises JournalCorrupt."""
        seen = self.seen(workspace)
        if seen is None:
            return
        if meta is None:
            raise JournalCorrupt(f"workspace {workspace}: the store has lost its log; it had events up to {seen.seq}: {_HOW_TO}")
        if seen.history_id != meta.history_id:
            if seen.history_id in meta.former_history_ids:
                return
            raise JournalCorrupt(f"workspace {workspace}: the store has another history than this node has seen: {_HOW_TO}")
        if meta.seq < seen.seq:
            raise JournalCorrupt(
                f"workspace {workspace}: the store ends at event {meta.seq}, but event {seen.seq} was acknowledged: {_HOW_TO}"
            )
        if meta.seq == seen.seq and meta.chain != seen.chain:
            raise JournalCorrupt(f"workspace {workspace}: event {seen.seq} of the store is not the one acknowledged: {_HOW_TO}")

    def _read(self) -> None:
        path = self._directory / _MARK_FILE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            self._rename()
            return
        except OSError as error:
            raise JournalUnavailable(f"{path}: cannot be read ({error.strerror})") from error
        try:
            self._file = msgspec.json.decode(data, type=NodeFile)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalCorrupt(f"{path}: the file is damaged; it is no part of the history: {_HOW_TO}") from error
        self._written = data
        if self._lock is not None and self._file.host != socket.gethostname():
            self._rename()

    def _rename(self) -> None:
        self._file.node_id, self._file.host = secrets.token_hex(8), socket.gethostname()
        self._write_file()

    def _write_file(self) -> None:
        data = msgspec.json.encode(self._file)
        if data == self._written:
            return
        path = self._directory / _MARK_FILE
        scratch = scratch_path(path)
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            try:
                os.write(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            scratch.rename(path)
            fsync_directory(self._directory)
        except OSError as error:
            raise JournalUnavailable(f"{path}: cannot be written ({error.strerror})") from error
        self._written = data
