"""Words of callbacks: what may be asked for, how dialling can go, where a callback is. No telephone number is among them.

The gateway that submitted the contact knows whom to call; the router says when, and for whom.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from router.model.ids import Name
from router.model.policy import CallbackMode

# The end of the year 9999: a time beyond it is a slip of units.
TIME_MAX_MS: Final = 253_402_300_799_999
TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=TIME_MAX_MS)]


class CallbackFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a callback; what is left out is the queue's policy."""

    mode: CallbackMode | None = None
    channel: Name | None = None
    """The channel that the callback uses up from now on."""
    at_ms: TimeMs | None = None
    """Not before this time (epoch milliseconds); none: as soon as it is its turn."""


class CallbackPhase(StrEnum):
    """Where a callback is. The contact's state says the rest."""

    WAITING = "waiting"
    """In line, or in the hands of an agent for whom dialling has not begun."""
    SCHEDULED = "scheduled"
    """For the time that was agreed."""
    DIALLING = "dialling"
    """The gateway calls the customer; it reports the outcome before ``due_at_ms``."""
    RETRY = "retry"
    """Not reached; tried again at ``due_at_ms``."""
    CONNECTED = "connected"
    """The customer is there: from now on a contact like any other."""


class CallbackOutcome(StrEnum):
    """How one attempt went, as the gateway reports it."""

    CONNECTED = "connected"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"
