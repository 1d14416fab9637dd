"""Which live contacts belong to which customer: an index beside the engine, kept by events.

The engine knows the customer of each contact; the reverse is needed when a customer changes: whose facts are refreshed, whose cards
are sent again, and how many contacts of a customer are open. The index holds contacts that have a customer and are not over. It is
built from the engine at the start and follows the event feed from then on.
"""

from collections.abc import Generator, Iterable
from typing import Final

from msgspec import Struct

from router.engine.engine import Engine
from router.model.events import (
    CallbackConnected,
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactEnded,
    ContactExpired,
    ContactOverflowed,
    ContactQueued,
    ContactRequeued,
    ContactResumed,
    ContactSuspended,
    Event,
    OfferAccepted,
)
from router.model.policy import FactValue
from router.model.states import ContactState
from router.runtime.writer import Writer

ENDING_EVENTS: Final = {
    ContactEnded: "ended",
    ContactAbandoned: "abandoned",
    ContactCancelled: "cancelled",
    ContactExpired: "expired",
}
"""Events after which a contact is over, with the word for its end."""

WAITS_AGAIN: Final = (ContactRequeued, ContactOverflowed, CallbackConnected, ContactResumed)
"""Events after which a contact may be matched that may have had an owner, or was suspended, before."""
_DOES_NOT_WAIT: Final = (ContactAssigned, OfferAccepted, ContactSuspended)


class CustomerContact(Struct):
    """A contact with a customer that is not over."""

    contact_id: str
    customer_id: str
    waits: bool = True
    """Whether it may still be matched: it has no owner."""
    facts: dict[str, FactValue] | None = None
    """Facts that the engine was last told; None: not known."""


class LiveContacts:
    """The live contacts with a customer of one workspace."""

    def __init__(self) -> None:
        self._contacts: dict[str, CustomerContact] = {}
        self._of_customer: dict[str, set[str]] = {}

    def __len__(self) -> int:
        """Return the number of contacts."""
        return len(self._contacts)

    def get(self, contact_id: str) -> CustomerContact | None:
        """Return a contact; None: it is over or has no customer."""
        return self._contacts.get(contact_id)

    def of_customers(self, customer_ids: Iterable[str]) -> list[CustomerContact]:
        """Return the contacts of customers, in order of their ids."""
        names: set[str] = set()
        for customer_id in customer_ids:
            names |= self._of_customer.get(customer_id, frozenset())
        return [self._contacts[name] for name in sorted(names)]

    def all(self) -> list[CustomerContact]:
        """Return all contacts."""
        return list(self._contacts.values())

    def add(self, contact: CustomerContact) -> None:
        """Add a contact that was submitted."""
        self._contacts[contact.contact_id] = contact
        self._of_customer.setdefault(contact.customer_id, set()).add(contact.contact_id)

    def remove(self, contact_id: str) -> CustomerContact | None:
        """Remove a contact that is over and return it; None: it has no customer."""
        contact = self._contacts.pop(contact_id, None)
        if contact is not None:
            others = self._of_customer[contact.customer_id]
            others.discard(contact_id)
            if not others:
                del self._of_customer[contact.customer_id]
        return contact

    def apply(self, event: Event) -> CustomerContact | None:
        """Follow an event; return the contact where it has begun or is over, which changes the number of open contacts."""
        kind = type(event)
        if kind is ContactQueued:
            assert isinstance(event, ContactQueued)
            if event.customer_id is None:
                return None
            contact = CustomerContact(event.contact_id, event.customer_id, facts=event.customer_facts)
            self.add(contact)
            return contact
        if kind in ENDING_EVENTS:
            assert isinstance(event, ContactEnded | ContactAbandoned | ContactCancelled | ContactExpired)
            return self.remove(event.contact_id) if self._contacts else None
        if self._contacts and isinstance(event, WAITS_AGAIN + _DOES_NOT_WAIT):
            known = self._contacts.get(event.contact_id)
            if known is not None:
                known.waits = kind not in _DOES_NOT_WAIT
        return None


async def load_live_contacts(writer: Writer, workspace: str) -> LiveContacts:
    """Return the live contacts of a workspace as the engine has them."""

    def query(engine: Engine) -> Generator[None, None, list[tuple[str, str, ContactState]]]:
        return engine.customers_of_live_contacts()

    found = LiveContacts()
    for contact_id, customer_id, state in (await writer.query_in_slices(workspace, query)).value:
        found.add(CustomerContact(contact_id, customer_id, waits=state in (ContactState.QUEUED, ContactState.OFFERED)))
    return found
