"""Local state of a gateway: its live contacts, kept up to date by the events that it receives."""

from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from router.model import events as e
from router.model.policy import CallbackMode, FactValue
from router.model.states import AssignmentRole, CallbackPhase, ContactState, MonitorMode
from router.model.views import CallbackView, ContactView
from router.protocol.frames import StatePageFrame, WelcomeFrame

MonitorEvent: TypeAlias = e.ContactMonitorRequested | e.ContactMonitorJoined | e.ContactMonitorFailed | e.ContactMonitorLeft


class CachedCallback(Struct, frozen=True, kw_only=True):
    """Callback of a contact."""

    mode: CallbackMode
    phase: CallbackPhase = CallbackPhase.WAITING
    attempts: int = 0
    """Number of attempts begun."""
    scheduled_at_ms: int | None = None
    due_at_ms: int | None = None
    """Next deadline: the agreed time, the next attempt or the end of dialling."""
    outcome: str | None = None
    """Outcome of the last completed attempt."""
    claimed_by: str | None = None
    """Process that has claimed the present call."""
    claimed_until_ms: int | None = None

    @classmethod
    def from_view(cls, view: CallbackView) -> "CachedCallback":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})

    def after(self, event: e.Event) -> "CachedCallback":
        """Return the callback after an event of its contact."""
        match event:
            case e.CallbackScheduled():
                return self._in(CallbackPhase.SCHEDULED, event.due_at_ms, scheduled_at_ms=event.due_at_ms)
            case e.CallbackDialRequested():
                return self._in(CallbackPhase.DIALLING, event.deadline_ms, attempts=event.attempt)
            case e.CallbackClaimed():
                return replace(self, claimed_by=event.claimed_by, claimed_until_ms=event.until_ms)
            case e.CallbackConnected():
                return self._in(CallbackPhase.CONNECTED, None, outcome=event.outcome)
            case e.CallbackFailed():
                return self._in(CallbackPhase.RETRY, event.due_at_ms, outcome=event.outcome)
            case e.ContactRequeued() if self.phase is not CallbackPhase.CONNECTED:
                return self._in(CallbackPhase.WAITING, None)
            case e.ContactAssigned() if self.phase in (CallbackPhase.SCHEDULED, CallbackPhase.RETRY):
                return self._in(CallbackPhase.WAITING, None)
        return self

    def _in(self, phase: CallbackPhase, due_at_ms: int | None, **changes: Any) -> "CachedCallback":
        """Return the callback in another phase, in which no call is claimed yet."""
        return replace(self, phase=phase, due_at_ms=due_at_ms, claimed_by=None, claimed_until_ms=None, **changes)


class CachedMonitor(Struct, frozen=True, kw_only=True):
    """Supervisor in a conversation, or one to be connected by the gateway."""

    mode: MonitorMode | None = None
    """Mode in which the supervisor is in the conversation; none: not yet."""
    wanted: MonitorMode | None = None
    """Mode in which the gateway is to connect the supervisor now; none: nothing is requested."""
    deadline_ms: int | None = None


class CachedContact(Struct, kw_only=True):
    """Live contact as its gateway sees it."""

    contact_id: str
    state: ContactState
    channel: str
    queue_id: str
    skills: dict[str, int]
    priority_s: int
    priority_class: int
    attributes: dict[str, FactValue]
    reference: str | None
    agent_id: str | None = None
    assignment_id: str | None = None
    other_participants: dict[str, AssignmentRole] = field(default_factory=dict)
    """Participants of the conversation other than the owner, with their roles."""
    parked: bool = False
    callback: CachedCallback | None = None
    customer_facts: dict[str, FactValue] = {}
    """Facts of the customer."""
    customer_id: str | None = None
    """Customer; none: not known."""
    monitors: dict[str, CachedMonitor] = field(default_factory=dict)
    """Supervisors in the conversation, and those to be connected."""

    @classmethod
    def from_view(cls, view: ContactView) -> "CachedContact":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        names = [name for name in cls.__struct_fields__ if name not in ("other_participants", "callback", "monitors")]
        others = {one.agent_id: one.role for one in view.participants}
        callback = None if view.callback is None else CachedCallback.from_view(view.callback)
        monitors = {
            one.supervisor_id: CachedMonitor(mode=one.mode, wanted=one.wanted, deadline_ms=one.deadline_ms) for one in view.monitors
        }
        plain = {name: getattr(view, name) for name in names}
        return cls(**plain, other_participants=others, callback=callback, monitors=monitors)

    def apply_monitor(self, event: MonitorEvent) -> None:
        """Note that a supervisor is to be connected, has joined, or is in the conversation no more."""
        match event:
            case e.ContactMonitorRequested():
                monitor = CachedMonitor(mode=event.present_mode, wanted=event.mode, deadline_ms=event.deadline_ms)
            case e.ContactMonitorJoined():
                monitor = CachedMonitor(mode=event.mode)
            case e.ContactMonitorFailed(present_mode=MonitorMode()):
                monitor = CachedMonitor(mode=event.present_mode)
            case _:
                self.monitors.pop(event.supervisor_id, None)
                return
        self.monitors[event.supervisor_id] = monitor

    def set_owner(self, agent_id: str | None, assignment_id: str | None) -> None:
        """Set the owner and the owner's assignment; a conversation with a new owner is not parked."""
        self.agent_id, self.assignment_id, self.parked = agent_id, assignment_id, False

    def set_members(self, members: dict[str, AssignmentRole]) -> None:
        """Set the participants of the conversation."""
        owner = AssignmentRole.OWNER
        self.other_participants = {name: role for name, role in members.items() if role is not owner}


class ContactCache(Struct, kw_only=True):
    """Live contacts of a gateway by id; a contact that ends is removed."""

    by_id: dict[str, CachedContact] = field(default_factory=dict)

    def load(self, page: WelcomeFrame | StatePageFrame) -> None:
        """Add the views of a ``welcome`` frame or of one of its pages."""
        for view in page.contacts:
            self.by_id[view.contact_id] = CachedContact.from_view(view)

    def apply(self, event: e.Event, at_ms: int) -> None:
        """Apply one event."""
        if isinstance(event, e.ContactQueued | e.ContactChoosing):
            self.by_id[event.contact_id] = _contact_from_event(event)
            return
        if isinstance(event, e.ContactGatewayChanged):
            self._change_gateway(event)
            return
        contact = self.by_id.get(getattr(event, "contact_id", ""))
        if contact is None:
            return
        if contact.callback is not None:
            contact.callback = contact.callback.after(event)
        match event:
            case e.ContactUpdated():
                contact.skills, contact.attributes = event.skills, event.attributes
                contact.customer_facts = event.customer_facts
                contact.priority_s, contact.priority_class = event.priority_s, event.priority_class
            case e.ContactRequeued():
                contact.state, contact.queue_id = ContactState.QUEUED, event.queue_id
                contact.set_owner(None, None)
                if isinstance(event, e.ContactResumed):
                    contact.channel, contact.reference = event.channel, event.reference
            case e.ContactChannelSwitched():
                contact.channel, contact.reference = event.channel, event.reference
            case e.ContactMonitorRequested() | e.ContactMonitorJoined() | e.ContactMonitorFailed() | e.ContactMonitorLeft():
                contact.apply_monitor(event)
            case e.ContactSuspended():
                contact.state, contact.callback = ContactState.SUSPENDED, None
                contact.set_owner(None, None)
            case e.CallbackRequested():
                contact.state, contact.channel = ContactState.QUEUED, event.channel
                contact.callback = CachedCallback(mode=event.mode)
            case e.CallbackScheduled() | e.CallbackFailed() | e.CallbackDialRequested(agent_id=None):
                contact.state = ContactState.CALLBACK_SCHEDULED
                contact.set_owner(None, None)
            case e.CallbackConnected(agent_id=None):
                contact.state, contact.queue_id = ContactState.QUEUED, event.queue_id
            case e.ContactOverflowed():
                contact.queue_id = event.queue_id
            case e.OfferMade(from_agent_id=None):
                contact.state = ContactState.OFFERED
            case e.OfferAccepted(role=AssignmentRole.CONSULT):
                contact.set_members(event.members or {})
            case e.OfferAccepted() | e.ContactAssigned() | e.ContactHandedOver():
                contact.state = ContactState.ASSIGNED
                contact.set_owner(event.agent_id, event.offer_id if isinstance(event, e.OfferAccepted) else event.assignment_id)
                if isinstance(event, e.ContactHandedOver) and event.queue_id is not None:
                    contact.queue_id = event.queue_id
                contact.set_members(event.members or {})
            case e.ParticipantAdded() | e.ParticipantJoined() | e.ParticipantLeft():
                contact.set_members(event.members or {})
            case e.AssignmentParked():
                contact.parked = True
            case e.AssignmentUnparked():
                contact.parked = False
            case e.ContactEnded() | e.ContactAbandoned() | e.ContactCancelled() | e.ContactExpired():
                del self.by_id[event.contact_id]

    def _change_gateway(self, event: e.ContactGatewayChanged) -> None:
        """Drop a contact that another gateway has now, or add one that another gateway had."""
        if self.by_id.pop(event.contact_id, None) is None:
            self.by_id[event.contact_id] = contact = CachedContact(
                contact_id=event.contact_id,
                state=ContactState.QUEUED if event.owner_agent_id is None else ContactState.ASSIGNED,
                channel=event.channel,
                queue_id=event.queue_id,
                skills=event.skills,
                priority_s=event.priority_s,
                priority_class=event.priority_class,
                attributes=event.attributes,
                reference=event.reference,
                agent_id=event.owner_agent_id,
                assignment_id=event.assignment_id,
                customer_facts=event.customer_facts,
                customer_id=event.customer_id,
            )
            contact.set_members(event.participants or {})


def _contact_from_event(event: e.ContactQueued | e.ContactChoosing) -> CachedContact:
    return CachedContact(
        contact_id=event.contact_id,
        state=ContactState.QUEUED if isinstance(event, e.ContactQueued) else ContactState.CHOOSING,
        channel=event.channel,
        queue_id=event.queue_id,
        skills=event.skills,
        priority_s=event.priority_s,
        priority_class=event.priority_class,
        attributes=event.attributes,
        reference=event.reference,
        customer_facts=event.customer_facts,
        customer_id=event.customer_id,
    )
