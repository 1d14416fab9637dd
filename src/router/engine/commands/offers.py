"""Offers: making, accepting, declining and expiring them, with the consequences for the contact and the agent.

A customer-first callback is not offered: instead the gateway is requested to dial the customer (``dial_for_agent``). An
agent-first callback is dialled once an agent owns it (``dial_for_owner``).

When agents leave that contacts wait for, the steps and reservations for them end (``advance_absent_steps``).

Theory of operation of matching
-------------------------------
Matching runs at the end of every command and stops when no waiting contact is left that some agent could take. It never
scans all contacts or agents; the index keeps work lists instead. ``index.agents.freed`` holds the agents who gained capacity
since the last round: each takes the first contact, in the total order of waiting contacts, that the agent may take.
``index.contacts.to_match`` holds the contacts that started to wait: each is given the agent that the selection rule of its
queue chooses. A pair that has not changed since the last round was examined then and need not be examined again.

A third list, ``index.agents.unavailable``, holds agents who left although contacts are reserved for them: a step of a plan ends
at once when no other reserved agent is ready, and so does a reservation for an agent who went offline on purpose.

Freed agents are served in idle order and contacts in the total order, so the result does not depend on the order of the
lists. Both orders are total; ties cannot occur.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.assignments import hold_for_consult, release_assignment
from router.engine.commands.channel_events import SWITCH_REASON, request_take_over
from router.engine.commands.plan_steps import skip_absent_step
from router.engine.commands.queue_moves import end_reservation
from router.engine.commands.rescind import (
    enter_next_state,
    requeue_unaccepted,
    rescind_agent_offers,
    rescind_contact_offers,
    rescind_unqualified,
)
from router.engine.commands.transaction import Transaction, already_done
from router.engine.index.contacts import calls_customer_first
from router.engine.index.routing_index import RoutingIndex
from router.engine.matching.match import choose_agent, next_contact
from router.engine.matching.reasons import count_other_candidates, selection_inputs
from router.engine.state.agent import Agent
from router.engine.state.clocks import closed_time_ms
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.records import Offer
from router.engine.state.workspace import agents_offered, conversation_roles, conversation_roles_if_shared, roles_under_new_owner
from router.model.commands import AcceptOffer, DeclineOffer
from router.model.events.agent import AgentStateChanged, OfferAccepted, OfferDeclined, OfferExpired, OfferMade
from router.model.events.contact import CallbackDialRequested
from router.model.policy import CallbackPolicy, FactValue, Selection
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import AgentState, AssignmentRole, CallbackPhase, MatchTrigger, OfferState, QueueId


def advance_absent_steps(tx: Transaction) -> None:
    """End the steps and reservations of contacts that waited for agents who have left, if no other agent is there for them."""
    index = tx.state.index
    names = sorted(index.agents.unavailable)
    index.agents.unavailable.clear()
    for name in names:
        waiting = [c for line in index.qualification.reserved_lines.get(name, ()) for c in line.contacts_by_key.values()]
        for contact in sorted(waiting, key=_position):
            stop_waiting_for_absent(tx, contact)


def stop_waiting_for_absent(tx: Transaction, contact: Contact) -> None:
    """End the reservation of a contact, or the step of its plan, if the agents that it waits for have left.

    A reservation outlasts a lost desktop, for which it is made, but not an agent who goes offline on purpose or is removed.
    """
    if contact.preferred_agent_id is None:
        skip_absent_step(tx, contact)
        if contact.pending_offer_ids:
            rescind_unqualified(tx, contact, "step")
        return
    agent = tx.state.agents.get(contact.preferred_agent_id)
    if contact.order_key and (agent is None or agent.went_offline):
        end_reservation(tx, contact)


def _position(contact: Contact) -> int:
    return 0 if contact.waiting_line is None else contact.waiting_line.rank_of(contact)


# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_AGENT: Final = MatchTrigger.AGENT

_CONTACT: Final = MatchTrigger.CONTACT

_LONGEST_IDLE: Final = Selection.LONGEST_IDLE


def match_all(tx: Transaction) -> None:
    """Match freed agents and waiting contacts until the work lists are empty."""
    index = tx.state.index
    freed_agents, contacts_to_match = index.agents.freed, index.contacts.to_match
    while True:
        if index.agents.unavailable:
            advance_absent_steps(tx)
        while freed_agents:
            _match_freed_agents(tx, index)
        if contacts_to_match:
            _match_waiting_contacts(tx, index)
        if not (freed_agents or contacts_to_match or index.agents.unavailable):
            return


def match_arriving_contact(tx: Transaction, contact: Contact) -> None:
    """Offer a new contact, which is not in its waiting line yet, to a free agent.

    If the queue broadcasts, or every free agent is excluded, the contact is added to its line and matched like any other.
    """
    index, line = tx.state.index, contact.waiting_line
    assert line is not None
    if line.broadcast > 1 or (agent := choose_agent(index, line, contact, tx.at_ms)) is None:
        index.contacts.enqueue(contact)
    else:
        _offer_pair(tx, contact, agent, line, _CONTACT)


def _match_freed_agents(tx: Transaction, index: RoutingIndex) -> None:
    """Offer contacts to the freed agents. The offers may free further agents, who are served in the same way before any contact.

    That ends: only an offer frees agents here, each uses up one of the offers that a waiting contact may get, and none lets another
    contact wait.
    """
    freed = index.agents.freed
    if index.contacts.switching:
        index.contacts.switches_changed = True
    if len(freed) == 1:
        agents = [freed.popitem()[1]]
    else:
        agents = sorted(freed.values(), key=_idle_number)
        freed.clear()
    for agent in agents:
        while agent.open_channel_bits:
            found = next_contact(index, agent, tx.at_ms)
            if found is None:
                break
            _offer_pair(tx, found[0], agent, found[1], _AGENT)


def _match_waiting_contacts(tx: Transaction, index: RoutingIndex) -> None:
    if len(index.contacts.to_match) == 1:
        contacts = list(index.contacts.to_match.values())
    else:
        contacts = sorted(index.contacts.to_match.values(), key=_position)
    index.contacts.to_match.clear()
    for number, contact in enumerate(contacts):
        while contact.order_key:
            line = contact.waiting_line
            assert line is not None
            agent = choose_agent(index, line, contact, tx.at_ms)
            if agent is None:
                if line.reserved_for is None:
                    break
                stop_waiting_for_absent(tx, contact)
                if contact.contact_id in index.contacts.to_match:
                    # It waits for other agents now, and may get one before the contacts that are left.
                    index.contacts.to_match.update((other.contact_id, other) for other in contacts[number + 1 :])
                    return
                break
            _offer_pair(tx, contact, agent, line, _CONTACT)
            while index.agents.freed:
                # The offer interrupts other work of the agent, or frees agents of a broadcast: they come before the other contacts.
                _match_freed_agents(tx, index)


def _offer_pair(tx: Transaction, contact: Contact, agent: Agent, line: WaitingLine, match_trigger: MatchTrigger) -> None:
    """Offer the contact to the agent and record why this agent and why now.

    For a customer-first callback the customer is called instead.
    """
    if contact.callback is not None and calls_customer_first(contact):
        dial_for_agent(tx, contact, agent)
        return
    index, group, i = tx.state.index, agent.group, line.channel_index
    assert group is not None
    reason: str = line.selection
    inputs: dict[str, FactValue] | None = None
    if group.queue_ranks or line.reserved_for is not None or reason is not _LONGEST_IDLE:
        if line.reserved_for is not None:
            reason = "preferred"
        inputs = selection_inputs(line, agent, match_trigger)
    elif index.agents.open_group_bits[i] & line.group_mask == group.bit and group.idle_orders[i].size == 1:
        # No other agent could take it, so nothing was compared: most offers of a busy contact centre.
        make_offer(tx, contact, agent, line, reason, match_trigger)
        return
    candidates = count_other_candidates(index, line, contact, agent, tx.at_ms)
    make_offer(tx, contact, agent, line, reason, match_trigger, candidates, inputs)


def _idle_number(agent: Agent) -> int:
    return agent.idle_number


# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_ACCEPTED: Final = OfferState.ACCEPTED

_CONSULT: Final = AssignmentRole.CONSULT

_DECLINED: Final = OfferState.DECLINED

_NOT_READY: Final = AgentState.NOT_READY

_OWNER: Final = AssignmentRole.OWNER

_READY: Final = AgentState.READY

# Applies to a callback that was agreed before its queue stopped offering callbacks.
_DEFAULT_CALLBACK_POLICY: Final = CallbackPolicy()


def offer_transfer(tx: Transaction, contact: Contact, agent: Agent, line: WaitingLine) -> None:
    """Offer an assigned contact to another agent; its owner keeps it until the accept."""
    make_offer(tx, contact, agent, line, "transfer", None, from_agent_id=contact.agent_id)


def offer_consult(tx: Transaction, contact: Contact, agent: Agent, line: WaitingLine, to_queue_id: QueueId | None) -> None:
    """Offer a consult to an agent, chosen by the owner or from a queue; the owner keeps the contact in any case."""
    make_offer(tx, contact, agent, line, "consult", None, from_agent_id=contact.agent_id, role=_CONSULT, to_queue_id=to_queue_id)


def make_offer(
    tx: Transaction,
    contact: Contact,
    agent: Agent,
    line: WaitingLine,
    reason: str,
    match_trigger: MatchTrigger | None,
    other_candidates: int = 0,
    selection_inputs: dict[str, FactValue] | None = None,
    *,
    from_agent_id: str | None = None,
    role: AssignmentRole = AssignmentRole.OWNER,
    to_queue_id: QueueId | None = None,
) -> None:
    """Offer a contact to an agent; with ``auto_accept`` the accept follows at once.

    ``match_trigger``, ``other_candidates`` and ``selection_inputs`` record why this agent was chosen and why now; see ``reasons``.
    """
    state, at_ms = tx.state, tx.at_ms
    contact_id = contact.contact_id
    offer_id = f"{contact_id}.{contact.offers_made + 1}"
    tx.emit(
        # Positional, in the order of the fields: a call with more than 15 keyword arguments builds a dict and is slower.
        OfferMade(
            offer_id,
            contact_id,
            agent.agent_id,
            line.channel,
            line.queue_id,
            line.units,
            at_ms + line.offer_timeout_ms,
            line.requirement_text,
            contact.priority_s + line.queue.priority_s + contact.plan_priority_s,
            state.policy_version,
            reason,
            at_ms - contact.queued_at_ms,
            contact.attributes,
            contact.reference,
            from_agent_id,
            contact.gateway_id,
            role,
            match_trigger,
            other_candidates,
            selection_inputs,
            to_queue_id,
            None if contact.callback is None else contact.callback.phase,
        )
    )
    if line.auto_accept:
        _apply_accept(tx, contact, state.offers[offer_id])


def accept_offer(tx: Transaction, command: AcceptOffer) -> CommandResult:
    """Accept an offer: the first accept wins, and a repeat by the same agent gets the first answer again."""
    state = tx.state
    offer_id = command.offer_id
    offer = state.offers.get(offer_id)
    if offer is None or offer.agent_id != command.agent_id:
        return _not_pending(tx, offer_id, command.agent_id, _ACCEPTED)
    contact = state.contacts[offer.contact_id]
    _apply_accept(tx, contact, offer)
    if offer.role is not _OWNER or offer.reason == SWITCH_REASON:
        return Done(offer_id, _ACCEPTED, (contact.ended_offers or {})[offer_id][1])
    # Other offers may have been rescinded after the accept, so its sequence number is taken from the contact.
    return Done(offer_id, _ACCEPTED, contact.answered_seq)


def _apply_accept(tx: Transaction, contact: Contact, offer: Offer) -> None:
    if offer.role is not _OWNER:
        _accept_consult(tx, contact, offer)
        return
    if offer.reason == SWITCH_REASON:
        _accept_consult(tx, contact, offer)
        # The owner keeps the contact, on the old channel, until the customer is connected on the new one.
        request_take_over(tx, contact, tx.state.assignments[offer.offer_id])
        return
    if contact.assignment_id is not None:
        _accept_transfer(tx, contact, offer)
    else:
        tx.emit(
            OfferAccepted(
                offer_id=offer.offer_id,
                contact_id=contact.contact_id,
                agent_id=offer.agent_id,
                waited_ms=tx.at_ms - contact.queued_at_ms,
                gateway_id=contact.gateway_id,
                closed_ms=closed_time_ms(tx.state, contact) if contact.waiting_for_opening else contact.closed_ms,
            )
        )
        if contact.pending_offer_ids:
            rescind_contact_offers(tx, contact, "taken")
    if contact.callback is not None:
        dial_for_owner(tx, contact)


def _accept_transfer(tx: Transaction, contact: Contact, offer: Offer) -> None:
    """Accept a transfer: one event replaces the owner."""
    state = tx.state
    old = state.assignments.get(contact.assignment_id or "")
    tx.emit(
        OfferAccepted(
            offer_id=offer.offer_id,
            contact_id=contact.contact_id,
            agent_id=offer.agent_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            from_assignment_id=None if old is None else old.assignment_id,
            from_agent_id=None if old is None else old.agent_id,
            gateway_id=contact.gateway_id,
            members=roles_under_new_owner(state, contact, offer.agent_id) if contact.participant_assignment_ids else None,
        )
    )
    rescind_contact_offers(tx, contact, "taken")
    if old is not None:
        release_assignment(tx, old)


def _accept_consult(tx: Transaction, contact: Contact, offer: Offer) -> None:
    """Accept a consult, or the offer for a switch of the channel; the owner of the contact does not change."""
    tx.emit(
        OfferAccepted(
            offer_id=offer.offer_id,
            contact_id=contact.contact_id,
            agent_id=offer.agent_id,
            waited_ms=tx.at_ms - contact.queued_at_ms,
            from_agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            role=_CONSULT,
            members=conversation_roles(tx.state, contact) | {offer.agent_id: _CONSULT},
            takes_over=offer.role is _OWNER,
        )
    )
    if offer.channel == contact.channel:
        # A consult for a switch of the channel does not put the customer on hold: the old channel goes on.
        hold_for_consult(tx, contact)


def decline_offer(tx: Transaction, command: DeclineOffer) -> CommandResult:
    """Decline an offer: the contact returns to its position and is not offered to the agent again for a while."""
    state = tx.state
    offer = state.offers.get(command.offer_id)
    if offer is None or offer.agent_id != command.agent_id:
        return _not_pending(tx, command.offer_id, command.agent_id, _DECLINED)
    contact = state.contacts[offer.contact_id]
    tx.emit(
        OfferDeclined(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            reason=command.reason,
            cool_down_until_ms=_cool_down_until(tx, offer),
            from_agent_id=offer.from_agent_id,
        )
    )
    answer = tx.done(command.offer_id, _DECLINED)
    requeue_unaccepted(tx, contact, "declined")
    enter_next_state(tx, state.agents[command.agent_id])
    return answer


def expire_offer(tx: Transaction, offer: Offer) -> None:
    """Expire an unanswered offer (RONA): the contact returns to its position.

    The agent becomes not ready if the queue says so, unless the offer was one of a broadcast.
    """
    state = tx.state
    contact, agent = state.contacts[offer.contact_id], state.agents[offer.agent_id]
    tx.emit(
        OfferExpired(
            offer_id=offer.offer_id,
            contact_id=offer.contact_id,
            agent_id=offer.agent_id,
            cool_down_until_ms=_cool_down_until(tx, offer),
            from_agent_id=offer.from_agent_id,
        )
    )
    rona = state.queue_policy(offer.queue_id).rona
    becomes_not_ready = rona.not_ready and not offer.broadcast and agent.state is _READY
    # A next state that the agent has requested takes precedence.
    if becomes_not_ready and agent.next_state is None:
        return_after_s = rona.return_after_s
        tx.emit(
            AgentStateChanged(
                agent_id=agent.agent_id,
                state=_NOT_READY,
                from_state=agent.state,
                reason="rona",
                return_at_ms=None if return_after_s is None else tx.at_ms + return_after_s * 1000,
            )
        )
        rescind_agent_offers(tx, agent, "agent_not_ready")
    requeue_unaccepted(tx, contact, "rona")
    enter_next_state(tx, agent)


def _cool_down_until(tx: Transaction, offer: Offer) -> int | None:
    cool_down_s = tx.state.queue_policy(offer.queue_id).cool_down_s
    return tx.at_ms + cool_down_s * 1000 if cool_down_s else None


def _not_pending(tx: Transaction, offer_id: str, agent_id: str, wanted: OfferState) -> CommandResult:
    """Return the answer for an offer that is not pending: repeated, ended otherwise, or unknown."""
    state = tx.state
    contact = state.contacts.get(offer_id.rpartition(".")[0])
    if contact is not None:
        end = (contact.ended_offers or {}).get(offer_id)
        if contact.assignment_id == offer_id and contact.agent_id is not None:
            end = (_ACCEPTED, contact.answered_seq, contact.agent_id)
        if end is not None and end[2] == agent_id:
            ended_as, seq, _ = end
            if ended_as is wanted:
                return already_done(offer_id, ended_as, seq)
            return Refused(code=RefusalCode.OFFER_NOT_PENDING, field="offer_id", state=str(ended_as), seq=seq)
    return Refused(code=RefusalCode.UNKNOWN_OFFER, field="offer_id")


def callback_policy(tx: Transaction, contact: Contact) -> CallbackPolicy:
    """Return the callback policy of the contact's queue; the defaults if the queue no longer offers callbacks."""
    return tx.state.queue_policy(contact.queue_id).callback or _DEFAULT_CALLBACK_POLICY


def dial_for_agent(tx: Transaction, contact: Contact, agent: Agent) -> None:
    """Dial the customer of a ``customer_first`` callback instead of offering it to the agent, who stays free."""
    _request_dial(tx, contact, agent_id=None, for_agent_id=agent.agent_id)


def dial_for_owner(tx: Transaction, contact: Contact) -> None:
    """Dial the customer for the agent who owns the callback, unless a call is in progress or connected."""
    callback = contact.callback
    if callback is not None and callback.phase is CallbackPhase.WAITING:
        _request_dial(tx, contact, agent_id=contact.agent_id, for_agent_id=None)


def _request_dial(tx: Transaction, contact: Contact, *, agent_id: str | None, for_agent_id: str | None) -> None:
    callback = contact.callback
    assert callback is not None
    tx.emit(
        CallbackDialRequested(
            contact_id=contact.contact_id,
            attempt=callback.attempts + 1,
            mode=callback.mode,
            channel=contact.channel,
            deadline_ms=tx.at_ms + 1000 * callback_policy(tx, contact).ring_timeout_s,
            agent_id=agent_id,
            for_agent_id=for_agent_id,
            reference=contact.reference,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(tx.state, contact),
            offered_to=agents_offered(tx.state, contact),
        )
    )


OFFER_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    AcceptOffer: accept_offer,
    DeclineOffer: decline_offer,
}
