"""What happens to a contact while no agent is asked: it comes, waits, is moved, is called back, and ends.

Words alone; what holds for every event (tags, fields, ``gateway_id``, ``members``) stands in ``events.py``.
"""

# msgspec copies an empty default for every struct; ruff knows that only of a class whose base it sees in the same file.
# ruff: noqa: RUF012

from msgspec import Struct

from router.model.event_struct import EventStruct
from router.model.ids import AgentId, AssignmentId, ContactId, GatewayId, QueueId
from router.model.policy import CallbackMode, CallbackPlace, FactValue
from router.model.states import AssignmentRole


class AskedFor(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a gateway asked for, where an entry rule, the default queue or a full queue made something else of it."""

    queue_id: QueueId | None = None
    """None: it named no queue."""
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0


class ContactQueued(EventStruct, frozen=True, kw_only=True, tag="contact.queued"):
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


class ContactUpdated(EventStruct, frozen=True, kw_only=True, tag="contact.updated"):
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


class ContactRequeued(EventStruct, frozen=True, kw_only=True, tag="contact.requeued"):
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


class ContactOverflowed(EventStruct, frozen=True, kw_only=True, tag="contact.overflowed"):
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


class ContactRelaxed(EventStruct, frozen=True, kw_only=True, tag="contact.relaxed"):
    """The time of the preferred agent is over: everybody eligible may have it."""

    contact_id: ContactId
    req: str
    gateway_id: GatewayId = ""


class ContactStepEntered(EventStruct, frozen=True, kw_only=True, tag="contact.step_entered"):
    """Another step of its plan holds. Reasons: ``time``, ``absent`` (no preferred agent is there any more), ``policy``."""

    contact_id: ContactId
    queue_id: QueueId
    step: int
    req: str
    reason: str
    step_until_ms: int | None = None
    """When it ends; none: it is the last."""
    gateway_id: GatewayId = ""


class ContactAssigned(EventStruct, frozen=True, kw_only=True, tag="contact.assigned"):
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


class ContactAbandoned(EventStruct, frozen=True, kw_only=True, tag="contact.abandoned"):
    """Terminal: the customer left before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str = "customer_left"
    gateway_id: GatewayId = ""


class ContactCancelled(EventStruct, frozen=True, kw_only=True, tag="contact.cancelled"):
    """Terminal: withdrawn by the gateway or a supervisor before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactExpired(EventStruct, frozen=True, kw_only=True, tag="contact.expired"):
    """Terminal: its time to live (``ttl``) or the queue's longest wait (``wait_max``) is over, or the queue closed (``closed``).

    A callback: ``callback_expired`` (its time is over), ``callback_failed`` (not reached at the last attempt),
    ``callback_voicemail`` (a machine has taken the message).
    """

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    gateway_id: GatewayId = ""


class ContactEnded(EventStruct, frozen=True, kw_only=True, tag="contact.ended"):
    """Terminal: the conversation is over.

    Reasons: ``ended``, ``customer_left``, ``completed``, ``park_timeout``, ``supervisor``…
    """

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    reason: str
    gateway_id: GatewayId = ""


class CallbackRequested(EventStruct, frozen=True, kw_only=True, tag="callback.requested"):
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


class CallbackScheduled(EventStruct, frozen=True, kw_only=True, tag="callback.scheduled"):
    """It waits for the agreed time, and then in its queue."""

    contact_id: ContactId
    due_at_ms: int
    gateway_id: GatewayId = ""


class CallbackDue(EventStruct, frozen=True, kw_only=True, tag="callback.due"):
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


class CallbackConnected(EventStruct, frozen=True, kw_only=True, tag="callback.connected"):
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


class CallbackFailed(EventStruct, frozen=True, kw_only=True, tag="callback.failed"):
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
