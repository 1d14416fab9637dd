"""The customer of a submit: found or created before the contact is queued, within a deadline.

The customer context is never a reason to refuse a contact or to hold it up: where the context has failed, is switched off or does
not answer within ``context.submit_wait_ms_max``, and where the identities identify no customer, the contact is routed without one.
The contact has the id of the **member** that has the deciding identity, so that an undone merge gives it back with its identity.
"""

import structlog
from msgspec import Struct

from router.context.cards import CardContent, ContactContext
from router.context.customers import ContextError, ContextUnavailable, Resolved
from router.context.identities import Assurance, IdentityInvalid, NormalIdentity, normalise
from router.context.port import ContextStore
from router.model.policy import FactValue
from router.protocol.frames import ContactCustomer
from router.server.api.request import Services
from router.server.customers.live_customers import LiveCustomers

_log = structlog.get_logger(__name__)


class SubmitCustomer(Struct, frozen=True):
    """The customer of a submitted contact."""

    customer_id: str
    """Member that has the deciding identity."""
    facts: dict[str, FactValue]
    """Facts of the customer that the policy declares and that are known."""


class _Read(Struct):
    """What the store has done for a submit."""

    found: Resolved | None
    content: CardContent | None


async def resolve_for_submit(
    services: Services, workspace: str, contact_id: str, customer: ContactCustomer | None, context: ContactContext | None
) -> SubmitCustomer | None:
    """Return the customer of a submit, created where the identities are new; None where there is none or it takes too long.

    The context of the contact is stored in the same operation, and the customer's card and facts are read.
    """
    store_service, customers = services.context, services.customers
    if store_service is None or customers is None:
        return None
    customers.activate()
    identities = () if customer is None else _usable_identities(services, customer)
    customer_id = None if customer is None else customer.customer_id
    if customer_id is None and not identities and context is None:
        store_service.count("submits", "none")
        return None
    now_ms = services.writer.clock.now_ms()

    def operation(store: ContextStore) -> _Read:
        found = None
        if customer_id is not None and store.is_known(workspace, customer_id):
            found = Resolved(customer_id=customer_id, member_id=customer_id)
        elif identities:
            found = store.resolve(workspace, identities, at_ms=now_ms, create=True, now_ms=now_ms)
        member_id = None if found is None else found.member_id
        if member_id is None and context is None:
            return _Read(found, None)
        assurance = None if found is None else found.assurance or Assurance.ASSERTED
        store.contacts.keep(workspace, contact_id, customer_id=member_id, assurance=assurance, context=context, now_ms=now_ms)
        return _Read(found, store.contacts.content(workspace, contact_id, customer_id=member_id))

    try:
        read = await store_service.run_in_time(operation, deadline_s=services.settings.context.submit_wait_ms_max / 1000)
    except ContextUnavailable:
        store_service.count("submits", "unavailable")
        return _from_memory(customers, workspace, contact_id, customer_id, context)
    except ContextError:
        store_service.count("submits", "refused")
        return None
    except Exception:
        # A value that the store cannot open, a fault of its code: an error of one customer's data is no reason to lose a contact.
        _log.exception("the customer of a submit could not be read", action="submit_customer_failed", workspace=workspace)
        store_service.count("submits", "failed")
        return None
    found = read.found
    member_id = None if found is None else found.member_id
    facts = customers.submitted(workspace, contact_id, member_id, read.content, context)
    if found is None or member_id is None:
        store_service.count("submits", "none")
        return None
    store_service.count_resolution(found)
    store_service.count("submits", "created" if found.created else "found")
    return SubmitCustomer(member_id, facts)


def _from_memory(
    customers: LiveCustomers, workspace: str, contact_id: str, customer_id: str | None, context: ContactContext | None
) -> SubmitCustomer | None:
    """Return a customer that the submit names by its id and that is in memory, while the store does not answer."""
    is_known = customer_id is not None and customers.facts.get(workspace, customer_id) is not None
    facts = customers.submitted(workspace, contact_id, customer_id if is_known else None, None, context)
    return SubmitCustomer(customer_id, facts) if is_known and customer_id is not None else None


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
