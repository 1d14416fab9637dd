"""Presence of the customers of requests: who is away longer than ``leave_grace_s`` of the channel leaves the queue.

A lost connection is no hang-up, so a customer who is away keeps the place for the time of grace. It runs while the customer waits
for an agent: not while they choose, where the default option is taken in the end, and not for callbacks and suspensions, where they
are not expected to be connected. In a conversation the gateway and the agent know more than the app's connection says; where the
contact waits again afterwards, because its agent has failed, the whole time begins then.

A customer whose connection was never seen is not away: their app may ask over its backend alone. Where the deadline is found much
too late, because the router was stopped meanwhile, no customer could return, and the time of grace begins again.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.contacts import emit_abandoned, find_contact
from router.engine.commands.grace import emit_away, emit_presence, grace_ms_of
from router.engine.commands.transaction import Transaction, already_done, unknown_contact
from router.engine.state.contact import Contact
from router.model.commands import SetCustomerPresence
from router.model.results import CommandResult

_CUSTOMER_AWAY: Final = "customer_away"
# Timers fire within milliseconds, and within a second under overload.
_LATE_MS: Final = 5_000


def _set_presence(tx: Transaction, command: SetCustomerPresence) -> CommandResult:
    contact = find_contact(tx, command)
    if contact is None or contact.request is None:
        return unknown_contact()
    request, grace_ms = contact.request, grace_ms_of(tx, contact)
    if request.is_here is None:
        # Without a time of grace nothing depends on it, and a customer who was never seen cannot go away.
        is_new = command.is_here and grace_ms is not None
    elif command.is_here:
        is_new = not request.is_here or command.run != request.run
    else:
        # What another node says that the app has left is not news where it is connected by now.
        is_new = request.is_here and command.run in ("", request.run)
    if contact.state.is_terminal or not is_new:
        return already_done(contact.contact_id, contact.state, tx.state.seq)
    if command.is_here:
        emit_presence(tx, contact, is_here=True, leave_at_ms=None, run=command.run)
    else:
        emit_away(tx, contact, command.away_ms)
    return tx.done(contact.contact_id, contact.state)


def end_grace(tx: Transaction, contact: Contact) -> None:
    """Let a customer leave who has not returned in time."""
    request = contact.request
    assert request is not None and request.leave_until_ms is not None
    if tx.at_ms - request.leave_until_ms >= _LATE_MS or grace_ms_of(tx, contact) is None:
        emit_away(tx, contact, 0)
    else:
        emit_abandoned(tx, contact, _CUSTOMER_AWAY)


PRESENCE_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {SetCustomerPresence: _set_presence}
