"""Agent attributes as ordered numbers, which ``selection: by_attributes`` compares.

Only attributes that some queue orders by are considered. A value that is not of the declared type counts as missing.
"""

from typing import Final, TypeAlias

from router.model.policy import (
    AttributeOrder,
    Direction,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    Selection,
    selections_of,
)
from router.policy.facts import fact_value_error

RankedAttributes: TypeAlias = dict[str, FactPolicy]
AttributeRanks: TypeAlias = tuple[tuple[str, int], ...]

_MISSING: Final = (1, 0)


def ranked_attributes(policy: Policy) -> RankedAttributes:
    """Return the attributes that some queue orders agents by, keyed by name; empty if no queue does."""
    if Selection.BY_ATTRIBUTES not in selections_of(policy):
        return {}
    names = {step.fact for queue in policy.queues.values() for step in queue.order_by}
    return {name: policy.facts[name] for name in sorted(names)}


def attribute_ranks(facts: RankedAttributes, attributes: dict[str, FactValue]) -> AttributeRanks:
    """Return the agent's values of these attributes as whole numbers, without those that are missing."""
    return tuple(
        (name, _rank(fact, attributes[name]))
        for name, fact in facts.items()
        if name in attributes and fact_value_error(fact, attributes[name]) is None
    )


def _rank(fact: FactPolicy, value: FactValue) -> int:
    return fact.values.index(str(value)) if fact.type is FactType.ENUM else int(value)


def attribute_sort_key(
    ranks: dict[str, int], order_by: tuple[AttributeOrder, ...]
) -> tuple[tuple[int, int], ...]:
    """Return the sort key of an agent: smaller is chosen first, and a missing attribute sorts last."""
    return tuple(
        _MISSING
        if (place := ranks.get(step.fact)) is None
        else (0, -place if step.direction is Direction.DESC else place)
        for step in order_by
    )
