"""Customers over HTTP: who they are, what they did, cards and notes, for gateways and for the servers of desktops.

The WebSocket clients get cards by themselves. What else an application reads or writes about customers are single requests to the
same router, with the same credentials.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from router.client.http_query import exchange
from router.context.cards import Card, CardNote
from router.context.customers import CustomerView, Resolved
from router.context.identities import Identity
from router.context.journey import StepFields
from router.context.verification import Verified

T = TypeVar("T")


class StepsReceipt(Struct, frozen=True, kw_only=True):
    """What became of steps: how many were stored, were repeats, and were dropped; those that were rejected by index."""

    accepted: int
    repeated: int = 0
    """Steps whose id was seen within a day."""
    dropped: int = 0
    """Steps older than 30 days, and steps of erased customers."""
    rejected: tuple[dict[str, Any], ...] = ()
    """Index, code, field and detail of each step with an error."""


class _Journey(Struct):
    steps: tuple[StepFields, ...]


class CustomerApi:
    """HTTP operations on customers. ``url`` is ``http(s)://host:port``, ``token`` that of a gateway, an agent or a supervisor.

    Every method raises NotConnected, and HttpRequestRefused with the code of the problem.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    async def resolve(self, *identities: Identity, create: bool = True) -> Resolved:
        """Return the customer of identities that were seen together, created where they are new; for gateways."""
        return await self._send("POST", "/v1/customers/resolve", {"identities": identities, "create": create}, Resolved)

    async def append_steps(self, steps: Sequence[StepFields]) -> StepsReceipt:
        """Append at most 500 steps to journeys; returns when they are durable. Sending them again is harmless if they have ids."""
        return await self._send("POST", "/v1/journey", {"steps": steps}, StepsReceipt)

    async def journey(self, customer_id: str, *, limit: int = 20) -> tuple[StepFields, ...]:
        """Return the newest steps of a customer, oldest first, at most 200; for gateways and supervisors.

        An agent sees the last 20 on the card of a contact.
        """
        found = await self._send("GET", f"/v1/customers/{customer_id}/journey?limit={limit}", None, _Journey)
        return found.steps

    async def customer(self, customer_id: str) -> CustomerView:
        """Return the profile of a customer, with masked identities; for gateways and supervisors."""
        return await self._send("GET", f"/v1/customers/{customer_id}", None, CustomerView)

    async def verify(self, contact_id: str, identity: Identity, method: str) -> Verified:
        """Say that the customer of a contact was checked, for example by ``security_questions``; for agents who have it too."""
        body = {"identity": identity, "method": method}
        return await self._send("POST", f"/v1/contacts/{contact_id}/verify", body, Verified)

    async def card(self, contact_id: str) -> Card:
        """Return the card of a contact that this agent has, or that this gateway submitted; for supervisors of any contact."""
        return await self._send("GET", f"/v1/contacts/{contact_id}/card", None, Card)

    async def add_note(self, contact_id: str, text: str) -> CardNote:
        """Write a note on a contact, for everyone who gets it or another contact of its customer."""
        return await self._send("POST", f"/v1/contacts/{contact_id}/notes", {"text": text}, CardNote)

    async def _send(self, method: str, path: str, body: object, answer_type: type[T]) -> T:
        document = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if document is not None else {}
        answer = await exchange(self._url, path, token=self._token, method=method, document=document, headers=headers)
        return msgspec.json.decode(answer.body, type=answer_type)
