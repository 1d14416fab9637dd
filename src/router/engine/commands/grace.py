"""Time of grace of a customer who is away: when it begins and until when it lasts. ``presence.py`` tells who is away."""

from router.engine.commands.transaction import Transaction
from router.engine.state.contact import Contact
from router.model.events import CustomerPresenceChanged


def grace_ms_of(tx: Transaction, contact: Contact) -> int | None:
    """Return the time of grace on the channel of a contact; None: it has none."""
    policy = tx.state.policy
    channel = None if policy is None else policy.channels.get(contact.channel)
    return None if channel is None or channel.leave_grace_s is None else 1000 * channel.leave_grace_s


def emit_away(tx: Transaction, contact: Contact, away_ms: int) -> None:
    """Note that a customer has been away for this long; the time of grace runs where they wait for an agent."""
    grace_ms = grace_ms_of(tx, contact) if contact.waits_live else None
    leave_at_ms = None if grace_ms is None else tx.at_ms + max(0, grace_ms - away_ms)
    assert contact.request is not None
    emit_presence(tx, contact, is_here=False, leave_at_ms=leave_at_ms, run=contact.request.run)


def emit_presence(tx: Transaction, contact: Contact, *, is_here: bool, leave_at_ms: int | None, run: str) -> None:
    """Note whether the app of a customer is connected, and to which node."""
    tx.emit(
        CustomerPresenceChanged(
            contact_id=contact.contact_id, is_here=is_here, leave_at_ms=leave_at_ms, gateway_id=contact.gateway_id, run=run
        )
    )


def begin_grace(tx: Transaction, contact: Contact) -> None:
    """Let the time of grace of a customer begin who is away and has begun to wait; one that runs already goes on.

    It runs on where a waiting contact is moved: otherwise one that is moved often would wait for its customer without end.
    """
    request = contact.request
    if request is not None and request.is_here is False and request.leave_until_ms is None and contact.waits_live:
        emit_away(tx, contact, 0)
