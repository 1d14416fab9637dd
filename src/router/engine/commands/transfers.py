"""Commands that move an existing contact: requeue, transfer and assign."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from router.engine.commands import offers
from router.engine.commands.assignments import complete_assignment, release_assignment, release_participant, remove_all_participants
from router.engine.commands.conference import end_consult, hand_over_contact
from router.engine.commands.offers import dial_for_owner
from router.engine.commands.queue_admission import EntryWay, find_queue
from router.engine.commands.queue_moves import Reservation, requeue
from router.engine.commands.rescind import rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    is_visible,
    not_owner,
    requester_of,
    unknown_agent,
    unknown_contact,
    unknown_queue,
    wrong_contact_state,
)
from router.engine.matching.eligibility import is_available_now
from router.engine.state.agent import Agent
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import phase_when_taken
from router.engine.state.records import Assignment
from router.engine.state.workspace import active_consult, participant_assignment, roles_under_new_owner
from router.model.commands import AssignContact, CancelTransfer, RequeueContact, TransferContact
from router.model.events.contact import ContactAssigned
from router.model.operations import Requester
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import AgentState, ContactState

_ASSIGNED: Final = ContactState.ASSIGNED
_OFFLINE: Final = AgentState.OFFLINE
_QUEUED: Final = ContactState.QUEUED
# Contacts in these states have left the queue, or have not entered it; only what they wait for goes on with them.
_NOT_MOVED: Final = (ContactState.SUSPENDED, ContactState.CHOOSING)

# The same upper bound as that of the durations in a policy.
_RESERVATION_MAX_S: Final = 7 * 86_400


def _owner_assignment(tx: Transaction, contact: Contact) -> Assignment:
    assert contact.assignment_id is not None
    return tx.state.assignments[contact.assignment_id]


def _requeue_contact(tx: Transaction, command: RequeueContact) -> CommandResult:
    state = tx.state
    contact, policy = state.contacts.get(command.contact_id), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    queue_id = command.queue_id or contact.queue_id
    if queue_id not in policy.queues:
        return unknown_queue()
    if contact.state.is_terminal or contact.state in _NOT_MOVED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR)
    if contact.state is _QUEUED and queue_id == contact.queue_id:
        return already_done(contact.contact_id, contact.state, state.seq)
    return move_to_queue(tx, contact, queue_id, "supervisor")


def move_to_queue(tx: Transaction, contact: Contact, queue_id: str, reason: str) -> CommandResult:
    """Move a live contact to a queue, keeping its age; an owner loses it with the same event."""
    state = tx.state
    owner = _owner_assignment(tx, contact) if contact.state is _ASSIGNED else None
    rescind_contact_offers(tx, contact, "policy" if reason == "drained" else "moved")
    participants = remove_all_participants(tx, contact, "contact_moved")
    cool_down_s = state.queue_policy(queue_id).cool_down_s if owner is not None else 0
    until_ms = tx.at_ms + 1000 * cool_down_s if cool_down_s else None
    seq = requeue(tx, contact, queue_id, reason, owner=owner, cool_down_until_ms=until_ms)
    answer = Done(contact.contact_id, contact.state, seq)
    if owner is not None:
        release_assignment(tx, owner)
    for participant in participants:
        release_participant(tx, participant)
    return answer


def requeue_after_lost_desktop(tx: Transaction, assignment: Assignment, prefer_s: int) -> None:
    """Requeue a contact whose owner's desktop is lost, reserved for the same agent at first."""
    contact = tx.state.contacts[assignment.contact_id]
    rescind_contact_offers(tx, contact, "moved")
    participants = remove_all_participants(tx, contact, "contact_moved")
    reservation = Reservation(assignment.agent_id, 1000 * prefer_s) if prefer_s else None
    requeue(tx, contact, contact.queue_id, "lost_desktop", owner=assignment, reservation=reservation)
    complete_assignment(tx, assignment, "lost_desktop")
    for participant in participants:
        release_participant(tx, participant)


def _transfer_contact(tx: Transaction, command: TransferContact) -> CommandResult:
    state = tx.state
    contact, policy = state.contacts.get(command.contact_id), state.policy
    if contact is None or policy is None or not is_visible(state, contact, command):
        return unknown_contact()
    if (command.to_queue_id is None) == (command.to_agent_id is None):
        return Refused(
            code=RefusalCode.INVALID_VALUE, field="to_queue_id", detail="give exactly one of to_queue_id and to_agent_id"
        )
    if command.agent_id is not None and contact.agent_id != command.agent_id:
        return not_owner()
    if contact.state is not _ASSIGNED:
        return wrong_contact_state(tx, contact, requester_of(command))
    refused = _validate_transfer_times(command)
    if refused is not None:
        return refused
    if command.to_queue_id is not None:
        if command.to_queue_id not in policy.queues:
            return unknown_queue("to_queue_id")
        return _transfer_to_queue(tx, contact, command.to_queue_id)
    agent = state.agents.get(command.to_agent_id or "")
    if agent is None:
        return unknown_agent("to_agent_id")
    return _transfer_to_agent(tx, contact, agent, command)


def _transfer_to_queue(tx: Transaction, contact: Contact, queue_id: str) -> CommandResult:
    """Transfer to a queue by the rules for new contacts; if they refuse it, the owner keeps the contact."""
    entry = find_queue(tx.state, contact, queue_id, EntryWay.TRANSFER)
    if isinstance(entry, Refused):
        return replace(entry, field="to_queue_id")
    return move_to_queue(tx, contact, queue_id, "transferred")


def _validate_transfer_times(command: TransferContact) -> Refused | None:
    for field, seconds in (("wait_s", command.wait_s), ("return_to_sender_s", command.return_to_sender_s)):
        if seconds is not None and not 1 <= seconds <= _RESERVATION_MAX_S:
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail=f"must be 1 to {_RESERVATION_MAX_S:,} seconds")
        if seconds is not None and command.to_queue_id is not None:
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail="allowed only with to_agent_id")
    if command.return_to_sender_s is not None and command.wait_s is None:
        detail = "allowed only with wait_s: without it the contact stays with its owner until the other agent accepts"
        return Refused(code=RefusalCode.INVALID_VALUE, field="return_to_sender_s", detail=detail)
    return None


def _transfer_to_agent(tx: Transaction, contact: Contact, agent: Agent, command: TransferContact) -> CommandResult:
    if contact.pending_offer_ids:
        kind = tx.state.offers[contact.pending_offer_ids[0]].reason
        return wrong_contact_state(tx, contact, requester_of(command), f"a {kind} is pending")
    if active_consult(tx.state, contact) is not None:
        code = RefusalCode.INVALID_CONSULT_STATE
        return wrong_contact_state(tx, contact, requester_of(command), "a consult is running", code=code, state="running")
    cooling = (contact.cool_downs or {}).get(agent.agent_id, 0) > tx.at_ms
    is_member = contact.agent_id == agent.agent_id or (participant_assignment(tx.state, contact, agent.agent_id) is not None)
    if is_member or cooling or not is_available_now(tx.state, agent, contact.channel):
        may_wait = command.wait_s is not None and not cooling
        if not may_wait or agent.state is _OFFLINE or is_member:
            return Refused(code=RefusalCode.AGENT_UNAVAILABLE, field="to_agent_id", state=str(agent.state))
        return _wait_for_agent(tx, contact, agent, command)
    offers.offer_transfer(tx, contact, agent, tx.state.index.lines.line_of_assigned(contact))
    return tx.done(contact.contact_id, contact.state)


def _wait_for_agent(tx: Transaction, contact: Contact, agent: Agent, command: TransferContact) -> CommandResult:
    """Requeue the contact reserved for a busy agent for a time, and release the owner's assignment."""
    owner = _owner_assignment(tx, contact)
    assert command.wait_s is not None
    fallback = None
    if command.return_to_sender_s is not None:
        fallback = owner.agent_id, 1000 * command.return_to_sender_s
    reservation = Reservation(agent.agent_id, 1000 * command.wait_s, fallback)
    participants = remove_all_participants(tx, contact, "contact_moved")
    seq = requeue(tx, contact, contact.queue_id, "transferred", owner=owner, reservation=reservation)
    answer = Done(contact.contact_id, contact.state, seq)
    release_assignment(tx, owner)
    for participant in participants:
        release_participant(tx, participant)
    return answer


def _cancel_transfer(tx: Transaction, command: CancelTransfer) -> CommandResult:
    """Withdraw a transfer that the other agent has not answered; the owner keeps the contact."""
    contact = tx.state.contacts.get(command.contact_id)
    if contact is None or not is_visible(tx.state, contact, command):
        return unknown_contact()
    if command.agent_id is not None and contact.agent_id != command.agent_id:
        return not_owner()
    if contact.state is not _ASSIGNED:
        return wrong_contact_state(tx, contact, requester_of(command))
    if not contact.pending_offer_ids:
        return wrong_contact_state(tx, contact, requester_of(command), "no transfer is pending")
    kind = tx.state.offers[contact.pending_offer_ids[0]].reason
    if kind != "transfer":
        return wrong_contact_state(tx, contact, requester_of(command), f"a {kind} is pending, no transfer")
    rescind_contact_offers(tx, contact, "transfer_cancelled")
    return tx.done(contact.contact_id, contact.state)


def _assign_contact(tx: Transaction, command: AssignContact) -> CommandResult:
    state = tx.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.agent_id)
    if contact is None:
        return unknown_contact()
    if agent is None:
        return unknown_agent()
    if contact.state.is_terminal or contact.state in _NOT_MOVED:
        return wrong_contact_state(tx, contact, Requester.SUPERVISOR)
    if contact.state is _ASSIGNED and contact.agent_id == agent.agent_id:
        return already_done(contact.contact_id, contact.state, contact.answered_seq)
    if agent.state is _OFFLINE:
        return Refused(
            code=RefusalCode.INVALID_AGENT_STATE, field="agent_id", state=str(agent.state), allowed=("ready", "not_ready")
        )
    if participant_assignment(state, contact, agent.agent_id) is not None:
        return hand_over_contact(tx, contact, agent, "supervisor")
    units = state.index.channels.by_name[contact.channel].units
    offered = [o for o in contact.pending_offer_ids if state.offers[o].agent_id == agent.agent_id]
    if not state.index.agents.has_capacity(agent, contact.channel, released=len(offered)):
        return Refused(code=RefusalCode.CAPACITY_EXCEEDED, field="agent_id")
    old = _owner_assignment(tx, contact) if contact.state is _ASSIGNED else None
    rescind_contact_offers(tx, contact, "taken", next_owner=agent)
    if contact.participant_assignment_ids:
        end_consult(tx, contact)
    tx.emit(
        ContactAssigned(
            contact_id=contact.contact_id,
            assignment_id=f"{contact.contact_id}.{contact.offers_made + 1}",
            agent_id=agent.agent_id,
            units=units,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            closed_ms=closed_time_ms(tx.state, contact),
            channel=contact.channel,
            queue_id=contact.queue_id,
            attributes=contact.attributes,
            reference=contact.reference,
            from_assignment_id=None if old is None else old.assignment_id,
            from_agent_id=None if old is None else old.agent_id,
            gateway_id=contact.gateway_id,
            members=roles_under_new_owner(state, contact, agent.agent_id) if contact.participant_assignment_ids else None,
            callback_phase=None if contact.callback is None else phase_when_taken(contact.callback),
        )
    )
    answer = tx.done(contact.contact_id, contact.state)
    if old is not None:
        release_assignment(tx, old)
    if contact.callback is not None:
        dial_for_owner(tx, contact)
    return answer


TRANSFER_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    RequeueContact: _requeue_contact,
    TransferContact: _transfer_contact,
    CancelTransfer: _cancel_transfer,
    AssignContact: _assign_contact,
}
