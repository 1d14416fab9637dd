"""Entry rules: the choice of a queue for a contact that names none. The first matching rule decides.

An ``EntryRuleClassifier`` is built once per policy. The outcome of an expression is cached by the values of the facts that
it uses, in a bounded cache. A rule whose evaluation fails does not match and is reported by name. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from router.model.policy import EntryRule, EntryWhen, FactValue, Policy
from router.rules.expressions import compile_expression, program_of
from router.rules.memo import Memo
from router.rules.tokens import ExpressionError
from router.rules.variables import Variable, contact_scope


class AskQueue(Protocol):
    """Function that reads a fact of a queue; returns None if it has no value at present."""

    def __call__(self, queue_id: str, name: str) -> FactValue | None:
        """Return the present value of a fact of ``QUEUE_FACTS``."""


class Classified(Struct, frozen=True):
    """Result of the entry rules: the deciding rule (none: no rule matches) and the earlier rules that failed."""

    rule: EntryRule | None = None
    failed: tuple[str, ...] = ()


NOTHING: Final = Classified()


class Classifier:
    """Compiled entry rules of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._rules: list[tuple[EntryRule, Memo | None]] = []
        scope = None
        for rule in policy.entry:
            memo = None
            if isinstance(rule.when, str):
                scope = scope or contact_scope(policy)
                memo = Memo(program_of(rule.when, scope))
            self._rules.append((rule, memo))

    def classify(
        self, channel: str, attributes: Mapping[str, FactValue], ask: AskQueue
    ) -> Classified:
        """Return the deciding rule for a contact; the caller applies ``default_queue``.

        A missing attribute does not match. Values are equal only if their types are: ``true`` is not ``1``.
        """
        facts: _Facts | None = None
        failed: tuple[str, ...] = ()
        for rule, memo in self._rules:
            if memo is None:
                assert isinstance(rule.when, EntryWhen)
                holds: bool | None = _holds(rule.when, channel, attributes)
            else:
                facts = facts or _Facts(channel, attributes, ask)
                holds = memo.ask(facts.value)
                if holds is None:
                    failed = (*failed, rule.name)
            if holds:
                return Classified(rule, failed)
        return Classified(None, failed) if failed else NOTHING


def classify(
    policy: Policy,
    channel: str,
    attributes: Mapping[str, FactValue],
    ask: AskQueue = lambda queue_id, name: None,
) -> Classified:
    """Classify one contact with a new classifier: for trials, not for the hot path."""
    return Classifier(policy).classify(channel, attributes, ask)


def rule_objection(text: str, policy: Policy) -> ExpressionError | None:
    """Return the error in an entry rule's expression, if any."""
    try:
        compile_expression(text, contact_scope(policy))
    except ExpressionError as error:
        return error
    return None


class _Facts:
    """Values of the variables for one contact. Each fact of a queue is read at most once."""

    __slots__ = ("_ask", "_attributes", "_channel", "_queues")

    def __init__(self, channel: str, attributes: Mapping[str, FactValue], ask: AskQueue) -> None:
        self._channel = channel
        self._attributes = attributes
        self._ask = ask
        self._queues: dict[str, FactValue | None] = {}

    def value(self, variable: Variable) -> FactValue | None:
        match variable.root:
            case "contact":
                return self._attributes.get(variable.name)
            case "known":
                return variable.name in self._attributes
            case "channel":
                return self._channel
        if variable.text not in self._queues:
            self._queues[variable.text] = self._ask(variable.owner, variable.name)
        return self._queues[variable.text]


def _holds(when: EntryWhen, channel: str, attributes: Mapping[str, FactValue]) -> bool:
    if when.channel is not None and when.channel != channel:
        return False
    for name, wanted in when.attributes.items():
        # A fact is never None, so None means that it is missing.
        have = attributes.get(name)
        if have != wanted or type(have) is not type(wanted):
            return False
    return True
