"""The journal's files: where they lie, who may read them, and the ballast that keeps room for an orderly stop."""

import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from router.model.errors import JournalUnavailable

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


class JournalPaths(Struct, frozen=True):
    """The files of one journal. All of them together are the journal: a copy of one alone is not a copy."""

    database: Path

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log."""
        return self.database.with_name(self.database.name + "-wal")

    @property
    def high_water(self) -> Path:
        """The high-water mark, which also carries the lock."""
        return self.database.with_name(self.database.name + ".hwm")

    @property
    def ballast(self) -> Path:
        """Room held back for an orderly stop on a full disk."""
        return self.database.with_name(self.database.name + ".ballast")


def prepare_directory(directory: Path) -> None:
    """Make the directory, for its owner alone, where it is missing. An existing one keeps its mode."""
    if directory.is_dir():
        return
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True)
        fsync_directory(directory.parent)
    except OSError as error:
        raise JournalUnavailable(f"{directory}: cannot be made ({error.strerror})") from error


def refuse_odd_file(path: Path) -> bool:
    """True where the file exists. Raises JournalUnavailable for a link, a directory or anything else that is no plain file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalUnavailable(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(mode):
        raise JournalUnavailable(f"{path}: is not a plain file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise JournalUnavailable(f"{path}: may not be read and written by this user")
    return True


def create_private(path: Path) -> None:
    """An empty file for its owner alone, before SQLite would make one for everybody."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE))
    fsync_directory(path.parent)


def make_private(path: Path) -> None:
    """Take a file away from group and others."""
    if stat.S_IMODE(path.lstat().st_mode) & 0o077:
        path.chmod(FILE_MODE)


def fsync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a file is not there after a power loss while its name is not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_size(path: Path) -> int:
    """The size in bytes; 0 where there is no such file. Opens nothing."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def hold_ballast(path: Path, size: int) -> None:
    """Take ``size`` bytes of real disk space. Raises JournalUnavailable where the disk has not that much left."""
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
            f"{path.parent}: the disk is full, the {size:,} bytes kept for an orderly stop do not fit"
        ) from error
    finally:
        os.close(descriptor)


def drop_ballast(path: Path) -> None:
    """Give the room back."""
    path.unlink(missing_ok=True)
