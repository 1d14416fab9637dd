"""Erasure of the reference of one contact whose customer is not known, in the SQLite backend.

What shares its key is sealed again with other keys first, a slice in each call, then the key is erased as that of a customer is:
see ``references``.
"""

from collections.abc import Callable, Iterable, Sequence

from router.context.sqlite.data_keys import KeyStore
from router.context.sqlite.database import ContextDatabase
from router.context.sqlite.erasure import Erasure
from router.context.sqlite.references import SqliteReferences


class ReferenceErasure:
    """Erases references. Confined to the thread of the store; calls are outside a group."""

    def __init__(
        self,
        files: ContextDatabase,
        keys: KeyStore,
        references: SqliteReferences,
        erasure: Erasure,
        on_erased: Callable[[str, str], None],
    ) -> None:
        """``on_erased`` is told the workspace and the contact of each reference that was deleted."""
        self._files = files
        self._keys = keys
        self._references = references
        self._erasure = erasure
        self._on_erased = on_erased

    def erase(self, workspace: str, contact_ids: Sequence[str], *, now_ms: int) -> bool:
        """Delete references and do a slice of the rest; return whether no key opens them any more. Raises NotErasable."""
        self._files.begin()
        try:
            emptied = self.retire(workspace, contact_ids)
            self._files.commit()
        except BaseException:
            self._files.rollback()
            self._keys.forget()
            raise
        if emptied:
            self._erasure.erase(emptied, now_ms=now_ms)
        elif self._erasure.is_log_pending:
            self._erasure.empty_logs()
        return not self._erasure.is_log_pending and self._references.retired(workspace) is None

    def retire(self, workspace: str, contact_ids: Sequence[str]) -> list[int]:
        """Delete references, and move a slice of what shares their keys; return the row whose key is needed no more, if any."""
        for contact_id in contact_ids:
            if self._references.retire(workspace, contact_id):
                self._on_erased(workspace, contact_id)
        row = self._references.retired(workspace)
        return [row] if row is not None and self._references.empty(workspace, row) else []

    def go_on(self, workspaces: Iterable[str], *, now_ms: int) -> None:
        """Go on with what an end of the process has interrupted, a slice for each workspace."""
        for workspace in workspaces:
            if self._references.retired(workspace) is not None:
                self.erase(workspace, (), now_ms=now_ms)
