"""Steps: how a contact goes through its plan while it waits. What a step asks for stands in ``core/plans.py``.

A step's time runs on while the contact is offered; what it has missed meanwhile follows as soon as it waits again.
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

# Bound once: to look a member up on its class takes longer than most of what is done with it.
_NEVER: Final = SkipIf.NEVER
_NOBODY_FREE: Final = SkipIf.NOBODY_FREE
_NOBODY_QUALIFIED: Final = SkipIf.NOBODY_QUALIFIED
_NOBODY_READY: Final = SkipIf.NOBODY_READY
_READY: Final = AgentState.READY

# What an agent's leaving can make true; that nobody is free is asked on entering only, for he may be busy for a moment.
_WHILE_THERE: Final = {
    SkipIf.NOBODY_QUALIFIED: SkipIf.NOBODY_QUALIFIED,
    SkipIf.NOBODY_READY: SkipIf.NOBODY_READY,
    SkipIf.NOBODY_FREE: SkipIf.NOBODY_READY,
}


def first_step(step: Step, asks: Asks, begins_at_ms: int) -> tuple[int, int | None]:
    """The first step of its plan that is not skipped, and when it ends. Without a plan: 0 and never."""
    policy = step.state.policy
    if policy is None or not policy.plans:
        return 0, None
    if step.state.hours and step.state.is_closed(asks.queue_id):
        return 0, None  # It begins when the queue opens.
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
    """Whether nobody is there for the line, in the sense of the condition."""
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
    """The next step begins when this one ended, even if that is noticed late."""
    assert contact.step_until_ms is not None
    advance(step, contact, "time", contact.step_until_ms)


def advance(step: Step, contact: Contact, reason: str, begins_at_ms: int) -> None:
    """The next step that is not skipped; after the last one there is none, and its end is forgotten."""
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
            # The queue that it comes to has a plan of its own, or none.
            moved = asks._replace(queue_id=target, step=0)
            number, until_ms = first_step(step, moved, begins_at_ms)
        overflow(step, contact, target, number, until_ms, reason="plan")


def _may_move(step: Step, contact: Contact, target: QueueId) -> bool:
    """A plan moves nobody into a queue that takes nobody, nor beyond the hops of an overflow: its step holds where he is."""
    return hops_left(step.state, contact) > 0 and takes_somebody(step.state, target)


def resume(step: Step, contact: Contact, plan: tuple[StepPolicy, ...], reason: str) -> None:
    """Its plan is another one now: the step of the same number begins, or the last one where there are fewer."""
    number = min(contact.step, max(len(plan) - 1, 0))
    until_ms: int | None = None
    if plan:
        number, until_ms = _from(step.state.index, plan, asks_of(contact), number, step.at_ms)
    if plan or contact.step or contact.step_until_ms is not None:
        enter(step, contact, number, until_ms, reason)


def begin(step: Step, contact: Contact) -> None:
    """Its queue has opened, and its plan goes on in the step in which it stood still."""
    policy = step.state.policy
    assert policy is not None
    plan = plan_of(policy, contact.queue_id, contact.plan)
    if plan:
        resume(step, contact, plan, "opened")


def enter(step: Step, contact: Contact, number: int, until_ms: int | None, reason: str) -> None:
    """That step holds now."""
    # Written out: `_replace` takes longer than all the rest of it.
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
    """It waits on in another queue, in that step, at its age. The step's time stands while that queue is closed."""
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
    """Agents for whom contacts are kept have gone: a step is over at once when nobody is there for it any more."""
    index = step.state.index
    names = sorted(index.left)
    index.left.clear()
    for name in names:
        waiting = [c for line in index.private.get(name, ()) for c in line.by_key.values()]
        for contact in sorted(waiting, key=_place):
            leave_if_absent(step, contact)


def leave_if_absent(step: Step, contact: Contact) -> None:
    """The next step, if this one is for certain agents and none of them is there."""
    state, line = step.state, contact.line
    if not contact.key or contact.held or contact.preferred_agent_id is not None:
        return  # Who waits for the opening has no step under way.
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
