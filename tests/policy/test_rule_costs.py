"""Costs of rules: what is too expensive is refused when the policy is checked, and never evaluated when it is in force."""

from itertools import pairwise
from time import thread_time

import pytest

from router.model.policy import EntryRule, FactPolicy, FactType, Policy
from router.policy.checks.consistency import policy_problems
from router.policy.entry_rules import Classification, EntryRuleClassifier, RuleOutcome, SampleContact, try_entry_rules
from router.policy.expressions import compile_expression, contact_scope
from router.policy.facts import AgentConditions
from router.policy.rule_costs import AGENT_CONDITIONS_COST_MAX, ENTRY_RULES_COST_MAX, expression_cost, match_cost, pattern_elements
from tests.support.builders import a_policy, a_queue

FACTS = {
    "name": FactPolicy(type=FactType.IDENT, non_personal=True),
    "tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver")),
    "age": FactPolicy(type=FactType.INT),
    "desk": FactPolicy(type=FactType.IDENT, applies_to="agent"),
}
VALUES = "[" + ",".join(["1"] * 130) + "]"
EXPENSIVE = f"{VALUES}.exists(x, contact.name.matches('^a*b$'))"


def with_rules(*texts: str, **changes: object) -> Policy:
    entry = tuple(EntryRule(name=f"rule{n}", when=text, queue="vip") for n, text in enumerate(texts))
    queues = {"support": a_queue(), "vip": a_queue()}
    return a_policy(**({"queues": queues, "facts": FACTS, "entry": entry, "default_queue": "support"} | changes))


def classified(policy: Policy, **attributes: str | int) -> Classification:
    return EntryRuleClassifier(policy).classify("voice", attributes, lambda queue_id, name: 1)


# --- checked -----------------------------------------------------------------------------------------------------------
def test_many_cheap_rules_are_allowed() -> None:
    texts = (
        *(f'contact.tier == "gold" && queues.support.waiting > {n} && channel in ["voice", "chat"]' for n in range(60)),
        *(f"contact.name.matches('^VIP-{n}-[0-9]+')" for n in range(60)),
        *(f"known.age && contact.age >= {n}" for n in range(80)),
    )
    assert policy_problems(with_rules(*texts)) == []


def test_rules_that_are_too_expensive_together_are_refused_with_rule_and_limit() -> None:
    """Each is valid alone; together they took a second for one contact."""
    texts = [f"{VALUES}.exists(x, contact.name.matches('^a*b{n}$'))" for n in range(200)]
    assert policy_problems(with_rules(texts[0])) == []
    (problem,) = policy_problems(with_rules(*texts))
    assert problem.path == "entry[2].when"
    assert "rule2" in problem.message and f"{ENTRY_RULES_COST_MAX:,}" in problem.message


def test_facts_of_many_queues_are_refused() -> None:
    queues = {f"q{n}": a_queue() for n in range(200)} | {"vip": a_queue(), "support": a_queue()}
    texts = [f"queues.q{n}.expected_wait_s > 60" for n in range(150)]
    assert policy_problems(with_rules(*texts[:40], queues=queues)) == []
    (problem,) = policy_problems(with_rules(*texts, queues=queues))
    assert problem.path.startswith("entry[") and "facts of queues" in problem.message
    assert policy_problems(with_rules(*(f"queues.q0.expected_wait_s > {n}" for n in range(150)), queues=queues)) == []


def test_conditions_on_agents_that_are_too_expensive_together_are_refused_at_each_queue() -> None:
    text = f"{VALUES}.exists(x, agent.desk.matches('^a{{2,9}}b$'))"
    queues = {f"q{n}": a_queue(agents_when=text) for n in range(3)} | {"cheap": a_queue(agents_when='agent.desk == "x"')}
    problems = policy_problems(a_policy(queues=queues, facts=FACTS))
    assert [problem.path for problem in problems] == ["queues.q0.agents_when", "queues.q1.agents_when", "queues.q2.agents_when"]
    assert all(f"{AGENT_CONDITIONS_COST_MAX:,}" in problem.message for problem in problems)


# --- enforced ----------------------------------------------------------------------------------------------------------
def test_the_evaluation_ends_at_the_rule_that_exceeds_the_budget() -> None:
    """As with a policy that was published before there was a check. The decision depends on no cache."""
    policy = with_rules("contact.age > 90", EXPENSIVE, EXPENSIVE, EXPENSIVE, "true")
    classifier = EntryRuleClassifier(policy)
    for _ in range(3):
        decided = classifier.classify("voice", {"name": "aaa", "age": 1}, lambda queue_id, name: 1)
        assert decided == Classification(None, ("rule3",), "rule3")
    assert classified(policy, age=91).rule is policy.entry[0], "a cheap rule before it still decides"


def test_facts_are_counted_by_what_they_cost_now() -> None:
    policy = with_rules("queues.support.expected_wait_s > 5", "queues.support.expected_wait_s > 3", "queues.vip.waiting > 0")
    classifier = EntryRuleClassifier(policy)
    read: list[str] = []

    def read_fact(queue_id: str, name: str) -> int:
        read.append(name)
        return 1

    costs = {"expected_wait_s": ENTRY_RULES_COST_MAX - 100, "waiting": 200}
    decided = classifier.classify("voice", {}, read_fact, lambda queue_id, name: costs[name])
    assert decided.over_budget == "rule2" and read == ["expected_wait_s"]
    costs["waiting"] = 10
    decided = classifier.classify("voice", {}, read_fact, lambda queue_id, name: costs[name])
    assert decided.over_budget is None and decided.rule is not None


def test_a_condition_beyond_the_budget_is_met_by_no_agent_and_not_evaluated() -> None:
    expensive = f"{VALUES}.exists(x, agent.desk.matches('^a{{2,9}}b$')) || true"
    queues = {"a": a_queue(agents_when="known.desk"), "b": a_queue(agents_when=expensive), "c": a_queue(agents_when="!known.desk")}
    conditions = AgentConditions(a_policy(queues=queues, facts=FACTS))
    key = conditions.attribute_key({"desk": "x"})
    assert conditions.over_budget == {"b"}
    assert [conditions.accepts(name, key) for name in "abc"] == [True, False, False]


def test_a_trial_shows_where_the_evaluation_ended() -> None:
    policy = with_rules("contact.age > 90", EXPENSIVE, EXPENSIVE, EXPENSIVE, "true")
    trial = try_entry_rules(policy, SampleContact(channel="voice", attributes={"name": "a", "age": 1}), lambda queue_id, name: 1)
    assert trial.queue_id == "support" and trial.rule is None
    outcomes = [rule.outcome for rule in trial.rules]
    assert outcomes == [*[RuleOutcome.NO_MATCH] * 3, RuleOutcome.OVER_BUDGET, RuleOutcome.NOT_EVALUATED]


# --- the estimate ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "elements"),
    [
        ("''", 0),
        ("'abc'", 3),
        ("'^[a-z]+$'", 4),
        ("'a{20}'", 20),
        ("'a{2,}b'", 4),
        ("'(ab){10}'", 30),
        ("'((a?){30}){30}'", 2_730),
        ("r'\\d{3}'", 3),
        ("'[]a]x'", 2),
        ("'a|b'", 3),
    ],
)
def test_the_elements_of_a_pattern_include_its_repetitions(pattern: str, elements: int) -> None:
    assert pattern_elements(pattern) == elements


def test_nested_repetitions_have_a_bounded_estimate() -> None:
    start = thread_time()
    assert match_cost("'" + "(" * 30 + "a" + "){100}" * 20 + ")" * 10 + "'", 128) > 10**6
    assert thread_time() - start < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "true",
        " && ".join(["contact.age == 5"] * 25),
        "contact.age in " + VALUES,
        f"{VALUES}.exists(x, x == contact.age)",
        f"{VALUES}.exists(x, contact.name.matches('a'))",
        "contact.name.matches('(a|b)*a(a|b){10}c')",
        "contact.name.matches('(a|b)*a(a|b){100}c')",
        "contact.name.matches('((a?){30}){30}c')",
        "contact.name.matches('a{100}b{100}c{100}d{100}')",
        "contact.name.matches('[[:word:]]{20}c')",
    ],
)
def test_an_estimate_is_not_far_below_the_time_of_an_evaluation(text: str) -> None:
    """The bound is wide: it must hold on a slow and busy machine, and still notice a forgotten factor."""
    policy = with_rules(text)
    program = compile_expression(text, contact_scope(policy))
    values: dict[str, str | int] = {"contact.name": "ab" * 64, "contact.age": 6}
    program.evaluate(values)
    took_us = float("inf")
    for _ in range(5):
        start = thread_time()
        program.evaluate(values)
        took_us = min(took_us, (thread_time() - start) * 1e6)
    assert took_us < 5 * expression_cost(text, FACTS)


def test_the_text_of_an_enum_is_as_long_as_its_longest_value() -> None:
    of_enum = expression_cost("contact.tier.matches('(a|b)*c')", FACTS)
    assert of_enum < expression_cost("contact.name.matches('(a|b)*c')", FACTS)


def test_a_macro_costs_its_body_for_each_item_of_its_list() -> None:
    body = "contact.name.matches('^a{2,9}b$')"
    costs = [expression_cost(f"[{', '.join('1' * count)}].exists(x, {body})", FACTS) for count in (1, 11, 21, 31)]
    steps = [after - before for before, after in pairwise(costs)]
    assert min(steps) > 200
    assert max(steps) - min(steps) <= 1, "a step of ten items is rounded once"
