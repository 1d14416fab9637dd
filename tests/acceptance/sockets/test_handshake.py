"""Who may come in, before and at the upgrade, spoken with a plain WebSocket client."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON, MSGPACK
from router.server.auth.credentials import Role
from tests.support.in_process_router import InProcessRouter, running_router

TIMEOUT_S = 10


async def status_of(router: InProcessRouter, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Return status and problem of a refused upgrade."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
        "Sec-WebSocket-Protocol": JSON,
    } | options.get("headers", {})
    headers = {name: value for name, value in headers.items() if value is not None}
    async with aiohttp.ClientSession() as http, http.get(router.server.url + path, headers=headers) as response:
        return response.status, {**(await response.json(content_type=None)), "headers": dict(response.headers)}


class Plain:
    """WebSocket with JSON frames and no client logic."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def send_frame(self, **frame: Any) -> None:
        await self.ws.send_bytes(msgspec.json.encode(frame)) if self.ws.protocol == MSGPACK else (
            await self.ws.send_str(msgspec.json.encode(frame).decode())
        )

    async def receive(self) -> dict[str, Any]:
        message = await self.ws.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        frame: dict[str, Any] = msgspec.json.decode(message.data)
        return frame

    async def close_code(self) -> int | None:
        """Read to the end and return the close code."""
        while not self.ws.closed:
            await self.ws.receive()
        return self.ws.close_code


def plain(router: InProcessRouter, path: str = "/v1/desktop", **options: Any) -> Any:
    return _RawWebSocket(router, path, options)


class _RawWebSocket:
    def __init__(self, router: InProcessRouter, path: str, options: dict[str, Any]) -> None:
        self._url = router.ws_url + path
        self._options = {"protocols": (JSON,)} | options

    async def __aenter__(self) -> Plain:
        self._http = aiohttp.ClientSession()
        try:
            # Keep a reference: an unreferenced socket is closed by the garbage collector.
            self._plain = Plain(await self._http.ws_connect(self._url, **self._options))
        except BaseException:
            await self._http.close()  # A refused upgrade never reaches __aexit__.
            raise
        return self._plain

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()


def bearer(router: InProcessRouter, subject: str, role: Role) -> dict[str, str]:
    return {"Authorization": "Bearer " + router.token(subject, role)}


async def test_an_upgrade_without_one_of_the_subprotocols_is_refused(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router:
        for offered in (None, "chat", "router.v2+json"):
            status, problem = await status_of(router, "/v1/desktop", headers={"Sec-WebSocket-Protocol": offered})
            assert (status, problem["code"]) == (400, "malformed")


async def test_a_request_without_upgrade_gets_426(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router:
        status, problem = await status_of(router, "/v1/desktop", headers={"Upgrade": None, "Connection": None})
        assert (status, problem["code"]) == (426, "upgrade_required")


async def test_only_allowed_origins_may_open_websockets(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router:
        status, problem = await status_of(router, "/v1/desktop", headers={"Origin": "https://evil.example"})
        assert (status, problem["code"]) == (403, "origin_forbidden")
        status, problem = await status_of(router, "/v1/desktop", headers={"Origin": "null"})
        assert status == 403


async def test_an_invalid_header_token_is_refused_before_the_upgrade(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router:
        for value in ("Bearer nonsense", "Basic YTpi", "Bearer"):
            status, problem = await status_of(router, "/v1/desktop", headers={"Authorization": value})
            assert (status, problem["code"]) == (401, "unauthenticated")


async def test_a_token_in_the_url_is_refused(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router:
        token = router.token("a0", Role.AGENT)
        status, problem = await status_of(router, f"/v1/desktop?token={token}")
        assert status == 400
        assert token not in str(problem)


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/v1/desktop", {Role.AGENT}),
        ("/v1/gateway", {Role.GATEWAY}),
        ("/v1/supervisor", {Role.SUPERVISOR, Role.ADMIN}),
        ("/v1/customer", set()),
    ],
)
async def test_an_endpoint_accepts_only_its_roles(tmp_path: Path, path: str, roles: set[Role]) -> None:
    async with running_router(tmp_path) as router:
        for role in set(Role) - {Role.CUSTOMER}:
            if role in roles:
                async with plain(router, path, headers=bearer(router, "a0", role)) as socket:
                    await socket.send_frame(type="hello")
                    assert (await socket.receive())["type"] == "welcome"
            else:
                status, _ = await status_of(router, path, headers=bearer(router, "a0", role))
                assert status == 403
                async with plain(router, path) as socket:
                    await socket.send_frame(type="hello", token=router.token("a0", role))
                    assert await socket.close_code() == CloseCode.FORBIDDEN


async def test_connection_limits_return_503_with_retry_after(tmp_path: Path) -> None:
    async with running_router(tmp_path, sockets={"connections_max": 1}) as router, plain(router):
        status, problem = await status_of(router, "/v1/desktop")
        assert (status, problem["code"], problem["applied"]) == (503, "busy", "no")
        assert 1 <= int(problem["headers"]["Retry-After"]) <= 30


async def test_the_upgrade_rate_is_limited(tmp_path: Path) -> None:
    sockets = {"upgrades_per_s": 1, "upgrades_burst": 2}
    async with running_router(tmp_path, sockets=sockets) as router, plain(router), plain(router):
        status, problem = await status_of(router, "/v1/desktop")
        assert (status, problem["code"]) == (503, "busy")


async def test_an_upgrade_above_the_rate_is_refused_and_closed(tmp_path: Path) -> None:
    sockets = {"upgrades_per_s": 1, "upgrades_burst": 1}
    async with running_router(tmp_path, sockets=sockets) as router, plain(router):
        status, refused = await status_of(router, "/v1/desktop")
        assert status == 503
        assert 1 <= int(refused["headers"]["Retry-After"]) <= 60
        assert refused["retry_after_s"] == int(refused["headers"]["Retry-After"])
        assert refused["request_id"] == refused["headers"]["X-Request-ID"]
        assert refused["headers"]["Connection"] == "close"
        assert (refused["code"], refused["applied"], refused["temporary"]) == ("busy", "no", True)
        assert refused["headers"]["Content-Type"] == "application/problem+json"
        assert refused["headers"]["Server"] == "contact-router"


async def test_connections_of_one_credential_are_limited(tmp_path: Path) -> None:
    async with running_router(tmp_path, sockets={"credential_connections_max": 1}) as router:
        headers = bearer(router, "web", Role.GATEWAY)
        async with plain(router, "/v1/gateway", headers=headers) as socket:
            await socket.send_frame(type="hello")
            await socket.receive()
            status, _ = await status_of(router, "/v1/gateway", headers=headers)
            assert status == 503
            async with plain(router, "/v1/gateway") as second:
                await second.send_frame(type="hello", token=router.token("web", Role.GATEWAY))
                assert await second.close_code() == CloseCode.TRY_AGAIN_LATER
            async with router.gateway("phone") as other:
                assert other.is_connected


async def test_a_ticket_is_valid_once(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        token = router.token("a0", Role.AGENT)
        credential = router.endpoints.services.authenticator.verify(token)
        ticket = await router.endpoints.services.tickets.issue(credential)
        async with plain(router) as socket:
            await socket.send_frame(type="hello", ticket=ticket)
            assert (await socket.receive())["agent"]["agent_id"] == "a0"
        async with plain(router) as socket:
            await socket.send_frame(type="hello", ticket=ticket)
            assert await socket.close_code() == CloseCode.UNAUTHENTICATED


async def test_a_client_without_hello_is_closed(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, sockets={"hello_timeout_s": 1}) as router,
        asyncio.timeout(TIMEOUT_S),
        plain(router) as socket,
    ):
        assert await socket.close_code() == CloseCode.UNAUTHENTICATED


async def test_an_unknown_agent_is_refused(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S), plain(router) as socket:
        await socket.send_frame(type="hello", token=router.token("stranger", Role.AGENT))
        assert await socket.close_code() == CloseCode.FORBIDDEN


async def test_each_codec_has_its_own_message_type(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S):
        async with plain(router) as socket:
            await socket.ws.send_bytes(b'{"type":"hello"}')
            assert await socket.close_code() == CloseCode.UNSUPPORTED_DATA
        async with plain(router, protocols=(MSGPACK,)) as socket:
            await socket.ws.send_str('{"type":"hello"}')
            assert await socket.close_code() == CloseCode.UNSUPPORTED_DATA


async def test_an_oversized_frame_closes_the_connection(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, asyncio.timeout(TIMEOUT_S), plain(router) as socket:
        await socket.ws.send_str("x" * (64 * 1024 + 1))
        assert await socket.close_code() == CloseCode.TOO_BIG


async def test_exceeding_the_frame_rate_warns_and_then_closes(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path, sockets={"frames_per_s": 1, "frames_burst": 5}) as router,
        asyncio.timeout(TIMEOUT_S),
        plain(router, headers=bearer(router, "a0", Role.AGENT)) as socket,
    ):
        await socket.send_frame(type="hello")
        assert (await socket.receive())["type"] == "welcome"
        # One burst is accepted, a second one is refused, and then the connection closes.
        for number in range(11):
            await socket.send_frame(type="ping", id=str(number))
        answers = [await socket.receive() for _ in range(10)]
        assert [answer["type"] for answer in answers] == ["pong"] * 4 + ["error"] * 6
        assert (answers[4]["code"], answers[4]["id"]) == ("rate_limited", "4")
        assert answers[4]["retry_after_ms"] > 0
        assert await socket.close_code() == CloseCode.RATE_LIMITED


async def test_malformed_frames_get_errors_and_the_sixth_closes(tmp_path: Path) -> None:
    async with (
        running_router(tmp_path) as router,
        asyncio.timeout(TIMEOUT_S),
        plain(router, headers=bearer(router, "a0", Role.AGENT)) as socket,
    ):
        await socket.send_frame(type="hello")
        await socket.receive()
        for number in range(6):
            await socket.send_frame(type="accept", id=str(number), offer_id="no id at all")
        for number in range(5):
            answer = await socket.receive()
            assert (answer["code"], answer["id"]) == ("malformed", str(number))
            assert "no id at all" not in str(answer)
        assert await socket.close_code() == CloseCode.BAD_MESSAGE


async def test_a_socket_ends_exactly_when_requests_are_refused(tmp_path: Path) -> None:
    """The tolerated difference between clocks applies to both."""
    from router.server.auth.credentials import mint_token

    async with (
        running_router(tmp_path, auth={"leeway_s": 5}) as router,
        asyncio.timeout(TIMEOUT_S),
        aiohttp.ClientSession() as http,
    ):
        token = mint_token(router.settings, subject="web", role=Role.GATEWAY, lifetime_s=1)
        headers = {"Authorization": f"Bearer {token}"}
        expires_s = router.endpoints.services.authenticator.verify(token).expires_at_s
        await asyncio.sleep(max(0.0, expires_s - time.time() + 0.3))

        async def status() -> int:
            async with http.get(router.server.url + "/v1/queues", headers=headers) as response:
                return response.status

        # Expired, but within the tolerance: accepted by requests, upgrades and hello.
        assert await status() == 200
        async with plain(router, "/v1/gateway", headers=headers) as first, plain(router, "/v1/gateway") as second:
            await first.send_frame(type="hello")
            await second.send_frame(type="hello", token=token)
            for socket in (first, second):
                assert (await socket.receive())["type"] == "welcome"
            assert await first.close_code() == CloseCode.TOKEN_EXPIRED
            assert 4.9 < time.time() - expires_s < 15, "not before, and without a request"
            assert await status() == 401
            assert await second.close_code() == CloseCode.TOKEN_EXPIRED


async def test_an_expired_credential_closes_the_connection_unless_refreshed(tmp_path: Path) -> None:
    async with running_router(tmp_path, auth={"leeway_s": 0}) as router, asyncio.timeout(TIMEOUT_S):
        from router.server.auth.credentials import mint_token

        def short() -> str:
            return mint_token(router.settings, subject="a0", role=Role.AGENT, lifetime_s=2)

        async with plain(router) as socket:
            await socket.send_frame(type="hello", token=short())
            await socket.receive()
            await socket.send_frame(type="refresh", id="1", token=router.token("a1", Role.AGENT))
            assert (await socket.receive())["code"] == "forbidden"
            assert await socket.close_code() == CloseCode.UNAUTHENTICATED
        async with plain(router) as socket:
            await socket.send_frame(type="hello", token=short())
            await socket.receive()
            assert await socket.close_code() == CloseCode.TOKEN_EXPIRED
        async with plain(router) as socket:
            await socket.send_frame(type="hello", token=short())
            await socket.receive()
            await socket.send_frame(type="refresh", id="1", token=router.token("a0", Role.AGENT))
            assert (await socket.receive())["type"] == "ok"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5):
                    await socket.receive()
