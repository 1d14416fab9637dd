"""What happens when a deadline comes."""

from collections.abc import Callable
from typing import Final

from router.core.decide import agents, contacts, offers
from router.core.decide.assignments import complete
from router.core.decide.step import Step
from router.core.decide.steps import first_step, overflow, time_is_over
from router.core.plans import asks_of
from router.core.timers import Entry, TimerKind
from router.model.events import AgentStateChanged, ContactRelaxed
from router.model.states import AgentState


def fire(step: Step, entry: Entry) -> None:
    """Carry out one due timer that still stands."""
    _FIRE[entry[1]](step, entry[2])


def _expire_offer(step: Step, offer_id: str) -> None:
    offers.expire(step, step.state.offers[offer_id])


def _end_wrap_up(step: Step, assignment_id: str) -> None:
    complete(step, step.state.assignments[assignment_id], "timer")


def _expire(step: Step, contact_id: str) -> None:
    contacts.expire(step, step.state.contacts[contact_id], "ttl")


def _cool_down_over(step: Step, contact_id: str) -> None:
    # Nothing has changed but what time it is: the contact is looked at again.
    step.state.index.seeking[contact_id] = step.state.contacts[contact_id]


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
    state = step.state
    contact = state.contacts[contact_id]
    target = state.queue_policy(contact.queue_id).overflow_to
    if target is None:
        contacts.expire(step, contact, "wait_max")
        return
    number, until_ms = contact.step, contact.step_until_ms
    if contact.plan is None:
        # It goes through the plan of the queue that it comes to, from the beginning.
        moved = asks_of(contact)._replace(queue_id=target, step=0)
        number, until_ms = first_step(step, moved, step.at_ms)
    overflow(step, contact, target, number, until_ms)


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
    TimerKind.STEP: _step_over,
}
