"""Progress of a waiting contact through the steps of its plan.

A step ends after its time, or earlier if no agent is left that it is meant for. The time of a step continues while the
contact is offered; steps that ended meanwhile are caught up as soon as the contact waits again. While the queue is closed
the plan is suspended. ``plan_stages`` says what each step requires.
"""

from typing import Final

from router.engine.commands.queue_admission import EntryWay, QueueEntry, find_queue
from router.engine.commands.transaction import Transaction
from router.engine.index.routing_index import RoutingIndex
from router.engine.state.agent import Agent
from router.engine.state.clocks import runs_while_closed
from router.engine.state.contact import Contact, WaitingLine
from router.engine.state.plan_stages import RoutingCriteria, effective_plan, routing_criteria, skip_condition
from router.model.events import ContactOverflowed, ContactStepEntered
from router.model.policy import ContactClock, SkipIf, StepPolicy, WhenNoAgentsReady
from router.model.results import Refused
from router.model.states import AgentState, ContactState, QueueId

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_NEVER: Final = SkipIf.NEVER
_NO_AGENT_FREE: Final = SkipIf.NO_AGENT_FREE
_NO_AGENT_QUALIFIED: Final = SkipIf.NO_AGENT_QUALIFIED
_NO_AGENTS_READY: Final = SkipIf.NO_AGENT_READY
_OVERFLOW: Final = WhenNoAgentsReady.OVERFLOW
_QUEUED: Final = ContactState.QUEUED
_READY: Final = AgentState.READY

# Conditions that are checked again when an agent leaves. "No agent free" is checked on entering a step only, because an agent
# may be busy for just a moment; afterwards "no agent ready" takes its place.
_RECHECKED_AS: Final = {
    SkipIf.NO_AGENT_QUALIFIED: SkipIf.NO_AGENT_QUALIFIED,
    SkipIf.NO_AGENT_READY: SkipIf.NO_AGENT_READY,
    SkipIf.NO_AGENT_FREE: SkipIf.NO_AGENT_READY,
}


def first_plan_step(tx: Transaction, criteria: RoutingCriteria, begins_at_ms: int) -> tuple[int, int | None]:
    """Return the first step of the plan that is not skipped and its end; (0, None) without a plan."""
    policy = tx.state.policy
    if policy is None or not policy.plans:
        return 0, None
    if tx.state.hours and tx.state.is_closed(criteria.queue_id) and not _runs_while_closed(tx, criteria.queue_id):
        return 0, None  # The plan begins when the queue opens.
    plan = effective_plan(policy, criteria.queue_id, criteria.plan)
    if not plan:
        return 0, None
    return _next_step(tx.state.index, plan, criteria, 0, begins_at_ms)


def _runs_while_closed(tx: Transaction, queue_id: QueueId) -> bool:
    return runs_while_closed(tx.state, queue_id, ContactClock.PLAN)


def _next_step(
    index: RoutingIndex, plan: tuple[StepPolicy, ...], criteria: RoutingCriteria, number: int, begins_at_ms: int
) -> tuple[int, int | None]:
    last = len(plan) - 1
    inapplicable = index.lines.inapplicable_steps(criteria)
    while number < last and (number in inapplicable or _is_skipped(index, plan[number], criteria, number)):
        number += 1
    duration_s = plan[number].duration_s
    if number == last or duration_s is None:
        return number, None
    return number, begins_at_ms + 1000 * duration_s


def _is_skipped(index: RoutingIndex, step: StepPolicy, criteria: RoutingCriteria, number: int) -> bool:
    condition = skip_condition(step)
    if condition is _NEVER:
        return False
    queue_id = step.queue or criteria.queue_id
    line = index.lines.line_for_requirements(criteria._replace(queue_id=queue_id, step=number, reserved_agent_id=None))
    empty = _has_no_agents(index, line, condition)
    index.lines.drop_if_unused(line)
    return empty


def _has_no_agents(index: RoutingIndex, line: WaitingLine, condition: SkipIf) -> bool:
    """Return whether no agent of the line meets the condition, so that the step is to be skipped."""
    if line.reserved_for is not None:
        kept_for = index.contacts.reserved_agents(line, line.reserved_for)
        return not any(_meets_condition(agent, line, condition) for agent in kept_for)
    mask = line.group_mask
    if condition is _NO_AGENTS_READY:
        return not any(group.ready_count for group in index.qualification.groups_in(mask))
    if condition is _NO_AGENT_FREE:
        mask &= index.agents.open_group_bits[line.channel_index]
    return not mask


def _meets_condition(agent: Agent, line: WaitingLine, condition: SkipIf) -> bool:
    if condition is _NO_AGENTS_READY:
        return agent.state is _READY
    return condition is _NO_AGENT_QUALIFIED or bool(agent.open_channel_bits >> line.channel_index & 1)


def expire_plan_step(tx: Transaction, contact: Contact) -> None:
    """Advance to the next step, which begins at the end of this one even if the timer fires late."""
    assert contact.step_until_ms is not None
    advance_plan(tx, contact, "time", contact.step_until_ms)


def advance_plan(tx: Transaction, contact: Contact, reason: str, begins_at_ms: int) -> None:
    """Advance to the next step that is not skipped; the last step of a plan has no end.

    A contact that is still offered to some agents (broadcast) does not move to another queue: the step is caught up when its
    offers have ended.
    """
    state = tx.state
    assert state.policy is not None
    criteria = routing_criteria(contact)
    plan = effective_plan(state.policy, criteria.queue_id, criteria.plan)
    if contact.step + 1 >= len(plan):
        enter_plan_step(tx, contact, max(len(plan) - 1, 0), None, reason)
        return
    number, until_ms = _next_step(state.index, plan, criteria, contact.step + 1, begins_at_ms)
    target = None if number in state.index.lines.inapplicable_steps(criteria) else plan[number].queue
    entry: QueueEntry | Refused | None = None
    if target is not None and target != contact.queue_id:
        entry = find_queue(state, contact, target, EntryWay.STEP)
    if not isinstance(entry, QueueEntry):
        # No queue admits it: the step applies in its present queue.
        enter_plan_step(tx, contact, number, until_ms, reason)
    elif contact.state is _QUEUED:
        if contact.plan is None:
            number, until_ms = _first_step_in(tx, contact, entry.queue_id, begins_at_ms)
        overflow_contact(tx, contact, entry.queue_id, number, until_ms, reason="plan", overflow_count=entry.overflow_count)


def _first_step_in(tx: Transaction, contact: Contact, queue_id: QueueId, begins_at_ms: int) -> tuple[int, int | None]:
    """Return the first step, and its end, of the plan of a queue that a contact without a plan of its own enters."""
    return first_plan_step(tx, routing_criteria(contact)._replace(queue_id=queue_id, step=0), begins_at_ms)


def overflow_to(tx: Transaction, contact: Contact, entry: QueueEntry, reason: str) -> None:
    """Move a waiting contact to the queue that admits it. A plan of its own continues; that of the queue starts."""
    number, until_ms = contact.step, contact.step_until_ms
    if contact.plan is None:
        number, until_ms = _first_step_in(tx, contact, entry.queue_id, tx.at_ms)
    overflow_contact(tx, contact, entry.queue_id, number, until_ms, reason=reason, overflow_count=entry.overflow_count)


def overflow_without_agents(tx: Transaction, contact: Contact, way: EntryWay) -> None:
    """Move a contact that waits in its queue again to the next one, if no agent is ready and the policy says so."""
    if tx.state.queue_policy(contact.queue_id).when_no_agents_ready is not _OVERFLOW or contact.state is not _QUEUED:
        return
    if contact.waiting_for_opening or contact.preferred_agent_id is not None:
        return
    entry = find_queue(tx.state, contact, contact.queue_id, way)
    if isinstance(entry, QueueEntry) and entry.queue_id != contact.queue_id:
        overflow_to(tx, contact, entry, "no_agents_ready")


def resume_plan(tx: Transaction, contact: Contact, plan: tuple[StepPolicy, ...], reason: str) -> None:
    """Begin the step of the same number in a changed plan, or its last step if it has fewer."""
    number = min(contact.step, max(len(plan) - 1, 0))
    until_ms: int | None = None
    if plan:
        number, until_ms = _next_step(tx.state.index, plan, routing_criteria(contact), number, tx.at_ms)
    if plan or contact.step or contact.step_until_ms is not None:
        enter_plan_step(tx, contact, number, until_ms, reason)


def begin_plan(tx: Transaction, contact: Contact) -> None:
    """Begin the plan of a contact whose queue has opened; a step that stood still continues with the rest of its time."""
    policy = tx.state.policy
    assert policy is not None
    if contact.step_until_ms is not None or _runs_while_closed(tx, contact.queue_id):
        if tx.state.index.lines.tells_customers_apart:
            skip_inapplicable_step(tx, contact)
        skip_absent_step(tx, contact)
        return
    plan = effective_plan(policy, contact.queue_id, contact.plan)
    if plan:
        resume_plan(tx, contact, plan, "opened")


def enter_plan_step(tx: Transaction, contact: Contact, number: int, until_ms: int | None, reason: str) -> None:
    """Make a step the present one."""
    # Written out, because `_replace` takes longer than the rest of this function.
    criteria = RoutingCriteria(
        contact.queue_id,
        contact.channel,
        contact.skills,
        contact.plan,
        number,
        contact.preferred_agents,
        contact.last_agent_id,
        contact.preferred_agent_id,
        contact.customer_facts,
    )
    tx.emit(
        ContactStepEntered(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            step=number,
            requirement=tx.requirement_text(criteria),
            reason=reason,
            step_until_ms=until_ms,
            gateway_id=contact.gateway_id,
        )
    )


def overflow_contact(
    tx: Transaction, contact: Contact, target: QueueId, number: int, until_ms: int | None, *, reason: str, overflow_count: int = 1
) -> None:
    """Move the contact to another queue, into a step of its plan, keeping its age."""
    criteria = routing_criteria(contact)._replace(queue_id=target, step=number)
    tx.emit(
        ContactOverflowed(
            contact_id=contact.contact_id,
            from_queue_id=contact.queue_id,
            queue_id=target,
            requirement=tx.requirement_text(criteria),
            wait_until_ms=tx.contact_wait_until_ms(contact, target),
            reason=reason,
            overflow_count=overflow_count,
            gateway_id=contact.gateway_id,
            plan=contact.plan,
            step=number,
            step_until_ms=until_ms,
        )
    )


def skip_inapplicable_step(tx: Transaction, contact: Contact) -> None:
    """Advance to the next step if the ``when`` of the present one no longer holds for the customer; the last step stays."""
    if contact.state is not _QUEUED or contact.waiting_for_opening or tx.state.policy is None:
        return
    plan = effective_plan(tx.state.policy, contact.queue_id, contact.plan)
    if contact.step + 1 < len(plan) and contact.step in tx.state.index.lines.inapplicable_steps(routing_criteria(contact)):
        advance_plan(tx, contact, "customer", tx.at_ms)


def skip_absent_step(tx: Transaction, contact: Contact) -> None:
    """Advance to the next step if the present one is reserved for certain agents and none of them is there."""
    state, line = tx.state, contact.waiting_line
    if not contact.order_key or contact.waiting_for_opening or contact.preferred_agent_id is not None:
        return  # A contact that waits for the opening has no step in progress.
    if line is None or line.reserved_for is None or state.policy is None:
        return
    plan = effective_plan(state.policy, contact.queue_id, contact.plan)
    if contact.step + 1 >= len(plan):
        return
    condition = _RECHECKED_AS.get(skip_condition(plan[contact.step]))
    if condition is not None and _has_no_agents(state.index, line, condition):
        advance_plan(tx, contact, "absent", tx.at_ms)
