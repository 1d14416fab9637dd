"""Contacts that wait for certain agents who have left: their steps end, and they wait for others."""

from router.engine.commands.plan_steps import skip_absent_step
from router.engine.commands.rescind import rescind_unqualified
from router.engine.commands.transaction import Transaction
from router.engine.state.contact import Contact


def advance_absent_steps(tx: Transaction) -> None:
    """End the steps of contacts that waited for agents who have left, if no other agent of the step is there."""
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
    """End the present step of a contact if it is reserved for certain agents and none of them is there."""
    skip_absent_step(tx, contact)
    if contact.pending_offer_ids:
        rescind_unqualified(tx, contact, "step")


def _position(contact: Contact) -> int:
    return 0 if contact.waiting_line is None else contact.waiting_line.rank_of(contact)
