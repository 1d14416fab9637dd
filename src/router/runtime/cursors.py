"""Cursors of subscriptions to the event log, and stores that keep them across restarts.

A cursor is a position in the history of one workspace: every event up to it has been handled. A subscription saves its cursors
after it has handled records, so that a restart repeats records rather than losing them (at-least-once delivery).

The stores hold one value per subscription, which replaces the one before. A store that fails does not disturb delivery: the
subscription counts the failure and saves again later; after a crash it repeats the records since its last saved position.
"""

import os
import re
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from router.journal.files import FILE_MODE, fsync_directory, prepare_directory
from router.model.errors import RouterError
from router.model.states import WorkspaceId

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class FeedPosition(Struct, frozen=True, order=True):
    """A position in the event log of one workspace: after the event ``seq`` of the history ``history_id``."""

    history_id: str
    seq: int


Cursors: TypeAlias = dict[WorkspaceId, FeedPosition]
"""The cursors of one subscription, by workspace."""


class CursorsDamaged(RouterError):
    """The stored cursors of a subscription cannot be read; delete the file to start without them."""


class CursorStore(Protocol):
    """Storage for the cursors of subscriptions. Called from a thread as well as from the event loop, one call at a time."""

    def load(self, subscription: str) -> Cursors:
        """Return the stored cursors, empty where there are none. Raises CursorsDamaged."""
        ...

    def save(self, subscription: str, cursors: Cursors) -> None:
        """Store the cursors durably, replacing earlier ones. Raises OSError or RouterError where the storage fails."""
        ...


class MemoryCursorStore:
    """Cursors in memory, for tests and for subscriptions that start again with each process."""

    def __init__(self) -> None:
        self._cursors: dict[str, Cursors] = {}

    def load(self, subscription: str) -> Cursors:
        """Return the stored cursors, empty where there are none."""
        return dict(self._cursors.get(subscription, {}))

    def save(self, subscription: str, cursors: Cursors) -> None:
        """Store the cursors, replacing earlier ones."""
        self._cursors[subscription] = dict(cursors)


class FileCursorStore:
    """Cursors in a directory, one small JSON file per subscription, replaced atomically.

    A file is written beside the old one, flushed to the disk and renamed: after a power loss either the old or the new cursors
    are found, never a part of them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, subscription: str) -> Cursors:
        """Return the stored cursors, empty where there are none. Raises CursorsDamaged."""
        path = self._path(subscription)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Cursors)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CursorsDamaged(f"{path}: the cursors cannot be read") from error

    def save(self, subscription: str, cursors: Cursors) -> None:
        """Store the cursors durably, replacing earlier ones. Raises OSError where the disk fails."""
        path = self._path(subscription)
        prepare_directory(self._directory)
        scratch = path.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(cursors))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        fsync_directory(self._directory)

    def _path(self, subscription: str) -> Path:
        if not _NAME.fullmatch(subscription):
            raise ValueError("a subscription name has 1 to 64 of a-z, 0-9, '_' and '-'")
        return self._directory / f"{subscription}.json"
