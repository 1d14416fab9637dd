"""The journal on a server that several nodes use: workspaces are followed, and led where this node holds their lease.

With ``store.standby_count`` a node follows only some: it opens a workspace when it is needed and drops it later.
"""

import asyncio
import secrets
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from router.journal.port import Consumed, JournalStatus, Snapshot, WorkspaceHistory
from router.journal.records import Record
from router.journal.redis.appender import WaitRule
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreRefusal
from router.journal.redis.journal import RedisJournal, load_scripts
from router.journal.redis.layout import META_FIELDS, Meta, WorkspaceKeys, directory_key, replies_key
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.mark import SeenPosition
from router.journal.redis.reading import LogView, read_records
from router.journal.redis.recovery import FollowedWorkspace, StoreOpening
from router.journal.redis.shared import FollowedLog, Held, acquire, check_caught_up, resign
from router.journal.redis.streams import Entry, StreamReader
from router.journal.sqlite.journal import JournalThread
from router.model.errors import JournalCorrupt, JournalLocked, JournalUnavailable
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

_RUN_BYTES: Final = 4


class SharedRedisJournal(RedisJournal):
    """A ``Journal`` on a server, of which this process leads some workspaces and follows the others."""

    def __init__(self, settings: StoreSettings, *, data_directory: Path, archive_directory: Path) -> None:
        super().__init__(settings, data_directory=data_directory, archive_directory=archive_directory)
        self.run: Final = secrets.token_hex(_RUN_BYTES)
        """Name of this run of the node: the sessions that it opens begin with it."""
        self._followed: dict[WorkspaceId, FollowedLog] = {}
        self._opened: dict[WorkspaceId, FollowedLog] = {}
        """Logs that were verified and are not read on yet: their workspaces are being rebuilt."""
        self._catching_up: dict[WorkspaceId, asyncio.Future[None]] = {}
        """Workspaces that were rebuilt and are read on to where they ended, and what is told where their records are gone."""
        self._known: dict[WorkspaceId, None] = {}
        """Workspaces in the store, in the order of their creation."""
        self._taking: dict[WorkspaceId, WorkspaceLog] = {}
        """Workspaces taken over whose log has not been read to its end yet."""
        # Opening a workspace takes a while: neither appends nor other reads wait for it.
        self._late_client = StoreClient(self.address, self._options, on_connect=load_scripts)
        self._late_opening = StoreOpening(self._late_client, settings, self._mark, self._stopping)
        self._late: JournalThread | None = None
        self._consumed: list[Consumed] = []
        self.reading_problem: str | None = None
        """Why the logs that are followed cannot be read at this moment."""

    @property
    def node_id(self) -> str:
        """Return the id of this node, which stays the same over its starts. Known once the journal is open."""
        return self._mark.node_id

    @property
    def settings(self) -> StoreSettings:
        """Return the settings of the store."""
        return self._settings

    def keys(self, workspace: WorkspaceId) -> WorkspaceKeys:
        """Return the key names of a workspace."""
        return WorkspaceKeys.of(self._settings.prefix, workspace)

    def replies_key(self, run: str) -> str:
        """Return the key of the answers to the commands of a run of a node."""
        return replies_key(self._settings.prefix, run)

    def new_client(self) -> StoreClient:
        """Return a client of the store for another thread."""
        return StoreClient(self.address, self._options, on_connect=load_scripts)

    def new_log_reader(self) -> StreamReader:
        """Return a reader of logs, which returns only what is as durable as the settings say."""
        return StreamReader(self.new_client(), self.address.kind, rule=WaitRule.of(self._settings.durability))

    def new_stream_reader(self) -> StreamReader:
        """Return a reader of other streams."""
        return StreamReader(self.new_client(), self.address.kind)

    # --- opening -----------------------------------------------------------------------------

    async def _open_workspaces(self) -> list[WorkspaceHistory]:
        found = await self._running(self._writer).run(self._opening.identify)
        self._known = dict.fromkeys(found)
        if self.is_selective:
            return []
        opened = [await self._running(self._writer).run(partial(self._opening.follow_workspace, name)) for name in found]
        return [await self._follow(one) for one in opened]

    @property
    def is_selective(self) -> bool:
        """Whether this node follows only the workspaces that it needs."""
        return self._settings.standby_count is not None

    @property
    def known_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that were in the store when it was last asked, followed or not."""
        return list(self._known)

    async def find_workspaces(self) -> list[WorkspaceId]:
        """Ask the store for its workspaces and return those that are new. Raises JournalError."""
        found = await self._running(self._reader).run(partial(self._repeat, self._read_directory))
        new = [name for name in found if name not in self._known]
        self._known |= dict.fromkeys(found)
        return new

    def _read_directory(self) -> list[WorkspaceId]:
        key = directory_key(self._settings.prefix)
        reply = self._read_client.call(key, "HGETALL", key)
        directory = {name.decode(): int(number) for name, number in zip(reply[::2], reply[1::2], strict=True)}
        return sorted(directory, key=lambda name: (directory[name], name))

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Create a workspace where it does not exist yet, and follow it."""
        await self.make_workspace(workspace)
        return await self._follow(await self._running(self._writer).run(partial(self._opening.follow_workspace, workspace)))

    async def make_workspace(self, workspace: WorkspaceId) -> None:
        """Create a workspace where it does not exist yet, without following it."""
        await self._running(self._writer).run(partial(self._opening.make_workspace, workspace))
        self._known[workspace] = None

    async def _follow(self, opened: FollowedWorkspace) -> WorkspaceHistory:
        log = opened.log
        # What was read at the start is shown at once, so its durability is asked for too.
        await self._running(self._reader).run(partial(self._repeat, partial(self._confirm, log)))
        self._followed[log.workspace] = log
        return opened.history

    # --- following some workspaces -------------------------------------------------------------

    async def open_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Verify a workspace that is not followed, up to where it ends now; ``begin_following`` reads on. Raises JournalError."""
        if self._late is None:
            self._late = JournalThread()
        opened = await self._late.run(partial(self._late_opening.follow_workspace, workspace))
        await self._running(self._reader).run(partial(self._repeat, partial(self._confirm, opened.log)))
        self._opened[workspace] = opened.log
        return opened.history

    def begin_following(self, workspace: WorkspaceId, archived: "asyncio.Future[None] | None" = None) -> None:
        """Read a workspace that was opened, or was left and not dropped, on from where it was read to.

        ``archived`` fails where the next records have been archived since, until ``has_caught_up``; then it is read no further.
        """
        self._followed[workspace] = self._opened.pop(workspace)
        if archived is not None:
            self._catching_up[workspace] = archived

    def has_caught_up(self, workspace: WorkspaceId) -> None:
        """Note that what was in the store when a workspace began to be read has been read. Idempotent."""
        self._catching_up.pop(workspace, None)

    def leave(self, workspace: WorkspaceId) -> None:
        """Read a workspace that is followed no further."""
        self._opened[workspace] = self._followed.pop(workspace)

    async def drop(self, workspace: WorkspaceId) -> None:
        """Forget a workspace that was opened or left, and that this node has read it. Raises JournalError."""
        log = self._opened.pop(workspace)
        request = Request(log.view.keys.readers, ("HDEL", log.view.keys.readers, self.node_id))
        await self._running(self._reader).run(partial(self._repeat, lambda: self._read_client.run([request])))

    async def newest_seq(self, workspace: WorkspaceId) -> int:
        """Return the number of the newest event in the store. Raises JournalError."""
        keys = self.keys(workspace)
        job = partial(self._read_client.call, keys.meta, "HMGET", keys.meta, *META_FIELDS)
        meta = Meta.from_reply(await self._running(self._reader).run(partial(self._repeat, job)))
        return 0 if meta is None else meta.seq

    async def _close_threads(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            await late.run(self._late_client.close)
            late.stop()
        await super()._close_threads()

    def _confirm(self, log: FollowedLog) -> None:
        rule = WaitRule.of(self._settings.durability)
        replies, waits = self._read_client.run_and_wait([self._note_of_reading(log)], rule.commands, wait_s=1.0)
        for reply in replies:
            if isinstance(reply, StoreRefusal):
                raise reply
        for reply in waits:
            rule.check(reply)

    def _note_of_reading(self, log: FollowedLog) -> Request:
        """Return the request that notes how far a log was read; where nothing is noted, it removes what an earlier start noted."""
        key = log.view.keys.readers
        if not WaitRule.of(self._settings.durability).commands:
            return Request(key, ("HDEL", key, self.node_id))
        return Request(key, ("HSET", key, self.node_id, log.entry_id))

    # --- following ---------------------------------------------------------------------------

    def log_positions(self) -> dict[str, str]:
        """Return the key of each log that is followed, with the id of its last entry that was read."""
        return {log.view.keys.log: log.entry_id for log in self._followed.values()}

    def notes_of_reading(self) -> dict[str, tuple[str, str]]:
        """Return for the key of each log where the progress of this node is noted: a hash and a field."""
        return {log.view.keys.log: (log.view.keys.readers, self.node_id) for log in self._followed.values()}

    async def forget_readers(self, workspace: WorkspaceId, live: Collection[str]) -> None:
        """Remove how far nodes have read a workspace that are not among these. One that lives notes it again as it reads on.

        Raises JournalError.
        """
        key = self.keys(workspace).readers
        await self._running(self._reader).run(partial(self._repeat, partial(self._forget, key, live)))

    def _forget(self, key: str, live: Collection[str]) -> None:
        noted = [name.decode() for name in self._read_client.call(key, "HGETALL", key)[::2]]
        if gone := [name for name in noted if name not in live]:
            self._read_client.call(key, "HDEL", key, *gone)

    def read_entries(self, key: str, entries: list[Entry]) -> tuple[WorkspaceId, list[Record]] | None:
        """Verify the next entries of a log and return their records; None: it is not followed any more. Raises JournalCorrupt."""
        log = next((one for one in self._followed.values() if one.view.keys.log == key), None)
        return None if log is None else (log.workspace, log.read(entries))

    async def check_archived(self, key: str, error: JournalCorrupt) -> None:
        """Return where a log is not followed any more because the next records were archived before they were read. Else raise.

        That is so for a workspace that has not caught up, which is opened again. A node that stood still for that long with
        another one raises JournalUnavailable: it has to start again from the snapshot.
        """
        log = next((one for one in self._followed.values() if one.view.keys.log == key), None)
        if log is None:
            return
        workspace, position = log.workspace, log.position
        meta = await self._running(self._reader).run(partial(self._opening.meta, workspace))
        if meta is None or meta.first_seq <= position.seq + 1:
            raise error
        if self._followed.get(workspace) is not log:
            return  # It was left meanwhile.
        missing = (
            f"workspace {workspace}: this node stood still after event {position.seq}, and the events before "
            f"{meta.first_seq} have been archived since"
        )
        archived = self._catching_up.pop(workspace, None)
        if archived is None:
            raise JournalUnavailable(f"{missing}; it has to start again") from error
        self.leave(workspace)
        if not archived.done():
            archived.set_exception(JournalUnavailable(missing))

    def status(self) -> JournalStatus:
        """Return the level of durability, and why commits wait or logs are not read."""
        status = super().status()
        if status.problem is None and self.reading_problem is not None:
            return JournalStatus(durability=status.durability, problem=self.reading_problem)
        return status

    def followed_seq(self, workspace: WorkspaceId) -> int:
        """Return the newest event of a log that is followed that was read."""
        return self._followed[workspace].position.seq

    def inbound_position(self, workspace: WorkspaceId) -> str:
        """Return the position of the inbound stream of a workspace that is led, as it is stored."""
        log = self._logs.get(workspace)
        return "0-0" if log is None else log.inbound

    def is_led(self, workspace: WorkspaceId) -> bool:
        """Return whether this node may append to a workspace."""
        return workspace in self._logs

    # --- taking over and handing over ----------------------------------------------------------

    async def lease_holders(self) -> dict[WorkspaceId, str | None]:
        """Return the node that holds the lease of each workspace that is followed, None where it is free. Raises JournalError."""
        return await self.holders_of([name for name in self._followed if name not in self._taking])

    async def holders_of(self, workspaces: Sequence[WorkspaceId]) -> dict[WorkspaceId, str | None]:
        """Return the node that holds the lease of each of these workspaces, None where it is free. Raises JournalError."""
        keys = [self.keys(name).lease for name in workspaces]
        requests = [Request(key, ("GET", key)) for key in keys]
        replies = await self._running(self._reader).run(partial(self._repeat, lambda: self._read_client.run(requests)))
        found: dict[WorkspaceId, str | None] = {}
        for name, reply in zip(workspaces, replies, strict=True):
            if not isinstance(reply, StoreRefusal):
                found[name] = None if reply is None else reply.decode().partition(".")[0]
        return found

    async def take_over(self, workspace: WorkspaceId) -> bool:
        """Take the lease of a workspace; False: another node has it. Nothing is appended before ``lead``. Raises JournalError."""
        log = self._followed[workspace]
        job = partial(
            acquire,
            self._read_client,
            log,
            owner=self._opening.owner,
            lease_s=self._settings.lease_s,
            known_epoch=max(self._opening.highest_epoch(workspace), log.position.epoch),
            ended=f"{self.node_id}.",
        )
        taken = await self._running(self._reader).run(partial(self._repeat, job))
        if isinstance(taken, Held):
            return False
        self._taking[workspace] = taken
        self._leases.add(taken)
        return True

    def is_caught_up(self, workspace: WorkspaceId) -> bool:
        """Return whether the log of a workspace that was taken over has been read to its end. Raises JournalCorrupt."""
        return check_caught_up(self._followed[workspace], self._taking[workspace])

    async def give_up(self, workspace: WorkspaceId) -> None:
        """Give the lease of a workspace back that was taken over and is not led yet. Raises JournalError."""
        log = self._taking[workspace]
        await self._resign(log, self._followed[workspace])
        del self._taking[workspace]

    def lead(self, workspace: WorkspaceId) -> tuple[int, str]:
        """Append to a workspace from now on; return its epoch and the position of its inbound stream."""
        log = self._taking.pop(workspace)
        del self._followed[workspace]
        self._logs[workspace] = log
        self._appender.add(log)
        return log.epoch, log.inbound

    async def hand_over(self, workspace: WorkspaceId) -> None:
        """Let another node lead a workspace, to which nothing is being appended, and follow it. Raises JournalError."""
        log = self._logs.pop(workspace)
        view = LogView(log.workspace, log.keys, log.epochs, log.first_seq, log.base_chain)
        followed = self._followed[workspace] = FollowedLog.after(log, view)
        await self._running(self._writer).run(partial(self._appender.remove, log))
        await self._resign(log, followed)

    async def _resign(self, log: WorkspaceLog, followed: FollowedLog) -> None:
        note = self._note_of_reading(followed)
        await self._running(self._reader).run(partial(self._leases.remove, log))
        await self._running(self._reader).run(partial(self._repeat, partial(resign, self._read_client, log, note)))

    # --- records -----------------------------------------------------------------------------

    def consume(self, consumed: Sequence[Consumed]) -> None:
        """Note commands of inbound streams that the next ``append`` carries out."""
        self._consumed += consumed

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the batch durable, and with each record the position of the inbound stream whose commands led to it."""
        consumed, self._consumed = self._consumed, []
        if not batch and not consumed:
            return
        touched: dict[WorkspaceId, WorkspaceLog] = {}
        waiting = iter([*consumed, None])
        following = next(waiting)
        for place, (workspace, record) in enumerate(batch):
            while following is not None and following.place <= place:
                touched[following.workspace] = self._consume(following)
                following = next(waiting)
            log = touched[workspace] = self._logs[workspace]
            log.prepare(record)
        while following is not None:
            touched[following.workspace] = self._consume(following)
            following = next(waiting)
        await self._running(self._writer).run(partial(self._appender.append, touched.values()))

    def _consume(self, consumed: Consumed) -> WorkspaceLog:
        log = self._logs[consumed.workspace]
        log.consume(consumed.entry_id)
        return log

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` up to the newest one that was verified at the start."""
        last_seq = self._followed[workspace].position.seq
        for record in super().replay(workspace, after_seq=after_seq):
            if record.first_seq > last_seq:
                return
            yield record

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that the store has, as far as this node knows."""
        followed = self._followed.get(workspace) or self._opened.get(workspace)
        return followed.view.first_seq if followed is not None else super().first_seq(workspace)

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot of a workspace that this node leads; one that was handed over meanwhile gets none."""
        log = self._logs.get(workspace)
        if log is None:
            return
        try:
            await super().save_snapshot(workspace, snapshot)
        except JournalLocked:
            if self._logs.get(workspace) is log:
                raise

    def _read(self, workspace: WorkspaceId, after_seq: int, limit: int) -> list[Record]:
        log = self._followed.get(workspace) or self._opened.get(workspace)
        if log is None:
            return super()._read(workspace, after_seq, limit)
        try:
            records = self._read_followed(log, after_seq, limit)
        except JournalCorrupt:
            meta = self._repeat(lambda: self._opening.meta(workspace))
            if meta is None or meta.first_seq == log.view.first_seq:
                raise
            # The leader has archived records meanwhile.
            log.view = LogView(workspace, log.view.keys, log.view.epochs, meta.first_seq, meta.base_chain)
            records = self._read_followed(log, after_seq, limit)
        while records and records[-1].last_seq > log.position.seq:
            records.pop()
        return records

    def _read_followed(self, log: FollowedLog, after_seq: int, limit: int) -> list[Record]:
        return self._repeat(lambda: read_records(self._read_client, log.view, after_seq=after_seq, limit=limit))

    def _seen_positions(self) -> dict[WorkspaceId, SeenPosition]:
        positions = super()._seen_positions()
        for name, log in self._followed.items():
            positions[name] = SeenPosition(
                history_id=log.history_id, epoch=log.position.epoch, seq=log.position.seq, chain=log.chain
            )
        return positions
