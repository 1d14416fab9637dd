"""Variables of rule expressions: the facts that an expression can use, and their types.

Entry rules use facts of the contact and of the queues; a queue's ``agents_when`` uses facts of an agent. ``QUEUE_FACTS`` lists
the facts of queues; the engine reads their values in ``core/queue_facts.py``.
"""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from msgspec import Struct

from router.model.policy import FactPolicy, FactType, Policy
from router.rules.tokens import ExpressionError, Token


class Kind(StrEnum):
    """Type of a variable in an expression."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"


QUEUE_FACTS: Final[dict[str, Kind]] = {
    "waiting": Kind.INT,
    "agents_ready": Kind.INT,
    "agents_free": Kind.INT,
    "oldest_wait_s": Kind.INT,
    "expected_wait_s": Kind.INT,
    "is_open": Kind.BOOL,
    "local_hour": Kind.INT,
    "local_minute": Kind.INT,
    "local_weekday": Kind.STRING,
}
_KINDS: Final = {FactType.BOOL: Kind.BOOL, FactType.INT: Kind.INT}
# Suggestions compare with every declared name.
_SUGGEST_FROM_MAX: Final = 500
_NAME_SHOWN_MAX: Final = 64


class Variable(Struct, frozen=True):
    """A fact used by an expression: ``contact.tier``, ``known.tier``, ``queues.support.waiting``, ``channel``."""

    root: str
    owner: str
    """Queue of the fact; empty for other variables."""
    name: str
    kind: Kind
    text: str


class Scope(Struct, frozen=True):
    """Variables available to an expression. ``root`` is ``contact`` or ``agent``."""

    root: str
    facts: dict[str, FactPolicy]
    """Declared facts of the root, by name."""
    queues: Collection[str]
    """Queues whose facts are available; empty for ``agent``."""

    def variables(self, found: Sequence[Token]) -> tuple[Variable, ...]:
        """Return the variables used by the tokens, each once, sorted by text.

        Raises:
            ExpressionError: A name is not declared.
        """
        bound = _bound(found)
        variables: dict[str, Variable] = {}
        for token in found:
            if token.kind == "path" and not (len(token.parts) == 1 and token.parts[0] in bound):
                variables.setdefault(token.text, self._variable(token))
        return tuple(sorted(variables.values(), key=lambda one: one.text))

    def _variable(self, token: Token) -> Variable:
        match token.parts:
            case [root, name] if root in (self.root, "known"):
                fact = self.facts.get(name)
                if fact is None:
                    raise _unknown(token, "fact", root, name, self.facts)
                kind = Kind.BOOL if root == "known" else _KINDS.get(fact.type, Kind.STRING)
                return Variable(root, "", name, kind, token.text)
            case ["channel"] if self.root == "contact":
                return Variable("channel", "", "channel", Kind.STRING, token.text)
            case ["queues", queue_id, name] if self.root == "contact":
                if queue_id not in self.queues:
                    raise _unknown(token, "queue", "queues", queue_id, self.queues)
                if name not in QUEUE_FACTS:
                    raise ExpressionError(
                        token.offset,
                        "no such fact of a queue; allowed are " + ", ".join(QUEUE_FACTS),
                    )
                return Variable("queues", queue_id, name, QUEUE_FACTS[name], token.text)
            case ["queues", queue_id] if self.root == "contact" and queue_id not in self.queues:
                raise _unknown(token, "queue", "queues", queue_id, self.queues)
            case _:
                raise ExpressionError(token.offset, self._forms())

    def _forms(self) -> str:
        forms = f"{self.root}.FACT, known.FACT"
        if self.root == "contact":
            forms += ", channel, queues.QUEUE.FACT"
        return f"unknown name; allowed are {forms}"


def contact_scope(policy: Policy) -> Scope:
    """Return the variables of entry rules."""
    return Scope("contact", _facts_of(policy, "contact"), policy.queues)


def agent_scope(policy: Policy) -> Scope:
    """Return the variables of a queue's ``agents_when``."""
    return Scope("agent", _facts_of(policy, "agent"), ())


def _facts_of(policy: Policy, of: str) -> dict[str, FactPolicy]:
    return {name: fact for name, fact in policy.facts.items() if fact.of == of}


def _bound(found: Sequence[Token]) -> frozenset[str]:
    """Return the names that macros bind to the items of a list: ``x`` in ``[1, 2].exists(x, x > 1)``."""
    return frozenset(
        found[i + 2].text
        for i, token in enumerate(found[:-3])
        if token.kind == "call"
        and found[i + 1].text == "("
        and found[i + 2].kind == "path"
        and len(found[i + 2].parts) == 1
        and found[i + 3].text == ","
    )


def _unknown(
    token: Token, what: str, root: str, name: str, declared: Collection[str]
) -> ExpressionError:
    """Return the error of an undeclared name. A name in lower case is repeated: it is no value."""
    shown = f": {root}.{name}" if len(name) <= _NAME_SHOWN_MAX and name.islower() else ""
    message = f"no such {what} is declared{shown}"
    if any(one.startswith(f"{name}-") for one in declared):
        return ExpressionError(
            token.offset, f"{message}; names with - cannot be used in expressions"
        )
    close = get_close_matches(name, declared, n=1) if len(declared) <= _SUGGEST_FROM_MAX else []
    return ExpressionError(
        token.offset, f"{message}; there is {root}.{close[0]}" if close else message
    )


def codes_not_declared(scope: Scope, found: Sequence[Token]) -> Iterator[ExpressionError]:
    """Yield the strings that an enum is compared with although they are none of its values."""
    for i, token in enumerate(found):
        fact = None
        if token.kind == "path" and len(token.parts) == 2 and token.parts[0] == scope.root:
            fact = scope.facts.get(token.parts[1])
        if fact is None or fact.type is not FactType.ENUM:
            continue
        for text in _compared(found, i):
            if "\\" not in text.text and text.text[1:-1] not in fact.values:
                yield ExpressionError(
                    text.offset, f"must be one of the declared values of {token.text}"
                )


def _compared(found: Sequence[Token], i: int) -> Iterator[Token]:
    after = found[i + 1] if i + 1 < len(found) else None
    if after is not None and after.text in ("==", "!=") and i + 2 < len(found):
        yield from (found[i + 2],) if _is_plain(found[i + 2]) else ()
    if i >= 2 and found[i - 1].text in ("==", "!=") and _is_plain(found[i - 2]):
        yield found[i - 2]
    if after is not None and after.text == "in" and i + 2 < len(found):
        for token in found[i + 3 :] if found[i + 2].text == "[" else ():
            if token.text == "]":
                break
            if _is_plain(token):
                yield token


def _is_plain(token: Token) -> bool:
    return token.kind == "text" and token.text[0] in "\"'" and token.text[:3] not in ('"""', "'''")
