"""Emitting the ends of a switch to another channel, and what several commands ask about one.

A switch that waits may have another agent *consulted* on the new channel. That agent's assignment is on the new channel while the
contact is on the old one, so it is known by its channel: ``is_on_other_channel``. Whatever makes it the owner's also completes the
switch, and its leaving gives the switch up.
"""

from typing import Final

from router.engine.commands.transaction import Transaction
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import routing_criteria
from router.engine.state.records import Assignment
from router.engine.state.workspace import agents_offered, conversation_roles_if_shared
from router.model.events.contact import ContactChannelFailed, ContactChannelSwitched

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
        )
    )


def is_on_other_channel(contact: Contact, assignment: Assignment) -> bool:
    """Return whether an agent of the conversation is in it for a switch: on the channel to which it is to change."""
    return contact.switch is not None and assignment.channel == contact.switch.channel


def reference_under_new_owner(contact: Contact, assignment: Assignment) -> str | None:
    """Return the reference that the contact has once the agent of an assignment owns it: that of a switch to its channel."""
    if contact.switch is not None and is_on_other_channel(contact, assignment):
        return contact.switch.reference
    return contact.reference
