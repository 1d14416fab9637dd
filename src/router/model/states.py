"""States of contacts, offers, assignments, agents and queues, and phases and outcomes of callbacks.

The transition tables are in ``engine/transitions.py``.
"""

from enum import StrEnum
from typing import Final


class ContactState(StrEnum):
    """State of a contact. The last four are terminal."""

    QUEUED = "queued"
    OFFERED = "offered"
    ASSIGNED = "assigned"
    CALLBACK_SCHEDULED = "callback_scheduled"
    """A callback that waits for its agreed time, for the next attempt, or for the customer to answer."""
    ENDED = "ended"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Return whether the state is final."""
        return self in TERMINAL_CONTACT_STATES


TERMINAL_CONTACT_STATES: Final = (
    ContactState.ENDED,
    ContactState.ABANDONED,
    ContactState.CANCELLED,
    ContactState.EXPIRED,
)
"""Final states of a contact."""


class OfferState(StrEnum):
    """State of an offer. A pending offer ends in exactly one of the other four states."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    RESCINDED = "rescinded"


class AssignmentState(StrEnum):
    """State of an assignment. A ``PARKED`` one waits for the customer and uses no capacity."""

    ACTIVE = "active"
    ON_HOLD = "on_hold"
    PARKED = "parked"
    WRAP_UP = "wrap_up"
    COMPLETED = "completed"


class AssignmentRole(StrEnum):
    """Role of an agent in a conversation.

    ``OWNER``: may end, transfer and hand over the contact; an assigned contact has exactly one. ``CONSULT``: advises the
    owner and is not connected to the customer. ``PARTICIPANT``: is in the conversation with owner and customer.
    """

    OWNER = "owner"
    CONSULT = "consult"
    PARTICIPANT = "participant"


class AgentState(StrEnum):
    """State that an agent has chosen. There is no state "busy": a busy agent has no free capacity."""

    OFFLINE = "offline"
    NOT_READY = "not_ready"
    READY = "ready"


class MatchTrigger(StrEnum):
    """What caused a match: an agent had become available, or a contact had entered a queue."""

    AGENT = "agent"
    CONTACT = "contact"


class Presence(StrEnum):
    """Whether a desktop is connected for the agent.

    ``NONE``: no desktop has ever connected (the agent is controlled over HTTP). ``LOST`` lasts until the grace period ends.
    """

    NONE = "none"
    ATTACHED = "attached"
    LOST = "lost"


class QueueState(StrEnum):
    """Whether a queue accepts contacts now."""

    OPEN = "open"
    CLOSED = "closed"


class CallbackPhase(StrEnum):
    """Phase of a callback, in addition to the contact's state."""

    WAITING = "waiting"
    """Waiting in its queue, or assigned to an agent while dialling has not begun."""
    SCHEDULED = "scheduled"
    """Waiting for the agreed time."""
    DIALLING = "dialling"
    """The gateway is calling the customer; it must report the outcome before ``due_at_ms``."""
    RETRY = "retry"
    """The customer was not reached; the next attempt is at ``due_at_ms``."""
    CONNECTED = "connected"
    """The customer is on the line; the contact is treated like any other."""


class CallbackOutcome(StrEnum):
    """Outcome of one attempt, as reported by the gateway."""

    CONNECTED = "connected"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"
