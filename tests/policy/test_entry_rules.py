"""Entry rules: the first one that holds decides."""

from router.model.policy import (
    ChannelPolicy,
    EntryCondition,
    EntryRule,
    FactValue,
    Policy,
    QueuePolicy,
)
from router.policy.entry_rules import classify

RULES = (
    EntryRule(
        name="both",
        queue="q",
        when=EntryCondition(channel="voice", attributes={"vip": True, "n": 1}),
    ),
    EntryRule(name="vip", queue="q", when=EntryCondition(attributes={"vip": True})),
    EntryRule(name="one", queue="q", when=EntryCondition(attributes={"n": 1})),
    EntryRule(name="chat", queue="q", when=EntryCondition(channel="chat")),
)
POLICY = Policy(channels={"voice": ChannelPolicy()}, queues={"q": QueuePolicy()}, entry=RULES)


def rule_for(channel: str, attributes: dict[str, FactValue]) -> str | None:
    rule = classify(POLICY, channel, attributes).rule
    return rule.name if rule else None


def test_the_first_rule_that_holds_decides() -> None:
    assert rule_for("voice", {"vip": True, "n": 1}) == "both"
    assert rule_for("chat", {"vip": True, "n": 1}) == "vip"
    assert rule_for("chat", {}) == "chat"


def test_a_missing_attribute_is_no_match() -> None:
    assert rule_for("voice", {"vip": False}) is None
    assert rule_for("voice", {}) is None


def test_true_is_not_one_and_one_is_not_true() -> None:
    assert rule_for("voice", {"vip": 1}) is None
    assert rule_for("voice", {"n": True}) is None
    assert rule_for("voice", {"n": 1}) == "one"


def test_a_rule_without_conditions_takes_everything() -> None:
    policy = Policy(
        channels={"voice": ChannelPolicy()},
        queues={"q": QueuePolicy()},
        entry=(EntryRule(name="all", queue="q"),),
    )
    assert classify(policy, "voice", {}).rule is policy.entry[0]
