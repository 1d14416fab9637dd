"""The process: how it starts, what it refuses to start with, how it ends. F13, F19, F60, S1, S32, S56."""

import asyncio
import contextlib
import json
import os
import signal
import stat
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api


async def test_sigterm_finishes_accepted_work_and_loses_nothing(make_router: MakeRouter) -> None:
    """F60, I1."""
    router = make_router().start()
    async with Api(router) as admin:
        receipts: list[int] = []
        enough = asyncio.Event()

        async def submit_continuously() -> None:
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                while True:
                    receipts.append((await admin.submit())["seq"])
                    if len(receipts) >= 50:
                        enough.set()

        senders = [asyncio.create_task(submit_continuously()) for _ in range(8)]
        await enough.wait()
        code = await asyncio.to_thread(router.stop)
        await asyncio.gather(*senders)
    assert code == 0
    router.start()
    async with Api(router) as admin:
        queued = {e["seq"] for e in await admin.events() if e["type"] == "contact.queued"}
    assert set(receipts) <= queued


async def test_a_second_signal_ends_at_once_and_loses_nothing(make_router: MakeRouter) -> None:
    """F19."""
    router = make_router().start()
    async with Api(router) as admin:
        receipt = await admin.submit()
    router.signal(signal.SIGTERM)
    router.signal(signal.SIGTERM)
    assert router.wait() == 0
    router.start()
    async with Api(router) as admin:
        assert (await admin.ok("GET", f"/v1/contacts/{receipt['contact_id']}"))["state"] == "queued"


def test_a_second_process_on_the_same_journal_exits(make_router: MakeRouter) -> None:
    """F13."""
    first = make_router().start()
    second = make_router(journal__path=first.settings.journal.path)
    second.spawn()
    assert second.wait() == 3
    assert os.path.exists(f"/proc/{first.pid}")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("journal__pth", "x"),
        ("server__port", "-1"),
        ("server__host", "0.0.0.0"),
        ("server__tls_certificate_path", "/nowhere.pem"),
        ("policy__seed_path", "/nowhere.yaml"),
        ("nonsense", "1"),
    ],
)
def test_an_invalid_setting_is_named_and_prevents_the_start(make_router: MakeRouter, setting: str, value: str) -> None:
    """S1."""
    router = make_router(**{setting: value})
    router.spawn()
    assert router.wait() == 2
    place = "" + setting.replace("__", ".")
    assert place in router.log[-1] or "tls_certificate_path" in router.log[-1]


def test_an_invalid_policy_prevents_the_start(make_router: MakeRouter) -> None:
    router = make_router(policy="channels: {voice: {}}\nqueues: {a: {overflow_to: b}}\n")
    router.spawn()
    assert router.wait() == 2


def test_the_first_start_creates_a_secret_readable_by_the_owner_only(make_router: MakeRouter) -> None:
    """S27, S32, S56. And no token ever stands in what is not a terminal."""
    router = make_router().start()
    secret = Path(router.settings.journal.path).with_name("token.secret")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert len(secret.read_bytes()) >= 32
    assert "eyJ" not in "".join(router.log)
    before = secret.read_bytes()
    router.stop()
    router.start()
    assert secret.read_bytes() == before


async def test_every_line_of_the_log_is_json_without_addresses_or_queries(make_router: MakeRouter) -> None:
    """S14, S44, S54, I40."""
    router = make_router().start()
    async with Api(router) as admin:
        await admin.call("GET", "/v1/contacts?cursor=zzcanaryzz")
        await admin.call("GET", "/zzcanaryzz%0d%0aX", headers={"User-Agent": "zzcanaryzz"})
        await admin.submit(reference="zzcanaryzz")
        await admin.call("POST", "/v1/contacts", {"channel": "zzcanaryzz"})
    router.stop()
    lines = [json.loads(line) for line in router.log]
    assert all(line["event"] and line["action"] for line in lines)
    assert "zzcanaryzz" not in "".join(router.log)
    assert any(line["action"] == "request" and line["status"] == 201 for line in lines)


async def test_the_readiness_probe_follows_start_and_drain(make_router: MakeRouter) -> None:
    """F60, F61."""
    router = make_router(server__drain_s=5).start()
    async with Api(router, role=None) as anonymous, aiohttp.ClientSession() as session:
        assert (await anonymous.call("GET", "/readyz")).status == 200
        token = router.token("gateway", "web")
        async with session.ws_connect(
            f"{router.url}/v1/gateway", protocols=["router.v1+json"], headers={"Authorization": f"Bearer {token}"}
        ) as socket:
            await socket.send_str('{"type":"hello"}')
            assert (await socket.receive_json())["type"] == "welcome"
            router.signal(signal.SIGTERM)
            assert (await socket.receive_json())["type"] == "reconnect"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1012
    assert await asyncio.to_thread(router.wait) == 0


async def test_the_rate_limit_applies_per_credential(make_router: MakeRouter) -> None:
    """I43, S7."""
    router = make_router(server__requests_per_s=1, server__requests_burst=5).start()
    async with Api(router, "gateway", "loud") as loud, Api(router, "gateway", "quiet") as quiet:
        answers = [await loud.call("GET", "/v1/queues") for _ in range(10)]
        assert [a.status for a in answers[:5]] == [200] * 5
        assert answers[-1].code == "rate_limited" and answers[-1].status == 429
        assert (await quiet.call("GET", "/v1/queues")).status == 200
        assert (await loud.call("GET", "/healthz")).status == 200


async def test_only_allowed_origins_may_use_the_api(make_router: MakeRouter) -> None:
    """S8."""
    router = make_router(server__allowed_origins='["https://desk.example"]').start()
    known, unknown = {"Origin": "https://desk.example"}, {"Origin": "https://evil.example"}
    preflight = {"Access-Control-Request-Method": "POST"}
    async with Api(router) as admin:
        allowed = await admin.call("OPTIONS", "/v1/contacts", headers={**known, **preflight})
        assert allowed.status == 204
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://desk.example"
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        refused = await admin.call("OPTIONS", "/v1/contacts", headers={**unknown, **preflight})
        assert (refused.status, refused.code) == (403, "origin_forbidden")
        got = await admin.call("GET", "/v1/queues", headers=known)
        assert got.headers["Access-Control-Allow-Origin"] == "https://desk.example"
        other = await admin.call("GET", "/v1/queues", headers=unknown)
        assert "Access-Control-Allow-Origin" not in other.headers
        assert "Origin" in other.headers["Vary"]


async def test_documentation_pages_load_nothing_from_other_hosts(make_router: MakeRouter) -> None:
    router = make_router().start()
    async with Api(router, role=None) as anonymous:
        for path, kind in (
            ("/openapi.json", "application/json"),
            ("/asyncapi.json", "application/json"),
            ("/docs", "text/html"),
            ("/docs/sockets", "text/html"),
            ("/docs/assets/swagger-ui.css", "text/css"),
            ("/docs/assets/swagger-ui-bundle.js", "text/javascript"),
            ("/docs/assets/start.js", "text/javascript"),
            ("/docs/assets/sockets.js", "text/javascript"),
            ("/", "text/html"),
        ):
            got = await anonymous.call("GET", path)
            assert got.status == 200 and got.headers["Content-Type"].startswith(kind)
            if kind == "text/html":
                assert b"http://" not in got.body and b"https://" not in got.body
        assert (await anonymous.call("GET", "/docs/assets/index.html")).status == 404
        for accepted, encoding in (("gzip, br", "gzip"), ("identity", None), ("gzip;q=0", None), ("br;q=1, gzip;q=0.5", "gzip")):
            got = await anonymous.call("GET", "/docs/assets/swagger-ui-bundle.js", headers={"Accept-Encoding": accepted})
            assert got.headers.get("Content-Encoding") == encoding
            assert b"SwaggerUI" in got.body  # The client unpacks what is declared as packed, and nothing else.
