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
from router.client.connection import ConnectionOptions
from router.client.reconnect import TokenProvider
from router.client.websocket_client import WebSocketClient
from router.loadtest.agents import AgentDriver, DriverContext
from router.loadtest.customers import CustomerDriver
from router.loadtest.execution import DayClock, LoadTestFailed, TaskPool
from router.loadtest.http_api import RouterHttpApi
from router.loadtest.monitor import FeedMonitor
from router.loadtest.scaling import PolicyScaling
from router.loadtest.tracker import ContactTracker
from router.simulator.behaviour import Workforce
from router.simulator.day import Day, StaffLevel

TokenFactory: TypeAlias = Callable[[str, str], TokenProvider]
"""Function from role and subject to a provider of tokens."""

# Time without events, with all contacts submitted and no work or patience timer left, after which nothing more can happen.
IDLE_LIMIT_S: Final = 3.0
# Allowance beyond the scaled length of the day and its longest contacts; a longer run is considered to hang.
OVERTIME_MAX_S: Final = 300.0
# Longest interruption of the supervisor's connection; a restarting router is reachable again by then.
RECONNECT_WAIT_MAX_S: Final = 60.0
# Pings per clock measurement; the one with the shortest round trip counts.
CLOCK_SYNC_PINGS: Final = 7
CATCH_UP_TIMEOUT_S: Final = 30.0
_POLL_INTERVAL_S: Final = 0.05
_PARALLEL_CONNECTS_MAX: Final = 50
_CONNECTION_OPTIONS: Final = ConnectionOptions(backoff_base_s=0.2, backoff_max_s=5.0)


class RouterTarget(Struct, frozen=True, kw_only=True):
    """Router to test, with the credentials for it."""

    url: str
    """``http://host:port``."""
    token_factory: TokenFactory
    gateway_id: str = "loadtest"
    supervisor_id: str = "loadtest"

    @property
    def socket_url(self) -> str:
        """``ws://host:port``."""
        return "ws" + self.url.removeprefix("http")


class _ScheduleAction(IntEnum):
    """Kind of a scheduled action; actions at the same time are carried out in this order."""

    SHIFT_START = 0
    SHIFT_END = 1
    STAFF_LEVEL = 2


class LoadTestSession:
    """Running load test with all clients connected; created by ``open_session``."""

    def __init__(
        self, *, day: Day, context: DriverContext, agents: Sequence[AgentDriver], customers: CustomerDriver, monitor: FeedMonitor
    ) -> None:
        self.day = day
        self.tracker = context.tracker
        self.clock = context.clock
        self.agents = {driver.agent.agent_id: driver for driver in agents}
        self.monitor = monitor
        self._customers = customers
        self._workforce = context.workforce
        self._tasks = context.tasks
        self._schedule_pending = True
        self.wall_s = 0.0
        """Wall-clock seconds that the day took, set when it is over."""

    @property
    def connections_lost(self) -> int:
        """Number of desktop connections that were lost and re-established."""
        return sum(driver.desktop.connection_count - 1 for driver in self.agents.values())

    # --- the day ----------------------------------------------------------------------------------
    async def run_day(self) -> None:
        """Run the day from its first contact until every contact has ended and every assignment is completed.

        Raises LoadTestFailed if the day does not end in time or if the router stays unreachable.
        """
        self.clock.start(router_now_ms=await self._measure_router_clock_ms())
        span_ms = max(v.plan.at_ms for v in self.tracker.contacts) - self.day.start_ms
        longest_ms = max(v.plan.handle_ms + (v.plan.patience_ms or 0) for v in self.tracker.contacts)
        limit_s = self.clock.to_wall_s(span_ms + 20 * longest_ms) + OVERTIME_MAX_S
        try:
            async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
                schedule = group.create_task(self._run_schedule())
                group.create_task(self._customers.submit_all())
                await self._wait_until_complete()
                # The day ends with its last contact; shift changes after it are not carried out.
                schedule.cancel()
        except TimeoutError:
            raise LoadTestFailed(f"the day did not end within {limit_s:,.0f} s: contacts or assignments are still open") from None
        self.wall_s = self.clock.elapsed_s
        await self._catch_up()

    async def _measure_router_clock_ms(self) -> int:
        """Return the router's present time, measured by the ping with the shortest round trip, corrected by half of it."""
        loop_s = asyncio.get_running_loop().time
        quickest_s, offset_ms = float("inf"), 0.0
        for _ in range(CLOCK_SYNC_PINGS):
            sent_s = loop_s()
            pong = await self.monitor.supervisor.ping()
            took_s = loop_s() - sent_s
            if took_s < quickest_s:
                quickest_s = took_s
                offset_ms = pong.at_ms - 1000 * (sent_s + took_s / 2)
        return round(offset_ms + 1000 * loop_s())

    async def _run_schedule(self) -> None:
        """Carry out shift changes and staff levels at their times; at equal times shifts start before others end."""
        due: list[tuple[int, _ScheduleAction, AgentDriver | StaffLevel]] = [
            (level.at_ms, _ScheduleAction.STAFF_LEVEL, level) for level in self.day.levels
        ]
        for driver in self.agents.values():
            for shift in driver.agent.shifts:
                due.append((shift.from_ms, _ScheduleAction.SHIFT_START, driver))
                if shift.to_ms is not None:
                    due.append((shift.to_ms, _ScheduleAction.SHIFT_END, driver))
        due.sort(key=lambda entry: entry[:2])
        for at_ms, action, subject in due:
            await self.clock.sleep_until(at_ms)
            for change in self._action_coroutines(action, subject):
                self._tasks.start(change)
        self._schedule_pending = False

    def _action_coroutines(self, action: "_ScheduleAction", subject: AgentDriver | StaffLevel) -> list[Coroutine[Any, Any, None]]:
        if isinstance(subject, StaffLevel):
            joining, leaving = self._workforce.apply_level(subject)
            return [
                *(self.agents[agent_id].start_shift() for agent_id in joining),
                *(self.agents[agent_id].end_shift() for agent_id in leaving),
            ]
        return [subject.start_shift() if action is _ScheduleAction.SHIFT_START else subject.end_shift()]

    # --- end of the day ----------------------------------------------------------------------------------
    async def _wait_until_complete(self) -> None:
        unreachable_since_s: float | None = None
        now_s = asyncio.get_running_loop().time
        while not self._is_complete():
            await asyncio.sleep(_POLL_INTERVAL_S)
            if self.monitor.supervisor.is_connected:
                unreachable_since_s = None
            elif unreachable_since_s is None:
                unreachable_since_s = now_s()
            elif now_s() - unreachable_since_s > RECONNECT_WAIT_MAX_S:
                raise LoadTestFailed(f"the router has been unreachable for more than {RECONNECT_WAIT_MAX_S:g} s")
            if self._is_stalled():
                await self._customers.withdraw_open_contacts()

    def _open_work_count(self) -> int:
        return sum(driver.open_work_count for driver in self.agents.values())

    def _is_complete(self) -> bool:
        return self._customers.all_submitted and self.tracker.all_ended.is_set() and not self._open_work_count()

    def _is_stalled(self) -> bool:
        """Return whether the remaining contacts can never be served: no activity is left and none is scheduled."""
        idle_s = asyncio.get_running_loop().time() - self.monitor.last_event_at_s
        return (
            self._customers.all_submitted
            and not self._schedule_pending
            and not self._open_work_count()
            and not self._customers.patience_timer_count
            and idle_s > IDLE_LIMIT_S
        )

    async def _catch_up(self) -> None:
        """Wait until the monitor has received every event up to now."""
        pong = await self.monitor.supervisor.ping()
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                await self.monitor.wait_for_seq(pong.seq)
        except TimeoutError:
            raise LoadTestFailed(f"the live feed did not deliver event {pong.seq} within {CATCH_UP_TIMEOUT_S:g} s") from None


@asynccontextmanager
async def open_session(
    target: RouterTarget, day: Day, *, api: RouterHttpApi, scaling: PolicyScaling, clock: DayClock, accept_foreign_contacts: bool
) -> AsyncIterator[LoadTestSession]:
    """Create the agents, connect all clients, and run the agent drivers until the block is left.

    The policy must be active already. Raises LoadTestFailed, ClientError, or groups of them.
    """
    tracker = ContactTracker(day.contacts)
    if not tracker.contacts:
        raise LoadTestFailed("the day has no contacts")
    day = structs.replace(day, contacts=tuple(contact.plan for contact in tracker.contacts))
    await _run_in_parallel([api.put_agent(agent) for agent in day.agents])
    clients = _Clients.from_day(target, day)
    async with _connected_clients([clients.supervisor], [clients.gateway, *clients.desktops]), asyncio.TaskGroup() as group:
        context = DriverContext(
            tracker=tracker,
            clock=clock,
            workforce=Workforce(day.agents),
            policy=day.policy,
            rng=Random(day.behaviour_seed),
            tasks=TaskPool(group),
            accept_foreign_contacts=accept_foreign_contacts,
        )
        customers = CustomerDriver(clients.gateway, tracker=tracker, clock=clock, scaling=scaling, tasks=context.tasks)
        session = LoadTestSession(
            day=day,
            context=context,
            agents=[AgentDriver(agent, desktop, context) for agent, desktop in zip(day.agents, clients.desktops, strict=True)],
            customers=customers,
            monitor=FeedMonitor(clients.supervisor, tracker=tracker, clock=clock, policy=day.policy),
        )
        for work in (
            session.monitor.follow_events(),
            customers.follow_events(),
            *(driver.follow_events() for driver in session.agents.values()),
        ):
            context.tasks.start(work)
        yield session
        customers.cancel_patience_timers()
        context.tasks.cancel_all()


class _Clients(Struct, frozen=True):
    """All clients of a load test."""

    supervisor: SupervisorClient
    gateway: GatewayClient
    desktops: list[DesktopClient]

    @classmethod
    def from_day(cls, target: RouterTarget, day: Day) -> "_Clients":
        """Create the clients of a day, not connected yet; the desktops are in the order of the agents."""
        url, tokens, options = target.socket_url, target.token_factory, _CONNECTION_OPTIONS
        return cls(
            SupervisorClient(url, tokens("supervisor", target.supervisor_id), options=options),
            GatewayClient(url, tokens("gateway", target.gateway_id), options=options),
            [DesktopClient(url, tokens("agent", agent.agent_id), options=options) for agent in day.agents],
        )


@asynccontextmanager
async def _connected_clients(*waves: Sequence[WebSocketClient]) -> AsyncIterator[None]:
    """Connect all clients, one wave after the other, and close all of them in the end."""
    clients = [client for wave in waves for client in wave]
    try:
        for wave in waves:
            await _run_in_parallel([client.__aenter__() for client in wave])
        yield
    finally:
        closings = [client.__aexit__(None, None, None) for client in clients]
        await asyncio.gather(*closings, return_exceptions=True)


async def _run_in_parallel(awaitables: "Sequence[Awaitable[object]]") -> None:
    """Await all of them, at most ``_PARALLEL_CONNECTS_MAX`` at a time."""
    limit = asyncio.Semaphore(_PARALLEL_CONNECTS_MAX)

    async def one(item: Awaitable[object]) -> None:
        async with limit:
            await item

    async with asyncio.TaskGroup() as group:
        for item in awaitables:
            group.create_task(one(item))
