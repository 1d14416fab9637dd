"""SIGHUP: certificates, keys and settings that may change are read again; nothing else happens, least of all an end. S38, D7."""

import asyncio
import json
import re
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from router.protocol.codec import JSON
from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_raw_http import a_socket, exchange, statuses
from tests.acceptance.sockets.test_upgraded_connections import a_certificate
from tests.server.auth.test_jwks import OTHER, a_jwk, a_set
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess
from tests.support.tokens import RSA, SECRET, claims, signed

PROBE = b"GET /healthz HTTP/1.0\r\n\r\n"


def hang_up(router: RouterProcess) -> dict[str, Any]:
    """Send SIGHUP; return the log line about it."""
    seen = len(router.log)
    router.signal(signal.SIGHUP)
    deadline_s = time.monotonic() + 10
    while True:
        for line in router.log[seen:]:
            if '"action":"reload' in line:
                found: dict[str, Any] = json.loads(line)
                return found
        assert time.monotonic() < deadline_s, router.log[seen:]
        time.sleep(0.02)


def status_with(router: RouterProcess, token: str) -> int:
    request = f"GET /v1/queues HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    [status] = statuses(exchange(router, request.encode()))
    return status


def served_certificate(router: RouterProcess) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with a_socket(router) as sock, context.wrap_socket(sock) as secured:
        found = secured.getpeercert(binary_form=True)
        assert found is not None
        return found


def test_a_hangup_without_anything_new_changes_nothing(make_router: MakeRouter) -> None:
    router = make_router().start()
    for _ in range(3):
        line = hang_up(router)
        assert (line["action"], line["changed"], line["needs_restart"]) == ("reloaded", [], [])
    assert statuses(exchange(router, PROBE)) == [200]
    assert router.stop() == 0


def test_a_new_certificate_is_served_after_a_hangup(make_router: MakeRouter, tmp_path: Path) -> None:
    tls = {f"server__{name}": value for name, value in a_certificate(tmp_path).items()}
    router = make_router(**tls).start()
    first = served_certificate(router)
    place = urlsplit(router.url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((place.hostname or "", place.port or 0)) as sock, context.wrap_socket(sock) as kept:
        a_certificate(tmp_path)
        assert hang_up(router)["action"] == "reloaded"
        assert served_certificate(router) != first
        kept.sendall(PROBE)
        assert statuses(kept.recv(65_536)) == [200], "an established connection goes on"
    second = served_certificate(router)
    # A certificate that cannot be used changes nothing, and says why.
    Path(tls["server__tls_certificate_path"]).write_text("nonsense")
    line = hang_up(router)
    assert line["action"] == "reload_failed" and "tls_certificate_path" in line["reason"]
    assert served_certificate(router) == second


async def test_a_replaced_key_ends_requests_and_sockets(make_router: MakeRouter, tmp_path: Path) -> None:
    """Within 5 s of the reload, nothing is done with a credential of the old key."""
    secret, jwks = tmp_path / "hmac", tmp_path / "jwks.json"
    secret.write_text(SECRET)
    jwks.write_bytes(a_set(a_jwk(RSA)))
    issuers = [
        {"issuer": "h", "family": "hmac", "keys": [{"path": str(secret)}]},
        {"issuer": "r", "family": "rsa", "jwks": str(jwks)},
    ]
    router = make_router(auth__issuers=json.dumps(issuers)).start()
    by_hmac = signed(claims(sub="web", role="gateway"))
    by_rsa = signed(claims(iss="r", sub="phone", role="gateway"), RSA, "RS256", {"kid": "k1"})
    rotated = signed(claims(iss="r", sub="phone", role="gateway"), OTHER, "RS256", {"kid": "k2"})
    async with aiohttp.ClientSession() as http:

        async def a_websocket(token: str) -> aiohttp.ClientWebSocketResponse:
            headers = {"Authorization": f"Bearer {token}"}
            ws = await http.ws_connect(router.url + "/v1/gateway", headers=headers, protocols=(JSON,))
            await ws.send_json({"type": "hello"})
            assert (await ws.receive_json())["type"] == "welcome"
            return ws

        async def status(token: str) -> int:
            # Over a kept connection, whose head the server knows by heart.
            async with http.get(router.url + "/v1/queues", headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status

        first, second = await a_websocket(by_hmac), await a_websocket(by_rsa)
        assert [await status(token) for token in (by_hmac, by_hmac, by_rsa, rotated)] == [200, 200, 200, 401]
        secret.write_text(SECRET[::-1])
        jwks.write_bytes(a_set(a_jwk(RSA), a_jwk(OTHER, "k2")))
        assert (await asyncio.to_thread(hang_up, router))["action"] == "reloaded"
        assert [await status(token) for token in (by_hmac, by_rsa, rotated)] == [401, 200, 200]
        async with asyncio.timeout(30):
            assert (await first.receive()).type is aiohttp.WSMsgType.CLOSE and first.close_code == 4401
        await second.send_json({"type": "ping", "id": "1"})
        assert (await second.receive_json())["type"] == "pong"
        # The end of the rotation.
        jwks.write_bytes(a_set(a_jwk(OTHER, "k2")))
        await asyncio.to_thread(hang_up, router)
        assert [await status(token) for token in (by_rsa, rotated)] == [401, 200]
        async with asyncio.timeout(30):
            assert (await second.receive()).type is aiohttp.WSMsgType.CLOSE and second.close_code == 4401


async def test_settings_of_the_file_that_may_change_do(make_router: MakeRouter, tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("server: {requests_per_s: 1000}\n")
    router = make_router().start("--config", str(config))
    async with Api(router, "gateway", "canary-web") as api:
        assert [(await api.call("GET", "/v1/queues")).status for _ in range(8)] == [200] * 8
        config.write_text(
            "server: {requests_per_s: 1, requests_burst: 3, keepalive_s: 7}\n"
            "telemetry: {log_subjects: true}\njournal: {checkpoint_idle_ms: 2000}\n"
        )
        line = await asyncio.to_thread(hang_up, router)
        assert set(line["changed"]) == {"server.requests_per_s", "server.requests_burst", "telemetry.log_subjects"}
        assert set(line["needs_restart"]) == {"server.keepalive_s", "journal.checkpoint_idle_ms"}
        assert [(await api.call("GET", "/v1/queues")).status for _ in range(5)] == [200] * 3 + [429] * 2
        assert any('"actor":"gateway:canary-web"' in entry for entry in router.log)
        for wrong in ("server: {requests_per_s: 0}\n", "server: [\n", "nothing: 1\n"):
            config.write_text(wrong)
            assert (await asyncio.to_thread(hang_up, router))["action"] == "reload_failed"
        assert [(await api.call("GET", "/v1/queues")).status for _ in range(2)] == [429] * 2
    assert router.stop() == 0


def test_many_hangups_at_any_time_end_nothing(make_router: MakeRouter) -> None:
    router = make_router()
    router.spawn()
    deadline_s = time.monotonic() + 60
    # Also while Python itself starts: the default of the signal would end it, so wait for the first line of ours.
    while not any('"action":"started"' in line for line in router.log):
        if router.log:
            router.signal(signal.SIGHUP)
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    for _ in range(50):
        router.signal(signal.SIGHUP)
    router.url = next(json.loads(line)["url"] for line in router.log if '"action":"started"' in line)
    assert statuses(exchange(router, PROBE)) == [200]
    for _ in range(5):
        router.signal(signal.SIGHUP)
    assert router.stop() == 0


def test_the_failed_check_is_in_the_log_without_the_token(make_router: MakeRouter) -> None:
    router = make_router().start()
    secret = Path(router.settings.journal.path).with_name("token.secret").read_text()
    wrong = {
        "InvalidAudienceError": (signed(claims(iss="router", sub="canary", aud="another"), secret), "contact-router"),
        "ExpiredSignatureError": (signed(claims(iss="router", sub="canary", exp=1_000_000_000, iat=None), secret), "exp"),
        "issuer": (signed(claims(iss="canary-issuer"), secret), "auth.issuers"),
        "key": (signed(claims(iss="router"), secret, headers={"kid": "canary-key"}), "kid"),
        "claims": (signed(claims(iss="router", sub="canary/x"), secret), "subject"),
        "InvalidSignatureError": (signed(claims(iss="router", sub="canary"), secret[::-1]), "signature"),
    }
    for check, (token, hint) in wrong.items():
        seen = len(router.log)
        for _ in range(3):
            assert status_with(router, token) == 401
        deadline_s = time.monotonic() + 30
        while not (lines := [line for line in router.log[seen:] if '"action":"auth_failed"' in line]):
            assert time.monotonic() < deadline_s, router.log[seen:]
            time.sleep(0.01)
        [line] = lines
        assert json.loads(line)["check"] == check and hint in json.loads(line)["hint"]
    text = "".join(router.log)
    assert "canary" not in text and not any(token in text for token, _ in wrong.values())


def test_a_secret_that_others_can_read_is_reported_and_no_core_is_dumped(make_router: MakeRouter, tmp_path: Path) -> None:
    secret = tmp_path / "hmac"
    secret.write_text(SECRET + "\n")
    issuers = json.dumps([{"issuer": "h", "family": "hmac", "keys": [{"path": str(secret)}]}])
    for mode, reported in ((0o644, True), (0o600, False)):
        secret.chmod(mode)
        router = make_router(auth__issuers=issuers).start()
        found = [line for line in router.log if '"action":"secret_readable_by_others"' in line]
        assert bool(found) is reported
        assert any('"action":"secret_line_end"' in line for line in router.log), "what is not used exactly is stated"
        assert status_with(router, signed(claims(role="supervisor"))) == 200
        limits = Path(f"/proc/{router.pid}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0\s", limits)
