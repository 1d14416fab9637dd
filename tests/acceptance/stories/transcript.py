"""Transcripts of stories: what each party sends and receives over HTTP and sockets, in order, line by line.

A line begins with the name of the party: ``→`` is what it sends, ``←`` what it receives. Ids and times are random, so the values
that a test has named are shown by their names; the test compares what remains.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import aiohttp
import msgspec

from tests.support.router_process import RouterProcess

_JSON = "router.v1+json"
PATIENCE_S = 30


class Transcript:
    """Lines of a story, and the names of its random values."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def name(self, value: str | int, name: str) -> None:
        """Show a value by this name."""
        self._names[str(value)] = f"<{name}>"

    def add(self, line: str) -> None:
        self.lines.append(line)

    def text(self) -> str:
        """The whole story."""
        found = "\n".join(self.lines)
        for value in sorted(self._names, key=len, reverse=True):
            found = found.replace(value, self._names[value])
        return found

    def of(self, party: str) -> list[str]:
        """The lines of one party."""
        return [line for line in self.text().splitlines() if line.startswith(f"{party} ")]


class HttpParty:
    """A client over HTTP whose requests and answers are in the transcript."""

    def __init__(self, transcript: Transcript, name: str, router: RouterProcess, token: str) -> None:
        self._transcript, self._name, self._url = transcript, name, router.url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
        """Send a request that is answered with this status; return its JSON."""
        sent = "" if body is None else " " + msgspec.json.encode(body).decode()
        self._transcript.add(f"{self._name} → {method} {path}{sent}")
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, self._url + path, json=body) as response,
        ):
            answer = await response.read()
            self._transcript.add(f"{self._name} ← {response.status} {answer.decode()}")
            assert response.status == expected, answer
            return msgspec.json.decode(answer) if answer else None


class SocketParty:
    """A client with a WebSocket whose frames are in the transcript, as they are sent and received."""

    def __init__(self, transcript: Transcript, name: str, router: RouterProcess, path: str, token: str) -> None:
        self._transcript, self._name, self._url, self._token = transcript, name, router.url + path, token
        self.frames: list[Any] = []
        self._changed = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(self._url, protocols=(_JSON,))
        self._transcript.add(f"{self._name} → hello")
        await self._socket.send_json({"type": "hello", "token": self._token})
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None and self._reading is not None
        await self._socket.close()
        await self._session.close()
        self._reading.cancel()

    async def _read(self) -> None:
        async for message in self._socket:
            self._transcript.add(f"{self._name} ← {message.data}")
            self.frames.append(msgspec.json.decode(message.data))
            self._changed.set()

    async def send(self, **frame: Any) -> None:
        self._transcript.add(f"{self._name} → {msgspec.json.encode(frame).decode()}")
        await self._socket.send_json(frame)

    async def until(self, condition: Callable[[Any], bool]) -> Any:
        """Return the first frame, among all that have come or come now, that meets the condition."""
        seen = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for frame in self.frames[seen:]:
                    if condition(frame):
                        return frame
                seen = len(self.frames)
                self._changed.clear()
                await self._changed.wait()

    async def until_event(self, kind: str, **fields: Any) -> Any:
        """Return the frame of the first event of this type with these fields."""

        def is_it(frame: Any) -> bool:
            event = frame.get("event", {})
            return bool(event.get("type") == kind and all(event.get(name) == value for name, value in fields.items()))

        return await self.until(is_it)

    async def card(self, contact_id: str) -> Any:
        """Return the card that came with the first offer of a contact; where it was late, the one that followed."""
        card = (await self.until_event("offer.made", contact_id=contact_id))["card"]
        if card["status"] in {"late", "unavailable"}:
            card = (await self.until(lambda frame: frame["type"] == "card" and frame["contact_id"] == contact_id))["card"]
        return card

    async def until_state(self, state: str, **fields: Any) -> Any:
        """Return the first view of the customer's request in this state with these fields."""

        def is_it(frame: Any) -> bool:
            view = frame.get("request", {})
            return bool(view.get("state") == state and all(view.get(name) == value for name, value in fields.items()))

        return (await self.until(is_it))["request"]
