"""The interface of the CEL library, tried with a second implementation: what leaving the first one would take.

The cases are those of ``test_expressions.py``. The second library (``common-expression-language``, in Rust) checks no types and
knows no excluded functions before an evaluation: the tests say where it differs.
"""

from collections.abc import Mapping
from typing import Any

import cel
import pytest

from router.model.policy import FactValue
from router.policy.cel_library import CelProgram, VariableType, check_pattern, compile_program
from router.policy.expression_tokens import ExpressionError, tokenize
from router.policy.expressions import contact_scope
from tests.policy import test_expressions as cases


def cases_of(test: str) -> list[Any]:
    """Return the parameters of a test of the expressions."""
    return list(getattr(cases, test).pytestmark[0].args[1])


TRUE_OR_FALSE = [case[0] for case in cases_of("test_an_expression_is_true_or_false")]
FAILING = cases_of("test_a_failure_at_run_time_is_none")


class SecondProgram:
    """A program of the second library behind the interface of the first."""

    def __init__(self, text: str) -> None:
        self._program = cel.compile(text)

    def evaluate(self, values: Mapping[str, FactValue]) -> bool | None:
        nested: dict[str, Any] = {}
        for name, value in values.items():
            *path, last = name.split(".")
            node = nested
            for part in path:
                node = node.setdefault(part, {})
            node[last] = value
        try:
            outcome = self._program.execute(nested)
        except Exception:
            return None
        return outcome if isinstance(outcome, bool) else None


def both(text: str) -> tuple[CelProgram, CelProgram]:
    return compile_program(text, contact_scope(cases.POLICY).variables(tokenize(text))), SecondProgram(text)


@pytest.mark.parametrize("text", [*TRUE_OR_FALSE, *FAILING])
def test_a_second_library_has_the_same_outcomes(text: str) -> None:
    first, second = both(text)
    assert second.evaluate(cases.VALUES) is first.evaluate(cases.VALUES)


@pytest.mark.parametrize("missing", sorted(cases.VALUES))
def test_both_agree_about_missing_facts(missing: str) -> None:
    values = {name: value for name, value in cases.VALUES.items() if name != missing}
    for text in (*TRUE_OR_FALSE, 'contact.member || contact.tier == "gold"', 'contact.age < 9 && contact.tier == "gold"'):
        first, second = both(text)
        assert second.evaluate(values) is first.evaluate(values), text


def test_only_the_first_library_checks_types_when_a_policy_is_published() -> None:
    """The router would have to check the types of its subset itself."""
    text = 'contact.age == "forty"'
    with pytest.raises(ExpressionError):
        compile_program(text, contact_scope(cases.POLICY).variables(tokenize(text)))
    assert SecondProgram(text).evaluate(cases.VALUES) in (False, None)


def test_patterns_are_checked_when_a_policy_is_published() -> None:
    assert check_pattern('"^a+$"')
    assert not check_pattern('"("')
    assert check_pattern("1")  # Not a string: compiling the whole expression reports it.


def test_every_type_of_a_variable_is_known_to_the_library() -> None:
    assert {kind.value for kind in VariableType} == {"bool", "int", "string"}
