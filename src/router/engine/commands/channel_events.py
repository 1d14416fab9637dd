"""Emitting the ends of a switch to another channel, and what several commands ask about one.

A switch that waits may have another agent *consulted* on the new channel, or let another agent take the contact over. That agent's
assignment is on the new channel while the contact is on the old one, so it is known by its channel: ``is_on_other_channel``. The
gateway is asked to connect the customer with that agent (``request_take_over``), who owns the contact once it has. Whatever else
makes the agent the owner also completes the switch, and the agent's leaving gives the switch up.
"""

from typing import Final

from router.engine.commands.transaction import Transaction
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.records import Assignment
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.events.channel import ContactChannelFailed, ContactChannelRequested, ContactChannelSwitched, ContactGatewayChanged
from router.model.states import GatewayId

SWITCH_REASON: Final = "channel"
"""Reason of the offers for a switch, and of the ends of offers because of one."""


def emit_switched(tx: Transaction, contact: Contact, channel: str, reference: str | None) -> None:
    """Emit that the contact continues on another channel, waiting or with its agent."""
    state = tx.state
    tx.emit(
        ContactChannelSwitched(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            from_channel=contact.channel,
            channel=channel,
            requirement=tx.requirement_text(routing_criteria(contact)._replace(channel=channel)),
            reference=reference,
            units=state.index.channels.by_name[channel].units,
            assignment_id=contact.assignment_id,
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(state, contact),
            offered_to=agents_offered(state, contact),
        )
    )
    pass_to_gateway(tx, contact)


def request_take_over(tx: Transaction, contact: Contact, assignment: Assignment) -> None:
    """Ask the gateway to connect the customer with an agent of the conversation who is on another channel.

    The owner keeps the contact until the gateway reports that it has.
    """
    state = tx.state
    owner = state.assignments[contact.assignment_id or ""]
    wanted = state.index.channels.by_name[assignment.channel]
    tx.emit(
        ContactChannelRequested(
            contact_id=contact.contact_id,
            from_channel=contact.channel,
            channel=assignment.channel,
            reference=reference_under_new_owner(contact, assignment),
            assignment_id=owner.assignment_id,
            agent_id=owner.agent_id,
            held_units=0,
            deadline_ms=tx.at_ms + 1000 * wanted.policy.connect_timeout_s,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(state, contact),
            to_gateway_id=other_gateway(state, contact, assignment.channel),
            to_assignment_id=assignment.assignment_id,
            to_agent_id=assignment.agent_id,
        )
    )


def gateway_of_channel(state: RoutingState, contact: Contact, channel: str) -> GatewayId:
    """Return the gateway that would have the contact on a channel; a callback stays with the gateway that makes its calls."""
    serving = state.index.channels.by_name[channel].policy.gateway
    return contact.gateway_id if serving is None or contact.callback is not None else serving


def other_gateway(state: RoutingState, contact: Contact, channel: str) -> GatewayId:
    """Return the gateway that serves a channel; empty if it is the one that has the contact."""
    serving = gateway_of_channel(state, contact, channel)
    return "" if serving == contact.gateway_id else serving


def pass_to_gateway(tx: Transaction, contact: Contact) -> None:
    """Emit that the contact is with the gateway that serves its channel, if that is another one."""
    gateway_id = other_gateway(tx.state, contact, contact.channel)
    if not gateway_id:
        return
    tx.emit(
        ContactGatewayChanged(
            contact_id=contact.contact_id,
            gateway_id=gateway_id,
            from_gateway_id=contact.gateway_id,
            channel=contact.channel,
            queue_id=contact.queue_id,
            skills=contact.skills,
            priority_s=contact.priority_s,
            priority_class=contact.priority_class,
            attributes=contact.attributes,
            customer_facts=contact.customer_facts,
            customer_id=contact.customer_id,
            reference=contact.reference,
            owner_agent_id=contact.agent_id,
            assignment_id=contact.assignment_id,
            participants=conversation_roles_if_shared(tx.state, contact),
        )
    )


def emit_channel_failed(tx: Transaction, contact: Contact, reason: str) -> None:
    """Emit that the switch in progress is given up: the old channel stands."""
    assert contact.switch is not None
    tx.emit(
        ContactChannelFailed(
            contact_id=contact.contact_id,
            channel=contact.switch.channel,
            reason=reason,
            assignment_id=contact.assignment_id,
            agent_id=contact.agent_id,
            gateway_id=contact.gateway_id,
            members=conversation_roles_if_shared(tx.state, contact),
            to_gateway_id=contact.switch.gateway_id,
        )
    )


def channels_offered(state: RoutingState, contact: Contact) -> tuple[str, ...]:
    """Return the channels on which the customer of a contact may go on, in the order of the policy.

    The entry rule of the contact says which, else its present channel; for a request also ``requests.channels``.
    """
    policy = state.policy
    if policy is None or contact.state.is_terminal:
        return ()
    own = policy.channels.get(contact.channel)
    rule = next((one for one in policy.entry if one.name == contact.entry_rule), None)
    if rule is not None and rule.offer_channels is not None:
        offered = rule.offer_channels
    else:
        offered = () if own is None else own.offer_channels
    if contact.request is not None and contact.request.default_option:
        offered += policy.requests.channels
    return tuple(name for name in dict.fromkeys(offered) if name != contact.channel and name in policy.channels)


def is_on_other_channel(contact: Contact, assignment: Assignment) -> bool:
    """Return whether an agent of the conversation is in it for a switch: on the channel to which it is to change."""
    return contact.switch is not None and assignment.channel == contact.switch.channel


def reference_under_new_owner(contact: Contact, assignment: Assignment) -> str | None:
    """Return the reference that the contact has once the agent of an assignment owns it: that of a switch to its channel."""
    if contact.switch is not None and is_on_other_channel(contact, assignment):
        return contact.switch.reference
    return contact.reference
