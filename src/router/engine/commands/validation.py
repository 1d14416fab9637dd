"""Validation of the values of commands. Each function returns a refusal, or None if the values are valid."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType

from router.engine.commands.transaction import unknown_queue
from router.engine.routing_state import RoutingState
from router.model.errors import is_harmless_name
from router.model.policy import FactValue, Policy
from router.model.results import RefusalCode, Refused
from router.model.states import QueueId
from router.policy.facts import check_attributes, undeclared_attribute

V = TypeVar("V")

_DAY_S: Final = 86_400

_QUEUE_RANKS_MAX: Final = 1_000

PREFERRED_AGENTS_MAX: Final = 32

LABEL_COUNT_MAX: Final = 32
SKILL_COUNT_MAX: Final = 32

ATTRIBUTE_COUNT_MAX: Final = 64


_NAMES_SHOWN_MAX: Final = 20


def listed(names: Sequence[str]) -> str:
    """Return declared names as text, at most 20 of them."""
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (", …" if len(names) > _NAMES_SHOWN_MAX else "") or "it declares none"


def named_field(field: str, name: str) -> str:
    """Return the path of an entry of a mapping that the client sent; only the mapping's if the name could itself be data."""
    return f"{field}.{name}" if is_harmless_name(name) else field


def unknown_channel(policy: Policy, field: str = "channel") -> Refused:
    """Return the refusal for a channel that the policy does not have, with those that it has."""
    detail = f"not one of the policy's channels: {listed(sorted(policy.channels))}"
    return Refused(code=RefusalCode.UNKNOWN_CHANNEL, field=field, detail=detail)


def validate_skills(policy: Policy, values: dict[str, int], field: str = "skills") -> Refused | None:
    """Check that all skills are declared and their levels are 1 to 10."""
    for skill, level in values.items():
        if skill not in policy.skills:
            detail = f"not one of the policy's skills: {listed(policy.skills)}"
            return Refused(code=RefusalCode.UNKNOWN_SKILL, field=named_field(field, skill), detail=detail)
        if not 1 <= level <= 10:
            return Refused(code=RefusalCode.INVALID_VALUE, field=named_field(field, skill), detail="levels are 1 to 10")
    return None


def validate_attributes(policy: Policy, values: dict[str, FactValue], entity: str = "contact") -> Refused | None:
    """Check that all attributes are declared and of the declared type; only such values may enter the journal."""
    problem = check_attributes(policy, values, entity)
    if problem is None:
        return None
    field, reason = problem
    return Refused(code=RefusalCode.UNKNOWN_FACT, field=field, detail=reason)


def validate_attribute_names(policy: Policy, names: Sequence[str]) -> Refused | None:
    """Check that the names are declared attributes of contacts."""
    for name in names:
        fact = policy.facts.get(name)
        if fact is None or fact.applies_to != "contact":
            field, reason = undeclared_attribute(policy, name, "contact")
            return Refused(code=RefusalCode.UNKNOWN_FACT, field=field, detail=reason)
    return None


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
            return unknown_queue(named_field("queue_ranks", queue_id))
        if not 1 <= rank <= 9:
            detail = "ranks must be 1 to 9"
            return Refused(code=RefusalCode.INVALID_VALUE, field=named_field("queue_ranks", queue_id), detail=detail)
    return None


def validate_not_ready_reason(state: RoutingState, reason: str | None) -> Refused | None:
    """Check that the reason is one of the not-ready reasons of the policy, if the policy lists any."""
    policy = state.policy
    if reason is None or policy is None or not policy.not_ready_reasons:
        return None
    if reason in policy.not_ready_reasons:
        return None
    detail = f"not one of the policy's not_ready_reasons: {listed(policy.not_ready_reasons)}"
    return Refused(code=RefusalCode.INVALID_VALUE, field="reason", detail=detail)


def validate_disposition(state: RoutingState, disposition: str | None, queue_id: QueueId) -> Refused | None:
    """Check that the disposition is one of those of the queue, else of the policy, if it lists any."""
    codes = state.queue_policy(queue_id).dispositions
    owner = f"queue {queue_id}"
    if codes is None:
        codes, owner = () if state.policy is None else state.policy.dispositions, "the policy"
    if disposition is None or not codes or disposition in codes:
        return None
    detail = f"not one of the dispositions of {owner}: {listed(codes)}"
    return Refused(code=RefusalCode.INVALID_VALUE, field="disposition", detail=detail)


def too_many_preferred_agents() -> Refused:
    """Return the refusal for more preferred agents than a contact may name."""
    return Refused(code=RefusalCode.INVALID_VALUE, field="preferred_agents", detail=f"at most {PREFERRED_AGENTS_MAX} agents")


def merged(present: dict[str, V], patch: Mapping[str, V | None] | UnsetType | None) -> dict[str, V]:
    """Return the entries after a merge patch (RFC 7396): null removes an entry, or all of them; others are set."""
    if patch is UNSET:
        return present
    if patch is None:
        return {}
    values = {**present, **patch}
    return {name: value for name, value in values.items() if value is not None}
