"""Local state of a client: the last ``welcome`` frame, kept up to date by applying events.

The state contains only what events carry. Values that the router derives from its policy (the channels that an agent could
take, the position of a contact) are in the ``welcome`` frame and available on request, not here. Invariant: after all events
are applied, the state equals one built from a fresh ``welcome``.
"""

from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from router.model import events as e
from router.model.policy import FactValue
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState, Presence
from router.model.views import AgentView, AssignmentView, ContactView, OfferView, QueueView
from router.protocol.frames import StatePageFrame, StatsFrame, WelcomeFrame

T = TypeVar("T")


class CachedOffer(Struct, frozen=True, kw_only=True):
    """Pending offer of an agent."""

    offer_id: str
    contact_id: str
    channel: str
    queue_id: str
    deadline_ms: int
    waited_ms: int
    reason: str
    attributes: dict[str, FactValue]
    reference: str | None
    from_agent_id: str | None
    role: AssignmentRole

    @classmethod
    def from_source(cls, source: OfferView | e.OfferMade) -> "CachedOffer":
        """Build it from a view in a ``welcome`` frame or from the event; fields are copied by name."""
        return cls(**{name: getattr(source, name) for name in cls.__struct_fields__})


class CachedAssignment(Struct, frozen=True, kw_only=True):
    """Assignment of an agent that is not completed."""

    assignment_id: str
    contact_id: str
    state: AssignmentState
    channel: str
    queue_id: str
    started_at_ms: int
    wrap_up_deadline_ms: int | None
    attributes: dict[str, FactValue]
    reference: str | None
    role: AssignmentRole = AssignmentRole.OWNER
    members: dict[str, AssignmentRole] = {}
    """Participants by agent id, this agent included; empty if the owner is alone or if this agent has left."""
    parked_until_ms: int | None = None

    @classmethod
    def from_view(cls, view: AssignmentView) -> "CachedAssignment":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})


class CachedAgent(Struct, kw_only=True):
    """Agent with its pending offers and open assignments by id."""

    agent_id: str
    state: AgentState = AgentState.OFFLINE
    reason: str | None = None
    presence: Presence = Presence.NONE
    state_since_ms: int = 0
    return_at_ms: int | None = None
    next_state: AgentState | None = None
    next_reason: str | None = None
    paused: tuple[str, ...] = ()
    skills: dict[str, int] = {}
    queues: tuple[str, ...] | None = None
    offers: dict[str, CachedOffer] = field(default_factory=dict)
    assignments: dict[str, CachedAssignment] = field(default_factory=dict)

    @classmethod
    def from_view(cls, view: AgentView) -> "CachedAgent":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        plain = {name: getattr(view, name) for name in cls.__struct_fields__}
        plain["offers"] = {offer.offer_id: CachedOffer.from_source(offer) for offer in view.offers}
        plain["assignments"] = {work.assignment_id: CachedAssignment.from_view(work) for work in view.assignments}
        return cls(**plain)

    def apply(self, event: e.Event, at_ms: int) -> None:
        """Apply one event. Events of other agents only change conversations that this agent takes part in."""
        match event:
            case e.OfferMade() if event.agent_id == self.agent_id:
                self.offers[event.offer_id] = CachedOffer.from_source(event)
            case e.OfferDeclined() | e.OfferExpired() | e.OfferRescinded():
                self.offers.pop(event.offer_id, None)
            case e.OfferAccepted():
                self._apply_offer_accepted(event, at_ms)
            case e.ContactAssigned():
                self._apply_contact_assigned(event, at_ms)
            case e.AssignmentHeld():
                self._update_assignment(event.assignment_id, state=AssignmentState.ON_HOLD)
            case e.AssignmentResumed():
                self._update_assignment(event.assignment_id, state=AssignmentState.ACTIVE)
            case e.AssignmentParked():
                self._update_assignment(event.assignment_id, state=AssignmentState.PARKED, parked_until_ms=event.until_ms)
            case e.AssignmentUnparked():
                self._update_assignment(event.assignment_id, state=AssignmentState.ACTIVE)
            case e.WrapUpStarted() | e.WrapUpExtended():
                self._update_assignment(event.assignment_id, state=AssignmentState.WRAP_UP, wrap_up_deadline_ms=event.deadline_ms)
            case e.ParticipantAdded() | e.ParticipantJoined() | e.ParticipantLeft() | e.ContactHandedOver():
                self._apply_participants(event, at_ms)
            case e.AssignmentCompleted():
                self.assignments.pop(event.assignment_id, None)
            case e.ContactUpdated():
                self._apply_contact_updated(event)
            case _ if getattr(event, "agent_id", None) == self.agent_id:
                self._apply_own_event(event, at_ms)

    def _apply_contact_updated(self, event: e.ContactUpdated) -> None:
        for name, work in self.assignments.items():
            if work.contact_id == event.contact_id:
                self.assignments[name] = replace(work, attributes=event.attributes)

    def _apply_participants(
        self, event: e.ParticipantAdded | e.ParticipantJoined | e.ParticipantLeft | e.ContactHandedOver, at_ms: int
    ) -> None:
        if isinstance(event, e.ParticipantAdded) and event.agent_id == self.agent_id:
            self._add_assignment(event, event.assignment_id, at_ms)
        self._update_members(event.contact_id, event.members or {})

    def _update_members(self, contact_id: str, members: dict[str, AssignmentRole]) -> None:
        """Set the participants of a conversation; empty: its owner alone. An assignment in wrap-up has left it already."""
        for name, work in self.assignments.items():
            if work.contact_id == contact_id and work.state is not AssignmentState.WRAP_UP:
                role = members.get(self.agent_id, work.role)
                is_in_it = self.agent_id in members and len(members) > 1
                self.assignments[name] = replace(work, role=role, members=members if is_in_it else {})

    def _apply_own_event(self, event: e.Event, at_ms: int) -> None:
        match event:
            case e.AgentStateChanged():
                self.state, self.reason = event.state, event.reason
                self.state_since_ms, self.return_at_ms = at_ms, event.return_at_ms
                self.next_state = self.next_reason = None
                if event.reason == "desktop_lost":
                    self.presence = Presence.NONE
            case e.AgentNextStateSet():
                self.next_state, self.next_reason = event.state, event.reason
            case e.AgentChannelsSet():
                self.paused = event.paused
            case e.DesktopConnected():
                self.presence = Presence.ATTACHED
            case e.DesktopLost():
                self.presence = Presence.LOST
            case e.AgentUpdated():
                self.skills, self.queues = event.skills, event.queues

    def _apply_offer_accepted(self, event: e.OfferAccepted, at_ms: int) -> None:
        offer = self.offers.pop(event.offer_id, None)
        if event.agent_id == self.agent_id and offer is not None:
            self._add_assignment(offer, event.offer_id, at_ms, event.role)
        self._update_members(event.contact_id, event.members or {})

    def _apply_contact_assigned(self, event: e.ContactAssigned, at_ms: int) -> None:
        if event.agent_id == self.agent_id:
            self._add_assignment(event, event.assignment_id, at_ms)
        self._update_members(event.contact_id, event.members or {})

    def _add_assignment(
        self,
        source: CachedOffer | e.ContactAssigned | e.ParticipantAdded,
        assignment_id: str,
        at_ms: int,
        role: AssignmentRole = AssignmentRole.OWNER,
    ) -> None:
        self.assignments[assignment_id] = CachedAssignment(
            assignment_id=assignment_id,
            contact_id=source.contact_id,
            state=AssignmentState.ACTIVE,
            channel=source.channel,
            queue_id=source.queue_id,
            started_at_ms=at_ms,
            wrap_up_deadline_ms=None,
            attributes=source.attributes,
            reference=source.reference,
            role=role,
        )

    def _update_assignment(
        self,
        assignment_id: str,
        *,
        state: AssignmentState,
        wrap_up_deadline_ms: int | UnsetType | None = UNSET,
        parked_until_ms: int | None = None,
    ) -> None:
        work = self.assignments.get(assignment_id)
        if work is None:
            return
        if wrap_up_deadline_ms is UNSET:
            wrap_up_deadline_ms = work.wrap_up_deadline_ms
        members = {} if state is AssignmentState.WRAP_UP else work.members
        self.assignments[assignment_id] = replace(
            work, state=state, wrap_up_deadline_ms=wrap_up_deadline_ms, parked_until_ms=parked_until_ms, members=members
        )


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
    other_participants: dict[str, AssignmentRole] = field(default_factory=dict)
    """Participants of the conversation other than the owner, with their roles."""
    parked: bool = False

    @classmethod
    def from_view(cls, view: ContactView) -> "CachedContact":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        names = [name for name in cls.__struct_fields__ if name != "other_participants"]
        others = {one.agent_id: one.role for one in view.participants}
        return cls(**{name: getattr(view, name) for name in names}, other_participants=others)

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
        if isinstance(event, e.ContactQueued):
            self.by_id[event.contact_id] = _contact_from_event(event)
            return
        contact = self.by_id.get(getattr(event, "contact_id", ""))
        if contact is None:
            return
        match event:
            case e.ContactUpdated():
                contact.skills, contact.attributes = event.skills, event.attributes
                contact.priority_s, contact.priority_class = event.priority_s, event.priority_class
            case e.ContactRequeued():
                contact.state, contact.queue_id = ContactState.QUEUED, event.queue_id
                contact.agent_id, contact.parked = None, False
            case e.CallbackRequested():
                contact.state, contact.channel = ContactState.QUEUED, event.channel
            case e.CallbackScheduled() | e.CallbackFailed() | e.CallbackDialRequested(agent_id=None):
                contact.state, contact.agent_id = ContactState.CALLBACK_SCHEDULED, None
            case e.CallbackConnected(agent_id=None):
                contact.state, contact.queue_id = ContactState.QUEUED, event.queue_id
            case e.ContactOverflowed():
                contact.queue_id = event.queue_id
            case e.OfferMade(from_agent_id=None):
                contact.state = ContactState.OFFERED
            case e.OfferAccepted(role=AssignmentRole.CONSULT):
                contact.set_members(event.members or {})
            case e.OfferAccepted() | e.ContactAssigned() | e.ContactHandedOver():
                contact.state, contact.agent_id = ContactState.ASSIGNED, event.agent_id
                contact.set_members(event.members or {})
                contact.parked = False
            case e.ParticipantAdded() | e.ParticipantJoined() | e.ParticipantLeft():
                contact.set_members(event.members or {})
            case e.AssignmentParked():
                contact.parked = True
            case e.AssignmentUnparked():
                contact.parked = False
            case e.ContactEnded() | e.ContactAbandoned() | e.ContactCancelled() | e.ContactExpired():
                del self.by_id[event.contact_id]


class WorkspaceCache(Struct, kw_only=True):
    """Agents of a workspace as of the last event, and its queues as of the last ``stats`` frame."""

    agents: dict[str, CachedAgent] = field(default_factory=dict)
    queues: dict[str, QueueView] = field(default_factory=dict)

    def load(self, page: WelcomeFrame | StatePageFrame) -> None:
        """Add the views of a ``welcome`` frame or of one of its pages."""
        for view in page.agents:
            self.agents[view.agent_id] = CachedAgent.from_view(view)
        if isinstance(page, WelcomeFrame) and page.stats is not None:
            self.queues = {view.queue_id: view for view in page.stats.queues}

    def update_stats(self, stats: StatsFrame) -> None:
        """Replace the views of the queues in a ``stats`` frame."""
        for view in stats.queues:
            self.queues[view.queue_id] = view

    def apply(self, event: e.Event, at_ms: int) -> None:
        """Apply one event."""
        match event:
            case e.AgentUpdated() if event.agent_id not in self.agents:
                self.agents[event.agent_id] = CachedAgent(agent_id=event.agent_id, state_since_ms=at_ms)
            case e.AgentRemoved():
                self.agents.pop(event.agent_id, None)
        agent_id = getattr(event, "agent_id", None)
        if agent_id in self.agents:
            self.agents[agent_id].apply(event, at_ms)
        for member in getattr(event, "members", None) or ():
            if member != agent_id and member in self.agents:
                self.agents[member].apply(event, at_ms)


def _contact_from_event(event: e.ContactQueued) -> CachedContact:
    return CachedContact(
        contact_id=event.contact_id,
        state=ContactState.QUEUED,
        channel=event.channel,
        queue_id=event.queue_id,
        skills=event.skills,
        priority_s=event.priority_s,
        priority_class=event.priority_class,
        attributes=event.attributes,
        reference=event.reference,
    )
