"""Plain records of the state: offers, assignments, opening hours, rule counts and requirements.

A snapshot stores offers, assignments and hours as arrays in the order of their fields. None of them
refers to another object; contacts and agents, which do, have modules of their own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from router.model.policy import FactValue, Selection
from router.model.states import (
    AgentId,
    AssignmentId,
    AssignmentRole,
    AssignmentState,
    ContactId,
    MatchTrigger,
    OfferId,
    OfferState,
    QueueId,
)
from router.policy.customer_classes import CustomerClass


class Offer(Struct, array_like=True, gc=False):
    """A pending offer."""

    offer_id: OfferId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    units: int
    made_at_ms: int
    deadline_ms: int
    waited_ms: int
    reason: str
    state: OfferState = OfferState.PENDING
    from_agent_id: AgentId | None = None
    broadcast: bool = False
    role: AssignmentRole = AssignmentRole.OWNER
    """Role that the agent takes in the conversation on accept."""
    match_trigger: MatchTrigger | None = None
    other_candidates: int = 0
    selection_inputs: dict[str, FactValue] | None = None
    to_queue_id: QueueId | None = None


class Assignment(Struct, array_like=True, gc=False):
    """An agent's work on one contact, until it is completed."""

    assignment_id: AssignmentId
    contact_id: ContactId
    agent_id: AgentId
    channel: str
    queue_id: QueueId
    state: AssignmentState
    units: int
    started_at_ms: int
    wrap_up_started_at_ms: int | None = None
    wrap_up_deadline_ms: int | None = None
    holds_capacity: bool = True
    """Whether it uses capacity now, interruptions left aside."""
    role: AssignmentRole = AssignmentRole.OWNER
    """Role of the agent in the conversation; the last one, if the agent has left."""
    held_for_consult: bool = False
    """Whether the hold was set by a consult rather than by the owner."""
    parked_until_ms: int | None = None
    was_parked: bool = False
    reason: str = ""
    match_trigger: MatchTrigger | None = None
    other_candidates: int = 0
    selection_inputs: dict[str, FactValue] | None = None
    final_attributes: dict[str, FactValue] | None = None
    """Attributes of the contact when the agent left the conversation; None: the agent is in it, or left before they were kept."""
    final_reference: str | None = None
    """Reference of the contact, kept with ``final_attributes``."""
    held_channel: str | None = None
    held_units: int = 0
    """Channel to which the conversation switches, and the units that are held for it beyond ``units``."""

    def keep_contact(self, attributes: dict[str, FactValue], reference: str | None) -> None:
        """Keep what the agent sees of the contact for the wrap-up: it may change or be dropped by retention meanwhile."""
        if self.final_attributes is None:
            self.final_attributes, self.final_reference = attributes, reference


class WorkQueue(StrEnum):
    """Queue whose settings and statistics apply to the work of an agent who takes a contact."""

    OF_CONTACT = "of_contact"
    """The queue in which the contact is at that moment."""
    CONSULTED = "consulted"
    """The queue that the owner consults."""
    OF_ASSIGNMENT = "of_assignment"
    """The queue of the work that the agent already has on the contact, which the contact follows."""


WORK_QUEUES: Final[dict[str, WorkQueue]] = {
    "offer": WorkQueue.OF_CONTACT,
    "transfer": WorkQueue.OF_CONTACT,
    "consult of an agent": WorkQueue.OF_CONTACT,
    "consult of a queue": WorkQueue.CONSULTED,
    "assign": WorkQueue.OF_CONTACT,
    "add": WorkQueue.OF_CONTACT,
    "hand over": WorkQueue.OF_ASSIGNMENT,
}
"""The queue by the way of taking a contact; the table for readers is in docs/reference/routing.md, "Queue of an agent's work".

It decides the offer timeout, ``auto_accept``, RONA, cool-down, wrap-up and dispositions, and where offers and handle time count.
The wait and its end belong to the queue of the contact. "hand over" stands for every way in which another agent of a conversation
becomes its owner: a completed consult, a hand-over, an assignment, a lost desktop.
"""


def work_queue_id(
    way: str, contact_queue_id: QueueId, *, offer: Offer | None = None, assignment: Assignment | None = None
) -> QueueId:
    """Return the queue of an agent's work on a contact, by the way in which the agent takes it."""
    match WORK_QUEUES[way]:
        case WorkQueue.CONSULTED if offer is not None:
            return offer.queue_id
        case WorkQueue.OF_ASSIGNMENT if assignment is not None:
            return assignment.queue_id
        case _:
            return contact_queue_id


def way_of_offer(offer: Offer | None) -> str:
    """Return the way of taking a contact by an offer; without one a supervisor gives it to the agent."""
    if offer is None:
        return "assign"
    if offer.role is AssignmentRole.OWNER:
        return "offer" if offer.from_agent_id is None else "transfer"
    return "consult of an agent" if offer.to_queue_id is None else "consult of a queue"


class SelectionRecord(Struct, frozen=True, array_like=True, gc=False):
    """Why the owner of a contact was chosen; kept with the contact after its end."""

    agent_id: AgentId
    reason: str
    at_ms: int
    match_trigger: MatchTrigger | None
    other_candidates: int
    selection_inputs: dict[str, FactValue] | None


def selection_record(assignment: Assignment) -> SelectionRecord:
    """Return why the agent of the assignment was chosen."""
    return SelectionRecord(
        assignment.agent_id,
        assignment.reason,
        assignment.started_at_ms,
        assignment.match_trigger,
        assignment.other_candidates,
        assignment.selection_inputs,
    )


class QueueHours(Struct, array_like=True, gc=False):
    """Opening state of a queue with opening hours. A queue without such a record is always open."""

    is_open: bool
    changes_at_ms: int | None
    """When the opening state changes next, as far as known."""
    next_check_at_ms: int | None
    """When the calendar is evaluated again; at most one year ahead, the horizon of ``changes_at_ms``."""
    reason: str

    @property
    def is_supervisor_override(self) -> bool:
        """Return whether a supervisor set the state; the calendar is then ignored."""
        return self.reason == "supervisor"


RequirementKey: TypeAlias = tuple[tuple[str, int], ...]
# Queue, channel, requirement, agents it is reserved for (None: any agent), alternative requirements, selection set by a plan
# (None: the queue's), class of the customers (None: any).
WaitingLineKey: TypeAlias = tuple[
    QueueId, str, RequirementKey, tuple[AgentId, ...] | None, tuple[RequirementKey, ...], Selection | None, CustomerClass | None
]


def format_requirement(
    queue_id: QueueId,
    channel: str,
    requirement: RequirementKey,
    reserved_for: tuple[AgentId, ...] | None = None,
    alternatives: tuple[RequirementKey, ...] = (),
) -> str:
    """Return a requirement class in readable form, such as ``voice/support:english>=5,loans>=3``.

    ``|`` precedes each alternative requirement, ``@`` the agents it is reserved for.
    """
    skills = ",".join([f"{skill}>={level}" for skill, level in requirement])
    text = f"{channel}/{queue_id}:{skills}" if skills else f"{channel}/{queue_id}"
    for other in alternatives:
        text += "|" + ",".join([f"{skill}>={level}" for skill, level in other])
    return text if reserved_for is None else f"{text}@{'+'.join(reserved_for)}"


class EntryRuleCounts(Struct, kw_only=True):
    """Number of contacts by the rule that matched and by the rules that failed to evaluate. Primary state."""

    since_ms: int = 0
    """When the policy was published, epoch milliseconds."""
    by_default: int = 0
    """Contacts that named no queue and matched no rule."""
    matched: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    over_budget: dict[str, int] | UnsetType = UNSET
    """Contacts by the rule that would have exceeded the budget; unset until there is one."""

    def record_classification(self, rule: str | None, failed: tuple[str, ...], over_budget: str | None = None) -> None:
        """Count one classified contact; the rule that exceeds the budget is the last of the failed ones."""
        if rule is None:
            self.by_default += 1
        else:
            self.matched[rule] = self.matched.get(rule, 0) + 1
        if over_budget is not None:
            counts = {} if self.over_budget is UNSET else self.over_budget
            counts[over_budget] = counts.get(over_budget, 0) + 1
            self.over_budget = counts
            failed = failed[:-1]
        for name in failed:
            self.failed[name] = self.failed.get(name, 0) + 1

    def over_budget_count(self, rule: str) -> int:
        """Return the number of contacts for which a rule would have exceeded the budget."""
        return 0 if self.over_budget is UNSET else self.over_budget.get(rule, 0)

    @property
    def classified(self) -> int:
        """Return the number of classified contacts."""
        return self.by_default + sum(self.matched.values())
