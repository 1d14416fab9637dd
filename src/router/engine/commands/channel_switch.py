"""Switching a live contact to another channel, with the same agent.

A contact that waits changes its channel at once and keeps its place: the gateway has the customer on the new channel already.
A contact in a conversation keeps the old channel until the gateway reports that the customer is connected on the new one; a
failure, or no report in time, leaves everything as it was. Whether the agent can take the new channel is decided with the old one
given back.

If the agent cannot, the switch is refused, or it waits: until this agent can, or another qualified agent accepts, on the new
channel, the contact (``if_unable: queue``) or a consult (``if_unable: consult``). The conversation goes on meanwhile. A
conversation in progress goes before new contacts, so ``serve_waiting_switches`` runs before matching, whenever an agent has gained
capacity, or what else kept such a conversation waiting has changed.

The agent who accepts is in the conversation beside the owner, as a consulted agent, but on the new channel, and the customer is not
on hold. With ``queue`` the gateway is asked at once to connect the customer with that agent, with ``consult`` when the owner
completes the consult or passes the contact on. ``connected`` makes the agent the owner, on the new channel; on a failure, or
without a report in time, that agent leaves, and the owner goes on as before. If the agent leaves, the switch is given up.
Meanwhile the switch itself cannot be changed.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.assignments import release_participant, remove_participant
from router.engine.commands.channel_events import (
    SWITCH_REASON,
    channels_offered,
    emit_channel_failed,
    emit_switched,
    is_on_other_channel,
    other_gateway,
)
from router.engine.commands.conference import hand_over_contact, is_at_participants_limit, participants_limit_refusal
from router.engine.commands.contacts import find_contact
from router.engine.commands.offers import make_offer
from router.engine.commands.rescind import requeue_unaccepted, rescind_contact_offers
from router.engine.commands.transaction import (
    Transaction,
    already_done,
    not_owner,
    requester_of,
    unknown_contact,
    wrong_contact_state,
)
from router.engine.commands.validation import listed, unknown_channel
from router.engine.matching.selection import select_agent
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import ChannelSwitch
from router.engine.state.records import Assignment
from router.engine.state.workspace import active_consult, conversation_roles_if_shared
from router.model.commands import ReportChannel, SwitchChannel
from router.model.events.channel import ContactChannelRequested
from router.model.results import CommandResult, RefusalCode, Refused
from router.model.states import AssignmentRole, AssignmentState, CallbackPhase, ChannelOutcome, ContactState, IfUnable

_WAITING: Final = (ContactState.QUEUED, ContactState.OFFERED)
_IN_CONVERSATION: Final = (AssignmentState.ACTIVE, AssignmentState.ON_HOLD)


# --- the command ------------------------------------------------------------------------------------------------------
def _switch_channel(tx: Transaction, command: SwitchChannel) -> CommandResult:
    state = tx.state
    contact, policy = find_contact(tx, command), state.policy
    if contact is None or policy is None:
        return unknown_contact()
    if command.agent_id not in (None, contact.agent_id):
        return not_owner()
    if command.channel not in policy.channels:
        return unknown_channel(policy)
    if command.by_customer and command.channel != contact.channel:
        refused = _offer_refusal(tx.state, contact, command.channel)
        if refused is not None:
            return refused
    switch = contact.switch
    if switch is not None and _is_repeat(switch, command):
        return already_done(contact.contact_id, contact.state, switch.requested_seq)
    refused = _state_refusal(tx, contact, command)
    if refused is not None:
        return refused
    if command.channel == contact.channel:
        if switch is None:
            return already_done(contact.contact_id, contact.state, contact.switched_seq or contact.queued_seq)
        return give_up_switch(tx, contact, "cancelled")
    if contact.state in _WAITING:
        rescind_contact_offers(tx, contact, SWITCH_REASON)
        requeue_unaccepted(tx, contact, "rescinded")
        emit_switched(tx, contact, command.channel, command.reference or contact.reference)
        return tx.done(contact.contact_id, contact.state)
    return _switch_conversation(tx, contact, command)


def _offer_refusal(state: RoutingState, contact: Contact, channel: str) -> Refused | None:
    """Refuse a channel that the policy does not offer to the customer of a contact."""
    offered = channels_offered(state, contact)
    if channel in offered:
        return None
    others = f"offered are: {listed(offered)}" if offered else "no other channel is offered"
    detail = f"the policy does not offer this channel to the customer; {others}"
    return Refused(code=RefusalCode.CHANNEL_NOT_POSSIBLE, field="channel", detail=detail, allowed=offered)


def _is_repeat(switch: ChannelSwitch, command: SwitchChannel) -> bool:
    """Return whether a switch in progress is what the command asks for."""
    is_same_way = switch.deadline_ms is not None or command.if_unable in (IfUnable.REFUSE, switch.if_unable)
    return switch.channel == command.channel and is_same_way


def _state_refusal(tx: Transaction, contact: Contact, command: SwitchChannel) -> Refused | None:
    requester, callback = requester_of(command), contact.callback
    if callback is not None and callback.phase is not CallbackPhase.CONNECTED:
        return wrong_contact_state(tx, contact, requester, "the customer of this callback is not on the line")
    if contact.state in _WAITING:
        return None
    if contact.state is not ContactState.ASSIGNED:
        return wrong_contact_state(tx, contact, requester)
    if _owner(tx.state, contact).state not in _IN_CONVERSATION:
        return wrong_contact_state(tx, contact, requester, "the conversation is parked")
    if contact.participant_assignment_ids or any(tx.state.offers[o].reason != SWITCH_REASON for o in contact.pending_offer_ids):
        return wrong_contact_state(tx, contact, requester, "other agents are in the conversation or asked to take part")
    return None


def _switch_conversation(tx: Transaction, contact: Contact, command: SwitchChannel) -> CommandResult:
    owner = _owner(tx.state, contact)
    if not _fits(tx.state, owner, command.channel):
        if command.if_unable is IfUnable.REFUSE:
            return _not_possible(tx.state, contact, owner)
        consults = sum(tx.state.offers[name].role is AssignmentRole.CONSULT for name in contact.pending_offer_ids)
        if command.if_unable is IfUnable.CONSULT and is_at_participants_limit(tx, contact, released=consults):
            return participants_limit_refusal("if_unable")
    if contact.switch is not None:
        give_up_switch(tx, contact, "replaced")
    rescind_contact_offers(tx, contact, SWITCH_REASON)
    _request_switch(tx, contact, command.channel, command.reference or contact.reference, command.if_unable)
    answer = tx.done(contact.contact_id, contact.state)
    if contact.switch is not None and contact.switch.deadline_ms is None:
        _offer_to_another(tx, contact, contact.switch)
    return answer


def _not_possible(state: RoutingState, contact: Contact, owner: Assignment) -> Refused:
    possible = [name for name in sorted(state.index.channels.by_name) if name != owner.channel and _fits(state, owner, name)]
    others = f"possible are: {listed(possible)}" if possible else "no other channel is possible"
    return Refused(
        code=RefusalCode.CHANNEL_NOT_POSSIBLE,
        field="channel",
        detail=f"the agent has no capacity for the channel now; {others}",
        state=contact.channel,
        allowed=tuple(possible),
    )


def _request_switch(tx: Transaction, contact: Contact, channel: str, reference: str | None, if_unable: IfUnable) -> None:
    """Ask the gateway to connect the customer, if the agent can take the channel; otherwise let the switch wait."""
    state, owner = tx.state, _owner(tx.state, contact)
    wanted, deadline_ms = state.index.channels.by_name[channel], None
    if _fits(state, owner, channel):
        deadline_ms = tx.at_ms + 1000 * wanted.policy.connect_timeout_s
    tx.emit(
        ContactChannelRequested(
            contact_id=contact.contact_id,
            from_channel=contact.channel,
            channel=channel,
            reference=reference,
            assignment_id=owner.assignment_id,
            agent_id=owner.agent_id,
            held_units=0 if deadline_ms is None else held_units(state, owner, channel),
            deadline_ms=deadline_ms,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(state, contact),
            if_unable=if_unable if deadline_ms is None else None,
            to_gateway_id=other_gateway(state, contact, channel),
        )
    )


def held_units(state: RoutingState, assignment: Assignment, channel: str) -> int:
    """Return the units that a switch to a channel needs beyond those of the assignment, which counts as long as it is pending."""
    before, after = state.index.channels.by_name[assignment.channel], state.index.channels.by_name[channel]
    if after.interrupts & before.bit:
        return max(after.units, assignment.units)
    return max(0, after.units - assignment.units)


def _owner(state: RoutingState, contact: Contact) -> Assignment:
    return state.assignments[contact.assignment_id or ""]


def _fits(state: RoutingState, assignment: Assignment, channel: str) -> bool:
    """Return whether the agent of an assignment could have it on another channel instead."""
    agent = state.agents[assignment.agent_id]
    return channel not in agent.paused and state.index.agents.has_capacity_instead(agent, channel, assignment)


# --- the report of the gateway ----------------------------------------------------------------------------------------
def _report_channel(tx: Transaction, command: ReportChannel) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None:
        return unknown_contact()
    switch = contact.switch
    if switch is None or switch.deadline_ms is None:
        if (
            command.outcome is ChannelOutcome.CONNECTED
            and contact.switched_seq
            and not contact.state.is_terminal
            and switch is None
        ):
            return already_done(contact.contact_id, contact.state, contact.switched_seq)
        return wrong_contact_state(tx, contact, requester_of(command), "no switch of the channel is in progress")
    if command.outcome is ChannelOutcome.FAILED:
        return give_up_switch(tx, contact, "failed")
    if switch.to_assignment_id is not None:
        other = tx.state.assignments[switch.to_assignment_id]
        return hand_over_contact(tx, contact, tx.state.agents[other.agent_id], SWITCH_REASON)
    # A transfer or consult asked for meanwhile is on the old channel.
    rescind_contact_offers(tx, contact, SWITCH_REASON)
    emit_switched(tx, contact, switch.channel, switch.reference)
    return tx.done(contact.contact_id, contact.state)


def give_up_switch(tx: Transaction, contact: Contact, reason: str) -> CommandResult:
    """Give up a switch in progress: the old channel stands, and the agent who was to take the contact over leaves."""
    assert contact.switch is not None
    other = tx.state.assignments.get(contact.switch.to_assignment_id or "")
    if _has_own_offer(tx.state, contact):
        rescind_contact_offers(tx, contact, SWITCH_REASON)
    if other is not None:
        remove_participant(tx, contact, other, SWITCH_REASON)
    emit_channel_failed(tx, contact, reason)
    answer = tx.done(contact.contact_id, contact.state)
    if other is not None:
        release_participant(tx, other)
    return answer


def _has_own_offer(state: RoutingState, contact: Contact) -> bool:
    return any(state.offers[name].reason == SWITCH_REASON for name in contact.pending_offer_ids)


# --- switches that wait -----------------------------------------------------------------------------------------------
def serve_waiting_switches(tx: Transaction) -> None:
    """Let switches that wait go on: with their own agent if that agent can now, else by an offer to another one."""
    tx.state.index.contacts.switches_changed = False
    for contact in sorted(tx.state.index.contacts.switching.values(), key=_age):
        switch = contact.switch
        assert switch is not None
        if any(is_on_other_channel(contact, tx.state.assignments[name]) for name in contact.participant_assignment_ids):
            continue  # Another agent is consulted for it: its owner decides.
        if _fits(tx.state, _owner(tx.state, contact), switch.channel):
            if _has_own_offer(tx.state, contact):
                rescind_contact_offers(tx, contact, SWITCH_REASON)
            _request_switch(tx, contact, switch.channel, switch.reference, switch.if_unable)
        elif not contact.pending_offer_ids:
            _offer_to_another(tx, contact, switch)


def _age(contact: Contact) -> tuple[int, int]:
    return contact.queued_at_ms, contact.queued_seq


def _offer_to_another(tx: Transaction, contact: Contact, switch: ChannelSwitch) -> None:
    """Offer the contact, or a consult, on the channel that is wanted, to the agent that its queue would choose.

    If none is free, the switch waits, also while the owner consults another agent; a consult waits until the owner is alone in the
    conversation.
    """
    index, role = tx.state.index, AssignmentRole.OWNER
    if active_consult(tx.state, contact) is not None:
        return
    if switch.if_unable is IfUnable.CONSULT:
        role = AssignmentRole.CONSULT
        if contact.participant_assignment_ids or is_at_participants_limit(tx, contact):
            return
    line = index.lines.line_without_plan(contact.queue_id, switch.channel, contact.skills, contact.customer_facts)
    index.lines.drop_if_unused(line)
    mask = index.agents.open_group_bits[line.channel_index] & line.group_mask
    if not mask:
        return
    excluded = {name for name, until_ms in (contact.cool_downs or {}).items() if until_ms > tx.at_ms} | {contact.agent_id or ""}
    excluded |= {tx.state.assignments[name].agent_id for name in contact.participant_assignment_ids}
    groups = index.qualification.groups_in(mask)
    agent = select_agent(groups, line, frozenset(excluded), contact.contact_id, index.contacts.draw_number)
    if agent is not None:
        make_offer(tx, contact, agent, line, SWITCH_REASON, None, from_agent_id=contact.agent_id, role=role)


CHANNEL_SWITCH_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    SwitchChannel: _switch_channel,
    ReportChannel: _report_channel,
}
