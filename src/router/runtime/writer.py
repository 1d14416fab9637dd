"""Single-writer loop: the only task that calls the engines.

Other tasks enqueue commands and queries (``execute``, ``submit``, ``query``). The writer task takes a batch from the command
queue, executes each item at one common time, writes all records in one commit, publishes them to the subscribers, and then
completes the replies. It does so in turns of about two milliseconds, between which other tasks run. This order gives two
guarantees: no event leaves the process before it is durable, and no refusal or query result leaves it before the events that it
depends on are durable. While one commit is in progress the next commands gather in the queue, so a busier router puts more
commands into one commit.

An exception of the journal or a broken invariant is never caught here. ``run`` raises, all pending replies fail with
JournalUnavailable, and the process must end, because the state in memory is ahead of the journal. The next start recovers from
what is durable.

The writer makes no routing decisions. Only its ``BatchProcessor`` calls ``Engine.handle``. Callbacks that run in the loop
(subscribers, replies, ``on_decided``, ``on_refused_submit``) must be quick and must not raise.
"""

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from router.engine.engine import Engine
from router.engine.queries.requests import TokenHolder
from router.journal.crash_points import crash_point
from router.journal.port import Consumed, Journal, WorkspaceHistory
from router.journal.records import Record
from router.model.commands import (
    AdvanceTime,
    Command,
    EnqueueContact,
    GuardedCommand,
    LoseDesktop,
    RequestContact,
    SetCustomerPresence,
    SubmitOrResume,
)
from router.model.errors import JournalError, JournalUnavailable, Stopping
from router.model.events import ContactGoal
from router.model.results import RefusalCode
from router.model.states import ContactId, WorkspaceId
from router.runtime.clock import Clock, SystemClock, WakeupSchedule
from router.runtime.command_queue import (
    ROUTER_ACTOR,
    Batch,
    BatchProcessor,
    CommandQueue,
    CommitPacer,
    QueuedItem,
    QueuedWork,
    Turns,
    WriterLimits,
    is_submit,
)
from router.runtime.event_feed import EventFeed
from router.runtime.publisher import Publisher
from router.runtime.recovery import NoStats, StatsProjection, recover_workspace
from router.runtime.snapshots import SnapshotSchedule, SnapshotScheduler, StateImage
from router.runtime.workspace import (
    HeldCommands,
    QueryResult,
    QueuedCommand,
    QueuedQuery,
    RemoteCommands,
    Reply,
    ReplyTarget,
    WorkspaceRuntime,
)

__all__ = ["Writer", "WriterLimits", "Reply", "QueryResult"]

T = TypeVar("T")

_before_reply = crash_point("before_reply")
_after_reply = crash_point("after_reply")

_WRAPS_COMMAND: Final = frozenset({GuardedCommand, RequestContact, SubmitOrResume})
_HAVE_KEYS: Final = (EnqueueContact, GuardedCommand)


class Writer:
    """Execute commands and queries for all workspaces of this process."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock | None = None,
        publisher: Publisher | None = None,
        limits: WriterLimits | None = None,
        snapshots: SnapshotSchedule | None = None,
        new_stats: Callable[[WorkspaceId], StatsProjection] = lambda _: NoStats(),
        new_engine: type[Engine] = Engine,
    ) -> None:
        """``new_stats`` creates the statistics of a workspace; only the writer applies events to them, live and at recovery."""
        self.clock: Final[Clock] = clock if clock is not None else SystemClock()
        self.publisher: Final = publisher if publisher is not None else Publisher()
        self.feed: Final = EventFeed(self.publisher, journal)
        self._limits = limits if limits is not None else WriterLimits()
        self._schedule = snapshots if snapshots is not None else SnapshotSchedule()
        self._journal = journal
        self._new_stats = new_stats
        self._new_engine = new_engine
        self._workspaces: dict[WorkspaceId, WorkspaceRuntime] = {}
        self._wakeups = WakeupSchedule()
        self._queue: CommandQueue[QueuedItem] = CommandQueue(
            count_max=self._limits.queue_count_max, is_submit=_is_submit, submit_wait_ms_max=self._limits.submit_wait_ms_max
        )
        self._processor = BatchProcessor(
            self._workspaces, self._wakeups, self._queue, count_max=self._limits.batch_count_max, ms_max=self._limits.batch_ms_max
        )
        self._pacer = CommitPacer(self._limits.commit_gap_ms)
        self._turns = Turns()
        self._creating = asyncio.Lock()
        self._snapshot_scheduler = SnapshotScheduler(journal, self._schedule, wake=self.wake)
        self.intake: Callable[[WorkspaceId, QueuedCommand], None] | None = None
        """Called with each queued command that may have a reference, before it is executed; it may replace command and reply."""
        self.key_hashes: Callable[[EnqueueContact | GuardedCommand], EnqueueContact | GuardedCommand] | None = None
        """Called with each command that has an idempotency key, before it is executed; returns it with the hashes to be stored."""
        self.on_decided: Callable[[WorkspaceId, Record, Engine], None] | None = None
        """Called with each record before it is durable, to prepare what may be sent with it; nothing may be sent yet."""
        self.on_refused_submit: Callable[[WorkspaceId, EnqueueContact, RefusalCode, int], None] | None = None
        """Callback for refused submits, in order with the durable records, because refusals leave no event.

        It must be quick and must not raise.
        """
        self.positions_ahead = 0
        """Positions reported by clients, since the start, that are later than the newest event of their history."""
        self.on_position_ahead: Callable[[WorkspaceId, int, int], None] | None = None
        """Callback for such a position: workspace, sequence number, newest sequence number. Must be quick and must not raise."""
        self.on_consumed: Callable[[list[Consumed]], None] | None = None
        """Called before a commit with the commands of other nodes whose effect is in it."""
        self.session_prefix = ""
        """Beginning of the ids of sessions that this process opens: among several nodes, the name of its run."""
        self._remote: RemoteCommands | None = None
        self._changes: list[tuple[Callable[[], None], asyncio.Future[None]]] = []
        """What is to be done between two batches."""
        self._stopping = False
        self._started = False
        self._ended = asyncio.Event()
        self._broken = False

    # --- start and stop --------------------------------------------------------------

    async def recover(self) -> list[WorkspaceId]:
        """Open the journal and rebuild every workspace in it; call before ``run``. Raises JournalError."""
        for history in await self._journal.open():
            await self._recover_workspace(history)
        return list(self._workspaces)

    async def add_workspace(self, workspace: WorkspaceId) -> None:
        """Create the workspace where it does not exist yet; call at any time after ``recover``."""
        async with self._creating:
            if workspace not in self._workspaces:
                await self._recover_workspace(await self._journal.create_workspace(workspace))

    async def add_followed(self, history: WorkspaceHistory) -> None:
        """Rebuild a workspace that another node leads while others are served; it is not in the event feed yet.

        Raises JournalError, and then it is not there.
        """
        await self._recover_workspace(history, is_serving=True)

    async def _recover_workspace(self, history: WorkspaceHistory, *, is_serving: bool = False) -> None:
        recovered = await recover_workspace(
            self._journal,
            history,
            new_engine=self._new_engine,
            new_stats=self._new_stats,
            publisher=self.publisher,
            replay_record_count=self._limits.replay_record_count,
            is_serving=is_serving,
        )
        engine = recovered.engine
        self.clock.set_minimum(engine.at_ms)
        runtime = WorkspaceRuntime(
            workspace=history.workspace,
            history_id=history.history_id,
            epoch=history.last_position.epoch + 1 if history.epoch is None else history.epoch,
            engine=engine,
            stats=recovered.stats,
            events_since_snapshot=engine.seq - recovered.snapshot_seq,
            quiet_since_ms=self.clock.now_ms(),
            is_led=history.is_led,
            takes_commands=history.is_led,
        )
        self._workspaces[history.workspace] = runtime
        if not history.is_led:
            return
        self._wakeups.set(runtime.workspace, engine.next_deadline_ms())
        # Sessions of the previous process are lost: their connections ended with it.
        for agent_id, session_id in engine.attached_sessions():
            lost = LoseDesktop(agent_id=agent_id, session_id=session_id)
            self._queue.put(runtime.workspace, QueuedCommand(lost, ROUTER_ACTOR, None), ignore_limit=True)
        for contact_id in engine.connected_customers():
            away = SetCustomerPresence(contact_id=contact_id, is_here=False)
            self._queue.put(runtime.workspace, QueuedCommand(away, ROUTER_ACTOR, None), ignore_limit=True)

    async def stop(self) -> None:
        """Refuse new commands, finish the queued ones, take snapshots, and close the journal."""
        self._stopping = True
        self._queue.wake()
        if self._started:
            await self._ended.wait()
        await self.feed.close()
        await self._journal.close()

    @property
    def workspaces(self) -> Sequence[WorkspaceId]:
        """Return the ids of all workspaces."""
        return list(self._workspaces)

    def has_workspace(self, workspace: WorkspaceId) -> bool:
        """Return whether this process has the state of a workspace."""
        return workspace in self._workspaces

    @property
    def created_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that were created over the API, and may not be in the settings."""
        return [name for name, runtime in self._workspaces.items() if runtime.engine.created is not None]

    @property
    def removed_workspaces(self) -> list[WorkspaceId]:
        """Return the workspaces that were removed over the API, whose histories the journal still holds."""
        return [name for name, runtime in self._workspaces.items() if runtime.engine.is_removed]

    def token_holder(self, token_hash: bytes) -> tuple[WorkspaceId, TokenHolder] | None:
        """Return the workspace and the contact whose customer has the token with this hash; None if there is none."""
        for workspace, runtime in self._workspaces.items():
            holder = runtime.engine.token_holder(token_hash)
            if holder is not None:
                return workspace, holder
        return None

    def goals_of(self, workspace: WorkspaceId, contact_ids: Iterable[ContactId]) -> dict[ContactId, ContactGoal]:
        """Return the goals of contacts, as far as they are kept."""
        runtime = self._workspaces.get(workspace)
        return {} if runtime is None else runtime.engine.goals_of(contact_ids)

    @property
    def queue_depth(self) -> int:
        """Return the number of queued commands and queries."""
        return len(self._queue)

    @property
    def refused_submits(self) -> int:
        """Return the number of submits refused because of overload since the start."""
        return self._queue.refused_submits

    def is_submit_refused(self, workspace: WorkspaceId) -> bool:
        """Return whether a submit is refused because of overload; a true result is counted as a refusal."""
        return self._queue.is_submit_refused(workspace)

    def admit_submit(self, workspace: WorkspaceId) -> None:
        """Raise CommandQueueFull where a submit is refused because of overload; check this before any work on it."""
        self._queue.admit_submit(workspace)

    @property
    def newest_ms(self) -> int:
        """Return the time of the newest command or record of all workspaces, 0 where there is none."""
        return max((one.engine.at_ms for one in self._workspaces.values()), default=0)

    def history_id(self, workspace: WorkspaceId) -> str:
        """Return the history id of a workspace. Raises KeyError for an unknown workspace."""
        return self._workspaces[workspace].history_id

    def epoch(self, workspace: WorkspaceId) -> int:
        """Return the epoch of this start in a workspace. Raises KeyError for an unknown workspace."""
        return self._workspaces[workspace].epoch

    def stats(self, workspace: WorkspaceId) -> StatsProjection:
        """Return the statistics of a workspace as of its newest durable event. Raises KeyError for an unknown workspace."""
        return self._workspaces[workspace].stats

    def note_position(self, workspace: WorkspaceId, history_id: str, seq: int) -> None:
        """Note a position that a client reports; one of this history that is later than its newest event is counted."""
        newest_seq = self.publisher.last_seq(workspace)
        if history_id == self.history_id(workspace) and seq > newest_seq:
            self.positions_ahead += 1
            if self.on_position_ahead is not None:
                self.on_position_ahead(workspace, seq, newest_seq)

    # --- commands and queries ------------------------------------------------------------

    async def execute(self, workspace: WorkspaceId, command: Command, *, actor: str) -> Reply:
        """Execute a command and return its reply once it is durable.

        Raises CommandQueueFull, Stopping, JournalUnavailable, and KeyError for an unknown workspace.
        """
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(workspace, command, actor=actor, reply=reply)
        return await reply

    def submit(self, workspace: WorkspaceId, command: Command, *, actor: str, reply: ReplyTarget[Reply] | None) -> None:
        """Enqueue a command without waiting; ``reply``, if any, is completed in the batch that makes the result durable.

        Sockets use this for thousands of commands per second, where a coroutine and a future per command would cost more than
        routing. Raises as ``execute``; in that case ``reply`` is not called.
        """
        self._check_open(workspace)
        if self.key_hashes is not None and isinstance(command, _HAVE_KEYS) and command.dedupe_key is not None:
            command = self.key_hashes(command)
        queued = QueuedCommand(command, actor, reply)
        if self._remote is not None and not (runtime := self._workspaces[workspace]).takes_commands:
            held = runtime.held_commands
            if held is not None:
                held.admit()
                self._take_in(workspace, queued)
                held.commands.append(queued)
            else:
                self._remote.admit(workspace)
                self._take_in(workspace, queued)
                self._remote.send(workspace, queued)
            return
        self._queue.put(workspace, queued)
        self._take_in(workspace, queued)

    def _take_in(self, workspace: WorkspaceId, queued: QueuedCommand) -> None:
        command = queued.command
        if self.intake is not None and (type(command) in _WRAPS_COMMAND or getattr(command, "reference", None) is not None):
            self.intake(workspace, queued)

    async def query(self, workspace: WorkspaceId, query: Callable[[Engine], T]) -> QueryResult[T]:
        """Run a read-only function on the engine, in order with the commands.

        Raises as ``execute``, and whatever the function raises.
        """
        reply: asyncio.Future[QueryResult[T]] = asyncio.get_running_loop().create_future()
        self._put_query(workspace, QueuedQuery(query, reply))
        return await reply

    async def query_in_slices(self, workspace: WorkspaceId, query: Callable[[Engine], Generator[None, None, T]]) -> QueryResult[T]:
        """Run a long read-only query of the engine in turns, between which commands are executed.

        The position is that of the last turn. Raises as ``query``.
        """
        reply: asyncio.Future[QueryResult[T]] = asyncio.get_running_loop().create_future()
        self._put_query(workspace, QueuedQuery(query, reply))
        return await reply

    def _put_query(self, workspace: WorkspaceId, query: QueuedQuery) -> None:
        self._check_open(workspace)
        self._queue.put(workspace, query)

    async def capture_state(self, workspace: WorkspaceId) -> StateImage:
        """Return the state as bytes, as of a durable event no older than this call, without blocking the writer.

        Raises Stopping, JournalUnavailable, and KeyError for an unknown workspace.
        """
        self._check_open(workspace)
        image: asyncio.Future[StateImage] = asyncio.get_running_loop().create_future()
        self._snapshot_scheduler.request_image(self._workspaces[workspace], image)
        return await image

    # --- workspaces shared with other nodes --------------------------------------------------

    def share(self, remote: RemoteCommands) -> None:
        """Send the commands of workspaces that this process does not lead to their leaders."""
        self._remote = remote

    def is_led(self, workspace: WorkspaceId) -> bool:
        """Return whether this process decides in a workspace; False for one of which it does not have the state."""
        return (runtime := self._workspaces.get(workspace)) is not None and runtime.is_led

    def put_work(self, workspace: WorkspaceId, work: QueuedWork) -> None:
        """Queue work of a shared workspace, whatever waits already."""
        self._queue.put(workspace, work, ignore_limit=True)

    async def lead(self, workspace: WorkspaceId, take: Callable[[], int]) -> None:
        """Begin to decide in a workspace, between two batches; ``take`` makes the log writable and returns the epoch.

        Commands that this process sent to the former leader may still wait in the store. New ones are held until those are carried
        out, so that the commands of one connection keep their order. The last one sent tells when that is: its answer comes behind
        all others.
        """

        def change() -> None:
            runtime = self._workspaces[workspace]
            runtime.epoch = take()
            runtime.is_led = True
            self.clock.set_minimum(runtime.engine.at_ms)
            self._wakeups.set(workspace, runtime.engine.next_deadline_ms())
            if self._remote is None or self._remote.is_settled(workspace):
                runtime.takes_commands = True
                return
            held = HeldCommands(partial(self._release, runtime), count_max=self._limits.queue_count_max)
            runtime.held_commands = held
            self._remote.send(workspace, QueuedCommand(AdvanceTime(), ROUTER_ACTOR, held))

        await self._change(change)

    def _release(self, runtime: WorkspaceRuntime, held: HeldCommands) -> None:
        if runtime.held_commands is not held:
            return
        runtime.held_commands = None
        runtime.takes_commands = True
        for queued in held.commands:
            self._queue.put(runtime.workspace, queued, ignore_limit=True)

    async def follow(self, workspace: WorkspaceId) -> None:
        """Decide no more in a workspace, between two batches; its commands go to the leader from now on, the queued ones first."""

        def change() -> None:
            runtime = self._workspaces[workspace]
            runtime.is_led = runtime.takes_commands = False
            self._wakeups.set(workspace, None)
            held, runtime.held_commands = runtime.held_commands, None
            waiting = self._queue.take(workspace, QueuedCommand) + ([] if held is None else held.commands)
            if self._remote is not None:
                for queued in waiting:
                    self._remote.send(workspace, queued)

        await self._change(change)

    async def forget(self, workspace: WorkspaceId, forgotten: Callable[[Engine], None], is_held: Callable[[], bool]) -> bool:
        """Drop a workspace of which no more records come, between two batches; False: it is led or held, or something of it waits.

        ``is_held`` and, with its engine, ``forgotten`` are called in the same step. Raises JournalUnavailable after the end.
        """
        is_forgotten = False

        def change() -> None:
            nonlocal is_forgotten
            runtime = self._workspaces[workspace]
            if runtime.is_led or runtime.held_commands or runtime.held_replies or self._queue.has_items(workspace) or is_held():
                return
            is_forgotten = True
            del self._workspaces[workspace]
            self.feed.remove_workspace(workspace)
            self.publisher.remove_workspace(workspace)
            forgotten(runtime.engine)

        await self._change(change)
        return is_forgotten

    async def _change(self, change: Callable[[], None]) -> None:
        if self._ended.is_set():
            raise JournalUnavailable("the writer has ended")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.append((change, done))
        self.wake()
        await done

    def _make_changes(self) -> None:
        changes, self._changes = self._changes, []
        for change, done in changes:
            change()
            if not done.done():
                done.set_result(None)

    def _check_open(self, workspace: WorkspaceId) -> None:
        if self._broken:
            raise JournalUnavailable("the writer has ended")
        if self._stopping:
            raise Stopping("the router is stopping")
        if workspace not in self._workspaces:
            raise KeyError(workspace)

    # --- the writer loop ---------------------------------------------------------------

    async def run(self) -> None:
        """Run the writer loop until ``stop``.

        Raises the error of the journal or the broken invariant, after which the process must end.
        """
        assert not self._started, "a writer runs only once"
        if self._stopping:
            return
        self._started = True
        maintenance = asyncio.create_task(self._journal.run_maintenance())
        maintenance.add_done_callback(lambda _: self.wake())
        batch: Batch | None = None
        try:
            while not self._is_done():
                if maintenance.done():
                    maintenance.result()
                if await self._queue.wait(self._idle_s()):
                    self._turns.begin()
                delay_s = self._pacer.delay_s(len(self._queue))
                if delay_s > 0 and not self._stopping:
                    await asyncio.sleep(delay_s)
                    self._turns.begin()
                if self._changes:
                    self._make_changes()
                batch = Batch(self.clock.now_ms(), self.on_refused_submit is not None)
                for _ in self._processor.process(batch, self._turns):
                    await self._turns.end()
                await self._commit(batch)
                await self._complete_replies(batch)
                batch = None
                if self._snapshot_scheduler.has_work and not self._turns.is_fresh():
                    await self._turns.end()
                self._snapshot_scheduler.start_next(self._workspaces.values(), now_ms=self.clock.now_ms())
            await self._snapshot_scheduler.save_all(list(self._workspaces.values()))
        except BaseException:
            self._broken = True
            raise
        finally:
            # Also after an orderly stop: every pending reply is completed.
            self._fail_pending_replies(batch)
            await self._snapshot_scheduler.cancel()
            maintenance.cancel()
            # Its failure has been raised above, or comes second to what has ended the loop.
            with suppress(asyncio.CancelledError, JournalError):
                await maintenance
            self._ended.set()

    def _is_done(self) -> bool:
        return self._stopping and not len(self._queue)

    def wake(self) -> None:
        """Make the loop check the clock and the command queue again."""
        self._queue.wake()

    def _idle_s(self) -> float:
        if self._changes:
            return 0.0  # It came while a batch was carried out, when nothing waits that could be woken.
        # Wake up from time to time so that idle workspaces get their snapshots.
        idle_s = self._schedule.idle_ms / 1000
        deadline_ms = self._wakeups.next_ms()
        return idle_s if deadline_ms is None else min(self.clock.delay_s(deadline_ms), idle_s)

    async def _commit(self, batch: Batch) -> None:
        if batch.followed:
            await self._publish_followed(batch)
        if not batch.records and not batch.consumed:
            self._notify_refused_submits(batch, 0)
            # A caller that sends queries without pause must not starve the event loop.
            await self._turns.end()
            return
        if batch.consumed and self.on_consumed is not None:
            self.on_consumed(batch.consumed)
        self._pacer.commit_started()
        if self.on_decided is not None:
            for workspace, record in batch.records:
                self.on_decided(workspace, record, self._workspaces[workspace].engine)
        if self._turns.is_half_over():
            await self._turns.end()  # The records of a large batch take a millisecond to encode.
        await self._turns.run(self._journal.append(batch.records))
        for count, (workspace, record) in enumerate(batch.records):
            if batch.refused_submits:
                self._notify_refused_submits(batch, count)
            self._publish(workspace, record, batch.at_ms)
            if self._turns.is_over():
                await self._turns.end()
        self._notify_refused_submits(batch, len(batch.records))

    def _publish(self, workspace: WorkspaceId, record: Record, at_ms: int) -> None:
        runtime = self._workspaces[workspace]
        self._snapshot_scheduler.count_events(runtime, events=len(record.events), at_ms=at_ms)
        apply, seq = runtime.stats.apply, record.first_seq
        for event in record.events:
            apply(event, seq, record.at_ms)
            seq += 1
        self.publisher.publish(workspace, record)

    async def _publish_followed(self, batch: Batch) -> None:
        """Publish what other nodes have decided and made durable."""
        for workspace, record in batch.followed:
            if self.on_decided is not None:
                self.on_decided(workspace, record, self._workspaces[workspace].engine)
            self._publish(workspace, record, batch.at_ms)
            if self._turns.is_over():
                await self._turns.end()

    def _notify_refused_submits(self, batch: Batch, records: int) -> None:
        while batch.refused_submits and batch.refused_submits[0][0] <= records:
            _, workspace, command, code = batch.refused_submits.pop(0)
            if self.on_refused_submit is not None:
                self.on_refused_submit(workspace, command, code, batch.at_ms)

    async def _complete_replies(self, batch: Batch) -> None:
        if _before_reply is not None and batch.records:
            _before_reply()
        for reply, result in batch.replies:
            # The caller may have been cancelled.
            if not reply.done():
                reply.set_result(result)
                if self._turns.is_over():
                    await self._turns.end()
        if _after_reply is not None and batch.records:
            _after_reply()

    def _fail_pending_replies(self, batch: Batch | None) -> None:
        pending = batch.pending_replies if batch is not None else []
        pending += [item.reply for item in self._queue.drain() if item.reply is not None]
        for runtime in self._workspaces.values():
            pending += [held.reply for held in runtime.held_replies]
            if runtime.held_commands is not None:
                pending += [queued.reply for queued in runtime.held_commands.commands if queued.reply is not None]
        for _, done in self._changes:
            done.cancel()
        for reply in pending:
            if not reply.done():
                reply.set_exception(JournalUnavailable("the writer has ended"))


def _is_submit(item: QueuedItem) -> bool:
    return type(item) is QueuedCommand and is_submit(item.command)
