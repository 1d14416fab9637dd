"""Rule expressions in CEL: variables, compilation with checks and limits, cached evaluation.

An expression passes three stages. The tokenizer (``expression_tokens``) accepts a subset of the syntax. A ``VariableScope``
resolves its names: entry rules use facts of the contact, the customer and the queues, a queue's ``agents_when`` those of an agent
and the customer, steps of plans those of the customer; ``QUEUE_FACTS`` lists the facts of queues, whose values the engine reads
in ``engine/commands/queue_facts.py``. The CEL library then compiles it to a ``CompiledExpression``, whose evaluation yields true,
false or "failed". An ``ExpressionCache`` stores the outcomes by the values of the variables.

The library is behind ``cel_library``, which is all that another one would have to provide. An expression has no access to a
clock, to random numbers or to functions of the router, so equal facts give equal results.

Cost: an evaluation takes some microseconds; a cached outcome takes one dictionary lookup. Both caches are bounded and cleared
when they are full.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from router.model.policy import FactPolicy, FactType, FactValue, Policy
from router.policy.cel_library import CelProgram, Variable, VariableType, check_pattern, compile_program
from router.policy.expression_tokens import ExpressionError, Token, tokenize

# Cached outcomes of one expression; a full cache is cleared.
EXPRESSION_CACHE_ENTRIES_MAX: Final = 1_024


QUEUE_FACTS: Final[dict[str, VariableType]] = {
    "waiting": VariableType.INT,
    "agents_ready": VariableType.INT,
    "agents_free": VariableType.INT,
    "oldest_wait_s": VariableType.INT,
    "expected_wait_s": VariableType.INT,
    "is_open": VariableType.BOOL,
    "local_hour": VariableType.INT,
    "local_minute": VariableType.INT,
    "local_weekday": VariableType.STRING,
}
_VARIABLE_TYPES: Final = {FactType.BOOL: VariableType.BOOL, FactType.INT: VariableType.INT}
# Suggestions compare with every declared name.
_SUGGESTION_NAMES_MAX: Final = 500
_NAME_SHOWN_MAX: Final = 64
_MISSING: Final = object()


class VariableScope(Struct, frozen=True):
    """Variables available to an expression. ``root`` is ``contact``, ``agent`` or ``customer``."""

    root: str
    facts: dict[str, FactPolicy]
    """Declared facts of the root, by name."""
    queues: Collection[str]
    """Queues whose facts are available; for ``contact`` only."""
    customer_facts: dict[str, FactPolicy] = {}
    """Declared facts of customers, by name."""

    def variables(self, tokens: Sequence[Token]) -> tuple[Variable, ...]:
        """Return the variables used by the tokens, each once, sorted by text.

        Raises:
            ExpressionError: A name is not declared.
        """
        bound = _macro_variables(tokens)
        variables: dict[str, Variable] = {}
        for token in tokens:
            if token.kind == "path" and not (len(token.parts) == 1 and token.parts[0] in bound):
                variables.setdefault(token.text, self._variable(token))
        return tuple(sorted(variables.values(), key=lambda variable: variable.text))

    def _variable(self, token: Token) -> Variable:
        match token.parts:
            case [root, name] if root in (self.root, "known", "customer"):
                declared = self._declared(root)
                fact = declared.get(name)
                if fact is None:
                    raise _unknown_variable(token, "fact", root, name, declared)
                kind = VariableType.BOOL if root == "known" else _VARIABLE_TYPES.get(fact.type, VariableType.STRING)
                return Variable(root, "", name, kind, token.text)
            case ["channel"] if self.root == "contact":
                return Variable("channel", "", "channel", VariableType.STRING, token.text)
            case ["queues", queue_id, name] if self.root == "contact":
                if queue_id not in self.queues:
                    raise _unknown_variable(token, "queue", "queues", queue_id, self.queues)
                if name not in QUEUE_FACTS:
                    raise ExpressionError(token.offset, "no such fact of a queue; allowed are " + ", ".join(QUEUE_FACTS))
                return Variable("queues", queue_id, name, QUEUE_FACTS[name], token.text)
            case ["queues", queue_id] if self.root == "contact" and queue_id not in self.queues:
                raise _unknown_variable(token, "queue", "queues", queue_id, self.queues)
            case _:
                raise ExpressionError(token.offset, self._forms())

    def _declared(self, root: str) -> Mapping[str, FactPolicy]:
        """Return the facts that may follow a root. A name is declared once, so that ``known`` needs no further root."""
        if root == "known":
            return {**self.facts, **self.customer_facts}
        return self.customer_facts if root == "customer" else self.facts

    def fact_of(self, token: Token) -> FactPolicy | None:
        """Return the fact whose value a token reads, if it reads one."""
        match token.parts:
            case [root, name] if token.kind == "path" and root in (self.root, "customer"):
                return self._declared(root).get(name)
        return None

    def _forms(self) -> str:
        forms = "customer.FACT, known.FACT" if self.root == "customer" else f"{self.root}.FACT, customer.FACT, known.FACT"
        if self.root == "contact":
            forms += ", channel, queues.QUEUE.FACT"
        return f"unknown name; allowed are {forms}"


def contact_scope(policy: Policy) -> VariableScope:
    """Return the variables of entry rules."""
    return VariableScope("contact", _facts_of(policy, "contact"), policy.queues, _facts_of(policy, "customer"))


def agent_scope(policy: Policy) -> VariableScope:
    """Return the variables of a queue's ``agents_when``."""
    return VariableScope("agent", _facts_of(policy, "agent"), (), _facts_of(policy, "customer"))


def customer_scope(policy: Policy) -> VariableScope:
    """Return the variables of conditions on customers alone, in plans and ``order_by``."""
    return VariableScope("customer", {}, (), _facts_of(policy, "customer"))


def _facts_of(policy: Policy, of: str) -> dict[str, FactPolicy]:
    return {name: fact for name, fact in policy.facts.items() if fact.applies_to == of}


def _macro_variables(tokens: Sequence[Token]) -> frozenset[str]:
    """Return the names that macros bind to the items of a list: ``x`` in ``[1, 2].exists(x, x > 1)``."""
    return frozenset(
        tokens[i + 2].text
        for i, token in enumerate(tokens[:-3])
        if token.kind == "call"
        and tokens[i + 1].text == "("
        and tokens[i + 2].kind == "path"
        and len(tokens[i + 2].parts) == 1
        and tokens[i + 3].text == ","
    )


def _unknown_variable(token: Token, what: str, root: str, name: str, declared: Collection[str]) -> ExpressionError:
    """Return the error of an undeclared name. A name in lower case is repeated: it is no value."""
    shown = f": {root}.{name}" if len(name) <= _NAME_SHOWN_MAX and name.islower() else ""
    message = f"no such {what} is declared{shown}"
    if any(other.startswith(f"{name}-") for other in declared):
        return ExpressionError(token.offset, f"{message}; names with - cannot be used in expressions")
    close = get_close_matches(name, declared, n=1) if len(declared) <= _SUGGESTION_NAMES_MAX else []
    return ExpressionError(token.offset, f"{message}; there is {root}.{close[0]}" if close else message)


def undeclared_enum_values(scope: VariableScope, tokens: Sequence[Token]) -> Iterator[ExpressionError]:
    """Yield the strings that an enum is compared with although they are none of its values."""
    for i, token in enumerate(tokens):
        fact = scope.fact_of(token)
        if fact is None or fact.type is not FactType.ENUM:
            continue
        for text in _compared_literals(tokens, i):
            if "\\" not in text.text and text.text[1:-1] not in fact.values:
                yield ExpressionError(text.offset, f"must be one of the declared values of {token.text}")


def _compared_literals(tokens: Sequence[Token], i: int) -> Iterator[Token]:
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if after is not None and after.text in ("==", "!=") and i + 2 < len(tokens):
        yield from (tokens[i + 2],) if _is_plain(tokens[i + 2]) else ()
    if i >= 2 and tokens[i - 1].text in ("==", "!=") and _is_plain(tokens[i - 2]):
        yield tokens[i - 2]
    if after is not None and after.text == "in" and i + 2 < len(tokens):
        for token in tokens[i + 3 :] if tokens[i + 2].text == "[" else ():
            if token.text == "]":
                break
            if _is_plain(token):
                yield token


def _is_plain(token: Token) -> bool:
    return token.kind == "text" and token.text[0] in "\"'" and token.text[:3] not in ('"""', "'''")


# Compiled expressions by text and variable types. A published document is compiled three times: by the API, by the engine's
# check and by the active policy.
_EXPRESSION_CACHE_MAX: Final = 4_096
_expression_cache: dict[tuple[str, tuple[Variable, ...]], "CompiledExpression"] = {}


class CompiledExpression:
    """A compiled expression and the variables that it uses."""

    __slots__ = ("_program", "names", "text", "variables")

    def __init__(self, text: str, variables: tuple[Variable, ...], program: CelProgram | None) -> None:
        self.text = text
        self.variables = variables
        self.names = tuple(variable.text for variable in variables)
        self._program = program

    def evaluate(self, values: Mapping[str, FactValue]) -> bool | None:
        """Evaluate the expression; None: it failed (a missing fact, an integer overflow, a division by zero, …)."""
        return None if self._program is None else self._program.evaluate(values)


def compile_expression(text: str, scope: VariableScope) -> CompiledExpression:
    """Compile an expression.

    Raises:
        ExpressionError: The first error in the text.
    """
    tokens = tokenize(text)
    variables = scope.variables(tokens)
    for error in undeclared_enum_values(scope, tokens):
        raise error
    key = (text, variables)
    program = _expression_cache.get(key)
    if program is None:
        _compile_patterns(tokens)
        program = CompiledExpression(text, variables, compile_program(text, variables))
        if len(_expression_cache) >= _EXPRESSION_CACHE_MAX:
            _expression_cache.clear()
        _expression_cache[key] = program
    return program


def compile_leniently(text: str, scope: VariableScope) -> CompiledExpression:
    """Compile an expression of a published policy, which an older version of the router may have checked.

    An expression that this version would refuse fails on every evaluation instead, so that older journals can be read and no
    contact is lost.
    """
    try:
        return compile_expression(text, scope)
    except ExpressionError:
        return CompiledExpression(text, (), None)


def _compile_patterns(tokens: Sequence[Token]) -> None:
    """Check that the patterns of ``matches`` are valid regular expressions, which would otherwise fail on every evaluation."""
    for call, _, pattern in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if call.kind == "call" and call.text == "matches" and not check_pattern(pattern.text):
            raise ExpressionError(pattern.offset, "not a regular expression (RE2)")


class ExpressionCache:
    """Bounded cache of an expression's outcomes. A full cache is cleared, which changes no outcome.

    A fact has one type under a policy, so equal values are identical (``1`` is never compared with ``true``).
    """

    __slots__ = ("_outcomes", "expression")

    def __init__(self, expression: CompiledExpression) -> None:
        self.expression = expression
        self._outcomes: dict[tuple[FactValue | None, ...], bool | None] = {}

    def evaluate(self, value_of: Callable[[Variable], FactValue | None]) -> bool | None:
        """Return the outcome for the present values (None: the fact is missing); None: the evaluation failed."""
        program = self.expression
        values = tuple([value_of(variable) for variable in program.variables])
        outcome = self._outcomes.get(values, _MISSING)
        if outcome is _MISSING:
            if len(self._outcomes) >= EXPRESSION_CACHE_ENTRIES_MAX:
                self._outcomes.clear()
            pairs = zip(program.names, values, strict=True)
            outcome = program.evaluate({name: value for name, value in pairs if value is not None})
            self._outcomes[values] = outcome
        assert outcome is None or isinstance(outcome, bool)
        return outcome
