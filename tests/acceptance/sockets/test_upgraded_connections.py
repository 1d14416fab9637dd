"""WebSocket connections after the upgrade: on both event loops, with and without TLS, closed from either side."""

import asyncio
import datetime
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from router.protocol.close_codes import CloseCode
from router.protocol.codec import JSON
from router.server.auth.credentials import Role
from tests.support.in_process_router import InProcessRouter, running_router

PATIENCE_S = 10
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Visit = Callable[[InProcessRouter, aiohttp.ClientSession], Awaitable[None]]


def a_certificate(tmp_path: Path) -> dict[str, Any]:
    """Return server settings with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "router")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"tls_certificate_path": str(pem), "tls_key_path": str(secret)}


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def enter(router: InProcessRouter, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """Connect a desktop of the agent and read its welcome."""
    token = router.token("a0", Role.AGENT)
    ws = await http.ws_connect(router.server.url + "/v1/desktop", protocols=[JSON], headers={"Authorization": f"Bearer {token}"})
    await ws.send_str('{"type": "hello"}')
    assert (await heard(ws))["type"] == "welcome"
    return ws


async def heard(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    frame: dict[str, Any] = msgspec.json.decode((await ws.receive(PATIENCE_S)).data)
    return frame


async def close_code(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    while not ws.closed:
        await ws.receive(PATIENCE_S)
    return ws.close_code


async def emptied(router: InProcessRouter) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while router.endpoints.open_count:  # noqa: ASYNC110  The end comes from the network.
            await asyncio.sleep(0.01)


async def closes(router: InProcessRouter, http: aiohttp.ClientSession) -> None:
    """A close of the client is answered and the connection removed."""
    ws = await enter(router, http)
    await ws.send_str('{"type": "ping", "id": "p"}')
    assert (await heard(ws))["id"] == "p"
    assert await ws.close(code=1001)
    await emptied(router)


async def is_superseded(router: InProcessRouter, http: aiohttp.ClientSession) -> None:
    """A close of the server has its code and waits for that of the client."""
    first = await enter(router, http)
    second = await enter(router, http)
    assert await close_code(first) == CloseCode.TAKEN_OVER
    await second.close()
    await emptied(router)


async def vanishes(router: InProcessRouter, http: aiohttp.ClientSession) -> None:
    """A connection that ends without a close frame is removed."""
    ws = await enter(router, http)
    transport = ws.get_extra_info("socket")
    assert transport is not None
    await http.close()
    await emptied(router)


async def sends_much(router: InProcessRouter, http: aiohttp.ClientSession) -> None:
    """Frames larger than one read arrive complete and in order."""
    ws = await enter(router, http)
    ids = [f"{number:050}" for number in range(3_000)]
    for id in ids:
        await ws.send_str(msgspec.json.encode({"type": "ping", "id": id}).decode())
    assert [(await heard(ws))["id"] for _ in ids] == ids
    await ws.close()
    await emptied(router)


async def stays_while_the_server_closes(router: InProcessRouter, http: aiohttp.ClientSession) -> None:
    """A client without hello is disconnected when the server stops."""
    ws = await http.ws_connect(router.server.url + "/v1/desktop", protocols=[JSON])
    await router.server.close()
    await emptied(router)
    await ws.close()


@pytest.mark.parametrize("over_tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("visit", [closes, is_superseded, vanishes, sends_much, stays_while_the_server_closes])
def test_the_server_keeps_the_protocol_after_the_upgrade(visit: Visit, loop: str, over_tls: bool, tmp_path: Path) -> None:
    async def run() -> None:
        server_settings = a_certificate(tmp_path) if over_tls else {}
        limits = {"frames_per_s": 100_000, "frames_burst": 100_000}
        async with running_router(tmp_path, sockets=limits, server=server_settings) as router:
            connector = aiohttp.TCPConnector(ssl=trusting())
            async with aiohttp.ClientSession(connector=connector) as http:
                await visit(router, http)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())
