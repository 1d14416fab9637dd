"""Results of commands: the events and the result of a transaction, or the refusal that left no event.

Refusals are values and never raised. A refusal's number is never reused.
"""

from enum import IntEnum
from typing import TypeAlias

from msgspec import Struct

from router.model.events import Event


class RefusalCode(IntEnum):
    """Reason of a refusal. The name in lower case is the stable ``code`` of the APIs and metrics."""

    UNKNOWN_CONTACT = 1
    UNKNOWN_AGENT = 2
    UNKNOWN_QUEUE = 3
    UNKNOWN_CHANNEL = 4
    UNKNOWN_SKILL = 5
    UNKNOWN_OFFER = 6
    UNKNOWN_ASSIGNMENT = 7
    UNKNOWN_FACT = 8
    INVALID_VALUE = 9
    UNKNOWN_GOAL = 10

    OFFER_NOT_PENDING = 20
    """The offer has ended; the detail says how and by which event."""
    INVALID_CONTACT_STATE = 21
    """The contact's state does not allow the command; the detail names the state and what it allows."""
    INVALID_ASSIGNMENT_STATE = 22
    INVALID_AGENT_STATE = 23
    AGENT_BUSY = 24
    """The agent still has offers or assignments."""
    CAPACITY_EXCEEDED = 25
    NOT_OWNER = 26
    AGENT_UNAVAILABLE = 27
    """The target agent of a transfer cannot take the contact now."""
    WRAP_UP_LIMIT_EXCEEDED = 28
    INVALID_CONSULT_STATE = 29
    """There is no consult, or there is one already; the state is ``none``, ``pending`` or ``running``."""
    NOT_PARTICIPANT = 31
    """The agent is neither consulted nor a participant of the conversation."""
    PARTICIPANT_LIMIT_EXCEEDED = 33
    """The channel's ``participants_max`` is reached."""

    CONTACT_EXISTS = 40
    IDEMPOTENCY_KEY_REUSED = 41
    """The idempotency key was used with another payload."""
    QUEUE_FULL = 42
    NO_MATCHING_QUEUE = 43
    """No queue was named, no entry rule matches, and there is no default queue."""
    QUEUE_CLOSED = 44
    """``opens_at_ms`` is the next opening, if known."""
    NO_AGENTS_READY = 45
    """No qualified agent is READY, and the queue's policy refuses contacts then."""

    CALLBACK_NOT_OFFERED = 46
    """The contact's queue does not offer callbacks."""
    INVALID_CALLBACK_TIME = 47
    """The time is in the past, further ahead than the queue's ``schedule_max_s``, or in closed hours."""
    CALLBACK_EXISTS = 48
    """The contact is already a callback, on other terms."""
    CALLBACK_CLAIMED = 49
    """Another connection of the gateway has claimed the call."""

    RESUME_EXPIRED = 50
    """The contact was not resumed in time and has expired."""
    SUSPENDED_LIMIT = 51
    """The workspace, or the customer, has as many suspended contacts as it may have."""
    CHANNEL_NOT_POSSIBLE = 52
    """The agent of the contact has no capacity for the channel; the detail names the possible ones."""
    CUSTOMER_HAS_ANSWERED = 56
    """The outcome or the score is the answer of the customer, which an agent does not replace."""
    MONITORING_NOT_ALLOWED = 53
    """The policy does not permit supervisors to join conversations of the queue in this mode."""
    MONITOR_LIMIT_EXCEEDED = 54
    """The conversation, or the supervisor, has as many monitors as the policy permits."""

    INVALID_POLICY = 60
    POLICY_VERSION_CONFLICT = 61
    DRAIN_TARGET_REQUIRED = 62
    CHANNEL_IN_USE = 63
    NO_SHADOW_POLICY = 64
    """No shadow policy is set."""
    NO_SCHEDULED_POLICY = 65
    """No policy is scheduled."""

    OPTION_NOT_AVAILABLE = 80
    """The option, or the time window, is none of those shown to the customer."""
    TOO_MANY_REQUESTS = 81
    """As many customers of the workspace as allowed are choosing now."""

    PRECONDITION_FAILED = 70
    """The object has another entity tag than the client named; the detail names the present one."""
    PRECONDITION_REQUIRED = 71
    """The command would replace something, and the client did not name the entity tag that it has seen."""

    WORKSPACE_EXISTS = 90
    """The workspace has a history already."""
    WORKSPACE_IN_USE = 91
    """The workspace has live contacts or agents, or the settings name it."""
    WORKSPACE_REMOVED = 92
    """The workspace was removed, and nothing is done in it any more."""


class Refused(Struct, frozen=True, kw_only=True):
    """A refused command: it left no event.

    ``field`` is the offending field of the command, ``state`` the present state, ``allowed`` what the state allows, ``seq``
    the event that led to the refusal. Never contains a value sent by the caller.
    """

    code: RefusalCode
    detail: str = ""
    field: str | None = None
    state: str | None = None
    allowed: tuple[str, ...] = ()
    seq: int | None = None
    opens_at_ms: int | None = None
    """Next opening of a closed queue."""


class Done(Struct, frozen=True, gc=False):
    """The command was carried out. ``subject`` is the id of the object concerned, ``state`` its state afterwards."""

    subject: str
    state: str
    seq: int = 0
    """Sequence number of the event that did it; for a repeated command, that of the first time."""
    replayed: bool = False
    """True if the same command had been carried out before and nothing changed now."""
    tag: str | None = None
    """Entity tag of the object afterwards, where the command was guarded and the object has one."""
    due_at_ms: int | None = None
    """Agreed time of a callback, which may differ from the requested one; None: it has none."""


CommandResult: TypeAlias = Done | Refused


class Outcome(Struct, frozen=True, gc=False):
    """One transaction of a workspace.

    Its events have the numbers ``first_seq``, ``first_seq + 1``, … and the time ``at_ms``; all or none become durable.
    """

    result: CommandResult
    first_seq: int
    at_ms: int
    events: list[Event]
