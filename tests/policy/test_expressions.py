"""Rule expressions: evaluation, errors with their positions, and hostile texts."""

import time
from typing import Any

import pytest

from router.model.policy import FactPolicy, FactType, FactValue, Policy
from router.policy.expression_tokens import EXPRESSION_LENGTH_MAX, ExpressionError
from router.policy.expressions import agent_scope, compile_expression, contact_scope
from tests.support.builders import a_policy, a_queue
from tests.support.reference.expressions import holds

POLICY: Policy = a_policy(
    queues={"support": a_queue(), "card-desk": a_queue()},
    facts={
        "tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver")),
        "age": FactPolicy(type=FactType.INT),
        "member": FactPolicy(type=FactType.BOOL),
        "campaign": FactPolicy(type=FactType.IDENT),
        "old-one": FactPolicy(type=FactType.BOOL),
        "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
    },
)
VALUES: dict[str, FactValue] = {
    "contact.tier": "gold",
    "contact.age": 40,
    "contact.member": True,
    "contact.campaign": "spring-2",
    "known.tier": True,
    "known.age": False,
    "channel": "voice",
    "queues.support.waiting": 21,
    "queues.support.agents_free": 0,
}


def evaluate(text: str, without: str = "") -> bool | None:
    expression = compile_expression(text, contact_scope(POLICY))
    return expression.evaluate({name: value for name, value in VALUES.items() if name != without})


def error_in(text: str, scope: Any = None) -> tuple[int, str]:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text, scope or contact_scope(POLICY))
    return raised.value.offset, raised.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('contact.tier == "gold" && queues.support.waiting > 20', True),
        ("contact.tier == 'silver'", False),
        ("contact . age >= 40 // a comment", True),
        ("known.age || contact.member", True),
        ("!(contact.age > 30)", False),
        ('contact.tier in ["gold", "silver"]', True),
        ("contact.age * 2 - 1 == 79", True),
        ('contact.campaign.startsWith("spring")', True),
        (r'contact.campaign.matches(r"^[a-z]+-\d$")', True),
        ("[10, 40].exists(a, a == contact.age)", True),
        ("[1, 2].all(a, a < contact.age) && [3].exists_one(b, b == 3)", True),
        ('size(contact.campaign) == 8 && channel.contains("oi")', True),
        ('contact.member ? contact.age == 40 : contact.tier == "gold"', True),
        ("double(contact.age) / 3.0 > 13.2 && double(contact.age) / 3.0 < 13.4", True),
        ("true", True),
        (" \n true \n", True),
    ],
)
def test_an_expression_is_true_or_false(text: str, expected: bool) -> None:
    assert evaluate(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "contact.age / queues.support.agents_free > 1",
        "contact.age % 0 == 1",
        "contact.age * 4611686018427387904 > 0",
        "-9223372036854775808 - contact.age < 0",
        "int(contact.campaign) == 3",
        "[1][contact.age] == 1",
    ],
)
def test_a_failure_at_run_time_is_none(text: str) -> None:
    assert evaluate(text) is None


def test_a_missing_fact_is_none_unless_the_other_operand_decides() -> None:
    assert evaluate('contact.tier == "gold"', without="contact.tier") is None
    assert evaluate('contact.member || contact.tier == "gold"', without="contact.tier") is True
    assert evaluate('contact.age < 9 && contact.tier == "gold"', without="contact.tier") is False


def test_an_expression_knows_its_variables() -> None:
    text = 'known.age && contact.age > 1 || contact.age < 9 && [1].exists(x, x == 1) || channel == ""'
    expression = compile_expression(text, contact_scope(POLICY))
    assert expression.names == ("channel", "contact.age", "known.age")


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ('contact.tire == "gold"', 0, "no such fact is declared: contact.tire; there is contact.tier"),
        ('true && known.tire', 8, "there is known.tier"),
        ("queues.suport.waiting > 1", 0, "there is queues.support"),
        ("queues.support.wait > 1", 0, "waiting, agents_ready"),
        ("queues.card-desk.waiting > 1", 0, "names with - cannot be used"),
        ("contact.old-one", 0, "names with - cannot be used"),
        ("contact.desk > 1", 0, "no such fact is declared"),
        ("agent.desk > 1", 0, "contact.FACT"),
        ("contact == 1", 0, "contact.FACT"),
        ('contact["tier"] == "gold"', 0, "contact.FACT"),
        ("unknown_name", 0, "unknown name"),
        ("contact.age", 0, "must be true or false"),
        ("contact.age == 1 && contact.member == 1", 35, "`==` cannot be applied to bool, int"),
        ("contact.tier == 3", 13, "`==` cannot be applied to string, int"),
        ("contact.age +", 13, "incomplete"),
        ("contact.age > 1)", 15, "syntax error"),
        ('contact.tier == "golden"', 16, "declared values of contact.tier"),
        ('contact.tier in ["gold", "golden"]', 25, "declared values of contact.tier"),
        ('"golden" != contact.tier', 0, "declared values of contact.tier"),
        ("contact.tier ==", 15, ""),
        ("contact.tier in", 15, ""),
        ('"a" + "b" == "ab"', 4, "`+` cannot be applied to string, string"),
        ("[1] + [2] == [1, 2]", 4, "`+` cannot be applied"),
        ('contact.campaign.matches("(")', 25, "not a regular expression"),
        ("contact.campaign.matches(contact.tier)", 17, "literal pattern"),
        ('contact.campaign.matches("a{500}")', 25, "at most 100 times"),
        ("now() > 1", 0, "unknown function"),
        ("has(contact.tier)", 0, "unknown function"),
        ("[1].map(a, a) == [1]", 4, "unknown function"),
        ("dyn(contact.age) == 1", 0, "unknown function"),
        ("[1].exists(a, [2].exists(b, a == b))", 18, "nested"),
        ("{1: 2} == {1: 2}", 0, "maps and messages"),
        ("contact.age == 99999999999999999999", 15, "64 bits"),
        ("`contact.age` == 1", 0, "character not allowed"),
        ('contact.campaign == "abc', 20, "unterminated string"),
        ("contact.age == 1\x00", 16, "character not allowed"),
        ("", 0, "is required"),
        ("  // nothing", 12, "incomplete"),
        ("(" * 17 + "true" + ")" * 17, 16, "deeper than 16"),
        ("contact.age" + "+1" * 120 + " > 0", 0, "in a row"),
        ("!" * 301 + "true", 300, "more than 300 tokens"),
        (" " * 1_001, 0, "longer than 1,000"),
    ],
)  # fmt: skip
def test_an_error_has_its_offset(text: str, offset: int, words: str) -> None:
    found, message = error_in(text)
    assert words in message
    assert found == offset


def test_agents_when_uses_no_facts_of_contacts_or_queues() -> None:
    scope = agent_scope(POLICY)
    assert compile_expression("agent.desk > 2 || !known.desk", scope).names == ("agent.desk", "known.desk")
    for text in ('contact.tier == "gold"', "queues.support.waiting > 1", 'channel == "voice"'):
        assert "agent.FACT, customer.FACT, known.FACT" in error_in(text, scope)[1]


def test_no_error_repeats_a_value() -> None:
    for text in (
        'contact.tier == "Jane Doe"',
        'contact.campaign == "jane@example.org',
        "contact.age == 1 Jane",
        "Jane.Doe == 1",
        'jane("Doe")',
        "contact.JaneDoe == 1",
    ):
        assert "jane" not in error_in(text)[1].lower()


HOSTILE = [
    "+".join(["contact.age"] * 20_000) + " > 0",
    "&&".join(["true"] * 200),
    "(" * 5_000 + "true" + ")" * 5_000,
    "!" * 290 + "true",
    "true" + "?true:true" * 60,
    "-" * 290 + "1 > 0",
    'contact.campaign.matches("' + "(a*)*" * 24 + '")',
    'contact.campaign.matches("((((a{100}){100}){100}){100})")',
    "[" + ",".join("1" for _ in range(140)) + "].exists(a, a * a == contact.age)",
    '["aaaaaaaaaa"].exists(a, [a + a + a].exists(b, [b + b + b].exists(c, c == a)))',
    "[[1,1,1,1],[1,1,1,1]].all(a, a.all(b, b == 1))",
    "\ud800",
    "contact." * 100 + "age",
    "f(" * 300 + ")" * 300,
    "/*" * 400,
    "'" * 999,
    '"""' * 333,
    "\\" * 999,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_refused_or_evaluated_quickly(text: str) -> None:
    began = time.process_time()
    try:
        compile_expression(text, contact_scope(POLICY)).evaluate(VALUES)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
    assert time.process_time() - began < 0.5


def test_a_text_at_the_length_limit_is_accepted() -> None:
    text = "contact.age > 1 //".ljust(EXPRESSION_LENGTH_MAX, "x")
    assert evaluate(text) is True


@pytest.mark.parametrize(
    "text",
    [
        'contact.tier == "gold" && !(contact.age < 3) || channel != "chat"',
        "contact.age / 7 - -3 * 2 == 11",
        "-contact.age / 7 == -5",
        "100 / (contact.age - 40) > 1 || contact.member",
        "100 / (contact.age - 40) > 1 && contact.member",
        'contact.tier in ["silver"] || queues.support.waiting >= 21',
    ],
)
def test_the_reference_evaluator_agrees(text: str) -> None:
    for without in ("", "contact.tier", "contact.age", "contact.member"):
        facts = {name: value for name, value in VALUES.items() if name != without}
        assert evaluate(text, without) is holds(text, facts.get)
