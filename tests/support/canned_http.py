"""HTTP server that answers every request with the same response."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar


class CannedHandler(BaseHTTPRequestHandler):
    """Handler whose response a test sets; it records the requests."""

    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""
    requests: ClassVar[list[tuple[str, str, str]]]
    """Method, path and ``Authorization`` of each request."""
    documents: ClassVar[list[bytes]]
    """Body of each request."""

    def _answer(self) -> None:
        self.requests.append((self.command, self.path, self.headers["Authorization"]))
        self.documents.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Keep standard error empty."""


@contextmanager
def canned_server() -> Iterator[tuple[type[CannedHandler], str]]:
    """Run a server; yield its handler class and its URL."""
    handler = type("Answer", (CannedHandler,), {"requests": [], "documents": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
