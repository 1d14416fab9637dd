"""API operations on the card of a contact: read it, and write notes on it.

A card is shown to those who have the contact: an agent with the contact, in wrap-up too, or with an offer of it, and the gateway
that submitted it. For anyone else the contact does not exist. Every card shown to an agent is recorded in the audit of reads.
"""

from typing import Final

from msgspec import Struct

from router.context.cards import NOTE_BYTES_MAX, Card, CardContent, CardNote, CardStatus, NoteText, TooManyNotes, card_of
from router.context.customers import ContextUnavailable, ErasedCustomer, UnknownCustomer
from router.context.port import ContextStore
from router.engine.engine import Engine
from router.server.api.contacts import path_contact_id
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import Role
from router.server.customers.live_customers import LiveCustomers

_READ_TIMEOUT_S: Final = 2.0


class NoteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note on a contact."""

    text: NoteText
    """Text of the note, at most 2,048 bytes in UTF-8."""


async def get_contact_card(request: ApiRequest) -> ApiResponse:
    """Get the card of a contact: what is known about its customer."""
    contact_id, customer_id = await _contact(request)
    customers = _customers(request)
    now_ms = request.services.writer.clock.now_ms()

    def operation(store: ContextStore) -> CardContent:
        content = store.contacts.content(request.workspace, contact_id, customer_id=customer_id)
        if request.credential.role is not Role.GATEWAY and content.customer is not None:
            found = content.customer.customer_id
            store.note_read(found, actor=request.credential.actor, purpose="card", fields="card", now_ms=now_ms)
        return content

    assert request.services.context is not None
    if not await customers.is_current_within(request.workspace, _READ_TIMEOUT_S):
        # What the store has may be from before the customer was away.
        customers.count_card(CardStatus.LATE)
        now = customers.cards.context_of(request.workspace, contact_id)
        return ApiResponse(body=Card(status=CardStatus.LATE, now=now))
    try:
        content = await request.services.context.run(operation, timeout_s=_READ_TIMEOUT_S)
    except ContextUnavailable:
        card = Card(status=CardStatus.UNAVAILABLE, now=customers.cards.context_of(request.workspace, contact_id))
    else:
        content = customers.cards.proven(request.workspace, contact_id, content)
        card = card_of(content, contact_id=contact_id, sensitive=customers.cards.sensitive)
        card = customers.cards.with_goals(request.workspace, contact_id, card)
    customers.count_card(card.status)
    return ApiResponse(body=card)


async def add_contact_note(request: ApiRequest) -> ApiResponse:
    """Write a note on a contact, for everyone who gets it or another contact of its customer."""
    contact_id, customer_id = await _contact(request)
    customers = _customers(request)
    body: NoteRequest = request.body
    size = len(body.text.encode())
    if size > NOTE_BYTES_MAX:
        raise ProblemError("invalid_value", f"has {size:,} bytes in UTF-8, at most {NOTE_BYTES_MAX:,}", field="text")
    now_ms, author = request.services.writer.clock.now_ms(), request.credential.actor

    def operation(store: ContextStore) -> CardNote:
        store.contacts.add_note(
            request.workspace, contact_id, customer_id=customer_id, author=author, text=body.text, now_ms=now_ms
        )
        return CardNote(at_ms=now_ms, author=author, text=body.text, contact_id=contact_id)

    assert request.services.context is not None
    try:
        note = await request.services.context.run(operation, timeout_s=request.services.settings.server.answer_timeout_s)
    except ContextUnavailable as error:
        raise ProblemError("context_unavailable", str(error)) from None
    except TooManyNotes as error:
        raise ProblemError("note_limit_exceeded", str(error)) from None
    except (ErasedCustomer, UnknownCustomer):
        raise ProblemError("customer_erased") from None
    if customer_id is None:
        customers.cards.contact_changed(request.workspace, contact_id)
    return ApiResponse(body=note, status=201)


def _customers(request: ApiRequest) -> LiveCustomers:
    customers = request.services.customers
    if customers is None:
        raise ProblemError("context_unavailable", "the customer context is switched off in the settings")
    return customers


async def _contact(request: ApiRequest) -> tuple[str, str | None]:
    """Return the contact of the path and its customer. Raises ProblemError where the client does not have the contact."""
    contact_id, agent_id, gateway_id = path_contact_id(request), request.agent_id, request.gateway_id

    def query(engine: Engine) -> tuple[bool, str | None]:
        may_see = engine.may_see_contact(contact_id, agent_id=agent_id, gateway_id=gateway_id)
        if agent_id is not None:
            may_see = contact_id in engine.contacts_of_agent(agent_id)
        return may_see, engine.customer_of(contact_id)[0]

    may_see, customer_id = (await request.query_engine(query)).value
    if not may_see:
        raise ProblemError("unknown_contact")
    return contact_id, customer_id
