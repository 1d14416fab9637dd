"""Consistency of a policy: references, cycles, unreachable rules."""

import time

import pytest

from router.model.errors import ExpressionProblem
from router.model.policy import (
    CallbackPolicy,
    ChannelPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    Policy,
    QueuePolicy,
    WhenFull,
)
from router.policy.checks.consistency import policy_problems


def a_policy(**changes: object) -> Policy:
    parts: dict[str, object] = {
        "channels": {"voice": ChannelPolicy()},
        "queues": {"support": QueuePolicy()},
        "default_queue": "support",
    }
    return Policy(**{**parts, **changes})  # type: ignore[arg-type]


def paths(policy: Policy) -> list[str]:
    return [problem.path for problem in policy_problems(policy)]


def test_a_consistent_policy_has_no_problems() -> None:
    assert policy_problems(a_policy()) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"default_queue": "x"}, "default_queue"),
        ({"queues": {"support": QueuePolicy(overflow_to="x")}}, "queues.support.overflow_to"),
        ({"queues": {"support": QueuePolicy(requires={"x": 1})}}, "queues.support.requires.x"),
        ({"queues": {"support": QueuePolicy(wrap_up_s={"x": 1})}}, "queues.support.wrap_up_s.x"),
        ({"queues": {"support": QueuePolicy(callback=CallbackPolicy(channel="x"))}}, "queues.support.callback.channel"),
        ({"channels": {"voice": ChannelPolicy(blocks=("x",))}}, "channels.voice.blocks[0]"),
        ({"channels": {"voice": ChannelPolicy(interrupts=("x",))}}, "channels.voice.interrupts[0]"),
        ({"entry": (EntryRule(name="r", queue="x"),)}, "entry[0].queue"),
        ({"entry": (EntryRule(name="r", queue="support", skills={"x": 1}),)}, "entry[0].skills.x"),
        ({"entry": (EntryRule(name="r", queue="support", when=EntryCondition(channel="x")),)}, "entry[0].when.channel"),
        ({"skills": ("a", "a")}, "skills[1]"),
        ({"dispositions": ("a", "a")}, "dispositions[1]"),
        ({"not_ready_reasons": ("a", "a")}, "not_ready_reasons[1]"),
        ({"facts": {"f": FactPolicy(type=FactType.ENUM)}}, "facts.f.values"),
        ({"facts": {"f": FactPolicy(type=FactType.BOOL, values=("a",))}}, "facts.f.values"),
        ({"facts": {"f": FactPolicy(type=FactType.ENUM, values=("a", "a"))}}, "facts.f.values[1]"),
    ],
)
def test_an_invalid_reference_is_reported_at_its_path(changes: dict[str, object], path: str) -> None:
    assert paths(a_policy(**changes)) == [path]


def test_when_full_overflow_requires_overflow_to() -> None:
    queues = {"support": QueuePolicy(when_full=WhenFull.OVERFLOW, length_max=5)}
    assert paths(a_policy(queues=queues)) == ["queues.support.overflow_to"]


def test_a_queue_cannot_overflow_to_itself() -> None:
    (problem,) = policy_problems(a_policy(queues={"support": QueuePolicy(overflow_to="support")}))
    assert problem.message == "a queue cannot overflow to itself"


def test_a_cycle_of_overflows_is_reported_once() -> None:
    queues = {
        "support": QueuePolicy(overflow_to="a"),
        "a": QueuePolicy(overflow_to="b"),
        "b": QueuePolicy(overflow_to="c"),
        "c": QueuePolicy(overflow_to="a"),
    }
    (problem,) = policy_problems(a_policy(queues=queues))
    assert problem.message == "cycle of overflows: a → b → c → a"


def interrupting(**channels: tuple[str, ...]) -> Policy:
    return a_policy(channels={name: ChannelPolicy(interrupts=to) for name, to in channels.items()})


def test_a_channel_cannot_interrupt_itself() -> None:
    (problem,) = policy_problems(interrupting(voice=("voice",)))
    assert (problem.path, problem.message) == ("channels.voice.interrupts[0]", "a channel cannot interrupt itself")


def test_a_cycle_of_interruptions_is_reported_once() -> None:
    (problem,) = policy_problems(interrupting(voice=("mail", "chat"), chat=("mail", "sms"), sms=("voice",), mail=()))
    assert problem.path == "channels.sms.interrupts[0]"
    assert problem.message == "cycle of interruptions: voice → chat → sms → voice"


def test_a_channel_may_be_interrupted_by_several_channels() -> None:
    assert paths(interrupting(voice=("chat", "mail"), video=("chat",), chat=("mail",), mail=())) == []


def test_two_queues_may_overflow_to_the_same_third() -> None:
    queues = {"support": QueuePolicy(overflow_to="c"), "b": QueuePolicy(overflow_to="c"), "c": QueuePolicy()}
    assert policy_problems(a_policy(queues=queues)) == []


@pytest.mark.parametrize(("value", "is_valid"), [(True, True), (1, False), ("true", False), (False, True)])
def test_a_rule_compares_a_fact_with_values_of_its_type(value: bool | int | str, is_valid: bool) -> None:
    rule = EntryRule(name="r", queue="support", when=EntryCondition(attributes={"vip": value}))
    policy = a_policy(facts={"vip": FactPolicy(type=FactType.BOOL)}, entry=(rule,))
    assert (policy_problems(policy) == []) is is_valid


def test_entry_rules_cannot_use_facts_of_agents() -> None:
    rule = EntryRule(name="r", queue="support", when=EntryCondition(attributes={"remote": True}))
    policy = a_policy(facts={"remote": FactPolicy(type=FactType.BOOL, applies_to="agent")}, entry=(rule,))
    assert paths(policy) == ["entry[0].when.attributes.remote"]


def test_a_rule_after_one_that_matches_everything_is_unreachable() -> None:
    rules = (
        EntryRule(name="a", queue="support", when=EntryCondition(channel="voice")),
        EntryRule(name="b", queue="support"),
        EntryRule(name="c", queue="support", when=EntryCondition(channel="voice")),
    )
    assert paths(a_policy(entry=rules)) == ["entry[2].when"]


def test_a_rule_with_more_conditions_than_an_earlier_one_is_unreachable() -> None:
    facts = {"vip": FactPolicy(type=FactType.BOOL)}
    wide = EntryRule(name="wide", queue="support", when=EntryCondition(attributes={"vip": True}))
    narrow = EntryRule(name="narrow", queue="support", when=EntryCondition(channel="voice", attributes={"vip": True}))
    assert paths(a_policy(facts=facts, entry=(wide, narrow))) == ["entry[1].when"]
    assert policy_problems(a_policy(facts=facts, entry=(narrow, wide))) == []


def test_rule_names_are_unique() -> None:
    rules = (EntryRule(name="a", queue="support", when=EntryCondition(channel="voice")), EntryRule(name="a", queue="support"))
    assert paths(a_policy(entry=rules)) == ["entry[1].name"]


def test_the_most_similar_name_is_suggested() -> None:
    (problem,) = policy_problems(a_policy(default_queue="suport"))
    assert problem.message == "no such queue is declared; there is support"


def test_ten_thousand_queues_are_checked_within_a_second() -> None:
    queues = {f"q{n}": QueuePolicy(overflow_to=f"q{n + 1}") for n in range(9_999)}
    policy = a_policy(queues={**queues, "q9999": QueuePolicy(overflow_to="q0")}, default_queue="q0")
    began = time.process_time()
    (problem,) = policy_problems(policy)
    assert time.process_time() - began < 1.0
    assert problem.path == "queues.q0.overflow_to"


def test_an_error_in_an_expression_has_its_position_in_the_expression() -> None:
    policy = a_policy(entry=(EntryRule(name="a", when="true &&\n foo", queue="support"),))
    (problem,) = policy_problems(policy)
    assert isinstance(problem, ExpressionProblem)
    assert (problem.expression_line, problem.expression_column) == (2, 2)


def test_the_number_of_expressions_is_limited() -> None:
    facts = {"n": FactPolicy(type=FactType.INT)}
    entry = tuple(EntryRule(name=f"r{number}", when=f"contact.n == {number}", queue="support") for number in range(200))
    assert policy_problems(a_policy(entry=entry, facts=facts)) == []
    queues = {"support": QueuePolicy(agents_when="true")}
    (problem,) = policy_problems(a_policy(entry=entry, facts=facts, queues=queues))
    assert (problem.path, problem.message) == ("entry", "more than 200 expressions in the policy")


@pytest.mark.parametrize(("count", "shown"), [(10, 10), (11, 10)])
def test_a_long_cycle_is_shortened(count: int, shown: int) -> None:
    names = [f"q{n:02}" for n in range(count)]
    queues = {name: QueuePolicy(wait_max_s=1, overflow_to=after) for name, after in zip(names, names[1:] + names[:1], strict=True)}
    (problem,) = policy_problems(Policy(channels={"voice": ChannelPolicy()}, queues=queues))
    ellipsis = ["…"] if count > shown else []
    assert problem.message == f"cycle of overflows: {' → '.join([*names[:shown], *ellipsis, names[0]])}"
