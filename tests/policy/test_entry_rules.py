"""Entry rules: choice of the first matching rule, unreachable rules and trials."""

from router.model.policy import ChannelPolicy, EntryCondition, EntryRule, FactPolicy, FactType, FactValue, Policy, QueuePolicy
from router.policy.checks.consistency import policy_problems
from router.policy.entry_rules import (
    RuleOutcome,
    RuleTrial,
    SampleContact,
    classify,
    sample_error,
    try_entry_rules,
    unreachable_rules,
)
from tests.support.builders import a_policy

RULES = (
    EntryRule(name="both", queue="q", when=EntryCondition(channel="voice", attributes={"vip": True, "n": 1})),
    EntryRule(name="vip", queue="q", when=EntryCondition(attributes={"vip": True})),
    EntryRule(name="one", queue="q", when=EntryCondition(attributes={"n": 1})),
    EntryRule(name="chat", queue="q", when=EntryCondition(channel="chat")),
)
POLICY = Policy(channels={"voice": ChannelPolicy()}, queues={"q": QueuePolicy()}, entry=RULES)


def rule_for(channel: str, attributes: dict[str, FactValue]) -> str | None:
    rule = classify(POLICY, channel, attributes).rule
    return rule.name if rule else None


def test_the_first_matching_rule_decides() -> None:
    assert rule_for("voice", {"vip": True, "n": 1}) == "both"
    assert rule_for("chat", {"vip": True, "n": 1}) == "vip"
    assert rule_for("chat", {}) == "chat"


def test_a_missing_attribute_does_not_match() -> None:
    assert rule_for("voice", {"vip": False}) is None
    assert rule_for("voice", {}) is None


def test_true_and_1_are_different_values() -> None:
    assert rule_for("voice", {"vip": 1}) is None
    assert rule_for("voice", {"n": True}) is None
    assert rule_for("voice", {"n": 1}) == "one"


def test_a_rule_without_conditions_matches_everything() -> None:
    policy = Policy(channels={"voice": ChannelPolicy()}, queues={"q": QueuePolicy()}, entry=(EntryRule(name="all", queue="q"),))
    assert classify(policy, "voice", {}).rule is policy.entry[0]


# --- unreachable rules ------------------------------------------------------------------------------------------------
def rules(*texts: str) -> tuple[EntryRule, ...]:
    return tuple(EntryRule(name=f"r{index}", when=text, queue="support") for index, text in enumerate(texts))


def test_a_repeated_expression_is_unreachable() -> None:
    entry = rules('channel == "voice"', 'channel=="voice" // again', "channel == 'voice'")
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == ["entry[1].when"]


def test_rules_after_true_are_unreachable() -> None:
    entry = rules(" true ", 'channel == "voice"')
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == ["entry[1].when"]
    entry = (*rules('channel == "chat"'), EntryRule(name="all", queue="support"), *rules("true")[:1])
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == ["entry[2].name", "entry[2].when"]


def test_an_expression_covers_only_equal_ones() -> None:
    entry = rules('channel == "voice"', 'channel == "chat"', "false")
    assert list(unreachable_rules(a_policy(entry=entry))) == []


def test_rules_for_every_channel_cover_a_rule_together() -> None:
    channels = {"voice": ChannelPolicy(), "chat": ChannelPolicy()}
    entry = tuple(
        EntryRule(name=name, queue="support", when=EntryCondition(channel=channel))
        for name, channel in (("v", "voice"), ("c", "chat"), ("rest", None))
    )
    policy = a_policy(channels=channels, entry=entry)
    assert [(rule.name, by) for rule, by in unreachable_rules(policy)] == [("rest", ["v", "c"])]


# --- trials -----------------------------------------------------------------------------------------------------------
TRIED = a_policy(
    facts={"tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver"))},
    entry=(
        EntryRule(name="gold", when='contact.tier == "gold"', queue="support"),
        EntryRule(name="busy", when="queues.support.waiting > 20", queue="support"),
        EntryRule(name="last", queue="support"),
    ),
)


def test_a_trial_reports_every_rule_up_to_the_deciding_one() -> None:
    sample = SampleContact(channel="voice", queues={"support": {"waiting": 21}})
    trial = try_entry_rules(TRIED, sample, lambda queue_id, name: None)
    assert (trial.queue_id, trial.rule, trial.failed) == ("support", "busy", ("gold",))
    assert trial.rules == (
        RuleTrial(name="gold", outcome=RuleOutcome.FAILED, missing=("contact.tier",)),
        RuleTrial(name="busy", outcome=RuleOutcome.DECIDES, facts={"queues.support.waiting": 21}),
        RuleTrial(name="last", outcome=RuleOutcome.NOT_EVALUATED),
    )


def test_a_trial_reads_facts_of_queues_that_the_sample_omits() -> None:
    sample = SampleContact(channel="voice", attributes={"tier": "silver"})
    trial = try_entry_rules(TRIED, sample, lambda queue_id, name: 3)
    assert trial.rule == "last"
    assert [one.outcome for one in trial.rules] == ["no_match", "no_match", "decides"]


def test_an_invalid_sample_is_named_by_its_field() -> None:
    assert sample_error(TRIED, SampleContact(channel="voice")) is None
    for sample, field in (
        (SampleContact(channel="fax"), "channel"),
        (SampleContact(channel="voice", attributes={"tier": "tin"}), "attributes.tier"),
        (SampleContact(channel="voice", queues={"x": {}}), "queues.x"),
        (SampleContact(channel="voice", queues={"support": {"length": 1}}), "queues.support"),
        (SampleContact(channel="voice", queues={"support": {"waiting": True}}), "queues.support.waiting"),
    ):
        found = sample_error(TRIED, sample)
        assert found is not None and found[0] == field
