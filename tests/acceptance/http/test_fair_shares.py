"""One user or a stranger who takes all there is: the others are served, and the probes answer. S4, S7, S17, S31."""

import asyncio
import contextlib
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from router.protocol.codec import JSON
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_raw_http import a_socket, exchange, read_all, statuses
from tests.acceptance.sockets.test_upgraded_connections import a_certificate, trusting
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PROBES = ("/healthz", "/readyz")
PROBE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SUBMIT = b'{"channel": "voice", "queue_id": "support"}'


def a_request(router: RouterProcess, target: str = "/v1/queues", *, token: str | None = None, more: str = "") -> bytes:
    token = token or router.token("gateway", "good")
    return f"GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()


def an_upgrade(token: str | None, path: str = "/v1/desktop", *more: str, protocol: str = JSON) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: a",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Sec-WebSocket-Protocol: {protocol}",
        *more,
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def status_of(router: RouterProcess, request: bytes) -> int:
    """Return the first status on a connection of its own."""
    with a_socket(router) as sock:
        sock.sendall(request)
        [status, *_] = statuses(sock.recv(65_536))
        return status


@contextlib.contextmanager
def idle_strangers(router: RouterProcess, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Hold connections that send ``first`` and then nothing."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(a_socket(router)) for _ in range(count)]
        for sock in held:
            if first:
                sock.sendall(first)
        yield held


# --- connections --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n", PROBE, an_upgrade(None)],
    ids=["silent", "half a head", "probe", "upgrade"],
)
def test_idle_strangers_keep_out_neither_probes_nor_clients(make_router: MakeRouter, first: bytes) -> None:
    router = make_router(server__connections_max=20, sockets__upgrades_burst=100, sockets__upgrades_per_s=100).start()
    with idle_strangers(router, 20, first):
        for _ in range(3):
            # At once, when every stranger may still send its request, and after that.
            for path in PROBES:
                assert status_of(router, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()) == 200
            assert status_of(router, a_request(router)) == 200
            assert status_of(router, an_upgrade(router.token("gateway", "web"), "/v1/gateway")) == 101
            time.sleep(0.6)


def test_the_metrics_port_answers_probes_too(make_router: MakeRouter) -> None:
    router = make_router().start()
    for path in PROBES:
        with urllib.request.urlopen(router.metrics_url.replace("/metrics", path), timeout=5) as answer:
            assert answer.status == 200


def test_strangers_displace_no_client_that_has_a_credential(make_router: MakeRouter) -> None:
    router = make_router(server__connections_max=10).start()
    with contextlib.ExitStack() as stack:
        good = [stack.enter_context(a_socket(router)) for _ in range(10)]
        for sock in good:
            sock.sendall(a_request(router))
            assert statuses(sock.recv(65_536)) == [200]
        time.sleep(1.2)
        with idle_strangers(router, 30):
            assert status_of(router, PROBE) == 200
            # Full of known connections: this one cannot stay.
            answer = exchange(router, a_request(router))
            assert statuses(answer) == [503] and b"Retry-After" in answer
            for sock in good:
                sock.sendall(a_request(router))
                assert statuses(sock.recv(65_536)) == [200]
            # The silent ones are refused and closed.
            with a_socket(router) as late:
                assert statuses(read_all(late)) == [503]


def test_connections_of_one_address_are_limited_until_they_have_a_credential(make_router: MakeRouter) -> None:
    router = make_router(server__address_connections_max=5).start()
    with idle_strangers(router, 5):
        with a_socket(router) as stranger:
            assert statuses(read_all(stranger)) == [503]
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                sock = stack.enter_context(a_socket(router))
                for _ in range(2):
                    sock.sendall(a_request(router))
                    assert statuses(sock.recv(65_536)) == [200], "a client with a credential does not count"


def test_a_connection_without_a_request_ends_soon(make_router: MakeRouter) -> None:
    router = make_router(server__first_request_timeout_s=1).start()
    began_s = time.monotonic()
    with idle_strangers(router, 1) as [silent], idle_strangers(router, 1, b"GET /hea") as [slow], a_socket(router) as used:
        used.sendall(a_request(router))
        assert statuses(used.recv(65_536)) == [200]
        assert read_all(silent) == b"" and read_all(slow) == b""
        assert 0.9 < time.monotonic() - began_s < 8, "one second, and no default time"
        used.sendall(a_request(router))
        assert statuses(used.recv(65_536)) == [200], "between requests, keepalive_s applies"


# --- credentials --------------------------------------------------------------------------------------


async def _upgrade_status(router: RouterProcess, request: bytes) -> int:
    place = urlsplit(router.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request)
        found = statuses(await reader.readuntil(b"\r\n\r\n"))
        return found[0]
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    finally:
        writer.close()


@pytest.mark.parametrize("kind", ["bad token", "expired", "no token", "bad ticket"])
async def test_upgrades_without_a_valid_credential_do_not_keep_others_out(make_router: MakeRouter, kind: str) -> None:
    router = make_router(sockets__upgrades_per_s=20, sockets__upgrades_burst=5).start()
    async with Api(router) as admin:
        for number in range(40):
            await admin.ok("PUT", f"/v1/agents/a{number}", {"skills": {}, "queues": ["support"]})
    good = [an_upgrade(router.token("agent", f"a{number}")) for number in range(40)]
    head, _, signature = router.token("agent", "a0").rpartition(".")
    bad = {
        "bad token": an_upgrade(f"{head}.{signature[::-1]}"),
        "expired": an_upgrade("x" * 100),
        "no token": an_upgrade(None),
        "bad ticket": an_upgrade(None, protocol=f"{JSON}, ticket." + "x" * 43),
    }[kind]
    stop = False
    seen: dict[int, int] = {}

    async def flood() -> None:
        while not stop:
            status = await _upgrade_status(router, bad)
            seen[status] = seen.get(status, 0) + 1

    floods = [asyncio.create_task(flood()) for _ in range(8)]
    await asyncio.sleep(1.0)
    answers = []
    for request in good:
        answers.append(await _upgrade_status(router, request))
        await asyncio.sleep(0.06)
    stop = True
    await asyncio.gather(*floods)
    assert answers == [101] * 40, (answers, seen)
    assert sum(seen.values()) > 200, "the flood was one"
    assert seen.get(429, 0) > 0, "failures are slowed"


async def test_failures_of_hello_count_like_those_of_http(make_router: MakeRouter) -> None:
    router = make_router(server__failed_logins_per_s=1).start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        codes = []
        for _ in range(2):
            async with http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,)) as ws:
                await ws.send_json({"type": "hello", "token": "nothing"})
                await ws.receive()
                codes.append(ws.close_code)
        assert codes == [4501, 4501]
        # The address has used up its failures, over whichever way.
        async with http.get(router.url + "/v1/queues", headers={"Authorization": "Bearer x"}) as refused:
            assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,))
        assert raised.value.status == 429
        headers = {"Authorization": f"Bearer {router.token('gateway', 'web')}"}
        async with http.ws_connect(router.url + "/v1/gateway", headers=headers, protocols=(JSON,)) as ws:
            await ws.send_json({"type": "hello"})
            assert (await ws.receive_json())["type"] == "welcome"
        async with http.get(router.metrics_url) as page:
            assert b'router_auth_failures_total{check="malformed"} 3.0' in await page.read()


async def test_addresses_behind_a_trusted_proxy_are_told_apart(make_router: MakeRouter) -> None:
    router = make_router(server__failed_logins_per_s=1, server__trusted_proxies='["127.0.0.1"]').start()
    async with aiohttp.ClientSession() as http:

        async def fail(forwarded: str) -> int:
            headers = {"Authorization": "Bearer x", "X-Forwarded-For": forwarded}
            async with http.get(router.url + "/v1/queues", headers=headers) as response:
                return response.status

        assert [await fail(f"203.0.113.{number}, 192.0.2.1") for number in range(3)] == [401, 401, 429]
        assert await fail("192.0.2.2") == 401


async def test_one_credential_cannot_draw_all_tickets(make_router: MakeRouter) -> None:
    router = make_router(auth__credential_tickets_max=3, auth__tickets_max=5, auth__ticket_s=2).start()
    async with Api(router, "agent", "greedy") as greedy, Api(router, "agent", "other") as other:
        answers = [await greedy.call("POST", "/v1/ws-ticket") for _ in range(6)]
        assert [answer.status for answer in answers] == [201] * 3 + [429] * 3
        assert answers[-1].code == "rate_limited"
        tickets = [(await other.ok("POST", "/v1/ws-ticket"))["ticket"] for _ in range(2)]
        full = await Api.call(other, "POST", "/v1/ws-ticket")
        assert (full.status, full.code) == (503, "busy"), "the limit of all"
        # A used ticket makes a place, also as a subprotocol, and waiting as told is enough.
        upgrade = an_upgrade(None, protocol=f"{JSON}, ticket.{tickets[0]}")
        assert status_of(router, upgrade) == 101
        assert status_of(router, upgrade) == 401, "it is valid once"
        assert (await other.call("POST", "/v1/ws-ticket")).status == 201
        refused = await greedy.call("POST", "/v1/ws-ticket")
        await asyncio.sleep(int(refused.headers["Retry-After"]))
        assert (await greedy.call("POST", "/v1/ws-ticket")).status == 201


# --- bodies -------------------------------------------------------------------------------------------


def test_unfinished_bodies_of_one_credential_do_not_keep_others_out(make_router: MakeRouter) -> None:
    router = make_router(server__in_flight_max=10, server__bodies_max=20, server__credential_bodies_max=8).start()
    head = "POST /v1/contacts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    loud = (head % 1000 + f"Authorization: Bearer {router.token('gateway', 'loud')}\r\n\r\n{{").encode()
    quiet = (head % len(SUBMIT) + f"Authorization: Bearer {router.token('gateway', 'quiet')}\r\n\r\n").encode()
    with idle_strangers(router, 30, loud) as held:
        refused = [statuses(sock.recv(65_536)) for sock in held[8:]]
        assert refused == [[429]] * 22
        for request in (quiet + SUBMIT, quiet):
            with a_socket(router) as sock:
                sock.sendall(request)
                if request == quiet:
                    time.sleep(0.1)
                    sock.sendall(SUBMIT)
                assert statuses(sock.recv(65_536)) == [201]
        # A body that is completed makes a place.
        held[0].sendall(b" " * 999)
        assert statuses(held[0].recv(65_536)) == [400]
        with a_socket(router) as sock:
            sock.sendall(loud + b"}" + b" " * 998)
            assert statuses(sock.recv(65_536)) == [422]


def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_fault(make_router: MakeRouter) -> None:
    router = make_router().start()
    head = f"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {router.token('gateway', 'web')}\r\n"
    length = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"
    lines = len(router.log)
    for start in (head + length, head + chunked, head):
        for _ in range(10):
            with a_socket(router) as sock:
                sock.sendall(start.encode())
                time.sleep(0.01)
                # Half of them by a reset.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00" if _ % 2 else b"\x00" * 8)
    assert status_of(router, PROBE) == 200
    assert not [line for line in router.log[lines:] if "Traceback" in line or '"status":500' in line or '"level":"error"' in line]
    assert router.metrics_url
    place = urlsplit(router.metrics_url)
    deadline_s = time.monotonic() + 5
    while True:
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=3) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            page = read_all(sock)
        if b'router_http_disconnects_total{stage="body"} 20.0' in page and b'{stage="head"} 10.0' in page:
            break
        assert time.monotonic() < deadline_s, [line for line in page.splitlines() if b"disconnects" in line]
    assert b'status="500"' not in page


# --- rates --------------------------------------------------------------------------------------------


async def test_an_agent_toggles_no_faster_over_http_than_over_a_socket(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {}, "queues": ["support"]})
        before = len(await admin.events())

        async def toggle(number: int) -> Any:
            state = "ready" if number % 2 else "not_ready"
            return await ada.call("POST", "/v1/agents/ada/state", {"state": state})

        started_s = time.monotonic()
        answers = await asyncio.gather(*(toggle(number) for number in range(1_000)))
        changes_max = 30 + time.monotonic() - started_s  # A burst, and one more each second however slow the machine is.
        refused = [answer for answer in answers if answer.status != 200]
        assert {answer.code for answer in refused} == {"rate_limited"}
        assert 30 <= len(answers) - len(refused) <= changes_max
        assert len(await admin.events()) - before <= changes_max
        # This does not keep an administrator from changing the agent, but they have no higher rate. Creating it was one change.
        started_s = time.monotonic()
        others = [await admin.call("POST", "/v1/agents/ada/state", {"state": state}) for state in ("ready", "not_ready") * 40]
        assert {answer.status for answer in others} == {200, 429}
        assert 29 <= [answer.status for answer in others].count(200) <= 30 + time.monotonic() - started_s
        await admin.ok("PUT", "/v1/agents/ben", {"skills": {}, "queues": ["support"]})
        headers = {"Authorization": f"Bearer {router.token('agent', 'ben')}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,)) as ws,
        ):
            await ws.send_json({"type": "hello"})
            assert (await ws.receive_json())["type"] == "welcome"
            codes: list[str] = []
            refusal: dict[str, Any] = {}
            started_s = time.monotonic()
            for number in range(55):
                await ws.send_json({"type": "set_state", "id": str(number), "state": "ready" if number % 2 else "not_ready"})
                while (frame := await ws.receive_json())["type"] == "event":
                    pass
                codes.append(frame.get("code", "ok"))
                refusal = frame if frame["type"] == "error" else refusal
            assert codes[:30] == ["ok"] * 30 and set(codes) == {"ok", "rate_limited"}
            assert codes.count("ok") <= 30 + time.monotonic() - started_s
            assert refusal["retry_after_ms"] > 0 and refusal["temporary"]
            await asyncio.sleep(refusal["retry_after_ms"] / 1000)
            await ws.send_json({"type": "set_state", "id": "last", "state": "offline"})
            while (frame := await ws.receive_json())["type"] == "event":
                pass
            assert frame["type"] == "ok"


async def test_the_rate_of_an_agent_is_that_of_all_its_requests_and_frames_together(make_router: MakeRouter) -> None:
    router = make_router(sockets__frames_per_s=1, sockets__frames_burst=10).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {}, "queues": ["support"]})
        headers = {"Authorization": f"Bearer {router.token('agent', 'ada')}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,)) as ws,
        ):
            await ws.send_json({"type": "hello"})
            assert (await ws.receive_json())["type"] == "welcome"
            answers = [(await ada.call("GET", "/v1/agents/ada")).status for _ in range(12)]
            assert answers == [200] * 9 + [429] * 3
            await ws.send_json({"type": "ping", "id": "1"})
            frame = await ws.receive_json()
            assert (frame["type"], frame["code"]) == ("error", "rate_limited")


async def test_waiting_for_retry_after_ms_always_helps(make_router: MakeRouter) -> None:
    """A client that sends as fast as it can and waits exactly as long as it is told."""
    router = make_router(sockets__frames_per_s=20, sockets__frames_burst=10).start()
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {}, "queues": ["support"]})
    headers = {"Authorization": f"Bearer {router.token('agent', 'ada')}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,)) as ws:
        await ws.send_json({"type": "hello"})
        assert (await ws.receive_json())["type"] == "welcome"
        waits = 0
        while waits < 12:
            # Several on the way: the client hears of the limit only after it has sent them.
            for number in range(8):
                await ws.send_json({"type": "ping", "id": str(number)})
            answers = [await ws.receive_json() for _ in range(8)]
            told = [answer["retry_after_ms"] for answer in answers if answer["type"] == "error"]
            if told:
                waits += 1
                await asyncio.sleep(told[-1] / 1000)
                await ws.send_json({"type": "ping", "id": "again"})
                assert (await ws.receive_json())["type"] == "pong", "what was told is enough"


async def test_two_tabs_that_fight_are_slowed_and_then_refused(make_router: MakeRouter) -> None:
    router = make_router(sockets__connects_burst=6, sockets__connects_per_minute=6).start()
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {}, "queues": ["support"]})
        token = router.token("agent", "ada")
        outcomes: list[str] = []
        waits: list[float] = []
        async with aiohttp.ClientSession() as http:

            async def tab(*, in_header: bool) -> None:
                headers = {"Authorization": f"Bearer {token}"} if in_header else {}
                hello = {"type": "hello"} if in_header else {"type": "hello", "token": token}
                while len(outcomes) < 30:
                    try:
                        began_s = time.monotonic()
                        async with http.ws_connect(router.url + "/v1/desktop", protocols=(JSON,), headers=headers) as ws:
                            await ws.send_json(hello)
                            first = await ws.receive()
                            waits.append(time.monotonic() - began_s)
                            if first.type is aiohttp.WSMsgType.CLOSE:
                                assert first.data == 4509, "the other tab was faster"
                                continue
                            outcomes.append(first.json().get("code", first.json()["type"]))
                            if outcomes[-1] == "rate_limited":
                                assert first.json()["retry_after_ms"] > 0
                                await ws.receive()
                                assert ws.close_code == 4429
                            while not ws.closed:
                                await ws.receive()
                    except aiohttp.WSServerHandshakeError as error:
                        assert error.status == 429 and error.headers is not None and int(error.headers["Retry-After"]) >= 1
                        outcomes.append("rate_limited")

            tabs = [asyncio.create_task(tab(in_header=True)), asyncio.create_task(tab(in_header=False))]
            await asyncio.wait(tabs, timeout=15, return_when=asyncio.FIRST_COMPLETED)
            for task in tabs:
                task.cancel()
            ended = await asyncio.gather(*tabs, return_exceptions=True)
            assert not [error for error in ended if isinstance(error, Exception)], ended
        assert outcomes.count("welcome") <= 9 and outcomes.count("rate_limited") >= 20, outcomes
        assert max(waits) > 1.0, "the last ones are slowed"
        connected = [event for event in await admin.events() if event["type"] == "agent.desktop_connected"]
        assert 6 <= len(connected) <= 9
        # Another agent is not affected.
        await admin.ok("PUT", "/v1/agents/ben", {"skills": {}, "queues": ["support"]})
        assert status_of(router, an_upgrade(router.token("agent", "ben"))) == 101


# --- TLS ----------------------------------------------------------------------------------------------


def test_a_client_that_does_not_finish_the_tls_handshake_is_closed(make_router: MakeRouter, tmp_path: Path) -> None:
    tls = {f"server__{name}": value for name, value in a_certificate(tmp_path).items()}
    router = make_router(**tls, server__first_request_timeout_s=1).start()
    began_s = time.monotonic()
    with a_socket(router, timeout_s=30) as silent:
        assert read_all(silent) == b""
        assert time.monotonic() - began_s < 8, "one second, and no default time"
    with a_socket(router) as sock, trusting().wrap_socket(sock) as secured:
        secured.sendall(PROBE)
        assert statuses(secured.recv(65_536)) == [200]
