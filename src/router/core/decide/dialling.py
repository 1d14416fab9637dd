"""Calling the customer of a callback: the event that tells the gateway to, and whether one is due. Decides no outcome."""

from router.core.decide.step import Step
from router.core.state import Agent, Contact
from router.model.callbacks import CallbackPhase
from router.model.events import CallbackDue
from router.model.policy import CallbackPolicy

# What holds for a callback whose queue offers none any more: it was agreed, so it is kept.
_AGREED = CallbackPolicy()


def policy_of(step: Step, contact: Contact) -> CallbackPolicy:
    """The callback policy of its queue; the defaults where that offers none (any more)."""
    return step.state.queue_policy(contact.queue_id).callback or _AGREED


def dial_for(step: Step, contact: Contact, agent: Agent) -> None:
    """It is a ``customer_first`` callback's turn: instead of an offer, the customer is called. The agent stays free."""
    _dial(step, contact, agent_id=None, for_agent_id=agent.agent_id)


def dial_if_taken(step: Step, contact: Contact) -> None:
    """An agent has the contact and waits: the customer is called, unless he is being called already or is there."""
    callback = contact.callback
    if callback is not None and callback.phase is CallbackPhase.WAITING:
        _dial(step, contact, agent_id=contact.agent_id, for_agent_id=None)


def _dial(step: Step, contact: Contact, *, agent_id: str | None, for_agent_id: str | None) -> None:
    callback = contact.callback
    assert callback is not None
    step.emit(
        CallbackDue(
            contact_id=contact.contact_id,
            attempt=callback.attempts + 1,
            mode=callback.mode,
            channel=contact.channel,
            deadline_ms=step.at_ms + 1000 * policy_of(step, contact).ring_s,
            agent_id=agent_id,
            for_agent_id=for_agent_id,
            reference=contact.reference,
            gateway_id=contact.gateway_id,
        )
    )
