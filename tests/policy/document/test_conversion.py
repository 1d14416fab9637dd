"""Conversion of documents: types, ranges and unknown keys, with positions."""

import pytest

from router.model.errors import PolicyInvalid, Problem
from router.model.policy import Selection
from router.policy.document.parsing import parse_policy

SMALL = "channels: {voice: {}}\nqueues: {support: {}}\n"


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(text)
    return list(caught.value.problems)


def only_problem_of(text: str | bytes) -> Problem:
    (problem,) = problems_of(text)
    return problem


def test_a_quoted_number_is_not_a_number() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues: {support: {wait_max_s: '60'}}")
    assert (problem.path, problem.line, problem.column) == ("queues.support.wait_max_s", 2, 32)


def test_an_unknown_key_is_reported_with_the_known_keys() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues:\n  support:\n    wait_max: 60\n")
    assert (problem.path, problem.line, problem.column) == ("queues.support.wait_max", 4, 5)
    assert "wait_max_s" in problem.message


def test_the_message_of_an_enum_lists_its_values() -> None:
    problem = only_problem_of("channels: {voice: {}}\nqueues: {a: {selection: best}}")
    assert problem.message == "must be one of " + ", ".join(Selection)


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        ("skills: [Big]", "skills[0]", "must be a name: "),
        ("dispositions: ['a b']", "dispositions[0]", "must be an id: "),
        ("facts: {f: {type: bool, applies_to: queue}}", "facts.f.applies_to", "must be one of contact, agent, customer"),
        ("skills: {a: 1}", "skills", "must be a list"),
        ("agents: 3", "agents", "must be a mapping"),
        ("agents: {units: 1.5}", "agents.units", "must be an integer from 0 to 100,000"),
        ("agents: {units: true}", "agents.units", "must be an integer from 0 to 100,000"),
        ("agents: {units: 100001}", "agents.units", "must be an integer from 0 to 100,000"),
        ("agents: {units: -1}", "agents.units", "must be an integer from 0 to 100,000"),
        ("entry: [7]", "entry[0]", "must be a mapping"),
        ("facts: {f: {}}", "facts.f.type", "is missing"),
    ],
)
def test_a_message_says_what_is_valid(line: str, path: str, message: str) -> None:
    problem = only_problem_of(SMALL + line)
    assert (problem.path, problem.line) == (path, 3)
    assert problem.message.startswith(message)


def test_constraints_on_a_whole_are_checked_if_its_parts_are_valid() -> None:
    channels = ", ".join(f"c{n}: {{}}" for n in range(33))
    problem = only_problem_of(f"channels: {{{channels}}}\nqueues: {{a: {{}}}}")
    assert (problem.path, problem.line) == ("channels", 1)
    assert {p.path for p in problems_of("channels: {}\nqueues: {}")} == {"channels", "queues"}


def test_an_invalid_enum_value_within_an_optional_struct_is_reported() -> None:
    text = "channels: {voice: {}}\nqueues: {support: {callback: {mode: sometimes, ring_timeout_s: x}}}\n"
    first, second = problems_of(text)
    assert (first.path, first.line) == ("queues.support.callback.mode", 2)
    assert first.message == "must be one of agent_first, customer_first"
    assert second.path == "queues.support.callback.ring_timeout_s"


def test_null_is_an_omitted_value() -> None:
    policy = parse_policy("channels: {voice: {}}\nqueues: {support: {callback: null}}\n")
    assert policy.queues["support"].callback is None


@pytest.mark.parametrize("number", ["60.0", "6e1", "+60.0"])
def test_a_number_without_a_fraction_is_an_integer(number: str) -> None:
    assert parse_policy(SMALL.replace("{support: {}}", f"{{support: {{wait_max_s: {number}}}}}")).queues["support"].wait_max_s == 60


def test_a_fraction_is_not_an_integer() -> None:
    problem = only_problem_of(SMALL.replace("{support: {}}", "{support: {wait_max_s: 60.5}}"))
    assert (problem.path, problem.message) == ("queues.support.wait_max_s", "must be an integer from 1 to 604,800, or null")
