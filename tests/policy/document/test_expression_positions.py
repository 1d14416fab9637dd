"""Positions of errors in expressions of a policy document, for every style of YAML scalar."""

import pytest

from router.model.errors import PolicyInvalid
from router.policy.document.parsing import parse_policy

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
    ("when", "position"),
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
def test_an_error_in_an_expression_has_its_line_and_column(when: str, position: str) -> None:
    assert problems(HEAD + when) == [f"{position} entry[0].when"]


def test_an_error_in_json_has_its_position() -> None:
    text = (
        '{"channels": {"voice": {}}, "queues": {"support": {}},\n'
        ' "entry": [{"name": "a", "queue": "support",\n'
        '            "when": "channel == \\"voice\\" && foo"}]}'
    )
    assert problems(text) == ["3:46 entry[0].when"]


def test_agents_when_of_a_queue_is_checked() -> None:
    text = HEAD.replace("vip: {}", "vip: {agents_when: agent.dask > 2}")
    assert problems(text) == ["2:42 queues.vip.agents_when"]
    assert problems(text.replace("dask", "desk")) == []


def test_conditions_in_a_mapping_are_checked() -> None:
    assert problems(HEAD + "    when: {channel: voice, chanel: chat}\n") == ["7:28 entry[0].when.chanel"]
    assert problems(HEAD + "    when: 3\n") == ["7:11 entry[0].when"]
    assert problems(HEAD + "    when: ''\n") == ["7:11 entry[0].when"]


def test_an_invalid_rule_does_not_hide_errors_of_others() -> None:
    text = HEAD + "    when: {chanel: chat}\n  - {name: b, when: 'foo', queue: vip}\n"
    assert problems(text) == ["7:12 entry[0].when.chanel", "8:22 entry[1].when"]


def test_expressions_are_not_checked_while_a_fact_is_invalid() -> None:
    text = HEAD.replace("type: enum", "type: enumm") + "    when: contact.tier == 3\n"
    assert problems(text) == ["3:22 facts.tier.type"]
