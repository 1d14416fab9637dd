"""What smells of a person is stopped: by the name of a fact, and by the look of a value."""

import pytest

from router.model.policy import FactPolicy, FactType
from router.policy.checks.consistency import policy_problems
from router.policy.facts import fact_value_error
from tests.support.builders import a_policy


def paths(name: str, **fact: object) -> list[str]:
    declared = FactPolicy(**{"type": FactType.IDENT, **fact})  # type: ignore[arg-type]
    policy = a_policy(facts={name: declared}, default_queue="support")
    return [problem.path for problem in policy_problems(policy)]


@pytest.mark.parametrize(
    "name",
    ["phone", "caller_id", "customer-name", "email", "e-mail", "date_of_birth", "zip", "iban", "card_no"],
)  # fmt: skip
def test_an_id_with_a_personal_name_is_refused(name: str) -> None:
    assert paths(name) == [f"facts.{name}"]
    assert paths(name, non_personal=True) == []


@pytest.mark.parametrize(
    "name", ["tier", "campaign", "customer_no", "language", "namespace", "zipper"]
)
def test_other_names_are_not(name: str) -> None:
    assert paths(name) == []


def test_a_code_or_a_number_cannot_hold_a_name() -> None:
    assert paths("card", type=FactType.ENUM, values=("debit", "credit")) == []
    assert paths("phone", type=FactType.BOOL) == []


def test_a_code_that_looks_like_a_telephone_number_is_refused() -> None:
    values = ("gold", "004917012345")
    assert paths("tier", type=FactType.ENUM, values=values) == ["facts.tier.values[1]"]
    assert paths("tier", type=FactType.ENUM, values=values, non_personal=True) == []


@pytest.mark.parametrize("value", ["1234567", "00491701234567", "555-123-4567", "030.1234.567"])
def test_a_value_that_looks_like_a_telephone_number_does_not_enter(value: str) -> None:
    fact = FactPolicy(type=FactType.IDENT)
    objection = fact_value_error(fact, value)
    assert objection is not None and "telephone" in objection and value not in objection
    assert fact_value_error(FactPolicy(type=FactType.IDENT, non_personal=True), value) is None


@pytest.mark.parametrize("value", ["123456", "c-1234567", "1234567x", "spring-2", "7f3a91b2c4d5"])
def test_other_ids_do(value: str) -> None:
    assert fact_value_error(FactPolicy(type=FactType.IDENT), value) is None
