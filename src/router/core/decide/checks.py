"""What a command's values must be before anything is decided on them. Each returns a refusal or nothing."""

from typing import Final

from router.core.state import RoutingState
from router.model.policy import FactValue, Policy
from router.model.refusals import RefusalCode, Refused
from router.rules.facts import check_attributes

_DAY_S: Final = 86_400
PREFERRED_MAX: Final = 32


def skills(policy: Policy, values: dict[str, int], field: str = "skills") -> Refused | None:
    """Declared skills, levels 1 to 10."""
    for skill, level in values.items():
        if skill not in policy.skills:
            return Refused(code=RefusalCode.UNKNOWN_SKILL, field=field)
        if not 1 <= level <= 10:
            return Refused(code=RefusalCode.INVALID_VALUE, field=field, detail="levels are 1 to 10")
    return None


def attributes(policy: Policy, values: dict[str, FactValue], of: str = "contact") -> Refused | None:
    """Declared facts of the right type: nothing else may enter the core, and so the journal."""
    problem = check_attributes(policy, values, of)
    if problem is None:
        return None
    field, reason = problem
    return Refused(code=RefusalCode.UNKNOWN_FACT, field=field, detail=reason)


def rank(priority_s: int, strict_class: int) -> Refused | None:
    """Priority within a day either way, class 0 to 9."""
    if not -_DAY_S <= priority_s <= _DAY_S:
        return Refused(
            code=RefusalCode.INVALID_VALUE, field="priority_s", detail="within 86400 either way"
        )
    if not 0 <= strict_class <= 9:
        return Refused(code=RefusalCode.INVALID_VALUE, field="strict_class", detail="0 to 9")
    return None


def reason_declared(state: RoutingState, reason: str | None) -> Refused | None:
    """A not-ready reason of the policy, where the policy lists any."""
    policy = state.policy
    if reason is None or policy is None or not policy.not_ready_reasons:
        return None
    if reason in policy.not_ready_reasons:
        return None
    return Refused(
        code=RefusalCode.INVALID_VALUE, field="reason", detail="not in not_ready_reasons"
    )


def too_many_preferred() -> Refused:
    """More agents than a contact may name."""
    return Refused(
        code=RefusalCode.INVALID_VALUE,
        field="preferred_agents",
        detail=f"at most {PREFERRED_MAX}",
    )
