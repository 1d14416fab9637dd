"""Consults: the owner talks to another agent before continuing, handing over or starting a conference."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from router.core.decide import offers
from router.core.decide.assignments import complete, step_out
from router.core.decide.conference import is_parked, join, limit_reached, pass_on, seats_taken
from router.core.decide.rescind import rescind_all
from router.core.decide.step import (
    Step,
    unknown_agent,
    unknown_contact,
    unknown_queue,
    wrong_state,
)
from router.core.eligibility import fits_now
from router.core.members import running_consult
from router.core.selection import chosen
from router.core.state import Agent, Assignment, Contact
from router.model.commands import CancelConsult, CompleteConsult, JoinConsult, StartConsult
from router.model.outcome import Answer
from router.model.refusals import RefusalCode, Refused
from router.model.states import AssignmentRole, ContactState

_Ask: TypeAlias = StartConsult | CompleteConsult | CancelConsult | JoinConsult


def _of_owner(step: Step, command: _Ask) -> Contact | Refused:
    """Return the assigned contact if the command comes from its owner or a supervisor."""
    contact = step.state.contacts.get(command.contact_id)
    if contact is None:
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return Refused(code=RefusalCode.NOT_OWNER, field="contact_id")
    if contact.state is not ContactState.ASSIGNED:
        return wrong_state(contact.state)
    return contact


def _pending(step: Step, contact: Contact) -> bool:
    return any(step.state.offers[o].role is AssignmentRole.CONSULT for o in contact.offers)


def _state_of(step: Step, contact: Contact) -> str:
    if running_consult(step.state, contact) is not None:
        return "running"
    return "pending" if _pending(step, contact) else "none"


_ALLOWED: Final = {
    "none": ("start",),
    "pending": ("cancel",),
    "running": ("complete", "cancel", "join"),
}


def _wrong_consult(step: Step, contact: Contact) -> Refused:
    state = _state_of(step, contact)
    return Refused(code=RefusalCode.CONSULT_STATE, state=state, allowed=_ALLOWED[state])


def _start(step: Step, command: StartConsult) -> Answer:
    if (command.to_queue_id is None) == (command.to_agent_id is None):
        return Refused(
            code=RefusalCode.INVALID_VALUE,
            field="to_queue_id",
            detail="exactly one of to_queue_id and to_agent_id",
        )
    contact = _of_owner(step, command)
    if isinstance(contact, Refused):
        return contact
    if _state_of(step, contact) != "none":
        return _wrong_consult(step, contact)
    if is_parked(step, contact):
        return wrong_state(contact.state, "unpark", detail="the conversation is parked")
    if contact.offers:
        return wrong_state(contact.state, "end", detail="a transfer is pending")
    if seats_taken(step, contact):
        return limit_reached("contact_id")
    agent = _whom(step, contact, command)
    if isinstance(agent, Refused):
        return agent
    offers.make_consult(step, contact, agent, step.state.index.line_for(contact))
    return step.done(contact.contact_id, contact.state)


def _whom(step: Step, contact: Contact, command: StartConsult) -> Agent | Refused:
    state = step.state
    if command.to_queue_id is not None:
        if state.policy is None or command.to_queue_id not in state.policy.queues:
            return unknown_queue("to_queue_id")
        chosen = _choose(step, contact, command.to_queue_id)
        if chosen is None:
            return Refused(code=RefusalCode.AGENT_UNAVAILABLE, field="to_queue_id")
        return chosen
    agent = state.agents.get(command.to_agent_id or "")
    if agent is None:
        return unknown_agent("to_agent_id")
    if agent.agent_id in _apart(step, contact) or not fits_now(state, agent, contact.channel):
        return Refused(
            code=RefusalCode.AGENT_UNAVAILABLE, field="to_agent_id", state=str(agent.state)
        )
    return agent


def _apart(step: Step, contact: Contact) -> frozenset[str]:
    """Return the agents who cannot be consulted: those in the conversation, and those in cool-down for the contact."""
    state = step.state
    names = {state.assignments[name].agent_id for name in contact.parties}
    names |= {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > step.at_ms}
    if contact.agent_id is not None:
        names.add(contact.agent_id)
    return frozenset(names)


def _choose(step: Step, contact: Contact, queue_id: str) -> Agent | None:
    """Return the agent who would be offered the contact now if it were first in that queue."""
    index = step.state.index
    line = index.line_without_plan(queue_id, contact.channel, contact.skills)
    mask = index.open_profiles[line.channel_index] & line.profile_mask
    if not mask:
        return None
    apart = _apart(step, contact)
    return chosen(index.profiles_in(mask), line, apart, contact.contact_id, index.lot)


def _consulted(step: Step, command: _Ask) -> tuple[Contact, Assignment] | Refused:
    contact = _of_owner(step, command)
    if isinstance(contact, Refused):
        return contact
    work = running_consult(step.state, contact)
    return _wrong_consult(step, contact) if work is None else (contact, work)


def _complete(step: Step, command: CompleteConsult) -> Answer:
    found = _consulted(step, command)
    if isinstance(found, Refused):
        return found
    contact, work = found
    return pass_on(step, contact, step.state.agents[work.agent_id], "consult")


def _join(step: Step, command: JoinConsult) -> Answer:
    found = _consulted(step, command)
    if isinstance(found, Refused):
        return found
    contact, work = found
    join(step, contact, work)
    return step.done(contact.contact_id, contact.state)


def _cancel(step: Step, command: CancelConsult) -> Answer:
    contact = _of_owner(step, command)
    if isinstance(contact, Refused):
        return contact
    if _pending(step, contact):
        rescind_all(step, contact, "consult_cancelled")
        return step.done(contact.contact_id, contact.state)
    work = running_consult(step.state, contact)
    if work is None:
        return _wrong_consult(step, contact)
    step_out(step, contact, work, "consult_cancelled")
    answer = step.done(contact.contact_id, contact.state)
    complete(step, work, "consult_ended")
    return answer


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    StartConsult: _start,
    CompleteConsult: _complete,
    CancelConsult: _cancel,
    JoinConsult: _join,
}
