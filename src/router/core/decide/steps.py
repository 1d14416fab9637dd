"""Progress of a waiting contact through the steps of its plan.

A step ends after its time, or earlier if no agent is left that it is meant for. The time of a step continues while the
contact is offered; steps that ended meanwhile are caught up as soon as the contact waits again. While the queue is closed
the plan is suspended. ``plan_stages`` says what each step requires.
"""

from typing import Final

from router.core.decide.step import Step
from router.core.decide.ways import hops_left, takes_somebody
from router.core.index import Index
from router.core.lines import Line
from router.core.plans import Asks, asks_of, plan_of, skip_condition
from router.core.state import Agent, Contact
from router.model.events import ContactOverflowed, ContactStepEntered
from router.model.ids import QueueId
from router.model.policy import SkipIf, StepPolicy
from router.model.states import AgentState

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_NEVER: Final = SkipIf.NEVER
_NOBODY_FREE: Final = SkipIf.NOBODY_FREE
_NOBODY_QUALIFIED: Final = SkipIf.NOBODY_QUALIFIED
_NOBODY_READY: Final = SkipIf.NOBODY_READY
_READY: Final = AgentState.READY

# Conditions that are checked again when an agent leaves. "No agent free" is checked on entering a step only, because an agent
# may be busy for just a moment; afterwards "no agent ready" takes its place.
_WHILE_THERE: Final = {
    SkipIf.NOBODY_QUALIFIED: SkipIf.NOBODY_QUALIFIED,
    SkipIf.NOBODY_READY: SkipIf.NOBODY_READY,
    SkipIf.NOBODY_FREE: SkipIf.NOBODY_READY,
}


def first_step(step: Step, asks: Asks, begins_at_ms: int) -> tuple[int, int | None]:
    """Return the first step of the plan that is not skipped and its end; (0, None) without a plan."""
    policy = step.state.policy
    if policy is None or not policy.plans:
        return 0, None
    if step.state.hours and step.state.is_closed(asks.queue_id):
        return 0, None  # The plan begins when the queue opens.
    plan = plan_of(policy, asks.queue_id, asks.plan)
    if not plan:
        return 0, None
    return _from(step.state.index, plan, asks, 0, begins_at_ms)


def _from(
    index: Index, plan: tuple[StepPolicy, ...], asks: Asks, number: int, begins_at_ms: int
) -> tuple[int, int | None]:
    last = len(plan) - 1
    while number < last and _skipped(index, plan[number], asks, number):
        number += 1
    for_s = plan[number].for_s
    if number == last or for_s is None:
        return number, None
    return number, begins_at_ms + 1000 * for_s


def _skipped(index: Index, step: StepPolicy, asks: Asks, number: int) -> bool:
    condition = skip_condition(step)
    if condition is _NEVER:
        return False
    queue_id = step.queue or asks.queue_id
    line = index.line_at(asks._replace(queue_id=queue_id, step=number, reserved=None))
    empty = _nobody(index, line, condition)
    index.drop_if_unused(line)
    return empty


def _nobody(index: Index, line: Line, condition: SkipIf) -> bool:
    """Return whether no agent of the line meets the condition, so that the step is to be skipped."""
    if line.only is not None:
        kept_for = index.kept_for(line, line.only)
        return not any(_is_there(agent, line, condition) for agent in kept_for)
    mask = line.profile_mask
    if condition is _NOBODY_READY:
        return not any(profile.ready for profile in index.profiles_in(mask))
    if condition is _NOBODY_FREE:
        mask &= index.open_profiles[line.channel_index]
    return not mask


def _is_there(agent: Agent, line: Line, condition: SkipIf) -> bool:
    if condition is _NOBODY_READY:
        return agent.state is _READY
    return condition is _NOBODY_QUALIFIED or bool(agent.room >> line.channel_index & 1)


def time_is_over(step: Step, contact: Contact) -> None:
    """Advance to the next step, which begins at the end of this one even if the timer fires late."""
    assert contact.step_until_ms is not None
    advance(step, contact, "time", contact.step_until_ms)


def advance(step: Step, contact: Contact, reason: str, begins_at_ms: int) -> None:
    """Advance to the next step that is not skipped; the last step of a plan has no end."""
    state = step.state
    assert state.policy is not None
    asks = asks_of(contact)
    plan = plan_of(state.policy, asks.queue_id, asks.plan)
    if contact.step + 1 >= len(plan):
        enter(step, contact, max(len(plan) - 1, 0), None, reason)
        return
    number, until_ms = _from(state.index, plan, asks, contact.step + 1, begins_at_ms)
    target = plan[number].queue
    if target is None or target == contact.queue_id or not _may_move(step, contact, target):
        enter(step, contact, number, until_ms, reason)
    else:
        if contact.plan is None:
            # In the target queue its plan applies from the first step.
            moved = asks._replace(queue_id=target, step=0)
            number, until_ms = first_step(step, moved, begins_at_ms)
        overflow(step, contact, target, number, until_ms, reason="plan")


def _may_move(step: Step, contact: Contact, target: QueueId) -> bool:
    """Return whether a plan may move the contact: the target accepts contacts and the overflow limit is not reached."""
    return hops_left(step.state, contact) > 0 and takes_somebody(step.state, target)


def resume(step: Step, contact: Contact, plan: tuple[StepPolicy, ...], reason: str) -> None:
    """Begin the step of the same number in a changed plan, or its last step if it has fewer."""
    number = min(contact.step, max(len(plan) - 1, 0))
    until_ms: int | None = None
    if plan:
        number, until_ms = _from(step.state.index, plan, asks_of(contact), number, step.at_ms)
    if plan or contact.step or contact.step_until_ms is not None:
        enter(step, contact, number, until_ms, reason)


def begin(step: Step, contact: Contact) -> None:
    """Continue the plan of a contact whose queue has opened, in the step in which it was suspended."""
    policy = step.state.policy
    assert policy is not None
    plan = plan_of(policy, contact.queue_id, contact.plan)
    if plan:
        resume(step, contact, plan, "opened")


def enter(step: Step, contact: Contact, number: int, until_ms: int | None, reason: str) -> None:
    """Make a step the present one."""
    # Written out, because `_replace` takes longer than the rest of this function.
    asks = Asks(
        contact.queue_id,
        contact.channel,
        contact.skills,
        contact.plan,
        number,
        contact.preferred_agents,
        contact.last_agent_id,
        contact.preferred_agent_id,
    )
    step.emit(
        ContactStepEntered(
            contact_id=contact.contact_id,
            queue_id=contact.queue_id,
            step=number,
            req=step.state.index.line_at(asks).req,
            reason=reason,
            step_until_ms=until_ms,
            gateway_id=contact.gateway_id,
        )
    )


def overflow(
    step: Step,
    contact: Contact,
    target: QueueId,
    number: int,
    until_ms: int | None,
    *,
    reason: str,
    hops: int = 1,
) -> None:
    """Move the contact to another queue, into a step of its plan, keeping its age.

    If the target queue is closed, the step has no end until it opens.
    """
    if step.state.hours and step.state.is_closed(target):
        until_ms = None
    asks = asks_of(contact)._replace(queue_id=target, step=number)
    step.emit(
        ContactOverflowed(
            contact_id=contact.contact_id,
            from_queue_id=contact.queue_id,
            queue_id=target,
            req=step.state.index.line_at(asks).req,
            wait_until_ms=step.wait_limit_ms(contact, target),
            reason=reason,
            hops=hops,
            gateway_id=contact.gateway_id,
            plan=contact.plan,
            step=number,
            step_until_ms=until_ms,
        )
    )


def serve_left(step: Step) -> None:
    """End the steps of contacts that waited for agents who have left, if no other agent of the step is there."""
    index = step.state.index
    names = sorted(index.left)
    index.left.clear()
    for name in names:
        waiting = [c for line in index.private.get(name, ()) for c in line.by_key.values()]
        for contact in sorted(waiting, key=_place):
            leave_if_absent(step, contact)


def leave_if_absent(step: Step, contact: Contact) -> None:
    """Advance to the next step if the present one is reserved for certain agents and none of them is there."""
    state, line = step.state, contact.line
    if not contact.key or contact.held or contact.preferred_agent_id is not None:
        return  # A contact that waits for the opening has no step in progress.
    if line is None or line.only is None or state.policy is None:
        return
    plan = plan_of(state.policy, contact.queue_id, contact.plan)
    if contact.step + 1 >= len(plan):
        return
    condition = _WHILE_THERE.get(skip_condition(plan[contact.step]))
    if condition is not None and _nobody(state.index, line, condition):
        advance(step, contact, "absent", step.at_ms)


def _place(contact: Contact) -> int:
    return 0 if contact.line is None else contact.line.place_of(contact)
