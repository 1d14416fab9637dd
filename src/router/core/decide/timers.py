"""Timer handlers: what each kind of timer does when it fires."""

from collections.abc import Callable
from typing import Final

from router.core.decide import agents, callbacks, contacts, hours, leaving, offers, parking
from router.core.decide.assignments import complete
from router.core.decide.days import begin_day
from router.core.decide.step import Step
from router.core.decide.steps import time_is_over
from router.core.plans import asks_of
from router.core.timers import Entry, TimerKind
from router.model.events import AgentStateChanged, ContactRelaxed
from router.model.states import AgentState, AssignmentState


def fire(step: Step, entry: Entry) -> None:
    """Fire one due timer that is still valid."""
    _FIRE[entry[1]](step, entry[2])


def _expire_offer(step: Step, offer_id: str) -> None:
    offers.expire(step, step.state.offers[offer_id])


def _end_wrap_up(step: Step, assignment_id: str) -> None:
    work = step.state.assignments[assignment_id]
    if work.state is AssignmentState.PARKED:
        parking.time_is_up(step, work)
    else:
        complete(step, work, "timer")


def _cap_over(step: Step, agent_id: str) -> None:
    # Only the time has changed: a contact of the agent has left the window of the rate cap.
    step.state.index.refresh(step.state.agents[agent_id])


def _expire(step: Step, contact_id: str) -> None:
    contact = step.state.contacts[contact_id]
    contacts.expire(step, contact, "ttl" if contact.callback is None else "callback_expired")


def _cool_down_over(step: Step, contact_id: str) -> None:
    # Only the time has changed: the contact has to be matched again.
    contact = step.state.contacts[contact_id]
    if not contact.held:
        step.state.index.seeking[contact_id] = contact


def _return(step: Step, agent_id: str) -> None:
    step.emit(
        AgentStateChanged(
            agent_id=agent_id,
            state=AgentState.READY,
            from_state=step.state.agents[agent_id].state,
            reason="rona_return",
        )
    )


def _grace_over(step: Step, agent_id: str) -> None:
    agents.desktop_stayed_away(step, step.state.agents[agent_id])


def _waited_too_long(step: Step, contact_id: str) -> None:
    leaving.waited_too_long(step, step.state.contacts[contact_id])


def _relax(step: Step, contact_id: str) -> None:
    contact = step.state.contacts[contact_id]
    if contact.back_agent_id is not None:
        contacts.give_back(step, contact)
        return
    step.emit(
        ContactRelaxed(
            contact_id=contact.contact_id,
            req=step.state.index.line_at(asks_of(contact)._replace(reserved=None)).req,
            gateway_id=contact.gateway_id,
        )
    )


def _next_day(step: Step, subject: str) -> None:
    begin_day(step)


def _callback(step: Step, contact_id: str) -> None:
    callbacks.time_has_come(step, step.state.contacts[contact_id])


def _step_over(step: Step, contact_id: str) -> None:
    time_is_over(step, step.state.contacts[contact_id])


_FIRE: Final[dict[int, Callable[[Step, str], None]]] = {
    TimerKind.OFFER: _expire_offer,
    TimerKind.WRAP_UP: _end_wrap_up,
    TimerKind.TTL: _expire,
    TimerKind.WAIT: _waited_too_long,
    TimerKind.PREFERRED: _relax,
    TimerKind.COOL_DOWN: _cool_down_over,
    TimerKind.RETURN: _return,
    TimerKind.GRACE: _grace_over,
    TimerKind.CAP: _cap_over,
    TimerKind.DAY: _next_day,
    TimerKind.HOURS: hours.look,
    TimerKind.CALLBACK: _callback,
    TimerKind.STEP: _step_over,
}
