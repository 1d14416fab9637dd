"""Requests with the Python client, against a running router: options and waits, the choice, and following by long polls."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from msgspec import Struct

from router.client import CustomerClient, NotConnected, PermanentlyClosed, RequestApi
from router.client.http_query import HttpRequestRefused
from router.client.reconnect import Backoff
from router.model.commands import PublishPolicy
from router.model.events.contact import TimeWindow
from router.model.policy import CallbackPolicy, CallbackWindowsPolicy, RequestPolicy
from router.model.request_views import RequestView
from router.model.states import RequestPhase
from router.protocol import frames as f
from router.server.auth.credentials import Role
from tests.support.builders import a_channel, a_policy, a_queue
from tests.support.in_process_router import InProcessRouter, running_router
from tests.support.router_process import RouterProcess

TIMEOUT_S = 30


class _NewFrame(Struct, tag="of_a_newer_router"):
    """A frame that this client does not know."""


AT_ONCE = Backoff(uniform=lambda low, high: 0.05)


async def publish(router: InProcessRouter, *, callback: bool = False) -> None:
    policy = a_policy(
        channels={"voice": a_channel(offer_timeout_s=60), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(cool_down_s=0, callback=CallbackPolicy())},
        requests=RequestPolicy(
            channels=("chat",), callback=CallbackWindowsPolicy(length_s=300, first_after_s=0) if callback else None
        ),
    )
    await router.writer.execute("default", PublishPolicy(policy=policy), actor="test")


def an_api(router: InProcessRouter, token: str | None = None) -> RequestApi:
    return RequestApi(router.server.url, token or router.token("web", Role.GATEWAY), backoff=AT_ONCE)


async def test_a_backend_asks_chooses_and_follows(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.desktop("a0") as ada, asyncio.timeout(TIMEOUT_S):
        await publish(router, callback=True)
        api = an_api(router)
        await ada.ready()
        first = await api.create("voice", queue_id="support", choose="first")
        await ada.accept(f"{first.request_id}.1")
        asked = await api.create("voice", queue_id="support", reference="app-7")
        assert asked.state is RequestPhase.CHOOSING and asked.expires_at_ms is not None
        now, chat, callback = asked.options
        assert (now.id, now.position, now.wait_s is not None) == ("now", 1, True)
        assert (chat.id, callback.id, len(callback.windows)) == ("chat", "callback", 4)
        seen: list[RequestView] = []

        async def follow() -> None:
            seen.extend([view async for view in api.follow(asked.request_id, wait_s=5)])

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.2)
        chosen = await api.choose(asked.request_id, "callback", window=callback.windows[1])
        assert (chosen.state, chosen.callback_at_ms) == (RequestPhase.CALLBACK, callback.windows[1].start_at_ms)
        await asyncio.sleep(0.2)
        left = await api.cancel(asked.request_id)
        await following
        assert left.outcome == "left" and seen[-1] == left == await api.get(asked.request_id)
        assert [one.state for one in seen] == [RequestPhase.CHOOSING, RequestPhase.CALLBACK, RequestPhase.ENDED]


async def test_the_token_of_the_customer_does_the_same_for_one_request(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        await publish(router)
        backend = an_api(router)
        mine, other = await backend.create("voice", queue_id="support"), await backend.create("voice", queue_id="support")
        app = an_api(router, mine.token)
        assert (await app.choose(mine.request_id, "now")).state is RequestPhase.WAITING
        for call in (app.get(other.request_id), app.choose(other.request_id, "now"), app.cancel(other.request_id)):
            with pytest.raises(HttpRequestRefused) as refused:
                await call
            assert (refused.value.status, refused.value.code) == (404, "unknown_contact")
        renewed = await backend.renew_token(mine.request_id)
        with pytest.raises(HttpRequestRefused) as refused:
            async for _ in app.follow(mine.request_id):
                raise AssertionError("the token is not valid any more")
        assert refused.value.code == "unauthenticated"
        assert (await an_api(router, renewed).get(mine.request_id)).state is RequestPhase.WAITING


async def test_a_repeat_with_the_key_gets_the_same_request(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        await publish(router)
        api = an_api(router)
        first = await api.create("voice", queue_id="support", idempotency_key="k-1")
        again = await api.create("voice", queue_id="support", idempotency_key="k-1", retry_until_acknowledged=True)
        assert first.request_id == again.request_id and first.token != again.token
        another = await api.create("voice", queue_id="support")
        assert another.request_id != first.request_id
        with pytest.raises(HttpRequestRefused) as refused:
            await api.create("fax", queue_id="support", retry_until_acknowledged=True)
        assert refused.value.code == "unknown_channel"
        with pytest.raises(HttpRequestRefused) as refused:
            await api.choose(first.request_id, "callback", window=TimeWindow(start_at_ms=1, end_at_ms=2))
        assert refused.value.code == "option_not_available"
        with pytest.raises(ValueError, match="1 to 30"):
            await anext(api.follow(first.request_id, wait_s=31))


async def test_following_goes_on_over_a_restart(tmp_path: Path) -> None:
    """Over a kill and a start on the same journal and port: long polls and the socket show what has happened meanwhile."""
    router = RouterProcess(tmp_path, policy="channels: {voice: {}}\nqueues: {support: {when_no_agents_ready: wait}}\n").start()
    port = int(router.url.rsplit(":", 1)[1])
    router._settings["server__port"] = port
    try:
        backend = RequestApi(router.url, router.token("gateway", "web"), backoff=AT_ONCE)
        asked = await backend.create("voice", queue_id="support")
        app = RequestApi(router.url, asked.token, backoff=AT_ONCE)
        socket = CustomerClient(router.url.replace("http", "ws"), asked.token)
        socket._backoff = AT_ONCE
        async with asyncio.timeout(2 * TIMEOUT_S), socket as customer:
            views = app.follow(asked.request_id, wait_s=1)
            assert (await anext(views)).state is RequestPhase.CHOOSING
            router.kill()
            with pytest.raises(NotConnected):
                await backend.get(asked.request_id)
            # Asked while there is no router: it is repeated until there is one.
            late = asyncio.create_task(backend.create("voice", queue_id="support", retry_until_acknowledged=True))
            await asyncio.to_thread(router.start)
            assert (await late).state is RequestPhase.CHOOSING
            await backend.choose(asked.request_id, "now")
            assert (await anext(views)).state is RequestPhase.WAITING
            async for view in customer.states():
                if view.state is RequestPhase.WAITING:
                    break
            await customer.cancel()
            assert [one.outcome async for one in views] == ["left"]
    finally:
        router.kill()


async def test_a_customer_client_ignores_frames_that_it_does_not_know(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        await publish(router)
        asked = await an_api(router).create("voice", queue_id="support")
        async with CustomerClient(router.ws_url, asked.token) as customer:
            (connection,) = router.endpoints.customers.connections
            connection.send(cast(f.ServerFrame, _NewFrame()))
            assert (await customer.choose("now")).state == "queued"
        with pytest.raises(PermanentlyClosed):
            async with CustomerClient(router.ws_url, "rct_nothing"):
                pass
