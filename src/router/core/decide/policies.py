"""Publication of policies: applied as a whole in one transaction, or refused as a whole."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.contacts import to_queue
from router.core.decide.days import follow_policy
from router.core.decide.hours import look_at_all
from router.core.decide.rescind import rescind_unqualified
from router.core.decide.step import Step
from router.core.decide.steps import leave_if_absent, resume
from router.core.plans import plan_of
from router.core.state import Contact, RoutingState
from router.model.commands import ClearShadowPolicy, PublishPolicy, SetShadowPolicy
from router.model.errors import ExpressionProblem, Problem
from router.model.events import PolicyPublished, ShadowPolicyCleared, ShadowPolicySet
from router.model.ids import QueueId
from router.model.outcome import Answer
from router.model.policy import Policy
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState
from router.rules.check import check

_PROBLEMS_SHOWN_MAX: Final = 20


def _publish(step: Step, command: PublishPolicy) -> Answer:
    state, policy = step.state, command.policy
    if command.expected_version not in (None, state.policy_version):
        return Refused(
            code=RefusalCode.POLICY_VERSION,
            field="If-Match",
            state=str(state.policy_version),
        )
    refused = _invalid(policy) or _channels_in_use(state, policy) or _needs_drain(state, command)
    if refused is not None:
        return refused
    before = state.policy
    with_plans = before is not None and bool(before.plans or policy.plans)
    concerned = _everybody(state) if with_plans else _concerned(state, policy)
    drain_to = {
        queue_id: target
        for queue_id, target in sorted(command.drain_to.items())
        if queue_id not in policy.queues and _live_in(state, queue_id)
    }
    step.emit(PolicyPublished(version=state.policy_version + 1, policy=policy, drain_to=drain_to))
    answer = step.done("policy", str(state.policy_version))
    follow_policy(step, before)
    look_at_all(step)
    for contact in sorted(concerned, key=_orig_seq):
        if not _waits(contact):
            continue  # It has left a queue that this policy closes.
        if contact.queue_id not in policy.queues:
            to_queue(step, contact, command.drain_to[contact.queue_id], "drained")
        else:
            if contact.offers:
                rescind_unqualified(step, contact, "policy")
            if not _waits(contact):
                continue
            if before is not None and with_plans:
                _follow_plan(step, contact, before)
                leave_if_absent(step, contact)
    return answer


def _everybody(state: RoutingState) -> list[Contact]:
    return [contact for contact in state.contacts.values() if _waits(contact)]


def _concerned(state: RoutingState, policy: Policy) -> list[Contact]:
    """Return the contacts that wait in a removed queue, and those whose offers may no longer be valid."""
    found = {}
    lines = state.index.queue_lines
    for queue_id in sorted(lines.keys() - policy.queues.keys()):
        for line in lines[queue_id]:
            for contact in line.by_key.values():
                found[contact.contact_id] = contact
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if _waits(contact):
            found[contact.contact_id] = contact
    return list(found.values())


def _shown(problem: Problem) -> str:
    place = ""
    if isinstance(problem, ExpressionProblem):
        place = f" (at {problem.expression_line}:{problem.expression_column} of the expression)"
    return f"{problem.path}: {problem.message}{place}"


def _invalid(policy: Policy) -> Refused | None:
    problems = check(policy)
    if not problems:
        return None
    shown = [_shown(problem) for problem in problems[:_PROBLEMS_SHOWN_MAX]]
    return Refused(code=RefusalCode.POLICY_INVALID, field="policy", detail="; ".join(shown))


def _set_shadow(step: Step, command: SetShadowPolicy) -> Answer:
    state = step.state
    if state.policy is None:
        detail = "no policy has been published"
        return Refused(code=RefusalCode.POLICY_INVALID, field="policy", detail=detail)
    refused = _invalid(command.policy)
    if refused is not None:
        return refused
    step.emit(ShadowPolicySet(policy=command.policy))
    return step.done("shadow", "set")


def _clear_shadow(step: Step, _: ClearShadowPolicy) -> Answer:
    if step.state.shadow_policy is None:
        return Refused(code=RefusalCode.NO_SHADOW)
    step.emit(ShadowPolicyCleared())
    return step.done("shadow", "cleared")


def _follow_plan(step: Step, contact: Contact, before: Policy) -> None:
    """Restart the present step of a contact whose plan has changed."""
    policy = step.state.policy
    assert policy is not None
    plan = plan_of(policy, contact.queue_id, contact.plan)
    if contact.held or plan == plan_of(before, contact.queue_id, contact.plan):
        return  # A contact that waits for the opening begins its plan then.
    resume(step, contact, plan, "policy")


def _waits(contact: Contact) -> bool:
    return contact.state in (ContactState.QUEUED, ContactState.OFFERED)


def _orig_seq(contact: Contact) -> int:
    return contact.orig_seq


def _channels_in_use(state: RoutingState, policy: Policy) -> Refused | None:
    """Refuse to remove a channel with live contacts or assignments, whose capacity could not be released."""
    gone = set(state.policy.channels) - set(policy.channels) if state.policy is not None else set()
    if not gone:
        return None
    used = {c.channel for c in state.contacts.values() if not c.state.is_terminal}
    used |= {work.channel for work in state.assignments.values()}
    for channel in sorted(gone & used):
        return Refused(
            code=RefusalCode.CHANNEL_IN_USE,
            field=f"policy.channels.{channel}",
            detail="the channel has live contacts: end them before removing it",
        )
    return None


def _live_in(state: RoutingState, queue_id: QueueId) -> int:
    """Return the number of live contacts of a queue."""
    tally = state.tallies.get(queue_id)
    return sum(n for name, n in tally.items() if not name.is_terminal) if tally else 0


def _needs_drain(state: RoutingState, command: PublishPolicy) -> Refused | None:
    """Refuse to remove a queue with live contacts unless ``drain_to`` names a queue for them.

    Contacts in a conversation count as well, because they may have to wait again.
    """
    for queue_id in sorted(state.tallies):
        if queue_id in command.policy.queues:
            continue
        live = _live_in(state, queue_id)
        if not live:
            continue  # A restored engine may not have an entry for it at all.
        target = command.drain_to.get(queue_id)
        if target is not None and target not in command.policy.queues:
            return Refused(code=RefusalCode.UNKNOWN_QUEUE, field=f"drain_to.{queue_id}")
        if target is None:
            return Refused(
                code=RefusalCode.DRAIN_REQUIRED,
                field=f"drain_to.{queue_id}",
                detail=f"the queue has {live} live contacts: name a queue for them in drain_to",
            )
    return None


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {
    PublishPolicy: _publish,
    SetShadowPolicy: _set_shadow,
    ClearShadowPolicy: _clear_shadow,
}
