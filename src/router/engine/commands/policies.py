"""Publication of policies: applied as a whole in one transaction, or refused as a whole."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import structs

from router.engine.commands.alerts import clear_changed_alerts
from router.engine.commands.hours import restart_day_if_needed, update_all_queues
from router.engine.commands.plan_steps import resume_plan, skip_absent_step
from router.engine.commands.rescind import rescind_unqualified, rescind_unqualified_of_agent
from router.engine.commands.transaction import Transaction
from router.engine.commands.transfers import move_to_queue
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import effective_plan
from router.model.commands import (
    AdvanceTime,
    ClearShadowPolicy,
    Command,
    CreateWorkspace,
    PublishPolicy,
    RemoveWorkspace,
    SetShadowPolicy,
)
from router.model.errors import ExpressionProblem, Problem
from router.model.events import PolicyPublished, ShadowPolicyCleared, ShadowPolicySet, WorkspaceCreated, WorkspaceRemoved
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import ContactState, QueueId
from router.policy.checks.consistency import policy_problems

# Policy of a workspace that is removed: the least one that can be recorded.
_AFTER_REMOVAL: Final = Policy(channels={"none": ChannelPolicy()}, queues={"none": QueuePolicy()})
# Commands that are decided as before in a workspace that was removed: time goes on, and the others are refused by themselves.
_AFTER_REMOVAL_TOO: Final = (AdvanceTime, CreateWorkspace, RemoveWorkspace)
_PROBLEMS_SHOWN_MAX: Final = 20


def _publish_policy(tx: Transaction, command: PublishPolicy) -> CommandResult:
    state, policy = tx.state, command.policy
    if command.expected_version not in (None, state.policy_version):
        return Refused(code=RefusalCode.POLICY_VERSION_CONFLICT, field="if_match", state=str(state.policy_version))
    refused = None if command.is_checked else invalid_policy_refusal(policy)
    refused = refused or publication_refusal(state, policy, command.drain_to)
    if refused is not None:
        return refused
    return publish(
        tx,
        command.drain_to,
        PolicyPublished(
            version=state.policy_version + 1,
            policy=policy,
            note=command.note,
            published_by=command.published_by,
            changes=command.changes if command.compared_version == state.policy_version else None,
            restores=command.restores,
        ),
    )


def _create_workspace(tx: Transaction, command: CreateWorkspace) -> CommandResult:
    """Create the workspace and publish its first policy in one record, so that it is there with its policy or not at all."""
    if tx.state.seq:
        return Refused(code=RefusalCode.WORKSPACE_EXISTS, field="name")
    tx.emit(WorkspaceCreated(created_by=command.created_by))
    if command.policy is not None:
        event = PolicyPublished(version=1, policy=command.policy, note=command.note, published_by=command.created_by)
        publish(tx, {}, event)
    return tx.done("workspace", "created")


def _remove_workspace(tx: Transaction, command: RemoveWorkspace) -> CommandResult:
    """Remove the workspace: first a policy without opening hours and days, so that no timer is left."""
    state = tx.state
    if state.created is None or state.created.removed_at_ms is not None:
        detail = "the settings name it: take it out of them instead"
        return Refused(code=RefusalCode.WORKSPACE_IN_USE, field="name", detail=detail)
    live = sum(count for name, count in state.counts.items() if not name.is_terminal)
    if live or state.agents:
        detail = f"it has {live} live contacts and {len(state.agents)} agents: repeat with `?force=true` to end them"
        return Refused(code=RefusalCode.WORKSPACE_IN_USE, field="name", detail=detail)
    if state.shadow_policy is not None:
        tx.emit(ShadowPolicyCleared())
    event = PolicyPublished(version=state.policy_version + 1, policy=_AFTER_REMOVAL, published_by=command.removed_by)
    publish(tx, {}, event)
    tx.emit(WorkspaceRemoved(removed_by=command.removed_by))
    return tx.done("workspace", "removed")


def refusal_after_removal(state: RoutingState, command: Command) -> Refused | None:
    """Return why nothing is done in a workspace that was removed; None: it was not, or the command says itself what it does."""
    if state.created is None or state.created.removed_at_ms is None or isinstance(command, _AFTER_REMOVAL_TOO):
        return None
    return Refused(code=RefusalCode.WORKSPACE_REMOVED)


def publish(tx: Transaction, targets: Mapping[QueueId, QueueId], event: PolicyPublished) -> Done:
    """Publish a policy that nothing prevents, and let waiting contacts and offers follow it."""
    state, policy = tx.state, event.policy
    before = state.policy
    with_plans = before is not None and bool(before.plans or policy.plans)
    affected = _all_waiting(state) if with_plans else _affected_contacts(state, policy)
    drain_to = {
        queue_id: target
        for queue_id, target in sorted(targets.items())
        if queue_id not in policy.queues and _live_contacts(state, queue_id)
    }
    clear_changed_alerts(tx, policy)
    tx.emit(structs.replace(event, drain_to=drain_to))
    answer = tx.done("policy", str(state.policy_version))
    restart_day_if_needed(tx, before)
    update_all_queues(tx)
    for contact in sorted(affected, key=_queued_seq):
        if not _is_waiting(contact):
            continue  # It has left a queue that this policy closes.
        if contact.queue_id not in policy.queues:
            move_to_queue(tx, contact, targets[contact.queue_id], "drained")
        else:
            if contact.pending_offer_ids:
                rescind_unqualified(tx, contact, "policy")
            if not _is_waiting(contact):
                continue
            if before is not None and with_plans:
                _restart_changed_plan(tx, contact, before)
                skip_absent_step(tx, contact)
                if contact.pending_offer_ids:
                    rescind_unqualified(tx, contact, "policy")
    for contact in sorted(_assigned_with_offers(state), key=_queued_seq):
        rescind_unqualified(tx, contact, "policy")
    for agent_id in sorted({offer.agent_id for offer in state.offers.values()}):
        rescind_unqualified_of_agent(tx, state.agents[agent_id], "policy")
    return answer


def _all_waiting(state: RoutingState) -> list[Contact]:
    return [contact for contact in state.contacts.values() if _is_waiting(contact)]


def _affected_contacts(state: RoutingState, policy: Policy) -> list[Contact]:
    """Return the contacts that wait in a removed queue, and those whose offers may no longer be valid."""
    found = {}
    lines = state.index.lines.by_queue
    for queue_id in sorted(lines.keys() - policy.queues.keys()):
        for line in lines[queue_id]:
            for contact in line.contacts_by_key.values():
                found[contact.contact_id] = contact
    for offer in state.offers.values():
        contact = state.contacts[offer.contact_id]
        if _is_waiting(contact):
            found[contact.contact_id] = contact
    return list(found.values())


def _assigned_with_offers(state: RoutingState) -> list[Contact]:
    """Return the contacts in a conversation that are offered to another agent, as a transfer or a consult."""
    found = {offer.contact_id: state.contacts[offer.contact_id] for offer in state.offers.values()}
    return [contact for contact in found.values() if contact.state is ContactState.ASSIGNED]


def _problem_text(problem: Problem) -> str:
    position = ""
    if isinstance(problem, ExpressionProblem):
        position = f" (at {problem.expression_line}:{problem.expression_column} of the expression)"
    return f"{problem.path}: {problem.message}{position}"


def invalid_policy_refusal(policy: Policy) -> Refused | None:
    """Return the refusal of an invalid policy, with its first problems; None: it is valid."""
    problems = policy_problems(policy)
    if not problems:
        return None
    texts = [_problem_text(problem) for problem in problems[:_PROBLEMS_SHOWN_MAX]]
    return Refused(code=RefusalCode.INVALID_POLICY, field="policy", detail="; ".join(texts))


def _set_shadow_policy(tx: Transaction, command: SetShadowPolicy) -> CommandResult:
    state = tx.state
    if state.policy is None:
        detail = "no policy is active: publish one first (PUT /v1/policy)"
        return Refused(code=RefusalCode.INVALID_POLICY, field="policy", detail=detail)
    refused = None if command.is_checked else invalid_policy_refusal(command.policy)
    if refused is not None:
        return refused
    tx.emit(ShadowPolicySet(policy=command.policy))
    return tx.done("shadow", "set")


def _clear_shadow_policy(tx: Transaction, _: ClearShadowPolicy) -> CommandResult:
    if tx.state.shadow_policy is None:
        return Refused(code=RefusalCode.NO_SHADOW_POLICY)
    tx.emit(ShadowPolicyCleared())
    return tx.done("shadow", "cleared")


def _restart_changed_plan(tx: Transaction, contact: Contact, before: Policy) -> None:
    """Restart the present step of a contact whose plan has changed."""
    policy = tx.state.policy
    assert policy is not None
    plan = effective_plan(policy, contact.queue_id, contact.plan)
    if contact.waiting_for_opening or plan == effective_plan(before, contact.queue_id, contact.plan):
        return  # A contact that waits for the opening begins its plan then.
    resume_plan(tx, contact, plan, "policy")


def _is_waiting(contact: Contact) -> bool:
    return contact.state in (ContactState.QUEUED, ContactState.OFFERED)


def _queued_seq(contact: Contact) -> int:
    return contact.queued_seq


def publication_refusal(state: RoutingState, policy: Policy, drain_to: Mapping[QueueId, QueueId]) -> Refused | None:
    """Return why contacts do not allow a valid policy to become active now; None: it may."""
    return _channel_in_use_refusal(state, policy) or _drain_refusal(state, policy, drain_to)


def contacts_of_removed_queues(state: RoutingState, policy: Policy) -> dict[QueueId, int]:
    """Return the live contacts of the queues that a policy would remove; without the queues that have none."""
    removed = [name for name in sorted(state.counts_by_queue) if name not in policy.queues]
    return {name: live for name in removed if (live := _live_contacts(state, name))}


def _channel_in_use_refusal(state: RoutingState, policy: Policy) -> Refused | None:
    """Refuse to remove a channel with live contacts or assignments, whose capacity could not be released."""
    removed = set(state.policy.channels) - set(policy.channels) if state.policy is not None else set()
    if not removed:
        return None
    used = {c.channel for c in state.contacts.values() if not c.state.is_terminal}
    used |= {assignment.channel for assignment in state.assignments.values()}
    used |= {contact.switch.channel for contact in state.contacts.values() if contact.switch is not None}
    for channel in sorted(removed & used):
        return Refused(
            code=RefusalCode.CHANNEL_IN_USE,
            field=f"policy.channels.{channel}",
            detail="the channel has live contacts: end them before removing it",
        )
    return None


def _live_contacts(state: RoutingState, queue_id: QueueId) -> int:
    """Return the number of live contacts of a queue."""
    counts = state.counts_by_queue.get(queue_id)
    return sum(n for name, n in counts.items() if not name.is_terminal) if counts else 0


def _drain_refusal(state: RoutingState, policy: Policy, drain_to: Mapping[QueueId, QueueId]) -> Refused | None:
    """Refuse to remove a queue with live contacts unless ``drain_to`` names a queue for them, and to drain a queue that stays.

    Contacts in a conversation count as well, because they may have to wait again. An unknown target is refused even if there
    is nothing to move: it is a misspelling.
    """
    for queue_id in sorted(drain_to.keys() & policy.queues.keys()):
        detail = "the policy has this queue: drain_to is for queues that it removes"
        return Refused(code=RefusalCode.INVALID_VALUE, field=f"drain_to.{queue_id}", detail=detail)
    for queue_id, target in sorted(drain_to.items()):
        if target not in policy.queues:
            return Refused(
                code=RefusalCode.UNKNOWN_QUEUE, field=f"drain_to.{queue_id}", detail="the policy has no such target queue"
            )
    for queue_id in sorted(state.counts_by_queue):
        if queue_id in policy.queues:
            continue
        live = _live_contacts(state, queue_id)
        if not live:
            continue  # A restored engine may not have an entry for it at all.
        if queue_id not in drain_to:
            return Refused(
                code=RefusalCode.DRAIN_TARGET_REQUIRED,
                field=f"drain_to.{queue_id}",
                detail=f"the queue has {live} live contacts: name a queue for them in drain_to",
            )
    return None


POLICY_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    CreateWorkspace: _create_workspace,
    RemoveWorkspace: _remove_workspace,
    PublishPolicy: _publish_policy,
    SetShadowPolicy: _set_shadow_policy,
    ClearShadowPolicy: _clear_shadow_policy,
}
