"""What has happened. Events are the only thing that changes a workspace's state, and the only thing the journal keeps.

An event does not carry its own position or time: the record that holds it does (``seq`` of its first event, ``at_ms``).
The ``tag`` strings are for ever: they stand in journals. Fields are only ever added, with a default.
``gateway_id`` on contact events says which gateway hears of them; ``agent_id``, which desktop. ``members`` is everybody in the
conversation once the event has happened, by agent, where anybody is or was in it beside its owner: they hear of it, too.
"""

from typing import TypeAlias

from msgspec import Struct

from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, OfferId, QueueId
from router.model.policy import CallbackMode, CallbackPlace, FactValue, Policy
from router.model.states import AgentState, AssignmentRole, Turn


class _Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="type", omit_defaults=True):
    """Frozen, keyword-only, with a stable tag; defaults are left out of the journal."""


class AskedFor(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a gateway asked for, where an entry rule, the default queue or a full queue made something else of it."""

    queue_id: QueueId | None = None
    """None: it named no queue."""
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0


class ContactQueued(_Event, frozen=True, kw_only=True, tag="contact.queued"):
    """A contact was submitted and waits. Its place in line counts from here for as long as it lives."""

    contact_id: ContactId
    channel: str
    queue_id: QueueId
    req: str
    """The requirement class, as text: channel, queue and skills with their levels."""
    cfg: int
    """The policy version it was decided under."""
    skills: dict[str, int] = {}
    """The contact's own requirement (the queue's is added to it)."""
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    """When it overflows or expires from this queue."""
    hops: int = 0
    """Overflows on its way into this queue."""
    gateway_id: GatewayId = ""
    reference: str | None = None
    dedupe_key: bytes | None = None
    fingerprint: bytes | None = None
    asked: AskedFor | None = None
    """None: it is in the queue that it named, with what it asked for. Whoever decides anew (a shadow) begins from this."""
    plan: str | None = None
    """Its own plan; none: the queue's, where it has one."""
    step: int = 0
    """The first step of the plan that was not skipped."""
    step_until_ms: int | None = None
    """When that step ends."""
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    rule: str | None = None
    """The entry rule that gave it its queue; none: the gateway named one, or ``by_default``."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules that failed for it before one held: a fact was missing, a number overflowed."""
    by_default: bool = False
    """It named no queue, and no rule held: the policy's default queue."""


class ContactUpdated(_Event, frozen=True, kw_only=True, tag="contact.updated"):
    """Priority, class, requirement or attributes of a live contact are now these."""

    contact_id: ContactId
    req: str
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0
    attributes: dict[str, FactValue] = {}
    agent_id: AgentId | None = None
    """The owner, where it has one."""
    gateway_id: GatewayId = ""
    preferred_agents: tuple[AgentId, ...] = ()
    members: dict[AgentId, AssignmentRole] | None = None


class ContactRequeued(_Event, frozen=True, kw_only=True, tag="contact.requeued"):
    """The contact waits again, at its old age. ``agent_id``: the agent who lost it, where there was one.

    Reasons: ``declined``, ``rona``, ``rescinded``, ``transferred``, ``supervisor``, ``lost_desktop``, ``transfer_back``,
    ``owner_away``, ``drained``, ``stays`` (it would overflow and cannot: the queues along the way are closed, or it has done so too
    often), ``callback_due`` (its time has come).
    """

    contact_id: ContactId
    queue_id: QueueId
    req: str
    reason: str
    orig_seq: int
    """The seq of its ContactQueued: equal priorities go by this."""
    wait_until_ms: int | None = None
    preferred_agent_id: AgentId | None = None
    preferred_until_ms: int | None = None
    """Until then nobody else may have it."""
    agent_id: AgentId | None = None
    cool_down_until_ms: int | None = None
    """Until then ``agent_id`` does not get it again."""
    gateway_id: GatewayId = ""
    queued_at_ms: int | None = None
    """Its age counts from here from now on; none: as before."""
    plan: str | None = None
    step: int = 0
    step_until_ms: int | None = None
    back_agent_id: AgentId | None = None
    """Who may have it next when ``preferred_agent_id`` has not taken it, before everybody."""
    back_ms: int | None = None
    """For how long."""


class ContactOverflowed(_Event, frozen=True, kw_only=True, tag="contact.overflowed"):
    """Leaves one queue and waits on in another, at its old age.

    Reasons: ``wait_max`` (it waited too long), ``closed`` (the queue closed).
    """

    contact_id: ContactId
    from_queue_id: QueueId
    queue_id: QueueId
    req: str
    wait_until_ms: int | None = None
    reason: str = "wait_max"
    hops: int = 1
    """More than one: closed queues on the way sent it on at once."""
    gateway_id: GatewayId = ""
    plan: str | None = None
    step: int = 0
    step_until_ms: int | None = None


class ContactRelaxed(_Event, frozen=True, kw_only=True, tag="contact.relaxed"):
    """The time of the preferred agent is over: everybody eligible may have it."""

    contact_id: ContactId
    req: str
    gateway_id: GatewayId = ""


class ContactStepEntered(_Event, frozen=True, kw_only=True, tag="contact.step_entered"):
    """Another step of its plan holds. Reasons: ``time``, ``absent`` (no preferred agent is there any more), ``policy``."""

    contact_id: ContactId
    queue_id: QueueId
    step: int
    req: str
    reason: str
    step_until_ms: int | None = None
    """When it ends; none: it is the last."""
    gateway_id: GatewayId = ""


class ContactAssigned(_Event, frozen=True, kw_only=True, tag="contact.assigned"):
    """A supervisor gave the contact to an agent. ``from_agent_id`` owned it until this very event."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    units: int
    waited_ms: int
    channel: str = ""
    queue_id: QueueId = ""
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_assignment_id: AssignmentId | None = None
    from_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None


class ContactAbandoned(_Event, frozen=True, kw_only=True, tag="contact.abandoned"):
    """Terminal: the customer left before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str = "customer_left"
    gateway_id: GatewayId = ""


class ContactCancelled(_Event, frozen=True, kw_only=True, tag="contact.cancelled"):
    """Terminal: withdrawn by the gateway or a supervisor before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactExpired(_Event, frozen=True, kw_only=True, tag="contact.expired"):
    """Terminal: its time to live (``ttl``) or the queue's longest wait (``wait_max``) is over, or the queue closed (``closed``).

    A callback: ``callback_expired`` (its time is over), ``callback_failed`` (not reached at the last attempt),
    ``callback_voicemail`` (a machine has taken the message).
    """

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactEnded(_Event, frozen=True, kw_only=True, tag="contact.ended"):
    """Terminal: the conversation is over.

    Reasons: ``ended``, ``customer_left``, ``completed``, ``park_timeout``, ``supervisor``…
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    reason: str
    gateway_id: GatewayId = ""


class OfferMade(_Event, frozen=True, kw_only=True, tag="offer.made"):
    """An agent's capacity is held for one contact until a deadline."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    deadline_ms: int
    req: str
    prio: int
    """Effective priority in seconds of credit, the queue's included."""
    cfg: int
    reason: str
    """Why this agent: the queue's selection rule, ``preferred``, ``transfer`` or ``consult``."""
    waited_ms: int = 0
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: this agent keeps the contact, with a transfer until the offer is accepted."""
    gateway_id: GatewayId = ""
    role: AssignmentRole = AssignmentRole.OWNER
    """What he is to the contact once he accepts."""
    turn: Turn | None = None
    """Whose turn it was; none on a transfer, and in journals from before it was recorded."""
    others: int = 0
    """How many other agents could have taken it then, where ``turn`` is set; -1: too many kinds of them to count."""
    values: dict[str, FactValue] | None = None
    """What the rule compared, as it was for this agent."""


class OfferAccepted(_Event, frozen=True, kw_only=True, tag="offer.accepted"):
    """The offer became the assignment of the same id. On a transfer the old owner loses it in this very event.

    With ``role`` ``consult`` ``from_agent_id`` is the owner, who keeps the contact; ``from_assignment_id`` is none.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    waited_ms: int
    """From the contact's submit to this answer."""
    from_assignment_id: AssignmentId | None = None
    from_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    role: AssignmentRole = AssignmentRole.OWNER


class OfferDeclined(_Event, frozen=True, kw_only=True, tag="offer.declined"):
    """The agent said no."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferExpired(_Event, frozen=True, kw_only=True, tag="offer.expired"):
    """Nobody answered in time (RONA)."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str = "no_answer"
    cool_down_until_ms: int | None = None
    from_agent_id: AgentId | None = None
    """A transfer or a consult: the owner, who keeps the contact."""


class OfferRescinded(_Event, frozen=True, kw_only=True, tag="offer.rescinded"):
    """Taken back by the router.

    Reasons: ``customer_left``, ``cancelled``, ``expired``, ``taken`` (another agent accepted), ``agent_not_ready``,
    ``moved``, ``updated``, ``owner_ended``, ``policy``, ``callback``, ``consult_cancelled``.
    """

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    from_agent_id: AgentId | None = None


class ParticipantAdded(_Event, frozen=True, kw_only=True, tag="participant.added"):
    """A supervisor put an agent into the conversation."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    units: int
    channel: str
    queue_id: QueueId
    attributes: dict[str, FactValue] = {}
    reference: str | None = None
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantJoined(_Event, frozen=True, kw_only=True, tag="participant.joined"):
    """A consulted agent is in the conversation with the customer from here on."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ParticipantLeft(_Event, frozen=True, kw_only=True, tag="participant.left"):
    """A consulted agent or a participant is out of it; the owner keeps the contact. ``members``: those who stay.

    Reasons: ``left``, ``removed``, ``finished``, ``lost_desktop``, ``consult_cancelled``, ``owner_changed`` (a consult ends with
    the owner who asked), ``contact_ended``, ``contact_moved``.
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    role: AssignmentRole
    reason: str
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class ContactHandedOver(_Event, frozen=True, kw_only=True, tag="contact.handed_over"):
    """Somebody who was in it already owns the contact from here on; ``from_agent_id`` owned it until this very event.

    Reasons: ``consult`` (a warm transfer), ``hand_over``, ``supervisor``, ``lost_desktop``.
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    from_assignment_id: AssignmentId
    from_agent_id: AgentId
    reason: str
    members: dict[AgentId, AssignmentRole] = {}
    gateway_id: GatewayId = ""


class AssignmentHeld(_Event, frozen=True, kw_only=True, tag="assignment.held"):
    """The customer is on hold. ``reason`` ``consult``: put there by the router, until the consult is over."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str | None = None


class AssignmentResumed(_Event, frozen=True, kw_only=True, tag="assignment.resumed"):
    """The customer is off hold."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId


class AssignmentParked(_Event, frozen=True, kw_only=True, tag="assignment.parked"):
    """The customer is waited for: the conversation goes on later and uses no capacity until then."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    until_ms: int | None = None
    """When the contact ends if nobody takes it up again; none: never."""
    gateway_id: GatewayId = ""


class AssignmentUnparked(_Event, frozen=True, kw_only=True, tag="assignment.unparked"):
    """The conversation goes on and uses capacity again."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    gateway_id: GatewayId = ""


class WrapUpStarted(_Event, frozen=True, kw_only=True, tag="assignment.wrap_up_started"):
    """After-contact work until the deadline."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class WrapUpExtended(_Event, frozen=True, kw_only=True, tag="assignment.wrap_up_extended"):
    """More of it."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    deadline_ms: int


class AssignmentCompleted(_Event, frozen=True, kw_only=True, tag="assignment.completed"):
    """The agent is done with it, exactly once.

    Reasons: ``finished``, ``timer``, ``no_wrap_up``, ``lost_desktop``, ``consult_ended``, ``callback_failed``.
    """

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    reason: str
    disposition: str | None = None


class CallbackRequested(_Event, frozen=True, kw_only=True, tag="callback.requested"):
    """The contact is a callback from here on: it waits at its old place, on this channel, without its customer."""

    contact_id: ContactId
    queue_id: QueueId
    channel: str
    req: str
    mode: CallbackMode
    place: CallbackPlace
    expires_at_ms: int | None = None
    """When it is given up; its time to live and its queue's longest wait count no longer."""
    gateway_id: GatewayId = ""


class CallbackScheduled(_Event, frozen=True, kw_only=True, tag="callback.scheduled"):
    """It waits for the agreed time, and then in its queue."""

    contact_id: ContactId
    due_at_ms: int
    gateway_id: GatewayId = ""


class CallbackDue(_Event, frozen=True, kw_only=True, tag="callback.due"):
    """The gateway is to call the customer now, and to report how it went before the deadline.

    Agent first: ``agent_id`` has the contact and waits. Customer first: nobody has it; it was the turn of
    ``for_agent_id``, and until the outcome is known nobody else is called for him.
    """

    contact_id: ContactId
    attempt: int
    mode: CallbackMode
    channel: str
    deadline_ms: int
    agent_id: AgentId | None = None
    for_agent_id: AgentId | None = None
    reference: str | None = None
    gateway_id: GatewayId = ""


class CallbackConnected(_Event, frozen=True, kw_only=True, tag="callback.connected"):
    """The customer is there. ``agent_id`` has him; without one the contact waits, at its old age, on the live channel.

    ``outcome``: ``connected``, or ``voicemail`` where the policy takes that for done and an agent speaks on it.
    """

    contact_id: ContactId
    attempt: int
    queue_id: QueueId
    req: str
    outcome: str = "connected"
    wait_until_ms: int | None = None
    agent_id: AgentId | None = None
    gateway_id: GatewayId = ""


class CallbackFailed(_Event, frozen=True, kw_only=True, tag="callback.failed"):
    """Nobody was reached. ``agent_id``, where there is one, loses the contact here.

    ``outcome``: ``no_answer``, ``busy``, ``voicemail``, ``failed``, or ``timeout`` (the gateway has not reported in time).
    """

    contact_id: ContactId
    attempt: int
    outcome: str
    due_at_ms: int | None = None
    """When it waits again; none: this was the last attempt."""
    assignment_id: AssignmentId | None = None
    agent_id: AgentId | None = None
    gateway_id: GatewayId = ""


class AgentUpdated(_Event, frozen=True, kw_only=True, tag="agent.updated"):
    """The agent's record is now this."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}


class AgentRemoved(_Event, frozen=True, kw_only=True, tag="agent.removed"):
    """The agent is no more."""

    agent_id: AgentId


class AgentStateChanged(_Event, frozen=True, kw_only=True, tag="agent.state_changed"):
    """Ready, not ready or offline from now on. ``reason`` ``rona`` and ``desktop_lost`` are the router's own."""

    agent_id: AgentId
    state: AgentState
    from_state: AgentState
    reason: str | None = None
    return_at_ms: int | None = None
    """When he is READY again by himself."""


class AgentNextStateSet(_Event, frozen=True, kw_only=True, tag="agent.next_state_set"):
    """The state that follows when his work is done; none: the slot is empty again."""

    agent_id: AgentId
    state: AgentState | None = None
    reason: str | None = None


class AgentChannelsSet(_Event, frozen=True, kw_only=True, tag="agent.channels_set"):
    """Of these channels, and of no others, the agent takes nothing new from here on."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class DesktopConnected(_Event, frozen=True, kw_only=True, tag="agent.desktop_connected"):
    """A desktop session stands behind the agent."""

    agent_id: AgentId
    session_id: str


class DesktopLost(_Event, frozen=True, kw_only=True, tag="agent.desktop_lost"):
    """The session is gone; no new offers. After the grace period he is OFFLINE."""

    agent_id: AgentId
    session_id: str
    grace_until_ms: int


class QueueOpened(_Event, frozen=True, kw_only=True, tag="queue.opened"):
    """The queue is open, and those who waited for that may be offered. Also said of an open queue, when ``until_ms`` changes.

    Reasons: ``hours``, ``supervisor``.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """When that changes, as far as is known; none: not within a year."""
    reason: str = "hours"
    wait_until_ms: int | None = None
    """When those who waited for the opening overflow or expire: their longest wait counts from here."""


class QueueClosed(_Event, frozen=True, kw_only=True, tag="queue.closed"):
    """The queue is closed. Also said of a closed queue, when ``until_ms`` or the reason changes.

    Reasons: ``hours``, ``holiday``, ``supervisor``. What becomes of those in line is said by events of their own.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """When that changes, as far as is known; none: not within a year."""
    reason: str = "hours"
    holds: bool = False
    """Those in line are held back until the opening."""


class PolicyPublished(_Event, frozen=True, kw_only=True, tag="policy.published"):
    """This policy holds from here on."""

    version: int
    policy: Policy
    drain_to: dict[QueueId, QueueId] = {}
    """Where the contacts of removed queues belong from here on; those that wait are moved by events of their own."""


class DayBegan(_Event, frozen=True, kw_only=True, tag="workspace.day_began"):
    """A day of the workspace's zone begins, or its counting does: every agent has been given nothing today."""

    day: str
    """The local date, as ISO 8601 has it."""
    until_ms: int
    """When the next one begins."""


class ShadowPolicySet(_Event, frozen=True, kw_only=True, tag="policy.shadow_set"):
    """This policy runs beside the one in force from here on: it decides nothing, its differences are counted."""

    policy: Policy


class ShadowPolicyCleared(_Event, frozen=True, kw_only=True, tag="policy.shadow_cleared"):
    """No policy runs beside the one in force any more."""


Event: TypeAlias = (
    ContactQueued
    | ContactUpdated
    | ContactRequeued
    | ContactOverflowed
    | ContactRelaxed
    | ContactStepEntered
    | ContactAssigned
    | ContactAbandoned
    | ContactCancelled
    | ContactExpired
    | ContactEnded
    | OfferMade
    | OfferAccepted
    | OfferDeclined
    | OfferExpired
    | OfferRescinded
    | ParticipantAdded
    | ParticipantJoined
    | ParticipantLeft
    | ContactHandedOver
    | AssignmentHeld
    | AssignmentResumed
    | AssignmentParked
    | AssignmentUnparked
    | WrapUpStarted
    | WrapUpExtended
    | AssignmentCompleted
    | CallbackRequested
    | CallbackScheduled
    | CallbackDue
    | CallbackConnected
    | CallbackFailed
    | AgentUpdated
    | AgentRemoved
    | AgentStateChanged
    | AgentNextStateSet
    | AgentChannelsSet
    | DesktopConnected
    | DesktopLost
    | QueueOpened
    | QueueClosed
    | PolicyPublished
    | DayBegan
    | ShadowPolicySet
    | ShadowPolicyCleared
)
