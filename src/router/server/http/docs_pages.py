"""Start page, API documents (OpenAPI, AsyncAPI) and their HTML pages, served from this process without external resources.

The viewer of the HTTP API is Swagger UI, three files of its npm package in ``swagger_ui/``, compressed as browsers get them. Their
version and checksums are fixed by ``tests/node/package-lock.json``, with which a test compares them
(docs/decisions/0055-vendor-the-api-viewer.md).

The modules of the JavaScript client are served too, as they lie in ``router/web/sdk``: a page imports ``/client/index.js``.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from router.protocol.asyncapi import with_server
from router.protocol.problem_types import PAGE_PATH
from router.server.api.openapi import openapi_document
from router.server.http.application import HandlerResult, HttpRequest, HttpRouter
from router.server.http.responses import HttpResponse
from router.server.http.sockets_page import SEARCH_SCRIPT, errors_page, sockets_page

SWAGGER_UI_PATH: Final = Path(__file__).with_name("swagger_ui")
CLIENT_PATH: Final = Path(__file__).parents[2] / "web" / "sdk"
# Browsers keep a module and ask whether it is still the one: all modules of a page are of one version of the router.
_MODULE_HEADERS: Final = {"Cache-Control": "no-cache"}
# Files served from the directory, the first two with the suffix .gz there; no other file of it is reachable.
_COMPRESSED_ASSETS: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_ICON: Final = "favicon-32x32.png"
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML_HEADERS: Final = {"Content-Security-Policy": _PAGE_POLICY}
_ASSET_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}
# The document depends on the Host header, so no cache may keep it.
_PER_HOST_HEADERS: Final = {"Cache-Control": "no-store"}
# A host name, IPv4 or bracketed IPv6 address with an optional port, as the document may repeat it.
_HOST: Final = re.compile(r"^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_START_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contact Router</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
<style>
body{font-family:system-ui,sans-serif;max-width:46em;margin:3em auto;padding:0 1em;line-height:1.5;color:#222}
dt{font-weight:600;margin-top:.8em}dd{margin:0}
code{background:#f4f4f4;padding:.1em .3em;font-family:ui-monospace,monospace,monospace;font-size:.9em}
</style>
</head>
<body>
<h1>Contact Router</h1>
<p>This is a router's API: clients connect to it with a bearer token, which <code>router token</code> creates.</p>
<dl>
<dt><a href="/docs">HTTP API</a></dt>
<dd>Reference, to be tried out; the document is <a href="/openapi.json">openapi.json</a>.</dd>
<dt><a href="/docs/sockets">WebSockets</a></dt>
<dd>Frames of desktops, gateways, supervisors and customers; the document is <a href="/asyncapi.json">asyncapi.json</a>.</dd>
<dt><a href="/docs/errors">Errors</a></dt>
<dd>All error codes and close codes, with what to do about each.</dd>
<dt><a href="/client/index.js">JavaScript client</a></dt>
<dd>Modules for pages and Node.js, without dependency or build step:
<code>import { DesktopClient } from "/client/index.js"</code>.</dd>
<dt><a href="/healthz">healthz</a>, <a href="/readyz">readyz</a></dt>
<dd>Whether the process lives, and whether it accepts commands.</dd>
<dt>Metrics</dt>
<dd>For Prometheus, at <code>/metrics</code> of the admin listener (settings <code>telemetry.metrics_host</code> and
<code>telemetry.metrics_port</code>), not at this port.</dd>
</dl>
</body>
</html>
"""
_SWAGGER_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contact Router – HTTP API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<p style="margin:1em;font-family:sans-serif">
<a href="/">Start</a> · <a href="/docs/sockets">WebSocket API</a> · <a href="/docs/errors">Errors</a> ·
<a href="/openapi.json">openapi.json</a>
</p>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
_START_SCRIPT: Final = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""


class DocumentationPages:
    """Handlers of the start page, the API documents and their pages.

    The documents are built when the first of them is requested, in a thread: that takes some tenths of a second, because it
    reads the docstrings of the source, and neither the start of the process nor the event loop should wait for it.
    """

    def __init__(self, asyncapi_document: Callable[[], dict[str, Any]], *, is_secure: bool = False) -> None:
        """``is_secure``: clients reach this port by TLS, of the router or of its proxy."""
        self._asyncapi_document = asyncapi_document
        self._is_secure = is_secure
        self._bodies: asyncio.Future[dict[str, bytes]] | None = None
        self._asyncapi: dict[str, Any] = {}
        self._assets: dict[str, tuple[bytes, str]] = {_ICON: (SWAGGER_UI_PATH.joinpath(_ICON).read_bytes(), "image/png")}
        self._assets["start.js"] = (_START_SCRIPT.encode(), "text/javascript")
        self._assets["sockets.js"] = (SEARCH_SCRIPT.encode(), "text/javascript")

    def add_to(self, router: HttpRouter) -> None:
        """Register the documents and pages."""
        for operation, path, content_type, headers in (
            ("start_page", "/", "text/html", _HTML_HEADERS),
            ("openapi_document", "/openapi.json", "application/json", {}),
            ("asyncapi_document", "/asyncapi.json", "application/json", _PER_HOST_HEADERS),
            ("docs", "/docs", "text/html", _HTML_HEADERS),
            ("docs_sockets", "/docs/sockets", "text/html", _HTML_HEADERS),
            ("docs_errors", PAGE_PATH, "text/html", _HTML_HEADERS),
        ):
            response = HttpResponse(content_type=f"{content_type}; charset=utf-8", headers=headers)
            router.add("GET", path, DocumentHandler(operation, response, self.document, path))
        for name, (body, content_type) in self._assets.items():
            response = HttpResponse(body=body, content_type=content_type, headers=_ASSET_HEADERS)
            router.add("GET", f"/docs/assets/{name}", DocumentHandler("docs_asset", response))
        for name, content_type in _COMPRESSED_ASSETS.items():
            packed = SWAGGER_UI_PATH.joinpath(f"{name}.gz").read_bytes()
            router.add("GET", f"/docs/assets/{name}", CompressedAssetHandler(packed, content_type))
        for file in sorted(CLIENT_PATH.glob("*.js")):
            router.add("GET", f"/client/{file.name}", ModuleHandler(file.read_bytes()))

    async def document(self, path: str, host: str) -> bytes:
        """Return the document or page of a path, for a client that reached the router as ``host``."""
        bodies = await self._built()
        if path == "/asyncapi.json" and _HOST.match(host):
            return msgspec.json.encode(with_server(self._asyncapi, host, is_secure=self._is_secure))
        return bodies[path]

    async def _built(self) -> dict[str, bytes]:
        """Return the documents and pages by path; concurrent first requests build them once."""
        if self._bodies is None or (self._bodies.done() and self._bodies.cancelled()):
            self._bodies = asyncio.ensure_future(asyncio.to_thread(self._build))
        return await asyncio.shield(self._bodies)

    def _build(self) -> dict[str, bytes]:
        openapi, self._asyncapi = openapi_document(), self._asyncapi_document()
        return {
            "/": _START_PAGE.encode(),
            "/openapi.json": msgspec.json.encode(openapi),
            "/asyncapi.json": msgspec.json.encode(self._asyncapi),
            "/docs": _SWAGGER_PAGE.encode(),
            "/docs/sockets": sockets_page(self._asyncapi).encode(),
            PAGE_PATH: errors_page().encode(),
        }


class DocumentHandler:
    """Handler of one document or asset."""

    def __init__(
        self, operation: str, response: HttpResponse, document: Callable[[str, str], Awaitable[bytes]] | None = None, path: str = ""
    ) -> None:
        """``document``: returns the body for ``path`` and the request's host; None: the response is complete."""
        self.operation = operation
        self._response = response
        self._document = document
        self._path = path

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Return the response."""
        return self._response if self._document is None else self._load(self._document, request)

    async def _load(self, document: Callable[[str, str], Awaitable[bytes]], request: HttpRequest) -> HttpResponse:
        return msgspec.structs.replace(self._response, body=await document(self._path, request.header("host") or ""))


class CompressedAssetHandler:
    """Handler of an asset that is stored compressed: sent as it is to clients that accept gzip, unpacked to others."""

    operation = "docs_asset"

    def __init__(self, packed: bytes, content_type: str) -> None:
        headers = {**_ASSET_HEADERS, "Vary": "Accept-Encoding"}
        self._packed = HttpResponse(body=packed, content_type=content_type, headers={**headers, "Content-Encoding": "gzip"})
        self._plain = HttpResponse(content_type=content_type, headers=headers)

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Return the response in an encoding that the client accepts."""
        return self._packed if _accepts_gzip(request.header("accept-encoding") or "") else self._unpack()

    async def _unpack(self) -> HttpResponse:
        return msgspec.structs.replace(self._plain, body=await asyncio.to_thread(gzip.decompress, self._packed.body))


class ModuleHandler:
    """Handler of a module of the JavaScript client, with an entity tag of its contents."""

    operation = "docs_asset"

    def __init__(self, body: bytes) -> None:
        self._tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {**_MODULE_HEADERS, "ETag": self._tag}
        self._whole = HttpResponse(body=body, content_type="text/javascript; charset=utf-8", headers=headers)
        self._unchanged = HttpResponse(status=304, content_type="", headers=headers)

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Return the module, or that the client has it already."""
        known = {tag.strip().removeprefix("W/") for tag in (request.header("if-none-match") or "").split(",")}
        return self._unchanged if self._tag in known else self._whole


def _accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding header names gzip with a weight other than 0 (RFC 9110, section 12.5.3)."""
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() == "gzip":
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters)
    return False
