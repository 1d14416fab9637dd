"""Expressions in a policy document: each problem at its line and column, whatever way the text is written."""

import pytest

from router.model.errors import ExpressionProblem, PolicyInvalid
from router.model.policy import EntryRule, FactPolicy, FactType
from router.policy.checks.consistency import policy_problems
from router.policy.document.parsing import parse_policy
from router.policy.entry_rules import unreachable_rules
from tests.support.builders import a_policy, a_queue

HEAD = """\
channels: {voice: {}}
queues: {support: {}, vip: {}}
facts: {tier: {type: enum, values: [gold, silver]}, desk: {type: int, applies_to: agent}}
entry:
  - name: gold
    queue: vip
"""


def problems(text: str) -> list[str]:
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        return [f"{one.line}:{one.column} {one.path}" for one in error.problems]
    return []


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ('    when: contact.tire == "gold"\n', "7:11"),
        ('    when: contact.tier == "gold" && foo\n', "7:37"),
        ("    when: 'contact.tier == ''gold'' && foo'\n", "7:40"),
        ('    when: "contact.tier == \\"gold\\" && foo"\n', "7:40"),
        ('    when: |\n      contact.tier == "gold"\n        && foo\n', "9:12"),
        ('    when: |-\n\n      contact.tier == "gold"\n\n      && foo\n', "11:10"),
        ('    when: >-\n      contact.tier == "gold"\n      && foo\n', "9:10"),
        ('    when: contact.tier == "gold"\n          && foo\n', "8:14"),
        ('    when: contact.tier == "gold" &&\n', "7:36"),
        ('    when: contact.tier == "gold" && 3\n', "7:34"),
    ],
)
def test_an_expression_is_wrong_at_a_place_of_the_document(when: str, place: str) -> None:
    assert problems(HEAD + when) == [f"{place} entry[0].when"]


def test_json_has_places_too() -> None:
    text = (
        '{"channels": {"voice": {}}, "queues": {"support": {}},\n'
        ' "entry": [{"name": "a", "queue": "support",\n'
        '            "when": "channel == \\"voice\\" && foo"}]}'
    )
    assert problems(text) == ["3:46 entry[0].when"]


def test_a_queues_condition_on_agents_is_checked() -> None:
    text = HEAD.replace("vip: {}", "vip: {agents_when: agent.dask > 2}")
    assert problems(text) == ["2:42 queues.vip.agents_when"]
    assert problems(text.replace("dask", "desk")) == []


def test_a_mapping_is_still_walked_into() -> None:
    assert problems(HEAD + "    when: {channel: voice, chanel: chat}\n") == [
        "7:28 entry[0].when.chanel"
    ]
    assert problems(HEAD + "    when: 3\n") == ["7:11 entry[0].when"]
    assert problems(HEAD + "    when: ''\n") == ["7:11 entry[0].when"]


def test_a_rule_that_cannot_be_read_hides_no_other() -> None:
    text = HEAD + "    when: {chanel: chat}\n  - {name: b, when: 'foo', queue: vip}\n"
    assert problems(text) == ["7:12 entry[0].when.chanel", "8:22 entry[1].when"]


def test_where_a_fact_is_wrong_expressions_wait_for_it() -> None:
    text = HEAD.replace("type: enum", "type: enumm") + "    when: contact.tier == 3\n"
    assert problems(text) == ["3:22 facts.tier.type"]


def test_without_a_document_the_place_is_that_in_the_expression() -> None:
    policy = a_policy(entry=(EntryRule(name="a", when="true &&\n foo", queue="support"),))
    (problem,) = policy_problems(policy)
    assert isinstance(problem, ExpressionProblem)
    assert (problem.expression_line, problem.expression_column) == (2, 2)


def rules(*texts: str) -> tuple[EntryRule, ...]:
    return tuple(
        EntryRule(name=f"r{place}", when=text, queue="support") for place, text in enumerate(texts)
    )


def test_the_same_text_twice_is_never_reached_the_second_time() -> None:
    entry = rules('channel == "voice"', 'channel=="voice" // again', "channel == 'voice'")
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == ["entry[1].when"]


def test_true_takes_everything_from_those_behind_it() -> None:
    entry = rules(" true ", 'channel == "voice"')
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == ["entry[1].when"]
    entry = (
        *rules('channel == "chat"'),
        EntryRule(name="all", queue="support"),
        *rules("true")[:1],
    )
    assert [one.path for one in policy_problems(a_policy(entry=entry))] == [
        "entry[2].name",
        "entry[2].when",
    ]


def test_an_expression_covers_nothing_but_itself() -> None:
    entry = rules('channel == "voice"', 'channel == "chat"', "false")
    assert list(unreachable_rules(a_policy(entry=entry))) == []


def test_there_are_not_too_many_expressions() -> None:
    facts = {"n": FactPolicy(type=FactType.INT)}
    entry = rules(*(f"contact.n == {number}" for number in range(200)))
    assert policy_problems(a_policy(entry=entry, facts=facts)) == []
    queues = {"support": a_queue(agents_when="true")}
    (problem,) = policy_problems(a_policy(entry=entry, facts=facts, queues=queues))
    assert (problem.path, problem.message) == ("entry", "more than 200 expressions in the policy")
