"""Suspended conversations that go on when their customer comes back with a submit or a request.

A customer comes back by telephone, an app or a message, and the gateway knows the customer but not the contact. ``resume`` of the
submit says what happens: the only conversation goes on, or the customer chooses among them. The engine finds the conversations by
the ids of the customer, newest first; a gateway reaches its own, and on a channel that is its by the policy those of others, as
when it resumes one by its id.

What was submitted is then no contact. Where the customer has chosen, the contact that was choosing is cancelled (``resumed``); the
token of the customer is that of the resumed contact from then on. ``submitted_as`` of ``contact.resumed`` names the id by which
the server knows what came with the submit.
"""

from typing import Final

from router.engine.commands.queue_admission import EntryWay, find_queue
from router.engine.commands.suspension import ResumeDetails, emit_resumed, serves_channel
from router.engine.commands.transaction import Transaction
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.model.commands import EnqueueContact
from router.model.events import ContactCancelled, ContactOption, CustomerTokenChanged
from router.model.results import RefusalCode, Refused
from router.model.states import ContactId, ContactState, EndedBy

SHOWN_MAX: Final = 5
"""Suspended conversations among which a customer may choose: the newest."""
_PREFIX: Final = "resume-"
_RESUMED: Final = "resumed"


def suspended_conversations(state: RoutingState, wanted: EnqueueContact, customer_ids: tuple[str, ...]) -> list[Contact]:
    """Return the suspended contacts of the customer that the submit may resume, newest first."""
    if wanted.customer_id is None:
        return []
    is_any = not wanted.gateway_id or serves_channel(state, wanted.gateway_id, wanted.channel)
    found = [
        state.contacts[contact_id]
        for customer_id in dict.fromkeys((wanted.customer_id, *customer_ids))
        for contact_id in state.suspended_by_customer.get(customer_id, ())
    ]
    mine = [contact for contact in found if is_any or contact.gateway_id == wanted.gateway_id]
    return sorted(mine, key=_suspended_seq, reverse=True)


def _suspended_seq(contact: Contact) -> int:
    return 0 if contact.suspension is None else contact.suspension.suspended_seq


def resume_options(state: RoutingState, conversations: list[Contact], channel: str) -> tuple[ContactOption, ...]:
    """Return the options of a customer to go on on a channel: the conversations whose queue admits them now."""
    admitted = [
        contact
        for contact in conversations[:SHOWN_MAX]
        if not isinstance(find_queue(state, contact, contact.queue_id, EntryWay.RESUME, channel), Refused)
    ]
    return tuple(
        ContactOption(id=f"{_PREFIX}{number}", channel=channel, resumes=contact.contact_id)
        for number, contact in enumerate(admitted, start=1)
    )


def resume_by_submit(tx: Transaction, contact: Contact, wanted: EnqueueContact, token_hash: bytes | None = None) -> bool:
    """Let the only suspended conversation of a customer go on; return whether its queue admits it now."""
    entry = find_queue(tx.state, contact, contact.queue_id, EntryWay.RESUME, wanted.channel)
    if isinstance(entry, Refused):
        return False
    if token_hash is not None:
        tx.emit(CustomerTokenChanged(contact_id=contact.contact_id, token_hash=token_hash, gateway_id=contact.gateway_id))
    reference = wanted.reference or contact.reference
    emit_resumed(tx, contact, entry, ResumeDetails("resumed", wanted.channel, reference, submitted_as=wanted.contact_id))
    return True


def resume_chosen(tx: Transaction, choosing: Contact, option: ContactOption, *, is_default: bool) -> Contact | Refused:
    """Let a conversation go on that its customer has chosen; the contact that was choosing ends."""
    assert option.resumes is not None and choosing.request is not None
    contact = resumable(tx.state, option.resumes)
    if contact is None:
        detail = "that conversation has ended or goes on already: choose another option"
        return Refused(code=RefusalCode.OPTION_NOT_AVAILABLE, field="option", detail=detail)
    entry = find_queue(tx.state, contact, contact.queue_id, EntryWay.RESUME, option.channel)
    if isinstance(entry, Refused):
        return entry
    tx.emit(
        ContactCancelled(
            contact_id=choosing.contact_id,
            queue_id=choosing.queue_id,
            waited_ms=tx.at_ms - choosing.queued_at_ms,
            reason=_RESUMED,
            gateway_id=choosing.gateway_id,
            ended_by=EndedBy.TIMEOUT if is_default else EndedBy.CUSTOMER,
            resumed_contact_id=contact.contact_id,
        )
    )
    if choosing.request.token_hash is not None:
        tx.emit(
            CustomerTokenChanged(
                contact_id=contact.contact_id,
                token_hash=choosing.request.token_hash,
                gateway_id=contact.gateway_id,
                former_contact_id=choosing.contact_id,
            )
        )
    reference = choosing.reference or contact.reference
    emit_resumed(tx, contact, entry, ResumeDetails("resumed", option.channel, reference, choosing.contact_id, option.id))
    return contact


def resumable(state: RoutingState, contact_id: ContactId) -> Contact | None:
    """Return a contact that is still suspended."""
    contact = state.contacts.get(contact_id)
    return contact if contact is not None and contact.state is ContactState.SUSPENDED else None
