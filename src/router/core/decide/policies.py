"""A new policy: refused as a whole or applied as a whole, in one step."""

from collections.abc import Callable
from typing import Any, Final

from router.core.decide.contacts import to_queue
from router.core.decide.rescind import rescind_unqualified
from router.core.decide.step import Step
from router.core.decide.steps import leave_if_absent, resume
from router.core.plans import plan_of
from router.core.state import Contact, RoutingState
from router.model.commands import PublishPolicy
from router.model.events import PolicyPublished
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
    problems = check(policy)
    if problems:
        shown = [f"{problem.path}: {problem.message}" for problem in problems[:_PROBLEMS_SHOWN_MAX]]
        return Refused(code=RefusalCode.POLICY_INVALID, field="policy", detail="; ".join(shown))
    refused = _channels_in_use(state, policy) or _needs_drain(state, command)
    if refused is not None:
        return refused
    before = state.policy
    waiting = [
        contact
        for contact in state.contacts.values()
        if contact.state in (ContactState.QUEUED, ContactState.OFFERED)
    ]
    drain_to = {
        queue_id: target
        for queue_id, target in sorted(command.drain_to.items())
        if queue_id in state.tallies and queue_id not in policy.queues
    }
    step.emit(PolicyPublished(version=state.policy_version + 1, policy=policy, drain_to=drain_to))
    answer = step.done("policy", str(state.policy_version))
    for contact in sorted(waiting, key=_orig_seq):
        if contact.queue_id not in policy.queues:
            to_queue(step, contact, command.drain_to[contact.queue_id], "drained")
        else:
            if contact.offers:
                rescind_unqualified(step, contact, "policy")
            if before is not None and (before.plans or policy.plans):
                _follow_plan(step, contact, before)
                leave_if_absent(step, contact)
    return answer


def _follow_plan(step: Step, contact: Contact, before: Policy) -> None:
    """Whose plan has changed goes on in the step of the same number, which begins now."""
    policy = step.state.policy
    assert policy is not None
    plan = plan_of(policy, contact.queue_id, contact.plan)
    if plan == plan_of(before, contact.queue_id, contact.plan):
        return
    resume(step, contact, plan, "policy")


def _orig_seq(contact: Contact) -> int:
    return contact.orig_seq


def _channels_in_use(state: RoutingState, policy: Policy) -> Refused | None:
    """A channel with live work cannot go: its capacity could not be given back."""
    gone = set(state.policy.channels) - set(policy.channels) if state.policy is not None else set()
    if not gone:
        return None
    used = {c.channel for c in state.contacts.values() if not c.state.is_terminal}
    used |= {work.channel for work in state.assignments.values()}
    for channel in sorted(gone & used):
        return Refused(
            code=RefusalCode.CHANNEL_IN_USE,
            field=f"policy.channels.{channel}",
            detail="contacts of this channel are live",
        )
    return None


def _needs_drain(state: RoutingState, command: PublishPolicy) -> Refused | None:
    """A queue with live contacts goes only with a place for them: also those in a conversation may have to wait again."""
    for queue_id in sorted(state.tallies):
        if queue_id in command.policy.queues:
            continue
        tally = state.tallies[queue_id]
        live = sum(count for name, count in tally.items() if not name.is_terminal)
        target = command.drain_to.get(queue_id)
        if target is not None and target not in command.policy.queues:
            return Refused(code=RefusalCode.UNKNOWN_QUEUE, field=f"drain_to.{queue_id}")
        if target is None and live:
            return Refused(
                code=RefusalCode.DRAIN_REQUIRED,
                field=f"drain_to.{queue_id}",
                detail=f"{live} live contacts belong to it",
            )
    return None


HANDLERS: Final[dict[type, Callable[[Step, Any], Answer]]] = {PublishPolicy: _publish}
