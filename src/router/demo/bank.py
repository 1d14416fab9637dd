"""Clients of the bank in the story: its systems over HTTP, the desktops of its agents, and the app of a customer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from router.client import CustomerClient, DesktopClient
from router.client.state import CachedOffer
from router.context.cards import Card, CardStatus
from router.demo.transcript import Transcript
from router.server.auth.credentials import mint_token
from router.settings import Settings

T = TypeVar("T")

_PATIENCE_S: Final = 20.0
_POLL_S: Final = 0.01


class StoryFailed(Exception):
    """The story cannot go on: the router refused something, or did not do it in time."""


class Bank:
    """The bank's clients of one router process."""

    def __init__(self, url: str, settings: Settings, http: aiohttp.ClientSession, transcript: Transcript) -> None:
        self._url = url
        self._settings = settings
        self._http = http
        self._transcript = transcript
        self.desktops: dict[str, DesktopClient] = {}

    async def call(self, caller: str, method: str, path: str, body: object = None) -> Any:
        """Send a request as ``role:subject`` and return the answer with its ``status``. Raises StoryFailed for a refusal."""
        headers = {"Authorization": f"Bearer {self._token(*caller.split(':'))}", "Content-Type": "application/json"}
        document = None if body is None else msgspec.json.encode(body)
        async with self._http.request(method, self._url + path, data=document, headers=headers) as response:
            answer = await response.read()
        if response.status >= 400:
            raise StoryFailed(f"{method} {path}: status {response.status} {answer.decode(errors='replace')[:500]}")
        return msgspec.json.decode(answer) | {"status": response.status}

    async def tell(self, caller: str, method: str, path: str, body: object = None, *, show: tuple[str, ...] = ()) -> Any:
        """Send a request and print it, with the members of the answer that are named."""
        self._transcript.request(caller.partition(":")[2], f"{method} {path}", body)
        answer = await self.call(caller, method, path, body)
        self._transcript.answer(answer["status"], {name: answer[name] for name in show if name in answer})
        return answer

    @asynccontextmanager
    async def connected(self, agents: Mapping[str, object]) -> AsyncIterator[None]:
        """Connect a desktop for each agent, not ready yet."""
        async with AsyncExitStack() as stack:
            for name in agents:
                desktop = DesktopClient(self._ws_url, self._token("agent", name))
                self.desktops[name] = await stack.enter_async_context(desktop)
            yield
        self.desktops.clear()

    def app(self, token: str) -> CustomerClient:
        """Return the socket of a customer's app."""
        return CustomerClient(self._ws_url, token)

    async def offered(self, contact_id: str) -> tuple[str, CachedOffer, Card]:
        """Wait until an agent is offered a contact; return the agent, the offer, and its card."""

        def find() -> tuple[str, CachedOffer, Card] | None:
            for name, desktop in self.desktops.items():
                for offer in desktop.state.offers.values():
                    card = desktop.cards.get(contact_id, Card(status=CardStatus.NONE))
                    if offer.contact_id == contact_id and card.status not in (CardStatus.LATE, CardStatus.UNAVAILABLE):
                        return name, offer, card
            return None

        return await until(find, "an offer of the contact")

    @property
    def _ws_url(self) -> str:
        return self._url.replace("http", "ws", 1)

    def _token(self, role: str, subject: str) -> str:
        return mint_token(self._settings, subject=subject, role=role)


async def until(find: Callable[[], T | None], what: str) -> T:
    """Wait until something is there, and return it. Raises StoryFailed."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while (found := find()) is None:  # noqa: ASYNC110  (it follows the frames of several clients)
                await asyncio.sleep(_POLL_S)
            return found
    except TimeoutError:
        raise StoryFailed(f"within {_PATIENCE_S:g} s this did not happen: {what}") from None
