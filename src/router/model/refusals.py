"""Refusals: facts that stand in the way of a command. Returned as values, never raised; numbered once, never reused."""

from enum import IntEnum

from msgspec import Struct


class RefusalCode(IntEnum):
    """The name in lower case is the stable ``code`` on the wire and in metrics."""

    UNKNOWN_CONTACT = 1
    UNKNOWN_AGENT = 2
    UNKNOWN_QUEUE = 3
    UNKNOWN_CHANNEL = 4
    UNKNOWN_SKILL = 5
    UNKNOWN_OFFER = 6
    UNKNOWN_ASSIGNMENT = 7
    UNKNOWN_FACT = 8
    INVALID_VALUE = 9

    OFFER_GONE = 20
    """The offer ended before; the detail names how and at which seq."""
    CONTACT_STATE = 21
    """The contact's state does not allow it; the detail names the state and what it allows."""
    ASSIGNMENT_STATE = 22
    AGENT_STATE = 23
    AGENT_BUSY = 24
    """The agent still has offers or assignments."""
    CAPACITY_EXCEEDED = 25
    NOT_OWNER = 26
    AGENT_UNAVAILABLE = 27
    """The agent named for a transfer cannot take it now."""
    WRAP_UP_LIMIT = 28
    CONSULT_STATE = 29
    """There is no consult, or one already; the state is ``none``, ``pending`` or ``running``."""
    NOT_PARTICIPANT = 31
    """The agent named is not in the conversation beside its owner."""
    PARTICIPANTS_LIMIT = 33
    """The channel's ``participants_max`` agents are in it beside the owner."""

    CONTACT_EXISTS = 40
    KEY_REUSED = 41
    """The idempotency key was used for another payload."""
    QUEUE_FULL = 42
    NO_QUEUE = 43
    """No queue named, no entry rule holds, no default queue."""
    QUEUE_CLOSED = 44
    """``opens_at_ms`` says until when, where that is known."""
    NOBODY_THERE = 45
    """Nobody who qualifies is READY, and the queue takes nobody then."""

    CALLBACK_NOT_OFFERED = 46
    """The contact's queue has no callbacks."""
    CALLBACK_TIME = 47
    """The time is in the past, or further ahead than the queue agrees to."""
    CALLBACK_EXISTS = 48
    """It is a callback already, on other terms."""

    POLICY_INVALID = 60
    POLICY_VERSION = 61
    DRAIN_REQUIRED = 62
    CHANNEL_IN_USE = 63
    NO_SHADOW = 64
    """No policy runs beside the one in force."""


class Refused(Struct, frozen=True, kw_only=True):
    """Why a command left no event.

    ``field`` names the offending field of the command, ``state`` the present state, ``allowed`` what would be possible,
    ``seq`` the event that decided otherwise. Never holds a value that the caller sent.
    """

    code: RefusalCode
    detail: str = ""
    field: str | None = None
    state: str | None = None
    allowed: tuple[str, ...] = ()
    seq: int | None = None
    opens_at_ms: int | None = None
    """Of a closed queue: when it opens."""
