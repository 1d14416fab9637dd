"""Facts of customers: declarations, rules that use them, and values that the policy does not allow."""

import pytest

from router.model.policy import (
    DerivePolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    FactValue,
    Policy,
    ProfileField,
    StepMatch,
)
from router.policy.checks.consistency import policy_problems
from router.policy.customer_facts import valid_customer_facts
from router.policy.entry_rules import EntryRuleClassifier, SampleContact, sample_error, try_entry_rules
from tests.support.builders import a_policy

FAILED = StepMatch(type="payment", result="failed")
FACTS = {
    "topic": FactPolicy(type=FactType.IDENT),
    "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
    "tier": FactPolicy(
        type=FactType.ENUM, values=("gold", "silver"), applies_to="customer", derive=DerivePolicy(profile=ProfileField.TIER)
    ),
    "failed": FactPolicy(type=FactType.INT, applies_to="customer", derive=DerivePolicy(count=FAILED, within_s=300)),
}


def problems(**facts: FactPolicy) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in policy_problems(a_policy(facts=facts))]


def customer(**fields: object) -> FactPolicy:
    return FactPolicy(applies_to="customer", **fields)  # type: ignore[arg-type]


# --- declarations ---------------------------------------------------------------------------------------------
def test_a_fact_of_customers_says_where_it_comes_from() -> None:
    assert problems(n=customer(type=FactType.INT)) == [
        ("facts.n.derive", "required with applies_to: customer: say where the fact comes from")
    ]


@pytest.mark.parametrize("derive", [DerivePolicy(), DerivePolicy(count=FAILED, open_contacts=True)])
def test_a_fact_comes_from_one_source(derive: DerivePolicy) -> None:
    [(path, message)] = problems(n=customer(type=FactType.INT, derive=derive))
    assert path == "facts.n.derive"
    assert message == "exactly one of count, latest, profile, consent, open_contacts is required"


@pytest.mark.parametrize(
    ("derive", "type", "message"),
    [
        (DerivePolicy(count=FAILED), FactType.ENUM, "must be int or bool with derive: count"),
        (DerivePolicy(latest=FAILED), FactType.INT, "must be enum with derive: latest"),
        (DerivePolicy(profile=ProfileField.LOCALE), FactType.IDENT, "must be enum with derive: profile"),
        (DerivePolicy(consent="calls"), FactType.INT, "must be bool with derive: consent"),
    ],
)
def test_the_type_fits_the_source(derive: DerivePolicy, type: FactType, message: str) -> None:
    values = ("a",) if type is FactType.ENUM else ()
    assert problems(n=customer(type=type, values=values, derive=derive)) == [("facts.n.type", message)]


def test_only_facts_of_customers_are_derived_and_refreshed() -> None:
    found = problems(n=FactPolicy(type=FactType.INT, derive=DerivePolicy(count=FAILED), refresh_while_waiting=True))
    assert [path for path, _ in found] == ["facts.n.derive", "facts.n.refresh_while_waiting"]


def test_a_rule_names_facts_under_the_key_of_their_owner() -> None:
    entry = (
        EntryRule(name="a", queue="support", when=EntryCondition(attributes={"tier": "gold"})),
        EntryRule(name="b", queue="support", when=EntryCondition(customer={"desk": 1})),
        EntryRule(name="c", queue="support", when=EntryCondition(customer={"tier": "iron"})),
        EntryRule(name="d", queue="support", when='contact.tier == "gold"'),
        EntryRule(name="e", queue="support", when="customer.topic == 'x'"),
        EntryRule(name="f", queue="support", when="customer.tier == 'iron'"),
    )
    found = {one.path: one.message for one in policy_problems(a_policy(facts=FACTS, entry=entry))}
    assert found == {
        "entry[0].when.attributes.tier": "a fact of customers; attributes can name facts of contacts only",
        "entry[1].when.customer.desk": "a fact of agents; customer can name facts of customers only",
        "entry[2].when.customer.tier": "must be one of gold, silver",
        "entry[3].when": "no such fact is declared: contact.tier",
        "entry[4].when": "no such fact is declared: customer.topic",
        "entry[5].when": "must be one of the declared values of customer.tier",
    }


# --- rules ----------------------------------------------------------------------------------------------------
def rule_for(policy: Policy, attributes: dict[str, FactValue], facts: dict[str, FactValue]) -> str | None:
    chosen = EntryRuleClassifier(policy).classify("voice", attributes, lambda queue_id, name: None, customer_facts=facts)
    return chosen.rule.name if chosen.rule else None


def test_rules_use_facts_of_the_customer_in_expressions_and_mappings() -> None:
    entry = (
        EntryRule(name="struggles", queue="support", when="customer.failed >= 3"),
        EntryRule(name="gold", queue="support", when=EntryCondition(customer={"tier": "gold"}, attributes={"topic": "cards"})),
        EntryRule(name="known", queue="support", when="known.tier && !known.failed"),
    )
    policy = a_policy(facts=FACTS, entry=entry)
    assert policy_problems(policy) == []
    assert rule_for(policy, {}, {"failed": 3}) == "struggles"
    assert rule_for(policy, {"topic": "cards"}, {"failed": 2, "tier": "gold"}) == "gold"
    assert rule_for(policy, {}, {"tier": "silver"}) == "known"
    assert rule_for(policy, {}, {"tier": "silver", "failed": 0}) is None
    assert rule_for(policy, {"topic": "cards"}, {}) is None


def test_a_trial_shows_facts_of_the_customer() -> None:
    policy = a_policy(facts=FACTS, entry=(EntryRule(name="gold", queue="support", when=EntryCondition(customer={"tier": "gold"})),))
    sample = SampleContact(channel="voice", customer={"tier": "gold"})
    trial = try_entry_rules(policy, sample, lambda queue_id, name: None)
    assert (trial.rule, trial.rules[0].facts) == ("gold", {"customer.tier": "gold"})
    assert sample_error(policy, SampleContact(channel="voice", customer={"tier": "iron"})) == (
        "customer.tier",
        "must be one of gold, silver",
    )


def test_facts_that_the_policy_does_not_allow_are_left_out() -> None:
    sent: dict[str, FactValue] = {"tier": "gold", "failed": "3", "topic": "x", "gone": True}
    assert valid_customer_facts(a_policy(facts=FACTS), sent) == {"tier": "gold"}
