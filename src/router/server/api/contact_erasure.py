"""Erasure of what is stored of one contact whose customer is not known: its reference, context and notes.

What belongs to a customer is erased with the customer, whose key seals it. A reference without a customer shares its key with
others, which are sealed again first: see ``router.context.sqlite.references``.
"""

from contextlib import suppress

from msgspec import Struct

from router.context.customers import ErasedCustomer, UnknownCustomer
from router.context.port import ContextStore
from router.engine.engine import Engine
from router.model.states import SEALED_REFERENCE
from router.server.api.contacts import path_contact_id
from router.server.api.customer_access import PROBLEM_ERRORS, context_service, problem_of, run_on_context
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.reference_commands import key_on_channel


class ContactErasure(Struct, frozen=True, kw_only=True):
    """State of the erasure of a contact."""

    contact_id: str
    """The contact, whose routing goes on."""
    state: str
    """``erased``: nothing of it can be opened any more. ``pending``: that is still being done; ask again."""


async def erase_contact(request: ApiRequest) -> ApiResponse:
    """Erase what is stored of a contact without a customer: reference, context and notes. The contact itself goes on."""
    contact_id, workspace, context = path_contact_id(request), request.workspace, context_service(request)

    def query(engine: Engine) -> tuple[bool, str | None, str | None, list[str]]:
        view, policy = engine.contact(contact_id), engine.policy
        customer_id, reference = engine.customer_id_of(contact_id), None if view is None else view.reference
        channels = set() if policy is None else {*policy.channels}
        if view is not None and view.switch is not None:  # The policy may not have its channel any more.
            channels.add(view.switch.channel)
        return view is not None, customer_id, reference, sorted(channels)

    is_known, customer_id, reference, channels = (await request.query_engine(query)).value
    if customer_id is not None:
        raise ProblemError("not_erasable", "the contact belongs to a customer: erase the customer with DELETE /v1/customers/{id}")
    if reference not in (None, SEALED_REFERENCE):
        detail = "the reference of the contact is in the journal: see context.references in the settings, and router journal redact"
        raise ProblemError("not_erasable", detail)
    names = [contact_id, *(key_on_channel(contact_id, channel) for channel in channels)]

    def find(store: ContextStore) -> tuple[str | None, bool]:
        alone = store.contacts.id_without_customer(workspace, contact_id)
        return alone, bool(store.references.read(workspace, names))

    alone, has_reference = await run_on_context(request, find)
    if not is_known and alone is None and not has_reference:
        raise ProblemError("unknown_contact")
    request.services.references.forget(names)
    try:
        done = await context.erase_references(workspace, names)
        if alone is not None:
            with suppress(UnknownCustomer, ErasedCustomer):
                done = await context.erase(workspace, alone) and done
    except PROBLEM_ERRORS as error:
        raise problem_of(error) from None
    return ApiResponse(
        body=ContactErasure(contact_id=contact_id, state="erased" if done else "pending"), status=200 if done else 202
    )
