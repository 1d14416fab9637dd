"""Record every change that a process makes to the files below a directory, in order, for tests of a power failure.

Runs inside the router's process (``tests/integration/recorded_router.py``). SQLite is recorded through a virtual file system that
forwards to the one of the platform, registered with ``ctypes``; everything else through the functions of ``os`` and ``write_at`` of
the journal. So it needs no compiler, no tracer and no privilege. Each entry of the log is one ``write`` to a file opened with
O_APPEND, so that the process, its successors and the test share one log whose order is the order of events. That nothing escapes
the recorder is checked by ``DiskImages.check_complete``: the recorded changes, all applied, must give the files byte for byte.

A write is logged before it is made and a sync after it has returned: at no cut does the log promise more than the disk.

Faults, from the environment: ``KILL_AT_WAL_SYNC=n`` kills the process before the n-th sync of a write-ahead log;
``FAIL_SYNC=n`` makes the n-th one, and only that one, fail with an I/O error; ``KILL_AT_ENTRY=n`` kills it after n entries.
With ``FAULT_FILES``, the beginning of names, all syncs of those SQLite files are counted instead. While the file ``FAULT_WHILE``
exists, those files fail as it says: ``eio``, ``full``, ``stall``, which lasts until the file is gone, or ``slow``: each sync takes
five seconds.
"""

import builtins
import contextlib
import ctypes
import io
import os
import pickle
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_LENGTH: Final = struct.Struct(">I")
_SQLITE_IOERR_FSYNC: Final = 10 | (4 << 8)
_SQLITE_IOERR_WRITE: Final = 10 | (3 << 8)
_SQLITE_FULL: Final = 13
_OPEN_WAL: Final = 0x00080000
_OPEN_MEMORY: Final = 0x00000080
_SLOW_S: Final = 5.0


class Recorder:
    """The log of changes below ``root``."""

    def __init__(self, root: Path, log: Path) -> None:
        self._root = os.fspath(root.absolute())
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._entries = 0
        self._wal_syncs = 0
        self._descriptors: dict[int, str] = {}
        self._kill_at_entry = int(os.environ.get("KILL_AT_ENTRY", 0))
        self._kill_at_sync = int(os.environ.get("KILL_AT_WAL_SYNC", 0))
        self._fail_sync = int(os.environ.get("FAIL_SYNC", 0))
        self._fault_files = os.environ.get("FAULT_FILES", "")
        self._fault_while = os.environ.get("FAULT_WHILE", "")
        self._write = os.write
        self._kill = os.kill

    def covers(self, path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return False
        return os.path.commonpath((os.path.abspath(os.fsdecode(path)), self._root)) == self._root

    def add(self, *entry: Any) -> None:
        """Append an entry."""
        append_entry(self._log, entry, self._write)
        self._entries += 1
        if self._entries == self._kill_at_entry:
            self._kill(os.getpid(), signal.SIGKILL)

    def name(self, path: Any) -> str:
        return os.path.relpath(os.path.abspath(os.fsdecode(path)), self._root)

    def kill_after(self, entries: int) -> None:
        """Kill the process after this many further entries."""
        self._kill_at_entry = self._entries + entries

    def fault(self, name: str) -> int:
        """Return the SQLite error with which an access to a file fails now, 0 for none. Waits while the disk stalls."""
        while self._fault_while and name.startswith(self._fault_files):
            try:
                kind = Path(self._fault_while).read_text()
            except FileNotFoundError:
                return 0
            if kind != "stall":
                return {"eio": _SQLITE_IOERR_WRITE, "full": _SQLITE_FULL, "slow": 0}[kind]
            time.sleep(0.02)
        return 0

    def delay_sync(self, name: str) -> None:
        """Wait before a sync while the disk is slow."""
        if self._fault_while and name.startswith(self._fault_files):
            with contextlib.suppress(FileNotFoundError):
                if Path(self._fault_while).read_text() == "slow":
                    time.sleep(_SLOW_S)

    def on_sync(self, name: str, is_wal: bool) -> bool:
        """Count a sync of a file that may be at fault; return whether it fails. May kill the process."""
        if not (name.startswith(self._fault_files) if self._fault_files else is_wal):
            return False
        self._wal_syncs += 1
        if self._wal_syncs == self._kill_at_sync:
            self._kill(os.getpid(), signal.SIGKILL)
        return self._wal_syncs == self._fail_sync

    def install(self) -> None:
        """Record from now on."""
        self._patch_os()
        from router.journal import files, highwater

        original = files.write_at

        def write_at(descriptor: int, data: bytes, offset: int) -> None:
            if descriptor in self._descriptors:
                self.add("write", self._descriptors[descriptor], offset, bytes(data))
            original(descriptor, data, offset)

        files.write_at = highwater.write_at = write_at  # type: ignore[attr-defined]
        self._vfs = _RecordingVfs(self)

    # --- functions of os ---------------------------------------------------------------

    def _patch_os(self) -> None:
        real_open, real_close = os.open, os.close

        def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
            covered = self.covers(path)
            created = covered and bool(flags & os.O_CREAT) and not os.path.lexists(path)
            descriptor = real_open(path, flags, mode)
            if covered:
                if created:
                    self.add("create", self.name(path))
                if flags & os.O_TRUNC:
                    self.add("truncate", self.name(path), 0)
                self._descriptors[descriptor] = self.name(path)
            return descriptor

        def close(descriptor: int) -> None:
            self._descriptors.pop(descriptor, None)
            real_close(descriptor)

        os.open, os.close = open_, close  # type: ignore[assignment]
        self._wrap_descriptor("pwrite", lambda name, data, offset: self.add("write", name, offset, bytes(data)))
        self._wrap_descriptor("ftruncate", lambda name, size: self.add("truncate", name, size))
        self._wrap_descriptor("posix_fallocate", lambda name, offset, size: self.add("extend", name, offset + size))
        for function in ("fsync", "fdatasync"):
            self._wrap_descriptor(function, lambda name: self.add("sync", name, True), after=True)
        real_write = os.write

        def write(descriptor: int, data: Any) -> int:
            if descriptor in self._descriptors:
                offset = os.lseek(descriptor, 0, os.SEEK_CUR)
                self.add("write", self._descriptors[descriptor], offset, bytes(data))
            return real_write(descriptor, data)

        os.write = write
        for function in ("link", "rename", "replace"):
            self._wrap_two_paths(function)
        self._wrap_path("unlink", "unlink")
        self._wrap_path("remove", "unlink")
        self._wrap_path("mkdir", "mkdir")
        self._wrap_path("rmdir", "rmdir")
        real_builtin = builtins.open

        def refuse(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            assert not (self.covers(file) and set(mode) & set("wax+")), "a file is written in a way that is not recorded"
            return real_builtin(file, mode, *arguments, **named)

        builtins.open = io.open = refuse

    def _wrap_descriptor(self, function: str, note: Callable[..., None], *, after: bool = False) -> None:
        real = getattr(os, function)

        def call(descriptor: Any, *arguments: Any) -> Any:
            name = self._descriptors.get(descriptor)
            if name is not None and not after:
                note(name, *arguments)
            result = real(descriptor, *arguments)
            if name is not None and after:
                note(name, *arguments)
            return result

        setattr(os, function, call)

    def _wrap_path(self, function: str, kind: str) -> None:
        real = getattr(os, function)

        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            covered = self.covers(path) and (os.path.lexists(path) or kind == "mkdir")
            result = real(path, *arguments, **named)
            if covered:
                self.add(kind, self.name(path))
            return result

        setattr(os, function, call)

    def _wrap_two_paths(self, function: str) -> None:
        real = getattr(os, function)

        def call(source: Any, target: Any, **named: Any) -> Any:
            result = real(source, target, **named)
            if self.covers(source):
                self.add("link" if function == "link" else "rename", self.name(source), self.name(target))
            return result

        setattr(os, function, call)


def append_entry(descriptor: int, entry: tuple[Any, ...], write: Callable[[int, bytes], int] = os.write) -> None:
    """Append one entry to a log."""
    data = pickle.dumps(entry)
    write(descriptor, _LENGTH.pack(len(data)) + data)


def read_entries(log: Path) -> list[tuple[Any, ...]]:
    """Return all entries of a log."""
    data, entries, offset = log.read_bytes(), [], 0
    while offset < len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        entries.append(pickle.loads(data[offset + 4 : offset + 4 + length]))  # noqa: S301 - written by this test
        offset += 4 + length
    return entries


# --- SQLite -----------------------------------------------------------------------------

_P: Final = ctypes.c_void_p
# The path is a pointer: SQLite keeps it, and finds parameters of a URI behind it.
_OPEN: Final = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P, ctypes.c_int, _P)
_DELETE: Final = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_char_p, ctypes.c_int)
_WRITE: Final = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int, ctypes.c_int64)
_TRUNCATE: Final = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int64)
_SYNC: Final = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int)
# struct sqlite3_vfs: three integers (padded) and four pointers, then the methods; struct sqlite3_io_methods: an integer, then 18.
_VFS_WORDS: Final = 21
_IO_WORDS: Final = 19
_X_OPEN, _X_DELETE, _NAME = 5, 6, 3
_X_WRITE, _X_TRUNCATE, _X_SYNC = 3, 4, 5


class _RecordingVfs:
    """The virtual file system of the platform with ``xOpen``, ``xDelete``, ``xWrite``, ``xTruncate`` and ``xSync`` recorded."""

    def __init__(self, recorder: Recorder) -> None:
        import _sqlite3

        self._recorder = recorder
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        library.sqlite3_vfs_find.restype = _P
        library.sqlite3_vfs_find.argtypes = (ctypes.c_char_p,)
        library.sqlite3_vfs_register.argtypes = (_P, ctypes.c_int)
        self._original = library.sqlite3_vfs_find(None)
        words: Any = (_P * _VFS_WORDS)()
        ctypes.memmove(words, self._original, ctypes.sizeof(words))
        self._real_open, self._real_delete = _OPEN(words[_X_OPEN]), _DELETE(words[_X_DELETE])
        self._name = ctypes.c_char_p(b"recording")
        self._callbacks: list[Any] = [_OPEN(self._open), _DELETE(self._delete)]
        words[_NAME] = ctypes.cast(self._name, _P).value
        words[_X_OPEN], words[_X_DELETE] = (ctypes.cast(one, _P).value for one in self._callbacks)
        self._words = words
        self._files: dict[int, tuple[str, bool]] = {}
        self._methods: dict[int, Any] = {}
        self._directory_synced: set[int] = set()
        assert library.sqlite3_vfs_register(ctypes.byref(words), 1) == 0

    def _open(self, _vfs: Any, pointer: int | None, file: Any, flags: int, out_flags: Any) -> int:
        path = ctypes.string_at(pointer) if pointer else None
        covered = path is not None and self._recorder.covers(path)
        created = covered and not os.path.lexists(os.fsdecode(path or b""))
        code = self._real_open(self._original, pointer, file, flags, out_flags)
        if code == 0 and covered:
            assert path is not None
            name = self._recorder.name(path)
            if created:
                self._recorder.add("create", name)
            self._files[file] = (name, bool(flags & _OPEN_WAL))
            self._directory_synced.discard(file)
            self._record_methods(file)
        return int(code)

    def _record_methods(self, file: int) -> None:
        pointer = ctypes.cast(file, ctypes.POINTER(_P))
        original = pointer[0]
        assert original is not None
        if original not in self._methods:
            words: Any = (_P * _IO_WORDS)()
            ctypes.memmove(words, original, ctypes.sizeof(words))
            real = _WRITE(words[_X_WRITE]), _TRUNCATE(words[_X_TRUNCATE]), _SYNC(words[_X_SYNC])
            mine = _WRITE(self._on_write(real[0])), _TRUNCATE(self._on_truncate(real[1])), _SYNC(self._on_sync(real[2]))
            for index, method in zip((_X_WRITE, _X_TRUNCATE, _X_SYNC), mine, strict=True):
                words[index] = ctypes.cast(method, _P).value
            self._methods[original] = (words, real, mine)
        pointer[0] = ctypes.addressof(self._methods[original][0])

    def _on_write(self, real: Any) -> Callable[[int, int, int, int], int]:
        def write(file: int, data: int, size: int, offset: int) -> int:
            if fault := self._recorder.fault(self._files[file][0]):
                return fault
            self._recorder.add("write", self._files[file][0], offset, ctypes.string_at(data, size))
            return int(real(file, data, size, offset))

        return write

    def _on_truncate(self, real: Any) -> Callable[[int, int], int]:
        def truncate(file: int, size: int) -> int:
            self._recorder.add("truncate", self._files[file][0], size)
            return int(real(file, size))

        return truncate

    def _on_sync(self, real: Any) -> Callable[[int, int], int]:
        def sync(file: int, flags: int) -> int:
            name, is_wal = self._files[file]
            if fault := self._recorder.fault(name):
                return fault
            self._recorder.delay_sync(name)
            if self._recorder.on_sync(name, is_wal):
                self._recorder.add("sync", name, False)
                return _SQLITE_IOERR_FSYNC
            code = int(real(file, flags))
            self._recorder.add("sync", name, code == 0)
            if is_wal and file not in self._directory_synced:
                # The file system of the platform syncs the directory with the first sync of a log that it has opened.
                self._directory_synced.add(file)
                self._recorder.add("sync", os.path.dirname(name) or ".", True)
            return code

        return sync

    def _delete(self, _vfs: Any, path: bytes, sync_directory: int) -> int:
        covered = self._recorder.covers(path) and os.path.lexists(os.fsdecode(path))
        code = int(self._real_delete(self._original, path, sync_directory))
        if code == 0 and covered:
            name = self._recorder.name(path)
            self._recorder.add("unlink", name)
            if sync_directory:
                self._recorder.add("sync", os.path.dirname(name) or ".", True)
        return code
