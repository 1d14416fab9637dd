"""The journal on a Redis or Valkey server.

Three threads, each with connections of its own, so that none waits for another: one writes records and waits for their durability,
one reads (for clients that resume, the event feed, snapshots and archives), and one renews the leases. The event loop submits jobs
and never blocks on the network. Records are prepared on the event loop, because another thread would compete with it for the
interpreter lock.

What is promised, and what is not, is the first page of ``docs/how-to/redis.md``. Parts: ``scripts`` (what the server executes),
``log`` and ``appender`` (writing, and reading back what happened), ``recovery`` (opening), ``preflight`` (checks of the server),
``lease``, ``mark`` (evidence outside the store), ``snapshots``, ``trimming`` and ``repair``.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from router.journal.port import HistoryLoss, JournalStatus, LedFigures, Snapshot, StoreFigures, WorkspaceHistory
from router.journal.records import Record
from router.journal.redis.address import StoreAddress, parse_address
from router.journal.redis.appender import Appender, Outage
from router.journal.redis.client import StoreClient
from router.journal.redis.connection import StoreConnection, StoreError, StoreOptions, StoreRefusal
from router.journal.redis.lease import LeaseRenewal
from router.journal.redis.log import WorkspaceLog
from router.journal.redis.mark import NodeMark, SeenPosition
from router.journal.redis.preflight import ServerFigures, check_server, prepare_connection, read_figures, warnings_of
from router.journal.redis.reading import PAGE_RECORDS, LogView, chain_at, read_records
from router.journal.redis.recovery import OpenedWorkspace, StoreOpening
from router.journal.redis.repair import accept_loss
from router.journal.redis.scripts import ALL
from router.journal.redis.snapshots import begin_snapshot, commit_snapshot, split_snapshot, write_part
from router.journal.redis.trimming import Trimmer
from router.journal.sqlite.export import ExportReport
from router.journal.sqlite.journal import JournalThread, notify_loop
from router.model.errors import JournalError, JournalLocked, JournalUnavailable
from router.model.states import WorkspaceId
from router.store_settings import StoreSettings

T = TypeVar("T")

_MARK_INTERVAL_S: Final = 1.0
_HEARTBEAT_S: Final = 1.0
_PING_INTERVAL_S: Final = 1.0
_CHECK_INTERVAL_S: Final = 10.0


class RedisJournal:
    """A ``Journal`` on a server, led by this process."""

    def __init__(self, settings: StoreSettings, *, data_directory: Path, archive_directory: Path) -> None:
        """``data_directory`` holds the mark of this node. Raises SettingsInvalid."""
        assert settings.url is not None
        self._settings = settings
        self._archive_directory = archive_directory
        self.address: Final[StoreAddress] = parse_address(settings.url)
        self._options = StoreOptions.of(settings, self.address)
        self._mark = NodeMark(data_directory)
        self._stopping = threading.Event()
        self._closed = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self._logs: dict[WorkspaceId, WorkspaceLog] = {}
        self._writer: JournalThread | None = None
        self._reader: JournalThread | None = None
        self._write_client = StoreClient(self.address, self._options, on_connect=self._prepare)
        self._read_client = StoreClient(self.address, self._options, on_connect=load_scripts)
        self._check_client = StoreClient(self.address, self._options)
        self._appender = Appender(
            self._write_client, settings.durability, outage_s=float(settings.outage_s_max), stopping=self._stopping
        )
        self._leases = LeaseRenewal(
            StoreClient(self.address, self._options, on_connect=load_scripts), lease_s=settings.lease_s, on_lost=self._on_lease_lost
        )
        self._opening = StoreOpening(self._write_client, settings, self._mark, self._stopping)
        self._server_problem: str | None = None
        self._servers: list[ServerFigures] = []
        self._archives = self._archived_events = self._archives_failed = 0
        self.warnings: list[str] = []
        """Advice of the checks at the start."""
        self.on_trouble: Callable[[str | None], None] | None = None
        """Called when commits begin to wait for the store (the reason), and when they go on (None)."""
        self.on_archived: Callable[[ExportReport], None] | None = None
        """Called with each archive made by trimming."""
        self.on_archive_failed: Callable[[JournalError], None] | None = None
        """Called where an archive could not be made; the records stay in the store."""

    @property
    def label(self) -> str:
        """Return the address without credentials."""
        return self.address.label

    # --- state for metrics -----------------------------------------------------------------

    def status(self) -> JournalStatus:
        """Return the level of durability, and why commits wait."""
        return JournalStatus(durability=str(self._settings.durability), problem=self._appender.trouble or self._server_problem)

    @property
    def read_backs(self) -> int:
        """Return how often the outcome of a write had to be read back."""
        return self._appender.read_backs

    @property
    def repaired_events(self) -> int:
        """Return the number of confirmed events that a server had lost and that were written again."""
        return self._appender.repaired_events

    def figures(self) -> StoreFigures:
        """Return figures for the metrics; may be called on any thread."""
        servers = self._servers
        return StoreFigures(
            led=tuple(
                LedFigures(
                    workspace=log.workspace,
                    epoch=log.epoch,
                    events=log.confirmed.seq - log.first_seq + 1,
                    unconfirmed_events=log.prepared_seq - log.confirmed.seq,
                )
                for log in list(self._logs.values())
            ),
            connects=self._write_client.connects + self._read_client.connects + self._leases.connects,
            archives=self._archives,
            archived_events=self._archived_events,
            archives_failed=self._archives_failed,
            memory_bytes=sum(one.memory_bytes for one in servers),
            memory_max_bytes=sum(one.memory_max_bytes for one in servers),
            replicas=min((one.replicas for one in servers), default=0),
        )

    @property
    def on_append(self) -> Callable[[float], None] | None:
        """Called on a thread with the time that each append took, its confirmation included."""
        return self._appender.on_append

    @on_append.setter
    def on_append(self, call: Callable[[float], None] | None) -> None:
        self._appender.on_append = call

    @property
    def lease_age_s(self) -> float:
        """Return the time since the leases were renewed."""
        return time.monotonic() - self._leases.renewed_s

    # --- opening and closing ---------------------------------------------------------------

    async def open(self) -> Sequence[WorkspaceHistory]:
        """Take over the store, verify every record since the newest intact snapshots, and return all histories."""
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        self._appender.on_trouble = lambda trouble: notify_loop(loop, self._tell_trouble, trouble)
        self._mark.open()
        self._writer, self._reader = JournalThread(), JournalThread()
        try:
            histories = await self._open_workspaces()
            self.warnings = await self._writer.run(self._find_warnings)
        except BaseException:
            await self._close_threads()
            self._mark.close()
            raise
        self._leases.note_heartbeat()
        self._leases.start()
        await self._write_mark()
        return histories

    async def _open_workspaces(self) -> list[WorkspaceHistory]:
        opened = await self._running(self._writer).run(self._opening.open_all)
        return [self._lead(one) for one in opened]

    def _lead(self, opened: OpenedWorkspace) -> WorkspaceHistory:
        log = opened.log
        self._logs[log.workspace] = log
        self._appender.add(log)
        self._leases.add(log)
        return opened.history

    async def create_workspace(self, workspace: WorkspaceId) -> WorkspaceHistory:
        """Start the history of a new workspace under a new random history id."""
        opened = await self._running(self._writer).run(partial(self._opening.create_workspace, workspace))
        history = self._lead(opened)
        await self._write_mark()
        return history

    async def accept_history_loss(self) -> list[HistoryLoss]:
        """Keep the intact records of each damaged workspace under a new history id, at the operator's request.

        Call this instead of ``open``; it closes the journal.
        """
        self._mark.open()
        self._writer = JournalThread()
        try:
            return await self._writer.run(partial(accept_loss, self._opening, self._write_client, self._mark))
        finally:
            await self._close_threads()
            self._mark.close()

    async def close(self) -> None:
        """Give the leases back and close the connections. Idempotent."""
        self._closed.set()
        if self._writer is None:
            return
        self._stopping.set()
        if self._logs or self._failure is not None:
            await asyncio.to_thread(self._leases.stop)
        keys = list(self._logs)
        await self._writer.run(partial(self._opening.give_back, keys))
        await self._write_mark()
        await self._close_threads()
        self._mark.close()

    async def _close_threads(self) -> None:
        for thread, client in ((self._writer, self._write_client), (self._reader, self._read_client)):
            if thread is not None:
                await thread.run(client.close)
                thread.stop()
        self._writer = self._reader = None
        self._check_client.close()

    # --- records ---------------------------------------------------------------------------

    async def append(self, batch: Sequence[tuple[WorkspaceId, Record]]) -> None:
        """Make the whole batch as durable as the settings say, with one pipeline for all workspaces."""
        if not batch:
            return
        thread = self._running(self._writer)
        touched: dict[WorkspaceId, WorkspaceLog] = {}
        for workspace, record in batch:
            log = self._logs[workspace]
            log.prepare(record)
            touched[workspace] = log
        await thread.run(partial(self._appender.append, touched.values()))

    def replay(self, workspace: WorkspaceId, *, after_seq: int = 0) -> Iterator[Record]:
        """Iterate over the records after ``after_seq`` in order.

        Blocks on the network: only for use before the writer runs.
        """
        thread = self._running(self._reader)
        while True:
            chunk = thread.run_blocking(partial(self._read, workspace, after_seq, PAGE_RECORDS))
            yield from chunk
            if len(chunk) < PAGE_RECORDS:
                return
            after_seq = chunk[-1].last_seq

    async def read(self, workspace: WorkspaceId, *, after_seq: int, limit: int) -> list[Record]:
        """Return at most ``limit`` confirmed records whose last event is after ``after_seq``, while the writer runs."""
        thread = self._running(self._reader)
        records: list[Record] = []
        while len(records) < limit:
            chunk_limit = min(PAGE_RECORDS, limit - len(records))
            chunk = await thread.run(partial(self._read, workspace, after_seq, chunk_limit))
            records += chunk
            if len(chunk) < chunk_limit:
                break
            after_seq = chunk[-1].last_seq
        return records

    def first_seq(self, workspace: WorkspaceId) -> int:
        """Return the first event that the store has; more than 1 where events have been archived."""
        return self._logs[workspace].first_seq

    async def save_snapshot(self, workspace: WorkspaceId, snapshot: Snapshot) -> None:
        """Store a snapshot; the previous one is retained. Records can be appended meanwhile."""
        log, thread = self._logs[workspace], self._running(self._reader)
        parts = await asyncio.to_thread(split_snapshot, snapshot)
        begin = partial(begin_snapshot, self._read_client, log, snapshot.seq, len(parts))
        if not await thread.run(partial(self._repeat, begin)):
            return
        for number, data in enumerate(parts):
            job = partial(write_part, self._read_client, log.keys, snapshot.seq, number, data)
            await thread.run(partial(self._repeat, job))
        view = self._view(log)
        chain = await thread.run(partial(self._repeat, lambda: chain_at(self._read_client, view, snapshot.seq)))
        commit = partial(commit_snapshot, self._read_client, log, snapshot, chain, len(parts))
        await thread.run(partial(self._repeat, commit))

    # --- maintenance -----------------------------------------------------------------------

    async def run_maintenance(self) -> None:
        """Write the mark, check the server and trim the logs, until the journal is closed.

        Raises JournalLocked where another node has taken over, and what an append would raise where the server lost events.
        """
        assert self._failure is not None
        tasks = [asyncio.ensure_future(work) for work in (self._send_heartbeats(), self._check_connection(), self._maintain())]
        try:
            await asyncio.wait((*tasks, self._failure), return_when=asyncio.FIRST_COMPLETED)
            for done in (self._failure, *tasks):
                if done.done():
                    done.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_heartbeats(self) -> None:
        """Tell the thread of the leases that the event loop turns."""
        while not await self._is_closed_after(_HEARTBEAT_S):
            self._leases.note_heartbeat()

    async def _check_connection(self) -> None:
        """Notice a server that was replaced while nothing is appended. In an outage this waits behind the appends."""
        while not await self._is_closed_after(_PING_INTERVAL_S):
            await self._running(self._writer).run(self._appender.check)

    async def _maintain(self) -> None:
        trimmer = Trimmer(
            self._read_client, self._running(self._reader), self._archive_directory, event_count_max=self._settings.event_count_max
        )
        checked_s = time.monotonic()
        while not await self._is_closed_after(_MARK_INTERVAL_S):
            await self._write_mark()
            # A problem that was corrected should not be shown any longer than that.
            if time.monotonic() - checked_s >= _CHECK_INTERVAL_S or self._server_problem is not None:
                self._server_problem = await asyncio.to_thread(self._find_server_problem)
                await self._trim(trimmer)
                checked_s = time.monotonic()

    async def _is_closed_after(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)
        return self._closed.is_set()

    async def _trim(self, trimmer: Trimmer) -> None:
        for log in list(self._logs.values()):
            if not trimmer.is_due(log):
                continue
            try:
                report = await trimmer.trim(log, self._view(log))
            except JournalLocked:
                if self._logs.get(log.workspace) is log:
                    raise
            except JournalUnavailable as error:
                self._archives_failed += 1
                if self.on_archive_failed is not None:
                    self.on_archive_failed(error)
            else:
                if report is not None:
                    self._archives += 1
                    self._archived_events += report.events
                    if self.on_archived is not None:
                        self.on_archived(report)

    def _seen_positions(self) -> dict[WorkspaceId, SeenPosition]:
        return {
            name: SeenPosition(history_id=log.history_id, epoch=log.epoch, seq=log.confirmed.seq, chain=log.confirmed_chain)
            for name, log in self._logs.items()
        }

    async def _write_mark(self) -> None:
        positions = self._seen_positions()
        if positions:
            await asyncio.to_thread(self._mark.write, self._opening.store_id, positions)

    # --- parts that run on threads -----------------------------------------------------------

    def _prepare(self, connection: StoreConnection) -> None:
        prepare_connection(connection, self.address, self._settings)

    def _find_warnings(self) -> list[str]:
        try:
            nodes = self._write_client.nodes()
            self._servers = [read_figures(connection) for connection in nodes]
            return [text for connection in nodes for text in warnings_of(connection)]
        except StoreError:
            return []

    def _find_server_problem(self) -> str | None:
        try:
            self._servers = [check_server(connection, self.address, self._settings) for connection in self._check_client.nodes()]
        except StoreError as error:
            self._check_client.reset()
            return str(error)
        return None

    def _read(self, workspace: WorkspaceId, after_seq: int, limit: int) -> list[Record]:
        log = self._logs[workspace]
        records = self._repeat(lambda: read_records(self._read_client, self._view(log), after_seq=after_seq, limit=limit))
        # What is stored but not confirmed yet must not be seen outside.
        while records and records[-1].last_seq > log.confirmed.seq:
            records.pop()
        return records

    def _repeat(self, job: Callable[[], T]) -> T:
        """Run idempotent work until the store can be used. Raises JournalUnavailable after ``store.outage_s_max``."""
        outage: Outage | None = None
        while True:
            try:
                return job()
            except StoreError as error:
                if isinstance(error, StoreRefusal) and not error.is_temporary:
                    raise JournalUnavailable(f"the store refused a request: {error}") from error
                outage = outage or Outage(float(self._settings.outage_s_max), self._stopping)
                outage.wait(error)

    def _view(self, log: WorkspaceLog) -> LogView:
        return LogView(log.workspace, log.keys, log.epochs, log.first_seq, log.base_chain)

    def _tell_trouble(self, trouble: str | None) -> None:
        if self.on_trouble is not None:
            self.on_trouble(trouble)

    def _on_lease_lost(self, error: JournalError) -> None:
        failure = self._failure
        assert failure is not None

        def fail() -> None:
            if not failure.done():
                failure.set_exception(error)

        notify_loop(failure.get_loop(), fail)

    def _running(self, thread: JournalThread | None) -> JournalThread:
        if thread is None:
            raise JournalUnavailable("the journal is not open")
        return thread


def load_scripts(connection: StoreConnection) -> None:
    """Load the scripts into a server to which a connection was made. Raises StoreError."""
    for reply in connection.run([("SCRIPT", "LOAD", script.text) for script in ALL]):
        if isinstance(reply, StoreRefusal):
            raise reply
