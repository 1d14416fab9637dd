"""What happens when a deadline comes."""

from typing import assert_never

from router.core.decide import agents, contacts, offers
from router.core.decide.assignments import complete
from router.core.decide.step import Step
from router.core.state import Contact
from router.core.timers import Entry, TimerKind
from router.model.events import AgentStateChanged, ContactOverflowed, ContactRelaxed
from router.model.states import AgentState


def fire(step: Step, entry: Entry) -> None:
    """Carry out one due timer that still stands."""
    _, kind, subject, _ = entry
    state = step.state
    match TimerKind(kind):
        case TimerKind.OFFER:
            offers.expire(step, state.offers[subject])
        case TimerKind.WRAP_UP:
            complete(step, state.assignments[subject], "timer")
        case TimerKind.TTL:
            contacts.expire(step, state.contacts[subject], "ttl")
        case TimerKind.WAIT:
            _waited_too_long(step, state.contacts[subject])
        case TimerKind.PREFERRED:
            _relax(step, state.contacts[subject])
        case TimerKind.COOL_DOWN:
            # Nothing has changed but what time it is: the contact is looked at again.
            state.index.seeking[subject] = state.contacts[subject]
        case TimerKind.RETURN:
            step.emit(
                AgentStateChanged(
                    agent_id=subject,
                    state=AgentState.READY,
                    from_state=state.agents[subject].state,
                    reason="rona_return",
                )
            )
        case TimerKind.GRACE:
            agents.desktop_stayed_away(step, state.agents[subject])
        case never:
            assert_never(never)


def _waited_too_long(step: Step, contact: Contact) -> None:
    state = step.state
    target = state.queue_policy(contact.queue_id).overflow_to
    if target is None:
        contacts.expire(step, contact, "wait_max")
        return
    wait_max_s = state.queue_policy(target).wait_max_s
    step.emit(
        ContactOverflowed(
            contact_id=contact.contact_id,
            from_queue_id=contact.queue_id,
            queue_id=target,
            req=state.index.req(
                target, contact.channel, contact.skills, contact.preferred_agent_id
            ),
            wait_until_ms=None if wait_max_s is None else step.at_ms + 1000 * wait_max_s,
            gateway_id=contact.gateway_id,
        )
    )


def _relax(step: Step, contact: Contact) -> None:
    step.emit(
        ContactRelaxed(
            contact_id=contact.contact_id,
            req=step.state.index.req(contact.queue_id, contact.channel, contact.skills),
            gateway_id=contact.gateway_id,
        )
    )
