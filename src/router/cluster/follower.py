"""Following the logs of the workspaces that other nodes lead: their records go through the writer's queue into engine and feed.

So a follower answers queries and serves sockets from the same engine, publisher and feed as a leader, in the same order: a record
is applied, then published, then the answers that depend on it are given.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from router.cluster.work import RECORDS_AT_ONCE, FollowRecords
from router.journal.redis.connection import StoreError
from router.journal.redis.shared_journal import SharedRedisJournal
from router.model.errors import JournalCorrupt, JournalUnavailable
from router.model.states import WorkspaceId
from router.runtime.command_queue import QueuedWork

_READ_MAX: Final = 256
# Records that were read and not applied yet; reading goes on below that.
_UNAPPLIED_MAX: Final = 1_024
_RETRY_S: Final = 0.2


class Follower:
    """Reads the logs that are followed. For the event loop only."""

    def __init__(self, journal: SharedRedisJournal, put_work: Callable[[WorkspaceId, QueuedWork], None]) -> None:
        self._journal = journal
        self._put_work = put_work
        self._reader = journal.new_log_reader()
        self._unapplied = 0
        self._is_below = asyncio.Event()
        self._is_below.set()
        self.records = 0
        """Records of other nodes that were read."""
        self.bytes = 0
        """Bytes of them, as they are stored."""

    async def run(self) -> None:
        """Read until cancelled. Raises JournalCorrupt where a log is not the history that this node has read so far.

        Raises JournalUnavailable where nothing can be read, or nothing as durable as asked for, for ``store.outage_s_max``.
        """
        failing_since_s: float | None = None
        while True:
            await self._is_below.wait()
            try:
                found = await self._reader.read(
                    self._journal.log_positions(), limit=_READ_MAX, noted=self._journal.notes_of_reading()
                )
            except StoreError as error:
                self._journal.reading_problem = str(error)
                now_s, limit_s = time.monotonic(), self._journal.settings.outage_s_max
                failing_since_s = now_s if failing_since_s is None else failing_since_s
                if now_s - failing_since_s >= limit_s:
                    raise JournalUnavailable(
                        f"what other nodes decide could not be read for {limit_s:g} s (store.outage_s_max): {error}"
                    ) from error
                await asyncio.sleep(_RETRY_S)
                continue
            failing_since_s = None
            self._journal.reading_problem = None
            for key, entries in found.items():
                try:
                    read = self._journal.read_entries(key, entries)
                except JournalCorrupt as error:
                    await self._journal.check_archived(key, error)
                    continue
                if read is None:
                    continue
                workspace, records = read
                self.bytes += sum(len(fields[1]) for _, fields in entries)
                self._unapplied += len(records)
                self.records += len(records)
                for start in range(0, len(records), RECORDS_AT_ONCE):
                    self._put_work(workspace, FollowRecords(records[start : start + RECORDS_AT_ONCE], self._on_applied))
            if self._unapplied >= _UNAPPLIED_MAX:
                self._is_below.clear()

    async def close(self) -> None:
        """End the thread. Call when ``run`` has ended."""
        await self._reader.close()

    def _on_applied(self, count: int) -> None:
        self._unapplied -= count
        if self._unapplied < _UNAPPLIED_MAX:
            self._is_below.set()
