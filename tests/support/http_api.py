"""A small client for the tests: one credential, plain JSON, nothing hidden."""

import asyncio
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict

from tests.support.router_process import RouterProcess

CARD_PATIENCE_S = 30
_NOT_READ = ("late", "unavailable")


class Got(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    headers: "CIMultiDict[str]"
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The problem's code; also checks that it is a whole problem document."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"/docs/errors#{problem['code']}"
        assert problem["title"] and problem["action"] and problem["applied"] in {"no", "unknown"}
        assert problem["request_id"] == self.headers["X-Request-ID"]
        if "retry_after_s" in problem:
            assert self.headers["Retry-After"] == str(problem["retry_after_s"])
        assert bool(problem.get("temporary")) == ("Retry-After" in self.headers)
        return str(problem["code"])


class Api:
    """The API as one credential sees it."""

    def __init__(
        self,
        router: RouterProcess,
        role: str | None = "admin",
        subject: str = "tester",
        workspace: str = "default",
        *,
        token: str | None = None,
    ) -> None:
        """``token``: used instead of one that is made for the role."""
        self._url = router.url
        self._headers: dict[str, str] = {}
        if role is not None or token is not None:
            self._headers["Authorization"] = f"Bearer {token or router.token(role or '', subject, workspace)}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Api":
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200))
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self, method: str, path: str, body: Any = None, *, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Got:
        """One request, whatever comes back."""
        assert self._session is not None
        async with self._session.request(
            method, self._url + path, json=body, data=data, headers={**self._headers, **(headers or {})}
        ) as response:
            return Got(response.status, CIMultiDict(response.headers), await response.read())

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request that must succeed; its JSON."""
        got = await self.call(method, path, body, headers=headers)
        assert 200 <= got.status < 300, got
        return got.json

    async def submit(self, key: str | None = None, **fields: Any) -> Any:
        """Submit a contact; the receipt."""
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"channel": "voice", "queue_id": "support", **fields}
        return await self.ok("POST", "/v1/contacts", body, **headers)

    async def card(self, contact_id: str) -> Any:
        """The card of a contact, once the store has answered: a slow disk may make it late, not lost."""
        async with asyncio.timeout(CARD_PATIENCE_S):
            while (card := await self.ok("GET", f"/v1/contacts/{contact_id}/card"))["status"] in _NOT_READ:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return card

    async def events(self, page: int = 1000) -> list[dict[str, Any]]:
        """The whole history."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = await self.ok("GET", f"/v1/events?limit={page}{after}")
            found += answer["events"]
            after = f"&after={answer['next']}"
            if not answer["more"]:
                return found
