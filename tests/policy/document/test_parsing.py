"""Policy documents: what is read, what is refused, and that every error is named at its place."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.errors import PROBLEM_COUNT_MAX, PolicyInvalid, Problem
from router.model.policy import Policy, Selection
from router.policy.document.nodes import DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX
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


def test_the_example_is_a_policy_without_advice() -> None:
    policy, advice = parse_policy_with_advice(EXAMPLE.read_bytes())
    assert len(policy.queues) == 7
    assert policy.queues["overflow_pool"].broadcast == 3
    assert policy.queues["general"].rona.return_after_s == 60
    assert advice == []


def test_json_is_read_like_yaml() -> None:
    policy, _ = parse_policy_with_advice(EXAMPLE.read_text())
    assert parse_policy(msgspec.json.encode(policy)) == policy


def test_json_indented_with_tabs_is_read() -> None:
    assert parse_policy('{\n\t"channels": {"voice": {}},\n\t"queues": {"support": {}}\n}').channels


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_policy(b"\xef\xbb\xbf" + SMALL.encode()).queues


def test_no_and_off_are_text_and_not_false() -> None:
    policy = parse_policy(SMALL + "facts: {answer: {type: enum, values: [no, off, yes]}}\n")
    assert policy.facts["answer"].values == ("no", "off", "yes")


def test_a_quoted_number_is_text() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues: {support: {wait_max_s: '60'}}")
    assert (problem.path, problem.line, problem.column) == ("queues.support.wait_max_s", 2, 32)


def test_all_errors_of_a_document_are_found_in_one_round() -> None:
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


def test_problems_come_in_the_order_of_the_text() -> None:
    lines = [p.line for p in problems_of("queues: {a: {x: 1}, b: 7}\nchannels: 3\nskills: 4")]
    assert lines == sorted(lines)


def test_an_unknown_key_is_named_with_its_place_and_the_known_ones() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues:\n  support:\n    wait_max: 60\n")
    assert (problem.path, problem.line, problem.column) == ("queues.support.wait_max", 4, 5)
    assert "wait_max_s" in problem.message


def test_an_enum_lists_what_it_may_be() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues: {a: {selection: best}}")
    assert problem.message == "must be one of " + ", ".join(Selection)


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("skills: [Big]", "skills[0]", "must be a name: "),
        ("dispositions: ['a b']", "dispositions[0]", "must be an id: "),
        (
            "facts: {f: {type: bool, applies_to: queue}}",
            "facts.f.applies_to",
            "must be one of contact, agent",
        ),
        ("skills: {a: 1}", "skills", "must be a list"),
        ("agents: 3", "agents", "must be a mapping"),
        ("agents: {units: 1.5}", "agents.units", "expected int, got float"),
        ("agents: {units: true}", "agents.units", "expected int, got bool"),
        ("entry: [7]", "entry[0]", "must be a mapping"),
        ("facts: {f: {}}", "facts.f.type", "is missing"),
    ],
)
def test_a_message_says_what_would_be_right(line: str, path: str, message: str) -> None:
    problem = only_problem_of(SMALL + line)
    assert (problem.path, problem.line) == (path, 3)
    assert problem.message.startswith(message)


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


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: &x 1\nb: *x", "a", "anchors are not allowed: write the value out"),
        ("a: !!python/object:os.system x", "a", "tags are not allowed"),
        ("a: 1\na: 2", "a", "duplicate key"),
        ("a: .nan", "a", "not a finite number"),
        ("a: -.inf", "a", "not a finite number"),
        ("a: 1e999", "a", "not a finite number"),
        ("a: 111111111111111111111", "a", "a number of more than 20 characters"),
        ("a: 1\n---\nb: 1", "", "more than one document"),
        ("? [a]\n: 1", "", "a key must be text"),
    ],
)
def test_what_has_no_place_in_a_policy_is_refused(text: str, path: str, message: str) -> None:
    found = [(problem.path, problem.message) for problem in problems_of(text)]
    assert (path, message) in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n# nothing\n",
        "a: [",
        "\x00",
        "a:\n\t- b",
        "\ud800",
        b"\xff\xfe",
        "%",
        "*",
        "- *x: 1",
        "7",
    ],
)
def test_what_is_no_document_is_refused(text: str | bytes) -> None:
    assert problems_of(text)


def test_a_document_beyond_the_size_limit_is_refused() -> None:
    assert only_problem_of("#" * (DOCUMENT_BYTES_MAX + 1)).message.startswith("larger than")
    assert parse_policy(SMALL + "#" * (DOCUMENT_BYTES_MAX - len(SMALL))).queues


def test_nesting_is_limited() -> None:
    deep = problems_of("[" * (DOCUMENT_DEPTH_MAX + 1) + "]" * (DOCUMENT_DEPTH_MAX + 1))
    assert deep[-1].message == f"nested deeper than {DOCUMENT_DEPTH_MAX} levels"
    assert problems_of("[" * 500_000)


def test_an_alias_bomb_is_refused_at_the_size_of_its_text() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghi"
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
    assert any("aliases" in problem.message for problem in problems_of("\n".join(lines)))


def test_the_list_of_problems_is_bounded() -> None:
    queues = "".join(f"  q{n}: {{selection: 1, x: 2}}\n" for n in range(PROBLEM_COUNT_MAX))
    assert len(problems_of("channels: {voice: {}}\nqueues:\n" + queues)) == PROBLEM_COUNT_MAX


def test_limits_on_a_whole_are_found_when_its_parts_are_good() -> None:
    channels = ", ".join(f"c{n}: {{}}" for n in range(33))
    problem = only_problem_of(f"channels: {{{channels}}}\nqueues: {{a: {{}}}}")
    assert (problem.path, problem.line) == ("channels", 1)
    assert {p.path for p in problems_of("channels: {}\nqueues: {}")} == {"channels", "queues"}


def test_what_follows_from_a_known_problem_is_not_reported_beside_it() -> None:
    text = "channels: 7\nqueues: {a: {wrap_up_s: {voice: 5}}}"
    assert only_problem_of(text).path == "channels"
    text = "channels: {voice: 7}\nqueues: {a: {wrap_up_s: {voice: 5}}}"
    assert only_problem_of(text).path == "channels.voice"


def test_advice_has_its_line() -> None:
    policy, advice = parse_policy_with_advice(
        SMALL + "agents:\n  units: 10\ndefault_queue: support\n"
    )
    assert isinstance(policy, Policy)
    assert [(one.path, one.line) for one in advice] == [("channels.voice.units", 1)]


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)))
def test_arbitrary_text_is_a_policy_or_invalid_and_nothing_else(text: str | bytes) -> None:
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems


WORDS = """channels queues skills facts entry voice a name queue when attributes type enum values overflow_to requires
selection rona agents default_queue"""
_words = st.sampled_from(WORDS.split())
_scalars = st.one_of(
    _words, st.integers(), st.booleans(), st.none(), st.floats(), st.text(max_size=5)
)
_trees = st.recursive(
    _scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(_words, below, max_size=6),
    max_leaves=30,
)


@settings(max_examples=300)
@given(st.dictionaries(_words, _trees, max_size=8))
def test_arbitrary_trees_are_policies_or_invalid_and_nothing_else(tree: dict[str, object]) -> None:
    text = msgspec.json.encode(tree)
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


_KEY_CHARACTERS = st.sampled_from("{}[]:,-*&!|>'\"#%@`? \n\tabtruenull0123.")


@settings(max_examples=300)
@given(st.text(_KEY_CHARACTERS, max_size=120))
def test_punctuation_of_yaml_is_a_policy_or_invalid_and_nothing_else(text: str) -> None:
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems


def test_a_word_that_is_no_choice_is_named_at_its_place_within_an_optional_part() -> None:
    text = "channels: {voice: {}}\nqueues: {support: {callback: {mode: sometimes, ring_timeout_s: x}}}\n"
    first, second = problems_of(text)
    assert (first.path, first.line) == ("queues.support.callback.mode", 2)
    assert first.message == "must be one of agent_first, customer_first"
    assert second.path == "queues.support.callback.ring_timeout_s"


def test_null_stands_for_what_may_be_left_out() -> None:
    policy = parse_policy("channels: {voice: {}}\nqueues: {support: {callback: null}}\n")
    assert policy.queues["support"].callback is None
