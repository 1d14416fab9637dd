"""Rebuild what a disk can hold after a power failure, from the changes that ``disk_recorder`` has recorded.

The model is the one that POSIX leaves to file systems, so it is harsher than any of them:

* A change of a file is certain only once a later sync of that file has succeeded. Each change that is not may be lost, kept, or
  torn at any boundary of 512 bytes, independently of the order in which the changes were made.
* An entry of a directory (a new, renamed or removed name) is certain only once a later sync of the directory has succeeded.
* After a sync that failed, the changes before it are still read by every process, but no later sync makes them certain.

Processes that end leave all changes in the memory of the operating system, so the next process reads them: the log of several
processes is one sequence.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Final

from msgspec import Struct

SECTOR_BYTES: Final = 512
Entry = tuple[Any, ...]


class Change(Struct):
    """One change of the content of a file."""

    kind: str
    offset: int
    data: bytes = b""
    can_be_synced: bool = True

    def apply(self, content: bytearray, sectors: Sequence[int] | None = None) -> None:
        """Apply the change, or only the given sectors of a write."""
        if self.kind == "truncate":
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        if self.kind == "extend":
            content.extend(bytes(max(0, self.offset - len(content))))
            return
        for start, end in self.parts() if sectors is None else [self.parts()[index] for index in sectors]:
            content.extend(bytes(max(0, end - len(content))))
            content[start:end] = self.data[start - self.offset : end - self.offset]

    def parts(self) -> list[tuple[int, int]]:
        """Return the byte ranges of a write between the boundaries of sectors."""
        first, last = self.offset, self.offset + len(self.data)
        cuts = [first, *range((first // SECTOR_BYTES + 1) * SECTOR_BYTES, last, SECTOR_BYTES), last]
        return list(pairwise(cuts)) if last > first else []


class File(Struct):
    """The certain content of one file, and the changes after it."""

    certain: bytearray
    changes: list[Change] = []

    def sync(self, succeeded: bool) -> None:
        if not succeeded:
            for change in self.changes:
                change.can_be_synced = False
            return
        # A dropped change is not written, even when later ones around it are.
        for change in self.changes:
            if change.can_be_synced:
                change.apply(self.certain)
        self.changes = [change for change in self.changes if not change.can_be_synced]

    def cached(self) -> bytes:
        """Return what processes read. Valid while no sync has failed."""
        content = bytearray(self.certain)
        for change in self.changes:
            change.apply(content)
        return bytes(content)

    def content(self, variant: str, chance: random.Random) -> bytes:
        """Return what the disk may hold."""
        content = bytearray(self.certain)
        for change in self.changes:
            if variant == "kept" and change.can_be_synced:
                change.apply(content)
            elif variant == "torn" and change.can_be_synced and chance.random() < 0.6:
                parts = range(len(change.parts()))
                change.apply(content, [one for one in parts if chance.random() < 0.7] if chance.random() < 0.5 else None)
        return bytes(content)


class Directory(Struct):
    """The certain entries of one directory, and the changes after them: name → file, or None for a removed name."""

    certain: dict[str, Any]
    changes: list[tuple[tuple[str, Any], ...]] = []

    def sync(self) -> None:
        for change in self.changes:
            _apply_names(self.certain, change)
        self.changes = []

    def names(self, variant: str, chance: random.Random) -> dict[str, Any]:
        names = dict(self.certain)
        for change in self.changes:
            if variant == "kept" or (variant == "torn" and chance.random() < 0.6):
                _apply_names(names, change)
        return names


def _apply_names(names: dict[str, Any], change: tuple[tuple[str, Any], ...]) -> None:
    for name, target in change:
        if target is None:
            names.pop(name, None)
        else:
            names[name] = target


class DiskImages:
    """The state of a recorded disk after some entries of the log. Feed entries in order with ``play``."""

    def __init__(self) -> None:
        self.directories: dict[str, Directory] = {".": Directory({})}
        self.acknowledged: list[str] = []

    def play(self, entry: Entry) -> None:
        """Apply one entry."""
        kind, *values = entry
        if kind == "ack":
            self.acknowledged.append(values[0])
        elif kind == "loss":
            # An operator has accepted that what was acknowledged before is lost.
            self.acknowledged.clear()
        elif kind in ("write", "truncate", "extend"):
            name, offset, *data = values
            self._file(name).changes.append(Change(kind, offset, *data))
        elif kind == "sync":
            directory = self.directories.get(values[0])
            if directory is not None:
                directory.sync()
            else:
                self._file(values[0]).sync(values[1])
        elif kind == "create":
            self._change_names(values[0], File(bytearray()))
        elif kind == "mkdir":
            self.directories[values[0]] = Directory({})
            self._change_names(values[0], self.directories[values[0]])
        elif kind == "link":
            self._change_names(values[1], self._cached(values[0]))
        elif kind == "rename":
            self._rename(*values)
        elif kind in ("unlink", "rmdir"):
            self._change_names(values[0], None)
        else:
            raise AssertionError(f"an unknown entry: {kind}")

    def _rename(self, source: str, target: str) -> None:
        moved = self._cached(source)
        if isinstance(moved, Directory):
            self.directories[target] = self.directories.pop(source)
        (old, old_name), (new, new_name) = _split(source), _split(target)
        if old == new:
            self.directories[old].changes.append(((new_name, moved), (old_name, None)))
        else:
            self.directories[new].changes.append(((new_name, moved),))
            self.directories[old].changes.append(((old_name, None),))

    def _change_names(self, path: str, target: Any) -> None:
        directory, name = _split(path)
        self.directories[directory].changes.append(((name, target),))

    def _cached(self, path: str) -> Any:
        directory, name = _split(path)
        return self.directories[directory].names("kept", random.Random(0))[name]

    def _file(self, path: str) -> File:
        found = self._cached(path)
        assert isinstance(found, File)
        return found

    def files(self, variant: str, seed: int = 0) -> Iterator[tuple[str, bytes]]:
        """Iterate over path and content of all files of one possible image: ``lost``, ``kept`` or ``torn`` (by seed)."""
        yield from self._files(".", self.directories["."], variant, random.Random(seed))

    def _files(self, path: str, directory: Directory, variant: str, chance: random.Random) -> Iterator[tuple[str, bytes]]:
        for name, target in sorted(directory.names(variant, chance).items()):
            if isinstance(target, Directory):
                yield from self._files(f"{path}/{name}", target, variant, chance)
            else:
                yield f"{path}/{name}", target.content(variant, chance)

    def write_to(self, directory: Path, variant: str, seed: int = 0) -> bytes:
        """Write one possible image into an empty directory; return its content as one value, to recognise equal images."""
        parts = []
        for name, content in self.files(variant, seed):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(content)
            path.chmod(0o600)
            parts += [name.encode(), content]
        return b"\0".join(parts)

    def fingerprint(self, variant: str, seed: int = 0) -> int:
        """Return a value that is equal for equal images."""
        return hash(tuple(self.files(variant, seed)))

    def check_complete(self, root: Path) -> None:
        """Check that all recorded changes give the files as they are: nothing has escaped the recorder."""
        recorded = {str(PurePosixPath(name)): content for name, content in self.files("kept")}
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert recorded.keys() == found.keys(), recorded.keys() ^ found.keys()
        differing = [name for name in found if recorded[name] != found[name]]
        assert not differing, differing


def _split(path: str) -> tuple[str, str]:
    pure = PurePosixPath(path)
    return str(pure.parent), pure.name
