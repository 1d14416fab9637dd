"""Events of goals: what the customer of a contact came for, whether it was done, and how easy it was."""

from msgspec import Struct

from router.model.events.workspace import EventStruct
from router.model.states import AgentId, AssignmentId, ContactId, GatewayId, GoalChange, GoalOutcome, GoalReporter, QueueId


class ContactGoal(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The goal of a contact with everything that is known about it; and how its contact is counted."""

    goal: str | None = None
    """What the customer came for: a goal of the policy; null: not known, the contact has only scores."""
    set_by: GoalReporter | None = None
    """Who named it."""
    set_at_ms: int
    """When the goal or the first score became known, epoch milliseconds."""
    outcome: GoalOutcome = GoalOutcome.UNKNOWN
    """Whether it was done."""
    reported_by: GoalReporter | None = None
    """Who reported the outcome; null: it was not reported."""
    reported_at_ms: int | None = None
    """When it was reported last, epoch milliseconds."""
    ease: int | None = None
    """How easy it was: 1 (very difficult) to 7 (very easy)."""
    effort: int | None = None
    """How much effort it took: 1 (very little) to 5 (very much)."""
    satisfaction: int | None = None
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""
    scored_by: GoalReporter | None = None
    """Who gave the scores; the customer or the gateway, as long as one of them is theirs."""
    customer_id: str | None = None
    """Random id of the customer; null: not known."""
    customer_ids: tuple[str, ...] = ()
    """Other ids of the customer, who was merged, as they were known at the submit."""
    gateway_id: GatewayId = ""
    queued_at_ms: int
    """When the contact was submitted, epoch milliseconds."""
    queue_id: QueueId = ""
    """Queue in which the contact ended; empty: it has not ended."""
    channel: str = ""
    """Channel on which it ended."""
    agent_id: AgentId | None = None
    """Last owner; null: none."""
    assignment_id: AssignmentId | None = None
    """Assignment of the last owner."""
    disposition: str | None = None
    """Disposition of that assignment."""
    is_answered: bool = False
    """Whether an agent had the contact."""
    ended_at_ms: int | None = None
    """When it ended, epoch milliseconds."""
    counted_at_ms: int | None = None
    """When it was over, the last wrap-up included, epoch milliseconds: the moment at which it counts in the statistics."""
    repeats: ContactId | None = None
    """Earlier contact of the same customer that this one repeats; null: it is the first one."""
    repeated_by: ContactId | None = None
    """Later contact by which the customer came again; null: none."""


class GoalChanged(EventStruct, frozen=True, kw_only=True, tag="goal.changed"):
    """The goal of a contact, its outcome, its scores or its repeats have changed."""

    contact_id: ContactId
    change: GoalChange
    """What has changed."""
    by: GoalReporter | None = None
    """Who or what changed it; null: the course of the contact."""
    goal: ContactGoal
    """The goal after the change."""
    before: ContactGoal | None = None
    """The goal before, where it had been counted already: the change is a late correction of that time. Null: it had not."""
    gateway_id: GatewayId = ""
    agent_id: AgentId | None = None
    """Agent who has the contact, or had it last."""
