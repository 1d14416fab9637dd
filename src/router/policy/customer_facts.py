"""Facts of customers: what the router derives about them, declared in the policy like attributes of contacts.

The values are computed outside the engine and travel in the command that submits or updates a contact, so that a replay decides
the same with the store of customers gone. Only declared facts with valid values enter a decision; others are left out, because
the policy may have changed since they were computed, and a contact is never refused for them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from router.model.errors import Problem
from router.model.policy import DerivePolicy, FactPolicy, FactType, FactValue, Policy, ProfileField
from router.policy.facts import fact_value_error

SOURCES: Final = ("count", "latest", "profile", "consent", "open_contacts")
_TYPES: Final = {
    "count": (FactType.INT, FactType.BOOL),
    "latest": (FactType.ENUM,),
    "profile": (FactType.ENUM,),
    "consent": (FactType.BOOL,),
    "open_contacts": (FactType.INT, FactType.BOOL),
}


def customer_facts_of(policy: Policy) -> dict[str, FactPolicy]:
    """Return the facts of customers that a policy declares, by name."""
    return {name: fact for name, fact in policy.facts.items() if fact.applies_to == "customer"}


def valid_customer_facts(policy: Policy, facts: Mapping[str, FactValue]) -> dict[str, FactValue]:
    """Return those facts that the policy declares for customers, with values that it allows."""
    found: dict[str, FactValue] = {}
    for name, value in facts.items():
        fact = policy.facts.get(name)
        if fact is not None and fact.applies_to == "customer" and fact_value_error(fact, value) is None:
            found[name] = value
    return found


def source_of(derive: DerivePolicy) -> str:
    """Return the key that says where a fact comes from."""
    [source] = _sources(derive)
    return source


def _sources(derive: DerivePolicy) -> list[str]:
    return [name for name in SOURCES if getattr(derive, name) not in (None, False)]


def derivation_problems(path: str, fact: FactPolicy) -> Iterator[Problem]:
    """Yield the problems of one declaration: facts of customers, and only those, are derived."""
    derive = fact.derive
    if fact.applies_to != "customer":
        if derive is not None:
            yield Problem(path=f"{path}.derive", message="allowed with applies_to: customer only; clients set other facts")
        if fact.refresh_while_waiting:
            yield Problem(path=f"{path}.refresh_while_waiting", message="allowed with applies_to: customer only")
        return
    if derive is None:
        yield Problem(path=f"{path}.derive", message="required with applies_to: customer: say where the fact comes from")
        return
    sources = _sources(derive)
    if len(sources) != 1:
        yield Problem(path=f"{path}.derive", message=f"exactly one of {', '.join(SOURCES)} is required")
        return
    allowed = _TYPES[sources[0]]
    if fact.type not in allowed:
        yield Problem(path=f"{path}.type", message=f"must be {' or '.join(allowed)} with derive: {sources[0]}")
    if sources[0] == "profile" and derive.profile is ProfileField.TIME_ZONE and not fact.values:
        yield Problem(path=f"{path}.values", message="required: list the time zones that matter")
