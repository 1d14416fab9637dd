"""Rotation of the master keys while the router serves: the keys of all customers are wrapped again in slices.

The new master key is written to the file of master keys before anything is wrapped with it, and the older ones are removed only
when no key on the disk needs them. In between the file holds both, and after an end of the process the rotation goes on.

A key that cannot be opened does not end the rotation: it is left as it is, logged and counted, and tried again by the next one. The
older master keys leave the file all the same, since they do not open it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from router.context.keys import KeyStatus, RotationRunning
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import ContextDatabase, translate_errors

_REWRAP_SLICE: Final = 1_000
"""Keys that are wrapped again at once, in about 15 ms."""
_NAMED_MAX: Final = 20
_log = structlog.get_logger(__name__)


class KeyRotation:
    """The rotation of the master keys. Confined to the thread of the store."""

    def __init__(
        self, files: ContextDatabase, keys: KeyStore, tables: Callable[[], Iterable[CustomerTable]], key_path: Path | None
    ) -> None:
        """``tables`` returns the tables of all workspaces; without a ``key_path`` there is no rotation."""
        self._files = files
        self._keys = keys
        self._tables = tables
        self._key_path = key_path
        self._old_keys = keys.count_old()

    def status(self) -> KeyStatus:
        """Return the versions of the master keys, and how many keys are still wrapped with an older one."""
        master = self._keys.master
        unreadable, rows = self._keys.unreadable(_NAMED_MAX)
        tables = {table.number: table for table in self._tables()}
        owners = ((self._workspace_of(row), row) for row in rows)
        return KeyStatus(
            newest_version=master.newest_version,
            versions=tuple(master.versions),
            remaining=self._old_keys,
            unreadable=unreadable,
            unreadable_customers=tuple(tables[number].id_of(row) for number, row in owners if number in tables),
        )

    def begin(self) -> KeyStatus:
        """Add a master key, which wraps from now on, to the file; ``rewrap_slice`` does the rest.

        Raises RotationRunning, and ContextUnavailable where the file cannot be written.
        """
        if self.is_rotating or self._key_path is None:
            raise RotationRunning("the keys are being wrapped with a new master key already; wait until `remaining` is 0")
        rotated = self._keys.master.with_new_key()
        # The file first: a key that is wrapped with it must never be on the disk without it.
        with translate_errors():
            rotated.save(self._key_path)
        self._keys.master = rotated
        self._keys.unmark_unreadable()
        self._old_keys = self._keys.count_old()
        return self.status()

    @property
    def is_rotating(self) -> bool:
        """Return whether keys are to be wrapped again, also after an end of the process in between."""
        return self._key_path is not None and len(self._keys.master.versions) > 1

    def rewrap_slice(self) -> None:
        """Wrap some keys with the newest master key; after the last one forget the older master keys. Call outside a group."""
        with translate_errors():
            self._files.begin()
            try:
                self._old_keys = self.rewrap(limit=_REWRAP_SLICE)
                self._files.commit()
            except BaseException:
                self._files.rollback()
                raise
            if self._old_keys or not self._files.truncate_log(self._files.keys):
                return
            newest = self._keys.master.without_old_keys()
            assert self._key_path is not None
            newest.save(self._key_path)
            self._keys.master = newest

    def rewrap(self, *, limit: int) -> int:
        """Wrap at most ``limit`` keys with the newest master key; return how many remain."""
        self._keys.rewrap_lookup_keys()
        names = {table.number: table.name for table in self._tables()}
        for row, wrapped, version in self._keys.old_rows(limit):
            number = self._workspace_of(row)
            name = None if number is None else names.get(number)
            if name is None:
                self._keys.mark_unreadable(row, version)  # It has no customer; the next start deletes it.
            elif not self._keys.rewrap(name, row, wrapped, version):
                _log.error(
                    "the key of a customer cannot be opened; it is left as it is",
                    action="customer_key_unreadable",
                    row=row,
                    master_key=version,
                )
        return self._keys.count_old()

    def _workspace_of(self, row: int) -> int | None:
        """Return the number of the workspace of a customer; None: there is none with this row."""
        found = self._files.data.execute("SELECT workspace FROM customer WHERE row = ?", (row,)).fetchone()
        return None if found is None else int(found[0])
