"""Texts of problems and exceptions."""

import pytest

from router.model.errors import PolicyInvalid, Problem


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(path="queues.a", message="m", line=3, column=7), "3:7: queues.a: m"),
        (Problem(path="queues.a", message="m"), "queues.a: m"),
        (Problem(path="", message="m", line=1, column=1), "1:1: m"),
        (Problem(path="", message="m"), "m"),
    ],
)
def test_a_problem_names_its_position(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_invalid_policy_lists_all_its_problems() -> None:
    problems = [Problem(path="a", message="x"), Problem(path="b", message="y")]
    error = PolicyInvalid(problems)
    assert str(error) == "a: x\nb: y"
    assert error.problems == tuple(problems)
