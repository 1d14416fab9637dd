"""The states of contacts, offers, assignments and agents. Which may follow which stands in ``core/transitions.py``."""

from enum import StrEnum
from typing import Final


class ContactState(StrEnum):
    """Where a contact is in its life. The last four are terminal."""

    QUEUED = "queued"
    OFFERED = "offered"
    ASSIGNED = "assigned"
    CALLBACK_SCHEDULED = "callback_scheduled"
    """A callback that waits for its time, for another try, or for the customer to answer."""
    ENDED = "ended"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """True once nothing can happen to the contact any more."""
        return self in TERMINAL


TERMINAL: Final = (
    ContactState.ENDED,
    ContactState.ABANDONED,
    ContactState.CANCELLED,
    ContactState.EXPIRED,
)
"""The states in which nothing can happen to a contact any more."""


class OfferState(StrEnum):
    """An offer has exactly one end, and each end has its own name."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    RESCINDED = "rescinded"


class AssignmentState(StrEnum):
    """Work with a customer, then work after him. ``PARKED``: the customer is to be waited for; it uses no capacity."""

    ACTIVE = "active"
    ON_HOLD = "on_hold"
    PARKED = "parked"
    WRAP_UP = "wrap_up"
    COMPLETED = "completed"


class AssignmentRole(StrEnum):
    """What an agent is to the contact that he works on. Only the owner decides about it; a contact has exactly one.

    ``CONSULT``: asked for advice, hears the owner alone. ``PARTICIPANT``: in the conversation with owner and customer.
    """

    OWNER = "owner"
    CONSULT = "consult"
    PARTICIPANT = "participant"


class AgentState(StrEnum):
    """What an agent says of himself. "Busy" is no state: it is capacity used up."""

    OFFLINE = "offline"
    NOT_READY = "not_ready"
    READY = "ready"


class Turn(StrEnum):
    """Whose turn it was when two were brought together: an agent had become free, or a contact had come."""

    AGENT = "agent"
    CONTACT = "contact"


class Presence(StrEnum):
    """Whether a desktop stands behind the agent.

    ``NONE``: no desktop was ever attached (the agent is driven over HTTP). ``LOST`` lasts until the grace period ends.
    """

    NONE = "none"
    ATTACHED = "attached"
    LOST = "lost"


class QueueState(StrEnum):
    """Whether a queue takes contacts now."""

    OPEN = "open"
    CLOSED = "closed"
