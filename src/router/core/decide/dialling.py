"""Requests to the gateway to dial the customer of a callback."""

from router.core.decide.step import Step
from router.core.state import Agent, Contact
from router.model.callbacks import CallbackPhase
from router.model.events import CallbackDue
from router.model.policy import CallbackPolicy

# Applies to a callback that was agreed before its queue stopped offering callbacks.
_AGREED = CallbackPolicy()


def policy_of(step: Step, contact: Contact) -> CallbackPolicy:
    """Return the callback policy of the contact's queue; the defaults if the queue no longer offers callbacks."""
    return step.state.queue_policy(contact.queue_id).callback or _AGREED


def dial_for(step: Step, contact: Contact, agent: Agent) -> None:
    """Dial the customer of a ``customer_first`` callback instead of offering it to the agent, who stays free."""
    _dial(step, contact, agent_id=None, for_agent_id=agent.agent_id)


def dial_if_taken(step: Step, contact: Contact) -> None:
    """Dial the customer for the agent who owns the callback, unless a call is in progress or connected."""
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
