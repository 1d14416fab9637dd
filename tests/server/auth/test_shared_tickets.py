"""Tickets of several nodes: at the WebSocket, in the store, and while the store does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from router.cluster.redis.shared_store import SharedStore
from router.protocol.close_codes import CloseCode
from router.server.auth.credentials import Authenticator, Role
from router.server.auth.shared_tickets import SharedTickets
from tests.support.in_process_router import InProcessRouter, running_router
from tests.support.redis_server import RedisServer
from tests.support.shared_state import settings_of, shared_store

PREFIX = "tickets"
JSON = "router.v1+json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


def tickets_of(store: SharedStore, authenticator: Authenticator) -> SharedTickets:
    return SharedTickets(store, authenticator, prefix=PREFIX, lifetime_s=30, tickets_max=20)


@asynccontextmanager
async def two_nodes(server: RedisServer, tmp_path: Path, *, wait_s_max: float = 2.0) -> AsyncIterator[list[InProcessRouter]]:
    """Yield two routers with the same secret and shared tickets; what they route is not the same."""
    settings = settings_of(server, prefix=PREFIX)
    async with AsyncExitStack() as stack:
        routers = []
        for _ in range(2):
            store = await stack.enter_async_context(shared_store(settings, wait_s_max=wait_s_max))

            def make(authenticator: Authenticator, store: SharedStore = store) -> SharedTickets:
                return tickets_of(store, authenticator)

            routers.append(await stack.enter_async_context(running_router(tmp_path, tickets=make)))
        yield routers


async def a_ticket(http: aiohttp.ClientSession, router: InProcessRouter, subject: str = "a0") -> str:
    headers = {"Authorization": f"Bearer {router.token(subject, Role.AGENT)}"}
    async with http.post(router.server.url + "/v1/ws-ticket", headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["ticket"])


async def first_frame(socket: aiohttp.ClientWebSocketResponse, **hello: str) -> str | int | None:
    """Return the type of the first frame after ``hello``, or the code with which the socket is closed."""
    await socket.send_json({"type": "hello", **hello})
    message = await socket.receive(timeout=10)
    if message.type is aiohttp.WSMsgType.TEXT:
        return str(msgspec.json.decode(message.data)["type"])
    return socket.close_code


async def by_hello(http: aiohttp.ClientSession, router: InProcessRouter, ticket: str) -> str | int | None:
    async with http.ws_connect(router.server.url + "/v1/desktop", protocols=(JSON,)) as socket:
        return await first_frame(socket, ticket=ticket)


async def by_upgrade(http: aiohttp.ClientSession, router: InProcessRouter, ticket: str) -> str | int | None:
    try:
        async with http.ws_connect(router.server.url + "/v1/desktop", protocols=(JSON, f"ticket.{ticket}")) as socket:
            return await first_frame(socket)
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


@pytest.mark.parametrize("by", [by_hello, by_upgrade])
async def test_a_ticket_of_one_node_opens_one_socket_on_another(server: RedisServer, tmp_path: Path, by: object) -> None:
    assert callable(by)
    async with two_nodes(server, tmp_path) as (here, there), aiohttp.ClientSession() as http:
        ticket = await a_ticket(http, here)
        assert await by(http, there, ticket) == "welcome"
        refused = 401 if by is by_upgrade else CloseCode.UNAUTHENTICATED
        assert [await by(http, router, ticket) for router in (here, there)] == [refused, refused]


async def test_of_many_sockets_with_one_ticket_one_is_opened(server: RedisServer, tmp_path: Path) -> None:
    async with two_nodes(server, tmp_path) as routers, aiohttp.ClientSession() as http:
        ticket = await a_ticket(http, routers[0])
        answers = await asyncio.gather(*(by(http, router, ticket) for router in routers for by in (by_hello, by_upgrade)))
        assert sorted(map(str, answers)).count("welcome") == 1 and set(answers) <= {"welcome", 401, CloseCode.UNAUTHENTICATED}


async def test_a_ticket_for_a_role_that_may_not_use_the_endpoint_is_refused(server: RedisServer, tmp_path: Path) -> None:
    async with two_nodes(server, tmp_path) as (here, there), aiohttp.ClientSession() as http:
        ticket = await a_ticket(http, here)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(there.server.url + "/v1/supervisor", protocols=(JSON, f"ticket.{ticket}"))
        assert refused.value.status == 403


async def test_while_the_store_does_not_answer_tickets_are_refused_within_a_bound(server: RedisServer, tmp_path: Path) -> None:
    async with two_nodes(server, tmp_path, wait_s_max=0.3) as (here, there), aiohttp.ClientSession() as http:
        tickets = [await a_ticket(http, here) for _ in range(2)]
        server.pause()
        started_s = time.monotonic()
        headers = {"Authorization": f"Bearer {here.token('a0', Role.AGENT)}"}
        async with http.post(here.server.url + "/v1/ws-ticket", headers=headers) as answer:
            problem = await answer.json()
            assert (answer.status, problem["code"]) == (503, "busy") and "does not answer" in problem["detail"]
        assert await by_upgrade(http, there, tickets[0]) == 503
        assert await by_hello(http, there, tickets[1]) == CloseCode.TRY_AGAIN_LATER
        assert time.monotonic() - started_s < 20
        # Requests with a token need no store for their credential.
        async with http.get(here.server.url + "/v1/agents/a0", headers=headers) as answer:
            assert answer.status == 200
        server.resume()
        await asyncio.sleep(1)
        assert await by_hello(http, there, await a_ticket(http, here, "a1")) == "welcome"


async def test_what_the_store_holds_names_no_agent_and_redeems_nothing(server: RedisServer, tmp_path: Path) -> None:
    async with two_nodes(server, tmp_path) as (here, _), aiohttp.ClientSession() as http:
        ticket = await a_ticket(http, here, "a2")
        with server.client() as client:
            [key] = client.keys(f"{PREFIX}:*")
            content = key + b"".join(name + value for name, value in client.hgetall(key).items())
            assert 0 < client.pttl(key) <= 30_000
        assert ticket.encode() not in content and b"a2" not in content.split(b" ", 1)[1] and b"agent" not in content


async def test_a_ticket_of_a_workspace_or_a_key_that_the_node_does_not_have_is_refused(server: RedisServer, tmp_path: Path) -> None:
    async with shared_store(settings_of(server, prefix=PREFIX)) as store, running_router(tmp_path) as router:
        authenticator = router.endpoints.services.authenticator
        credential = authenticator.verify(router.token("a0", Role.AGENT))
        issuing = tickets_of(store, authenticator)
        ticket = await issuing.issue(credential)
        authenticator.remove_workspace("default")
        assert await issuing.redeem(ticket) is None
        authenticator.add_workspace("default")
        removed = msgspec.structs.replace(credential, key_id="a key that was removed")
        assert await issuing.redeem(await issuing.issue(removed)) is None
        assert await issuing.redeem(await issuing.issue(credential)) == credential
