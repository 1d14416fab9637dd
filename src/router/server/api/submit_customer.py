"""The customer of a submit: found or created before the contact is queued, within a deadline.

The customer context is never a reason to refuse a contact or to hold it up: where the context has failed, is switched off or does
not answer within ``context.submit_wait_ms_max``, and where the identities identify no customer, the contact is routed without one.
The contact has the id of the **member** that has the deciding identity, so that an undone merge gives it back with its identity.

A customer who is named by the id, and is in memory with the facts that the policy declares, is not waited for: the
store keeps the context of the contact and reads the card meanwhile. For others the contact is queued as soon as the store knows the
customer. In both cases the answer to the submit waits until that is on the disk as well. A router killed in between has a contact
whose customer is unknown, and no answer was given for it.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from msgspec import Struct

from router.context.cards import CardContent, ContactContext
from router.context.customers import ContextError, ContextUnavailable, ErasedCustomer, Resolved, UnknownCustomer
from router.context.identities import Assurance, IdentityInvalid, NormalIdentity, normalise
from router.context.port import ContextStore
from router.model.policy import FactValue
from router.protocol.frames import ContactCustomer
from router.runtime.workspace import Reply, ReplyTarget
from router.server.api.request import Services
from router.server.customers.live_customers import LiveCustomers

_log = structlog.get_logger(__name__)


STORED_WITHIN_S: Final = 0.5
"""Longest time that the answer to a submit waits for its customer and context to be stored."""


class SubmitCustomer(Struct, frozen=True):
    """What the customer context has found and stored for a submitted contact."""

    customer_id: str | None = None
    """Member that has the deciding identity; None: no customer is known."""
    facts: dict[str, FactValue] = {}
    """Facts of the customer that the policy declares and that are known."""
    stored: asyncio.Future[None] | None = None
    """Done when it is on the disk; None: nothing was stored."""
    customer_ids: tuple[str, ...] = ()
    """Ids of all members, by which earlier contacts may name the customer; empty: only the one above."""


_NO_CUSTOMER: Final = SubmitCustomer()


class ReplyWhenStored:
    """Reply target of a submit that passes the reply on when the customer and context of the contact are on the disk too."""

    __slots__ = ("_reply", "_stored")

    def __init__(self, reply: ReplyTarget[Reply], stored: "asyncio.Future[None]") -> None:
        self._reply = reply
        self._stored = stored
        # From now on, as the wait for the reference and the journal does: the limits must not add up.
        timer = asyncio.get_running_loop().call_later(STORED_WITHIN_S, lambda: stored.done() or stored.cancel())
        stored.add_done_callback(lambda _: timer.cancel())

    def done(self) -> bool:
        """Return whether the receiver no longer needs a reply."""
        return self._reply.done()

    def set_result(self, result: Reply, /) -> None:
        """Pass the reply on when everything is stored, when the store has failed, or after ``STORED_WITHIN_S``."""
        if self._stored.done():
            self._reply.set_result(result)
            return
        reply = self._reply

        def pass_on(_: "asyncio.Future[None]") -> None:
            if not reply.done():
                reply.set_result(result)

        self._stored.add_done_callback(pass_on)

    def set_exception(self, exception: Exception, /) -> None:
        """Pass on that there will be no reply."""
        self._reply.set_exception(exception)


async def wait_until_stored(stored: "asyncio.Future[None] | None") -> None:
    """Wait until the customer and context of a contact are on the disk, the store has failed, or ``STORED_WITHIN_S`` has passed."""
    if stored is not None:
        await asyncio.wait({stored}, timeout=STORED_WITHIN_S)


class _Read(Struct):
    """What the store has done for a submit."""

    found: Resolved | None
    content: CardContent | None


def customer_in_memory(
    services: Services, workspace: str, contact_id: str, customer: ContactCustomer | None, context: ContactContext | None
) -> SubmitCustomer | None:
    """Return the customer of a submit that names one who is in memory; None: the store has to be asked.

    The context of the contact is stored and the card read meanwhile; no one waits for either but the answer to the submit.
    """
    store_service, customers = services.context, services.customers
    customer_id = None if customer is None else customer.customer_id
    if store_service is None or customers is None or customer_id is None or not store_service.is_available:
        return None
    # What another node has changed a moment ago, for example an erasure that was answered, may not be known here yet.
    if store_service.is_shared or not customers.has_in_memory(workspace, customer_id):
        return None
    now_ms = services.writer.clock.now_ms()

    def operation(store: ContextStore) -> CardContent:
        # One who was erased since the caller looked has a card that says so.
        kept = None
        with suppress(UnknownCustomer, ErasedCustomer):
            kept = store.contacts.keep(
                workspace, contact_id, customer_id=customer_id, assurance=Assurance.ASSERTED, context=context, now_ms=now_ms
            )
        return store.contacts.content(workspace, contact_id, customer_id=customer_id, kept=kept)

    arrived = customers.cards.expect(workspace, contact_id, customer_id, context)

    def done(content: CardContent | None, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, ContextError):
            action = "submit_customer_failed"
            _log.error("the customer of a submit could not be read", action=action, workspace=workspace, exc_info=error)
        arrived(content)

    is_in_time = store_service.answers_within(services.settings.context.submit_wait_ms_max / 1000)
    try:
        stored = store_service.begin(operation, done)
    except ContextUnavailable:
        arrived(None)
        return None
    customers.activate()
    store_service.count("submits", "found")
    return SubmitCustomer(
        customer_id,
        customers.facts_in_memory(workspace, contact_id, customer_id),
        stored if is_in_time else None,
        customers.members_in_memory(workspace, customer_id),
    )


async def resolve_for_submit(
    services: Services, workspace: str, contact_id: str, customer: ContactCustomer | None, context: ContactContext | None
) -> SubmitCustomer:
    """Return the customer of a submit, created where the identities are new, unless there is none or it takes too long.

    The context of the contact is stored in the same operation, and the customer's card and facts are read.
    """
    store_service, customers = services.context, services.customers
    if store_service is None or customers is None:
        return _NO_CUSTOMER
    customers.activate()
    identities = () if customer is None else _usable_identities(services, customer)
    customer_id = None if customer is None else customer.customer_id
    if customer_id is None and not identities and context is None:
        store_service.count("submits", "none")
        return _NO_CUSTOMER
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
        kept = store.contacts.keep(
            workspace, contact_id, customer_id=member_id, assurance=assurance, context=context, now_ms=now_ms
        )
        return _Read(found, store.contacts.content(workspace, contact_id, customer_id=member_id, kept=kept))

    try:
        read, stored = await store_service.run_in_time(operation, deadline_s=services.settings.context.submit_wait_ms_max / 1000)
    except ContextUnavailable:
        store_service.count("submits", "unavailable")
        return _from_memory(customers, workspace, contact_id, customer_id, context)
    except ContextError:
        store_service.count("submits", "refused")
        return _NO_CUSTOMER
    except Exception:
        # A value that the store cannot open, a fault of its code: an error of one customer's data is no reason to lose a contact.
        _log.exception("the customer of a submit could not be read", action="submit_customer_failed", workspace=workspace)
        store_service.count("submits", "failed")
        return _NO_CUSTOMER
    found = read.found
    member_id = None if found is None else found.member_id
    facts = customers.submitted(workspace, contact_id, member_id, read.content, context)
    if found is None or member_id is None:
        store_service.count("submits", "none")
        return SubmitCustomer(stored=stored)
    store_service.count_resolution(found)
    store_service.count("submits", "created" if found.created else "found")
    shown = None if read.content is None else read.content.customer
    members = () if shown is None else (shown.merged_into or shown.customer_id, shown.customer_id, *shown.members)
    return SubmitCustomer(member_id, facts, stored, members)


def _from_memory(
    customers: LiveCustomers, workspace: str, contact_id: str, customer_id: str | None, context: ContactContext | None
) -> SubmitCustomer:
    """Return a customer that the submit names by its id and that is in memory, while the store does not answer."""
    state = None if customer_id is None else customers.facts.get(workspace, customer_id)
    if state is None:
        customers.submitted(workspace, contact_id, None, None, context)
        return _NO_CUSTOMER
    facts = customers.submitted(workspace, contact_id, customer_id, None, context)
    # Without the other members, one of several conversations would look like the only one, and go on by itself.
    return SubmitCustomer(customer_id, facts, customer_ids=state.member_ids)


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
