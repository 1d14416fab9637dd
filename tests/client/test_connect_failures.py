"""Connections that cannot be made: the reason is in the error, and it comes at once where waiting does not help."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.typing import Subprotocol

from router.client import ConnectionOptions, DesktopClient, NotConnected
from router.client.http_query import request
from router.protocol.codec import JSON
from tests.support.certificates import server_context, write_certificate
from tests.support.scripted_server import ServerSide, scripted_server, stay_connected

# Errors that come at once must come long before the timeout.
PATIENT = ConnectionOptions(connect_timeout_s=30.0, backoff_base_s=0.01, backoff_max_s=0.02)
BRIEF = msgspec.structs.replace(PATIENT, connect_timeout_s=0.3)


async def failure_of(url: str, options: ConnectionOptions) -> NotConnected:
    """Return the error of entering a client, which must come within five seconds."""
    async with asyncio.timeout(30):
        with pytest.raises(NotConnected) as failed:
            async with DesktopClient(url, "token", codec="json", options=options):
                pass
    return failed.value


@asynccontextmanager
async def tls_server(certificate: Path, key: Path) -> AsyncIterator[int]:
    async def handle(ws: object) -> None:
        await stay_connected(ServerSide(ws))  # type: ignore[arg-type]  # the library's connection

    context = server_context(certificate, key)
    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol(JSON)], ssl=context) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def test_an_unknown_certificate_is_reported_at_once(tmp_path: Path) -> None:
    async with tls_server(*write_certificate(tmp_path)) as port:
        error = await failure_of(f"wss://127.0.0.1:{port}", PATIENT)
    assert "certificate is not valid: self-signed certificate" in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_a_certificate_of_another_host_is_reported_at_once(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, address="192.0.2.1")
    trusting = msgspec.structs.replace(PATIENT, ssl=ssl.create_default_context(cafile=certificate))
    async with tls_server(certificate, key) as port:
        assert "mismatch" in str(await failure_of(f"wss://127.0.0.1:{port}", trusting))


async def test_a_private_authority_is_trusted_through_the_option(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    trusting = msgspec.structs.replace(PATIENT, ssl=ssl.create_default_context(cafile=certificate))
    async with (
        asyncio.timeout(10),
        tls_server(certificate, key) as port,
        DesktopClient(f"wss://127.0.0.1:{port}", "token", codec="json", options=trusting) as client,
    ):
        assert client.is_connected


async def test_a_port_without_tls_is_reported_at_once() -> None:
    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as plain:
        error = await failure_of(f"wss://127.0.0.1:{plain.sockets[0].getsockname()[1]}", PATIENT)
    assert "is wss:// right for this port?" in str(error)


async def test_an_unknown_host_is_reported_at_once() -> None:
    assert "unknown host" in str(await failure_of("ws://no-such-host.invalid:8080", PATIENT))


async def test_a_refused_connection_is_retried_and_then_named() -> None:
    error = await failure_of("ws://127.0.0.1:1", BRIEF)
    assert "last attempt" in str(error) and "127.0.0.1" in str(error)
    assert isinstance(error.__cause__, ConnectionRefusedError)


async def test_a_refused_upgrade_is_named() -> None:
    busy = [Response(HTTPStatus.SERVICE_UNAVAILABLE, "busy", Headers({"Retry-After": "0"})) for _ in range(1_000)]
    async with scripted_server(stay_connected, refusals=busy) as url:
        assert "503" in str(await failure_of(url, BRIEF))


async def test_a_close_code_that_permits_to_reconnect_is_named() -> None:
    async def full(server: ServerSide) -> None:
        await server.receive()
        await server.ws.close(1013, "too many sockets")

    async with scripted_server(full) as url:
        assert "1013 too many sockets" in str(await failure_of(url, BRIEF))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "127.0.0.1:8080", "ws://127.0.0.1:99999", "wss://"])
def test_a_url_that_cannot_be_right_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws://host:port"):
        DesktopClient(url, "token")


def test_tls_settings_without_tls_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="wss://"):
        DesktopClient("ws://127.0.0.1:1", "token", options=ConnectionOptions(ssl=ssl.create_default_context()))


async def test_after_a_first_connection_even_a_certificate_is_waited_for(tmp_path: Path) -> None:
    """A certificate that is replaced wrongly will be replaced again: an established client must not give up."""
    certificate, key = write_certificate(tmp_path)
    trusting = msgspec.structs.replace(PATIENT, ssl=ssl.create_default_context(cafile=certificate))
    async with asyncio.timeout(20):
        async with tls_server(certificate, key) as port:
            client = DesktopClient(f"wss://127.0.0.1:{port}", "token", codec="json", options=trusting)
            await client.__aenter__()
        (tmp_path / "other").mkdir()
        wrong = server_context(*write_certificate(tmp_path / "other"))
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port, ssl=wrong):
            while not isinstance(client._connection._last_failure, ssl.SSLCertVerificationError):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert client._connection._final_error is None
        await client.__aexit__(None, None, None)


async def test_single_requests_name_the_cause_too(tmp_path: Path) -> None:
    async with tls_server(*write_certificate(tmp_path)) as port:
        with pytest.raises(NotConnected, match="certificate is not valid"):
            await request(f"https://127.0.0.1:{port}", "/v1/digest", token="secret")
    with pytest.raises(NotConnected, match="Connect call failed"):
        await request("http://127.0.0.1:1", "/v1/digest", token="secret")
