"""The corridor: the one task that touches the engines.

Take a batch – carry out each command at one time – write all records in one commit – tell the listeners – answer. Nobody
hears of an event before it is durable, nor of a refusal or an answer before the events that it rests on are. If the
journal fails, nothing is caught: ``run`` raises, those who wait get JournalUnavailable, and the process has to end, for
memory is ahead of the disk.

It decides nothing about routing, and nobody but its batches calls ``Engine.handle``.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from msgspec import Struct

from router.core.engine import Engine
from router.journal.crash_points import crash_point
from router.journal.port import Journal, WorkspaceHistory
from router.model.commands import Command, EnqueueContact, LoseDesktop
from router.model.errors import JournalUnavailable, Stopping
from router.model.ids import WorkspaceId
from router.model.refusals import RefusalCode
from router.runtime.batches import ROUTER, Batches, Turn
from router.runtime.clock import Clock, SystemClock
from router.runtime.deadlines import Deadlines
from router.runtime.inbox import COUNT_MAX, SUBMIT_WAIT_MS_MAX, Inbox
from router.runtime.lane import Answered, Asked, Lane, Question, Reply, Waiting
from router.runtime.pacing import Pacing
from router.runtime.publisher import WORKSPACE_RECORDS_MAX, Publisher
from router.runtime.recovery import Meters, NoMeters, recover
from router.runtime.snapshots import Imaged, SnapshotSchedule, Snapshotting

__all__ = ["Writer", "WriterLimits", "Reply", "Answered"]

T = TypeVar("T")

_before_reply = crash_point("before_reply")
_after_reply = crash_point("after_reply")


class WriterLimits(Struct, frozen=True, kw_only=True):
    """How much at once."""

    inbox_count_max: int = COUNT_MAX
    """Commands and questions of one workspace that wait; of all workspaces together, four times as many."""
    submit_wait_ms_max: int = SUBMIT_WAIT_MS_MAX
    """Where many submits wait and the oldest has waited longer, further ones are refused."""
    batch_count_max: int = 256
    """Commands and questions in one commit."""
    batch_ms_max: int = 50
    """A batch that takes longer to decide is committed as far as it is: the event loop has others to serve."""
    commit_gap_ms: int = 0
    """Commits begin at least this far apart, unless many wait. 0: as soon as the one before has ended."""
    recall_records: int = WORKSPACE_RECORDS_MAX
    """Records from before the start that the publisher is given, for clients that resume."""


class Writer:
    """All workspaces of this process."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock | None = None,
        publisher: Publisher | None = None,
        limits: WriterLimits | None = None,
        snapshots: SnapshotSchedule | None = None,
        new_meters: Callable[[WorkspaceId], Meters] = lambda _: NoMeters(),
        new_engine: type[Engine] = Engine,
    ) -> None:
        """``new_meters`` makes the meters of a workspace; the writer alone folds into them, live and at recovery."""
        self.clock: Final[Clock] = clock if clock is not None else SystemClock()
        self.publisher: Final = publisher if publisher is not None else Publisher()
        self._limits = limits if limits is not None else WriterLimits()
        self._schedule = snapshots if snapshots is not None else SnapshotSchedule()
        self._journal = journal
        self._new_meters = new_meters
        self._new_engine = new_engine
        self._lanes: dict[WorkspaceId, Lane] = {}
        self._deadlines = Deadlines()
        self._inbox: Inbox[Asked | Question] = Inbox(
            count_max=self._limits.inbox_count_max,
            is_submit=_is_submit,
            submit_wait_ms_max=self._limits.submit_wait_ms_max,
        )
        self._batches = Batches(
            self._lanes,
            self._deadlines,
            self._inbox,
            count_max=self._limits.batch_count_max,
            ms_max=self._limits.batch_ms_max,
        )
        self._pacing = Pacing(self._limits.commit_gap_ms)
        self._creating = asyncio.Lock()
        self._snapshots = Snapshotting(journal, self._schedule, wake=self.wake)
        self.on_refused_submit: (
            Callable[[WorkspaceId, EnqueueContact, RefusalCode, int], None] | None
        ) = None
        """Told of refused submits, in their place among the durable records: they leave no event. Quick, and raises nothing."""
        self._stopping = False
        self._started = False
        self._ended = asyncio.Event()
        self._broken = False

    # --- before and after ------------------------------------------------------------

    async def recover(self) -> list[WorkspaceId]:
        """Open the journal and rebuild every workspace in it; before ``run``. Raises JournalError and its kinds."""
        for history in await self._journal.open():
            await self._recover_lane(history)
        return list(self._lanes)

    async def add_workspace(self, workspace: WorkspaceId) -> None:
        """Begin the workspace's history where it has none; at any time after ``recover``."""
        async with self._creating:
            if workspace not in self._lanes:
                await self._recover_lane(await self._journal.create_workspace(workspace))

    async def _recover_lane(self, history: WorkspaceHistory) -> None:
        recovered = await recover(
            self._journal,
            history,
            new_engine=self._new_engine,
            new_meters=self._new_meters,
            publisher=self.publisher,
            recall_records=self._limits.recall_records,
        )
        engine = recovered.engine
        self.clock.raise_floor(engine.at_ms)
        lane = Lane(
            workspace=history.workspace,
            gen=history.gen,
            epoch=history.last.epoch + 1,
            engine=engine,
            meters=recovered.meters,
            events_since_snapshot=engine.seq - recovered.snapshot_seq,
            quiet_since_ms=self.clock.now_ms(),
        )
        self._lanes[history.workspace] = lane
        self._deadlines.set(lane.workspace, engine.next_deadline_ms())
        # Whoever was connected to the process before this one is not connected to this one.
        for agent_id, session_id in engine.attached_sessions():
            lost = LoseDesktop(agent_id=agent_id, session_id=session_id)
            self._inbox.put(lane.workspace, Asked(lost, ROUTER, None), beyond_bound=True)

    async def stop(self) -> None:
        """Take no more, finish what has been taken, snapshot, close the journal. Returns when all that is done."""
        self._stopping = True
        self._inbox.wake()
        if self._started:
            await self._ended.wait()
        await self._journal.close()

    @property
    def workspaces(self) -> Sequence[WorkspaceId]:
        """All of them."""
        return list(self._lanes)

    @property
    def waiting(self) -> int:
        """Commands and questions in the inbox."""
        return len(self._inbox)

    @property
    def refused_submits(self) -> int:
        """Submits that found too many waiting, since the start."""
        return self._inbox.refused_submits

    def refuses_submit(self, workspace: WorkspaceId) -> bool:
        """Whether a submit would be refused for lack of room; true counts as a refusal."""
        return self._inbox.refuses_submit(workspace)

    def admit_submit(self, workspace: WorkspaceId) -> None:
        """Raises InboxFull where a submit would be refused for lack of room: to be asked before anything is done for it."""
        self._inbox.admit_submit(workspace)

    def generation(self, workspace: WorkspaceId) -> str:
        """The workspace's generation. Raises KeyError for an unknown workspace."""
        return self._lanes[workspace].gen

    def epoch(self, workspace: WorkspaceId) -> int:
        """The epoch of this start. Raises KeyError for an unknown workspace."""
        return self._lanes[workspace].epoch

    def meters(self, workspace: WorkspaceId) -> Meters:
        """The workspace's meters, as of its newest durable event. Raises KeyError for an unknown workspace."""
        return self._lanes[workspace].meters

    # --- what others call --------------------------------------------------------------

    async def execute(self, workspace: WorkspaceId, command: Command, *, actor: str) -> Reply:
        """Carry out a command; the reply is durable.

        Raises InboxFull, Stopping, JournalUnavailable; KeyError where there is no such workspace.
        """
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.submit(workspace, command, actor=actor, reply=reply)
        return await reply

    def submit(
        self,
        workspace: WorkspaceId,
        command: Command,
        *,
        actor: str,
        reply: Waiting[Reply] | None,
    ) -> None:
        """Line a command up and return; ``reply``, if any, is told in the very turn in which the answer is durable.

        What a socket has a thousand of a second: a coroutine and a future for each would cost more than routing it.
        Raises as ``execute``, before ``reply`` hears of anything.
        """
        self._check_open(workspace)
        self._inbox.put(workspace, Asked(command, actor, reply))

    async def ask(self, workspace: WorkspaceId, question: Callable[[Engine], T]) -> Answered[T]:
        """Put a question to the engine in its turn; it must change nothing. Raises as ``execute``, and what it raises itself."""
        self._check_open(workspace)
        reply: asyncio.Future[Answered[T]] = asyncio.get_running_loop().create_future()
        self._inbox.put(workspace, Question(question, reply))
        return await reply

    async def image(self, workspace: WorkspaceId) -> Imaged:
        """The state as bytes, after a durable event that is not before this call; made while the corridor goes on.

        Raises Stopping, JournalUnavailable; KeyError where there is no such workspace.
        """
        self._check_open(workspace)
        image: asyncio.Future[Imaged] = asyncio.get_running_loop().create_future()
        self._snapshots.want(self._lanes[workspace], image)
        return await image

    def _check_open(self, workspace: WorkspaceId) -> None:
        if self._broken:
            raise JournalUnavailable("the writer has ended")
        if self._stopping:
            raise Stopping("the router is stopping")
        if workspace not in self._lanes:
            raise KeyError(workspace)

    # --- the corridor ------------------------------------------------------------------

    async def run(self) -> None:
        """Until ``stop``. Raises whatever broke the journal or an invariant; the process must then end."""
        assert not self._started, "one writer, once"
        if self._stopping:
            return
        self._started = True
        tending = asyncio.create_task(self._journal.tend())
        tending.add_done_callback(lambda _: self.wake())
        turn: Turn | None = None
        try:
            while not self._is_done():
                if tending.done():
                    tending.result()
                await self._inbox.wait(self._idle_s())
                delay_s = self._pacing.delay_s(len(self._inbox))
                if delay_s > 0 and not self._stopping:
                    await asyncio.sleep(delay_s)
                turn = Turn(self.clock.now_ms(), self.on_refused_submit is not None)
                self._batches.decide(turn)
                await self._commit(turn)
                self._answer(turn)
                turn = None
                self._snapshots.proceed(self._lanes.values(), now_ms=self.clock.now_ms())
            await self._snapshots.save_all(self._lanes.values())
        except BaseException:
            self._broken = True
            raise
        finally:
            # Also where nothing is broken: a stop leaves nobody without an answer.
            self._fail_those_waiting(turn)
            await self._snapshots.end()
            tending.cancel()
            with suppress(asyncio.CancelledError, JournalUnavailable):
                await tending
            self._ended.set()

    def _is_done(self) -> bool:
        return self._stopping and not len(self._inbox)

    def wake(self) -> None:
        """Look at the clock and the inbox again."""
        self._inbox.wake()

    def _idle_s(self) -> float:
        # Quiet workspaces are looked at now and then, for their snapshots.
        idle_s = self._schedule.idle_ms / 1000
        deadline_ms = self._deadlines.next_ms()
        return idle_s if deadline_ms is None else min(self.clock.delay_s(deadline_ms), idle_s)

    async def _commit(self, turn: Turn) -> None:
        if not turn.records:
            self._tell_refused(turn, 0)
            # Whoever asks without pause must not keep the loop to himself.
            await asyncio.sleep(0)
            return
        self._pacing.begin()
        await self._journal.append(turn.records)
        for count, (workspace, record) in enumerate(turn.records):
            if turn.refused:
                self._tell_refused(turn, count)
            lane = self._lanes[workspace]
            self._snapshots.note(lane, events=len(record.events), at_ms=turn.at_ms)
            fold, seq = lane.meters.fold, record.first_seq
            for event in record.events:
                fold(event, seq, record.at_ms)
                seq += 1
            self.publisher.publish(workspace, record)
        self._tell_refused(turn, len(turn.records))

    def _tell_refused(self, turn: Turn, records: int) -> None:
        while turn.refused and turn.refused[0][0] <= records:
            _, workspace, command, code = turn.refused.pop(0)
            if self.on_refused_submit is not None:
                self.on_refused_submit(workspace, command, code, turn.at_ms)

    def _answer(self, turn: Turn) -> None:
        if _before_reply is not None and turn.records:
            _before_reply()
        for reply, answer in turn.answers:
            # The one who asked may have left.
            if not reply.done():
                reply.set_result(answer)
        if _after_reply is not None and turn.records:
            _after_reply()

    def _fail_those_waiting(self, turn: Turn | None) -> None:
        waiting = turn.taken if turn is not None else []
        waiting += [item.reply for item in self._inbox.drain() if item.reply is not None]
        for reply in waiting:
            if not reply.done():
                reply.set_exception(JournalUnavailable("the writer has ended"))


def _is_submit(item: Asked | Question) -> bool:
    return type(item) is Asked and type(item.command) is EnqueueContact
