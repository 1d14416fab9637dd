"""States of contacts, offers, assignments, agents and queues, and phases and outcomes of callbacks; types of ids.

The transition tables are in ``engine/transitions.py``.

All ids are text; the aliases say what an id identifies.

Ids that come from outside match ``ID_PATTERN``, those of agents and gateways ``SUBJECT_PATTERN``. An offer's id is
``<contact_id>.<n>`` (the contact's n-th offer). The assignment that results from an accepted offer keeps the offer's id.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

ContactId: TypeAlias = str

AgentId: TypeAlias = str

QueueId: TypeAlias = str

OfferId: TypeAlias = str

AssignmentId: TypeAlias = str

GatewayId: TypeAlias = str

WorkspaceId: TypeAlias = str

SupervisorId: TypeAlias = str

TeamId: TypeAlias = str

# In Python `$` also matches before a trailing newline; the lookahead excludes it.
ID_PATTERN: Final = r"^[A-Za-z0-9._:-]{1,128}(?!\n)$"

# Identity providers name people by e-mail addresses and ids such as `auth0|5f7c`.
SUBJECT_PATTERN: Final = r"^[A-Za-z0-9._:@|-]{1,128}(?!\n)$"

NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}(?!\n)$"

# Codes that clients choose and the journal keeps, such as reasons: no address, no number of ten digits or more (a telephone number
# or a card, with or without separators), and nothing in the form of an IBAN. Check digits are not computed here.
NOT_PERSONAL: Final = (
    r"(?!(?:[0-9][._:-]*){10,}$)"
    r"(?!(?:[A-Za-z]{2}[0-9]{2})(?=(?:[^0-9]*[0-9]){8})(?:[._:-]?[A-Za-z0-9]{4}){2,7}[._:-]?[A-Za-z0-9]{0,3}$)"
    r"(?!(?:[tT][eE][lL]|[cC][aA][lL][lL][tT][oO]|[sS][iI][pP][sS]?|[mM][aA][iI][lL][tT][oO]):)"
)
CODE_PATTERN: Final = ID_PATTERN.replace("^", f"^{NOT_PERSONAL}", 1)

# An id chosen by a client.
Ident: TypeAlias = Annotated[str, Meta(pattern=ID_PATTERN, max_length=128)]

# A reason, a disposition or the name of a process, chosen by a client.
Code: TypeAlias = Annotated[str, Meta(pattern=CODE_PATTERN, max_length=128)]

# Stands for the reference of a contact in commands, events and state where the value is kept in the customer context. No id of a
# client has this form.
SEALED_REFERENCE: Final = "@"

# The id of an agent, a gateway or another subject of a token.
SubjectId: TypeAlias = Annotated[str, Meta(pattern=SUBJECT_PATTERN, max_length=128)]

# A name declared in a policy: of a queue, skill, channel or fact.
Name: TypeAlias = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=64)]


class ContactState(StrEnum):
    """State of a contact. Terminal: ``ended``, ``abandoned``, ``cancelled``, ``expired``."""

    QUEUED = "queued"
    """Waiting in its queue."""
    OFFERED = "offered"
    """Offered to at least one agent (ringing, alerting)."""
    ASSIGNED = "assigned"
    """An agent owns it, until the conversation ends."""
    CALLBACK_SCHEDULED = "callback_scheduled"
    """A callback that waits for its agreed time, for the next attempt, or for the customer to answer."""
    SUSPENDED = "suspended"
    """The conversation rests, without an agent and without capacity, until it is resumed."""
    CHOOSING = "choosing"
    """The customer has been shown options and has not chosen yet; it keeps a place and is offered to no agent."""
    ENDED = "ended"
    """The conversation is over."""
    ABANDONED = "abandoned"
    """The customer left before an answer."""
    CANCELLED = "cancelled"
    """Withdrawn before an answer, by the gateway or a supervisor."""
    EXPIRED = "expired"
    """Its time to live or the maximum wait of its queue was over, or its queue closed."""

    @property
    def is_terminal(self) -> bool:
        """Return whether the state is final."""
        return self in TERMINAL_CONTACT_STATES


TERMINAL_CONTACT_STATES: Final = (ContactState.ENDED, ContactState.ABANDONED, ContactState.CANCELLED, ContactState.EXPIRED)
"""Final states of a contact."""


class EndedBy(StrEnum):
    """Who or what ended a contact."""

    CUSTOMER = "customer"
    """The customer left: reported by the gateway as an abandon, or as an end with the reason ``customer_left``; or the customer of
    a request cancelled it, or did not return to it in time."""
    AGENT = "agent"
    """Its owner."""
    GATEWAY = "gateway"
    """Its gateway, for another reason than that the customer left."""
    SUPERVISOR = "supervisor"
    """A supervisor or an administrator."""
    TIMEOUT = "timeout"
    """A time was over: to live, to wait in the queue, to park, to call back, or to resume."""
    SYSTEM = "system"
    """The router, by the policy: the queue closed, or no attempt of a callback is left."""


class ResumeMode(StrEnum):
    """Whether a new contact of a customer with suspended conversations goes on with one of them."""

    NEVER = "never"
    """It is a new contact."""
    AUTO = "auto"
    """The only suspended conversation is resumed; of several, the customer of a request chooses, and any other contact is new."""
    ASK = "ask"
    """The customer chooses one of them or something new; the newest is resumed where nothing is chosen in time."""


class RequestPhase(StrEnum):
    """State of a request as its customer is told."""

    CHOOSING = "choosing"
    """The customer has been shown options."""
    WAITING = "waiting"
    """The customer waits for an agent."""
    CALLBACK = "callback"
    """The customer will be called back."""
    CALLING = "calling"
    """The customer is being called."""
    CONNECTED = "connected"
    """An agent has joined."""
    ON_HOLD = "on_hold"
    """The agent has put the customer on hold."""
    SUSPENDED = "suspended"
    """It rests until the customer resumes it."""
    ENDED = "ended"
    """It is over; the outcome says how."""


class RequestOutcome(StrEnum):
    """How a request ended, as its customer is told."""

    COMPLETED = "completed"
    """The conversation with an agent is over."""
    LEFT = "left"
    """The customer left or cancelled."""
    CANCELLED = "cancelled"
    """The request was withdrawn for the customer."""
    REPLACED = "replaced"
    """The customer has made a new request."""
    RESUMED = "resumed"
    """The customer went on with an earlier conversation instead, that of ``resumed_id``."""
    NO_AGENT = "no_agent"
    """No agent could take it in time."""
    CLOSED = "closed"
    """The queue has closed."""
    NOT_REACHED = "not_reached"
    """The customer could not be reached by telephone."""


class OfferState(StrEnum):
    """State of an offer. A pending offer ends in exactly one of the other four states."""

    PENDING = "pending"
    """Waiting for the agent's answer."""
    ACCEPTED = "accepted"
    """Accepted; it is an assignment now."""
    DECLINED = "declined"
    """Declined by the agent."""
    EXPIRED = "expired"
    """Not answered before the deadline."""
    RESCINDED = "rescinded"
    """Withdrawn by the router."""


class AssignmentState(StrEnum):
    """State of an assignment."""

    ACTIVE = "active"
    """The agent is in the conversation."""
    ON_HOLD = "on_hold"
    """The customer is on hold."""
    PARKED = "parked"
    """The agent waits for the customer's reply; no capacity is used."""
    WRAP_UP = "wrap_up"
    """The conversation is over; the agent completes the work on it."""
    COMPLETED = "completed"
    """Finished."""


class AssignmentRole(StrEnum):
    """Role of an agent in a conversation."""

    OWNER = "owner"
    """May end, transfer and hand over the contact; an assigned contact has exactly one owner."""
    CONSULT = "consult"
    """Advises the owner and is not connected to the customer."""
    PARTICIPANT = "participant"
    """Is in the conversation with the owner and the customer."""


class AgentState(StrEnum):
    """State that an agent has chosen. A busy agent has no state of its own: the agent is ``ready`` without free capacity."""

    OFFLINE = "offline"
    """Signed out."""
    NOT_READY = "not_ready"
    """Signed in, but gets no offers."""
    READY = "ready"
    """Gets offers within the free capacity."""


class MatchTrigger(StrEnum):
    """What caused a match: an agent had become available, or a contact had entered a queue."""

    AGENT = "agent"
    """The agent had become available and took the first contact in order."""
    CONTACT = "contact"
    """The contact had entered a queue and the selection chose the agent."""


class Presence(StrEnum):
    """Whether a desktop is connected for the agent. It is not the agent's availability, which is the state."""

    NONE = "none"
    """No desktop: none has connected yet, or the grace period has ended. The agent can be controlled over HTTP."""
    ATTACHED = "attached"
    """A desktop is connected."""
    LOST = "lost"
    """The desktop has disconnected and the grace period is running."""


class QueueState(StrEnum):
    """Whether a queue accepts contacts now."""

    OPEN = "open"
    """Contacts are accepted."""
    CLOSED = "closed"
    """Contacts are handled by ``when_closed`` of the policy."""


class CallbackInClosedHours(StrEnum):
    """What happens to an agreed time at which the queue is closed."""

    ADJUST = "adjust"
    """The callback is scheduled for the next opening, which the reply tells."""
    REFUSE = "refuse"
    """The request is refused, with the next opening."""


class IfUnable(StrEnum):
    """What happens to a switch to a channel for which the agent of the contact has no capacity."""

    REFUSE = "refuse"
    """It is refused; nothing changes."""
    QUEUE = "queue"
    """It waits until this agent can, or another one accepts the contact on that channel. The old channel is kept meanwhile."""
    CONSULT = "consult"
    """It waits until this agent can, or another one accepts a consult on that channel: both agents have the conversation until the
    owner completes the consult, which is the switch, or ends it. The old channel is kept meanwhile, and is not put on hold."""


class ChannelOutcome(StrEnum):
    """Outcome of connecting a customer on another channel, as reported by the gateway."""

    CONNECTED = "connected"
    """The customer is on the new channel."""
    FAILED = "failed"
    """The customer could not be connected; the old channel stands."""


class MonitorMode(StrEnum):
    """How a supervisor takes part in a conversation."""

    LISTEN = "listen"
    """Hears or reads it, without being heard."""
    WHISPER = "whisper"
    """Is heard by the agent only, not by the customer."""
    BARGE = "barge"
    """Is in the conversation with agent and customer."""


class MonitorOutcome(StrEnum):
    """What the gateway reports about a supervisor who is to join a conversation."""

    JOINED = "joined"
    """The supervisor is connected in that mode."""
    FAILED = "failed"
    """The supervisor could not be connected in that mode; an earlier mode stands."""
    LEFT = "left"
    """The supervisor is connected no more: they have hung up, or the connection is lost."""


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
    """The customer is on the line."""
    NO_ANSWER = "no_answer"
    """The customer did not answer."""
    BUSY = "busy"
    """The customer's line was busy."""
    VOICEMAIL = "voicemail"
    """A machine answered."""
    FAILED = "failed"
    """The call could not be made."""


class GoalOutcome(StrEnum):
    """Whether a customer got done what they came for."""

    DONE = "done"
    """It is done."""
    PARTLY = "partly"
    """A part of it is done."""
    NOT_DONE = "not_done"
    """It is not done."""
    UNKNOWN = "unknown"
    """It was not reported, or a report was withdrawn."""


class GoalReporter(StrEnum):
    """Who or what named the goal of a contact, reported its outcome or gave a score."""

    GATEWAY = "gateway"
    """The gateway of the contact."""
    AGENT = "agent"
    """An agent who had the contact."""
    SUPERVISOR = "supervisor"
    """A supervisor or an administrator."""
    CUSTOMER = "customer"
    """The customer, with the token of their request, or in a survey whose answer the gateway passed on."""
    RULE = "rule"
    """The entry rule that chose the queue."""
    POLICY = "policy"
    """``goals.default`` of the policy."""
    DISPOSITION = "disposition"
    """The disposition of the last owner, by ``dispositions`` of the policy."""
    JOURNEY = "journey"
    """A step of the journey of the customer, by ``done_by`` of the policy."""


class GoalChange(StrEnum):
    """What has changed of the goal of a contact."""

    SET = "set"
    """Its goal was named, or another one was."""
    REPORTED = "reported"
    """Its outcome was reported, or corrected."""
    SCORED = "scored"
    """It got scores, or other ones."""
    REPEATED = "repeated"
    """Its customer came again, or the contact by which they did has another goal after all."""
    COUNTED = "counted"
    """The contact is over, its last wrap-up included: it counts in the statistics from now on, where it happened."""
