"""Transactions, through which commands emit events, and the answers that most commands share."""

from typing import Any, Final

from router.engine.events import EVENT_HANDLERS
from router.engine.events.contacts import queue_in_line
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import runs_while_closed
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.plan_stages import RoutingCriteria
from router.engine.state.workspace import participant_assignment, situation_in
from router.model.commands import (
    CancelConsult,
    CancelTransfer,
    CompleteConsult,
    EndContact,
    HandOverContact,
    JoinConsult,
    LeaveContact,
    PlainCommand,
    ReportGoal,
    StartConsult,
    SuspendContact,
    SwitchChannel,
    TransferContact,
)
from router.model.events import ContactQueued, Event
from router.model.operations import Requester, allowed_operations
from router.model.policy import ContactClock
from router.model.results import Done, RefusalCode, Refused
from router.model.states import AgentId, GatewayId, QueueId

_WAIT_MAX: Final = ContactClock.WAIT_MAX


class Transaction:
    """Collects the events of one command and applies each to the state as soon as it is decided."""

    __slots__ = ("at_ms", "events", "state")

    def __init__(self, state: RoutingState, at_ms: int) -> None:
        self.state = state
        self.at_ms = at_ms
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Apply the event to the state and record it."""
        state = self.state
        # `apply`, inlined because it runs for every event; the engine sets `event_at_ms` once per command.
        state.seq += 1
        EVENT_HANDLERS[type(event)](state, event)
        self.events.append(event)

    def emit_queued(self, event: ContactQueued, line: WaitingLine) -> Contact | None:
        """Emit the event of a new contact whose waiting line is known.

        Returns the contact if an agent is free for it: it is then not in its line, and the caller matches it
        (``match_arriving_contact``) before anything else happens. Otherwise the contact waits in its line.
        """
        state = self.state
        state.seq += 1
        contact = queue_in_line(state, event, line)
        self.events.append(event)
        return contact

    def wait_until_ms(self, queue_id: QueueId) -> int | None:
        """Return when the wait of a contact that enters the queue now ends; None without a limit or while it is closed."""
        state = self.state
        if state.hours and state.is_closed(queue_id) and not runs_while_closed(state, queue_id, _WAIT_MAX):
            return None
        return self.wait_max_until_ms(queue_id)

    def wait_max_until_ms(self, queue_id: QueueId) -> int | None:
        """Return the end of a wait in this queue that begins now; None without a limit."""
        wait_max_s = self.state.queue_policy(queue_id).wait_max_s
        return None if wait_max_s is None else self.at_ms + 1000 * wait_max_s

    def contact_wait_until_ms(self, contact: Contact, queue_id: QueueId) -> int | None:
        """Return ``wait_until_ms`` for a contact; None for a callback whose customer is not on the line."""
        if contact.awaits_customer:
            return None
        return self.wait_until_ms(queue_id)

    def requirement_text(self, criteria: RoutingCriteria) -> str:
        """Return the text of the requirement class that events name."""
        return self.state.index.lines.requirement_text(criteria)

    def done(self, subject: str, state: str) -> Done:
        """Return the answer to a command that was carried out, with the sequence number of the last event."""
        return Done(subject, state, self.state.seq)


class ObservedTransaction(Transaction):
    """Transaction used while a snapshot or a query is built between commands, which must see the records before they change."""

    __slots__ = ()

    def emit(self, event: Event) -> None:
        """Show the event to the observers, then apply it and record it."""
        self._show(event)
        super().emit(event)

    def emit_queued(self, event: ContactQueued, line: WaitingLine) -> Contact | None:
        """Show the event of a new contact to the observers, then emit it."""
        self._show(event)
        return super().emit_queued(event, line)

    def _show(self, event: Event) -> None:
        # A copy: an observer may cancel itself.
        for observer in tuple(self.state.observers):
            observer.before_event(event)


# Commands whose ``agent_id`` is the agent who sends them; in others it is the agent that they concern.
_COMMANDS_OF_AGENTS: Final = (
    EndContact,
    SuspendContact,
    SwitchChannel,
    TransferContact,
    CancelTransfer,
    StartConsult,
    CompleteConsult,
    CancelConsult,
    JoinConsult,
    HandOverContact,
    ReportGoal,
)


def is_visible(state: RoutingState, contact: Contact, command: PlainCommand) -> bool:
    """Return whether the client of a command may know that the contact exists; to others it must look like an unknown one."""
    if isinstance(command, _COMMANDS_OF_AGENTS):
        agent_id = command.agent_id
    else:
        agent_id = command.agent_id if isinstance(command, LeaveContact) and command.reason == "left" else None
    return may_see(state, contact, agent_id=agent_id, gateway_id=getattr(command, "gateway_id", None))


def may_see(state: RoutingState, contact: Contact, *, agent_id: AgentId | None, gateway_id: GatewayId | None) -> bool:
    """Return whether an agent or a gateway may know that the contact exists; with neither, it is a supervisor.

    A gateway sees the contacts that it has, and those whose customer it is connecting on its channel; an agent those in whose
    conversation the agent takes part, owned last, or is offered now.
    """
    if gateway_id is not None and gateway_id != contact.gateway_id:
        switch = contact.switch
        return switch is not None and switch.gateway_id == gateway_id
    if agent_id is None or agent_id == contact.agent_id:
        return True
    if any(state.offers[name].agent_id == agent_id for name in contact.pending_offer_ids):
        return True
    return participant_assignment(state, contact, agent_id) is not None


def already_done(subject: str, state: str, seq: int) -> Done:
    """Return the answer to a command that changes nothing because the state is already as requested."""
    return Done(subject=subject, state=state, seq=seq, replayed=True)


def not_owner() -> Refused:
    """Return the refusal for an agent who may see the contact but does not own it."""
    detail = "only the agent who owns the contact may do this"
    return Refused(code=RefusalCode.NOT_OWNER, field="contact_id", detail=detail)


def unknown_contact() -> Refused:
    """Return the refusal for a contact that does not exist."""
    return Refused(code=RefusalCode.UNKNOWN_CONTACT, field="contact_id")


def unknown_agent(field: str = "agent_id") -> Refused:
    """Return the refusal for an agent that does not exist."""
    return Refused(code=RefusalCode.UNKNOWN_AGENT, field=field)


def unknown_assignment() -> Refused:
    """Return the refusal for an assignment that does not exist or belongs to another agent."""
    return Refused(code=RefusalCode.UNKNOWN_ASSIGNMENT, field="assignment_id")


def unknown_queue(field: str = "queue_id") -> Refused:
    """Return the refusal for a queue that the policy does not have."""
    return Refused(code=RefusalCode.UNKNOWN_QUEUE, field=field, detail="not one of the policy's queues")


def requester_of(command: Any) -> Requester:
    """Return who sends a command: a gateway, the owner of the contact, or a supervisor, who names neither."""
    if getattr(command, "gateway_id", None) is not None:
        return Requester.GATEWAY
    return Requester.SUPERVISOR if getattr(command, "agent_id", None) is None else Requester.OWNER


def wrong_contact_state(
    tx: Transaction,
    contact: Contact,
    requester: Requester,
    detail: str = "",
    *,
    code: RefusalCode = RefusalCode.INVALID_CONTACT_STATE,
    state: str | None = None,
    field: str | None = None,
) -> Refused:
    """Return the refusal for a contact whose state does not allow the command, with the operations that it does allow."""
    allowed = allowed_operations(situation_in(tx.state, contact), requester)
    return Refused(code=code, state=state or str(contact.state), allowed=allowed, detail=detail, field=field)
