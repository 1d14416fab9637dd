"""Cost of rules: an upper estimate of the time that evaluating an expression takes, counted from its text.

A policy may be valid in every part and still too expensive as a whole: 200 rules, each a macro over 130 values with a regular
expression, take a second for one contact. So all entry rules together have a budget for one contact, and all ``agents_when``
conditions together have one for one agent: each counts once for every class of customers that it tells apart. Conditions of plans
and of ``order_by`` together have one for one customer. The budget is checked when a policy is checked and enforced when rules are
evaluated, because the active policy may have been published by a version without this check.

One unit is about a microsecond. An estimate depends on the text and on the declared facts only, never on the clock or on cached
outcomes, so the same contact is classified in the same way at any time and on any machine.

The parts of an estimate, measured with the library on one core and rounded up:

* an evaluation, and a little for each token;
* a function call;
* a macro: its body, once for each item of its list;
* ``matches``: the library compiles the pattern each time. With its repetitions written out, a pattern of P elements costs about
  P / 2 + P² / 200 to compile, and P / 100 for each character of the text to match, if the text is chosen to be expensive;
* a fact of a queue: reading it. What is read depends on the size of the centre, so the engine counts it again at run time.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from router.model.policy import EntryCondition, EntryRule, FactPolicy, FactType, Policy
from router.policy.customer_classes import combination_count, fact_table
from router.policy.expression_tokens import MACROS, ExpressionError, Token, tokenize

ENTRY_RULES_COST_MAX: Final = 5_000
"""Budget of all entry rules for one contact."""
AGENT_CONDITIONS_COST_MAX: Final = 1_500
"""Budget of all ``agents_when`` conditions for one agent."""
CUSTOMER_CONDITIONS_COST_MAX: Final = 1_500
"""Budget of all conditions of plans and of ``order_by`` for one customer."""

QUEUE_FACT_COSTS: Final = {
    "waiting": 1,
    "agents_ready": 10,
    "agents_free": 10,
    "oldest_wait_s": 5,
    "expected_wait_s": 60,
    "is_open": 1,
    "local_hour": 5,
    "local_minute": 5,
    "local_weekday": 5,
}
"""Costs of reading the facts of queues, as estimated when a policy is checked."""

QueueFactCost: TypeAlias = Callable[[str, str], int]
"""Return the cost of reading a fact of a queue now: queue, name of the fact."""

# All of these in hundredths of a unit.
_EVALUATION: Final = 400
_TOKEN: Final = 3
_CALL: Final = 100
_ITEM: Final = 15
_MATCH: Final = 350
_PATTERN_ELEMENT: Final = 50
_CONDITION: Final = 15

_IDENT_LENGTH: Final = 128
_NAME_LENGTH: Final = 64
_ELEMENTS_MAX: Final = 1_000_000
_COUNTS: Final = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")


def nominal_fact_cost(queue_id: str, name: str) -> int:
    """Return the estimated cost of reading a fact of a queue of any size."""
    return QUEUE_FACT_COSTS.get(name, max(QUEUE_FACT_COSTS.values()))


def entry_rule_cost(rule: EntryRule, facts: Mapping[str, FactPolicy]) -> int:
    """Return the cost of evaluating an entry rule, without reading facts of queues; at least 1."""
    if isinstance(rule.when, EntryCondition):
        return 1 + _CONDITION * (1 + len(rule.when.attributes) + len(rule.when.customer)) // 100
    return expression_cost(rule.when, facts)


def expression_cost(text: str, facts: Mapping[str, FactPolicy]) -> int:
    """Return the cost of evaluating an expression, without reading facts of queues; 1 if it cannot be evaluated."""
    try:
        tokens = tokenize(text)
    except ExpressionError:
        return 1
    literals = [len(token.text) for token in tokens if token.kind == "text"]
    cost = _EVALUATION + _span_cost(tokens, 0, len(tokens), facts, max(literals, default=0))
    for i, token in enumerate(tokens):
        if token.kind == "call" and token.text in MACROS:
            body = _span_cost(tokens, i + 1, _closing(tokens, i + 1), facts, max(literals, default=0))
            cost += _items_before(tokens, i) * (_ITEM + body)
    return -(-cost // 100)


def queue_facts_of(text: str) -> set[tuple[str, str]]:
    """Return the facts of queues that an expression reads, as queue and name."""
    try:
        tokens = tokenize(text)
    except ExpressionError:
        return set()
    paths = (token.parts for token in tokens if token.kind == "path")
    return {(parts[1], parts[2]) for parts in paths if len(parts) == 3 and parts[0] == "queues"}


def entry_rules_over_budget(policy: Policy) -> Iterator[tuple[int, EntryRule, int]]:
    """Yield the first entry rule that exceeds the budget: its index, the rule, and the cost of all rules up to it."""
    spent = 0
    read: set[tuple[str, str]] = set()
    for index, rule in enumerate(policy.entry):
        spent += entry_rule_cost(rule, policy.facts)
        if isinstance(rule.when, str):
            new = queue_facts_of(rule.when) - read
            read |= new
            spent += sum(nominal_fact_cost(*fact) for fact in new)
        if spent > ENTRY_RULES_COST_MAX:
            yield index, rule, spent
            return


def agent_conditions_over_budget(policy: Policy) -> Iterator[tuple[str, int]]:
    """Yield the queues whose ``agents_when`` exceeds the budget, with the cost of all conditions up to it."""
    spent = 0
    customer_facts = {name: fact for name, fact in policy.facts.items() if fact.applies_to == "customer"}
    for queue_id, queue in policy.queues.items():
        if queue.agents_when is None:
            continue
        cost = expression_cost(queue.agents_when, policy.facts)
        if customer_facts:
            cost *= combination_count(fact_table(customer_facts, [queue.agents_when]))
        if spent + cost > AGENT_CONDITIONS_COST_MAX:
            yield queue_id, spent + cost
        else:
            spent += cost


def customer_conditions_cost(policy: Policy) -> int:
    """Return the cost of all conditions of plans and of ``order_by`` for one customer."""
    steps = [step.when for plan in policy.plans.values() for step in plan]
    steps += [key.when for queue in policy.queues.values() for key in queue.order_by]
    return sum(expression_cost(text, policy.facts) for text in steps if text is not None)


def _span_cost(tokens: Sequence[Token], start: int, end: int, facts: Mapping[str, FactPolicy], literal_length: int) -> int:
    """Return the cost of the tokens of a span, each evaluated once."""
    cost = _TOKEN * (end - start)
    for i in range(start, end):
        token = tokens[i]
        if token.kind != "call":
            continue
        if token.text == "matches" and i + 2 < len(tokens):
            length = _text_length(tokens[i - 1] if i else token, facts, literal_length)
            cost += match_cost(tokens[i + 2].text, length)
        else:
            cost += _CALL
    return cost


def _text_length(token: Token, facts: Mapping[str, FactPolicy], literal_length: int) -> int:
    """Return the greatest length of the text that stands before ``matches``."""
    if token.kind == "text":
        return len(token.text)
    if token.parts == ("channel",):
        return _NAME_LENGTH
    fact = facts.get(token.parts[1]) if len(token.parts) == 2 else None
    if fact is not None and fact.type is FactType.ENUM:
        return max(map(len, fact.values), default=0)
    return max(_IDENT_LENGTH, literal_length)


def match_cost(pattern: str, text_length: int) -> int:
    """Return the cost of compiling a pattern and matching a text of this length, in hundredths of a unit."""
    elements = pattern_elements(pattern)
    return _MATCH + _PATTERN_ELEMENT * elements + elements * elements // 2 + elements * text_length


@lru_cache(maxsize=1_024)
def pattern_elements(pattern: str) -> int:
    """Return the number of elements of a pattern, given as a literal, with all its repetitions written out."""
    pattern = pattern.lstrip("rR")[1:-1]
    open_groups = [0]
    last = 0
    i = 0
    while i < len(pattern):
        repeated = _COUNTS.match(pattern, i)
        if repeated is not None:
            low, comma, high = repeated.groups()
            times = max(int(low or 0), int(high or 0)) + (1 if comma and not high else 0)
            open_groups[-1] += last * max(0, times - 1)
            last *= max(1, times)
            i = repeated.end()
        elif pattern[i] == "(":
            open_groups.append(0)
            last = 0
            i += 1
        elif pattern[i] == ")" and len(open_groups) > 1:
            last = open_groups.pop() + 1
            open_groups[-1] += last
            i += 1
        elif pattern[i] in "*+?":
            open_groups[-1] += 1
            last += 1
            i += 1
        else:
            i = _after_element(pattern, i)
            open_groups[-1] += 1
            last = 1
        if open_groups[-1] > _ELEMENTS_MAX:
            return _ELEMENTS_MAX
    return sum(open_groups)


def _after_element(pattern: str, i: int) -> int:
    """Return the index after the escape, class or character that begins at ``i``."""
    if pattern[i] == "\\":
        return i + 2
    if pattern[i] == "[":
        end = pattern.find("]", i + 2)
        return len(pattern) if end < 0 else end + 1
    return i + 1


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the index after the bracket that closes the one at ``opening``."""
    depth = 0
    for i in range(opening, len(tokens)):
        if tokens[i].kind == "sign" and tokens[i].text in ("(", "["):
            depth += 1
        elif tokens[i].kind == "sign" and tokens[i].text in (")", "]"):
            depth -= 1
            if not depth:
                return i + 1
    return len(tokens)


def _items_before(tokens: Sequence[Token], call: int) -> int:
    """Return at least the number of items of the list that stands before a macro."""
    depth = items = 0
    for i in range(call - 1, -1, -1):
        token = tokens[i]
        if token.kind == "sign" and token.text in (")", "]"):
            depth += 1
        elif token.kind == "sign" and token.text in ("(", "["):
            depth -= 1
            if depth <= 0:
                return items + 1
        elif token.text == ",":
            items += 1
    return items + 1
