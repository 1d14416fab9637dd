"""The files of a journal: paths, permissions, and the disk space reserved for a clean shutdown."""

import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.model.errors import JournalUnavailable

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


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
    def migration(self) -> Path:
        """Return the path of the working directory of a migration."""
        return self.database.with_name(self.database.name + ".migrating")

    @property
    def migration_marker(self) -> Path:
        """Return the path of the file that exists while only the swap of a migration remains to be done."""
        return self.migration / "ready.json"


def prepare_directory(directory: Path) -> None:
    """Create the directory with mode 0700 where it is missing; an existing one keeps its mode."""
    if directory.is_dir():
        return
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True)
        fsync_directory(directory.parent)
    except OSError as error:
        raise JournalUnavailable(f"{directory}: the directory cannot be created ({error.strerror})") from error


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


def restrict_to_owner(path: Path) -> None:
    """Remove the permissions of group and others from a file."""
    if stat.S_IMODE(path.lstat().st_mode) & 0o077:
        path.chmod(FILE_MODE)


def fsync_directory(directory: Path) -> None:
    """Force the entries of a directory to disk: without them a new file is lost in a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
