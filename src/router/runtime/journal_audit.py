"""References that earlier versions left in the journal: counted after a start, while the router serves, oldest records first.

The journal is read in small parts with pauses, at most until ``CONTACTS_MAX`` contacts were found or ``CLEAN_MAX`` records in a row
have no reference in clear, so the cost is bounded whatever the size of the journal. The count is therefore a lower bound;
``router journal audit-personal`` counts all. No value is kept, logged or shown.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from router.journal.port import Journal
from router.journal.records import Record
from router.model.errors import RouterError
from router.model.states import SEALED_REFERENCE, WorkspaceId

CONTACTS_MAX: Final = 10_000
CLEAN_MAX: Final = 100_000
_RECORDS_AT_ONCE: Final = 32
_PAUSE_S: Final = 0.01
START_PAUSE_S: Final = 3.0
"""Time after the start, in which clients connect again, before the first records are read."""


class JournalAudit:
    """Contacts by workspace whose reference stands in the journal. Confined to the event loop."""

    def __init__(self, journal: Journal, workspaces: Iterable[WorkspaceId], on_found: Callable[[WorkspaceId, int], None]) -> None:
        """``on_found`` is called with a workspace that has such contacts and their number, once."""
        self._journal = journal
        self._workspaces = tuple(workspaces)
        self._on_found = on_found
        self.contacts: Final[dict[WorkspaceId, int]] = {}
        """Contacts with a reference in clear by workspace, as far as they were counted; at most ``CONTACTS_MAX``."""

    async def run(self) -> None:
        """Count the workspaces one after the other. A journal that cannot be read ends it: that is reported elsewhere."""
        await asyncio.sleep(START_PAUSE_S)
        with suppress(RouterError):
            for workspace in self._workspaces:
                await self._count(workspace)

    async def _count(self, workspace: WorkspaceId) -> None:
        after_seq = self._journal.first_seq(workspace) - 1
        found: set[str] = set()
        clean = 0
        while len(found) < CONTACTS_MAX and clean < CLEAN_MAX:
            records = await self._journal.read(workspace, after_seq=after_seq, limit=_RECORDS_AT_ONCE)
            if not records:
                break
            names = contacts_in_clear(records)
            clean = 0 if names else clean + len(records)
            found |= names
            self.contacts[workspace] = min(len(found), CONTACTS_MAX)
            after_seq = records[-1].last_seq
            await asyncio.sleep(_PAUSE_S)
        if found:
            self._on_found(workspace, self.contacts[workspace])


def contacts_in_clear(records: Iterable[Record]) -> set[str]:
    """Return the contacts of events that hold a reference in clear."""
    return {
        event.contact_id  # type: ignore[union-attr]  # An event with a reference is about a contact.
        for record in records
        for event in record.events
        if getattr(event, "reference", None) not in (None, SEALED_REFERENCE)
    }
