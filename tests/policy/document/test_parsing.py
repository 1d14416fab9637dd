"""Parsing of policy documents: all errors in one pass, with their positions."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.errors import PROBLEM_COUNT_MAX, PolicyInvalid, Problem
from router.model.policy import Policy
from router.policy.document.parsing import parse_policy, parse_policy_with_advice

EXAMPLE = Path(__file__).parents[3] / "config" / "policy.yaml"
SMALL = "channels: {voice: {}}\nqueues: {support: {}}\n"


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text)
    return list(caught.value.problems)


def only_problem_of(text: str | bytes) -> Problem:
    (problem,) = problems_of(text)
    return problem


def test_the_example_policy_has_no_advice() -> None:
    policy, advice = parse_policy_with_advice(EXAMPLE.read_bytes())
    assert len(policy.queues) == 7
    assert policy.queues["overflow_pool"].broadcast == 3
    assert policy.queues["general"].rona.return_after_s == 60
    assert advice == []


def test_json_is_parsed_like_yaml() -> None:
    policy, _ = parse_policy_with_advice(EXAMPLE.read_text())
    assert parse_policy(msgspec.json.encode(policy)) == policy


def test_all_errors_are_reported_in_one_pass() -> None:
    text = """\
channels:
  voice: {units: -1, auto_accept: yes, wrapup: 3, blocks: [chat]}
  Chat: {}
skills: [english, english]
facts:
  tier: {type: enum}
  vip: {type: boool}
queues:
  support:
    requires: {english: 11, germn: 3}
    overflow_to: sales
    selection: alphabetical
  sales:
    overflow_to: support
    wait_max_s: x
entry:
  - {name: a, queue: nowhere, when: {channel: voice, attributes: {vip: true, nope: 1}}}
  - {queue: support}
  - {name: y, queue: support}
  - {name: z, queue: support, when: {channel: voice}}
default_queue: elsewhere
agents: [1]
"""
    found = {(problem.line, problem.path) for problem in problems_of(text)}
    assert found == {
        (2, "channels.voice.units"),
        (2, "channels.voice.auto_accept"),
        (2, "channels.voice.wrapup"),
        (2, "channels.voice.blocks[0]"),
        (3, "channels.Chat"),
        (4, "skills[1]"),
        (6, "facts.tier.values"),
        (7, "facts.vip.type"),
        (10, "queues.support.requires.english"),
        (10, "queues.support.requires.germn"),
        (11, "queues.support.overflow_to"),
        (12, "queues.support.selection"),
        (15, "queues.sales.wait_max_s"),
        (17, "entry[0].queue"),
        (17, "entry[0].when.attributes.nope"),
        (18, "entry[1].name"),
        (20, "entry[3].when"),
        (21, "default_queue"),
        (22, "agents"),
    }


def test_problems_are_in_the_order_of_the_text() -> None:
    lines = [p.line for p in problems_of("queues: {a: {x: 1}, b: 7}\nchannels: 3\nskills: 4")]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    "text",
    [
        "channels: {voice: {units: hunter2}}\nqueues: {a: {selection: hunter2}}",
        "channels: {voice: {}}\nqueues: {a: {overflow_to: hunter2}}\ndefault_queue: hunter2",
        "channels: {voice: {}}\nqueues: {a: {}}\nskills: ['Hunter2 hunter2']",
        "channels: {voice: {}}\nqueues: {a: {}, hunter2 @: {}}",
        "channels: &hunter2 {voice: {}}\nqueues: {a: {}}",
        "channels: !hunter2 {voice: {}}\nqueues: {a: {}}",
        "channels: *hunter2\nqueues: {a: {}}",
    ],
)
def test_no_message_repeats_a_value(text: str) -> None:
    assert "hunter2" not in "\n".join(str(problem) for problem in problems_of(text))


def test_the_list_of_problems_is_bounded() -> None:
    queues = "".join(f"  q{n}: {{selection: 1, x: 2}}\n" for n in range(PROBLEM_COUNT_MAX))
    assert len(problems_of("channels: {voice: {}}\nqueues:\n" + queues)) == PROBLEM_COUNT_MAX


def test_consequences_of_a_problem_are_not_reported() -> None:
    text = "channels: 7\nqueues: {a: {wrap_up_s: {voice: 5}}}"
    assert only_problem_of(text).path == "channels"
    text = "channels: {voice: 7}\nqueues: {a: {wrap_up_s: {voice: 5}}}"
    assert only_problem_of(text).path == "channels.voice"


def test_advice_has_its_position() -> None:
    policy, advice = parse_policy_with_advice(SMALL + "agents:\n  units: 10\ndefault_queue: support\n")
    assert isinstance(policy, Policy)
    assert [(one.path, one.line) for one in advice] == [("channels.voice.units", 1)]


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)))
def test_any_text_is_a_policy_or_invalid(text: str | bytes) -> None:
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems


WORDS = """channels queues skills facts entry voice a name queue when attributes type enum values overflow_to requires
selection rona agents default_queue"""
_words = st.sampled_from(WORDS.split())
_scalars = st.one_of(_words, st.integers(), st.booleans(), st.none(), st.floats(), st.text(max_size=5))
_trees = st.recursive(
    _scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(_words, below, max_size=6), max_leaves=30
)


@settings(max_examples=300)
@given(st.dictionaries(_words, _trees, max_size=8))
def test_any_tree_is_a_policy_or_invalid(tree: dict[str, object]) -> None:
    text = msgspec.json.encode(tree)
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
