"""Agent attributes as ordered numbers, which ``selection: by_attributes`` compares.

Only attributes that some queue orders by are considered. A value that is not of the declared type counts as missing.
"""

from typing import Final, TypeAlias

from router.model.policy import (
    Direction,
    FactOrder,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    Selection,
)
from router.rules.facts import fact_objection
from router.rules.selections import selections_of

OrderingFacts: TypeAlias = dict[str, FactPolicy]
FactPlaces: TypeAlias = tuple[tuple[str, int], ...]

_MISSING: Final = (1, 0)


def ordering_facts(policy: Policy) -> OrderingFacts:
    """Return the attributes that some queue orders agents by, keyed by name; empty if no queue does."""
    if Selection.BY_FACTS not in selections_of(policy):
        return {}
    names = {step.fact for queue in policy.queues.values() for step in queue.order_by}
    return {name: policy.facts[name] for name in sorted(names)}


def fact_places(facts: OrderingFacts, attributes: dict[str, FactValue]) -> FactPlaces:
    """Return the agent's values of these attributes as whole numbers, without those that are missing."""
    return tuple(
        (name, _place(fact, attributes[name]))
        for name, fact in facts.items()
        if name in attributes and fact_objection(fact, attributes[name]) is None
    )


def _place(fact: FactPolicy, value: FactValue) -> int:
    return fact.values.index(str(value)) if fact.type is FactType.ENUM else int(value)


def facts_key(
    places: dict[str, int], order_by: tuple[FactOrder, ...]
) -> tuple[tuple[int, int], ...]:
    """Return the sort key of an agent: smaller is chosen first, and a missing attribute sorts last."""
    return tuple(
        _MISSING
        if (place := places.get(step.fact)) is None
        else (0, -place if step.direction is Direction.DESC else place)
        for step in order_by
    )
