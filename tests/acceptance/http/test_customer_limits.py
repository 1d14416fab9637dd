"""Bad and too many requests of apps and customers: each is refused with its field and limit, and nothing of others suffers."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_requests import FAST, WITH_REQUESTS, ask, of_customer
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PATIENCE_S = 30
JSON = "router.v1+json"
DEEP = "[" * 20_000 + "]" * 20_000


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path_factory.mktemp("router"), policy=WITH_REQUESTS, **FAST)
    process.start()
    yield process
    process.kill()


def of_request(**fields: Any) -> bytes:
    return json.dumps({"channel": "voice", "queue_id": "support", **fields}).encode()


def with_text(text: str) -> bytes:
    """A request with this text in the place of a value."""
    return ('{"channel":"voice","queue_id":"support",' + text + "}").encode()


@pytest.mark.parametrize(
    ("body", "code", "field", "text"),
    [
        (of_request(reference="a" * 300_000), "too_large", None, "262144"),
        (with_text(f'"context":{{"data":{{"a":{DEEP}}}}}'), "malformed", None, "nested"),
        (with_text('"priority_s":NaN'), "malformed", None, "JSON"),
        (with_text('"priority_s":1e999'), "invalid_value", "priority_s", "86,400"),
        (with_text('"priority_s":' + "9" * 400), "invalid_value", "priority_s", "86,400"),
        (with_text('"context":{"data":{"a":1e999}}'), "invalid_value", "context.data", "1.8e308"),
        (with_text('"context":{"data":{"a":[{"b":-1e400}]}}'), "invalid_value", "context.data", "1.8e308"),
        (of_request(context={"summary": "x" * 2_001}), "invalid_value", "context.summary", "2,000"),
        (of_request(context={"data": {"a": "x" * 5_000}}), "invalid_value", "context", "4,096"),
        (with_text('"reference":"').replace(b"}", b'\xff\xfe"}'), "malformed", None, "JSON"),
        (with_text('"reference":"\\u0000"'), "invalid_value", "reference", "128"),
        (of_request(choose="maybe"), "invalid_value", "choose", "ask, first"),
        (of_request(preferred_agents=["a"] * 33), "invalid_value", "preferred_agents", "32"),
        (of_request(skills={f"s{number}": 1 for number in range(33)}), "invalid_value", "skills", "32"),
        (of_request(callback={}), "invalid_value", "callback", "known are"),
        (b"[]", "invalid_value", None, "object"),
        (b"", "malformed", None, "required"),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else None,
)
async def test_a_bad_request_names_field_and_limit(
    router: RouterProcess, body: bytes, code: str, field: str | None, text: str
) -> None:
    async with Api(router, "gateway", "web") as web:
        refused = await web.call("POST", "/v1/requests", data=body, headers={"Content-Type": "application/json"})
        assert (refused.code, refused.json.get("field")) == (code, field)
        assert text in refused.json["detail"]


@pytest.mark.parametrize(
    ("frame", "field", "text"),
    [
        ("{", None, "JSON"),
        (f'{{"type":"choose","id":"1","option":{DEEP}}}', None, "nested"),
        ('{"type":"choose","id":"1","option":NaN}', None, "JSON"),
        ('{"type":"choose","id":"1","option":"' + "x" * 300 + '"}', "option", "63"),
        ('{"type":"choose","option":"now"}', "id", "missing"),
        ('{"type":"choose","id":"' + "x" * 65 + '","option":"now"}', "id", "64"),
        ('{"type":"choose","id":"1","option":"now","idempotency_key":"' + "x" * 300 + '"}', "idempotency_key", "255"),
        ('{"type":"accept","id":"1","offer_id":"o"}', "type", "choose"),
        ('{"type":"refresh","id":"1","token":"t"}', "type", "choose"),
    ],
)
async def test_a_bad_frame_names_field_and_limit(router: RouterProcess, frame: str, field: str | None, text: str) -> None:
    async with Api(router) as admin, Api(router, "gateway", "web") as web, aiohttp.ClientSession() as session:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,))
        await socket.send_json({"type": "hello", "token": asked["token"]})
        async with asyncio.timeout(PATIENCE_S):
            assert (await socket.receive_json())["type"] == "state"
            await socket.send_str(frame)
            refused = await socket.receive_json()
            assert (refused["type"], refused["code"], refused.get("field")) == ("error", "malformed", field)
            assert text in refused["detail"]
            # The socket goes on.
            await socket.send_json({"type": "ping", "id": "2"})
            assert (await socket.receive_json())["type"] == "pong"
        await socket.close()


async def test_a_frame_that_is_too_big_or_of_another_kind_closes_the_socket(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, "gateway", "web") as web, aiohttp.ClientSession() as session:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        for data, code in ((json.dumps({"type": "choose", "id": "1", "option": "x" * 70_000}), 1009), (b"\xff", 1003)):
            socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,))
            await socket.send_json({"type": "hello", "token": asked["token"]})
            async with asyncio.timeout(PATIENCE_S):
                await socket.receive_json()
                await (socket.send_bytes(data) if isinstance(data, bytes) else socket.send_str(data))
                while not socket.closed:
                    await socket.receive()
            assert socket.close_code == code


async def test_a_flood_of_frames_is_limited_and_then_closed(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, aiohttp.ClientSession() as session:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,))
        await socket.send_json({"type": "hello", "token": asked["token"]})
        codes: list[str] = []
        began_s = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            for number in range(60):
                await socket.send_json({"type": "choose", "id": str(number), "option": "fax"})
            async for message in socket:
                frame = json.loads(message.data)
                if frame["type"] == "error":
                    codes.append(frame["code"])
        assert socket.close_code == 4429
        answered = codes.index("rate_limited")
        # The burst, and two a second meanwhile; the replies of commands may come after refusals.
        assert set(codes) == {"option_not_available", "rate_limited"}
        assert 1 <= answered <= codes.count("option_not_available") <= 20 + 2 * (time.monotonic() - began_s + 1)


async def test_one_customer_has_few_polls_and_a_lost_one_frees_its_place(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked, other = await ask(web), await ask(web)
        path = f"/v1/requests/{asked['request_id']}?wait_s=30"
        polls = [asyncio.create_task(_poll(router, asked["token"], path)) for _ in range(3)]
        async with of_customer(router, asked["token"]) as customer, of_customer(router, other["token"]) as another:
            async with asyncio.timeout(20):  # Until all three wait.
                while (await customer.call("GET", path.replace("wait_s=30", "wait_s=1"))).status != 429:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            refused = await customer.call("GET", path)
            assert (refused.status, refused.code) == (429, "rate_limited")
            assert "requests.token_connections_max" in refused.json["detail"]
            # Neither other requests of this customer nor another customer are held up.
            await customer.ok("GET", path.split("?")[0])
            await another.ok("GET", f"/v1/requests/{other['request_id']}?wait_s=1")
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)
            async with asyncio.timeout(10):
                while (await customer.call("GET", path.replace("wait_s=30", "wait_s=1"))).status == 429:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)


async def _poll(router: RouterProcess, token: str, path: str) -> int:
    """A poll that waits, also where another one takes its place for a moment."""
    async with of_customer(router, token) as customer:
        while (answer := await customer.call("GET", path)).status == 429:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return answer.status


async def test_a_poll_ends_with_its_token(make_router: MakeRouter) -> None:
    router = make_router(policy=WITH_REQUESTS, **FAST).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        poll = asyncio.create_task(_poll(router, asked["token"], f"/v1/requests/{asked['request_id']}?wait_s=30"))
        await asyncio.sleep(1)
        await web.ok("POST", f"/v1/requests/{asked['request_id']}/token")
        async with asyncio.timeout(10):
            assert await poll == 401


@pytest.mark.parametrize("by_hello", [True, False])
async def test_a_customer_who_reconnects_in_a_loop_is_slowed_and_takes_nothing_from_agents(
    make_router: MakeRouter, by_hello: bool
) -> None:
    """The token may open 20 sockets and then some a minute; upgrades of agents have a rate of their own."""
    limits = {"sockets__upgrades_per_s": 1, "sockets__upgrades_burst": 25, "sockets__connects_per_minute": 1}
    router = make_router(policy=WITH_REQUESTS, **limits).start()
    async with Api(router) as admin, Api(router, "gateway", "web") as web, aiohttp.ClientSession() as session:
        await admin.ok("PUT", "/v1/agents/ada", {})
        asked = await ask(web)
        opened, refused = 0, ""
        for _ in range(25):
            headers = {} if by_hello else {"Authorization": f"Bearer {asked['token']}"}
            try:
                socket = await session.ws_connect(f"{router.url}/v1/customer", protocols=(JSON,), headers=headers)
            except aiohttp.WSServerHandshakeError as error:
                refused = str(error.status)
                break
            await socket.send_json({"type": "hello", **({"token": asked["token"]} if by_hello else {})})
            async with asyncio.timeout(PATIENCE_S):
                first = await socket.receive_json()
            await socket.close()
            if first["type"] == "error":
                refused = f"{first['code']} {first['detail']}"
                break
            opened += 1
        assert opened == 20
        assert "sockets.connects_per_minute" in refused if by_hello else refused == "429"
        agents = {"Authorization": f"Bearer {router.token('agent', 'ada')}"}
        for _ in range(10):
            socket = await session.ws_connect(f"{router.url}/v1/desktop", protocols=(JSON,), headers=agents)
            await socket.close()
