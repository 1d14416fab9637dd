"""The CEL library, behind the interface that rule expressions use: the exit from a young dependency.

``compile_program`` compiles an expression with checked types, ``CelProgram`` evaluates it, ``check_pattern`` checks a regular
expression. Only this module imports ``cel_expr_python``; docs/decisions/0063-keep-an-exit-from-the-cel-library.md says what
another library would have to add, and ``tests/policy/test_cel_library.py`` compares the outcomes with those of a second one.

The environment given to the library excludes the concatenation of strings and lists and the macros ``map``, ``filter`` and
``has``, because the library limits the time of an evaluation but not its memory.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Final, Protocol

from cel_expr_python import cel
from msgspec import Struct

from router.model.policy import FactValue
from router.policy.expression_tokens import ExpressionError


class VariableType(StrEnum):
    """Type of a variable in an expression."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"


class Variable(Struct, frozen=True):
    """A fact of an expression: ``contact.topic``, ``customer.tier``, ``known.tier``, ``queues.support.waiting``, ``channel``."""

    root: str
    owner: str
    """Queue of the fact; empty for other variables."""
    name: str
    type: VariableType
    text: str


class CelProgram(Protocol):
    """A compiled expression of the library."""

    def evaluate(self, values: Mapping[str, FactValue]) -> bool | None:
        """Evaluate it with the values of its variables by their text; None: it failed."""


_ENVIRONMENT_YAML: Final = """
stdlib:
  exclude_macros: [has, map, filter]
  exclude_functions:
    - name: "_+_"
      overloads: [{id: add_string}, {id: add_list}, {id: add_bytes}]
"""
_TYPES: Final = {VariableType.BOOL: cel.Type.BOOL, VariableType.INT: cel.Type.INT, VariableType.STRING: cel.Type.STRING}
_POSITION: Final = re.compile(r"<input>:(-?[0-9]+):(-?[0-9]+): ([^\n]*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_OPERATORS: Final = {"@in": "in", "_?_:_": "? :", "_[_]": "[ ]"}


class _GoogleCelProgram:
    """Program of ``cel_expr_python``."""

    __slots__ = ("_expression",)

    def __init__(self, expression: cel.Expression) -> None:
        self._expression = expression

    def evaluate(self, values: Mapping[str, FactValue]) -> bool | None:
        try:
            outcome = self._expression.eval(data=values).value()
        except RuntimeError:
            return None
        return outcome if isinstance(outcome, bool) else None


def compile_program(text: str, variables: tuple[Variable, ...]) -> CelProgram:
    """Compile an expression and check its types. Raises ExpressionError with the position of the first error."""
    return _GoogleCelProgram(_compile(text, variables))


def check_pattern(literal: str) -> bool:
    """Return whether a string literal is a valid regular expression; true for what is no string, which compiling reports."""
    try:
        probe = _environment(()).compile(f'"".matches({literal})')
        return isinstance(probe.eval(data={}).value(), bool)
    except RuntimeError:
        return True


@cache
def _environment_config() -> cel.EnvConfig:
    return cel.NewEnvConfigFromYaml(_ENVIRONMENT_YAML)


def _environment(variables: Iterable[Variable]) -> cel.Env:
    return cel.NewEnv(config=_environment_config(), variables={variable.text: _TYPES[variable.type] for variable in variables})


def _compile(text: str, variables: tuple[Variable, ...]) -> cel.Expression:
    try:
        expression = _environment(variables).compile(text)
    except RuntimeError as error:
        raise _translate_error(text, str(error)) from None
    if expression.return_type() != cel.Type.BOOL:
        raise ExpressionError(0, "the expression must be true or false")
    return expression


def _translate_error(text: str, message: str) -> ExpressionError:
    """Convert the library's first error to a message of our own: the library's texts repeat the expression."""
    positions = _POSITION.findall(message)
    if "recursion" in message or not positions:
        return ExpressionError(0, "nested too deeply, or too many terms in a row: group them with brackets")
    line, column, reason = positions[0]
    offset = _offset(text, int(line), int(column))
    overload = _OVERLOAD.search(reason)
    if overload is not None:
        name, kinds = overload.groups()
        operator = _OPERATORS.get(name, name.strip("_"))
        return ExpressionError(offset, f"`{operator}` cannot be applied to {kinds}")
    if "undeclared reference" in reason:
        return ExpressionError(offset, "unknown name")
    if "int literal" in reason:
        return ExpressionError(offset, "a number must fit into 64 bits")
    if "<EOF>" in reason.partition("expecting")[0]:
        return ExpressionError(offset, "the expression is incomplete")
    return ExpressionError(offset, "syntax error")


def _offset(text: str, line: int, column: int) -> int:
    before = sum(len(row) + 1 for row in text.split("\n")[: max(0, line - 1)])
    return min(len(text), before + max(0, column - 1))
