"""Requests over HTTP: ask for an agent on behalf of a customer, show the options, choose, and follow what happens.

A gateway, or the backend of an app, asks with its own credential. What follows may also be done with the token of the customer:
by an app that opens no socket, and follows its request with long polls. A long poll answers as soon as the request differs from
what was seen last, so nothing is missed between two of them, or while there is no connection.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from router.client.errors import NotConnected
from router.client.http_query import HttpAnswer, HttpRequestRefused, exchange
from router.client.reconnect import Backoff
from router.context.cards import ContactContext
from router.model.events.contact import TimeWindow
from router.model.policy import FactValue
from router.model.request_views import OptionView, RequestView, WaitTold
from router.model.states import GoalOutcome, RequestPhase
from router.protocol.frames import ContactCustomer

_WAIT_S: Final = 25
_WAIT_S_MAX: Final = 30
# The router is busy, restarts, or its rate is used up: the same request may succeed later.
_TEMPORARY: Final = frozenset({429, 502, 503, 504})


class CreatedRequest(Struct, frozen=True, kw_only=True):
    """A request that was made, with the options of its customer."""

    request_id: str
    """Id of the request, which is the id of its contact."""
    state: RequestPhase
    channel: str
    token: str
    """Token of the customer, for this request only."""
    options: tuple[OptionView, ...] = ()
    """Options to choose from, each with its expected wait or its time windows; empty: there is nothing to choose."""
    expires_at_ms: int | None = None
    """When the default option is taken, epoch milliseconds."""
    position: int | None = None
    wait_s: WaitTold | None = None
    """Place and expected wait, if it waits already."""


class RequestApi:
    """HTTP operations on requests. ``url`` is ``http(s)://host:port``, ``token`` that of a gateway, or of the customer.

    Every method raises NotConnected, and HttpRequestRefused with the code of the problem.
    """

    def __init__(self, url: str, token: str, *, backoff: Backoff | None = None) -> None:
        """``backoff``: pauses of ``follow`` and of repeated requests, replaced in tests."""
        self._url = url
        self._token = token
        self._backoff = backoff or Backoff()

    async def create(
        self,
        channel: str,
        *,
        queue_id: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        priority_class: int = 0,
        attributes: dict[str, FactValue] | None = None,
        ttl_s: int | None = None,
        reference: str | None = None,
        preferred_agents: tuple[str, ...] = (),
        continues_contact_id: str | None = None,
        customer: ContactCustomer | None = None,
        context: ContactContext | None = None,
        choose: Literal["ask", "first"] = "ask",
        resume: Literal["never", "auto", "ask"] = "never",
        goal: str | None = None,
        idempotency_key: str | None = None,
        retry_until_acknowledged: bool = False,
    ) -> CreatedRequest:
        """Ask for an agent; for gateways. The fields are those of a submit (``GatewayClient.submit``).

        ``choose``: ``ask`` shows the options; ``first`` takes the channel at once, and shows the others if that is not possible.
        ``resume``: ``auto`` goes on with the only suspended conversation of the customer, ``ask`` shows them as options.
        Every request carries an idempotency key, generated if none is given: a repeat after NotConnected with the same key gets
        the same request, with a new token. ``retry_until_acknowledged`` repeats by itself until the router has answered.
        """
        fields: dict[str, Any] = {
            "channel": channel,
            "queue_id": queue_id,
            "skills": skills,
            "priority_s": priority_s or None,
            "priority_class": priority_class or None,
            "attributes": attributes,
            "ttl_s": ttl_s,
            "reference": reference,
            "preferred_agents": preferred_agents or None,
            "continues_contact_id": continues_contact_id,
            "customer": customer,
            "context": context,
            "choose": choose,
            "resume": None if resume == "never" else resume,
            "goal": goal,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        key = idempotency_key or secrets.token_urlsafe(16)
        while True:
            try:
                answer = await self._send("POST", "/v1/requests", body, {"Idempotency-Key": key})
                return msgspec.json.decode(answer.body, type=CreatedRequest)
            except (NotConnected, HttpRequestRefused) as error:
                if not (retry_until_acknowledged and _is_temporary(error)):
                    raise
                await self._pause(error)

    async def get(self, request_id: str) -> RequestView:
        """Return a request as its customer sees it now."""
        return _view(await self._send("GET", f"/v1/requests/{request_id}"))

    async def choose(self, request_id: str, option: str, *, window: TimeWindow | None = None) -> RequestView:
        """Choose an option, on behalf of the customer or with their token; ``window``: one of those of the option."""
        body = {"option": option} if window is None else {"option": option, "window": window}
        return _view(await self._send("POST", f"/v1/requests/{request_id}/choose", body))

    async def switch_channel(self, request_id: str, channel: str) -> RequestView:
        """Go on on another of the ``channels`` of the request; if the agent cannot take it now, the switch waits."""
        return _view(await self._send("POST", f"/v1/requests/{request_id}/channel", {"channel": channel}))

    async def suspend(self, request_id: str) -> RequestView:
        """Stop for now, and resume later."""
        return _view(await self._send("POST", f"/v1/requests/{request_id}/suspend", {}))

    async def resume(self, request_id: str, *, channel: str | None = None) -> RequestView:
        """Resume a suspended request, on another channel or the same."""
        body = {} if channel is None else {"channel": channel}
        return _view(await self._send("POST", f"/v1/requests/{request_id}/resume", body))

    async def cancel(self, request_id: str) -> RequestView:
        """Leave, as the customer: the choice, the wait, the callback or the conversation ends."""
        return _view(await self._send("POST", f"/v1/requests/{request_id}/cancel", {}))

    async def answer(
        self,
        request_id: str,
        *,
        outcome: GoalOutcome | None = None,
        ease: int | None = None,
        effort: int | None = None,
        satisfaction: int | None = None,
    ) -> None:
        """Answer whether it was done and how easy it was, on behalf of the customer or with their token; again to correct it.

        ``ease``: 1 (very difficult) to 7 (very easy). ``effort``: 1 (very little) to 5. ``satisfaction``: 1 to 5 (very).
        """
        fields = {"outcome": outcome, "ease": ease, "effort": effort, "satisfaction": satisfaction}
        body = {name: value for name, value in fields.items() if value is not None}
        await self._send("POST", f"/v1/requests/{request_id}/answer", body)

    async def renew_token(self, request_id: str) -> str:
        """Return a new token for the customer; the one before it ends at once. For gateways."""
        answer = await self._send("POST", f"/v1/requests/{request_id}/token", {})
        return str(msgspec.json.decode(answer.body)["token"])

    async def follow(self, request_id: str, *, wait_s: int = _WAIT_S) -> AsyncIterator[RequestView]:
        """Iterate over a request as it changes, from now on until it has ended, by long polls of ``wait_s`` seconds (1 to 30).

        A lost connection, a restart and a busy router are waited for. Raises HttpRequestRefused for what does not pass, such as
        a token that is no longer valid.
        """
        if not 1 <= wait_s <= _WAIT_S_MAX:
            raise ValueError(f"wait_s must be 1 to {_WAIT_S_MAX} seconds")
        tag: str | None = None
        while True:
            headers = {} if tag is None else {"If-None-Match": tag}
            try:
                answer = await self._send("GET", f"/v1/requests/{request_id}?wait_s={wait_s if tag else 0}", headers=headers)
            except (NotConnected, HttpRequestRefused) as error:
                if isinstance(error, HttpRequestRefused) and error.status == 304:
                    continue
                if not _is_temporary(error):
                    raise
                await self._pause(error)
                continue
            self._backoff.reset()
            tag, view = answer.headers.get("ETag"), _view(answer)
            yield view
            if view.outcome is not None:
                return

    async def _pause(self, error: NotConnected | HttpRequestRefused) -> None:
        retry_after_s = error.retry_after_s if isinstance(error, HttpRequestRefused) else None
        await asyncio.sleep(self._backoff.next_delay_s(retry_after_s))

    async def _send(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> HttpAnswer:
        sent = dict(headers or {})
        document = None if body is None else msgspec.json.encode(body)
        if document is not None:
            sent["Content-Type"] = "application/json"
        return await exchange(self._url, path, token=self._token, method=method, document=document, headers=sent)


def _view(answer: HttpAnswer) -> RequestView:
    return msgspec.json.decode(answer.body, type=RequestView)


def _is_temporary(error: NotConnected | HttpRequestRefused) -> bool:
    return isinstance(error, NotConnected) or error.status in _TEMPORARY
