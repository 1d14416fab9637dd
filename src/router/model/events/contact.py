"""Events of contacts: queued, moved, assigned, called back and ended.

The conventions of all events (tags, fields, ``gateway_id``, ``members``) are documented in the package ``router.model.events``.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from msgspec import Struct

from router.model.events.workspace import EventStruct
from router.model.policy import CallbackMode, CallbackQueuePosition, FactValue, SuspensionEnd
from router.model.states import AgentId, AssignmentId, AssignmentRole, CallbackPhase, ContactId, EndedBy, GatewayId, QueueId


class OriginalRequest(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Request of the gateway, where an entry rule, the default queue or an overflow changed it."""

    queue_id: QueueId | None = None
    """Queue named by the gateway; null: it named none."""
    skills: dict[str, int] = {}
    """Skills of the request."""
    priority_s: int = 0
    """Priority of the request in seconds."""
    priority_class: int = 0
    """Priority class of the request."""


class TimeWindow(Struct, frozen=True, kw_only=True, gc=False):
    """A time window of a callback."""

    start_at_ms: int
    """Beginning, epoch milliseconds."""
    end_at_ms: int
    """End, epoch milliseconds."""


class ContactOption(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One option of a customer who is to choose how to reach an agent."""

    id: str
    """``now`` (wait on the channel that was asked for), the name of another channel, ``callback``, ``later``, or ``resume-1``,
    ``resume-2``, … for the suspended conversations of the customer, the newest first."""
    channel: str
    """Channel on which the customer is served."""
    windows: tuple[TimeWindow, ...] = ()
    """Time windows of a callback; empty: it has no agreed time."""
    resumes: ContactId | None = None
    """Suspended contact that goes on; null: the option is something new."""


class ContactChoosing(EventStruct, frozen=True, kw_only=True, tag="contact.choosing"):
    """A customer has asked for an agent and is shown options. The contact has a place from now on and waits in no queue yet.

    It goes on with ``contact.queued``, which names the option chosen, or ends.
    """

    contact_id: ContactId
    channel: str
    """Channel that was asked for."""
    queue_id: QueueId
    """Queue that was asked for, or that the entry rules chose."""
    policy_version: int
    """Version of the active policy."""
    options: tuple[ContactOption, ...]
    """Options shown to the customer."""
    choose_until_ms: int
    """When the default option is taken."""
    default_option: str
    """Option that is taken then."""
    token_hash: bytes | None = None
    """Hash of the customer's token; never sent to clients."""
    named_queue_id: QueueId | None = None
    """Queue named in the request; null: entry rules choose it."""
    skills: dict[str, int] = {}
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_s: int | None = None
    """Time to live, in seconds from the choice."""
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    gateway_id: GatewayId = ""
    reference: str | None = None
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer as they were known at the request."""
    customer_id: str | None = None
    """Random id of the customer; null: not known."""


class CustomerTokenChanged(EventStruct, frozen=True, kw_only=True, tag="request.token_changed"):
    """The customer of a request has a new token; the one before it is no longer valid."""

    contact_id: ContactId
    token_hash: bytes | None = None
    """Hash of the new token, never sent to clients; null: the customer has none any more."""
    gateway_id: GatewayId = ""
    former_contact_id: ContactId | None = None
    """Request that had the token before: its customer goes on with this contact; null: the token is new."""


class CustomerPresenceChanged(EventStruct, frozen=True, kw_only=True, tag="request.presence_changed"):
    """The app of the customer of a request is connected, or no longer, where the channel has ``leave_grace_s``."""

    contact_id: ContactId
    is_here: bool
    """Whether it is connected, by a socket, a long poll or a recent request."""
    leave_at_ms: int | None = None
    """When the contact is abandoned unless the customer returns; null: not for this."""
    gateway_id: GatewayId = ""
    run: str = ""
    """Start of the node to which the app is connected, or was; empty: there is one node."""


class ContactQueued(EventStruct, frozen=True, kw_only=True, tag="contact.queued"):
    """A contact was submitted and is waiting. Its age counts from this event until it is terminal."""

    contact_id: ContactId
    channel: str
    queue_id: QueueId
    requirement: str
    """Requirement class as text: channel, queue and skills with their levels. For display only; do not parse it."""
    policy_version: int
    """Version of the active policy."""
    skills: dict[str, int] = {}
    """Skills required by the contact itself, in addition to those of its queue."""
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    ttl_at_ms: int | None = None
    wait_until_ms: int | None = None
    """When the contact overflows or expires from this queue."""
    overflow_count: int = 0
    """Number of overflows before it entered this queue."""
    gateway_id: GatewayId = ""
    reference: str | None = None
    dedupe_key: bytes | None = None
    """Hash of the idempotency key; never sent to clients."""
    fingerprint: bytes | None = None
    """Hash of the submitted fields, to recognise a key that is used with another payload; never sent to clients."""
    original_request: OriginalRequest | None = None
    """The request as submitted; null: it was accepted unchanged. A shadow policy decides on this request."""
    plan: str | None = None
    """Plan of the contact; null: that of the queue, if any."""
    step: int = 0
    """First step of the plan that was not skipped, counted from 0."""
    step_until_ms: int | None = None
    """End of that step; null: it is the last one, or there is no plan."""
    preferred_agents: tuple[AgentId, ...] = ()
    last_agent_id: AgentId | None = None
    rule: str | None = None
    """Entry rule that chose the queue; null: the gateway named a queue, or the default queue was used."""
    failed_rules: tuple[str, ...] = ()
    """Entry rules before the matching one that could not be evaluated (missing fact, integer overflow)."""
    default_queue_used: bool = False
    """True if the gateway named no queue and no entry rule matched, so the policy's default queue was used."""
    over_budget_rule: str | None = None
    """Entry rule that would have exceeded the budget of all rules for one contact, so the evaluation ended; null: none. It is the
    last of ``failed_rules``."""
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer as they were known at the submit."""
    customer_id: str | None = None
    """Random id of the customer, of the member that has the identity; null: not known."""
    queued_at_ms: int | None = None
    """Beginning of its age, if its customer has chosen among options before; null: this event."""
    queued_seq: int | None = None
    """Sequence number of that ``contact.choosing``; breaks ties between equal priorities."""
    option: str | None = None
    """Option that the customer chose; null: there was no choice."""
    is_default_option: bool = False
    """True if the option was taken because the customer had chosen none in time."""


class ContactUpdated(EventStruct, frozen=True, kw_only=True, tag="contact.updated"):
    """Priority, class, skills or attributes of a live contact have changed; all fields hold the new values."""

    contact_id: ContactId
    requirement: str
    skills: dict[str, int] = {}
    priority_s: int = 0
    priority_class: int = 0
    attributes: dict[str, FactValue] = {}
    agent_id: AgentId | None = None
    """Owner of the contact, if any."""
    gateway_id: GatewayId = ""
    preferred_agents: tuple[AgentId, ...] = ()
    members: dict[AgentId, AssignmentRole] | None = None
    offered_to: tuple[AgentId, ...] = ()
    """Agents with a pending offer of the contact, a transfer or a consult included."""
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer."""


class ContactRequeued(EventStruct, frozen=True, kw_only=True, tag="contact.requeued"):
    """The contact is waiting again and keeps its age, unless ``queued_at_ms`` is set."""

    contact_id: ContactId
    queue_id: QueueId
    requirement: str
    reason: str
    """``declined``, ``rona``, ``rescinded``, ``transferred``, ``supervisor``, ``lost_desktop``, ``transfer_back`` (the target of
    a transfer did not take it in time), ``owner_away`` (the customer of a parked contact has written, and its owner is not
    ready), ``drained`` (the policy has removed its queue), ``overflow_impossible`` (no queue that it would overflow to admits it,
    or the limit of overflows is reached) or ``callback_due`` (the agreed time or the time of the next attempt has
    come)."""
    queued_seq: int
    """Sequence number of its ContactQueued; breaks ties between equal priorities."""
    wait_until_ms: int | None = None
    preferred_agent_id: AgentId | None = None
    """Agent that the contact is reserved for until ``preferred_until_ms``; null: none."""
    preferred_until_ms: int | None = None
    """Until then the contact is reserved for ``preferred_agent_id``."""
    agent_id: AgentId | None = None
    """Agent who had the contact before, if any."""
    cool_down_until_ms: int | None = None
    """Until then the contact is not offered to ``agent_id`` again."""
    gateway_id: GatewayId = ""
    queued_at_ms: int | None = None
    """New start of its age; null: unchanged."""
    plan: str | None = None
    step: int = 0
    """Step of its plan."""
    step_until_ms: int | None = None
    return_to_agent_id: AgentId | None = None
    """Agent that gets the next reservation if ``preferred_agent_id`` does not take it."""
    return_to_sender_ms: int | None = None
    """Duration of that second reservation."""
    named_queue_id: QueueId | None = None
    """Queue that it was to enter, if it has overflowed from there to ``queue_id`` at once."""
    overflow_count: int = 0
    """Number of overflows from ``named_queue_id``."""


class ContactSuspended(EventStruct, frozen=True, kw_only=True, tag="contact.suspended"):
    """The contact is suspended: its offers, its callback and its conversation have ended, and it waits for no agent."""

    contact_id: ContactId
    queue_id: QueueId
    """Queue that it returns to."""
    resume_by_ms: int
    """When the suspension ends unless the contact is resumed, epoch milliseconds."""
    at_expiry: SuspensionEnd
    """What happens then: ``end`` or ``queue``."""
    age_ms: int
    """Its age: the time since its submit up to the answer of its agent, or up to now, without earlier suspensions."""
    closed_ms: int = 0
    """Part of that time that it waited for openings and that does not count as waiting, in milliseconds."""
    warning_ms: int | None = None
    """When ``contact.resume_due`` warns of the end, epoch milliseconds; null: it does not."""
    ttl_left_ms: int | None = None
    """Rest of its time to live, which goes on when it is resumed; null: it has none."""
    assignment_id: AssignmentId | None = None
    """Assignment of its owner, which goes on with the wrap-up; null: it had no owner."""
    agent_id: AgentId | None = None
    """Agent who had the contact, if any."""
    callback_ended: bool = False
    """Whether it was a callback, which has ended with this event."""
    gateway_id: GatewayId = ""


class ContactResumed(ContactRequeued, frozen=True, kw_only=True, tag="contact.resumed"):
    """The contact waits again after a suspension, possibly on another channel.

    ``reason``: ``resumed`` (by a command) or ``resume_by`` (not resumed in time: it is queued as a task).
    """

    channel: str
    """Channel on which it waits now."""
    reference: str | None = None
    suspended_ms: int = 0
    """How long it was suspended, in milliseconds."""
    closed_ms: int = 0
    """Part of its age that it waited for openings and that does not count as waiting, in milliseconds."""
    ttl_at_ms: int | None = None
    """New end of its time to live; null: it has none."""
    submitted_as: ContactId | None = None
    """Id of the submit or request by which its customer came back; null: it was resumed by its own id."""
    option: str | None = None
    """Option by which the customer chose it; null: none was shown."""


class ContactResumeDue(EventStruct, frozen=True, kw_only=True, tag="contact.resume_due"):
    """Warning: the suspension of the contact ends soon unless it is resumed."""

    contact_id: ContactId
    queue_id: QueueId
    resume_by_ms: int
    """End of the suspension, epoch milliseconds."""
    at_expiry: SuspensionEnd
    """What happens then: ``end`` or ``queue``."""
    gateway_id: GatewayId = ""


class ContactOverflowed(EventStruct, frozen=True, kw_only=True, tag="contact.overflowed"):
    """The contact has moved from one queue to another by overflow and keeps its age."""

    contact_id: ContactId
    from_queue_id: QueueId
    """Queue that it left."""
    queue_id: QueueId
    """Queue that it entered."""
    requirement: str
    wait_until_ms: int | None = None
    reason: str = "wait_max"
    """``wait_max`` (the queue's maximum wait was reached), ``closed`` (the queue closed), ``plan`` (a step of its plan has
    another queue) or ``no_agents_ready`` (no qualified agent was ready)."""
    overflow_count: int = 1
    """Number of overflows; more than one if queues passed it on that were closed, full or without ready agents."""
    gateway_id: GatewayId = ""
    plan: str | None = None
    step: int = 0
    """Step of its plan in the new queue."""
    step_until_ms: int | None = None


class ContactPreferredAgentExpired(EventStruct, frozen=True, kw_only=True, tag="contact.preferred_agent_expired"):
    """The reservation for a preferred agent has expired: all qualified agents may take the contact."""

    contact_id: ContactId
    requirement: str
    gateway_id: GatewayId = ""


class ContactStepEntered(EventStruct, frozen=True, kw_only=True, tag="contact.step_entered"):
    """The contact has entered another step of its plan."""

    contact_id: ContactId
    queue_id: QueueId
    """Queue of the contact."""
    step: int
    """Step that it has entered, counted from 0."""
    requirement: str
    reason: str
    """``time`` (the previous step was over), ``absent`` (no preferred agent is ready any more), ``customer`` (the ``when`` of the
    previous step no longer holds for the customer), ``policy`` (the plan was
    changed) or ``opened`` (the queue opened, and the plan continues)."""
    step_until_ms: int | None = None
    """End of the step; null: it is the last one."""
    gateway_id: GatewayId = ""


class ContactAssigned(EventStruct, frozen=True, kw_only=True, tag="contact.assigned"):
    """A supervisor has assigned the contact to an agent. ``from_agent_id`` owned it until this event."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    """New owner."""
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
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    callback_phase: CallbackPhase | None = None
    """Phase of its callback after this event; null: it is no callback."""


class ContactAbandoned(EventStruct, frozen=True, kw_only=True, tag="contact.abandoned"):
    """Terminal: the customer left before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str = "customer_left"
    """``customer_left``, or ``customer_away``: their app has not returned within ``leave_grace_s``."""
    gateway_id: GatewayId = ""
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    ended_by: EndedBy | None = None
    """Who or what ended it; null: in journals written before the field existed."""


class ContactCancelled(EventStruct, frozen=True, kw_only=True, tag="contact.cancelled"):
    """Terminal: the gateway or a supervisor withdrew the contact before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    """Reason given with the command; ``cancelled``, or ``ended`` for an end before an answer, if none was given; ``resumed``: its
    customer goes on with an earlier contact."""
    gateway_id: GatewayId = ""
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    ended_by: EndedBy | None = None
    """Who or what ended it; null: in journals written before the field existed."""
    resumed_contact_id: ContactId | None = None
    """Suspended contact that goes on instead; null: none."""


class ContactExpired(EventStruct, frozen=True, kw_only=True, tag="contact.expired"):
    """Terminal: the contact expired before an answer."""

    contact_id: ContactId
    queue_id: QueueId
    waited_ms: int
    reason: str
    """``ttl`` (time to live), ``wait_max`` (the queue's maximum wait), ``closed`` (the queue closed), ``resume_by`` (a suspended
    contact was not resumed in time), ``not_chosen`` (no option was left when the time to choose was over) or ``no_agents_ready``
    (no agent of the queue was ready for ``no_agents_for_s``); of a callback ``callback_expired`` (``expires_after_s``),
    ``callback_failed`` (the last attempt failed) or ``callback_voicemail`` (a message was left on voicemail)."""
    gateway_id: GatewayId = ""
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    ended_by: EndedBy | None = None
    """Who or what ended it; null: in journals written before the field existed."""


class ContactEnded(EventStruct, frozen=True, kw_only=True, tag="contact.ended"):
    """Terminal: the conversation is over."""

    contact_id: ContactId
    assignment_id: AssignmentId
    agent_id: AgentId
    """Owner until this event."""
    reason: str
    """``customer_left``, ``completed`` (the owner completed the assignment), ``park_timeout``, or the reason given with the
    command that ended it; ``ended`` if none was given."""
    gateway_id: GatewayId = ""
    ended_by: EndedBy | None = None
    """Who or what ended it; null: in journals written before the field existed."""


class CallbackRequested(EventStruct, frozen=True, kw_only=True, tag="callback.requested"):
    """The contact has become a callback: it keeps its position and waits on this channel while the customer is offline."""

    contact_id: ContactId
    queue_id: QueueId
    channel: str
    """Channel of the callback."""
    requirement: str
    mode: CallbackMode
    """Order of assigning an agent and dialling."""
    queue_position: CallbackQueuePosition
    """Queue position when the agreed time comes."""
    expires_at_ms: int | None = None
    """When the callback expires; replaces the contact's time to live and its queue's maximum wait."""
    gateway_id: GatewayId = ""
    has_window: bool = False
    """Whether ``expires_at_ms`` is the end of a time window that was agreed, which closed hours do not move."""


class CallbackScheduled(EventStruct, frozen=True, kw_only=True, tag="callback.scheduled"):
    """The callback is scheduled; at the agreed time it enters its queue."""

    contact_id: ContactId
    due_at_ms: int
    """Agreed time, epoch milliseconds."""
    gateway_id: GatewayId = ""
    requested_at_ms: int | None = None
    """Time that was asked for, if the queue is closed then; ``due_at_ms`` is the next opening. Null: the time asked for."""
    moved: bool = False
    """True: an existing callback was moved to this time, and ``expires_at_ms`` replaces its earlier end."""
    expires_at_ms: int | None = None
    """With ``moved``: when the callback expires; null: never."""
    has_window: bool = False
    """With ``moved``: whether ``expires_at_ms`` is the end of a time window that was agreed."""


class CallbackDialRequested(EventStruct, frozen=True, kw_only=True, tag="callback.dial_requested"):
    """The gateway must dial the customer now and report the outcome before the deadline.

    With ``agent_first`` the contact is assigned to ``agent_id``, who waits. With ``customer_first`` it is not assigned; the
    call is made for ``for_agent_id``; no other customer is dialled for that agent until the outcome is known.
    """

    contact_id: ContactId
    attempt: int
    mode: CallbackMode
    """Order of assigning an agent and dialling."""
    channel: str
    """Channel of the call."""
    deadline_ms: int
    """Time by which the outcome must be reported, epoch milliseconds."""
    agent_id: AgentId | None = None
    """Owner who waits for the call, with ``agent_first``."""
    for_agent_id: AgentId | None = None
    """Agent that the call is made for, with ``customer_first``."""
    reference: str | None = None
    gateway_id: GatewayId = ""
    members: dict[AgentId, AssignmentRole] | None = None
    offered_to: tuple[AgentId, ...] = ()
    """Agents with a pending offer of the contact."""


class CallbackClaimed(EventStruct, frozen=True, kw_only=True, tag="callback.claimed"):
    """A process of the gateway has claimed the requested call: the others must not dial before the claim ends."""

    contact_id: ContactId
    attempt: int
    claimed_by: str
    """Name that the process has given."""
    until_ms: int
    """End of the claim, at most the deadline of the attempt; epoch milliseconds."""
    gateway_id: GatewayId = ""


class CallbackConnected(EventStruct, frozen=True, kw_only=True, tag="callback.connected"):
    """The customer is on the line with ``agent_id``; without an agent the contact waits on its live channel and keeps its age."""

    contact_id: ContactId
    attempt: int
    queue_id: QueueId
    requirement: str
    outcome: str = "connected"
    """``connected``, or ``voicemail`` if the policy counts that as done and an agent leaves the message."""
    wait_until_ms: int | None = None
    agent_id: AgentId | None = None
    """Agent on the line; null: the contact waits for one."""
    gateway_id: GatewayId = ""
    closed_ms: int = 0
    """Time since the submit that it waited for openings and that does not count as waiting, in milliseconds."""
    members: dict[AgentId, AssignmentRole] | None = None
    offered_to: tuple[AgentId, ...] = ()
    """Agents with a pending offer of the contact."""


class CallbackFailed(EventStruct, frozen=True, kw_only=True, tag="callback.failed"):
    """The attempt failed. The assignment of ``agent_id``, if any, ends with this event."""

    contact_id: ContactId
    attempt: int
    outcome: str
    """``no_answer``, ``busy`` (the customer's line), ``voicemail``, ``failed``, or ``timeout`` (the gateway did not report in
    time)."""
    due_at_ms: int | None = None
    """Time of the next attempt; null: this was the last one."""
    assignment_id: AssignmentId | None = None
    """Assignment that ends with this event, if any."""
    agent_id: AgentId | None = None
    """Agent of that assignment, if any."""
    gateway_id: GatewayId = ""
