"""The one door to the CEL library: texts to programs, checked and bounded, and programs to true, false or "failed".

Only ``rules/`` may import ``cel_expr_python``. The environment is narrowed once more here: no joining of texts and lists, no
``map``, ``filter`` or ``has``. A program has no clock, no chance and no function of ours: the same facts give the same outcome.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

from cel_expr_python import cel

from router.model.policy import FactValue
from router.rules.tokens import ExpressionError, Token, tokens
from router.rules.variables import Kind, Scope, Variable, codes_not_declared

_NARROWED: Final = """
stdlib:
  exclude_macros: [has, map, filter]
  exclude_functions:
    - name: "_+_"
      overloads: [{id: add_string}, {id: add_list}, {id: add_bytes}]
"""
_TYPES: Final = {Kind.BOOL: cel.Type.BOOL, Kind.INT: cel.Type.INT, Kind.STRING: cel.Type.STRING}
_PLACE: Final = re.compile(r"<input>:(-?[0-9]+):(-?[0-9]+): ([^\n]*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_OPERATORS: Final = {"@in": "in", "_?_:_": "? :", "_[_]": "[ ]"}
# Compiled programs by text and types: a document is checked at the door, once more by the core, and then put in force.
_COMPILED_MAX: Final = 4_096
_compiled: dict[tuple[str, tuple[Variable, ...]], "Program"] = {}


class Program:
    """An expression that has passed: which facts it asks for, and what it says to their values."""

    __slots__ = ("_expression", "names", "text", "variables")

    def __init__(
        self, text: str, variables: tuple[Variable, ...], expression: cel.Expression | None
    ) -> None:
        self.text = text
        self.variables = variables
        self.names = tuple(variable.text for variable in variables)
        self._expression = expression

    def holds(self, values: Mapping[str, FactValue]) -> bool | None:
        """True or false; None: it failed, by a fact without a value, an overflow, a division by zero and the like."""
        if self._expression is None:
            return None
        try:
            outcome = self._expression.eval(data=values).value()
        except RuntimeError:
            return None
        return outcome if isinstance(outcome, bool) else None


def compile_expression(text: str, scope: Scope) -> Program:
    """The program of a text. Raises ExpressionError with the first thing that is wrong."""
    found = tokens(text)
    variables = scope.variables(found)
    for error in codes_not_declared(scope, found):
        raise error
    key = (text, variables)
    program = _compiled.get(key)
    if program is None:
        _check_patterns(found)
        program = Program(text, variables, _compile(text, variables))
        if len(_compiled) >= _COMPILED_MAX:
            _compiled.clear()
        _compiled[key] = program
    return program


def program_of(text: str, scope: Scope) -> Program:
    """The program of a text in a policy that is in force. It was checked when it was published, perhaps by an older version:
    what would be refused today fails whenever it is asked, so that an old journal can be read and no contact is lost."""
    try:
        return compile_expression(text, scope)
    except ExpressionError:
        return Program(text, (), None)


@cache
def _narrowed() -> cel.EnvConfig:
    return cel.NewEnvConfigFromYaml(_NARROWED)


def _environment(variables: Iterable[Variable]) -> cel.Env:
    return cel.NewEnv(
        config=_narrowed(),
        variables={variable.text: _TYPES[variable.kind] for variable in variables},
    )


def _compile(text: str, variables: tuple[Variable, ...]) -> cel.Expression:
    try:
        expression = _environment(variables).compile(text)
    except RuntimeError as error:
        raise _translated(text, str(error)) from None
    if expression.return_type() != cel.Type.BOOL:
        raise ExpressionError(0, "a rule must be true or false")
    return expression


def _check_patterns(found: Sequence[Token]) -> None:
    """A pattern that is no regular expression fails whenever it is asked: better now."""
    for call, _, pattern in zip(found, found[1:], found[2:], strict=False):
        if call.kind == "call" and call.text == "matches":
            try:
                probe = _environment(()).compile(f'"".matches({pattern.text})')
                outcome = probe.eval(data={}).value()
            except RuntimeError:
                continue  # No text at all: the whole expression will say so.
            if not isinstance(outcome, bool):
                raise ExpressionError(pattern.offset, "not a regular expression (RE2)")


def _translated(text: str, message: str) -> ExpressionError:
    """The library's first complaint in our words: it repeats what stands there, and we do not."""
    places = _PLACE.findall(message)
    if "recursion" in message or not places:
        return ExpressionError(0, "too deep, or too many terms in a row: divide it with brackets")
    line, column, complaint = places[0]
    offset = _offset(text, int(line), int(column))
    overload = _OVERLOAD.search(complaint)
    if overload is not None:
        name, kinds = overload.groups()
        operator = _OPERATORS.get(name, name.strip("_"))
        return ExpressionError(offset, f"`{operator}` does not go with {kinds}")
    if "undeclared reference" in complaint:
        return ExpressionError(offset, "no such name")
    if "int literal" in complaint:
        return ExpressionError(offset, "a number beyond 64 bits")
    if "<EOF>" in complaint.partition("expecting")[0]:
        return ExpressionError(offset, "something is missing at the end")
    return ExpressionError(offset, "cannot be read from here on")


def _offset(text: str, line: int, column: int) -> int:
    before = sum(len(one) + 1 for one in text.split("\n")[: max(0, line - 1)])
    return min(len(text), before + max(0, column - 1))
