"""API documents (OpenAPI, AsyncAPI) and their HTML pages, served from this process without external resources."""

import asyncio
import html
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import swagger_ui_bundle

from router.server.api.openapi import as_openapi_3_0, openapi_document
from router.server.http.application import HandlerResult, HttpRequest, HttpRouter
from router.server.http.responses import HttpResponse

# Files served from the Swagger UI bundle; no other file of the package is reachable.
_ASSETS: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OPENAPI_3_0_PATH: Final = "/docs/assets/openapi-3.0.json"
_SWAGGER_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Contact Router – HTTP API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<p style="margin:1em;font-family:sans-serif">
<a href="/docs/sockets">WebSocket API</a> · <a href="/openapi.json">openapi.json</a>
</p>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
_ASSET_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}
_CODE: Final = re.compile(r"`+([^`]+)`+")
_START_SCRIPT: Final = """SwaggerUIBundle({
  url: "/docs/assets/openapi-3.0.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


class DocumentationPages:
    """Handlers of the API documents and their pages.

    The documents are built when the first of them is requested, in a thread: that takes some tenths of a second, because it
    reads the docstrings of the source, and neither the start of the process nor the event loop should wait for it.
    """

    def __init__(self, asyncapi_document: Callable[[], dict[str, Any]]) -> None:
        self._asyncapi_document = asyncapi_document
        self._bodies: asyncio.Future[dict[str, bytes]] | None = None
        bundle = swagger_ui_bundle.swagger_ui_path
        self._assets: dict[str, tuple[bytes, str]] = {
            name: (bundle.joinpath(name).read_bytes(), kind) for name, kind in _ASSETS.items()
        }
        self._assets["start.js"] = (_START_SCRIPT.encode(), "text/javascript")

    def add_to(self, router: HttpRouter) -> None:
        """Register the documents and pages."""
        html_headers = {"Content-Security-Policy": _PAGE_POLICY}
        for operation, path, content_type, headers in (
            ("openapi_document", "/openapi.json", "application/json", {}),
            ("asyncapi_document", "/asyncapi.json", "application/json", {}),
            ("docs", "/docs", "text/html", html_headers),
            ("docs_sockets", "/docs/sockets", "text/html", html_headers),
            ("docs_asset", _OPENAPI_3_0_PATH, "application/json", _ASSET_HEADERS),
        ):
            response = HttpResponse(content_type=f"{content_type}; charset=utf-8", headers=headers)
            router.add("GET", path, DocumentHandler(operation, response, self.document, path))
        for name, (body, content_type) in self._assets.items():
            response = HttpResponse(body=body, content_type=content_type, headers=_ASSET_HEADERS)
            router.add("GET", f"/docs/assets/{name}", DocumentHandler("docs_asset", response))

    async def document(self, path: str) -> bytes:
        """Return the document or page of a path."""
        return (await self._built())[path]

    async def _built(self) -> dict[str, bytes]:
        """Return the documents and pages by path; concurrent first requests build them once."""
        if self._bodies is None or (self._bodies.done() and self._bodies.cancelled()):
            self._bodies = asyncio.ensure_future(asyncio.to_thread(self._build))
        return await asyncio.shield(self._bodies)

    def _build(self) -> dict[str, bytes]:
        openapi, asyncapi = openapi_document(), self._asyncapi_document()
        return {
            "/openapi.json": msgspec.json.encode(openapi),
            _OPENAPI_3_0_PATH: msgspec.json.encode(as_openapi_3_0(openapi)),
            "/asyncapi.json": msgspec.json.encode(asyncapi),
            "/docs": _SWAGGER_PAGE.encode(),
            "/docs/sockets": _sockets_page(asyncapi).encode(),
        }


class DocumentHandler:
    """Handler of one document or asset."""

    def __init__(
        self, operation: str, response: HttpResponse, document: Callable[[str], Awaitable[bytes]] | None = None, path: str = ""
    ) -> None:
        """``document``: returns the body for ``path``; None: the response is complete."""
        self.operation = operation
        self._response = response
        self._document = document
        self._path = path

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Return the response."""
        return self._response if self._document is None else self._load(self._document)

    async def _load(self, document: Callable[[str], Awaitable[bytes]]) -> HttpResponse:
        return msgspec.structs.replace(self._response, body=await document(self._path))


def _sockets_page(document: dict[str, Any]) -> str:
    """Render the AsyncAPI document as HTML: channels, operations, messages and schemas, each expandable."""
    info = document.get("info", {})
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<title>Contact Router – WebSockets</title><style>",
        "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;line-height:1.4}",
        "pre{background:#f4f4f4;padding:.7em;overflow:auto}summary{cursor:pointer}",
        "</style></head><body>",
        "<p><a href='/docs'>HTTP API</a> · <a href='/asyncapi.json'>asyncapi.json</a></p>",
        f"<h1>{_escaped(info.get('title', 'WebSockets'))}</h1>",
        _block_html(info.get("description", "")),
    ]
    for kind in ("channels", "operations"):
        parts.append(f"<h2>{kind.capitalize()}</h2>")
        parts += (_entry(name, entry) for name, entry in document.get(kind, {}).items())
    for kind in ("messages", "schemas"):
        parts.append(f"<h2>{kind.capitalize()}</h2>")
        entries = document.get("components", {}).get(kind, {})
        parts += (_entry(name, entry) for name, entry in entries.items())
    return "".join((*parts, "</body></html>"))


def _entry(name: str, entry: dict[str, Any]) -> str:
    summary = entry.get("summary") or entry.get("description") or entry.get("title") or ""
    shown = json.dumps(entry, indent=2, ensure_ascii=False)
    return (
        f"<details><summary><code>{_escaped(name)}</code> {_inline_html(summary)}</summary><pre>{_escaped(shown)}</pre></details>"
    )


def _escaped(value: object) -> str:
    return html.escape(str(value))


def _block_html(text: str) -> str:
    """Render paragraphs and bullet lists."""
    parts: list[str] = []
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        items = [f"<li>{_inline_html(line[2:])}</li>" for line in lines if line.startswith("* ")]
        summary = " ".join(line for line in lines if not line.startswith("* "))
        if summary:
            parts.append(f"<p>{_inline_html(summary)}</p>")
        if items:
            parts.append(f"<ul>{''.join(items)}</ul>")
    return "".join(parts)


def _inline_html(text: str) -> str:
    """Escape a text and render the parts between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", _escaped(text))
