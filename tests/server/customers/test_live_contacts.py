"""The index of live contacts by customer: it follows events and forgets what is over."""

from router.model import events as e
from router.model.states import AssignmentRole
from router.server.customers.live_contacts import CustomerContact, LiveContacts


def queued(contact_id: str, customer_id: str | None) -> e.ContactQueued:
    return e.ContactQueued(
        contact_id=contact_id, channel="voice", queue_id="q", requirement="", policy_version=1, customer_id=customer_id
    )


def ids(found: list[CustomerContact]) -> list[str]:
    return [one.contact_id for one in found]


def test_contacts_are_found_by_any_member_and_forgotten_at_their_end() -> None:
    contacts = LiveContacts()
    for contact_id, customer_id in (("c2", "a"), ("c1", "b"), ("c3", None)):
        contacts.apply(queued(contact_id, customer_id))
    assert len(contacts) == 2 and contacts.get("c3") is None
    assert ids(contacts.of_customers(["a", "b"])) == ["c1", "c2"] and ids(contacts.of_customers(["x"])) == []
    ended = contacts.apply(e.ContactAbandoned(contact_id="c2", queue_id="q", waited_ms=1))
    assert ended is not None and ended.customer_id == "a"
    assert ids(contacts.of_customers(["a", "b"])) == ["c1"]
    assert contacts.apply(e.ContactAbandoned(contact_id="c2", queue_id="q", waited_ms=1)) is None


def test_a_contact_waits_until_an_agent_has_it_and_again_after_it_returned() -> None:
    contacts = LiveContacts()
    contacts.apply(queued("c1", "a"))

    def waits() -> bool:
        contact = contacts.get("c1")
        return contact is not None and contact.waits

    assert waits() and contacts.all()[0].facts == {}
    contacts.apply(e.OfferAccepted(offer_id="o", contact_id="c1", agent_id="ada", waited_ms=1, role=AssignmentRole.OWNER))
    assert not waits()
    contacts.apply(
        e.ContactRequeued(contact_id="c1", queue_id="q", requirement="", reason="supervisor", queued_seq=1, agent_id="ada")
    )
    assert waits()
