"""Syntax of policy documents: accepted YAML and JSON, refused features and limits."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.errors import PolicyInvalid, Problem
from router.policy.document.nodes import DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX
from router.policy.document.parsing import parse_policy

SMALL = "channels: {voice: {}}\nqueues: {support: {}}\n"


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text)
    return list(caught.value.problems)


def only_problem_of(text: str | bytes) -> Problem:
    (problem,) = problems_of(text)
    return problem


def test_no_and_off_are_text() -> None:
    policy = parse_policy(SMALL + "facts: {answer: {type: enum, values: [no, off, yes]}}\n")
    assert policy.facts["answer"].values == ("no", "off", "yes")


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse_policy(b"\xef\xbb\xbf" + SMALL.encode()).queues


def test_json_may_be_indented_with_tabs() -> None:
    assert parse_policy('{\n\t"channels": {"voice": {}},\n\t"queues": {"support": {}}\n}').channels


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
def test_disallowed_yaml_is_refused(text: str, path: str, message: str) -> None:
    found = [(problem.path, problem.message) for problem in problems_of(text)]
    assert (path, message) in found


@pytest.mark.parametrize(
    "text", ["", "  \n# nothing\n", "a: [", "\x00", "a:\n\t- b", "\ud800", b"\xff\xfe", "%", "*", "- *x: 1", "7"]
)
def test_malformed_text_is_refused(text: str | bytes) -> None:
    assert problems_of(text)


def test_a_document_beyond_the_size_limit_is_refused() -> None:
    assert only_problem_of("#" * (DOCUMENT_BYTES_MAX + 1)).message.startswith("larger than")
    assert parse_policy(SMALL + "#" * (DOCUMENT_BYTES_MAX - len(SMALL))).queues


def test_the_depth_is_limited() -> None:
    deep = problems_of("[" * (DOCUMENT_DEPTH_MAX + 1) + "]" * (DOCUMENT_DEPTH_MAX + 1))
    assert deep[-1].message == f"nested deeper than {DOCUMENT_DEPTH_MAX} levels"
    assert problems_of("[" * 500_000)


def test_aliases_are_refused_without_expanding_them() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghi"
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(names)]
    assert any("aliases" in problem.message for problem in problems_of("\n".join(lines)))


_KEY_CHARACTERS = st.sampled_from("{}[]:,-*&!|>'\"#%@`? \n\tabtruenull0123.")


@settings(max_examples=300)
@given(st.text(_KEY_CHARACTERS, max_size=120))
def test_any_yaml_punctuation_is_a_policy_or_invalid(text: str) -> None:
    try:
        parse_policy(text)
    except PolicyInvalid as error:
        assert error.problems
