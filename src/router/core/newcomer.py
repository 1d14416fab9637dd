"""Estimates for a contact that has not been submitted. Validated like a submit; changes nothing."""

from router.core.decide import checks
from router.core.expected import expected_wait_of_new, most_common_class
from router.core.state import RoutingState
from router.model.forecasts import ExpectedWait
from router.model.ids import QueueId
from router.model.refusals import RefusalCode, Refused


def expected_wait_asked(
    state: RoutingState,
    queue_id: QueueId,
    channel: str | None,
    *,
    skills: dict[str, int],
    priority_s: int,
    strict_class: int,
    at_ms: int,
) -> ExpectedWait | Refused:
    """Return the expected wait of a contact with these values; refused as its submit would be."""
    policy = state.policy
    if policy is None:
        return Refused(code=RefusalCode.NO_QUEUE, detail="no policy has been published")
    if queue_id not in policy.queues:
        return Refused(code=RefusalCode.UNKNOWN_QUEUE, field="queue_id")
    if channel is not None and channel not in policy.channels:
        return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field="channel")
    refused = checks.skills(policy, skills) or checks.rank(priority_s, strict_class)
    if refused is not None:
        return refused
    common_channel, common_skills = most_common_class(state, queue_id, channel)
    return expected_wait_of_new(
        state,
        queue_id,
        common_channel,
        skills=skills or (common_skills if channel is None else {}),
        priority_s=priority_s,
        strict_class=strict_class,
        at_ms=at_ms,
    )
