"""Handlers of the events of a contact that changes its channel.

While the gateway connects the customer on the new channel, the owner's assignment keeps the capacity of the old one and *holds*
what the new one needs beyond it. So the switch can be completed, and can be given up, without ever exceeding the agent's capacity.
If the customer is connected with another agent, that agent has an assignment on the new channel already, and nothing is held.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.events.contact_state import add_cool_down_timers, change_state, end_switch, place_in_line
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind
from router.engine.state.contact_parts import ChannelSwitch
from router.engine.transitions import CONTACT_TRANSITIONS, EventTransitions
from router.engine.wait.learning import discard_forecast
from router.model.events import ContactChannelFailed, ContactChannelRequested, ContactChannelSwitched, ContactGatewayChanged
from router.model.states import ContactState, IfUnable

_CHANGES: Final = {
    kind: EventTransitions(CONTACT_TRANSITIONS, kind)
    for kind in (ContactChannelRequested, ContactChannelSwitched, ContactChannelFailed, ContactGatewayChanged)
}


def _requested(state: RoutingState, event: ContactChannelRequested) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CHANGES[ContactChannelRequested])
    end_switch(state, contact)
    contact.switch = ChannelSwitch(
        channel=event.channel,
        reference=event.reference,
        requested_seq=state.seq,
        deadline_ms=event.deadline_ms,
        if_unable=event.if_unable or IfUnable.QUEUE,
        gateway_id=event.to_gateway_id,
        to_assignment_id=event.to_assignment_id,
    )
    if event.deadline_ms is None:
        state.index.contacts.switching[contact.contact_id] = contact
        state.index.agents.await_capacity(event.agent_id, 1)
        add_cool_down_timers(state, contact)
        return
    state.timers.add(event.deadline_ms, TimerKind.SWITCH, contact.contact_id)
    if event.to_assignment_id is not None:
        return  # The capacity for the channel is that of the other agent's assignment.
    assignment = state.assignments[event.assignment_id]
    assignment.held_channel, assignment.held_units = event.channel, event.held_units
    state.index.agents.take_capacity(state.agents[assignment.agent_id], event.channel, event.held_units)


def _switched(state: RoutingState, event: ContactChannelSwitched) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CHANGES[ContactChannelSwitched])
    end_switch(state, contact)
    contact.switched_seq = state.seq
    if contact.state is ContactState.ASSIGNED:
        assignment = state.assignments[event.assignment_id or ""]
        if assignment.channel != event.channel:
            agents, agent = state.index.agents, state.agents[assignment.agent_id]
            agents.release_capacity(agent, assignment.channel, assignment.units)
            assignment.channel, assignment.units = event.channel, event.units
            agents.take_capacity(agent, event.channel, event.units)
        contact.channel, contact.reference = event.channel, event.reference
        return
    discard_forecast(state, contact)
    state.index.contacts.leave_line(contact)
    contact.channel, contact.reference = event.channel, event.reference
    place_in_line(state, contact)


def _failed(state: RoutingState, event: ContactChannelFailed) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CHANGES[ContactChannelFailed])
    end_switch(state, contact)


def _gateway_changed(state: RoutingState, event: ContactGatewayChanged) -> None:
    contact = state.contacts[event.contact_id]
    change_state(state, contact, _CHANGES[ContactGatewayChanged])
    contact.gateway_id = event.gateway_id
    if contact.slot:
        state.index.directory.set_owner(contact)


CHANNEL_SWITCH_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {
    ContactChannelRequested: _requested,
    ContactChannelSwitched: _switched,
    ContactChannelFailed: _failed,
    ContactGatewayChanged: _gateway_changed,
}
