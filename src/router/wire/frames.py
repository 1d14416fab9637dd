"""Every frame that crosses a WebSocket, both ways. JSON and MessagePack carry the same structs.

A client's first frame is ``hello``, within five seconds. Every later frame of a client has an ``id`` of its own choice and gets
exactly one ``ok`` or ``error`` with that id. A server may add fields and frame types: clients ignore what they do not know.
A server refuses what it does not know.
"""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.callbacks import CallbackFields, CallbackOutcome, TimeMs
from router.model.events import Event
from router.model.forecasts import ExpectedWait
from router.model.ids import Ident, Name
from router.model.policy import Attributes, CallbackMode, PrioritySeconds, Skills, StrictClass
from router.model.states import AgentState
from router.model.views import AgentView, ContactView, QueueView, WorkspaceView

FrameId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=8192)]
# ``gen:seq``. Anything else in it is no error: the client gets a fresh welcome.
ResumeFrom: TypeAlias = Annotated[str, Meta(max_length=128)]


# --- client to server ------------------------------------------------------------


class _Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What a client sends. Unknown fields are refused: a typo must not pass silently."""


class Hello(_Ask, frozen=True, kw_only=True, tag="hello"):
    """Who I am (unless the upgrade request said so by its Authorization header) and what I have seen already."""

    token: Token | None = None
    ticket: Token | None = None
    """A single-use ticket from ``POST /v1/ws-ticket``, for browsers."""
    resume: ResumeFrom | None = None
    """``gen:seq`` of the last frame seen: the events after it follow, or a fresh ``welcome``."""


class Refresh(_Ask, frozen=True, kw_only=True, tag="refresh"):
    """A newer token for the same subject, role and workspace, before the old one ends."""

    id: FrameId
    token: Token


class Ping(_Ask, frozen=True, kw_only=True, tag="ping"):
    """Application heartbeat; answered by ``pong``."""

    id: FrameId


class SetState(_Ask, frozen=True, kw_only=True, tag="set_state"):
    """Desktop: go ready, not ready or offline."""

    id: FrameId
    state: AgentState
    reason: Ident | None = None
    after_work: bool = False


class Accept(_Ask, frozen=True, kw_only=True, tag="accept"):
    """Desktop: take the offered contact."""

    id: FrameId
    offer_id: Ident


class Decline(_Ask, frozen=True, kw_only=True, tag="decline"):
    """Desktop: do not take it."""

    id: FrameId
    offer_id: Ident
    reason: Ident = "declined"


class Hold(_Ask, frozen=True, kw_only=True, tag="hold"):
    """Desktop: customer on hold."""

    id: FrameId
    assignment_id: Ident


class Unhold(_Ask, frozen=True, kw_only=True, tag="unhold"):
    """Desktop: customer off hold."""

    id: FrameId
    assignment_id: Ident


class Park(_Ask, frozen=True, kw_only=True, tag="park"):
    """Desktop: the customer is waited for; his conversation uses no capacity meanwhile."""

    id: FrameId
    assignment_id: Ident


class Unpark(_Ask, frozen=True, kw_only=True, tag="unpark"):
    """Desktop: go on with a parked conversation."""

    id: FrameId
    assignment_id: Ident


class ParkContactFrame(_Ask, frozen=True, kw_only=True, tag="park_contact"):
    """Gateway, supervisor: the customer is waited for."""

    id: FrameId
    contact_id: Ident


class UnparkContactFrame(_Ask, frozen=True, kw_only=True, tag="unpark_contact"):
    """Gateway, supervisor: the customer has written again. No error where the contact was not parked."""

    id: FrameId
    contact_id: Ident


class SetChannels(_Ask, frozen=True, kw_only=True, tag="set_channels"):
    """Desktop: take nothing new of these channels, and of all others as before."""

    id: FrameId
    paused: Annotated[tuple[Name, ...], Meta(max_length=32)]


class End(_Ask, frozen=True, kw_only=True, tag="end"):
    """Desktop, gateway, supervisor: the conversation is over."""

    id: FrameId
    contact_id: Ident
    reason: Ident = "ended"


class ExtendWrapUpFrame(_Ask, frozen=True, kw_only=True, tag="extend_wrap_up"):
    """Desktop: more time for wrap-up."""

    id: FrameId
    assignment_id: Ident
    extend_s: Annotated[int, Meta(ge=1, le=3600)]


class Complete(_Ask, frozen=True, kw_only=True, tag="complete"):
    """Desktop: done, with a disposition; ends the contact first where it is still open."""

    id: FrameId
    assignment_id: Ident
    disposition: Ident | None = None


# How long a contact may be kept for one agent.
WaitSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=7 * 86_400)]
PreferredAgents: TypeAlias = Annotated[tuple[Ident, ...], Meta(max_length=32)]


class Transfer(_Ask, frozen=True, kw_only=True, tag="transfer"):
    """Desktop: pass the contact on; exactly one of the two."""

    id: FrameId
    contact_id: Ident
    to_queue_id: Name | None = None
    to_agent_id: Ident | None = None
    wait_s: WaitSeconds | None = None
    """For an agent who cannot take it now: it waits so long for him alone."""
    back_s: WaitSeconds | None = None
    """And then so long for the one who passed it on, before everybody."""


class Consult(_Ask, frozen=True, kw_only=True, tag="consult"):
    """Desktop: ask another agent, or one of a queue, for advice; exactly one of the two."""

    id: FrameId
    contact_id: Ident
    to_queue_id: Name | None = None
    to_agent_id: Ident | None = None


class CompleteConsultFrame(_Ask, frozen=True, kw_only=True, tag="consult_complete"):
    """Desktop: pass the contact to the consulted agent."""

    id: FrameId
    contact_id: Ident


class CancelConsultFrame(_Ask, frozen=True, kw_only=True, tag="consult_cancel"):
    """Desktop: take the consult back, or end it."""

    id: FrameId
    contact_id: Ident


class Conference(_Ask, frozen=True, kw_only=True, tag="conference"):
    """Desktop: let the consulted agent talk with the customer, too."""

    id: FrameId
    contact_id: Ident


class Leave(_Ask, frozen=True, kw_only=True, tag="leave"):
    """Desktop: leave a conversation that another agent owns."""

    id: FrameId
    contact_id: Ident


class HandOverFrame(_Ask, frozen=True, kw_only=True, tag="hand_over"):
    """Desktop: leave a conference and let this participant own the contact."""

    id: FrameId
    contact_id: Ident
    to_agent_id: Ident


class ContactFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gateway says of a contact: the body of ``POST /v1/contacts`` and of ``submit``."""

    channel: Name
    queue_id: Name | None = None
    skills: Skills = {}
    priority_s: PrioritySeconds = 0
    strict_class: StrictClass = 0
    attributes: Attributes = {}
    ttl_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] | None = None
    reference: Ident | None = None
    """The gateway's own opaque id for it."""
    callback: CallbackFields | None = None
    """Set: the customer is not on the line; he is to be called."""
    preferred_agents: PreferredAgents = ()
    """Whom the customer belongs to, the dearest first: for plans with a step for the agents ``named``."""
    continues: Ident | None = None
    """The contact that this one goes on with: for plans with a step for the ``last`` agent."""


class Submit(_Ask, frozen=True, kw_only=True, tag="submit"):
    """Gateway: a new contact."""

    id: FrameId
    contact: ContactFields
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class Update(_Ask, frozen=True, kw_only=True, tag="update"):
    """Gateway, supervisor: change a contact in flight."""

    id: FrameId
    contact_id: Ident
    priority_s: PrioritySeconds | UnsetType = UNSET
    strict_class: StrictClass | UnsetType = UNSET
    skills: Skills | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    preferred_agents: PreferredAgents | UnsetType = UNSET


class Cancel(_Ask, frozen=True, kw_only=True, tag="cancel"):
    """Gateway: withdraw a contact that nobody has yet."""

    id: FrameId
    contact_id: Ident
    reason: Ident = "cancelled"


class Abandon(_Ask, frozen=True, kw_only=True, tag="abandon"):
    """Gateway: the customer has left."""

    id: FrameId
    contact_id: Ident


class Callback(_Ask, frozen=True, kw_only=True, tag="callback"):
    """Gateway, supervisor: the customer does not wait on the line; he is called when it is his turn, or at that time."""

    id: FrameId
    contact_id: Ident
    mode: CallbackMode | None = None
    channel: Name | None = None
    at_ms: TimeMs | None = None


class CallbackResult(_Ask, frozen=True, kw_only=True, tag="callback_result"):
    """Gateway, supervisor: how the call went that ``callback.due`` asked for."""

    id: FrameId
    contact_id: Ident
    outcome: CallbackOutcome
    attempt: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    """The number in ``callback.due``; none: the attempt under way."""


class AskExpectedWait(_Ask, frozen=True, kw_only=True, tag="expected_wait"):
    """Gateway, supervisor: how long a contact waits; either one that is there, or one that may come to a queue."""

    id: FrameId
    contact_id: Ident | None = None
    queue_id: Name | None = None
    channel: Name | None = None
    """This and what follows: of one that may come. Left out: the channel of which the queue has handled most."""
    skills: Skills = {}
    priority_s: PrioritySeconds = 0
    strict_class: StrictClass = 0


class Requeue(_Ask, frozen=True, kw_only=True, tag="requeue"):
    """Supervisor: (back) into a queue, with its age."""

    id: FrameId
    contact_id: Ident
    queue_id: Name | None = None


class Assign(_Ask, frozen=True, kw_only=True, tag="assign"):
    """Supervisor: give the contact to this agent."""

    id: FrameId
    contact_id: Ident
    agent_id: Ident


class AddParticipantFrame(_Ask, frozen=True, kw_only=True, tag="add_participant"):
    """Supervisor: put this agent into the conversation."""

    id: FrameId
    contact_id: Ident
    agent_id: Ident


class RemoveParticipant(_Ask, frozen=True, kw_only=True, tag="remove_participant"):
    """Supervisor: take this agent out of a conversation that another owns."""

    id: FrameId
    contact_id: Ident
    agent_id: Ident


class SetAgentStateFrame(_Ask, frozen=True, kw_only=True, tag="set_agent_state"):
    """Supervisor: another agent's state."""

    id: FrameId
    agent_id: Ident
    state: AgentState
    reason: Ident | None = None
    after_work: bool = False


class SetAgentChannelsFrame(_Ask, frozen=True, kw_only=True, tag="set_agent_channels"):
    """Supervisor: another agent takes nothing new of these channels, and of all others as before."""

    id: FrameId
    agent_id: Ident
    paused: Annotated[tuple[Name, ...], Meta(max_length=32)]


DesktopAsk: TypeAlias = (
    Hello
    | Refresh
    | Ping
    | SetState
    | Accept
    | Decline
    | Hold
    | Unhold
    | Park
    | Unpark
    | SetChannels
    | End
    | ExtendWrapUpFrame
    | Complete
    | Transfer
    | Consult
    | CompleteConsultFrame
    | CancelConsultFrame
    | Conference
    | Leave
    | HandOverFrame
)
GatewayAsk: TypeAlias = (
    Hello
    | Refresh
    | Ping
    | Submit
    | Update
    | Cancel
    | Abandon
    | End
    | ParkContactFrame
    | UnparkContactFrame
    | Callback
    | CallbackResult
    | AskExpectedWait
)
SupervisorAsk: TypeAlias = (
    Hello
    | Refresh
    | Ping
    | Update
    | Cancel
    | End
    | ParkContactFrame
    | UnparkContactFrame
    | Requeue
    | Assign
    | AddParticipantFrame
    | RemoveParticipant
    | SetAgentStateFrame
    | SetAgentChannelsFrame
    | Callback
    | CallbackResult
    | AskExpectedWait
)


# --- server to client ------------------------------------------------------------


class _Tell(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What the server sends."""


class Welcome(_Tell, frozen=True, kw_only=True, tag="welcome"):
    """The full state of what this client may see, after the event ``seq``; deltas follow."""

    role: str
    workspace: str
    gen: str
    epoch: int
    seq: int
    at_ms: int
    heartbeat_s: int
    session_id: str
    pages: int = 0
    """So many ``page`` frames follow before the first event: the rest of ``contacts`` and ``agents``."""
    agent: AgentView | None = None
    """Desktop: the agent himself, with offers and assignments."""
    contacts: tuple[ContactView, ...] = ()
    """Gateway: its live contacts."""
    figures: WorkspaceView | None = None
    """Supervisor."""
    agents: tuple[AgentView, ...] = ()
    """Supervisor."""


class Page(_Tell, frozen=True, kw_only=True, tag="page"):
    """The rest of a welcome that is too long for one frame."""

    contacts: tuple[ContactView, ...] = ()
    agents: tuple[AgentView, ...] = ()


class Resumed(_Tell, frozen=True, kw_only=True, tag="resumed"):
    """Nothing was missed that does not follow now: the events after ``seq`` up to ``until_seq``, then live."""

    role: str
    workspace: str
    gen: str
    epoch: int
    seq: int
    until_seq: int
    heartbeat_s: int
    session_id: str


class EventFrame(_Tell, frozen=True, kw_only=True, tag="event"):
    """A delta. ``seq`` never falls on a connection; numbers in between are events of others."""

    seq: int
    at_ms: int
    event: Event


class Figures(_Tell, frozen=True, kw_only=True, tag="figures"):
    """Supervisor: queues that changed, at most once a second."""

    seq: int
    at_ms: int
    queues: tuple[QueueView, ...]


class Ok(_Tell, frozen=True, kw_only=True, tag="ok"):
    """The command was carried out and is durable."""

    id: str
    seq: int = 0
    subject: str = ""
    state: str = ""
    replayed: bool = False
    expected_wait: ExpectedWait | None = None
    """Where that was asked."""


class ErrorFrame(_Tell, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """It was not. ``applied`` is ``no``, or ``unknown`` where the router cannot tell."""

    code: str
    title: str
    id: str | None = None
    detail: str = ""
    field: str | None = None
    state: str | None = None
    allowed: tuple[str, ...] = ()
    seq: int | None = None
    temporary: bool = False
    applied: str = "no"
    retry_after_ms: int | None = None
    opens_at_ms: int | None = None
    """Of a closed queue: when it opens, as far as is known."""


class Pong(_Tell, frozen=True, kw_only=True, tag="pong"):
    """The answer to ``ping``. ``seq``: whatever you may see up to here has been sent; resume from it."""

    id: str
    at_ms: int
    seq: int = 0


class Reconnect(_Tell, frozen=True, kw_only=True, tag="reconnect"):
    """This node is about to go: come back after that time (already jittered)."""

    after_ms: int


Tell: TypeAlias = (
    Welcome | Page | Resumed | EventFrame | Figures | Ok | ErrorFrame | Pong | Reconnect
)
