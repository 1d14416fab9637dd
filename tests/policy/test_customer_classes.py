"""Classes of customers: few of them, and a condition has the same outcome for a class as for the facts themselves."""

from itertools import product

import msgspec
import pytest

from router.model.policy import (
    AttributeOrder,
    DerivePolicy,
    Direction,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    ProfileField,
    QueuePolicy,
    Selection,
    StepMatch,
    StepPolicy,
)
from router.policy.checks.consistency import policy_problems
from router.policy.customer_classes import CustomerClasses, combination_count, queue_table
from router.policy.facts import AgentConditions
from tests.support.builders import a_policy, a_queue


def of_customers(**fields: object) -> FactPolicy:
    return FactPolicy(applies_to="customer", **fields)  # type: ignore[arg-type]


FACTS = {
    "tier": of_customers(
        type=FactType.ENUM, values=("gold", "silver", "bronze", "tin"), derive=DerivePolicy(profile=ProfileField.TIER)
    ),
    "failed": of_customers(type=FactType.INT, derive=DerivePolicy(count=StepMatch(type="payment"))),
    "agreed": of_customers(type=FactType.BOOL, derive=DerivePolicy(consent="calls")),
    "region": of_customers(type=FactType.ENUM, values=("hull", "york"), derive=DerivePolicy(profile=ProfileField.LOCALE)),
    "topic": FactPolicy(type=FactType.IDENT),
    "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
    "site": FactPolicy(type=FactType.ENUM, values=("hull", "york"), applies_to="agent"),
    "native": FactPolicy(type=FactType.BOOL, applies_to="agent"),
}


def policy(*, plan: tuple[StepPolicy, ...] | None = None, **queue: object) -> Policy:
    plans = {} if plan is None else {"one": plan}
    settings = {"plan": "one"} if plan is not None else {}
    return a_policy(queues={"support": a_queue(**settings, **queue)}, facts=FACTS, plans=plans)


def problems(made: Policy) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in policy_problems(made)]


# --- checks ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "customer.failed > 1",
        "3 <= customer.failed || -1 == customer.failed",
        'customer.tier == "gold" && agent.desk > 2 || !known.tier',
        "customer.failed in [0, 1, -4] ? agent.desk == 1 : agent.desk == 2",
        "agent.site == customer.region",
        "customer.agreed && customer.tier.startsWith('g')",
        "(customer.failed >= 0x10)",
    ],
)
def test_conditions_on_customers_are_allowed_where_agents_are_chosen(text: str) -> None:
    assert problems(policy(agents_when=text)) == []


NUMBER = "customer.failed can only be compared with numbers that are written here, such as >= 3 or in [1, 2]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent.desk > customer.failed", NUMBER),
        ("customer.failed + 1 > 3", NUMBER),
        ("customer.failed > 3 + agent.desk", NUMBER),
        ("2 + 3 > customer.failed", NUMBER),
        ("-customer.failed > 3", NUMBER),
        ("customer.failed in [1, agent.desk]", NUMBER),
        ("[1, 2].exists(x, x == customer.failed)", NUMBER),
        ("string(customer.failed) == '3'", NUMBER),
        ("customer.shoe_size > 3", "no such fact is declared: customer.shoe_size"),
        ("customer.topic == 'x'", "no such fact is declared: customer.topic"),
        ("contact.topic == 'x'", "unknown name; allowed are agent.FACT, customer.FACT, known.FACT"),
        ("customer.tier == 'iron'", "must be one of the declared values of customer.tier"),
    ],
)
def test_what_agents_when_cannot_say_of_customers_is_refused(text: str, message: str) -> None:
    assert problems(policy(agents_when=text)) == [("queues.support.agents_when", message)]


def test_conditions_of_steps_are_about_the_customer_alone() -> None:
    def of_step(text: str) -> list[tuple[str, str]]:
        return problems(policy(plan=(StepPolicy(duration_s=5, when=text), StepPolicy())))

    assert of_step("customer.failed >= 3 && !known.tier") == []
    path = "plans.one[0].when"
    assert of_step("agent.desk > 2") == [(path, "unknown name; allowed are customer.FACT, known.FACT")]
    assert of_step("known.desk") == [(path, "no such fact is declared: known.desk")]
    assert of_step("customer.failed * 2 > 4") == [(path, NUMBER)]
    assert of_step("customer.failed") == [(path, "the expression must be true or false")]


def test_sort_keys_of_agents_are_checked() -> None:
    def of_key(**key: object) -> list[tuple[str, str]]:
        order_by = (AttributeOrder(**key),)  # type: ignore[arg-type]
        return problems(policy(selection=Selection.BY_ATTRIBUTES, order_by=order_by))

    here = "queues.support.order_by[0]"
    assert of_key(fact="site", same_as="region") == []
    assert of_key(fact="native", same_as="agreed", when="customer.failed > 2") == []
    assert of_key(fact="site", same_as="desk") == [(f"{here}.same_as", "a fact of agents; a fact of customers is required")]
    assert of_key(fact="site", same_as="regoin") == [(f"{here}.same_as", "no such fact is declared; there is region")]
    assert of_key(fact="native", same_as="region") == [(f"{here}.same_as", "must be of the type of the fact of agents, bool")]
    expected = "must be a bool or an enum fact: a number has too many values to compare agents with"
    assert of_key(fact="desk", same_as="failed") == [(f"{here}.same_as", expected)]
    assert of_key(fact="site", when="customer.nothing") == [(f"{here}.when", "no such fact is declared: customer.nothing")]


def test_one_fact_may_order_agents_in_two_ways() -> None:
    gold = AttributeOrder(fact="desk", direction=Direction.DESC, when='customer.tier == "gold"')
    order_by = (gold, AttributeOrder(fact="desk"))
    assert problems(policy(selection=Selection.BY_ATTRIBUTES, order_by=order_by)) == []
    twice = (gold, gold)
    assert problems(policy(selection=Selection.BY_ATTRIBUTES, order_by=twice)) == [
        ("queues.support.order_by[1].fact", "duplicate entry")
    ]


def test_the_number_of_combinations_is_limited() -> None:
    numbers = " || ".join(f"customer.failed == {10 * number}" for number in range(31))
    assert problems(policy(agents_when=numbers)) == []  # 31 numbers, 32 spans around them, and none.
    found = problems(policy(agents_when=f"{numbers} || customer.agreed"))
    message = "agents_when and order_by tell 192 combinations of facts of customers apart, more than 64: "
    assert ("queues.support", message + "use fewer facts, or compare them with fewer values") in found
    found = problems(policy(plan=(StepPolicy(duration_s=5, when=f"{numbers} || customer.agreed"), StepPolicy())))
    assert [path for path, _ in found] == ["plans.one"]


def test_conditions_that_tell_many_customers_apart_cost_more() -> None:
    text = "agent.desk > 2 && customer.failed in [" + ", ".join(str(10 * number) for number in range(25)) + "]"
    one = policy(agents_when=text)
    assert problems(one) == []
    many = msgspec.structs.replace(one, queues={f"q{number}": one.queues["support"] for number in range(6)})
    assert [path for path, message in problems(many) if "too expensive" in message] == [
        "queues.q4.agents_when",
        "queues.q5.agents_when",
    ]
    assert AgentConditions(many).over_budget == {"q4", "q5"}


def test_conditions_of_plans_have_a_budget() -> None:
    pattern = 'customer.tier.matches("' + "(a|b)" * 20 + '") || ' * 1 + "customer.agreed"
    plan = tuple(StepPolicy(duration_s=5, when=pattern) for _ in range(15))
    whole = (*plan, StepPolicy())
    made = policy(plan=whole)
    made = msgspec.structs.replace(made, plans={f"p{number}": whole for number in range(12)} | made.plans)
    [(path, message)] = [one for one in problems(made) if "too expensive" in one[1]]
    assert path == "plans" and "more than 1,500" in message


# --- classes --------------------------------------------------------------------------------------------------------
TEXTS = (
    "customer.failed > 1",
    "customer.failed >= 3 && customer.tier == 'gold'",
    "5 > customer.failed || customer.tier in ['silver', 'gold'] && known.agreed",
    "customer.failed in [0, 4] ? customer.agreed : customer.tier != 'bronze'",
    "!known.failed && customer.tier.startsWith('g')",
    "agent.site == customer.region && -2 < customer.failed",
    "customer.failed != 3",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_condition_has_the_same_outcome_for_a_class_as_for_its_customers(text: str) -> None:
    made = policy(agents_when=text)
    conditions = AgentConditions(made)
    agents = [conditions.attribute_key(one) for one in ({}, {"site": "hull"}, {"site": "york"})]
    customers: list[dict[str, FactValue]] = []
    for tier, failed, agreed, region in product(
        (None, "gold", "silver", "bronze", "tin", "iron"), (None, *range(-4, 8)), (None, True, False), (None, "hull", "york")
    ):
        facts = {"tier": tier, "failed": failed, "agreed": agreed, "region": region}
        customers.append({name: value for name, value in facts.items() if value is not None})
    classes = {conditions.customers.class_of("support", one) for one in customers}
    assert len(classes) <= combination_count(queue_table(made, made.queues["support"])) <= 64
    assert set(conditions.customers.classes_of_condition("support")) >= classes
    for key in agents:
        for facts in customers:
            expected = conditions.accepts_facts("support", key, facts)
            assert conditions.accepts("support", key, conditions.customers.class_of("support", facts)) is expected, facts


def test_values_that_no_condition_names_are_one_class() -> None:
    classes = CustomerClasses(policy(agents_when="customer.failed >= 3 && customer.tier == 'gold'"))
    assert classes.class_of("support", {"failed": 1_000_000}) == classes.class_of("support", {"failed": 17})
    assert classes.class_of("support", {"failed": 3}) != classes.class_of("support", {"failed": 2})
    assert classes.class_of("support", {"tier": "tin"}) == classes.class_of("support", {"tier": "silver"})
    assert classes.class_of("support", {"tier": "iron", "agreed": True}) == ()
    assert classes.class_of("other", {"tier": "gold"}) == ()


def test_steps_whose_condition_does_not_hold_are_left_out() -> None:
    plan = (StepPolicy(duration_s=5, when="customer.failed > 2"), StepPolicy(duration_s=5, when="!known.failed"), StepPolicy())
    classes = CustomerClasses(policy(plan=plan))
    assert classes.inapplicable_steps("one", {"failed": 3}) == {1}
    assert classes.inapplicable_steps("one", {"failed": 2}) == {0, 1}
    assert classes.inapplicable_steps("one", {}) == {0}
    assert classes.inapplicable_steps("two", {}) == classes.inapplicable_steps(None, {}) == frozenset()


def test_a_policy_without_such_conditions_has_no_classes() -> None:
    made = policy(agents_when="agent.desk > 2", order_by=(AttributeOrder(fact="desk"),))
    classes = CustomerClasses(made)
    assert not classes.is_used and classes.any_class("support") == ()
    assert classes.classes_of_condition("support") == ((),)
    assert isinstance(made.queues["support"], QueuePolicy)
