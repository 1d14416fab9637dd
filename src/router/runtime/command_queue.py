"""The command queue, the execution of a batch of its items, and group commit.

The queue is bounded, fair between workspaces, refusing at once when full.

Every workspace has its own queue with its own limit, and the writer takes one item of each workspace in turn (round-robin). A
workspace that floods the router therefore fills only its own queue and does not delay the others.

Within a workspace items are served in order of arrival until so many **submits**, which are all commands that bring a new contact,
are queued that the workspace counts as overloaded (``OVERLOAD_SUBMIT_COUNT``). From then on all other items are served first: an
offer that is not accepted in time is wasted work, and the number of agent commands is bounded by the number of admitted contacts.
Submits still get one turn in ``SUBMIT_SHARE``, so they are never starved.

Back-pressure applies to submits only. When the workspace is overloaded and the oldest submit has waited longer than the limit,
or when submits fill half of the queue, the next submit is refused immediately instead of queued. Other items are refused only
at the limit of the queue. All operations take constant time.

``BatchProcessor`` takes queued items, executes them at one common time, and collects records and replies. Nothing here is durable
or published: the writer commits the records of the batch and then completes its replies. A query in slices does one turn in a
batch and is queued again behind everything that has arrived meanwhile.

``CommitPacer`` computes when the next batch starts. A commit has a fixed cost regardless of its size: one disk flush and two thread
switches. A single command on an idle router is committed at once. On a busy router commands arrive faster than commits complete,
and one commit per command would leave no processor time for routing. The next commit therefore starts at the earliest ``gap_ms``
after the start of the previous one and contains all commands that have arrived until then. When ``FULL_BATCH_COUNT`` commands are
queued the fixed cost is shared well enough, and the commit starts without delay.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args

from msgspec import Struct

from router.journal.crash_points import crash_point
from router.journal.port import Consumed
from router.journal.records import Record
from router.model.commands import AdvanceTime, Command, EnqueueContact, GuardedCommand, RequestContact, SubmitOrResume
from router.model.errors import CommandQueueFull
from router.model.results import Outcome, RefusalCode, Refused
from router.model.states import WorkspaceId
from router.runtime.clock import WakeupSchedule
from router.runtime.publisher import WORKSPACE_RECORDS_MAX
from router.runtime.workspace import QueryResult, QueuedCommand, QueuedQuery, Reply, ReplyTarget, WorkspaceRuntime

ROUTER_ACTOR: Final = "router"
"""Actor of commands that the router issues itself: timers, and desktops lost at a restart."""

_ADVANCE_TIME: Final = AdvanceTime()

_COMMAND_TAGS: Final[dict[type, str]] = {kind: str(kind.__struct_config__.tag) for kind in get_args(Command)}

_SUBMITS: Final[frozenset[type]] = frozenset({EnqueueContact, SubmitOrResume, RequestContact})

# AdvanceTime commands of one workspace in one batch; each fires at most 64 timers.
_TIMER_COMMANDS_MAX: Final = 4

# With this many queued commands the fixed cost of a commit is shared well enough.
FULL_BATCH_COUNT: Final = 32

# A batch is executed in turns of the event loop: after this much time, other tasks run before its next command. A command takes
# about 0.1 ms, so this costs one iteration of the loop for every ten or more.
TURN_S: Final = 0.003

# A turn of a query in slices takes about as long as a turn of commands, so it is a turn of its own.
_FRESH_TURN_S: Final = 0.0003

# After this much time, a batch ends with its next query. A query in slices has one turn in a batch.
_QUERY_BATCH_S: Final = 0.002

_before_decide = crash_point("before_decide")

_after_decide = crash_point("after_decide")


class Batch(Struct):
    """The result of one batch, not yet durable."""

    at_ms: int
    collects_refused_submits: bool = False
    """Whether refused submits are collected."""
    records: list[tuple[WorkspaceId, Record]] = []
    replies: list[tuple[ReplyTarget[Any], Any]] = []
    refused_submits: list[tuple[int, WorkspaceId, EnqueueContact, RefusalCode]] = []
    """Refused submits, each with the number of records of the batch before it."""
    pending_replies: list[ReplyTarget[Any]] = []
    """Reply targets of all items taken from the queue, which must be completed or failed in any case."""
    consumed: list[Consumed] = []
    """Commands of other nodes that were carried out."""
    followed: list[tuple[WorkspaceId, Record]] = []
    """Records of workspaces that other nodes lead, applied and already durable."""
    continued: list[tuple[WorkspaceId, QueuedQuery]] = []
    """Queries in slices that are not complete yet; they are queued again after the batch."""


class QueuedWork(ABC):
    """Work of a node that shares its workspaces with others, in order with commands and queries."""

    reply: ReplyTarget[Any] | None = None

    @abstractmethod
    def execute(self, batch: Batch, workspace: WorkspaceRuntime) -> None:
        """Do the work as part of a batch; it must be quick."""


QueuedItem: TypeAlias = QueuedCommand | QueuedQuery | QueuedWork


class Turns:
    """Divides the work of the writer into turns of the event loop, so that no batch blocks it, however many items it has."""

    __slots__ = ("_have_others_run", "_now_s", "_started_s")

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        """``now_s`` is replaced in tests."""
        self._now_s = now_s
        self._started_s = now_s()
        self._have_others_run = False

    def begin(self) -> None:
        """Begin a turn: other tasks have run."""
        self._started_s = self._now_s()

    def is_over(self) -> bool:
        """Return whether the turn has lasted ``TURN_S``, so that other tasks run next."""
        return self._now_s() - self._started_s > TURN_S

    def is_half_over(self) -> bool:
        """Return whether less than half of the turn is left, so that work of a millisecond begins another one."""
        return self._now_s() - self._started_s > TURN_S / 2

    def is_fresh(self) -> bool:
        """Return whether the turn has just begun."""
        return self._now_s() - self._started_s <= _FRESH_TURN_S

    async def end(self) -> None:
        """Let other tasks run."""
        await asyncio.sleep(0)
        self.begin()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, which may let other tasks run or not; if it does, a turn begins afterwards."""
        self._have_others_run = False
        asyncio.get_running_loop().call_soon(self._note_others)
        await work
        if self._have_others_run:
            self.begin()

    def _note_others(self) -> None:
        self._have_others_run = True


class CommitPacer:
    """Compute the delay before the next commit."""

    def __init__(self, gap_ms: int, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        """``gap_ms`` 0 disables the gap. ``now_s`` is replaced in tests."""
        self._gap_s = gap_ms / 1000
        self._now_s = now_s
        self._started_s = float("-inf")

    def delay_s(self, waiting: int) -> float:
        """Return the seconds to wait for more commands, given the number already queued; 0 or less: commit now."""
        if waiting >= FULL_BATCH_COUNT:
            return 0.0
        return self._started_s + self._gap_s - self._now_s()

    def commit_started(self) -> None:
        """Record that a commit starts now."""
        self._started_s = self._now_s()


# About one second of work: a reply that comes later is of little use, so refuse at once.
COUNT_MAX: Final = 10_000

SUBMIT_WAIT_MS_MAX: Final = 50

T = TypeVar("T")
U = TypeVar("U")


class CommandQueue(Generic[T]):
    """Queues of items by workspace, for many producers and one consumer on the same event loop."""

    def __init__(
        self,
        *,
        count_max: int = COUNT_MAX,
        is_submit: Callable[[T], bool] = lambda _: False,
        submit_wait_ms_max: int = SUBMIT_WAIT_MS_MAX,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``count_max`` limits the items of one workspace; submits can use half of it. ``now_s`` is replaced in tests."""
        self._count_max = count_max
        self._submits_max = max(1, count_max // 2)
        self._overload_submit_count = min(OVERLOAD_SUBMIT_COUNT, self._submits_max)
        self._is_submit = is_submit
        self._submit_wait_s_max = submit_wait_ms_max / 1000
        self._now_s = now_s
        self._queues: dict[WorkspaceId, _WorkspaceQueue[T]] = {}
        self._order: deque[WorkspaceId] = deque()
        """Workspaces with queued items, in round-robin order; the first is served next."""
        self._count = 0
        self.refused_submits = 0
        """Number of submits refused since the start."""
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._count

    def put(self, workspace: WorkspaceId, item: T, *, ignore_limit: bool = False) -> None:
        """Append an item. Raises CommandQueueFull at a limit.

        ``ignore_limit`` is for commands that the router issues itself after a start, and for those that it has admitted before.
        """
        queue = self._queues.get(workspace)
        if not ignore_limit and (
            self._count >= self._count_max * _TOTAL_FACTOR or (queue is not None and len(queue) >= self._count_max)
        ):
            raise CommandQueueFull("the command queue is full; retry later")
        is_submit = self._is_submit(item)
        if is_submit and not ignore_limit:
            self.admit_submit(workspace)
        if queue is None:
            queue = self._queues[workspace] = _WorkspaceQueue(deque(), deque())
            self._order.append(workspace)
        queue.arrivals += 1
        if is_submit:
            queue.submits.append((queue.arrivals, item, self._now_s()))
        else:
            queue.other_items.append((queue.arrivals, item))
        self._count += 1
        self.wake()

    def admit_submit(self, workspace: WorkspaceId) -> None:
        """Raise CommandQueueFull where a submit would be refused now; check this before decoding it."""
        if self.is_submit_refused(workspace):
            raise CommandQueueFull("too many submits are queued; retry later")

    def is_submit_refused(self, workspace: WorkspaceId) -> bool:
        """Return whether a submit is refused now, without raising; a true result is counted as a refusal."""
        queue = self._queues.get(workspace)
        if queue is None or (waiting := len(queue.submits)) < self._overload_submit_count:
            return False
        if waiting < self._submits_max:
            oldest_s = self._now_s() - queue.submits[0][2]
            if oldest_s <= self._submit_wait_s_max:
                return False
        self.refused_submits += 1
        return True

    def pop(self) -> tuple[WorkspaceId, T] | None:
        """Remove and return the next item in round-robin order; None where all queues are empty."""
        if not self._order:
            return None
        workspace = self._order[0]
        queue = self._queues[workspace]
        item = queue.pop()
        self._count -= 1
        if not (queue.other_items or queue.submits):
            # An idle workspace keeps no queue.
            del self._queues[workspace]
            self._order.popleft()
        elif len(self._order) > 1:
            self._order.rotate(-1)
        return workspace, item

    def pop_many(self, count_max: int) -> list[tuple[WorkspaceId, T]]:
        """Remove and return at most ``count_max`` items in round-robin order."""
        return [item for _, item in zip(range(count_max), iter(self.pop, None), strict=False)]

    def has_items(self, workspace: WorkspaceId) -> bool:
        """Return whether anything of a workspace is queued."""
        return workspace in self._queues

    def take(self, workspace: WorkspaceId, kind: type[U]) -> list[U]:
        """Remove and return the items of one kind of a workspace in the order of their arrival."""
        queue = self._queues.get(workspace)
        if queue is None:
            return []
        arrived = [*queue.other_items, *((number, item) for number, item, _ in queue.submits)]
        taken = [item for _, item in sorted(arrived, key=itemgetter(0)) if isinstance(item, kind)]
        queue.other_items = deque(one for one in queue.other_items if not isinstance(one[1], kind))
        queue.submits = deque(one for one in queue.submits if not isinstance(one[1], kind))
        self._count -= len(taken)
        if not len(queue):
            del self._queues[workspace]
            self._order.remove(workspace)
        return taken

    def drain(self) -> Iterator[T]:
        """Remove and return all items, which will not be served."""
        while (popped := self.pop()) is not None:
            yield popped[1]

    def wake(self) -> None:
        """Wake the consumer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float | None) -> bool:
        """Wait until an item is queued, ``wake`` is called, or the timeout ends; return whether other tasks could run."""
        if self._count or (timeout_s is not None and timeout_s <= 0):
            return False
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return True


class WriterLimits(Struct, frozen=True, kw_only=True):
    """Limits of the command queue, of a batch and of the replay index."""

    queue_count_max: int = COUNT_MAX
    """Queued commands and queries of one workspace; four times as many for all workspaces together."""
    submit_wait_ms_max: int = SUBMIT_WAIT_MS_MAX
    """Maximum wait of the oldest queued submit, in an overloaded workspace, before further submits are refused."""
    batch_count_max: int = 256
    """Commands and queries in one batch, and so in one commit."""
    batch_ms_max: int = 50
    """Execution time after which a batch is committed as it is, so that the event loop can serve other tasks."""
    commit_gap_ms: int = 0
    """Least time between the starts of two commits, unless many commands wait. 0: start when the previous commit has ended."""
    replay_record_count: int = WORKSPACE_RECORDS_MAX
    """Records from before the start that are loaded for clients that resume."""


class BatchProcessor:
    """Execute due timers and queued items."""

    def __init__(
        self,
        workspaces: Mapping[WorkspaceId, WorkspaceRuntime],
        wakeups: WakeupSchedule,
        queue: CommandQueue[QueuedItem],
        *,
        count_max: int,
        ms_max: int,
    ) -> None:
        """``count_max`` limits the commands, queries and due workspaces of a batch, ``ms_max`` its execution time."""
        self._workspaces = workspaces
        self._wakeups = wakeups
        self._queue = queue
        self._count_max = count_max
        self._ms_max = ms_max

    def process(self, batch: Batch, turns: Turns) -> Iterator[None]:
        """Execute one batch at ``batch.at_ms``: first the workspaces with due timers, then queued items round-robin.

        Yields at the end of each turn. Nothing but this batch changes an engine meanwhile; items that arrive still belong to it.
        """
        if _before_decide is not None and len(self._queue):
            _before_decide()
        started_s = time.perf_counter()
        # Timers get at most half of a batch, so that neither timers nor commands starve the other.
        due = self._wakeups.pop_due(batch.at_ms, max(1, self._count_max // 2))
        touched = dict.fromkeys(due)
        # If more timers are due than fit into this batch, commands wait for the next one: the first command would fire all of them.
        is_late = False
        for workspace in due:
            is_late |= yield from self._fire_timers(batch, self._workspaces[workspace], turns)
        if not is_late:
            yield from self._execute_items(batch, turns, touched, self._count_max - len(due), started_s)
        for workspace, query in batch.continued:
            self._queue.put(workspace, query, ignore_limit=True)
        for workspace in touched:
            if not turns.is_fresh():
                yield
            runtime = self._workspaces[workspace]
            runtime.engine.list_new_contacts()
            self._wakeups.set(workspace, runtime.engine.next_deadline_ms() if runtime.is_led else None)
        if _after_decide is not None and batch.records:
            _after_decide()

    def _execute_items(
        self, batch: Batch, turns: Turns, touched: dict[WorkspaceId, None], count_max: int, started_s: float
    ) -> Iterator[None]:
        for _ in range(count_max):
            popped = self._queue.pop()
            if popped is None:
                return
            workspace, item = popped
            if item.reply is not None:
                batch.pending_replies.append(item.reply)
            if isinstance(item, QueuedCommand):
                touched[workspace] = None
                execute_command(batch, self._workspaces[workspace], item)
            elif isinstance(item, QueuedWork):
                touched[workspace] = None
                item.execute(batch, self._workspaces[workspace])
            else:
                if not turns.is_fresh():
                    yield
                _execute_query(batch, self._workspaces[workspace], item)
                if time.perf_counter() - started_s > _QUERY_BATCH_S:
                    return
            if turns.is_over():
                if self._is_over_time(started_s):
                    return
                yield

    def _fire_timers(self, batch: Batch, workspace: WorkspaceRuntime, turns: Turns) -> Generator[None, None, bool]:
        """Fire due timers and return whether more are due."""
        for _ in range(_TIMER_COMMANDS_MAX):
            seq = workspace.engine.seq
            execute_command(batch, workspace, QueuedCommand(_ADVANCE_TIME, ROUTER_ACTOR, None))
            if turns.is_over():
                yield
            next_ms = workspace.engine.next_deadline_ms()
            if next_ms is None or next_ms > batch.at_ms or workspace.engine.seq == seq:
                return False
        return True

    def _is_over_time(self, started_s: float) -> bool:
        return (time.perf_counter() - started_s) * 1000 > self._ms_max


def execute_command(batch: Batch, workspace: WorkspaceRuntime, queued: QueuedCommand) -> None:
    """Execute a command as part of a batch."""
    outcome = workspace.engine.handle(queued.command, batch.at_ms)
    if outcome.events:
        batch.records.append((workspace.workspace, _build_record(workspace, queued, outcome)))
    result, command = outcome.result, queued.command
    if type(result) is Refused and batch.collects_refused_submits and (wanted := _refused_contact(command)) is not None:
        batch.refused_submits.append((len(batch.records), workspace.workspace, wanted, result.code))
    if queued.reply is not None:
        batch.replies.append((queued.reply, Reply(outcome, workspace.epoch, workspace.history_id)))


def is_submit(command: Command) -> bool:
    """Return whether a command brings a new contact, so that back-pressure applies to it."""
    kind = type(command)
    if kind is GuardedCommand:
        kind = type(command.command)  # type: ignore[union-attr]
    return kind in _SUBMITS


def _refused_contact(command: Command) -> EnqueueContact | None:
    """Return the contact of a refused submit. Requests have several answers, which a shadow does not compare."""
    if type(command) is GuardedCommand:
        command = command.command
    if type(command) is SubmitOrResume:
        command = command.contact
    return command if type(command) is EnqueueContact else None


def _execute_query(batch: Batch, workspace: WorkspaceRuntime, queued: QueuedQuery) -> None:
    if queued.reply.done():
        # The caller no longer waits.
        if queued.turns is not None:
            queued.turns.close()
        return
    engine = workspace.engine
    try:
        value: Any = None
        if queued.turns is None:
            value = queued.query(engine)
            if isinstance(value, Generator):
                queued.turns = value
        if queued.turns is not None:
            try:
                next(queued.turns)
            except StopIteration as end:
                value = end.value
            else:
                batch.continued.append((workspace.workspace, queued))
                return
    except AssertionError:
        raise
    except Exception as error:
        # A query changes nothing, so its error concerns only its caller.
        queued.reply.set_exception(error)
        return
    result = QueryResult(value, engine.seq, batch.at_ms, workspace.epoch, workspace.history_id)
    batch.replies.append((queued.reply, result))


def _build_record(workspace: WorkspaceRuntime, queued: QueuedCommand, outcome: Outcome) -> Record:
    command = queued.command
    if type(command) is GuardedCommand:
        command = command.command
    return Record(
        epoch=workspace.epoch,
        first_seq=outcome.first_seq,
        at_ms=outcome.at_ms,
        actor=queued.actor,
        cause=_COMMAND_TAGS[type(command)],
        # Records are retained for clients that resume; unlike a list, a tuple of untracked structs is not scanned by the collector.
        events=tuple(outcome.events),
    )


# Limit of all workspaces together, as a multiple of the limit of one.
_TOTAL_FACTOR: Final = 4

# The life of a contact is one submit and at least two agent commands, so submits need at most one turn in three.
SUBMIT_SHARE: Final = 4

# Fewer queued submits are not overload, however long a slow disk makes them wait.
OVERLOAD_SUBMIT_COUNT: Final = 128


class _WorkspaceQueue(Struct, Generic[T]):
    """The queued items of one workspace."""

    other_items: deque[tuple[int, T]]
    submits: deque[tuple[int, T, float]]
    """Submits with arrival number and arrival time in seconds."""
    arrivals: int = 0
    bypassed: int = 0
    """Items served ahead of submits under overload since the last submit."""

    def __len__(self) -> int:
        return len(self.other_items) + len(self.submits)

    def pop(self) -> T:
        """Remove and return the next item."""
        if self.submits and (not self.other_items or self._is_submit_next()):
            self.bypassed = 0
            return self.submits.popleft()[1]
        return self.other_items.popleft()[1]

    def _is_submit_next(self) -> bool:
        if len(self.submits) < OVERLOAD_SUBMIT_COUNT:
            return self.submits[0][0] < self.other_items[0][0]
        self.bypassed += 1
        return self.bypassed >= SUBMIT_SHARE
