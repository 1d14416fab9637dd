"""The customer of a submit: found or created before the contact is queued, within a deadline.

The customer context is never a reason to refuse a contact or to hold it up: where the context has failed, is switched off or does
not answer within ``DEADLINE_S``, and where the identities identify no customer, the contact is routed without one. The contact
has the id of the **member** that has the deciding identity, so that an undone merge gives it back with its identity.
"""

from typing import Final

from msgspec import Struct

from router.context.customers import ContextError, ContextUnavailable, Resolved
from router.context.identities import Assurance, IdentityInvalid, NormalIdentity, normalise
from router.context.port import ContextStore
from router.protocol.frames import ContactCustomer
from router.server.api.request import Services

DEADLINE_S: Final = 0.05
"""Longest time that a submit waits for the customer context."""


class SubmitCustomer(Struct, frozen=True):
    """The customer of a submitted contact."""

    customer_id: str
    """Member that has the deciding identity."""
    assurance: Assurance
    """How the customer is known."""


async def resolve_for_submit(services: Services, workspace: str, customer: ContactCustomer) -> SubmitCustomer | None:
    """Return the customer of a submit, created where the identities are new; None where there is none or it takes too long."""
    context = services.context
    if context is None:
        return None
    identities = _usable_identities(services, customer)
    if customer.customer_id is None and not identities:
        context.count("submits", "none")
        return None
    now_ms = services.writer.clock.now_ms()

    def operation(store: ContextStore) -> Resolved | None:
        if customer.customer_id is not None:
            is_known = store.is_known(workspace, customer.customer_id)
            return Resolved(customer_id=customer.customer_id, member_id=customer.customer_id) if is_known else None
        return store.resolve(workspace, identities, at_ms=now_ms, create=True, now_ms=now_ms)

    try:
        found = await context.run_in_time(operation, deadline_s=DEADLINE_S)
    except ContextUnavailable:
        context.count("submits", "unavailable")
        return None
    except ContextError:
        context.count("submits", "refused")
        return None
    if found is None or found.member_id is None:
        context.count("submits", "none")
        return None
    context.count_resolution(found)
    context.count("submits", "created" if found.created else "found")
    return SubmitCustomer(found.member_id, found.assurance or Assurance.ASSERTED)


def _usable_identities(services: Services, customer: ContactCustomer) -> list[NormalIdentity]:
    """Return the identities that can be looked up: one that a visitor claims, or a withheld number, selects no customer."""
    region, found = services.settings.context.region, []
    for one in customer.identities:
        if one.assurance is not Assurance.CLAIMED:
            try:
                found.append(normalise(one, region=region))
            except IdentityInvalid:
                continue
    return found
