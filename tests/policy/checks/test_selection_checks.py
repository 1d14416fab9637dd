"""Checks of selections and time zones of a policy."""

from typing import Any

import pytest
from msgspec import structs

from router.model.errors import PolicyInvalid
from router.model.policy import AttributeOrder, ChannelPolicy, FactPolicy, FactType, Policy, QueuePolicy, Selection, StepPolicy
from router.policy.checks.advice import policy_advice
from router.policy.checks.consistency import policy_problems
from router.policy.document.parsing import parse_policy

FACTS = {
    "years": FactPolicy(type=FactType.INT, applies_to="agent"),
    "native": FactPolicy(type=FactType.BOOL, applies_to="agent"),
    "badge": FactPolicy(type=FactType.IDENT, applies_to="agent"),
    "tier": FactPolicy(type=FactType.INT),
}


def a_policy(zone: str = "UTC", **queue: Any) -> Policy:
    return Policy(
        channels={"voice": ChannelPolicy()},
        queues={"support": QueuePolicy(**queue)},
        facts=FACTS,
        default_queue="support",
        zone=zone,
    )


def by(*facts: str) -> dict[str, Any]:
    return {"selection": Selection.BY_ATTRIBUTES, "order_by": tuple(AttributeOrder(fact=fact) for fact in facts)}


@pytest.mark.parametrize(
    ("queue", "path", "message"),
    [
        ({"selection": Selection.BY_ATTRIBUTES}, "order_by", "required by selection: by_attributes"),
        (by("year"), "order_by[0].fact", "no such fact is declared; there is years"),
        (by("years", "tier"), "order_by[1].fact", "a fact of contacts; a fact of agents is required"),
        (by("badge"), "order_by[0].fact", "an ident fact has no order"),
        (by("years", "years"), "order_by[1].fact", "duplicate entry"),
        ({"weight_fact": "x"}, "weight_fact", "no such fact is declared"),
        ({"weight_fact": "native"}, "weight_fact", "must be an int fact"),
        ({"weight_fact": "tier"}, "weight_fact", "a fact of contacts; a fact of agents is required"),
    ],
)  # fmt: skip
def test_a_selection_uses_declared_facts_of_agents(queue: dict[str, Any], path: str, message: str) -> None:
    queue = {"selection": Selection.WEIGHTED_RANDOM} | queue
    policy = Policy(channels={"voice": ChannelPolicy()}, queues={"support": QueuePolicy(**queue)}, facts=FACTS)
    found = [(problem.path, problem.message) for problem in policy_problems(policy)]
    assert found == [(f"queues.support.{path}", message)]


def test_a_step_by_attributes_requires_a_queue_with_order_by() -> None:
    step = StepPolicy(selection=Selection.BY_ATTRIBUTES)
    policy = structs.replace(a_policy(), plans={"two": (step,)})
    assert [(one.path, one.message) for one in policy_problems(policy)] == [("plans.two[0].selection", "no queue has an order_by")]
    queue = QueuePolicy(order_by=(AttributeOrder(fact="years"),))
    policy = structs.replace(policy, queues={"support": queue})
    assert policy_problems(policy) == [] == policy_advice(policy)


def test_ordered_facts_are_accepted() -> None:
    assert policy_problems(a_policy(**by("years", "native"))) == []
    assert policy_problems(a_policy(selection=Selection.WEIGHTED_RANDOM, weight_fact="years")) == []
    assert policy_problems(a_policy(selection=Selection.WEIGHTED_RANDOM)) == []


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"])
def test_an_iana_time_zone_is_accepted(zone: str) -> None:
    assert policy_problems(a_policy(zone)) == []


@pytest.mark.parametrize("zone", ["Berlin", "CEST+2", "../../etc/passwd", "Europe"])
def test_another_zone_is_refused_without_its_name(zone: str) -> None:
    (problem,) = policy_problems(a_policy(zone))
    assert problem.path == "zone" and zone not in problem.message.replace("Europe/Berlin", "")


def test_an_invalid_fact_is_one_problem_and_not_two() -> None:
    text = """
channels: {voice: {}}
queues:
  support: {selection: by_attributes, order_by: [{fact: years, direction: down}]}
  sales: {selection: by_attributes, order_by: [{fact: grade}]}
default_queue: support
facts:
  years: {type: int, applies_to: agent}
  grade: {type: word, applies_to: agent}
"""
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text)
    assert [(one.path, one.line) for one in caught.value.problems] == [
        ("queues.support.order_by[0].direction", 4),
        ("facts.grade.type", 9),
    ]


def test_a_document_with_selections_is_parsed() -> None:
    policy = parse_policy("""
channels: {voice: {}}
cross_queue_order: service_level_risk
zone: Europe/Berlin
seed: 4711
queues:
  support: {selection: by_attributes, order_by: [{fact: years, direction: desc}, {fact: native}]}
  ideas: {order: lifo, selection: weighted_random, weight_fact: years}
facts:
  years: {type: int, applies_to: agent}
  native: {type: bool, applies_to: agent}
""")
    assert (policy.cross_queue_order, policy.zone, policy.seed) == ("service_level_risk", "Europe/Berlin", 4711)
    assert [step.fact for step in policy.queues["support"].order_by] == ["years", "native"]
    assert policy.queues["ideas"].order == "lifo"
