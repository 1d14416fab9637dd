"""Checks of how agents are chosen: the facts of agents and customers in ``order_by``, ``weight_fact`` and conditions of plans."""

from collections.abc import Iterator

from router.model.errors import Problem
from router.model.policy import AttributeOrder, FactType, Policy, QueuePolicy, Selection, StepPolicy
from router.policy.checks.sections import expression_problem, unknown_name
from router.policy.customer_classes import (
    CUSTOMER_CLASSES_MAX,
    FactTable,
    combination_count,
    customer_condition_error,
    plan_table,
    queue_table,
)


def selection_problems(policy: Policy, path: str, queue: QueuePolicy) -> Iterator[Problem]:
    """Yield the problems of the facts of agents and customers by which a queue chooses agents."""
    if queue.selection is Selection.BY_ATTRIBUTES and not queue.order_by:
        yield Problem(path=f"{path}.order_by", message="required by selection: by_attributes")
    seen: set[tuple[str, str | None, str | None]] = set()
    for index, step in enumerate(queue.order_by):
        here = f"{path}.order_by[{index}]"
        if (step.fact, step.same_as, step.when) in seen:
            yield Problem(path=f"{here}.fact", message="duplicate entry")
        seen.add((step.fact, step.same_as, step.when))
        yield from _agent_fact(policy, f"{here}.fact", step.fact, unordered=FactType.IDENT)
        if step.same_as is not None:
            yield from _same_as(policy, f"{here}.same_as", step)
        if step.when is not None:
            yield from expression_problem(f"{here}.when", step.when, customer_condition_error(step.when, policy))
    yield from _too_many_classes(path, "agents_when and order_by", queue_table(policy, queue))
    if queue.weight_fact is not None:
        yield from _agent_fact(policy, f"{path}.weight_fact", queue.weight_fact)


def step_selection_problems(policy: Policy) -> Iterator[Problem]:
    """Yield a problem for each step with ``selection: by_attributes`` if no queue has an ``order_by`` to use."""
    if any(queue.order_by for queue in policy.queues.values()):
        return
    for name, plan in policy.plans.items():
        for index, step in enumerate(plan):
            if step.selection is Selection.BY_ATTRIBUTES:
                yield Problem(path=f"plans.{name}[{index}].selection", message="no queue has an order_by")


def _agent_fact(policy: Policy, path: str, name: str, *, unordered: FactType | None = None) -> Iterator[Problem]:
    """Check a reference to a fact of agents: any type but ``unordered`` or, without it, only ``int``."""
    fact = policy.facts.get(name)
    if fact is None:
        yield unknown_name(path, "fact", name, policy.facts)
    elif fact.applies_to != "agent":
        yield Problem(path=path, message=f"a fact of {fact.applies_to}s; a fact of agents is required")
    elif unordered is None and fact.type is not FactType.INT:
        yield Problem(path=path, message="must be an int fact")
    elif fact.type is unordered:
        yield Problem(path=path, message=f"an {fact.type} fact has no order")


def _same_as(policy: Policy, path: str, step: AttributeOrder) -> Iterator[Problem]:
    """Check a reference to a fact of customers that is compared with a fact of agents."""
    name = step.same_as or ""
    fact, own = policy.facts.get(name), policy.facts.get(step.fact)
    if fact is None:
        yield unknown_name(path, "fact", name, policy.facts)
    elif fact.applies_to != "customer":
        yield Problem(path=path, message=f"a fact of {fact.applies_to}s; a fact of customers is required")
    elif fact.type not in (FactType.BOOL, FactType.ENUM):
        yield Problem(path=path, message="must be a bool or an enum fact: a number has too many values to compare agents with")
    elif own is not None and own.type is not fact.type:
        yield Problem(path=path, message=f"must be of the type of the fact of agents, {own.type}")


def step_condition_problems(policy: Policy, name: str, plan: tuple[StepPolicy, ...]) -> Iterator[Problem]:
    """Yield the problems of the conditions on customers in a plan."""
    for number, step in enumerate(plan):
        if step.when is not None:
            error = customer_condition_error(step.when, policy)
            yield from expression_problem(f"plans.{name}[{number}].when", step.when, error)
    yield from _too_many_classes(f"plans.{name}", "the conditions of the plan", plan_table(policy, plan))


def _too_many_classes(path: str, what: str, table: FactTable) -> Iterator[Problem]:
    count = combination_count(table)
    if count > CUSTOMER_CLASSES_MAX:
        yield Problem(
            path=path,
            message=f"{what} tell {count:,} combinations of facts of customers apart, more than {CUSTOMER_CLASSES_MAX}: "
            "use fewer facts, or compare them with fewer values",
        )
