"""Facts: validation of attributes, and detection of personal data."""

import pytest

from router.model.policy import ChannelPolicy, FactPolicy, FactType, FactValue, Policy, QueuePolicy
from router.policy.checks.consistency import policy_problems
from router.policy.facts import UNDECLARED_FACT, check_attributes, fact_value_error
from tests.support.builders import a_policy

POLICY = Policy(
    channels={"voice": ChannelPolicy()},
    queues={"support": QueuePolicy()},
    facts={
        "vip": FactPolicy(type=FactType.BOOL),
        "tries": FactPolicy(type=FactType.INT),
        "tier": FactPolicy(type=FactType.ENUM, values=("gold", "1")),
        "journey": FactPolicy(type=FactType.IDENT),
        "site": FactPolicy(type=FactType.IDENT, applies_to="agent"),
    },
)


def test_values_of_declared_facts_are_valid() -> None:
    attributes: dict[str, FactValue] = {"vip": True, "tries": -3, "tier": "gold", "journey": "j:1"}
    assert check_attributes(POLICY, attributes) is None
    assert check_attributes(POLICY, {}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vip", 1),
        ("vip", "true"),
        ("tries", True),
        ("tries", "3"),
        ("tries", 1.5),
        ("tries", 2**53 + 1),
        ("tries", -(2**53) - 1),
        ("tier", "silver"),
        ("tier", 1),
        ("tier", True),
        ("journey", "Jane Doe"),
        ("journey", "j1\n"),
        ("journey", "x" * 129),
        ("journey", ""),
        ("journey", 7),
        ("journey", None),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: FactValue) -> None:
    found = check_attributes(POLICY, {name: value})
    assert found is not None
    field, reason = found
    assert field == f"attributes.{name}"
    assert reason.startswith("must be")


def test_the_reason_does_not_repeat_the_value() -> None:
    for name in ("vip", "tries", "tier", "journey"):
        _, reason = check_attributes(POLICY, {name: "Jane Doe"}) or ("", "Jane Doe")
        assert "Jane" not in reason


def test_an_undeclared_attribute_is_named_and_the_declared_ones_are_listed() -> None:
    field, reason = check_attributes(POLICY, {"vpi": True}) or ("", "")
    assert field == "attributes.vpi"
    assert reason == f"{UNDECLARED_FACT}; declared for contacts are: journey, tier, tries, vip"


def test_an_undeclared_name_that_may_be_data_is_not_repeated() -> None:
    for name in ("jane.doe@example.org", "tel-49170123456", "49170123456"):
        field, reason = check_attributes(POLICY, {name: True}) or ("", name)
        assert field == "attributes"
        assert name not in reason


def test_facts_of_agents_and_contacts_are_separate() -> None:
    assert check_attributes(POLICY, {"site": "leeds"}) is not None
    assert check_attributes(POLICY, {"site": "leeds"}, applies_to="agent") is None
    assert check_attributes(POLICY, {"vip": True}, applies_to="agent") == (
        "attributes.vip",
        f"{UNDECLARED_FACT}; declared for agents are: site",
    )


def test_the_number_of_attributes_is_limited() -> None:
    many: dict[str, FactValue] = {f"a{n}": True for n in range(65)}
    assert check_attributes(POLICY, many) == ("attributes", "at most 64 attributes")


def test_the_limits_of_an_integer_are_inclusive() -> None:
    assert check_attributes(POLICY, {"tries": 2**53}) is None
    assert check_attributes(POLICY, {"tries": -(2**53)}) is None


# --- personal data ----------------------------------------------------------------------------------------------------
def paths(name: str, **fact: object) -> list[str]:
    declared = FactPolicy(**{"type": FactType.IDENT, **fact})  # type: ignore[arg-type]
    policy = a_policy(facts={name: declared}, default_queue="support")
    return [problem.path for problem in policy_problems(policy)]


@pytest.mark.parametrize(
    "name",
    ["phone", "caller_id", "customer-name", "email", "e-mail", "date_of_birth", "zip", "iban", "card_no"],
)  # fmt: skip
def test_an_ident_with_a_personal_name_is_refused(name: str) -> None:
    assert paths(name) == [f"facts.{name}"]
    assert paths(name, non_personal=True) == []


@pytest.mark.parametrize("name", ["tier", "campaign", "customer_no", "language", "namespace", "zipper"])
def test_an_ident_with_another_name_is_accepted(name: str) -> None:
    assert paths(name) == []


def test_other_types_may_have_a_personal_name() -> None:
    assert paths("card", type=FactType.ENUM, values=("debit", "credit")) == []
    assert paths("phone", type=FactType.BOOL) == []


def test_an_enum_value_that_looks_like_a_telephone_number_is_refused() -> None:
    values = ("gold", "004917012345")
    assert paths("tier", type=FactType.ENUM, values=values) == ["facts.tier.values[1]"]
    assert paths("tier", type=FactType.ENUM, values=values, non_personal=True) == []


@pytest.mark.parametrize("value", ["1234567", "00491701234567", "555-123-4567", "030.1234.567"])
def test_an_ident_value_that_looks_like_a_telephone_number_is_refused(value: str) -> None:
    fact = FactPolicy(type=FactType.IDENT)
    error = fact_value_error(fact, value)
    assert error is not None and "telephone" in error and value not in error
    assert fact_value_error(FactPolicy(type=FactType.IDENT, non_personal=True), value) is None


@pytest.mark.parametrize("value", ["123456", "c-1234567", "1234567x", "spring-2", "7f3a91b2c4d5"])
def test_other_ident_values_are_accepted(value: str) -> None:
    assert fact_value_error(FactPolicy(type=FactType.IDENT), value) is None
