"""Queries about a contact that has not been submitted: its expected wait, and whether its queue would admit it.

A gateway uses them before it offers a customer to wait, a callback or another channel. Both are validated like a submit and
change nothing.

Availability applies the admission rules of a submit (opening hours, queue length, agents ready). It counts agents by agent
group, so the cost grows with the number of groups that qualify, not of agents, and the answer names no agent.
"""

from router.engine.commands import validation
from router.engine.commands.queue_admission import admit_to_queue
from router.engine.commands.transaction import unknown_queue
from router.engine.routing_state import RoutingState
from router.engine.state.contact import requirement_key
from router.engine.state.plan_stages import effective_plan, stage_requirement
from router.engine.state.records import RequirementKey
from router.engine.wait.estimate import expected_wait_of_new_contact, most_common_requirement
from router.model.forecasts import ExpectedWait
from router.model.results import RefusalCode, Refused
from router.model.states import ContactState, QueueId
from router.model.views import AvailabilityView


def estimate_wait_of_new_contact(
    state: RoutingState,
    queue_id: QueueId,
    channel: str | None,
    *,
    skills: dict[str, int],
    priority_s: int,
    priority_class: int,
    at_ms: int,
) -> ExpectedWait | Refused:
    """Return the expected wait of a contact with these values; refused as its submit would be."""
    policy = state.policy
    if policy is None:
        return Refused(code=RefusalCode.NO_MATCHING_QUEUE, detail="no policy is active: publish one first (PUT /v1/policy)")
    if queue_id not in policy.queues:
        return unknown_queue()
    if channel is not None and channel not in policy.channels:
        return validation.unknown_channel(policy)
    refused = validation.validate_skills(policy, skills) or validation.validate_priority(priority_s, priority_class)
    if refused is not None:
        return refused
    common_channel, common_skills = most_common_requirement(state, queue_id, channel)
    return expected_wait_of_new_contact(
        state,
        queue_id,
        common_channel,
        skills=skills or (common_skills if channel is None else {}),
        priority_s=priority_s,
        priority_class=priority_class,
        at_ms=at_ms,
    )


def check_availability(
    state: RoutingState, queue_id: QueueId, channel: str | None, skills: dict[str, int]
) -> AvailabilityView | Refused:
    """Return what a new contact with this requirement would meet now, or the refusal of an unknown name or skill level.

    Without a channel the answer holds for the channel on which most agents qualify.
    """
    policy = state.policy
    if policy is None or queue_id not in policy.queues:
        return unknown_queue()
    if channel is not None and channel not in policy.channels:
        return validation.unknown_channel(policy)
    refused = validation.validate_skills(policy, skills)
    if refused is not None:
        return refused
    channels = tuple(policy.channels) if channel is None else (channel,)
    index = state.index

    def ready(name: QueueId) -> int:
        masks = _qualified_groups(state, name, channels, skills).values()
        return max(sum(group.ready_count for group in index.qualification.groups_in(mask)) for mask in masks)

    def free(name: QueueId) -> int:
        most = 0
        for one, mask in _qualified_groups(state, name, channels, skills).items():
            i = index.channels.by_name[one].index
            groups = index.qualification.groups_in(mask & index.agents.open_group_bits[i])
            most = max(most, sum(len(group.idle_orders[i]) for group in groups))
        return most

    admitted = admit_to_queue(
        state, policy, queue_id, has_free_agent=lambda name: free(name) > 0, has_ready_agent=lambda name: ready(name) > 0
    )
    hours = state.hours.get(queue_id)
    is_refused = isinstance(admitted, Refused)
    return AvailabilityView(
        queue_id=queue_id,
        as_of_seq=state.seq,
        is_open=hours is None or hours.is_open,
        changes_at_ms=None if hours is None else hours.changes_at_ms,
        agents_ready=ready(queue_id),
        agents_free=free(queue_id),
        waiting=state.queue_counts(queue_id)[ContactState.QUEUED],
        accepts_contacts=not is_refused,
        refusal=admitted.code.name.lower() if isinstance(admitted, Refused) else None,
        target_queue_id=None if isinstance(admitted, Refused) else admitted.queue_id,
    )


def _qualified_groups(state: RoutingState, queue_id: QueueId, channels: tuple[str, ...], skills: dict[str, int]) -> dict[str, int]:
    """Return by channel the bits of the agent groups that qualify in some step of the queue's plan."""
    requirements = _requirements_of_all_steps(state, queue_id, skills)
    has_condition = state.queue_policy(queue_id).agents_when is not None
    groups_for = state.index.qualification.groups_for
    return {name: groups_for(queue_id, name, requirements, has_condition=has_condition) for name in channels}


def _requirements_of_all_steps(state: RoutingState, queue_id: QueueId, skills: dict[str, int]) -> set[RequirementKey]:
    """Return the requirements of such a contact in all steps of the queue's plan."""
    queue = state.queue_policy(queue_id)
    plan = () if state.policy is None else effective_plan(state.policy, queue_id, None)
    if not plan:
        return {requirement_key(queue, skills)}
    stages = [stage_requirement(queue, plan, number, skills) for number in range(len(plan))]
    return {requirement for stage in stages for requirement in (stage.requirement, *stage.alternatives)}
