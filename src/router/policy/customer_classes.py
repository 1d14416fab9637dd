"""Classes of customers: what conditions on facts of customers can tell apart, reduced to few values.

Contacts with the same requirement wait in one line, and the agents who qualify for a line are kept as a bit mask. Where the
choice of agents depends on facts of the customer (``agents_when``, ``order_by``), contacts of different customers need different
lines. A *class* is the part of a customer's facts that the conditions of a queue can tell apart, so that the number of lines is
bounded by the text of the policy and not by the values that customers have: a number counts by the constants that it is compared
with, an enum by the values that are named. A class holds one value for all that no condition distinguishes, so evaluating a
condition for a class gives the same outcome as for the facts themselves.

Steps of plans with ``when`` are reduced in the same way; which of them apply is decided once for each class of customers.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from router.model.policy import AttributeOrder, Direction, FactPolicy, FactType, FactValue, Policy, QueuePolicy, StepPolicy
from router.policy.expression_tokens import ExpressionError, Token, tokenize
from router.policy.expressions import CompiledExpression, VariableScope, compile_expression, compile_leniently, customer_scope

CUSTOMER_CLASSES_MAX: Final = 64
"""Most combinations of facts of customers that one queue, or one plan, may tell apart."""

CustomerClass: TypeAlias = tuple[tuple[str, FactValue], ...]
"""Facts by name, in the order of the names; a fact that is not known is left out."""
NO_CUSTOMER_FACTS: Final[Mapping[str, FactValue]] = MappingProxyType({})
NO_CLASS: Final[CustomerClass] = ()
NO_STEPS: Final[frozenset[int]] = frozenset()
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
# What may stand before and after a comparison that is an operand of its own.
_BEFORE: Final = frozenset({"", "(", "&&", "||", "?", ":", ",", "!"})
_AFTER: Final = frozenset({"", ")", "&&", "||", "?", ":", ","})


class FactClasses(Struct, frozen=True):
    """Values of one fact of customers that conditions tell apart."""

    type: FactType
    named: tuple[FactValue, ...]
    """Values that conditions name, numbers in ascending order."""
    unnamed: frozenset[FactValue] = frozenset()
    """Declared values of an enum that no condition names."""
    other: FactValue | None = None
    """Stands for all values of an enum that no condition names; None: all are named."""

    def reduced(self, value: FactValue | None) -> FactValue | None:
        """Return the value that stands for this one; None: it is missing, or not of the type of the fact."""
        if self.type is FactType.INT:
            return self._reduced_number(value) if type(value) is int else None
        if self.type is FactType.BOOL:
            return value if type(value) is bool else None
        if type(value) is not str:
            return None
        # A value that the policy no longer declares counts as missing.
        return self.other if value in self.unnamed else value if value in self.named else None

    def _reduced_number(self, value: int) -> int:
        numbers: Sequence[int] = self.named  # type: ignore[assignment]
        if not numbers:
            return 0
        place = bisect_left(numbers, value)
        if place < len(numbers) and numbers[place] == value:
            return value
        return numbers[place - 1] + 1 if place else numbers[0] - 1

    def values(self) -> tuple[FactValue, ...]:
        """Return every value that ``reduced`` can return."""
        if self.type is FactType.BOOL:
            return (False, True)
        if self.type is not FactType.INT:
            return self.named if self.other is None else (*self.named, self.other)
        around = {int(number) + step for number in self.named for step in (-1, 0, 1)} or {0}
        return tuple(sorted({self._reduced_number(number) for number in around}))


FactTable: TypeAlias = dict[str, FactClasses]
"""Facts of customers that some conditions use, in the order of their names."""


class RankedFact(NamedTuple):
    """One sort key of ``by_attributes`` for a class of customers."""

    fact: str
    is_descending: bool
    equal_to: int | None
    """Rank that comes first, as the customer has it; None: agents are ordered by their ranks."""


class CustomerClasses:
    """Conditions of one policy on facts of customers, compiled."""

    def __init__(self, policy: Policy) -> None:
        self._scope = customer_scope(policy)
        self._agent_facts = {name: fact for name, fact in policy.facts.items() if fact.applies_to == "agent"}
        facts = self._scope.customer_facts
        self._by_queue: dict[str, FactTable] = {}
        self._by_condition: dict[str, FactTable] = {}
        self._by_plan: dict[str, FactTable] = {}
        self._steps: dict[str, tuple[tuple[int, CompiledExpression], ...]] = {}
        self._inapplicable: dict[tuple[str, CustomerClass], frozenset[int]] = {}
        self._orders: dict[tuple[str, CustomerClass], tuple[RankedFact, ...]] = {}
        if not facts:
            return
        for queue_id, queue in policy.queues.items():
            if table := fact_table(facts, _agents_when_of(queue)):
                self._by_condition[queue_id] = table
            if table := queue_table(policy, queue):
                self._by_queue[queue_id] = table
        for name, plan in policy.plans.items():
            compiled = [(n, compile_leniently(step.when, self._scope)) for n, step in enumerate(plan) if step.when is not None]
            if compiled:
                self._steps[name] = tuple(compiled)
                self._by_plan[name] = plan_table(policy, plan)

    @property
    def is_used(self) -> bool:
        """Return whether any queue or plan of the policy has conditions on facts of customers."""
        return bool(self._by_queue or self._steps)

    def tells_apart(self, queue_id: str) -> bool:
        """Return whether agents of a queue are chosen by facts of customers."""
        return queue_id in self._by_queue

    def class_of(self, queue_id: str, facts: Mapping[str, FactValue]) -> CustomerClass:
        """Return the class of a customer for a queue."""
        table = self._by_queue.get(queue_id)
        return NO_CLASS if table is None else _class_of(table, facts)

    def any_class(self, queue_id: str) -> CustomerClass | None:
        """Return the class of contacts of which nothing is known but the queue: None, which stands for every class."""
        return None if queue_id in self._by_queue else NO_CLASS

    # --- agents_when ----------------------------------------------------------------------------------
    def classes_of_condition(self, queue_id: str) -> tuple[CustomerClass, ...]:
        """Return all classes that the ``agents_when`` of a queue tells apart."""
        return tuple(_combinations(self._by_condition.get(queue_id, {})))

    def class_of_condition(self, queue_id: str, customer: CustomerClass) -> CustomerClass:
        """Return the part of a class that the ``agents_when`` of the queue uses."""
        table = self._by_condition.get(queue_id)
        return NO_CLASS if table is None else _class_of(table, dict(customer))

    # --- order_by -------------------------------------------------------------------------------------
    def order_of(self, queue_id: str, queue: QueuePolicy, customer: CustomerClass | None) -> tuple[RankedFact, ...]:
        """Return the sort keys of ``by_attributes`` for a class of customers."""
        if queue_id not in self._by_queue:
            return tuple(RankedFact(step.fact, step.direction is Direction.DESC, None) for step in queue.order_by)
        key = (queue_id, customer or NO_CLASS)
        order = self._orders.get(key)
        if order is None:
            facts = dict(key[1])
            keys = (self._ranked(step, facts) for step in queue.order_by)
            order = self._orders[key] = tuple(one for one in keys if one is not None)
        return order

    def _ranked(self, step: AttributeOrder, facts: Mapping[str, FactValue]) -> RankedFact | None:
        """Return the sort key of a step; None: it does not apply to these customers."""
        if step.when is not None and not condition_holds(compile_leniently(step.when, self._scope), facts):
            return None
        is_descending = step.direction is Direction.DESC
        if step.same_as is None:
            return RankedFact(step.fact, is_descending, None)
        value, fact = facts.get(step.same_as), self._agent_facts.get(step.fact)
        if value is None or fact is None:
            return None
        rank = int(value) if fact.type is FactType.BOOL else fact.values.index(str(value)) if value in fact.values else -1
        return RankedFact(step.fact, is_descending, rank)

    # --- plans ----------------------------------------------------------------------------------------
    def inapplicable_steps(self, plan: str | None, facts: Mapping[str, FactValue]) -> frozenset[int]:
        """Return the numbers of the steps of a plan whose ``when`` does not hold for a customer."""
        steps = None if plan is None else self._steps.get(plan)
        if plan is None or steps is None:
            return NO_STEPS
        key = (plan, _class_of(self._by_plan[plan], facts))
        found = self._inapplicable.get(key)
        if found is None:
            known = dict(key[1])
            found = frozenset(number for number, program in steps if not condition_holds(program, known))
            self._inapplicable[key] = found
        return found


def condition_holds(program: CompiledExpression, facts: Mapping[str, FactValue]) -> bool:
    """Return whether a condition on a customer holds. If the evaluation fails (a fact is not known), it does not."""
    values: dict[str, FactValue] = {}
    for variable in program.variables:
        value = facts.get(variable.name)
        if variable.root == "known":
            values[variable.text] = value is not None
        elif value is not None:
            values[variable.text] = value
    return program.evaluate(values) is True


def customer_condition_error(text: str, policy: Policy) -> ExpressionError | None:
    """Return the error in a condition on a customer, if any."""
    scope = customer_scope(policy)
    try:
        compile_expression(text, scope)
    except ExpressionError as error:
        return error
    return number_use_error(text, scope)


def number_use_error(text: str, scope: VariableScope) -> ExpressionError | None:
    """Return the error of a number of the customer that is used otherwise than compared with constants."""
    tokens = tokenize(text)
    for i, token in enumerate(tokens):
        if token.kind == "path" and token.parts[0] == "customer" and len(token.parts) == 2:
            fact = scope.customer_facts.get(token.parts[1])
            if fact is not None and fact.type is FactType.INT and _constants_compared(tokens, i) is None:
                message = f"{token.text} can only be compared with numbers that are written here, such as >= 3 or in [1, 2]"
                return ExpressionError(token.offset, message)
    return None


# --- which values conditions tell apart ----------------------------------------------------------------


def queue_table(policy: Policy, queue: QueuePolicy) -> FactTable:
    """Return the facts of customers by which a queue chooses agents."""
    whens = [step.when for step in queue.order_by if step.when is not None]
    same_as = {step.same_as for step in queue.order_by if step.same_as is not None}
    return fact_table(customer_scope(policy).customer_facts, [*_agents_when_of(queue), *whens], same_as)


def plan_table(policy: Policy, plan: Sequence[StepPolicy]) -> FactTable:
    """Return the facts of customers that the conditions of a plan use."""
    return fact_table(customer_scope(policy).customer_facts, [step.when for step in plan if step.when is not None])


def combination_count(table: FactTable) -> int:
    """Return how many classes there are; a fact may be missing as well."""
    count = 1
    for classes in table.values():
        count *= 1 + len(classes.values())
    return count


def fact_table(facts: Mapping[str, FactPolicy], texts: Collection[str], whole: Collection[str] = ()) -> FactTable:
    """Return the facts of customers that expressions use, with the values that they tell apart.

    ``whole``: facts of which every value counts.
    """
    named: dict[str, set[FactValue] | None] = dict.fromkeys(name for name in whole if name in facts)
    for text in texts:
        for name, constants in _uses(text, facts):
            before = named.setdefault(name, set())
            named[name] = None if before is None or constants is None else before | constants
    return {name: _classes(facts[name], named[name]) for name in sorted(named)}


def _classes(fact: FactPolicy, named: set[FactValue] | None) -> FactClasses:
    if fact.type is FactType.INT:
        return FactClasses(fact.type, tuple(sorted(int(one) for one in named or ())))
    if fact.type is FactType.BOOL:
        return FactClasses(fact.type, ())
    values = tuple(value for value in fact.values if named is None or value in named)
    unnamed = [value for value in fact.values if value not in values]
    return FactClasses(fact.type, values, frozenset(unnamed), unnamed[0] if unnamed else None)


def _uses(text: str, facts: Mapping[str, FactPolicy]) -> Iterator[tuple[str, set[FactValue] | None]]:
    """Yield the facts of customers in an expression with the constants that they are compared with; None: any value counts."""
    try:
        tokens = tokenize(text)
    except ExpressionError:
        return  # It fails on every evaluation.
    for i, token in enumerate(tokens):
        if token.kind != "path" or len(token.parts) != 2 or token.parts[1] not in facts:
            continue
        if token.parts[0] == "known":
            yield token.parts[1], set()
        elif token.parts[0] == "customer":
            yield token.parts[1], _constants_compared(tokens, i)


def _constants_compared(tokens: Sequence[Token], i: int) -> set[FactValue] | None:
    """Return the constants that the fact at ``i`` is compared with there; None: it is used in another way."""
    text = partial(_text_at, tokens)
    if text(i + 1) in _COMPARISONS and text(i - 1) in _BEFORE:
        constant, end = _constant_at(tokens, i + 2)
        return None if constant is None or text(end) not in _AFTER else {constant}
    if text(i - 1) in _COMPARISONS and text(i + 1) in _AFTER:
        start = i - 3 if text(i - 3) == "-" and tokens[i - 2].kind == "number" else i - 2
        constant, end = _constant_at(tokens, start)
        return None if constant is None or end != i - 1 or text(start - 1) not in _BEFORE else {constant}
    if text(i + 1) != "in" or text(i + 2) != "[" or text(i - 1) not in _BEFORE:
        return None
    found: set[FactValue] = set()
    place = i + 3
    while text(place) != "]":
        constant, place = _constant_at(tokens, place)
        if constant is None or text(place) not in (",", "]"):
            return None
        found.add(constant)
        place += text(place) == ","
    return found


def _text_at(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].text if 0 <= i < len(tokens) else ""


def _constant_at(tokens: Sequence[Token], i: int) -> tuple[FactValue | None, int]:
    """Return the whole number or plain string that begins at ``i``, if one does, and the index after it."""
    negative = _text_at(tokens, i) == "-"
    place = i + negative
    if not 0 <= place < len(tokens):
        return None, i
    token = tokens[place]
    if token.kind == "number":
        digits = token.text.lower()
        is_whole = digits.isdigit() or digits.startswith("0x")
        return ((-1) ** negative * int(digits, 16 if digits.startswith("0x") else 10) if is_whole else None), place + 1
    is_plain = token.kind == "text" and token.text[0] in "\"'" and token.text[:3] not in ('"""', "'''") and "\\" not in token.text
    return (token.text[1:-1] if is_plain and not negative else None), place + 1


def _class_of(table: FactTable, facts: Mapping[str, FactValue]) -> CustomerClass:
    if not facts:
        return NO_CLASS
    found: list[tuple[str, FactValue]] = []
    for name, classes in table.items():
        value = classes.reduced(facts.get(name))
        if value is not None:
            found.append((name, value))
    return tuple(found)


def _combinations(table: FactTable) -> Iterator[CustomerClass]:
    choices: list[tuple[FactValue | None, ...]] = [(None, *classes.values()) for classes in table.values()]
    for values in product(*choices):
        yield tuple((name, value) for name, value in zip(table, values, strict=True) if value is not None)


def _agents_when_of(queue: QueuePolicy) -> list[str]:
    return [] if queue.agents_when is None else [queue.agents_when]
