"""The high-water mark: a small file beside the journal that knows how far the journal has come.

A chain of records cannot see that its own end is missing: a bit flipped in SQLite's write-ahead log, a deleted ``-wal`` or
a restored older copy open without any error, only shorter. So the number and the chain of the newest commit also stand
here. Two slots, each in a disk block of its own, are written in turn, so that a torn write leaves the other; the highest
whole slot counts. A slot is written only after its commit is durable, so the mark is never ahead of the journal.

The file also carries the lock that keeps a second process out (``flock``): unlike the locks that SQLite itself takes, it
does not go when another part of the process closes the same file.
"""

import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from crc32c import crc32c
from msgspec import Struct

from router.journal.files import FILE_MODE, fsync_directory
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable

_MAGIC: Final = b"CR-HWM\0\1"
_SLOT: Final = struct.Struct(">8sQ16s")
_CRC: Final = struct.Struct(">I")
# Each slot has a block of its own: a torn block never takes both.
_SLOT_BYTES: Final = 4096
_FILE_BYTES: Final = 2 * _SLOT_BYTES


class Mark(Struct, frozen=True, order=True):
    """The newest commit that is known: its number, and the ledger's chain after it."""

    number: int
    chain: bytes


class HighWaterFile:
    """The open, locked file. Confined to one thread after it was opened."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None
        self.written = -1
        """The newest number written; on disk for sure only up to ``synced``."""
        self.synced = -1

    @classmethod
    def create(cls, path: Path, mark: Mark) -> None:
        """A new file with this mark in both slots, whole or not at all. An existing one is left alone."""
        scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
        descriptor = os.open(
            scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE
        )
        try:
            os.ftruncate(descriptor, _FILE_BYTES)
            for offset in (0, _SLOT_BYTES):
                os.pwrite(descriptor, _packed(mark), offset)
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
        """Take the lock. Raises JournalLocked where another process, or another part of this one, has it."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalLocked(f"{path}: another process has this journal") from None
        except OSError as error:
            os.close(descriptor)
            raise JournalUnavailable(f"{path}: cannot be locked ({error.strerror})") from error
        return cls(descriptor)

    def read(self) -> Mark:
        """The highest whole slot. Raises JournalCorrupt where neither is whole."""
        marks = [self._slot(0), self._slot(_SLOT_BYTES)]
        whole = [mark for mark in marks if mark is not None]
        if not whole:
            raise JournalCorrupt("the high-water mark cannot be read: both slots are damaged")
        return max(whole)

    def write(self, mark: Mark) -> None:
        """Write the slot whose turn it is. After a crash of the process it is there; after one of the machine, once synced.

        Through a memory map: the kernel has it as surely as after a write, but a write would let go of the interpreter and
        have to wait for it again, once for every commit.
        """
        packed = _packed(mark)
        offset = (mark.number & 1) * _SLOT_BYTES
        self._open_map[offset : offset + len(packed)] = packed
        self.written = mark.number

    def write_both(self, mark: Mark) -> None:
        """Begin anew from this mark."""
        for offset in (0, _SLOT_BYTES):
            os.pwrite(self._descriptor, _packed(mark), offset)
        self.written = mark.number
        self.sync()

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._descriptor)
        self.synced = self.written

    def close(self) -> None:
        """Give the lock back."""
        if self._map is not None:
            self._map.close()
            self._map = None
        os.close(self._descriptor)

    @property
    def _open_map(self) -> mmap.mmap:
        if self._map is None:
            # Both blocks have been written, and so have their place on the disk, before anything goes through the map.
            self._map = mmap.mmap(self._descriptor, _FILE_BYTES)
        return self._map

    def _slot(self, offset: int) -> Mark | None:
        data = os.pread(self._descriptor, _SLOT.size + _CRC.size, offset)
        if len(data) < _SLOT.size + _CRC.size:
            return None
        magic, number, chain = _SLOT.unpack_from(data)
        (checksum,) = _CRC.unpack_from(data, _SLOT.size)
        if magic != _MAGIC or checksum != crc32c(data[: _SLOT.size]):
            return None
        return Mark(number, chain)


def _packed(mark: Mark) -> bytes:
    data = _SLOT.pack(_MAGIC, mark.number, mark.chain)
    return data + _CRC.pack(crc32c(data))
