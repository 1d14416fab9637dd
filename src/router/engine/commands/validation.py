"""Validation of the values of commands. Each function returns a refusal, or None if the values are valid."""

from typing import Final

from router.engine.routing_state import RoutingState
from router.model.policy import FactValue, Policy
from router.model.results import RefusalCode, Refused
from router.model.states import QueueId
from router.policy.facts import check_attributes

_DAY_S: Final = 86_400

_QUEUE_RANKS_MAX: Final = 1_000

PREFERRED_AGENTS_MAX: Final = 32


def validate_skills(policy: Policy, values: dict[str, int], field: str = "skills") -> Refused | None:
    """Check that all skills are declared and their levels are 1 to 10."""
    for skill, level in values.items():
        if skill not in policy.skills:
            return Refused(code=RefusalCode.UNKNOWN_SKILL, field=field)
        if not 1 <= level <= 10:
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail="levels are 1 to 10")
    return None


def validate_attributes(policy: Policy, values: dict[str, FactValue], entity: str = "contact") -> Refused | None:
    """Check that all attributes are declared and of the declared type; only such values may enter the journal."""
    problem = check_attributes(policy, values, entity)
    if problem is None:
        return None
    field, reason = problem
    return Refused(code=RefusalCode.UNKNOWN_FACT, field=field, detail=reason)


def validate_priority(priority_s: int, priority_class: int) -> Refused | None:
    """Check that the priority is at most a day, positive or negative, and the priority class is 0 to 9."""
    if not -_DAY_S <= priority_s <= _DAY_S:
        return Refused(code=RefusalCode.INVALID_VALUE, field="priority_s", detail="must be -86,400 to 86,400 seconds")
    if not 0 <= priority_class <= 9:
        return Refused(code=RefusalCode.INVALID_VALUE, field="priority_class", detail="must be 0 to 9")
    return None


def validate_queue_ranks(policy: Policy, ranks: dict[QueueId, int]) -> Refused | None:
    """Check that all queues exist, their ranks are 1 to 9, and there are at most 1,000 of them."""
    if len(ranks) > _QUEUE_RANKS_MAX:
        return Refused(code=RefusalCode.INVALID_VALUE, field="queue_ranks", detail="must have at most 1,000 queues")
    for queue_id, rank in ranks.items():
        if queue_id not in policy.queues:
            return Refused(code=RefusalCode.UNKNOWN_QUEUE, field="queue_ranks")
        if not 1 <= rank <= 9:
            return Refused(code=RefusalCode.INVALID_VALUE, field="queue_ranks", detail="ranks must be 1 to 9")
    return None


def validate_not_ready_reason(state: RoutingState, reason: str | None) -> Refused | None:
    """Check that the reason is one of the not-ready reasons of the policy, if the policy lists any."""
    policy = state.policy
    if reason is None or policy is None or not policy.not_ready_reasons:
        return None
    if reason in policy.not_ready_reasons:
        return None
    return Refused(code=RefusalCode.INVALID_VALUE, field="reason", detail="not one of not_ready_reasons of the policy")


def too_many_preferred_agents() -> Refused:
    """Return the refusal for more preferred agents than a contact may name."""
    return Refused(code=RefusalCode.INVALID_VALUE, field="preferred_agents", detail=f"at most {PREFERRED_AGENTS_MAX}")
