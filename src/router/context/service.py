"""The customer context for the event loop: one thread that runs the store, with group commits and limits.

Theory of operation. Callers hand functions to a queue and get futures. The thread takes whatever waits, runs each function as an
operation of its own within one group, commits the group, and only then completes the futures: what a caller was told is on the
disk. While one group is being committed the next one collects, so that the number of disk syncs falls as the load grows.

An operation that a contact waits for (``run_in_time``) is urgent: it runs before all others that wait, also within a group that has
begun, and its result does not wait for the commit. The contact is offered meanwhile; only the answer to its submit waits until
what was stored for it is on the disk. Commits are at least ``COMMIT_GAP_S`` apart, and what comes while one is awaited joins it.

An operation that raises is undone alone; the others of its group are committed. A commit that fails, or a store that finds its
files damaged, ends the *store*, never the process: from then on every call raises ContextUnavailable, and routing goes on without
customer context. The files are opened again after ``REOPEN_S``, then at longer intervals, as a start would open them; damaged files
are not. The state is shown by ``status``.

Nothing waits here without a bound. ``QUEUE_MAX`` operations may wait; beyond that a call is refused at once. Callers on the way of
a contact pass a deadline and go on without an answer when it passes.

An erasure runs between two groups. It is complete, and its future done, only when the key is gone from the file.
"""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar, cast

from msgspec import Struct

from router.context.customers import ContextConflict, ContextCorrupt, ContextError, ContextUnavailable, Resolved
from router.context.limits import StepBudget
from router.context.operations import QueuedOperation, ResultCallback, complete, fail, retrieve, within
from router.context.port import ContextChange, ContextStore

T = TypeVar("T")

QUEUE_MAX: Final = 20_000
GROUP_MAX: Final = 256
COMMIT_GAP_S: Final = 0.005
"""Shortest time between two commits: each competes with the journal for the disk. After a pause a group is committed at once."""
COLLECT_S: Final = 0.002
"""Shortest time from an operation that a contact waits for to the commit of its group: the journal commits the offer of the contact
meanwhile, and does not share the disk; the reference of the contact joins the group."""
THREAD_NICENESS: Final = 3
"""Priority of the thread, as of ``nice``: half the share of a thread with the default, where both want the processor."""
MAINTENANCE_S: Final = 5.0
CONFLICTS_MAX: Final = 20
"""Attempts of one operation, where other nodes change the same customer at the same time."""
PAUSE_S: Final = 1.0
"""Time after a missed deadline for which contacts do not wait for the context, unless it answers meanwhile."""
ERASE_RETRY_S: Final = 0.05
REWRAP_PAUSE_S: Final = 0.05
"""Pause between two slices of keys that are wrapped with a new master key."""
REOPEN_S: Final = 5.0
REOPEN_S_MAX: Final = 60.0
"""Time after a failure of the store before its files are opened again: at first, and at most, after repeated failures."""
STALLED_S: Final = 5.0
"""Time after which operations in progress are reported as stalled."""
ERASE_PENDING_S: Final = 5.0
"""Time after which an erasure that a reader blocks is reported as pending; it is tried until it succeeds."""


class ContextStatus(Struct, frozen=True, kw_only=True):
    """The health of the context store."""

    available: bool
    queue_depth: int
    groups: int
    """Groups committed since the start."""
    operations: int
    """Operations committed since the start."""
    failed_operations: int
    erasures_pending: int
    commit_seconds: float
    """Time spent in commits since the start."""
    counts: dict[tuple[str, str], int]
    """Results since the start, by subject and result."""
    last_error: str | None
    """Type of the error that ended the store; None while it can be used."""
    stalled_s: float = 0.0
    """Time that the operations in progress have taken so far, in seconds: a disk that does not answer."""


class ContextClock(Protocol):
    """Returns the time in milliseconds of Unix time."""

    def now_ms(self) -> int:
        """Return the time."""
        ...


class ContextService:
    """Runs a context store on a thread of its own. Confined to the event loop that created it, except for ``status``."""

    def __init__(
        self,
        open_store: Callable[[], ContextStore],
        clock: ContextClock,
        *,
        queue_max: int = QUEUE_MAX,
        new_budget: Callable[[], StepBudget] = lambda: StepBudget(2_000, 10_000),
    ) -> None:
        """``open_store`` is called on the thread, as its connections belong to it; ``new_budget`` for each workspace."""
        self._new_budget = new_budget
        self._budgets: dict[str, StepBudget] = {}
        self._open_store = open_store
        self._clock = clock
        self._queue_max = queue_max
        self._queue: deque[QueuedOperation] = deque()
        self._urgent: deque[QueuedOperation] = deque()
        """Operations that a contact waits for; they run before all others."""
        self._wake = threading.Condition()
        self._is_stopping = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._groups = self._operations = self._failed = 0
        self._pending_erasures: list[QueuedOperation] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_changed: Callable[[list[ContextChange]], None] | None = None
        """Called on the event loop with the changes of each group once they are durable, before their callers continue."""
        self.observers: Final[list[Callable[[list[ContextChange]], None]]] = []
        """Called after ``on_changed`` with the same changes."""
        self.on_failed: Callable[[BaseException], None] | None = None
        """Called on the event loop with the error that has ended the store, or that prevents that it is opened again."""
        self.on_reopened: Final[list[Callable[[], None]]] = []
        """Called on the event loop when the store can be used again after a failure, without the group that has failed."""
        self._busy_since: float | None = None
        self._commit_seconds = 0.0
        self._committed_at = 0.0
        self._collecting_since = 0.0
        """When the first operation of the group ran that a contact waits for; 0: there is none yet."""
        self._is_rotating = False
        self._poll_s: float | None = None
        self._paused_until, self._operations_at_pause = 0.0, 0
        self.counts: Final[dict[tuple[str, str], int]] = {}
        """Results since the start, by subject (``steps``, ``submits``, ``merges``, ``conflicts``) and result."""

    async def start(self) -> None:
        """Open the store. Raises ContextUnavailable or ContextCorrupt."""
        loop = self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(loop, opened), name="context", daemon=True)
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Finish what waits and close the store. Idempotent."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def status(self) -> ContextStatus:
        """Return the health of the store. Safe to call from another thread."""
        busy_since = self._busy_since
        return ContextStatus(
            stalled_s=0.0 if busy_since is None else time.monotonic() - busy_since,
            available=self.is_available,
            queue_depth=len(self._queue) + len(self._urgent),
            groups=self._groups,
            operations=self._operations,
            failed_operations=self._failed,
            erasures_pending=len(self._pending_erasures),
            commit_seconds=self._commit_seconds,
            counts=dict(self.counts),
            last_error=None if self._failure is None else type(self._failure).__name__,
        )

    @property
    def is_available(self) -> bool:
        """Return whether the store can be used."""
        return self._failure is None and not self._is_stopping and self._thread is not None

    @property
    def is_shared(self) -> bool:
        """Return whether other nodes change the store too, which this one learns a moment later."""
        return self._poll_s is not None

    @property
    def is_reopening(self) -> bool:
        """Return whether the store has failed and its files are opened again later."""
        failure, thread = self._failure, self._thread
        return failure is not None and not isinstance(failure, ContextCorrupt) and thread is not None and thread.is_alive()

    async def run(self, operation: Callable[[ContextStore], T], *, timeout_s: float | None = None) -> T:
        """Run an operation and return its result once it is durable.

        Raises what the operation raises; ContextUnavailable where the store has failed, where too much waits, and after
        ``timeout_s``, in which case the operation is carried out or not.
        """
        return cast(T, await within(timeout_s, self._enqueue(operation, erases=False)))

    async def run_in_time(self, operation: Callable[[ContextStore], T], *, deadline_s: float) -> "tuple[T, asyncio.Future[None]]":
        """Run an operation that a contact waits for; return its result, and a future that is done when it is durable.

        It runs before operations that nothing waits for, and its result does not wait for the disk: a caller that tells others that
        it was stored waits for the future, which gets an exception where the store fails. Raises what ``run`` raises, within the
        deadline. After a missed one nothing is tried until an operation has been completed again, for at most ``PAUSE_S``, so that
        a stalled disk does not cost every contact the whole deadline.
        """
        if self._is_paused:
            raise ContextUnavailable("the customer context does not answer in time")
        try:
            early: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            # After the deadline, no one asks what became of it.
            early.add_done_callback(retrieve)
            stored = self._begin(operation, early)
            return await within(deadline_s, early), stored
        except ContextUnavailable:
            self._pause()
            raise

    def begin(
        self, operation: Callable[[ContextStore], T], then: "Callable[[T | None, BaseException | None], None]"
    ) -> "asyncio.Future[None]":
        """Begin an operation of a contact that does not wait for it; return a future that is done when it is durable.

        It is urgent as with ``run_in_time``; ``then`` is called on the event loop with its result, or with what it raises. Raises
        ContextUnavailable.
        """
        return self._begin(operation, ResultCallback(then))

    def _begin(
        self, operation: Callable[[ContextStore], Any], early: "asyncio.Future[Any] | ResultCallback"
    ) -> "asyncio.Future[None]":
        stored = self._enqueue(operation, erases=False, early=early)
        stored.add_done_callback(retrieve)
        return stored

    def answers_within(self, seconds: float) -> bool:
        """Return whether operations are completed, as far as can be told: none has been in progress for longer."""
        busy_since = self._busy_since
        return not self._is_paused and (busy_since is None or time.monotonic() - busy_since <= seconds)

    @property
    def _is_paused(self) -> bool:
        return self._paused_until > time.monotonic() and self._operations == self._operations_at_pause

    def _pause(self) -> None:
        self._paused_until, self._operations_at_pause = time.monotonic() + PAUSE_S, self._operations

    def step_wait_s(self, workspace: str, steps: int) -> float | None:
        """Take the steps of a batch from the rate of a workspace; return None, or the seconds after which it fits."""
        budget = self._budgets.get(workspace)
        if budget is None:
            budget = self._budgets[workspace] = self._new_budget()
        return budget.take(steps, now_s=time.monotonic())

    def count(self, name: str, result: str, number: int = 1) -> None:
        """Count results for the metrics, for example steps that were accepted. Called on the event loop."""
        if number:
            self.counts[name, result] = self.counts.get((name, result), 0) + number

    def count_resolution(self, resolved: Resolved) -> None:
        """Count the merges and conflicts of a resolution."""
        self.count("merges", "resolution", len(resolved.merged))
        for conflict in resolved.conflicts:
            self.count("conflicts", str(conflict.kind))

    async def erase(self, workspace: str, customer_id: str) -> bool:
        """Erase a customer; return True once the key is gone from the disk, False where that is still pending after 5 s.

        Raises UnknownCustomer, ErasedCustomer or ContextUnavailable.
        """
        return await self._erase(lambda store: store.erase(workspace, customer_id, now_ms=self._clock.now_ms()))

    async def erase_references(self, workspace: str, contact_ids: Sequence[str]) -> bool:
        """Erase references of contacts without a customer; return True once no key opens them, False where that is pending.

        Raises NotErasable or ContextUnavailable.
        """
        return await self._erase(lambda store: store.erase_references(workspace, contact_ids, now_ms=self._clock.now_ms()))

    async def _erase(self, operation: Callable[[ContextStore], bool]) -> bool:
        future = self._enqueue(operation, erases=True)
        try:
            async with asyncio.timeout(ERASE_PENDING_S):
                return bool(await asyncio.shield(future))
        except TimeoutError:
            future.add_done_callback(lambda done: done.exception())
            return False

    def _enqueue(
        self, operation: Callable[[ContextStore], Any], *, erases: bool, early: "asyncio.Future[Any] | ResultCallback | None" = None
    ) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._wake:
            if not self.is_available:
                raise ContextUnavailable("the customer context is not available; routing goes on without it")
            if len(self._queue) + len(self._urgent) >= self._queue_max:
                raise ContextUnavailable(f"more than {self._queue_max} operations wait for the customer context; try again later")
            queued = QueuedOperation(operation, loop, future, erases)
            queued.early = early
            (self._queue if early is None else self._urgent).append(queued)
            self._wake.notify()
        return future

    # --- the thread ----------------------------------------------------------------------------

    def _run(self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[None]") -> None:
        # The event loop and the journal come first where they share a processor with this thread. SQLite releases the interpreter
        # lock in each statement, but the thread would take it again before those that wait for it get to run.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), THREAD_NICENESS)
        try:
            store = self._open_store()
        except BaseException as error:
            self._failure = error
            complete(loop, opened, error=error)
            return
        self._poll_s = store.poll_s
        complete(loop, opened, result=None)
        wait_s, current = REOPEN_S, store
        while True:
            opened_at = time.monotonic()
            failure = self._serve_until_failure(current)
            if time.monotonic() - opened_at > REOPEN_S_MAX:
                wait_s = REOPEN_S
            reopened = None
            while failure is not None and reopened is None:
                self._notify(self.on_failed, failure)
                if isinstance(failure, ContextCorrupt) or self._is_stopped_within(wait_s):
                    return
                wait_s = min(2 * wait_s, REOPEN_S_MAX)
                reopened, failure = self._reopen()
            if reopened is None:
                return
            current, self._failure = reopened, None
            for callback in self.on_reopened:
                self._notify(callback)

    def _serve_until_failure(self, store: ContextStore) -> BaseException | None:
        """Serve until the service is stopped; return the error that has ended the store before, if any."""
        try:
            self._serve(store)
        except BaseException as error:
            self._failure, self._busy_since = error, None
            self._fail_waiting(error)
            return error
        finally:
            with suppress(Exception):
                store.close(has_failed=self._failure is not None)
        return None

    def _reopen(self) -> tuple[ContextStore | None, BaseException | None]:
        """Open the files again; return the store, or the error that prevents it."""
        try:
            return self._open_store(), None
        except BaseException as error:
            self._failure = error
            return None, error

    def _is_stopped_within(self, seconds: float) -> bool:
        """Wait; return whether the service is stopped."""
        with self._wake:
            return self._wake.wait_for(lambda: self._is_stopping, seconds)

    def _notify(self, callback: Callable[..., None] | None, *arguments: object) -> None:
        if callback is not None and self._loop is not None:
            with suppress(RuntimeError):  # The event loop is closed.
                self._loop.call_soon_threadsafe(callback, *arguments)

    def _serve(self, store: ContextStore) -> None:
        maintained = rewrapped = polled = time.monotonic()
        while True:
            self._busy_since = None
            group = self._take_group()
            self._busy_since = time.monotonic()
            if group:
                self._commit_group(store, [one for one in group if not one.erases])
                self._pending_erasures += [one for one in group if one.erases]
            self._erase_pending(store)
            if self._poll_s is not None and time.monotonic() - polled > self._poll_s:
                store.poll()
                self._announce(store)
                polled = time.monotonic()
            self._is_rotating = store.rotation.is_rotating
            if self._is_rotating and time.monotonic() - rewrapped > REWRAP_PAUSE_S:
                store.rotation.rewrap_slice()
                rewrapped = time.monotonic()
            if time.monotonic() - maintained > MAINTENANCE_S:
                store.maintain(now_ms=self._clock.now_ms())
                self._announce(store)
                maintained = time.monotonic()
            with self._wake:
                if self._is_stopping and not self._queue and not self._urgent:
                    return

    def _take_group(self) -> list[QueuedOperation]:
        """Return the operations that wait, after waiting for the first one; at most ``GROUP_MAX``."""
        with self._wake:
            if not self._queue and not self._urgent and not self._is_stopping:
                idle_s = MAINTENANCE_S if self._poll_s is None else self._poll_s
                self._wake.wait(ERASE_RETRY_S if self._pending_erasures or self._is_rotating else idle_s)
            urgent = [self._urgent.popleft() for _ in range(len(self._urgent))]
            return urgent + [self._queue.popleft() for _ in range(min(GROUP_MAX, len(self._queue)))]

    def _run_urgent(self, store: ContextStore, results: list[tuple[QueuedOperation, Any, BaseException | None]]) -> None:
        """Run the urgent operations that have come since the group was taken, within the same group."""
        while self._urgent and len(results) < 2 * GROUP_MAX:
            with self._wake:
                one = self._urgent.popleft()
            results.append(self._attempt(store, one))

    def _wait_for_gap(self, store: ContextStore, results: list[tuple[QueuedOperation, Any, BaseException | None]]) -> None:
        """Wait until the next commit may begin; run what comes meanwhile, which joins the group: fewer commits, earlier answers."""
        while not self._is_stopping:
            left_s = max(self._committed_at + COMMIT_GAP_S, self._collecting_since + COLLECT_S) - time.perf_counter()
            if left_s <= 0 or len(results) >= 2 * GROUP_MAX:
                return
            one = None
            with self._wake:
                # An erasure, and what comes after it, runs when the group is committed.
                if not self._urgent and not (self._queue and not self._queue[0].erases):
                    self._wake.wait(left_s)
                elif not self._urgent:
                    one = self._queue.popleft()
            if one is not None:
                results.append(self._attempt(store, one))
            self._run_urgent(store, results)

    def _commit_group(self, store: ContextStore, group: list[QueuedOperation]) -> None:
        if not group:
            return
        results: list[tuple[QueuedOperation, Any, BaseException | None]] = []
        try:
            self._collecting_since = 0.0
            store.begin()
            for one in group:
                self._run_urgent(store, results)
                results.append(self._attempt(store, one))
            self._run_urgent(store, results)
            self._wait_for_gap(store, results)
            began = time.perf_counter()
            store.commit()
            self._committed_at = time.perf_counter()
            self._commit_seconds += self._committed_at - began
        except BaseException as error:
            failure = ContextUnavailable("the customer context failed")
            failure.__cause__ = error
            for one in {*group, *(done for done, _, _ in results)}:
                fail(one, failure)
            raise
        self._groups += 1
        self._operations += len(results)
        self._announce(store)
        for one, result, failed in results:
            complete(one.loop, one.future, result=result, error=failed)

    def _announce(self, store: ContextStore) -> None:
        """Pass the changes that are durable now to the event loop."""
        changes = store.take_changes()
        if changes and self._loop is not None:
            with suppress(RuntimeError):  # The event loop is closed.
                for observer in (self.on_changed, *self.observers):
                    if observer is not None:
                        self._loop.call_soon_threadsafe(observer, changes)

    def _attempt(self, store: ContextStore, one: QueuedOperation) -> tuple[QueuedOperation, Any, BaseException | None]:
        """Run one operation; what it raises undoes it alone, unless the store itself has failed.

        An operation whose caller has stopped waiting is left out, so that a backlog is worked off at once.
        """
        if (one.future if one.early is None else one.early).cancelled():
            return one, None, None
        try:
            result, error = self._run_until_done(store, one)
        except BaseException as failure:
            fail(one, failure if isinstance(failure, ContextUnavailable) else ContextUnavailable("the customer context failed"))
            raise
        if error is not None:
            self._failed += 1
        if one.early is not None:
            complete(one.loop, one.early, result=result, error=error)
            self._collecting_since = self._collecting_since or time.perf_counter()
            return one, None, error
        return one, result, error

    def _run_until_done(self, store: ContextStore, one: QueuedOperation) -> tuple[Any, BaseException | None]:
        """Run one operation, again where another node comes between; return its result, or what it raises."""
        for _ in range(CONFLICTS_MAX):
            with suppress(ContextConflict):
                store.attempt_began()
                try:
                    result = one.run(store)
                except ContextUnavailable:
                    raise
                except Exception as error:
                    store.attempt_failed()
                    return None, error
                store.attempt_done()
                return result, None
        return None, ContextUnavailable("other routers change the same customer all the time; try again later")

    def _erase_pending(self, store: ContextStore) -> None:
        """Try every erasure that is not complete yet."""
        # Each stays in the list while it is tried, which may take a while: ``status`` counts them.
        for one in tuple(self._pending_erasures):
            try:
                done = one.run(store)
            except ContextUnavailable:
                raise
            except ContextError as error:
                self._pending_erasures.remove(one)
                complete(one.loop, one.future, error=error)
                continue
            self._announce(store)
            if done:
                self._pending_erasures.remove(one)
                complete(one.loop, one.future, result=True)

    def _fail_waiting(self, error: BaseException) -> None:
        failure = ContextUnavailable("the customer context has failed; routing goes on without it")
        failure.__cause__ = error
        with self._wake:
            waiting = [*self._urgent, *self._queue, *self._pending_erasures]
            self._urgent.clear()
            self._queue.clear()
            self._pending_erasures = []
        for one in waiting:
            fail(one, failure)
