"""Commands on existing contacts: update, cancel, abandon, end, requeue, transfer and assign."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from router.core.decide import checks, leaving, offers
from router.core.decide.admission import closed_refusal
from router.core.decide.assignments import complete, end_contact, release, release_party
from router.core.decide.conference import end_consult, pass_on
from router.core.decide.dialling import dial_if_taken
from router.core.decide.parties import everybody_leaves
from router.core.decide.requeue import Reserved, wait_anew
from router.core.decide.rescind import rescind_all, rescind_unqualified
from router.core.decide.step import (
    Step,
    repeated,
    unknown_agent,
    unknown_contact,
    unknown_queue,
    wrong_state,
)
from router.core.decide.ways import hops_left, takes_somebody, way_on
from router.core.eligibility import fits_now
from router.core.members import members_if_any, party_of, running_consult, under_new_owner
from router.core.plans import asks_of
from router.core.state import Agent, Assignment, Contact
from router.model.callbacks import CallbackPhase
from router.model.commands import (
    AbandonContact,
    AssignContact,
    CancelContact,
    EndContact,
    ReportCallback,
    RequestCallback,
    RequeueContact,
    TransferContact,
    UpdateContact,
)
from router.model.events import (
    ContactAbandoned,
    ContactAssigned,
    ContactCancelled,
    ContactUpdated,
)
from router.model.outcome import Answer, Done
from router.model.policy import WhenClosed
from router.model.refusals import RefusalCode, Refused
from router.model.states import AgentState, ContactState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ASSIGNED: Final = ContactState.ASSIGNED
_CONNECTED: Final = CallbackPhase.CONNECTED
_OFFERED: Final = ContactState.OFFERED
_OFFLINE: Final = AgentState.OFFLINE
_QUEUED: Final = ContactState.QUEUED

# The same upper bound as that of the durations in a policy.
_RESERVED_MAX_S: Final = 7 * 86_400
_AFTER_ANSWER: Final = ("end", "abandon", "transfer", "requeue", "assign")
_NOT_ON_THE_LINE: Final = ("cancel", "end", "callback/result")


def theirs(
    step: Step,
    command: UpdateContact
    | CancelContact
    | AbandonContact
    | EndContact
    | RequestCallback
    | ReportCallback,
) -> Contact | None:
    """Return the contact if it is visible to the gateway of the command."""
    contact = step.state.contacts.get(command.contact_id)
    gateway_id = command.gateway_id
    if gateway_id is None or contact is None or gateway_id == contact.gateway_id:
        return contact
    return None


def _update(step: Step, command: UpdateContact) -> Answer:
    state = step.state
    contact, policy = theirs(step, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return wrong_state(contact.state)
    skills = contact.skills if command.skills is UNSET else command.skills
    priority_s = contact.priority_s if command.priority_s is UNSET else command.priority_s
    strict_class = contact.strict_class if command.strict_class is UNSET else command.strict_class
    attributes = contact.attributes if command.attributes is UNSET else command.attributes
    named = command.preferred_agents
    named = contact.preferred_agents if named is UNSET else named
    if len(named) > checks.PREFERRED_MAX:
        return checks.too_many_preferred()
    refused = (
        checks.skills(policy, skills)
        or checks.rank(priority_s, strict_class)
        or checks.attributes(policy, attributes)
    )
    if refused is not None:
        return refused
    if (skills, priority_s, strict_class, named) == (
        contact.skills,
        contact.priority_s,
        contact.strict_class,
        contact.preferred_agents,
    ) and attributes == contact.attributes:
        return repeated(contact.contact_id, contact.state, state.seq)
    step.emit(
        ContactUpdated(
            contact_id=contact.contact_id,
            req=state.index.line_at(asks_of(contact)._replace(skills=skills, named=named)).req,
            skills=skills,
            priority_s=priority_s,
            strict_class=strict_class,
            attributes=attributes,
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            members=members_if_any(state, contact),
            preferred_agents=named,
        )
    )
    answer = step.done(contact.contact_id, contact.state)
    if contact.state is _OFFERED:
        rescind_unqualified(step, contact, "updated")
    return answer


def _cancel(step: Step, command: CancelContact) -> Answer:
    contact = theirs(step, command)
    if contact is None:
        return unknown_contact()
    if contact.state is _ASSIGNED:
        return wrong_state(contact.state, *_AFTER_ANSWER)
    return _withdraw(step, contact, command.reason)


def _withdraw(step: Step, contact: Contact, reason: str) -> Answer:
    if contact.state.is_terminal:
        return repeated(contact.contact_id, contact.state, contact.ended_seq)
    rescind_all(step, contact, "cancelled")
    step.emit(
        ContactCancelled(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=step.at_ms - contact.queued_at_ms,
            reason=reason,
            gateway_id=contact.gateway_id,
        )
    )
    return step.done(contact.contact_id, contact.state)


def _abandon(step: Step, command: AbandonContact) -> Answer:
    contact = theirs(step, command)
    if contact is None:
        return unknown_contact()
    if contact.state.is_terminal:
        return repeated(contact.contact_id, contact.state, contact.ended_seq)
    if contact.callback is not None and contact.callback.phase is not _CONNECTED:
        # The customer has hung up to be called back: the contact keeps its position.
        return wrong_state(
            contact.state, *_NOT_ON_THE_LINE, detail="a callback: the customer is not on the line"
        )
    if contact.state is _ASSIGNED:
        return _end_assigned(step, contact, "customer_left")
    rescind_all(step, contact, "customer_left")
    step.emit(
        ContactAbandoned(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            waited_ms=step.at_ms - contact.queued_at_ms,
            gateway_id=contact.gateway_id,
        )
    )
    return step.done(contact.contact_id, contact.state)


def _end(step: Step, command: EndContact) -> Answer:
    contact = theirs(step, command)
    if contact is None:
        return unknown_contact()
    agent_id = command.agent_id
    if agent_id is not None and contact.agent_id != agent_id:
        return Refused(code=RefusalCode.NOT_OWNER, field="contact_id")
    if contact.state is _ASSIGNED:
        return _end_assigned(step, contact, command.reason)
    return _withdraw(step, contact, command.reason)


def _end_assigned(step: Step, contact: Contact, reason: str) -> Answer:
    work = step.state.assignments[contact.assignment_id or ""]
    parties = end_contact(step, contact, work, reason)
    answer = Done(contact.contact_id, contact.state, step.state.seq)
    release(step, work)
    for party in parties:
        release_party(step, party)
    return answer


def _work(step: Step, contact: Contact) -> Assignment:
    assert contact.assignment_id is not None
    return step.state.assignments[contact.assignment_id]


def _requeue(step: Step, command: RequeueContact) -> Answer:
    state = step.state
    contact, policy = state.contacts.get(command.contact_id), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    queue_id = command.queue_id or contact.queue_id
    if queue_id not in policy.queues:
        return unknown_queue()
    if contact.state.is_terminal:
        return wrong_state(contact.state)
    if contact.state is _QUEUED and queue_id == contact.queue_id:
        return repeated(contact.contact_id, contact.state, state.seq)
    return to_queue(step, contact, queue_id, "supervisor")


def to_queue(step: Step, contact: Contact, queue_id: str, reason: str) -> Answer:
    """Move a live contact to a queue, keeping its age; an owner loses it with the same event."""
    state = step.state
    owner = _work(step, contact) if contact.state is _ASSIGNED else None
    rescind_all(step, contact, "policy" if reason == "drained" else "moved")
    parties = everybody_leaves(step, contact, "contact_moved") if contact.parties else []
    cool_down_s = state.queue_policy(queue_id).cool_down_s if owner is not None else 0
    wait_anew(
        step,
        contact,
        queue_id,
        reason,
        owner=owner,
        cool_down_until_ms=step.at_ms + 1000 * cool_down_s if cool_down_s else None,
    )
    answer = step.done(contact.contact_id, contact.state)
    if owner is not None:
        release(step, owner)
    for party in parties:
        release_party(step, party)
    return answer


def requeue_lost(step: Step, work: Assignment, prefer_s: int) -> None:
    """Requeue a contact whose owner's desktop is lost, reserved for the same agent at first."""
    contact = step.state.contacts[work.contact_id]
    rescind_all(step, contact, "moved")
    parties = everybody_leaves(step, contact, "contact_moved") if contact.parties else []
    reserved = Reserved(work.agent_id, 1000 * prefer_s) if prefer_s else None
    wait_anew(step, contact, contact.queue_id, "lost_desktop", owner=work, reserved=reserved)
    complete(step, work, "lost_desktop")
    for party in parties:
        release_party(step, party)


def _transfer(step: Step, command: TransferContact) -> Answer:
    state = step.state
    contact, policy = state.contacts.get(command.contact_id), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if (command.to_queue_id is None) == (command.to_agent_id is None):
        return Refused(
            code=RefusalCode.INVALID_VALUE,
            field="to_queue_id",
            detail="exactly one of to_queue_id and to_agent_id",
        )
    if contact.state is not _ASSIGNED:
        return wrong_state(contact.state)
    if command.agent_id is not None and contact.agent_id != command.agent_id:
        return Refused(code=RefusalCode.NOT_OWNER, field="contact_id")
    if command.to_queue_id is not None:
        if command.to_queue_id not in policy.queues:
            return unknown_queue("to_queue_id")
        return _transfer_to_queue(step, contact, command.to_queue_id)
    agent = state.agents.get(command.to_agent_id or "")
    if agent is None:
        return unknown_agent("to_agent_id")
    return _check_waits(command) or _transfer_to(step, contact, agent, command)


def _transfer_to_queue(step: Step, contact: Contact, queue_id: str) -> Answer:
    """Transfer to a queue; if it is closed, the rules for new contacts apply."""
    state = step.state
    if not takes_somebody(state, queue_id):
        found = None
        if state.queue_policy(queue_id).when_closed is WhenClosed.OVERFLOW:
            found = way_on(state, queue_id, hops_left(state, contact))
        if found is None:
            return closed_refusal(state, queue_id, "to_queue_id")
        queue_id, _ = found
    return to_queue(step, contact, queue_id, "transferred")


def _check_waits(command: TransferContact) -> Refused | None:
    for field, seconds in (("wait_s", command.wait_s), ("back_s", command.back_s)):
        if seconds is not None and not 1 <= seconds <= _RESERVED_MAX_S:
            return Refused(
                code=RefusalCode.INVALID_VALUE, field=field, detail=f"1 to {_RESERVED_MAX_S}"
            )
    return None


def _transfer_to(step: Step, contact: Contact, agent: Agent, command: TransferContact) -> Answer:
    if contact.offers:
        kind = step.state.offers[contact.offers[0]].reason
        return wrong_state(contact.state, "end", detail=f"a {kind} is pending")
    if running_consult(step.state, contact) is not None:
        return Refused(
            code=RefusalCode.CONSULT_STATE, state="running", allowed=("complete", "cancel", "join")
        )
    cooling = (contact.cool_downs or {}).get(agent.agent_id, 0) > step.at_ms
    is_in_it = contact.agent_id == agent.agent_id or (
        party_of(step.state, contact, agent.agent_id) is not None
    )
    if is_in_it or cooling or not fits_now(step.state, agent, contact.channel):
        patient = command.wait_s is not None and not cooling
        if not patient or agent.state is _OFFLINE or is_in_it:
            return Refused(
                code=RefusalCode.AGENT_UNAVAILABLE, field="to_agent_id", state=str(agent.state)
            )
        return _wait_for(step, contact, agent, command)
    offers.make_transfer(step, contact, agent, step.state.index.line_for(contact))
    return step.done(contact.contact_id, contact.state)


def _wait_for(step: Step, contact: Contact, agent: Agent, command: TransferContact) -> Answer:
    """Requeue the contact reserved for a busy agent for a time, and release the owner's assignment."""
    owner = _work(step, contact)
    assert command.wait_s is not None
    back = None if command.back_s is None else (owner.agent_id, 1000 * command.back_s)
    reserved = Reserved(agent.agent_id, 1000 * command.wait_s, back)
    parties = everybody_leaves(step, contact, "contact_moved") if contact.parties else []
    wait_anew(step, contact, contact.queue_id, "transferred", owner=owner, reserved=reserved)
    answer = step.done(contact.contact_id, contact.state)
    release(step, owner)
    for party in parties:
        release_party(step, party)
    return answer


def give_back(step: Step, contact: Contact) -> None:
    """Reserve the contact for the agent who transferred it, because the target agent did not take it in time."""
    assert contact.back_agent_id is not None and contact.back_ms is not None
    reserved = Reserved(contact.back_agent_id, contact.back_ms)
    wait_anew(step, contact, contact.queue_id, "transfer_back", reserved=reserved)


def _assign(step: Step, command: AssignContact) -> Answer:
    state = step.state
    contact, agent = state.contacts.get(command.contact_id), state.agents.get(command.agent_id)
    if contact is None:
        return unknown_contact()
    if agent is None:
        return unknown_agent()
    if contact.state.is_terminal:
        return wrong_state(contact.state)
    if contact.state is _ASSIGNED and contact.agent_id == agent.agent_id:
        return repeated(contact.contact_id, contact.state, contact.answered_seq)
    if agent.state is _OFFLINE:
        return Refused(
            code=RefusalCode.AGENT_STATE,
            field="agent_id",
            state=str(agent.state),
            allowed=("ready", "not_ready"),
        )
    if party_of(state, contact, agent.agent_id) is not None:
        return pass_on(step, contact, agent, "supervisor")
    units = state.index.channels[contact.channel].units
    own = [o for o in contact.offers if state.offers[o].agent_id == agent.agent_id]
    if not state.index.has_capacity(agent, contact.channel, without=len(own)):
        return Refused(code=RefusalCode.CAPACITY_EXCEEDED, field="agent_id")
    old = _work(step, contact) if contact.state is _ASSIGNED else None
    rescind_all(step, contact, "taken", about_to_get_it=agent)
    if contact.parties:
        end_consult(step, contact)
    step.emit(
        ContactAssigned(
            contact_id=contact.contact_id,
            assignment_id=f"{contact.contact_id}.{contact.offers_made + 1}",
            agent_id=agent.agent_id,
            units=units,
            waited_ms=step.at_ms - contact.queued_at_ms,
            channel=contact.channel,
            queue_id=contact.queue_id,
            attributes=contact.attributes,
            reference=contact.reference,
            from_assignment_id=None if old is None else old.assignment_id,
            from_agent_id=None if old is None else old.agent_id,
            gateway_id=contact.gateway_id,
            members=under_new_owner(state, contact, agent.agent_id) if contact.parties else None,
        )
    )
    answer = step.done(contact.contact_id, contact.state)
    if old is not None:
        release(step, old)
    if contact.callback is not None:
        dial_if_taken(step, contact)
    return answer


def expire(step: Step, contact: Contact, reason: str) -> None:
    """Expire a contact: rescind its offers and end its wait."""
    rescind_all(step, contact, "expired")
    leaving.over(step, contact, reason)


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    UpdateContact: _update,
    CancelContact: _cancel,
    AbandonContact: _abandon,
    EndContact: _end,
    RequeueContact: _requeue,
    TransferContact: _transfer,
    AssignContact: _assign,
}
