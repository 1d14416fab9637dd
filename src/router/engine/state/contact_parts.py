"""Parts of a contact's record: callback, suspension, request of its customer, switch of its channel, supervisors who listen.

A contact has a part only while it needs it: most contacts have none.
"""

from msgspec import Struct

from router.model.events.contact import ContactOption
from router.model.filters import SupervisorScope
from router.model.policy import CallbackMode, CallbackQueuePosition, SuspensionEnd
from router.model.states import AgentId, AssignmentId, CallbackPhase, ContactId, IfUnable, MonitorMode, QueueId, SupervisorId


class CallbackState(Struct, kw_only=True, gc=False):
    """Progress of a contact that is a callback."""

    mode: CallbackMode
    place: CallbackQueuePosition
    phase: CallbackPhase = CallbackPhase.WAITING
    attempts: int = 0
    """Number of attempts started so far."""
    scheduled_at_ms: int | None = None
    """Time agreed with the customer, epoch milliseconds."""
    due_at_ms: int | None = None
    """When its timer fires: at the agreed time, at the next attempt, or when the report of an attempt is overdue."""
    expires_at_ms: int | None = None
    for_agent_id: AgentId | None = None
    """Agent that gets the customer being dialled, while the contact has no owner."""
    outcome: str | None = None
    outcome_seq: int = 0
    """Result of the last attempt, and the ``seq`` of the event that recorded it."""
    has_window: bool = False
    """Whether ``expires_at_ms`` is the end of a time window that was agreed."""
    requested_at_ms: int | None = None
    """Time that was asked for, if another one was agreed because the queue is closed then."""
    claimed_by: str | None = None
    claimed_until_ms: int | None = None
    """Process of the gateway that makes the present call, and the end of its claim."""

    def end_claim(self) -> None:
        """Forget the claim: the call that it was for has ended, or another one begins."""
        if self.claimed_by is not None:
            self.claimed_by = self.claimed_until_ms = None


class SuspensionState(Struct, kw_only=True, gc=False):
    """The latest suspension of a contact, kept after it is resumed or has ended."""

    suspended_at_ms: int
    suspended_seq: int
    """``seq`` of the event that suspended it."""
    age_ms: int
    """Its age when it was suspended."""
    resume_by_ms: int
    """A reset of the router's clock moves it, and the warning, only where it was not agreed: see ``snapshots.shift``."""
    at_expiry: SuspensionEnd
    warning_ms: int | None = None
    """When the warning is due; None: there is none, or it has been given."""
    ttl_left_ms: int | None = None
    resumed_seq: int = 0  # 0: it has not been resumed.

    @property
    def due_ms(self) -> int:
        """Return when its timer fires: for the warning, then for the end."""
        return self.resume_by_ms if self.warning_ms is None else self.warning_ms


class RequestState(Struct, kw_only=True, gc=False):
    """What a contact keeps of the request of its customer."""

    token_hash: bytes | None = None
    options: tuple[ContactOption, ...] = ()
    """Options that the customer is shown; empty once one is chosen."""
    default_option: str = ""
    choose_until_ms: int | None = None
    """When the default option is taken; None: an option is chosen."""
    queue_id: QueueId | None = None
    """Queue named in the request; None: entry rules choose it."""
    ttl_s: int | None = None
    chosen: str | None = None
    is_here: bool | None = None
    """Whether the app of the customer is connected; None: it has not been seen, or nothing depends on it."""
    run: str = ""  # Start of the node to which the app was connected last; empty: there is one node.
    leave_until_ms: int | None = None
    """Until when the customer has to return, while the contact waits; None: nothing ends the wait for this."""
    former_id: ContactId | None = None
    resumed_id: ContactId | None = None
    """Former request of its token, and contact with which its customer goes on instead."""


class ChannelSwitch(Struct, kw_only=True, gc=False):
    """Switch of a conversation to another channel, in progress."""

    channel: str
    reference: str | None
    requested_seq: int
    """``seq`` of the event that began it."""
    deadline_ms: int | None = None
    """When the gateway must have connected the customer; None: it waits for an agent with capacity for the channel."""
    if_unable: IfUnable = IfUnable.QUEUE
    """What another agent is offered while it waits."""
    gateway_id: str = ""
    """Gateway that is to connect the customer; empty: the contact's own."""
    to_assignment_id: AssignmentId | None = None
    """Assignment, on the new channel, whose agent owns the contact once the customer is connected; None: the owner's."""


class MonitorState(Struct, frozen=True, kw_only=True, gc=False):
    """A supervisor who has joined the conversation, or is to join it."""

    supervisor_id: SupervisorId
    agent_id: AgentId
    assignment_id: AssignmentId
    channel: str
    gateway_id: str
    """Agent, channel and gateway of the conversation that was joined: with another one, it is over."""
    requested_at_ms: int
    """When the supervisor asked for it first."""
    mode: MonitorMode | None = None
    """Mode in which the supervisor is in the conversation; None: not yet."""
    joined_at_ms: int | None = None
    wanted: MonitorMode | None = None
    """Mode that the gateway is asked for; None: nothing is requested."""
    deadline_ms: int | None = None
    """When the gateway must have reported."""
    until_ms: int | None = None
    """When it ends."""
    is_hidden: bool = False
    """Whether the agent does not see it."""
    scope: SupervisorScope | None = None


def phase_when_taken(callback: CallbackState) -> CallbackPhase:
    """Return the phase of a callback once an agent has it: a call in progress continues, another wait is over."""
    phase = callback.phase
    return CallbackPhase.WAITING if phase in (CallbackPhase.SCHEDULED, CallbackPhase.RETRY) else phase
