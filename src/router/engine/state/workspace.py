"""Records of one workspace: contacts, offers, assignments and agents, and queries about who takes part in a conversation.

All records are plain mutable structs. Only the event handlers (``engine/events``) change them; commands, matching and queries
read them.

Each record has primary and derived fields. Primary fields are written to a snapshot and covered by the digest. Derived fields
(marked as such) are recomputed from the primary ones after a restart: the position in a waiting line, used capacity, open
channels. Derived fields stand last, because a snapshot stores a record as an array of its primary fields, in this order.
"""

from typing import Final

from router.engine.state.agent import Agent
from router.engine.state.alerts import AlertState
from router.engine.state.contact import Contact
from router.engine.state.ended_contacts import EndedContacts
from router.engine.state.goals import GoalRegister
from router.engine.state.idempotency import IdempotencyKeys
from router.engine.state.policy_history import PolicyHistory
from router.engine.state.records import Assignment, EntryRuleCounts, Offer, QueueHours
from router.engine.state.wait_statistics import WaitStatistics
from router.model.operations import OPERATIONS, Requester, Situation, allowed_operations, situation_of
from router.model.policy import Policy, QueuePolicy
from router.model.policy_versions import ScheduledPolicy, WorkspaceCreation
from router.model.states import (
    TERMINAL_CONTACT_STATES,
    AgentId,
    AgentState,
    AssignmentId,
    AssignmentRole,
    ContactId,
    ContactState,
    OfferId,
    QueueId,
)
from router.policy.calendar import Calendar


class WorkspaceRecords:
    """All records of one workspace, without the index and the timers that are derived from them."""

    def __init__(self) -> None:
        self.seq = 0
        self.at_ms = 0
        self.event_at_ms = 0
        """Time of the last event. A step without events changes ``at_ms`` only."""
        self.policy: Policy | None = None
        self.created: WorkspaceCreation | None = None
        """How the workspace was created over the API, and whether it was removed; none: the settings name it."""
        self.policy_version = 0
        self.policy_history = PolicyHistory()
        self.scheduled_policy: ScheduledPolicy | None = None
        """Policy that is published at its time, or that was refused then."""
        self.rule_counts = EntryRuleCounts()
        self.shadow_policy: Policy | None = None
        """Policy that is evaluated for comparison and decides nothing."""
        self.shadow_seq = 0
        """``seq`` of the event that set the shadow policy; 0: none is set."""
        self.idle_counter = 0
        self.day: str | None = None
        """Local date of the workspace, while the selection of some queue needs it."""
        self.day_until_ms: int | None = None
        self.contacts: dict[ContactId, Contact] = {}
        """Contacts in order of arrival."""
        self.contact_log: list[Contact] = []
        """Derived: the contacts in order of arrival, for incremental iteration; may still hold contacts already forgotten."""
        self.ended_contacts = EndedContacts()
        self.offers: dict[OfferId, Offer] = {}
        self.assignments: dict[AssignmentId, Assignment] = {}
        self.agents: dict[AgentId, Agent] = {}
        """Agents in order of registration."""
        self.agent_log: list[Agent] = []
        """Derived: the agents in order of registration; may still hold agents already removed."""
        self.agents_by_state: dict[AgentState, int] = dict.fromkeys(AgentState, 0)
        """Derived: number of agents by state."""
        self.agents_registered = 0
        """Derived: number of registrations since the process started."""
        self.choosing: dict[ContactId, Contact] = {}
        """Derived: the contacts whose customers are choosing."""
        self.contacts_by_token: dict[bytes, ContactId] = {}
        """Derived: the contacts by the hash of their customer's token."""
        self.idempotency = IdempotencyKeys()
        self.ended_counts: dict[ContactState, int] = dict.fromkeys(TERMINAL_CONTACT_STATES, 0)
        """Number of ended contacts by final state."""
        self.submitted = 0
        self.hours: dict[QueueId, QueueHours] = {}
        """Opening state of the queues that open and close."""
        self.no_agents_since: dict[QueueId, int] = {}
        """Since when no agent of a queue with ``no_agents_for_s`` has been READY; queues with a READY agent are not in it."""
        self.calendars: dict[str, Calendar] = {}
        """Derived: calendars of the policy, compiled on first use."""
        self.suspended_count = 0
        """Derived: number of suspended contacts."""
        self.suspended_by_customer: dict[str, dict[ContactId, None]] = {}
        """Derived: the suspended contacts by customer; without the customers that have none."""
        self.counts_by_queue: dict[QueueId, dict[ContactState, int]] = {}
        self.wait_statistics = WaitStatistics()
        self.alerts: dict[str, AlertState] = {}
        """Alerts that are raised or quiet, by alert and subject."""
        self.goals = GoalRegister()
        """Goals of contacts, also of those that are forgotten already."""

    @property
    def counts(self) -> dict[ContactState, int]:
        """Return the number of contacts by state; live states are summed over the queues on each call."""
        counts = dict.fromkeys(ContactState, 0)
        for tally in self.counts_by_queue.values():
            for name, count in tally.items():
                counts[name] += count
        return counts | self.ended_counts

    def count_suspended(self, contact: Contact, change: int) -> None:
        """Count a contact that is suspended (1), or is suspended no more (-1)."""
        self.suspended_count += change
        name = contact.customer_id
        if name is None:
            return
        if change > 0:
            self.suspended_by_customer.setdefault(name, {})[contact.contact_id] = None
            return
        del self.suspended_by_customer[name][contact.contact_id]
        if not self.suspended_by_customer[name]:
            del self.suspended_by_customer[name]

    def queue_counts(self, queue_id: QueueId) -> dict[ContactState, int]:
        """Return the queue's contacts by state, also for a removed queue; only the live states are meaningful."""
        tally = self.counts_by_queue.get(queue_id)
        if tally is None:
            tally = self.counts_by_queue[queue_id] = dict.fromkeys(ContactState, 0)
        return tally

    def is_closed(self, queue_id: QueueId) -> bool:
        """Return whether the queue is closed now. Check first that ``hours`` is not empty, to save the lookup."""
        hours = self.hours.get(queue_id)
        return hours is not None and not hours.is_open

    def queue_policy(self, queue_id: QueueId) -> QueuePolicy:
        """Return the queue's policy; the default policy for a queue that has been removed."""
        if self.policy is None:
            return DEFAULT_QUEUE_POLICY
        return self.policy.queues.get(queue_id, DEFAULT_QUEUE_POLICY)


DEFAULT_QUEUE_POLICY: Final = QueuePolicy()


def conversation_roles(records: WorkspaceRecords, contact: Contact) -> dict[AgentId, AssignmentRole]:
    """Return the role of each agent in the conversation, the owner first."""
    names = (contact.assignment_id or "", *contact.participant_assignment_ids)
    return {records.assignments[name].agent_id: records.assignments[name].role for name in names}


def conversation_roles_if_shared(records: WorkspaceRecords, contact: Contact) -> dict[AgentId, AssignmentRole] | None:
    """Return the role of each agent in the conversation; None while the owner is alone in it."""
    return conversation_roles(records, contact) if contact.participant_assignment_ids else None


def situation_in(records: WorkspaceRecords, contact: Contact) -> Situation:
    """Return what decides which operations on the contact are allowed."""
    owner = records.assignments.get(contact.assignment_id or "")
    return situation_of(
        contact.state,
        owner_state=None if owner is None else owner.state,
        callback_phase=None if contact.callback is None else contact.callback.phase,
        pending=records.offers[contact.pending_offer_ids[0]].reason if contact.pending_offer_ids else None,
        other_roles=(records.assignments[name].role for name in contact.participant_assignment_ids),
        is_switching=contact.switch is not None and contact.switch.deadline_ms is not None,
        is_passing_on=contact.switch is not None and contact.switch.to_assignment_id is not None,
        is_monitored=bool(contact.monitors),
    )


def requester_for(contact: Contact, assignment: Assignment) -> Requester:
    """Return what the agent of an open assignment is to its contact."""
    if assignment.assignment_id == contact.assignment_id and contact.state is ContactState.ASSIGNED:
        return Requester.OWNER
    is_member = assignment.assignment_id in contact.participant_assignment_ids
    return Requester.MEMBER if is_member else Requester.WRAP_UP


def operations_on(records: WorkspaceRecords, assignment: Assignment) -> tuple[str, ...]:
    """Return the operations that the agent of an open assignment may ask for now."""
    contact = records.contacts.get(assignment.contact_id)
    if contact is None:
        return OPERATIONS[Requester.WRAP_UP]
    return allowed_operations(situation_in(records, contact), requester_for(contact, assignment))


def agents_offered(records: WorkspaceRecords, contact: Contact) -> tuple[AgentId, ...]:
    """Return the agents with a pending offer of the contact, whose state shows it."""
    offers = records.offers
    return tuple(offers[name].agent_id for name in contact.pending_offer_ids)


def roles_under_new_owner(records: WorkspaceRecords, contact: Contact, agent_id: AgentId) -> dict[AgentId, AssignmentRole]:
    """Return the roles as they will be once this agent has become the owner."""
    others = conversation_roles(records, contact)
    others.pop(contact.agent_id or "")
    others.pop(agent_id, None)
    return {agent_id: AssignmentRole.OWNER, **others}


def participant_assignment(records: WorkspaceRecords, contact: Contact, agent_id: AgentId) -> Assignment | None:
    """Return the agent's assignment in the conversation, if the agent takes part without owning it."""
    for name in contact.participant_assignment_ids:
        if records.assignments[name].agent_id == agent_id:
            return records.assignments[name]
    return None


def agent_taking_over(records: WorkspaceRecords, contact: Contact) -> AgentId | None:
    """Return the agent who owns the contact once the customer is connected with them on another channel; None: there is none."""
    switch = contact.switch
    if switch is None or switch.to_assignment_id is None:
        return None
    return records.assignments[switch.to_assignment_id].agent_id


def active_consult(records: WorkspaceRecords, contact: Contact) -> Assignment | None:
    """Return the assignment of the consulted agent; a contact has at most one."""
    for name in contact.participant_assignment_ids:
        if records.assignments[name].role is AssignmentRole.CONSULT:
            return records.assignments[name]
    return None
