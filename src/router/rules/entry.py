"""Entry rules: which queue takes a contact that names none. Pure; the first rule that holds decides.

A ``Classifier`` is made once for a policy. Expressions are asked at most once for the same facts: their outcomes are remembered
by the values that they mention, in a memo with a bound. A rule that fails is no match; which ones failed is told.
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
    """Reads a queue's fact now; None: it has no value at present."""

    def __call__(self, queue_id: str, name: str) -> FactValue | None:
        """The fact ``name`` of ``QUEUE_FACTS``."""


class Classified(Struct, frozen=True):
    """What the rules say: the one that decides (none: none holds), and those before it that failed."""

    rule: EntryRule | None = None
    failed: tuple[str, ...] = ()


NOTHING: Final = Classified()


class Classifier:
    """The entry rules of one policy, ready to be asked."""

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
        """The rule that decides for such a contact (``default_queue`` is the caller's affair).

        A missing attribute is no match. Values are equal only with their type: ``true`` is not ``1``.
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
    """The same for one contact, with a classifier made for it: for trials, not for the hot path."""
    return Classifier(policy).classify(channel, attributes, ask)


def rule_objection(text: str, policy: Policy) -> ExpressionError | None:
    """What is wrong with the expression of an entry rule; none: nothing."""
    try:
        compile_expression(text, contact_scope(policy))
    except ExpressionError as error:
        return error
    return None


class _Facts:
    """The values of one contact's variables; a queue is asked at most once for each of its facts."""

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
        # No fact is ever None, so None stands for "missing".
        have = attributes.get(name)
        if have != wanted or type(have) is not type(wanted):
            return False
    return True
