"""``kill -9`` during a burst: nothing acknowledged is lost, clients reconnect, no event is duplicated."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from router.client import DesktopClient, GatewayClient, OutcomeUnknown, RouterRefused, SupervisorClient
from router.client.connection import ConnectionOptions
from router.model import events as e
from router.protocol import frames as f
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PATIENT = ConnectionOptions(connect_timeout_s=60, command_timeout_s=60, backoff_base_s=0.05, backoff_max_s=0.2)
DESKTOPS = 8
KILLS = 3


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def url_of(router: RouterProcess) -> str:
    return router.url.replace("http", "ws", 1)


async def work(desktop: DesktopClient) -> None:
    """Accept, end and complete every offered contact, across interruptions."""
    while True:
        for offer_id in tuple(desktop.state.offers):
            with contextlib.suppress(RouterRefused, OutcomeUnknown):
                await desktop.accept(offer_id)
        for assignment_id, item in tuple(desktop.state.assignments.items()):
            with contextlib.suppress(RouterRefused, OutcomeUnknown):
                await desktop.end(item.contact_id)
            with contextlib.suppress(RouterRefused, OutcomeUnknown):
                await desktop.complete(assignment_id)
        if not desktop.state.offers and not desktop.state.assignments:
            await anext(desktop.__aiter__())
        else:
            # A refused command is repeated; without a pause a slow router would see too many frames.
            await asyncio.sleep(0.02)


def enough(answers: list[f.OkFrame], count: int) -> bool:
    return len(answers) >= count


async def eventually(holds: Callable[[], bool]) -> None:
    """Poll until the condition holds; the time limit of the test applies."""
    while not holds():  # noqa: ASYNC110  (what is looked at is another task's plain data)
        await asyncio.sleep(0.01)


async def until_answered(ask: Callable[[], Awaitable[object]]) -> None:
    """Repeat a query while connections are lost."""
    while True:
        with contextlib.suppress(OutcomeUnknown):
            await ask()
            return


@pytest.mark.slow
async def test_clients_and_state_recover_after_kills(make_router: MakeRouter) -> None:
    """I1, I2, I25, I29 over several kills."""
    # After a start all submits of the burst come at once; a slow machine must not refuse them as overload.
    router = make_router(server__port=a_free_port(), runtime__submit_wait_ms_max=30_000)
    router.start()
    async with Api(router) as api:
        for number in range(DESKTOPS):
            await api.ok("PUT", f"/v1/agents/d{number}", {})
    acknowledged: list[f.OkFrame] = []
    seen: list[f.EventFrame] = []
    url = url_of(router)
    gateway = GatewayClient(url, router.token("gateway", "web"), options=PATIENT)
    supervisor = SupervisorClient(url, router.token("supervisor", "eve"), options=PATIENT)
    desktops = [DesktopClient(url, router.token("agent", f"d{number}"), options=PATIENT) for number in range(DESKTOPS)]
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(100):
        for client in (supervisor, gateway, *desktops):
            await stack.enter_async_context(client)

        async def submit(number: int) -> None:
            ok = await gateway.submit("chat", queue_id="support", reference=f"r{number}", retry_until_acknowledged=True)
            acknowledged.append(ok)

        async def watch() -> None:
            async for frame in supervisor:
                assert not isinstance(frame, f.WelcomeFrame), "the router had what was missed"
                if isinstance(frame, f.EventFrame):
                    seen.append(frame)

        async def burst() -> None:
            async with asyncio.TaskGroup() as submits:
                for number in range(300):
                    submits.create_task(submit(number))
                    if number % 4 == 0:
                        await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            side = [group.create_task(watch())]
            for desktop in desktops:
                await until_answered(desktop.ready)
                side.append(group.create_task(work(desktop)))
            bursting = group.create_task(burst())
            for kill in range(KILLS):
                await eventually(partial(enough, acknowledged, 60 * (kill + 1)))
                router.kill()
                await asyncio.to_thread(router.start)
                for client in (supervisor, gateway, *desktops):
                    await until_answered(client.ping)
            await bursting
            await eventually(lambda: not gateway.contacts.by_id)
            await eventually(lambda: not any(one.state.assignments for one in desktops))
            last = (await supervisor.ping()).seq
            await eventually(lambda: bool(seen) and seen[-1].seq >= last)
            for task in side:
                task.cancel()

    assert all(client.connection_count > KILLS for client in (supervisor, gateway, *desktops))
    queued = [frame.event for frame in seen if isinstance(frame.event, e.ContactQueued)]
    assert {ok.subject for ok in acknowledged} == {event.contact_id for event in queued}
    numbers = [frame.seq for frame in seen]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    async with Api(router) as api:
        events = await api.events()
    # A contact may be seen without its reference where the router was killed before it answered: the repetition stores it.
    stored = {event["contact_id"]: event["reference"] for event in events if event["type"] == "contact.queued"}
    assert sorted(stored.values()) == sorted(f"r{number}" for number in range(300))
    assert all(event.reference in (None, stored[event.contact_id]) for event in queued)
    kept = {event["seq"]: event["type"] for event in events}
    told = {frame.seq: frame.event.__struct_config__.tag for frame in seen}
    assert told.items() <= kept.items()


@pytest.mark.slow
async def test_clients_are_announced_a_restart_and_reconnect(make_router: MakeRouter) -> None:
    router = make_router(server__port=a_free_port(), server__drain_s=5)
    router.start()
    async with Api(router) as api:
        await api.ok("PUT", "/v1/agents/ada", {})
    token = router.token("agent", "ada")
    async with DesktopClient(url_of(router), token, options=PATIENT) as desktop, asyncio.timeout(60):
        await desktop.ready()
        code = await asyncio.to_thread(router.stop)
        assert code == 0
        assert not desktop.is_connected
        await asyncio.to_thread(router.start)
        await desktop.ping()
        assert desktop.connection_count == 2
        assert desktop.state.state == "ready"
