"""Trace one HTTP submit to its offer frame through a live router, and print the source files and functions it calls.

A whole router (SQLite journal, HTTP and WebSocket server, uvloop) runs in this process. A desktop and an HTTP client run on
separate threads. One contact is submitted and completed first, so that the trace contains no one-time initialization. Then a
profile hook records every call into ``src/router`` on the router's threads, from the moment before the submit's bytes are sent
until the desktop has the offer.

    python benchmarks/trace/trace_submit.py [--calls] [--files-max N]

Exit: 0; 1 if more than ``--files-max`` files were called.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec
import uvloop

import router
from router.app import App
from router.client import DesktopClient
from router.model.events import OfferMade
from router.settings import settings_from

PACKAGE: Final = str(Path(router.__file__).parent)
WAIT_S: Final = 20.0
POLICY: Final = """\
channels: {voice: {offer_timeout_s: 60, wrap_up_s: 0}}
queues: {support: {cool_down_s: 0}}
default_queue: support
"""


class Tracer:
    """Records calls into the package while ``active``: (thread, file, function), in order."""

    def __init__(self) -> None:
        self.active = False
        self.calls: list[tuple[str, str, str]] = []

    def hook(self, frame: FrameType, event: str, argument: object) -> None:
        """Handle a profile event of the interpreter."""
        if self.active and event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            file = frame.f_code.co_filename[len(PACKAGE) + 1 :]
            name = frame.f_code.co_qualname if sys.version_info >= (3, 11) else ""
            self.calls.append((threading.current_thread().name, file, name))

    @property
    def files(self) -> list[str]:
        """Return the files called, in the order of their first call."""
        return list(dict.fromkeys(file for _, file, _ in self.calls))

    @property
    def functions(self) -> list[tuple[str, str]]:
        """Return the functions called, in the order of their first call."""
        return list(dict.fromkeys((file, name) for _, file, name in self.calls))

    @property
    def changes_of_file(self) -> int:
        """Return the number of calls in another file than the previous call of the same thread."""
        last: dict[str, str] = {}
        changes = 0
        for thread, file, _ in self.calls:
            changes += last.get(thread, file) != file
            last[thread] = file
        return changes


class WholeRequests(HTTPConnection):
    """Sends head and body of a request in one piece, so that the trace does not depend on when the body arrives."""

    def __init__(self, host: str, *, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._pieces: list[bytes] = []

    def send(self, data: Any) -> None:
        """Keep a piece until ``flush``."""
        self._pieces.append(data)

    def flush(self) -> None:
        """Send what was kept."""
        data, self._pieces = b"".join(self._pieces), []
        super().send(data)


class ApiClient:
    """An HTTP client with one keep-alive connection."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = WholeRequests(url.removeprefix("http://"), timeout=WAIT_S)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON answer. Raises SystemExit with the answer if it is an error."""
        self._connection.request(method, path, msgspec.json.encode(body), self._headers)
        self._connection.flush()
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {answer.decode()}")
        document: dict[str, Any] = msgspec.json.decode(answer)
        return document


async def _next_offer(desktop: DesktopClient) -> OfferMade:
    async with asyncio.timeout(WAIT_S):
        async for event in desktop.events():
            if isinstance(event, OfferMade):
                return event
    raise SystemExit("the desktop was closed before the offer arrived")


async def _submit_twice(app_url: str, agent_token: str, api: ApiClient, tracer: Tracer) -> None:
    """Submit twice; trace the second submit."""
    async with DesktopClient(app_url.replace("http", "ws", 1), agent_token) as desktop:
        await desktop.ready()
        for traced in (False, True):
            tracer.active = traced
            submit = asyncio.to_thread(api.call, "POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"})
            offer, receipt = await asyncio.gather(_next_offer(desktop), submit)
            tracer.active = False
            assert offer.contact_id == receipt["contact_id"]
            if not traced:
                await desktop.accept(offer.offer_id)
                await desktop.end(offer.contact_id)


def _in_thread(work: Callable[[], None]) -> "asyncio.Future[None]":
    """Run work on a thread that the profile hook does not see."""

    def unobserved() -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # For the threads that this one starts.
        work()

    return asyncio.get_running_loop().run_in_executor(None, unobserved)


async def _trace(directory: Path) -> Tracer:
    tracer = Tracer()
    policy = directory / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    settings = settings_from(
        {
            "journal": {"path": str(directory / "journal.db"), "reserved_bytes": 0},
            "policy": {"seed_path": str(policy)},
            "server": {"port": 0},
            "telemetry": {"metrics_port": None, "access_log": False},
        }
    )
    threading.setprofile(tracer.hook)
    app = App(settings)
    await app.start()
    sys.setprofile(tracer.hook)
    try:
        api = ApiClient(app.url, app.mint_token(subject="trace", role="admin"))
        token = app.mint_token(subject="ada", role="agent")

        def client() -> None:
            agent = {"queues": ["support"], "skills": {}}
            api.call("PUT", "/v1/agents/ada", agent)
            asyncio.run(_submit_twice(app.url, token, api, tracer))

        await _in_thread(client)
    finally:
        sys.setprofile(None)
        await app.stop()
    return tracer


def main() -> int:
    """Run the trace and print it; return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--calls", action="store_true", help="print every call in order")
    arguments.add_argument("--files-max", type=int, help="exit 1 if more files are called")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        tracer = uvloop.run(_trace(Path(directory)))
    if options.calls:
        for thread, file, name in tracer.calls:
            print(f"{thread:24} {file:44} {name}")
    for file in tracer.files:
        print(file)
    print(
        f"one HTTP submit to its offer frame: {len(tracer.files)} files, "
        f"{len(tracer.functions)} functions, {tracer.changes_of_file} changes of file"
    )
    return int(options.files_max is not None and len(tracer.files) > options.files_max)


if __name__ == "__main__":
    sys.exit(main())
