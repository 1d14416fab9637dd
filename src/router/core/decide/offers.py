"""Offers: making, accepting, declining and expiring them, with the consequences for the contact and the agent."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.assignments import release
from router.core.decide.dialling import dial_if_taken
from router.core.decide.next_state import enter_next_state
from router.core.decide.parties import hold_for_consult
from router.core.decide.rescind import requeue_unaccepted, rescind_all, rescind_of
from router.core.decide.step import Step, repeated
from router.core.lines import Line
from router.core.members import members, under_new_owner
from router.core.state import Agent, Contact, Offer
from router.model.commands import AcceptOffer, DeclineOffer
from router.model.events import (
    AgentStateChanged,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    OfferMade,
)
from router.model.outcome import Answer, Done
from router.model.policy import FactValue
from router.model.refusals import RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, OfferState, Turn

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ACCEPTED: Final = OfferState.ACCEPTED
_CONSULT: Final = AssignmentRole.CONSULT
_DECLINED: Final = OfferState.DECLINED
_NOT_READY: Final = AgentState.NOT_READY
_OWNER: Final = AssignmentRole.OWNER
_READY: Final = AgentState.READY


def make_transfer(step: Step, contact: Contact, agent: Agent, line: Line) -> None:
    """Offer an assigned contact to another agent; its owner keeps it until the accept."""
    make(step, contact, agent, line, "transfer", None, from_agent_id=contact.agent_id)


def make_consult(step: Step, contact: Contact, agent: Agent, line: Line) -> None:
    """Offer a consult to an agent; the owner keeps the contact in any case."""
    make(
        step,
        contact,
        agent,
        line,
        "consult",
        None,
        from_agent_id=contact.agent_id,
        role=_CONSULT,
    )


def make(
    step: Step,
    contact: Contact,
    agent: Agent,
    line: Line,
    reason: str,
    turn: Turn | None,
    others: int = 0,
    values: dict[str, FactValue] | None = None,
    *,
    from_agent_id: str | None = None,
    role: AssignmentRole = AssignmentRole.OWNER,
) -> None:
    """Offer a contact to an agent; with ``auto_accept`` the accept follows at once.

    ``match_trigger``, ``other_candidates`` and ``selection_inputs`` record why this agent was chosen and why now; see ``reasons``.
    """
    state, at_ms = step.state, step.at_ms
    contact_id = contact.contact_id
    offer_id = f"{contact_id}.{contact.offers_made + 1}"
    step.emit(
        # Positional, in the order of the fields: a call with more than 15 keyword arguments builds a dict and is slower.
        OfferMade(
            offer_id,
            contact_id,
            agent.agent_id,
            line.channel,
            line.queue_id,
            line.units,
            at_ms + line.offer_timeout_ms,
            line.req,
            contact.priority_s + line.queue.priority_s + contact.raised_s,
            state.policy_version,
            reason,
            at_ms - contact.queued_at_ms,
            contact.attributes,
            contact.reference,
            from_agent_id,
            contact.gateway_id,
            role,
            turn,
            others,
            values,
        )
    )
    if line.auto_accept:
        _win(step, contact, state.offers[offer_id])


def accept(step: Step, command: AcceptOffer) -> Answer:
    """Accept an offer: the first accept wins, and a repeat by the same agent gets the first answer again."""
    state = step.state
    offer_id = command.offer_id
    offer = state.offers.get(offer_id)
    if offer is None or offer.agent_id != command.agent_id:
        return _not_pending(step, offer_id, command.agent_id, _ACCEPTED)
    contact = state.contacts[offer.contact_id]
    _win(step, contact, offer)
    if offer.role is not _OWNER:
        return Done(offer_id, _ACCEPTED, (contact.gone or {})[offer_id][1])
    # Other offers may have been rescinded after the accept, so its sequence number is taken from the contact.
    return Done(offer_id, _ACCEPTED, contact.answered_seq)


def _win(step: Step, contact: Contact, offer: Offer) -> None:
    if offer.role is not _OWNER:
        _advise(step, contact, offer)
        return
    if contact.assignment_id is not None:
        _take_over(step, contact, offer)
    else:
        step.emit(
            OfferAccepted(
                offer_id=offer.offer_id,
                contact_id=contact.contact_id,
                agent_id=offer.agent_id,
                waited_ms=step.at_ms - contact.queued_at_ms,
                gateway_id=contact.gateway_id,
            )
        )
        if contact.offers:
            rescind_all(step, contact, "taken")
    if contact.callback is not None:
        dial_if_taken(step, contact)


def _take_over(step: Step, contact: Contact, offer: Offer) -> None:
    """Accept a transfer: one event replaces the owner."""
    state = step.state
    old = state.assignments.get(contact.assignment_id or "")
    step.emit(
        OfferAccepted(
            offer_id=offer.offer_id,
            contact_id=contact.contact_id,
            agent_id=offer.agent_id,
            waited_ms=step.at_ms - contact.queued_at_ms,
            from_assignment_id=None if old is None else old.assignment_id,
            from_agent_id=None if old is None else old.agent_id,
            gateway_id=contact.gateway_id,
            members=under_new_owner(state, contact, offer.agent_id) if contact.parties else None,
        )
    )
    rescind_all(step, contact, "taken")
    if old is not None:
        release(step, old)


def _advise(step: Step, contact: Contact, offer: Offer) -> None:
    """Accept a consult; the owner of the contact does not change."""
    step.emit(
        OfferAccepted(
            offer_id=offer.offer_id,
            contact_id=contact.contact_id,
            agent_id=offer.agent_id,
            waited_ms=step.at_ms - contact.queued_at_ms,
            from_agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            role=offer.role,
            members=members(step.state, contact) | {offer.agent_id: offer.role},
        )
    )
    hold_for_consult(step, contact)


def decline(step: Step, command: DeclineOffer) -> Answer:
    """Decline an offer: the contact returns to its position and is not offered to the agent again for a while."""
    state = step.state
    offer = state.offers.get(command.offer_id)
    if offer is None or offer.agent_id != command.agent_id:
        return _not_pending(step, command.offer_id, command.agent_id, _DECLINED)
    contact = state.contacts[offer.contact_id]
    step.emit(
        OfferDeclined(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            reason=command.reason,
            cool_down_until_ms=_cool_down_until(step, offer),
            from_agent_id=offer.from_agent_id,
        )
    )
    answer = step.done(command.offer_id, _DECLINED)
    requeue_unaccepted(step, contact, "declined")
    enter_next_state(step, state.agents[command.agent_id])
    return answer


def expire(step: Step, offer: Offer) -> None:
    """Expire an unanswered offer (RONA): the contact returns to its position.

    The agent becomes not ready if the queue says so, unless the offer was one of a broadcast.
    """
    state = step.state
    contact, agent = state.contacts[offer.contact_id], state.agents[offer.agent_id]
    step.emit(
        OfferExpired(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            cool_down_until_ms=_cool_down_until(step, offer),
            from_agent_id=offer.from_agent_id,
        )
    )
    rona = state.queue_policy(offer.queue_id).rona
    out = rona.not_ready and not offer.broadcast and agent.state is _READY
    if out and agent.next_state is None:  # A state that the agent has requested takes precedence.
        back = rona.return_after_s
        step.emit(
            AgentStateChanged(
                agent_id=agent.agent_id,
                state=_NOT_READY,
                from_state=agent.state,
                reason="rona",
                return_at_ms=None if back is None else step.at_ms + back * 1000,
            )
        )
        rescind_of(step, agent, "agent_not_ready")
    requeue_unaccepted(step, contact, "rona")
    enter_next_state(step, agent)


def _cool_down_until(step: Step, offer: Offer) -> int | None:
    cool_down_s = step.state.queue_policy(offer.queue_id).cool_down_s
    return step.at_ms + cool_down_s * 1000 if cool_down_s else None


def _not_pending(step: Step, offer_id: str, agent_id: str, wanted: OfferState) -> Answer:
    """Return the answer for an offer that is not pending: repeated, ended otherwise, or unknown."""
    state = step.state
    contact = state.contacts.get(offer_id.rpartition(".")[0])
    if contact is not None:
        end = (contact.gone or {}).get(offer_id)
        if contact.assignment_id == offer_id and contact.agent_id is not None:
            end = (_ACCEPTED, contact.answered_seq, contact.agent_id)
        if end is not None and end[2] == agent_id:
            how, seq, _ = end
            if how is wanted:
                return repeated(offer_id, how, seq)
            return Refused(code=RefusalCode.OFFER_GONE, field="offer_id", state=str(how), seq=seq)
    return Refused(code=RefusalCode.UNKNOWN_OFFER, field="offer_id")


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    AcceptOffer: accept,
    DeclineOffer: decline,
}
