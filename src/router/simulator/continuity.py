"""Behaviour of simulated customers who go on later or on another channel: they suspend and resume, or switch in a conversation.

A customer who suspends does so in the middle of the conversation, is away for an exponential time, and resumes on the planned
channel; the rest of the conversation follows then. Where the queue does not admit the contact again, the customer gives up. A
customer who switches asks for the other channel after a quarter of the conversation; the gateway connects them a while later. Where
the agent cannot take it, the conversation goes on as it is, or the switch waits; another agent who takes it, once the customer is
connected, then ends the conversation when the first one would have. An agent who is consulted for the switch gets the conversation
after a planned time, if it lasts that long.

Suspensions and switches are planned with the contact, so that a policy sees the same customers as any other.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from router.model.commands import (
    CancelContact,
    Command,
    CompleteConsult,
    ReportChannel,
    ResumeContact,
    SuspendContact,
    SwitchChannel,
)
from router.model.events import ContactChannelRequested, ContactSuspended, Event
from router.model.results import Refused
from router.model.states import ChannelOutcome
from router.simulator.day import PlannedContact


class ContinuityStep(Enum):
    """What a customer does next."""

    SUSPEND = auto()
    RESUME = auto()
    SWITCH = auto()
    CONNECT = auto()
    PASS_ON = auto()


class PlannedStep(Struct, frozen=True):
    """A step of a customer, scheduled for a time."""

    contact_id: str
    kind: ContinuityStep


class ReturningCustomers:
    """Simulated customers who go on later or on another channel."""

    def __init__(
        self,
        *,
        plans: dict[str, PlannedContact],
        answered: dict[str, str],
        handle: Callable[[Command], Refused | None],
        schedule: Callable[[int, PlannedStep], None],
    ) -> None:
        self._plans = plans
        self._answered = answered
        self._handle = handle
        self._schedule = schedule
        self._has_been_away: set[str] = set()
        self.handlers: Final[dict[type[Event], Callable[[Event], None]]] = {
            ContactSuspended: self._suspended,
            ContactChannelRequested: self._requested,
        }

    def ignores_patience(self, contact_id: str) -> bool:
        """Return whether the customer is away, or has been: the patience was for the first wait."""
        return contact_id in self._has_been_away

    def forget(self, contact_id: str) -> None:
        """Drop what is known of a contact that has ended."""
        self._has_been_away.discard(contact_id)

    def start_conversation(self, contact_id: str, handle_ms: int) -> int | None:
        """Schedule what happens in a conversation that begins; return how long it lasts, or None if it is suspended before."""
        plan = self._plans[contact_id]
        if plan.switch is not None:
            self._schedule(handle_ms // 4, PlannedStep(contact_id, ContinuityStep.SWITCH))
        if plan.suspension is None:
            return handle_ms
        if contact_id in self._has_been_away:
            return handle_ms - handle_ms // 2
        self._schedule(handle_ms // 2, PlannedStep(contact_id, ContinuityStep.SUSPEND))
        return None

    def run(self, step: PlannedStep) -> None:
        """Let a customer take a step, unless the contact is over."""
        contact_id = step.contact_id
        plan = self._plans.get(contact_id)
        if plan is None:
            return
        match step.kind:
            case ContinuityStep.SUSPEND:
                self._handle(SuspendContact(contact_id=contact_id))
            case ContinuityStep.RESUME:
                assert plan.suspension is not None
                refused = self._handle(ResumeContact(contact_id=contact_id, channel=plan.suspension.channel))
                if refused is not None and contact_id in self._plans:
                    self._handle(CancelContact(contact_id=contact_id, reason="not_admitted"))
            case ContinuityStep.SWITCH:
                assert plan.switch is not None
                # Refused where the agent has no capacity for it, or the conversation is not one any more.
                switch = plan.switch
                self._handle(SwitchChannel(contact_id=contact_id, channel=switch.channel, if_unable=switch.if_unable))
            case ContinuityStep.CONNECT:
                # Refused if the switch has ended meanwhile.
                self._handle(ReportChannel(contact_id=contact_id, outcome=ChannelOutcome.CONNECTED))
            case ContinuityStep.PASS_ON:
                # Refused if the consult has ended meanwhile.
                self._handle(CompleteConsult(contact_id=contact_id))

    def consulted(self, contact_id: str) -> None:
        """Schedule that the conversation is passed to the agent who has accepted a consult for its switch."""
        switch = self._plans[contact_id].switch
        assert switch is not None
        self._schedule(switch.consult_ms, PlannedStep(contact_id, ContinuityStep.PASS_ON))

    def _suspended(self, event: Event) -> None:
        assert isinstance(event, ContactSuspended)
        plan = self._plans[event.contact_id]
        assert plan.suspension is not None
        self._answered.pop(event.contact_id, None)
        self._has_been_away.add(event.contact_id)
        self._schedule(plan.suspension.away_ms, PlannedStep(event.contact_id, ContinuityStep.RESUME))

    def _requested(self, event: Event) -> None:
        assert isinstance(event, ContactChannelRequested)
        plan = self._plans[event.contact_id]
        assert plan.switch is not None
        if event.deadline_ms is None:
            return  # The switch waits for capacity: the gateway is not asked to connect the customer yet.
        self._schedule(plan.switch.connect_ms, PlannedStep(event.contact_id, ContinuityStep.CONNECT))
