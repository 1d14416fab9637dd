"""What supervisors read and do over HTTP: lists of agents with filters and orders, and changes of their records.

The WebSocket client keeps all agents by events. A tool that needs one list, or a display that shows the first page of a long one,
asks for it with single requests.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from router.client.http_query import exchange
from router.model.filters import BulkPreview, BulkReceipt
from router.model.states import AgentState, MonitorMode
from router.model.views import AgentView, WaitingView

T = TypeVar("T")

AgentSort: TypeAlias = Literal["id", "state_since", "-state_since", "idle", "-idle", "load", "-load"]

_PAGE_LENGTH = 500


class _AgentPage(Struct):
    agents: tuple[AgentView, ...]
    next_cursor: str | None = None


class _WaitingPage(Struct):
    contacts: tuple[WaitingView, ...]
    next_cursor: str | None = None


class SupervisorApi:
    """HTTP operations of supervisors. ``url`` is ``http(s)://host:port``, ``token`` that of a supervisor or an administrator.

    Every method raises NotConnected, and HttpRequestRefused with the code of the problem.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    async def agents(
        self,
        *,
        state: AgentState | None = None,
        reason: str | None = None,
        team: str | None = None,
        label: str | None = None,
        queue: str | None = None,
        skill: str | None = None,
        channel: str | None = None,
        available: bool | None = None,
        sort: AgentSort = "id",
        page_length: int = _PAGE_LENGTH,
    ) -> AsyncIterator[AgentView]:
        """Iterate over the agents who meet all conditions, one page after the other.

        ``skill`` is ``english`` or ``english:5``; ``available``: whether the agent could get an offer now, on ``channel`` if given.
        """
        fields = {
            "state": state,
            "reason": reason,
            "team": team,
            "label": label,
            "queue": queue,
            "skill": skill,
            "channel": channel,
        }
        query: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
        if available is not None:
            query["available"] = str(available).lower()
        query |= {"sort": sort, "limit": page_length}
        while True:
            page = await self._send("GET", f"/v1/agents?{urlencode(query)}", None, _AgentPage)
            for agent in page.agents:
                yield agent
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    async def waiting(self, queue_id: str, *, page_length: int = _PAGE_LENGTH) -> AsyncIterator[WaitingView]:
        """Iterate over the contacts that wait in a queue, in serving order, with their expected waits."""
        query: dict[str, Any] = {"limit": page_length}
        while True:
            page = await self._send("GET", f"/v1/queues/{quote(queue_id, safe='')}/waiting?{urlencode(query)}", None, _WaitingPage)
            for contact in page.contacts:
                yield contact
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    async def preview_bulk(
        self, *, agents: Mapping[str, Any] | None = None, contacts: Mapping[str, Any] | None = None
    ) -> BulkPreview:
        """Return how many agents, or live contacts, meet conditions, and the ids of at most 1,000 of them; give one of both."""
        body = {name: value for name, value in (("agents", agents), ("contacts", contacts)) if value is not None}
        return await self._send("POST", "/v1/bulk/preview", body, BulkPreview)

    async def execute_bulk(
        self,
        act: Mapping[str, Any],
        ids: Sequence[str],
        *,
        agents: Mapping[str, Any] | None = None,
        contacts: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> BulkReceipt:
        """Carry out an act, for example ``{"type": "cancel"}``, on at most 1,000 objects; with conditions, on those that meet them.

        A repeat with the same ``idempotency_key`` after NotConnected carries out what is left, and nothing twice.
        """
        body = {"act": act, "ids": ids, "agents": agents, "contacts": contacts}
        body = {name: value for name, value in body.items() if value is not None}
        return await self._send("POST", "/v1/bulk", body, BulkReceipt, idempotency_key or secrets.token_urlsafe(16))

    async def monitor(self, contact_id: str, mode: MonitorMode) -> None:
        """Join a conversation, or change the mode; the gateway connects the supervisor, who is the subject of the token."""
        await self._send("POST", f"/v1/contacts/{quote(contact_id, safe='')}/monitor", {"mode": mode}, dict[str, Any])

    async def stop_monitoring(self, contact_id: str, supervisor_id: str | None = None) -> None:
        """Leave a conversation, or remove another supervisor from it."""
        body = {} if supervisor_id is None else {"supervisor_id": supervisor_id}
        await self._send("POST", f"/v1/contacts/{quote(contact_id, safe='')}/monitor/leave", body, dict[str, Any])

    async def update_agent(self, agent_id: str, changes: Mapping[str, Any]) -> None:
        """Change an agent's record by a merge patch: fields that are not named stay as they are, None removes."""
        await self._send("PATCH", f"/v1/agents/{quote(agent_id, safe='')}", changes, dict[str, Any])

    async def _send(self, method: str, path: str, body: object, answer_type: type[T], key: str | None = None) -> T:
        document = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if document is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        answer = await exchange(self._url, path, token=self._token, method=method, document=document, headers=headers)
        return msgspec.json.decode(answer.body, type=answer_type)
