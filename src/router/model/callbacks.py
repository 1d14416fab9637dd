"""Callbacks: their terms, their phases and the outcomes of dialling.

The router holds no telephone number. The gateway that submitted the contact knows the number; the router says when to
dial and for which agent.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.ids import Name
from router.model.policy import CallbackMode

# End of the year 9999. A later time is a mistake in the unit.
TIME_MAX_MS: Final = 253_402_300_799_999
TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=TIME_MAX_MS)]


class CallbackFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of a callback. An omitted field takes the value of the queue's policy."""

    mode: CallbackMode | None = None
    channel: Name | None = None
    """Channel whose capacity the callback uses from now on."""
    at_ms: TimeMs | None = None
    """Earliest time of the call (epoch milliseconds); none: when the contact reaches the head of its queue."""


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
