"""The socket of a customer: states as they change, the choice, and nothing of anyone else."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from router.client import CustomerClient, PermanentlyClosed, RouterRefused
from router.model.states import RequestPhase
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, WITH_REQUESTS, a_busy_agent, ask
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PATIENCE_S = 30
JSON = "router.v1+json"


def a_client(router: RouterProcess, asked: dict[str, Any]) -> CustomerClient:
    return CustomerClient(router.url.replace("http", "ws"), asked["token"])


async def until(client: CustomerClient, phase: RequestPhase, **wanted: Any) -> Any:
    """Return the first view in this phase with these values."""

    def is_it(view: Any) -> bool:
        return view.state is phase and all(getattr(view, name) == value for name, value in wanted.items())

    if is_it(client.request):
        return client.request
    async with asyncio.timeout(PATIENCE_S):
        async for view in client.states():
            if is_it(view):
                return view
    raise AssertionError(f"it has ended as {client.request}")


async def test_a_customer_is_shown_what_happens(make_router: MakeRouter) -> None:
    named = "facts:\n  alias: {type: ident, applies_to: agent}\n"
    policy = WITH_REQUESTS.replace("facts:\n", named) + "  agent_name: alias\n"
    router = make_router(policy=policy, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "ada") as ada:
        busy = await a_busy_agent(admin, router)
        await admin.ok("PUT", "/v1/agents/ada", {"attributes": {"alias": "Grace"}})
        before = (await admin.submit())["contact_id"]
        asked = await ask(web)
        async with a_client(router, asked) as customer:
            view = customer.request
            assert view is not None and view.state is RequestPhase.CHOOSING
            assert [one.id for one in view.options] == ["now", "chat", "callback"]
            done = await customer.choose("now")
            assert (done.seq, done.subject) == (0, asked["request_id"])
            view = await until(customer, RequestPhase.WAITING, position=2)
            assert view.wait_s is not None and view.wait_s.p50 > 0
            # The place moves by an event of another contact.
            await admin.ok("POST", f"/v1/contacts/{before}/cancel")
            await until(customer, RequestPhase.WAITING, position=1)
            await ada.ok("POST", f"/v1/contacts/{busy}/end")
            work = (await admin.ok("GET", "/v1/agents/ada"))["assignments"][0]["assignment_id"]
            await ada.ok("POST", f"/v1/assignments/{work}/complete")
            await ada.ok("POST", f"/v1/offers/{asked['request_id']}.1/accept")
            view = await until(customer, RequestPhase.CONNECTED)
            assert view.agent is not None and view.agent.name == "Grace"
            await ada.ok("POST", f"/v1/assignments/{asked['request_id']}.1/hold")
            await until(customer, RequestPhase.ON_HOLD)
            await ada.ok("POST", f"/v1/assignments/{asked['request_id']}.1/unhold")
            await until(customer, RequestPhase.CONNECTED)
            await ada.ok("POST", f"/v1/contacts/{asked['request_id']}/end")
            view = await until(customer, RequestPhase.ENDED)
            assert view.outcome == "completed"


async def test_a_socket_shows_exactly_one_contact(make_router: MakeRouter) -> None:
    """Canaries in every name of the others; a search through every byte that the customer's socket receives."""
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    received: list[bytes] = []
    async with Api(router) as admin, Api(router, "gateway", "web") as web, Api(router, "agent", "canary-agent") as agent:
        await admin.ok("PUT", "/v1/agents/canary-agent", {})
        await admin.ok("POST", "/v1/agents/canary-agent/state", {"state": "ready"})
        first = (await web.submit(reference="canary-busy"))["contact_id"]
        await agent.ok("POST", f"/v1/offers/{first}.1/accept")
        mine = await ask(web, attributes={"tier": "gold"}, reference="canary-own-reference")
        other = await ask(web, reference="canary-other")
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,)) as socket:
            await socket.send_json({"type": "hello", "token": mine["token"]})

            async def read() -> None:
                async for message in socket:
                    received.append(message.data.encode())  # noqa: PERF401  (others wait for what is there)

            reading = asyncio.create_task(read())
            await socket.send_json({"type": "choose", "id": "1", "option": "now"})
            foreign = [(await web.submit(reference=f"canary-{number}"))["contact_id"] for number in range(10)]
            await socket.send_json({"type": "choose", "id": "2", "option": "chat"})
            await socket.send_json({"type": "choose", "id": "3", "option": "canary-option"})
            await socket.send_json({"type": "cancel", "id": "4", "contact_id": other["request_id"]})
            await socket.send_json({"type": "ping", "id": "5"})
            async with Api(router, None, token=other["token"]) as another:
                await another.ok("POST", f"/v1/requests/{other['request_id']}/cancel")
            async with asyncio.timeout(PATIENCE_S):
                while not any(b'"pong"' in data for data in received):  # noqa: ASYNC110  (another task reads)
                    await asyncio.sleep(0.05)
                await agent.ok("POST", f"/v1/contacts/{first}/end")
                while len(received) < 6:  # noqa: ASYNC110  (another task reads)
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            await socket.close()
            await reading
    everything = b"\n".join(received)
    assert mine["request_id"].encode() in everything and len(received) >= 6
    for foreign_text in ("canary", "support", "gold", "voice/", "queue", other["request_id"], first, *foreign):
        assert foreign_text.encode() not in everything.replace(b"queued", b""), foreign_text
    for data in received:
        frame = msgspec.json.decode(data)
        assert not frame.get("seq") and frame["type"] in {"state", "ok", "error", "pong"}


async def test_a_lost_socket_is_no_hang_up(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web)
        async with a_client(router, asked) as customer:
            await customer.choose("now")
        assert (await web.ok("GET", f"/v1/contacts/{asked['request_id']}"))["state"] == "queued"
        router.kill()
        router.start()
    async with Api(router, "gateway", "web") as web, a_client(router, asked) as customer:
        await until(customer, RequestPhase.WAITING, position=1)
        done = await customer.cancel()
        assert done.state == "abandoned"
        view = await until(customer, RequestPhase.ENDED)
        assert view.outcome == "left"


async def test_a_customer_stops_and_resumes_on_another_channel(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web, choose="first")
        async with a_client(router, asked) as customer:
            await until(customer, RequestPhase.WAITING)
            await customer.suspend()
            await until(customer, RequestPhase.SUSPENDED)
            await customer.resume(channel="chat")
            view = await until(customer, RequestPhase.WAITING)
            assert view.channel == "chat"


async def test_a_customer_goes_on_on_a_channel_that_is_offered_only(make_router: MakeRouter) -> None:
    mail = WITH_REQUESTS.replace("  chat: {units", "  mail: {}\n  chat: {units")
    router = make_router(policy=mail, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        other = await ask(web, choose="first")
        asked = await ask(web, choose="first")
        async with a_client(router, asked) as customer:
            view = await until(customer, RequestPhase.WAITING, position=2)
            assert view.channels == ("chat",)
            for channel, code in (("mail", "channel_not_possible"), ("fax", "unknown_channel")):
                with pytest.raises(RouterRefused) as refused:
                    await customer.switch_channel(channel)
                assert (refused.value.code, refused.value.error.field) == (code, "channel")
            done = await customer.switch_channel("chat")
            assert (done.seq, done.subject) == (0, asked["request_id"])
            view = await until(customer, RequestPhase.WAITING, channel="chat")
            assert view.position == 2
        contact = await web.ok("GET", f"/v1/contacts/{other['request_id']}")
        assert contact["channel"] == "voice", "the token moves its own contact only"


async def test_refusals_are_told_without_the_business_of_others(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await a_busy_agent(admin, router)
        asked = await ask(web)
        async with a_client(router, asked) as customer:
            with pytest.raises(RouterRefused) as refused:
                await customer.choose("fax")
            assert refused.value.code == "option_not_available"
            await customer.choose("now")
            with pytest.raises(RouterRefused) as refused:
                await customer.choose("chat")
            assert refused.value.code == "invalid_contact_state"
            assert (refused.value.error.allowed, refused.value.error.state) == ((), None)


async def test_a_token_opens_three_sockets_and_ends_with_its_renewal(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        async with aiohttp.ClientSession() as session:
            sockets = []
            for _ in range(4):
                socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,))
                await socket.send_json({"type": "hello", "token": asked["token"]})
                sockets.append(socket)
            async with asyncio.timeout(PATIENCE_S):
                for socket in sockets[:3]:
                    assert (await socket.receive_json())["type"] == "state"
                assert (await sockets[3].receive()).type is aiohttp.WSMsgType.CLOSE
                assert sockets[3].close_code == 1013
                await web.ok("POST", f"/v1/requests/{asked['request_id']}/token")
                for socket in sockets[:3]:
                    while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                        pass
                    assert socket.close_code == 4401
            for token, code in ((asked["token"], 4501), (router.token("gateway", "web"), 4503), ("rct_" + "A" * 32, 4501)):
                socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,))
                await socket.send_json({"type": "hello", "token": token})
                async with asyncio.timeout(PATIENCE_S):
                    await socket.receive()
                assert socket.close_code == code
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{router.url}/v1/customer?token={asked['token']}", protocols=(JSON,))
            assert refused.value.status == 400
            socket = await session.ws_connect(f"{router.url}/v1/gateway", protocols=("router.v1+json",))
            renewed = (await web.ok("POST", f"/v1/requests/{asked['request_id']}/token"))["token"]
            await socket.send_json({"type": "hello", "token": renewed})
            async with asyncio.timeout(PATIENCE_S):
                await socket.receive()
            assert socket.close_code == 4503
        with pytest.raises(PermanentlyClosed):
            async with a_client(router, asked):
                raise AssertionError("the old token opened a socket")
