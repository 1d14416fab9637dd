"""Submits over HTTP: any cut and mix of bytes, pipelining, delays after refusals, timeouts and shutdown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.app import App
from router.journal.memory import MemoryJournal
from tests.acceptance.http.test_app import SlowJournal, some_settings
from tests.support.raw_connection import GOOD, RawConnection

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
# Never taken from the cache of heads.
CHUNKED = "Transfer-Encoding: chunked"


@asynccontextmanager
async def an_app(tmp_path: Path, journal: MemoryJournal | None = None, **server: Any) -> AsyncIterator[App]:
    app = App(some_settings(tmp_path, **server), journal=journal or MemoryJournal())
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


@asynccontextmanager
async def a_connection(app: App) -> AsyncIterator[RawConnection]:
    connection = RawConnection(app.url, app.mint_token(subject="web", role="gateway"))
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


def chunked(connection: RawConnection, body: bytes, *more: str) -> bytes:
    head, _, _ = connection.a_submit(body, CHUNKED, *more).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join(lines) + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def connections(app: App) -> list[Any]:
    """Return the open HTTP connections of the server."""
    return list(app._server.connections._http)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (polls a condition)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (GOOD, (), 201),
        (b'{"channel": "voice", "queue_id": "nowhere"}', (), 404),
        (b'{"channel": "voice", "queue_id": "support", "skills": {"x": 1}}', (), 422),
        (b'{"channel": "voice", "queue_id": 7}', (), 422),
        (b"no JSON", (), 400),
        (GOOD, ("Idempotency-Key: a key",), 201),
        (GOOD, ("Idempotency-Key: " + "k" * 256,), 422),
        (GOOD, ("Content-Encoding: gzip",), 415),
        (GOOD, ("X-HTTP-Method-Override: PUT",), 405),
        (GOOD, ("Origin: https://desk.example",), 201),
    ],
)
@pytest.mark.parametrize("origins", [[], ["https://desk.example"]])
async def test_the_response_does_not_depend_on_the_framing(
    tmp_path: Path, body: bytes, more: tuple[str, ...], status: int, origins: list[str]
) -> None:
    async with an_app(tmp_path, allowed_origins=origins) as app, a_connection(app) as connection:
        connection.send(connection.a_submit(body, *more))
        plain = await connection.answer()
        # Another key, or it would be a repeat.
        other = tuple(line.replace("a key", "b key") for line in more)
        async with a_connection(app) as another:
            another.send(chunked(another, body, *other))
            usual = await another.answer()
    assert plain.status == usual.status == status
    changing = {"x-request-id", "location", "date"}
    assert plain.headers.keys() == usual.headers.keys()
    for name in plain.headers.keys() - changing:
        assert plain.headers[name] == usual.headers[name], name
    assert plain.json.keys() == usual.json.keys()
    for name in plain.json.keys() - {"contact_id", "seq", "request_id"}:
        assert plain.json[name] == usual.json[name], name


async def test_a_repeat_gets_the_first_response_in_either_framing(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app, a_connection(app) as connection:
        answers = []
        for make in (connection.a_submit, lambda *a: chunked(connection, *a), connection.a_submit):
            connection.send(make(GOOD, "Idempotency-Key: a key"))
            answers.append(await connection.answer())
            if len(answers) == 1:
                assert "idempotency-replayed" not in answers[0].headers
        connection.send(connection.a_submit(GOOD.replace(b"voice", b"chat"), "Idempotency-Key: a key"))
        reused = await connection.answer()
    assert {answer.status for answer in answers} == {201}
    assert answers[0].json == answers[1].json == answers[2].json
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert answers[2].headers["idempotency-replayed"] == "true"
    assert (reused.status, reused.json["code"]) == (422, "idempotency_key_reused")


async def test_a_submit_may_arrive_in_any_two_pieces(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app, a_connection(app) as connection:
        whole = connection.a_submit()
        for cut in range(1, len(whole)):
            connection.send(whole[:cut])
            # The router runs on the same loop and reads the first piece now.
            for _ in range(3):
                await asyncio.sleep(0)
            connection.send(whole[cut:])
            assert await connection.status() == 201, cut
        for byte in whole:
            connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await connection.status() == 201


async def test_pipelined_submits_are_answered_in_order(tmp_path: Path) -> None:
    async with an_app(tmp_path) as app, a_connection(app) as connection:
        good = connection.a_submit()
        bad = connection.a_submit(b"no JSON")
        stranger = connection.a_submit(token="unknown")
        lines = [(good, 201), (good, 201), (GET, 200), (good, 201), (bad, 400), (good, 201)]
        lines += [(chunked(connection, GOOD), 201), (good, 201), (stranger, 401), (good, 201)]
        for _ in range(3):
            connection.send(b"".join(data for data, _ in lines))
            assert [await connection.status() for _ in lines] == [status for _, status in lines]
        # Cut in the middle of requests.
        everything = b"".join(data for data, _ in lines)
        for start in range(0, len(everything), 97):
            connection.send(everything[start : start + 97])
            await asyncio.sleep(0)
        assert [await connection.status() for _ in lines] == [status for _, status in lines]


async def test_a_client_that_does_not_read_responses_is_not_read(tmp_path: Path) -> None:
    async with an_app(tmp_path, send_buffer_bytes=4096) as app:
        connection = RawConnection(app.url, app.mint_token(subject="web", role="gateway"))
        await connection.open(buffer_bytes=4096)
        count = 1_000
        connection.send(connection.a_submit() * count)
        [served] = connections(app)
        # While the client does not read, its further requests are not read either.
        await until(lambda: served._write_paused)
        for _ in range(100):
            await asyncio.sleep(0)
        transport = served.transport
        assert transport is not None and not transport.is_reading()
        assert transport.get_write_buffer_size() < 128 * 1024
        assert {await connection.status() for _ in range(count)} == {201}
        await connection.close()


async def test_after_a_refusal_an_immediate_retry_is_delayed(tmp_path: Path) -> None:
    settings = some_settings(tmp_path, requests_per_s=1, requests_burst=2)
    runtime = msgspec.structs.replace(settings.runtime, submit_wait_ms_max=1_000)
    app = App(msgspec.structs.replace(settings, runtime=runtime))
    await app.start()
    async with a_connection(app) as connection:
        for status in (201, 201, 429):
            connection.submit()
            assert await connection.status() == status
        # Other requests are answered.
        connection.send(GET)
        assert await connection.status() == 200
        [served] = connections(app)
        transport = served.transport
        assert transport is not None and transport.is_reading()
        connection.submit()
        await until(lambda: not transport.is_reading())
    await until(lambda: not connections(app))
    await app.stop()


async def test_after_the_delay_submits_are_served_again(tmp_path: Path) -> None:
    async with an_app(tmp_path, requests_per_s=1, requests_burst=1) as app, a_connection(app) as one:
        for _ in range(3):
            one.submit()
        one.send(GET)
        one.submit()
        answers = [await one.status() for _ in range(5)]
    assert answers[0] == 201 and answers[3] == 200
    assert {*answers[1:3], answers[4]} <= {201, 429} and 429 in answers


async def test_above_the_rate_limit_retry_after_is_sent(tmp_path: Path) -> None:
    async with an_app(tmp_path, requests_per_s=1, requests_burst=1) as app, a_connection(app) as one:
        one.submit()
        one.submit()
        assert await one.status() == 201
        refused = await one.answer()
    assert (refused.status, refused.json["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json["request_id"] == refused.headers["x-request-id"]


async def test_a_missing_body_times_out_and_releases_its_place(tmp_path: Path) -> None:
    async with an_app(tmp_path, body_timeout_s=1, bodies_max=1, in_flight_max=1) as app:
        async with a_connection(app) as slow, a_connection(app) as other:
            slow.submit(GOOD[:5], length=len(GOOD))
            await until(lambda: app._server.admission.bodies == 1)
            other.send(other.a_submit()[:-5])
            assert await other.status() == 503
            other.send(other.a_submit()[-5:])
            # A whole body needs no place.
            other.submit()
            assert await other.status() == 201
            late = await slow.answer()
            assert (late.status, late.json["code"]) == (408, "body_timeout")
            assert await slow.end() == b""
            other.submit()
            assert await other.status() == 201
            # A body in time and a lost connection both release the place.
            other.send(other.a_submit()[:-5])
            await until(lambda: app._server.admission.bodies == 1)
            other.send(other.a_submit()[-5:])
            assert await other.status() == 201
            other.send(other.a_submit()[:-5])
            await until(lambda: app._server.admission.bodies == 1)
        await until(lambda: app._server.admission.bodies == 0)


async def test_a_disconnected_client_has_submitted_and_releases_its_slot(tmp_path: Path) -> None:
    journal = SlowJournal()
    async with an_app(tmp_path, journal, in_flight_max=1) as app:
        journal.may_commit.clear()
        journal.committing.clear()
        async with a_connection(app) as connection:
            connection.submit()
            await journal.committing.wait()
        await until(lambda: app._server.admission.in_flight == 0)
        journal.may_commit.set()
        async with a_connection(app) as connection:
            head = connection.a_submit(b"").replace(b"POST", b"GET").replace(b"Content-Length: 0\r\n", b"")
            connection.send(head.replace(b"Content-Type: application/json\r\n", b""))
            contacts = (await connection.answer()).json["contacts"]
    assert len(msgspec.convert(contacts, list[dict[str, Any]])) == 1


async def test_a_slow_commit_is_reported_as_unknown(tmp_path: Path) -> None:
    journal = SlowJournal()
    async with an_app(tmp_path, journal, answer_timeout_s=1) as app, a_connection(app) as connection:
        journal.may_commit.clear()
        connection.submit()
        late = await connection.answer()
        assert (late.status, late.json["code"]) == (503, "answer_timeout")
        assert late.json["applied"] == "unknown"
        journal.may_commit.set()
        connection.submit()
        assert await connection.status() == 201


async def test_a_waiting_submit_is_answered_during_shutdown(tmp_path: Path) -> None:
    journal = SlowJournal()
    app = App(some_settings(tmp_path), journal=journal)
    await app.start()
    async with a_connection(app) as connection:
        journal.may_commit.clear()
        journal.committing.clear()
        connection.submit()
        await journal.committing.wait()
        stopping = asyncio.create_task(app.stop())
        await until(lambda: app.readiness.stopping)
        journal.may_commit.set()
        assert await connection.status() == 201
        assert await connection.end() == b""
        await stopping


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(tmp_path: Path) -> None:
    journal = SlowJournal()
    async with an_app(tmp_path, journal, keepalive_s=1) as app, a_connection(app) as connection:
        journal.may_commit.clear()
        connection.submit()
        [served] = connections(app)
        await asyncio.sleep(1.5)
        assert served.transport is not None and not served.transport.is_closing()
        journal.may_commit.set()
        assert await connection.status() == 201
        assert await connection.end() == b""
