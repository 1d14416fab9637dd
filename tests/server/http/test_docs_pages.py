"""Start page and API documents: what depends on the request, and what the pages contain."""

import json
from typing import Any

import pytest

from router.protocol.asyncapi import asyncapi_document
from router.server.http.docs_pages import DocumentationPages


async def server_of(host: str, *, is_secure: bool = False) -> dict[str, Any]:
    pages = DocumentationPages(asyncapi_document, is_secure=is_secure)
    document = json.loads(await pages.document("/asyncapi.json", host))
    server: dict[str, Any] = document["servers"]["router"]
    return server


@pytest.mark.parametrize("host", ["desk.example", "desk.example:8443", "127.0.0.1:8080", "[::1]:8080"])
async def test_the_server_of_the_asyncapi_document_is_the_host_of_the_request(host: str) -> None:
    server = await server_of(host)
    assert (server["host"], server["protocol"]) == (host, "ws")


async def test_clients_behind_tls_are_told_to_use_it() -> None:
    assert (await server_of("desk.example", is_secure=True))["protocol"] == "wss"


@pytest.mark.parametrize("host", ["", 'a"b', "a/b", "a b", "<script>", "user@host", "host:port", "a\n", "[x]"])
async def test_a_host_that_is_none_is_not_repeated(host: str) -> None:
    assert (await server_of(host))["host"] == "127.0.0.1:8080"


async def test_the_start_page_links_to_what_the_port_serves() -> None:
    page = (await DocumentationPages(asyncapi_document).document("/", "")).decode()
    for path in ("/docs", "/docs/sockets", "/client/index.js", "/openapi.json", "/asyncapi.json", "/healthz", "/readyz"):
        assert f'href="{path}"' in page
    assert "telemetry.metrics_port" in page
