"""Single HTTP requests of the client."""

import asyncio
from collections.abc import Iterator

import pytest

from router.client.errors import NotConnected
from router.client.http_query import HttpRequestRefused, describe_problem, request
from tests.support.canned_http import CannedHandler, canned_server

Canned = tuple[type[CannedHandler], str]


@pytest.fixture
def canned() -> Iterator[Canned]:
    """Run a server that answers every request with the response that the test sets."""
    with canned_server() as server:
        yield server


async def test_the_body_of_the_response_is_returned(canned: Canned) -> None:
    handler, url = canned
    handler.body = b"body"
    assert await request(f"{url}/", "/v1/digest", token="secret") == b"body"
    assert handler.requests == [("GET", "/v1/digest", "Bearer secret")]


async def test_a_document_is_sent_as_the_body(canned: Canned) -> None:
    handler, url = canned
    await request(url, "/v1/shadow", token="secret", method="PUT", document=b"queues: {}")
    assert handler.requests[0][:2] == ("PUT", "/v1/shadow")
    assert handler.documents == [b"queues: {}"]


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_every_status_of_success_returns_the_body(canned: Canned, status: int) -> None:
    handler, url = canned
    handler.status, handler.body = status, b"body"
    assert await request(url, "/v1/customers", token="secret", method="PUT", document=b"{}") == b"body"


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_any_other_status_is_a_refusal(canned: Canned, status: int) -> None:
    handler, url = canned
    handler.status = status
    with pytest.raises(HttpRequestRefused, match=f"status {status}"):
        await request(url, "/v1/digest", token="secret")


async def test_an_unreachable_router_is_not_connected() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(NotConnected, match=r"no router answers at http://127\.0\.0\.1:1"):
            await request("http://127.0.0.1:1", "/v1/digest", token="secret")


@pytest.mark.parametrize(
    ("body", "description"),
    [
        (b'{"code": "busy", "title": "Server overloaded"}', "503 busy: Server overloaded"),
        (b'{"code": "busy", "title": "x", "detail": "retry later"}', "503 busy: retry later"),
        (b'{"code": "busy", "title": "x", "detail": "must be text", "field": "name"}', "503 busy: name: must be text"),
        (b"<html>", "503"),
    ],
)
def test_a_problem_document_is_described_by_code_and_text(body: bytes, description: str) -> None:
    assert describe_problem(503, body) == description
