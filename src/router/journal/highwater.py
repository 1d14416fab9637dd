"""The high-water mark: a small file beside the journal that records the newest commit.

A hash chain cannot detect that its own end is missing: with a bit flipped in the write-ahead log of SQLite, a deleted
``-wal`` file or a restored older copy, the database opens without an error, only shorter. The number and the chain value of
the newest commit are therefore also stored in this file. Two slots, each in its own disk block, are written alternately, so
that a torn write leaves the other slot intact; the intact slot with the higher number is valid. A slot is written only after
its commit is durable, so the mark is never ahead of the journal.

The file also holds the lock (``flock``) that excludes a second process. Unlike the POSIX locks that SQLite takes, it is not
released when another part of the process closes the same file.
"""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from crc32c import crc32c
from msgspec import Struct

from router.journal.files import FILE_MODE, fsync_directory, scratch_path, write_at
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable

_MAGIC: Final = b"CR-HWM\0\1"
_SLOT: Final = struct.Struct(">8sQ16s")
_CRC: Final = struct.Struct(">I")
# Each slot has its own disk block: a torn block never damages both.
_SLOT_BYTES: Final = 4096
HIGH_WATER_BYTES: Final = 2 * _SLOT_BYTES


class HighWaterMark(Struct, frozen=True, order=True):
    """The newest known commit: its number, and the chain value of the commit index after it."""

    number: int
    chain: bytes


class HighWaterFile:
    """The open and locked file. After opening, use it from one thread only."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.mark = HighWaterMark(-1, b"")
        """Newest mark written or read; guaranteed on disk only up to ``synced``."""
        self.synced = -1

    @property
    def written(self) -> int:
        """Return the newest commit number written, -1 where none was."""
        return self.mark.number

    @classmethod
    def create(cls, path: Path, mark: HighWaterMark) -> None:
        """Create the file atomically with this mark in both slots; an existing file is left unchanged."""
        scratch = scratch_path(path)
        descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.ftruncate(descriptor, HIGH_WATER_BYTES)
            for offset in (0, _SLOT_BYTES):
                write_at(descriptor, _encode_mark(mark), offset)
            os.fsync(descriptor)
            os.link(scratch, path)
        except FileExistsError:
            pass
        finally:
            os.close(descriptor)
            scratch.unlink()
        fsync_directory(path.parent)

    @classmethod
    def open_locked(cls, path: Path) -> "HighWaterFile":
        """Open the file and take the lock. Raises JournalLocked where any other descriptor holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalLocked(f"{path}: another process has opened this journal") from None
        except OSError as error:
            os.close(descriptor)
            raise JournalUnavailable(f"{path}: cannot be locked ({error.strerror})") from error
        return cls(descriptor)

    def read(self) -> HighWaterMark:
        """Return the intact mark with the higher number. Raises JournalCorrupt where neither slot is intact."""
        marks = [self._read_slot(0), self._read_slot(_SLOT_BYTES)]
        whole = [mark for mark in marks if mark is not None]
        if not whole:
            raise JournalCorrupt("the high-water mark cannot be read: both slots are damaged")
        return max(whole)

    def write(self, mark: HighWaterMark) -> None:
        """Write the mark to the slot of its number. It survives a crash of the process; of the machine only after ``sync``."""
        write_at(self.descriptor, _encode_mark(mark), (mark.number & 1) * _SLOT_BYTES)
        self.mark = mark

    def write_both(self, mark: HighWaterMark) -> None:
        """Write the mark to both slots and sync."""
        for offset in (0, _SLOT_BYTES):
            write_at(self.descriptor, _encode_mark(mark), offset)
        os.ftruncate(self.descriptor, HIGH_WATER_BYTES)
        self.mark = mark
        self.sync()

    def sync(self) -> None:
        """Force the written mark to disk."""
        os.fsync(self.descriptor)
        self.synced = self.written

    def close(self) -> None:
        """Close the file, which releases the lock."""
        os.close(self.descriptor)

    def _read_slot(self, offset: int) -> HighWaterMark | None:
        data = os.pread(self.descriptor, _SLOT.size + _CRC.size, offset)
        if len(data) < _SLOT.size + _CRC.size:
            return None
        magic, number, chain = _SLOT.unpack_from(data)
        (checksum,) = _CRC.unpack_from(data, _SLOT.size)
        if magic != _MAGIC or checksum != crc32c(data[: _SLOT.size]):
            return None
        return HighWaterMark(number, chain)


def _encode_mark(mark: HighWaterMark) -> bytes:
    data = _SLOT.pack(_MAGIC, mark.number, mark.chain)
    return data + _CRC.pack(crc32c(data))
