"""Facts: only declared, typed attributes enter."""

import pytest

from router.model.policy import ChannelPolicy, FactPolicy, FactType, FactValue, Policy, QueuePolicy
from router.policy.facts import UNDECLARED_FACT, check_attributes

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


def test_declared_facts_enter() -> None:
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
def test_a_value_of_another_type_stays_outside(name: str, value: FactValue) -> None:
    found = check_attributes(POLICY, {name: value})
    assert found is not None
    field, reason = found
    assert field == f"attributes.{name}"
    assert reason.startswith("must be")


def test_the_reason_does_not_repeat_the_value() -> None:
    for name in ("vip", "tries", "tier", "journey"):
        _, reason = check_attributes(POLICY, {name: "Jane Doe"}) or ("", "Jane Doe")
        assert "Jane" not in reason


def test_an_undeclared_attribute_stays_outside_and_is_not_named() -> None:
    assert check_attributes(POLICY, {"jane.doe@example.org": True}) == (
        "attributes",
        UNDECLARED_FACT,
    )


def test_facts_of_agents_and_contacts_are_kept_apart() -> None:
    assert check_attributes(POLICY, {"site": "leeds"}) == ("attributes", UNDECLARED_FACT)
    assert check_attributes(POLICY, {"site": "leeds"}, applies_to="agent") is None
    assert check_attributes(POLICY, {"vip": True}, applies_to="agent") == (
        "attributes",
        UNDECLARED_FACT,
    )


def test_thousands_of_attributes_are_not_looked_at() -> None:
    many: dict[str, FactValue] = {f"a{n}": True for n in range(65)}
    assert check_attributes(POLICY, many) == ("attributes", "at most 64 attributes")


def test_the_limits_of_a_whole_number_are_inside() -> None:
    assert check_attributes(POLICY, {"tries": 2**53}) is None
    assert check_attributes(POLICY, {"tries": -(2**53)}) is None
