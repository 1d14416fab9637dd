"""Rule expressions in CEL: compilation with checks and limits, evaluation to true, false or "failed".

Only the policy package may import ``cel_expr_python``. The tokenizer restricts the syntax; the environment here also excludes
concatenation of strings and lists and the macros ``map``, ``filter`` and ``has``, because the library limits the time of an
evaluation but not its memory. An expression has no access to a clock, to random numbers or to functions of the router, so
equal facts give equal results.
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
# Compiled expressions by text and variable types. A published document is compiled three times: by the API, by the engine's
# check and by the policy in force.
_COMPILED_MAX: Final = 4_096
_compiled: dict[tuple[str, tuple[Variable, ...]], "Program"] = {}


class Program:
    """A compiled expression and the variables that it uses."""

    __slots__ = ("_expression", "names", "text", "variables")

    def __init__(
        self, text: str, variables: tuple[Variable, ...], expression: cel.Expression | None
    ) -> None:
        self.text = text
        self.variables = variables
        self.names = tuple(variable.text for variable in variables)
        self._expression = expression

    def holds(self, values: Mapping[str, FactValue]) -> bool | None:
        """Evaluate the expression; None: it failed (a missing fact, an integer overflow, a division by zero, …)."""
        if self._expression is None:
            return None
        try:
            outcome = self._expression.eval(data=values).value()
        except RuntimeError:
            return None
        return outcome if isinstance(outcome, bool) else None


def compile_expression(text: str, scope: Scope) -> Program:
    """Compile an expression.

    Raises:
        ExpressionError: The first error in the text.
    """
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
    """Compile an expression of a published policy, which an older version of the router may have checked.

    An expression that this version would refuse fails on every evaluation instead, so that older journals can be read and no
    contact is lost.
    """
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
        raise ExpressionError(0, "the expression must be true or false")
    return expression


def _check_patterns(found: Sequence[Token]) -> None:
    """Check that the patterns of ``matches`` are valid regular expressions, which would otherwise fail on every evaluation."""
    for call, _, pattern in zip(found, found[1:], found[2:], strict=False):
        if call.kind == "call" and call.text == "matches":
            try:
                probe = _environment(()).compile(f'"".matches({pattern.text})')
                outcome = probe.eval(data={}).value()
            except RuntimeError:
                continue  # Not a string; compiling the whole expression reports it.
            if not isinstance(outcome, bool):
                raise ExpressionError(pattern.offset, "not a regular expression (RE2)")


def _translated(text: str, message: str) -> ExpressionError:
    """Convert the library's first error to a message of our own: the library's texts repeat the expression."""
    places = _PLACE.findall(message)
    if "recursion" in message or not places:
        return ExpressionError(
            0, "nested too deeply, or too many terms in a row: group them with brackets"
        )
    line, column, complaint = places[0]
    offset = _offset(text, int(line), int(column))
    overload = _OVERLOAD.search(complaint)
    if overload is not None:
        name, kinds = overload.groups()
        operator = _OPERATORS.get(name, name.strip("_"))
        return ExpressionError(offset, f"`{operator}` cannot be applied to {kinds}")
    if "undeclared reference" in complaint:
        return ExpressionError(offset, "unknown name")
    if "int literal" in complaint:
        return ExpressionError(offset, "a number must fit into 64 bits")
    if "<EOF>" in complaint.partition("expecting")[0]:
        return ExpressionError(offset, "the expression is incomplete")
    return ExpressionError(offset, "syntax error")


def _offset(text: str, line: int, column: int) -> int:
    before = sum(len(one) + 1 for one in text.split("\n")[: max(0, line - 1)])
    return min(len(text), before + max(0, column - 1))
