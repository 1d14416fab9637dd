"""HTTP client of a load test: policy, agents, event history, state and digest of the router."""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from router.client.http_query import describe_problem
from router.loadtest.execution import LoadTestFailed
from router.model.events import Event
from router.model.policy import Policy
from router.simulator.day import PlannedAgent

_EVENTS_PER_PAGE: Final = 1_000
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class RecordedEvent(Struct, frozen=True, gc=False):
    """Event of the history with its sequence number and time (Unix milliseconds)."""

    seq: int
    at_ms: int
    event: Event


class _EventEnvelope(Struct, frozen=True):
    seq: int
    ts: int


class _RecordedEventPage(Struct, frozen=True):
    events: list[msgspec.Raw]
    next: str
    more: bool


class RouterHttpApi:
    """HTTP API of one router; ``token`` is called before each request, so that a token never expires during a long run.

    Every method raises LoadTestFailed if no router answers or if the status is 400 or more.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = url
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RouterHttpApi":
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    # --- policy and agents ------------------------------------------------------------------------
    async def policy(self) -> Policy | None:
        """Return the active policy, or None if no policy is published."""
        status, body = await self._request("GET", "/v1/policy", may_fail=(404,))
        return None if status == 404 else msgspec.json.decode(body, type=Policy)

    async def publish(self, policy: Policy, *, replaces: bool = True) -> None:
        """Publish a policy. ``replaces``: whether there is an active one, which is replaced whatever its version."""
        body = msgspec.json.encode(policy)
        await self._request("PUT", "/v1/policy", body=body, if_match="*" if replaces else None)

    async def put_agent(self, agent: PlannedAgent) -> None:
        """Create the agent, or replace the agent's record."""
        record: dict[str, Any] = {"skills": agent.skills, "channel_max": agent.channel_max}
        if agent.queues is not None:
            record["queues"] = agent.queues
        if agent.units is not None:
            record["units"] = agent.units
        if agent.attributes:
            record["attributes"] = agent.attributes
        if agent.queue_ranks:
            record["queue_ranks"] = agent.queue_ranks
        path = f"/v1/agents/{agent.agent_id}"
        await self._request("PUT", path, body=msgspec.json.encode(record))

    # --- history ----------------------------------------------------------------------------------
    async def history(self, *, history_id: str, after_seq: int) -> AsyncIterator[RecordedEvent]:
        """Iterate over all events after ``after_seq`` as recorded in the journal."""
        after = f"{history_id}:{after_seq}"
        while True:
            _, body = await self._request("GET", f"/v1/events?after={after}&limit={_EVENTS_PER_PAGE}")
            page = msgspec.json.decode(body, type=_RecordedEventPage)
            for raw in page.events:
                envelope = msgspec.json.decode(raw, type=_EventEnvelope)
                event: Event = msgspec.json.decode(raw, type=Event)
                yield RecordedEvent(envelope.seq, envelope.ts, event)
            after = page.next
            if not page.more:
                return

    async def live_contact_count(self) -> int:
        """Return the number of contacts of the workspace that have not ended."""
        _, body = await self._request("GET", "/v1/state")
        counts = msgspec.json.decode(body)["state"]["counts"]
        return sum(int(counts[state]) for state in ("queued", "offered", "assigned", "callback_scheduled", "suspended"))

    async def digest(self) -> str:
        """Return the router's hash over its state."""
        _, body = await self._request("GET", "/v1/digest")
        return str(msgspec.json.decode(body)["digest"])

    # --- requests ---------------------------------------------------------------------------------
    async def _request(
        self, method: str, path: str, *, body: bytes | None = None, may_fail: tuple[int, ...] = (), if_match: str | None = None
    ) -> tuple[int, bytes]:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self._token()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if if_match is not None:
            headers["If-Match"] = if_match
        try:
            async with self._session.request(method, self.url + path, data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise LoadTestFailed(f"no router answers at {self.url}: {type(error).__name__}") from None
        if response.status >= 400 and response.status not in may_fail:
            raise LoadTestFailed(f"{method} {path.partition('?')[0]}: status {describe_problem(response.status, answer)}")
        return response.status, answer
