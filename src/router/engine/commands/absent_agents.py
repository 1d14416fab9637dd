"""Contacts that wait for certain agents who have left: their steps and reservations end, and they wait for others."""

from router.engine.commands.plan_steps import skip_absent_step
from router.engine.commands.queue_moves import end_reservation
from router.engine.commands.rescind import rescind_unqualified
from router.engine.commands.transaction import Transaction
from router.engine.state.contact import Contact


def advance_absent_steps(tx: Transaction) -> None:
    """End the steps and reservations of contacts that waited for agents who have left, if no other agent is there for them."""
    index = tx.state.index
    names = sorted(index.agents.unavailable)
    index.agents.unavailable.clear()
    for name in names:
        waiting = [
            c
            for line in index.qualification.reserved_lines.get(name, ())
            for c in line.contacts_by_key.values()
        ]
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
