"""Availability: what a gateway queries before it offers a customer to wait, a callback or another channel.

The answer applies the admission rules of a submit (opening hours, queue length, agents ready) without submitting anything. It
counts agents by agent group, so the cost grows with the number of groups, not of agents, and the answer names no agent.
"""

from collections.abc import Callable

from router.core.decide import checks
from router.core.decide.admission import admit
from router.core.lines import Needs, needs_of
from router.core.plans import plan_of, stage_at
from router.core.profiles import Profile
from router.core.state import RoutingState
from router.model.ids import QueueId
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState
from router.model.views import AvailabilityView


def availability(
    state: RoutingState, queue_id: QueueId, channel: str | None, skills: dict[str, int]
) -> AvailabilityView | Refused:
    """Return what a new contact with this requirement would meet now, or the refusal of an unknown name or skill level.

    Without a channel the answer holds for the channel on which most agents qualify.
    """
    policy = state.policy
    if policy is None or queue_id not in policy.queues:
        return Refused(code=RefusalCode.UNKNOWN_QUEUE, field="queue_id")
    if channel is not None and channel not in policy.channels:
        return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field="channel")
    refused = checks.skills(policy, skills)
    if refused is not None:
        return refused
    channels = tuple(policy.channels) if channel is None else (channel,)

    def count_by_queue(count: Callable[[Profile, str], int]) -> Callable[[QueueId], int]:
        return lambda name: _count(state, name, channels, skills, count)

    ready, free = count_by_queue(lambda profile, _: profile.ready), count_by_queue(_free(state))
    admitted = admit(
        state,
        policy,
        queue_id,
        somebody_free=lambda name: free(name) > 0,
        somebody_ready=lambda name: ready(name) > 0,
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
        waiting=state.tally(queue_id)[ContactState.QUEUED],
        takes=not is_refused,
        refusal=admitted.code.name.lower() if isinstance(admitted, Refused) else None,
        goes_to=None if isinstance(admitted, Refused) else admitted[0],
    )


def _free(state: RoutingState) -> Callable[[Profile, str], int]:
    channels = state.index.channels
    return lambda profile, channel: len(profile.idle[channels[channel].index])


def _count(
    state: RoutingState,
    queue_id: QueueId,
    channels: tuple[str, ...],
    skills: dict[str, int],
    count: Callable[[Profile, str], int],
) -> int:
    """Return how many agents qualify, summed over agent groups; of several channels the one with the most agents counts."""
    requirements = _requirements(state, queue_id, skills)
    return max(
        sum(
            count(profile, channel)
            for profile in state.index.profiles.values()
            if any(_serves(profile, queue_id, channel, needs) for needs in requirements)
        )
        for channel in channels
    )


def _requirements(state: RoutingState, queue_id: QueueId, skills: dict[str, int]) -> set[Needs]:
    """Return the requirements of such a contact in all steps of the queue's plan."""
    queue = state.queue_policy(queue_id)
    plan = () if state.policy is None else plan_of(state.policy, queue_id, None)
    if not plan:
        return {needs_of(queue, skills)}
    stages = [stage_at(queue, plan, number, skills) for number in range(len(plan))]
    return {needs for stage in stages for needs in (stage.needs, *stage.also)}


def _serves(profile: Profile, queue_id: QueueId, channel: str, needs: Needs) -> bool:
    if profile.queues is not None and queue_id not in profile.queues:
        return False
    if channel in profile.barred:
        return False
    return all(profile.skills.get(skill, 0) >= level for skill, level in needs)
