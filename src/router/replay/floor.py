"""Session of a load test: connect all clients, run the schedule of the day, detect its end.

``open_session`` connects the clients and yields a session; ``run_day`` runs the day. The agents stay connected until the session
is closed, so that the demo can continue after the day.

*Clock.* Before the day starts, the offset between this process's clock and the router's is measured with a few pings.
*End.* The day is over when every contact was submitted and has ended and no agent has open work. If contacts wait although no
agent is left for them, no patience timer runs, and no event has arrived for ``IDLE_LIMIT_S`` seconds, the remaining contacts are
withdrawn. A limit on the total duration turns a hang into an error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from random import Random
from typing import Any, Final, TypeAlias

from msgspec import Struct, structs

from router.client import DesktopClient, GatewayClient, SupervisorClient
from router.client.link import LinkOptions
from router.client.socket import SocketClient
from router.client.tokens import TokenProvider
from router.replay.api import Api
from router.replay.book import DayBook
from router.replay.customers import Customers
from router.replay.day_clock import DayClock
from router.replay.desk import Desk, Surroundings
from router.replay.failure import ReplayFailed
from router.replay.running import RunningTasks
from router.replay.scaling import Scaling
from router.replay.watch import Watch
from router.simulator.day import Day, StaffLevel
from router.simulator.workforce import Workforce

Tokens: TypeAlias = Callable[[str, str], TokenProvider]
"""Function from role and subject to a provider of tokens."""

# Time without events, with all contacts submitted and no work or patience timer left, after which nothing more can happen.
QUIET_S: Final = 3.0
# Allowance beyond the scaled length of the day and its longest contacts; a longer run is considered to hang.
PATIENCE_S: Final = 300.0
# Longest interruption of the supervisor's connection; a restarting router is reachable again by then.
AWAY_S: Final = 60.0
# Pings per clock measurement; the one with the shortest round trip counts.
PINGS: Final = 7
CATCH_UP_S: Final = 30.0
_STEP_S: Final = 0.05
_OPENING_MAX: Final = 50
_OPTIONS: Final = LinkOptions(backoff_base_s=0.2, backoff_longest_s=5.0)


class Place(Struct, frozen=True, kw_only=True):
    """Router to test, with the credentials for it."""

    url: str
    """``http://host:port``."""
    tokens: Tokens
    gateway_id: str = "replay"
    supervisor_id: str = "replay"

    @property
    def socket_url(self) -> str:
        """``ws://host:port``."""
        return "ws" + self.url.removeprefix("http")


class _Turn(IntEnum):
    """Kind of a scheduled action; actions at the same time are carried out in this order."""

    JOIN = 0
    LEAVE = 1
    LEVEL = 2


class Floor:
    """Running load test with all clients connected; created by ``open_session``."""

    def __init__(
        self,
        *,
        day: Day,
        book: DayBook,
        clock: DayClock,
        desks: Sequence[Desk],
        customers: Customers,
        watch: Watch,
        workforce: Workforce,
        tasks: RunningTasks,
    ) -> None:
        self.day = day
        self.book = book
        self.clock = clock
        self.desks = {desk.agent.agent_id: desk for desk in desks}
        self.watch = watch
        self._customers = customers
        self._workforce = workforce
        self._tasks = tasks
        self._schedule_left = True
        self.wall_s = 0.0
        """Wall-clock seconds that the day took, set when it is over."""

    @property
    def connections_lost(self) -> int:
        """Number of desktop connections that were lost and re-established."""
        return sum(desk.desktop.connections - 1 for desk in self.desks.values())

    # --- the day ----------------------------------------------------------------------------------
    async def play(self) -> None:
        """Run the day from its first contact until every contact has ended and every assignment is completed.

        Raises LoadTestFailed if the day does not end in time or if the router stays unreachable.
        """
        self.clock.start(router_now_ms=await self._router_now_ms())
        span_ms = max(v.plan.at_ms for v in self.book.visits) - self.day.start_ms
        longest_ms = max(v.plan.handle_ms + (v.plan.patience_ms or 0) for v in self.book.visits)
        limit_s = self.clock.wall_s(span_ms + 20 * longest_ms) + PATIENCE_S
        try:
            async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
                schedule = group.create_task(self._keep_schedule())
                group.create_task(self._customers.come())
                await self._end_of_day()
                # The day ends with its last contact; shift changes after it are not carried out.
                schedule.cancel()
        except TimeoutError:
            raise ReplayFailed(
                f"the day did not end within {limit_s:,.0f} s: contacts or assignments are still open"
            ) from None
        self.wall_s = self.clock.passed_s
        await self._catch_up()

    async def _router_now_ms(self) -> int:
        """Return the router's present time, measured by the ping with the shortest round trip, corrected by half of it."""
        loop_s = asyncio.get_running_loop().time
        quickest_s, offset_ms = float("inf"), 0.0
        for _ in range(PINGS):
            sent_s = loop_s()
            pong = await self.watch.supervisor.ping()
            took_s = loop_s() - sent_s
            if took_s < quickest_s:
                quickest_s = took_s
                offset_ms = pong.at_ms - 1000 * (sent_s + took_s / 2)
        return round(offset_ms + 1000 * loop_s())

    async def _keep_schedule(self) -> None:
        """Carry out shift changes and staff levels at their times; at equal times shifts start before others end."""
        due: list[tuple[int, _Turn, Desk | StaffLevel]] = [
            (level.at_ms, _Turn.LEVEL, level) for level in self.day.levels
        ]
        for desk in self.desks.values():
            for shift in desk.agent.shifts:
                due.append((shift.from_ms, _Turn.JOIN, desk))
                if shift.to_ms is not None:
                    due.append((shift.to_ms, _Turn.LEAVE, desk))
        due.sort(key=lambda entry: entry[:2])
        for at_ms, turn, subject in due:
            await self.clock.until(at_ms)
            for change in self._changes(turn, subject):
                self._tasks.start(change)
        self._schedule_left = False

    def _changes(
        self, turn: "_Turn", subject: Desk | StaffLevel
    ) -> list[Coroutine[Any, Any, None]]:
        if isinstance(subject, StaffLevel):
            joining, leaving = self._workforce.change(subject)
            return [
                *(self.desks[agent_id].join() for agent_id in joining),
                *(self.desks[agent_id].leave() for agent_id in leaving),
            ]
        return [subject.join() if turn is _Turn.JOIN else subject.leave()]

    # --- its end ----------------------------------------------------------------------------------
    async def _end_of_day(self) -> None:
        away_since_s: float | None = None
        now_s = asyncio.get_running_loop().time
        while not self._is_over():
            await asyncio.sleep(_STEP_S)
            if self.watch.supervisor.is_live:
                away_since_s = None
            elif away_since_s is None:
                away_since_s = now_s()
            elif now_s() - away_since_s > AWAY_S:
                raise ReplayFailed(f"the router has been unreachable for more than {AWAY_S:g} s")
            if self._is_stuck():
                await self._customers.close_the_doors()

    def _in_hand(self) -> int:
        return sum(desk.in_hand for desk in self.desks.values())

    def _is_over(self) -> bool:
        return self._customers.all_sent and self.book.settled.is_set() and not self._in_hand()

    def _is_stuck(self) -> bool:
        """Return whether the remaining contacts can never be served: no activity is left and none is scheduled."""
        quiet_s = asyncio.get_running_loop().time() - self.watch.heard_at_s
        return (
            self._customers.all_sent
            and not self._schedule_left
            and not self._in_hand()
            and not self._customers.losing_patience
            and quiet_s > QUIET_S
        )

    async def _catch_up(self) -> None:
        """Wait until the monitor has received every event up to now."""
        pong = await self.watch.supervisor.ping()
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self.watch.hear_up_to(pong.seq)
        except TimeoutError:
            raise ReplayFailed(
                f"the live feed did not deliver event {pong.seq} within {CATCH_UP_S:g} s"
            ) from None


@asynccontextmanager
async def open_floor(
    place: Place, day: Day, *, api: Api, scaling: Scaling, clock: DayClock, serve_strangers: bool
) -> AsyncIterator[Floor]:
    """Create the agents, connect all clients, and run the agent drivers until the block is left.

    The policy must be active already. Raises LoadTestFailed, ClientError, or groups of them.
    """
    book = DayBook(day.contacts)
    if not book.visits:
        raise ReplayFailed("the day has no contacts")
    day = structs.replace(day, contacts=tuple(visit.plan for visit in book.visits))
    await _in_parallel([api.put_agent(agent) for agent in day.agents])
    url, tokens = place.socket_url, place.tokens
    supervisor = SupervisorClient(url, tokens("supervisor", place.supervisor_id), options=_OPTIONS)
    gateway = GatewayClient(url, tokens("gateway", place.gateway_id), options=_OPTIONS)
    desktops = [
        DesktopClient(url, tokens("agent", agent.agent_id), options=_OPTIONS)
        for agent in day.agents
    ]
    workforce = Workforce(day.agents)
    async with _connected([supervisor], [gateway, *desktops]), asyncio.TaskGroup() as group:
        tasks = RunningTasks(group)
        surroundings = Surroundings(
            book=book,
            clock=clock,
            workforce=workforce,
            policy=day.policy,
            rng=Random(day.behaviour_seed),
            tasks=tasks,
            serve_strangers=serve_strangers,
        )
        desks = [
            Desk(agent, desktop, surroundings)
            for agent, desktop in zip(day.agents, desktops, strict=True)
        ]
        customers = Customers(gateway, book=book, clock=clock, scaling=scaling, tasks=tasks)
        watch = Watch(supervisor, book=book, clock=clock, policy=day.policy)
        for listen in (watch.hear(), customers.hear(), *(desk.work() for desk in desks)):
            tasks.start(listen)
        yield Floor(
            day=day,
            book=book,
            clock=clock,
            desks=desks,
            customers=customers,
            watch=watch,
            workforce=workforce,
            tasks=tasks,
        )
        customers.go_home()
        tasks.cancel()


@asynccontextmanager
async def _connected(*waves: Sequence[SocketClient]) -> AsyncIterator[None]:
    """Connect all clients, one wave after the other, and close all of them in the end."""
    clients = [client for wave in waves for client in wave]
    try:
        for wave in waves:
            await _in_parallel([client.__aenter__() for client in wave])
        yield
    finally:
        closings = [client.__aexit__(None, None, None) for client in clients]
        await asyncio.gather(*closings, return_exceptions=True)


async def _in_parallel(work: "Sequence[Awaitable[object]]") -> None:
    """Await all of them, at most ``_PARALLEL_CONNECTS_MAX`` at a time."""
    limit = asyncio.Semaphore(_OPENING_MAX)

    async def one(item: Awaitable[object]) -> None:
        async with limit:
            await item

    async with asyncio.TaskGroup() as group:
        for item in work:
            group.create_task(one(item))
