"""Local state of a client: the last ``welcome`` frame, kept up to date by applying events.

The state contains only what events carry. Values that the router derives from its policy (the channels that an agent could
take, the position of a contact) are in the ``welcome`` frame and available on request, not here. Invariant: after all events
are applied, the state equals one built from a fresh ``welcome``.
"""

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from router.model import events as e
from router.model.operations import OPERATIONS, Requester, allowed_operations, situation_of
from router.model.policy import FactValue
from router.model.states import AgentState, AssignmentRole, AssignmentState, CallbackPhase, ContactState, MonitorMode, Presence
from router.model.views import AgentView, AssignmentView, OfferView, PendingOfferView, QueueView
from router.protocol.audience import recipient_agents
from router.protocol.frames import ScopeFrame, StatePageFrame, StatsFrame, WelcomeFrame


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
    callback_phase: CallbackPhase | None = None

    @classmethod
    def from_source(cls, source: OfferView | e.OfferMade) -> "CachedOffer":
        """Build it from a view in a ``welcome`` frame or from the event; fields are copied by name."""
        return cls(**{name: getattr(source, name) for name in cls.__struct_fields__})


class PendingOffer(Struct, frozen=True, kw_only=True):
    """Transfer or consult of a conversation that the other agent has not answered yet."""

    offer_id: str
    agent_id: str
    kind: str
    """``transfer`` or ``consult``."""
    made_at_ms: int
    deadline_ms: int
    to_queue_id: str | None = None

    @classmethod
    def from_view(cls, view: PendingOfferView) -> "PendingOffer":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})

    @classmethod
    def from_event(cls, event: e.OfferMade, at_ms: int) -> "PendingOffer":
        """Build it from the event of the offer."""
        return cls(
            offer_id=event.offer_id,
            agent_id=event.agent_id,
            kind=event.reason,
            made_at_ms=at_ms,
            deadline_ms=event.deadline_ms,
            to_queue_id=event.to_queue_id,
        )


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
    wrap_up_started_at_ms: int | None = None
    held_for_consult: bool = False
    held_channel: str | None = None
    """Channel on which the gateway connects the customer now."""
    passes_to: str | None = None
    """Agent who gets the customer there and owns the contact once they are connected; None: this one."""
    pending_offer: PendingOffer | None = None
    """Transfer or consult that this agent, the owner, has asked for and that is not answered yet."""
    callback_phase: CallbackPhase | None = None
    monitors: dict[str, MonitorMode] = {}
    """Supervisors in the conversation and their modes, as far as the policy shows them to the owner."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """Operations that the state allows now, as ``allowed`` of the assignment in a ``welcome``."""
        if self.state is AssignmentState.WRAP_UP:
            return OPERATIONS[Requester.WRAP_UP]
        situation = situation_of(
            ContactState.ASSIGNED,
            owner_state=self.state,
            callback_phase=self.callback_phase,
            pending=None if self.pending_offer is None else self.pending_offer.kind,
            other_roles=self.members.values(),
            is_passing_on=self.passes_to is not None,
        )
        return allowed_operations(situation, Requester.OWNER if self.role is AssignmentRole.OWNER else Requester.MEMBER)

    @classmethod
    def from_view(cls, view: AssignmentView) -> "CachedAssignment":
        """Build it from a view in a ``welcome`` frame; fields are copied by name."""
        plain = {name: getattr(view, name) for name in cls.__struct_fields__}
        plain["pending_offer"] = None if view.pending_offer is None else PendingOffer.from_view(view.pending_offer)
        return cls(**plain)


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
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[str, int] = {}
    team: str | None = None
    labels: tuple[str, ...] = ()
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
        """Apply one event. Events of other agents only change offers and conversations that this agent takes part in."""
        match event:
            case e.OfferMade():
                self._apply_offer_made(event, at_ms)
            case e.OfferDeclined() | e.OfferExpired() | e.OfferRescinded():
                self._end_offer(event.offer_id)
            case e.OfferAccepted():
                self._apply_offer_accepted(event, at_ms)
            case e.ContactAssigned():
                self._apply_contact_assigned(event, at_ms)
            case e.AssignmentHeld():
                self._update_assignment(event.assignment_id, AssignmentState.ON_HOLD, held_for_consult=event.reason == "consult")
            case e.AssignmentResumed() | e.AssignmentUnparked():
                self._update_assignment(event.assignment_id, AssignmentState.ACTIVE)
            case e.AssignmentParked():
                self._update_assignment(event.assignment_id, AssignmentState.PARKED, parked_until_ms=event.until_ms)
            case e.WrapUpStarted():
                self._start_wrap_up(event, at_ms)
            case e.WrapUpExtended():
                self._update_assignment(event.assignment_id, AssignmentState.WRAP_UP, wrap_up_deadline_ms=event.deadline_ms)
            case e.ParticipantAdded() | e.ParticipantJoined() | e.ParticipantLeft() | e.ContactHandedOver():
                self._apply_participants(event, at_ms)
            case e.AssignmentCompleted():
                self.assignments.pop(event.assignment_id, None)
            case e.ContactUpdated():
                self._update_contact(event.contact_id, attributes=event.attributes)
            case e.ContactChannelRequested() | e.ContactChannelSwitched() | e.ContactChannelFailed():
                self._apply_channel(event)
            case e.ContactMonitorJoined() | e.ContactMonitorLeft():
                self._apply_monitor(event)
            case e.CallbackDialRequested():
                self._update_contact(event.contact_id, callback_phase=CallbackPhase.DIALLING)
            case e.CallbackConnected():
                self._update_contact(event.contact_id, callback_phase=CallbackPhase.CONNECTED)
            case _ if getattr(event, "agent_id", None) == self.agent_id:
                self._apply_own_event(event, at_ms)

    def _apply_offer_made(self, event: e.OfferMade, at_ms: int) -> None:
        if event.agent_id == self.agent_id:
            self.offers[event.offer_id] = CachedOffer.from_source(event)
        if event.from_agent_id == self.agent_id:
            for name, work in self._conversations(event.contact_id):
                self.assignments[name] = replace(work, pending_offer=PendingOffer.from_event(event, at_ms))

    def _end_offer(self, offer_id: str) -> None:
        """Remove an offer of this agent, or one that this agent has asked for."""
        self.offers.pop(offer_id, None)
        for name, work in self.assignments.items():
            if work.pending_offer is not None and work.pending_offer.offer_id == offer_id:
                self.assignments[name] = replace(work, pending_offer=None)

    def _conversations(self, contact_id: str) -> list[tuple[str, CachedAssignment]]:
        """Return the assignments of a contact that this agent is in conversation with; one in wrap-up has left it."""
        in_wrap_up = AssignmentState.WRAP_UP
        return [one for one in self.assignments.items() if one[1].contact_id == contact_id and one[1].state is not in_wrap_up]

    def _update_contact(self, contact_id: str, **changes: Any) -> None:
        """Change what the offers and conversations of a contact show of it."""
        for name, offer in self.offers.items():
            if offer.contact_id == contact_id:
                self.offers[name] = replace(offer, **changes)
        for name, work in self._conversations(contact_id):
            self.assignments[name] = replace(work, **changes)

    def _apply_channel(self, event: e.ContactChannelRequested | e.ContactChannelSwitched | e.ContactChannelFailed) -> None:
        """Follow the switch of a conversation to another channel; only its owner changes the channel."""
        if isinstance(event, e.ContactChannelSwitched):
            self._update_contact(event.contact_id, reference=event.reference)
        own = self.assignments.get(event.assignment_id or "")
        if own is None:
            return
        match event:
            case e.ContactChannelRequested():
                held_channel = None if event.deadline_ms is None else event.channel
                changed = replace(own, held_channel=held_channel, passes_to=event.to_agent_id)
            case e.ContactChannelSwitched():
                changed = replace(own, held_channel=None, passes_to=None, channel=event.channel)
            case _:
                changed = replace(own, held_channel=None, passes_to=None)
        self.assignments[own.assignment_id] = changed

    def _apply_monitor(self, event: e.ContactMonitorJoined | e.ContactMonitorLeft) -> None:
        """Note which supervisors are in a conversation that this agent owns."""
        for name, work in self._conversations(event.contact_id):
            if isinstance(event, e.ContactMonitorJoined):
                monitors = work.monitors | {event.supervisor_id: event.mode}
            else:
                monitors = {one: mode for one, mode in work.monitors.items() if one != event.supervisor_id}
            self.assignments[name] = replace(work, monitors=monitors)

    def _apply_participants(
        self, event: e.ParticipantAdded | e.ParticipantJoined | e.ParticipantLeft | e.ContactHandedOver, at_ms: int
    ) -> None:
        if isinstance(event, e.ParticipantAdded) and event.agent_id == self.agent_id:
            self._add_assignment(event, event.assignment_id, at_ms)
        self._update_members(event.contact_id, event.members or {})

    def _update_members(self, contact_id: str, members: dict[str, AssignmentRole]) -> None:
        """Set the participants of a conversation; empty: its owner alone. An assignment in wrap-up has left it already."""
        for name, work in self._conversations(contact_id):
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
                self.state_since_ms = self.state_since_ms or at_ms
                self.skills, self.queues, self.queue_ranks = event.skills, event.queues, event.queue_ranks
                self.channel_max, self.attributes = event.channel_max, event.attributes
                self.team, self.labels = event.team, event.labels
            case e.AgentRemoved():
                self._reset()

    def _reset(self) -> None:
        """Forget everything of an agent who was removed; registered again under the same id, the agent starts afresh."""
        fresh = CachedAgent(agent_id=self.agent_id)
        for name in self.__struct_fields__:
            setattr(self, name, getattr(fresh, name))

    def _apply_offer_accepted(self, event: e.OfferAccepted, at_ms: int) -> None:
        offer = self.offers.get(event.offer_id)
        self._end_offer(event.offer_id)
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
            callback_phase=source.callback_phase,
        )

    def _start_wrap_up(self, event: e.WrapUpStarted, at_ms: int) -> None:
        self._update_assignment(
            event.assignment_id,
            AssignmentState.WRAP_UP,
            wrap_up_deadline_ms=event.deadline_ms,
            wrap_up_started_at_ms=at_ms,
            members={},
            pending_offer=None,
            callback_phase=None,
            monitors={},
        )

    def _update_assignment(self, assignment_id: str, state: AssignmentState, **changes: Any) -> None:
        """Change the state of an assignment; what belongs to another state is reset unless it is among the changes."""
        work = self.assignments.get(assignment_id)
        if work is not None:
            fresh: dict[str, Any] = {"parked_until_ms": None, "held_for_consult": False}
            if state in (AssignmentState.PARKED, AssignmentState.WRAP_UP):
                fresh["held_channel"] = fresh["passes_to"] = None
            self.assignments[assignment_id] = replace(work, state=state, **(fresh | changes))


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

    def apply_scope(self, frame: ScopeFrame) -> None:
        """Replace what has changed in the scope of a supervisor, and drop what is in it no more."""
        for agent_id in frame.removed_agents:
            self.agents.pop(agent_id, None)
        for queue_id in frame.removed_queues:
            self.queues.pop(queue_id, None)
        for view in frame.agents:
            self.agents[view.agent_id] = CachedAgent.from_view(view)
        for queue in frame.queues:
            self.queues[queue.queue_id] = queue

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
        for agent_id in recipient_agents(event):
            if agent_id in self.agents:
                self.agents[agent_id].apply(event, at_ms)
