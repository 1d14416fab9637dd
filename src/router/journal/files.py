"""The files of a journal: paths, permissions, and the disk space reserved for a clean shutdown."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.model.errors import JournalUnavailable

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
_REWRITE_BYTES: Final = 1_048_576


class JournalPaths(Struct, frozen=True):
    """The paths of one journal. All files together form the journal: a copy of the database alone is incomplete."""

    database: Path

    @property
    def wal(self) -> Path:
        """Return the path of the write-ahead log of SQLite."""
        return self.database.with_name(self.database.name + "-wal")

    @property
    def high_water(self) -> Path:
        """Return the path of the high-water mark, which also holds the lock."""
        return self.database.with_name(self.database.name + ".hwm")

    @property
    def reserved(self) -> Path:
        """Return the path of the file that reserves disk space for a clean shutdown on a full disk."""
        return self.database.with_name(self.database.name + ".reserved")

    @property
    def control(self) -> Path:
        """Return the path of the socket on which the running router takes maintenance commands."""
        return self.database.with_name(self.database.name + ".control")

    @property
    def creation(self) -> Path:
        """Return the path at which a new database is built before it is renamed into place."""
        return self.database.with_name(self.database.name + ".new")

    @property
    def migration(self) -> Path:
        """Return the path of the working directory of a migration."""
        return self.database.with_name(self.database.name + ".migrating")

    @property
    def migration_marker(self) -> Path:
        """Return the path of the file that exists while only the swap of a migration remains to be done."""
        return self.migration / "ready.json"


def prepare_directory(directory: Path) -> None:
    """Create the directory with mode 0700 where it is missing; an existing one keeps its mode.

    Raises JournalUnavailable where it cannot be created or written to.
    """
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise JournalUnavailable(f"{directory}: is not a directory") from None
    except OSError as error:
        raise JournalUnavailable(f"{directory}: the directory cannot be created ({error.strerror})") from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise JournalUnavailable(f"{directory}: this user has no permission to read and write in the directory")


def check_regular_file(path: Path) -> bool:
    """Return whether the file exists. Raises JournalUnavailable for a symbolic link, a directory or a file without access."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalUnavailable(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(mode):
        raise JournalUnavailable(f"{path}: is not a regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise JournalUnavailable(f"{path}: this user has no permission to read and write the file")
    return True


def create_private_file(path: Path) -> None:
    """Create an empty file with mode 0600, before SQLite would create one with the process's umask."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE))
    fsync_directory(path.parent)


def replace_private_file(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 in place of an earlier one, atomically and durably. Raises OSError."""
    prepare_directory(path.parent)
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    scratch.replace(path)
    fsync_directory(path.parent)


def scratch_path(path: Path) -> Path:
    """Return the path at which this process builds a file before it is linked or renamed to ``path``."""
    return path.with_name(f"{path.name}.{os.getpid()}.new")


def remove_abandoned_scratch(path: Path) -> None:
    """Remove what processes that have ended left at their ``scratch_path``."""
    for scratch in path.parent.glob(f"{path.name}.*.new"):
        number = scratch.name.removeprefix(f"{path.name}.").removesuffix(".new")
        if number.isdigit() and not Path("/proc", number).exists():
            scratch.unlink(missing_ok=True)


def restrict_to_owner(path: Path) -> None:
    """Remove the permissions of group and others from a file."""
    if stat.S_IMODE(path.lstat().st_mode) & 0o077:
        path.chmod(FILE_MODE)


def sync_file(path: Path) -> None:
    """Force a file to disk where it exists, including what other processes have written to it.

    Never for a database that this process has opened: closing the descriptor would release the locks of SQLite.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rewrite_file(path: Path) -> None:
    """Write the content of a file over itself and sync it; do nothing where there is no file. Blocks for its length.

    After a sync that failed, the operating system still returns what was written but considers it as stored, so that no later
    sync stores it. Written again, it is. Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        offset = 0
        while data := os.pread(descriptor, _REWRITE_BYTES, offset):
            offset += os.pwrite(descriptor, data, offset)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory_path(directory: Path) -> None:
    """Force a directory to disk, and its parents as far as this user may open them.

    An earlier process may have created any of them and ended before it had synced the entry.
    """
    fsync_directory(directory)
    for parent in directory.parents:
        try:
            fsync_directory(parent)
        except OSError:
            # Not readable, or on a file system that cannot be synced: such a directory was not created by this user.
            return


def fsync_directory(directory: Path) -> None:
    """Force the entries of a directory to disk: without them a new file is lost in a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_libc: Final = ctypes.PyDLL(None, use_errno=True)
_libc.pwrite.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64)
_libc.pwrite.restype = ctypes.c_ssize_t


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write bytes at a position without releasing the interpreter lock; for a few bytes that go to the page cache.

    ``os.pwrite`` releases the lock and has to acquire it again, which takes up to a switch interval while the event loop is busy. A
    memory map would not, but it turns an I/O error, or a file that was shortened meanwhile, into a signal that kills the process.
    """
    while (written := _libc.pwrite(descriptor, data, len(data), offset)) != len(data):
        number = ctypes.get_errno()
        if written < 0 and number != errno.EINTR:
            raise OSError(number, os.strerror(number))
        if written > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FileWatch:
    """Notice that files which this process has open were removed, replaced or shortened by another one.

    A process can go on writing to a file that has no name any more, or whose name belongs to another file; everything that it
    acknowledges meanwhile is lost with it. A check costs a system call for each file. A quick one costs one for the directory,
    whose time of change tells that a name was added, removed or moved since the last check.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Start with the files as they are now. Raises OSError where one is missing."""
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._directory = ""
        self._directory_changed_ns = -1
        for path in paths:
            found = os.stat(path)
            self._seen[os.fspath(path)] = (found.st_dev, found.st_ino, found.st_size)
            self._directory = os.fspath(path.parent)

    def find_change(self, *, quick: bool = False) -> str | None:
        """Return what has happened to a file that must not happen while it is in use, None where all is well."""
        try:
            changed_ns = os.stat(self._directory).st_mtime_ns
        except OSError:
            changed_ns = -1
        if quick and changed_ns == self._directory_changed_ns != -1:
            return None
        self._directory_changed_ns = changed_ns
        for path, (device, inode, size) in self._seen.items():
            try:
                found = os.stat(path)
            except FileNotFoundError:
                return f"{path}: the file was removed while the router was running"
            except OSError as error:
                return f"{path}: the file cannot be examined any more ({error.strerror})"
            if (found.st_dev, found.st_ino) != (device, inode):
                return f"{path}: the file was replaced by another one while the router was running"
            if found.st_size != size:
                if found.st_size < size:
                    return f"{path}: the file was shortened while the router was running"
                self._seen[path] = (device, inode, found.st_size)
        return None


def file_size(path: Path) -> int:
    """Return the size in bytes, 0 for a missing file, without opening the file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def reserve_disk_space(path: Path, size: int) -> None:
    """Allocate ``size`` bytes of disk space in a file. Raises JournalUnavailable where the disk has less space left."""
    if size <= 0 or (path.exists() and path.lstat().st_size == size):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        os.ftruncate(descriptor, 0)
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise JournalUnavailable(
            f"{path.parent}: the disk is full; {size:,} bytes must be free, reserved for a clean shutdown"
        ) from error
    finally:
        os.close(descriptor)


def release_disk_space(path: Path) -> None:
    """Free the reserved disk space."""
    path.unlink(missing_ok=True)
