"""Entry rules: the choice of a queue for a contact that names none. The first matching rule decides.

An ``EntryRuleClassifier`` is built once per policy. The outcome of an expression is cached by the values of the facts that it
uses. A rule whose evaluation fails does not match and is reported by name. All rules together have a budget for one contact
(``rule_costs``): the rule that would exceed it is reported and ends the evaluation, so the contact goes to the default queue.

Reachability: the conditions of a rule form a set, and a rule whose set is a subset of another's matches every contact that
the other matches. An expression counts as one condition, identified by its tokens; its meaning is not analysed. The
consistency checks refuse a rule that one earlier rule covers. ``unreachable_rules`` also finds rules that several earlier rules
cover together, one for each channel. Values of facts are not combined in this way, since a contact may lack a fact. The cost
is quadratic in the number of rules.

A trial evaluates the rules for a sample contact and changes neither state nor counters.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Final, Protocol, TypeAlias

from msgspec import Meta, Struct

from router.model.errors import is_harmless_name
from router.model.policy import Attributes, EntryCondition, EntryRule, FactValue, Policy
from router.model.states import Name
from router.policy.cel_library import Variable, VariableType
from router.policy.customer_classes import NO_CUSTOMER_FACTS
from router.policy.expression_tokens import ExpressionError, tokenize
from router.policy.expressions import QUEUE_FACTS, ExpressionCache, compile_expression, compile_leniently, contact_scope
from router.policy.facts import check_attributes
from router.policy.rule_costs import ENTRY_RULES_COST_MAX, QueueFactCost, entry_rule_cost, nominal_fact_cost


class QueueFactLookup(Protocol):
    """Function that reads a fact of a queue; returns None if it has no value at present."""

    def __call__(self, queue_id: str, name: str) -> FactValue | None:
        """Return the present value of a fact of ``QUEUE_FACTS``."""


class Classification(Struct, frozen=True):
    """Result of the entry rules: the deciding rule (none: no rule matches) and the earlier rules that failed."""

    rule: EntryRule | None = None
    failed: tuple[str, ...] = ()
    over_budget: str | None = None
    """Rule that would have exceeded the budget: it counts as failed, and no later rule is evaluated."""


NO_RULE_MATCHED: Final = Classification()


class _CompiledRule(Struct, frozen=True):
    """An entry rule with its compiled expression, if it has one."""

    rule: EntryRule
    memo: ExpressionCache | None
    cost: int
    """Estimated cost without reading facts of queues."""
    queue_facts: tuple[Variable, ...] = ()


class EntryRuleClassifier:
    """Compiled entry rules of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._rules: list[_CompiledRule] = []
        scope = None
        for rule in policy.entry:
            memo = None
            if isinstance(rule.when, str):
                scope = scope or contact_scope(policy)
                memo = ExpressionCache(compile_leniently(rule.when, scope))
            queue_facts = () if memo is None else tuple(one for one in memo.expression.variables if one.root == "queues")
            self._rules.append(_CompiledRule(rule, memo, entry_rule_cost(rule, policy.facts), queue_facts))
        # Without facts of queues, whose costs depend on the state, most policies need no account at run time.
        self._is_metered = sum(one.cost for one in self._rules) > ENTRY_RULES_COST_MAX or any(
            one.queue_facts for one in self._rules
        )

    def classify(
        self,
        channel: str,
        attributes: Mapping[str, FactValue],
        read_queue_fact: QueueFactLookup,
        fact_cost: QueueFactCost = nominal_fact_cost,
        customer_facts: Mapping[str, FactValue] = NO_CUSTOMER_FACTS,
    ) -> Classification:
        """Return the deciding rule for a contact; the caller applies ``default_queue``.

        A missing attribute does not match. Values are equal only if their types are: ``true`` is not ``1``. The evaluation ends
        at the rule that would exceed the budget.
        """
        facts: _ContactVariables | None = None
        if customer_facts:
            # A name is declared once, for contacts or for customers, so the two never meet.
            attributes = {**attributes, **customer_facts}
        failed: tuple[str, ...] = ()
        spent = 0
        for one in self._rules:
            rule, memo = one.rule, one.memo
            if self._is_metered:
                spent += one.cost
                if one.queue_facts:
                    facts = facts or _ContactVariables(channel, attributes, read_queue_fact)
                    spent += facts.cost_of_reading(one.queue_facts, fact_cost)
                if spent > ENTRY_RULES_COST_MAX:
                    return Classification(None, (*failed, rule.name), rule.name)
            if memo is None:
                assert isinstance(rule.when, EntryCondition)
                holds: bool | None = _condition_holds(rule.when, channel, attributes)
            else:
                facts = facts or _ContactVariables(channel, attributes, read_queue_fact)
                holds = memo.evaluate(facts.value)
                if holds is None:
                    failed = (*failed, rule.name)
            if holds:
                return Classification(rule, failed)
        return Classification(None, failed) if failed else NO_RULE_MATCHED

    def variables_of(self, index: int) -> tuple[Variable, ...]:
        """Return the variables that the expression of a rule uses; none for a mapping."""
        memo = self._rules[index].memo
        return () if memo is None else memo.expression.variables


def classify(
    policy: Policy,
    channel: str,
    attributes: Mapping[str, FactValue],
    read_queue_fact: QueueFactLookup = lambda queue_id, name: None,
) -> Classification:
    """Classify one contact with a new classifier: for trials, not for the hot path."""
    return EntryRuleClassifier(policy).classify(channel, attributes, read_queue_fact)


def entry_expression_error(text: str, policy: Policy) -> ExpressionError | None:
    """Return the error in an entry rule's expression, if any."""
    try:
        compile_expression(text, contact_scope(policy))
    except ExpressionError as error:
        return error
    return None


class _ContactVariables:
    """Values of the variables for one contact. Each fact of a queue is read at most once."""

    __slots__ = ("_attributes", "_channel", "_queues", "_read_queue_fact")

    def __init__(self, channel: str, attributes: Mapping[str, FactValue], read_queue_fact: QueueFactLookup) -> None:
        self._channel = channel
        self._attributes = attributes
        self._read_queue_fact = read_queue_fact
        self._queues: dict[str, FactValue | None] = {}

    def cost_of_reading(self, variables: tuple[Variable, ...], fact_cost: QueueFactCost) -> int:
        """Return the cost of reading those facts of queues that have not been read yet."""
        return sum(fact_cost(one.owner, one.name) for one in variables if one.text not in self._queues)

    def value(self, variable: Variable) -> FactValue | None:
        match variable.root:
            case "contact" | "customer":
                return self._attributes.get(variable.name)
            case "known":
                return variable.name in self._attributes
            case "channel":
                return self._channel
        if variable.text not in self._queues:
            self._queues[variable.text] = self._read_queue_fact(variable.owner, variable.name)
        return self._queues[variable.text]


def _condition_holds(when: EntryCondition, channel: str, attributes: Mapping[str, FactValue]) -> bool:
    if when.channel is not None and when.channel != channel:
        return False
    for wanted_facts in (when.attributes, when.customer) if when.customer else (when.attributes,):
        for name, wanted in wanted_facts.items():
            # A fact is never None, so None means that it is missing.
            have = attributes.get(name)
            if have != wanted or type(have) is not type(wanted):
                return False
    return True


RuleConditions: TypeAlias = frozenset[tuple[str, type, object]]


def rule_conditions(when: EntryCondition | str, *, with_channel: bool = True) -> RuleConditions:
    """Return the conditions of a rule. Layout and comments of an expression are ignored."""
    if isinstance(when, str):
        try:
            texts = tuple(token.text for token in tokenize(when))
        except ExpressionError:
            texts = (when,)  # The error of the expression is reported by another check.
        return frozenset() if texts == ("true",) else frozenset({("expression", tuple, texts)})
    lines: list[tuple[str, type, object]] = [(f"attributes.{name}", type(value), value) for name, value in when.attributes.items()]
    lines += [(f"customer.{name}", type(value), value) for name, value in when.customer.items()]
    if with_channel and when.channel is not None:
        lines.append(("channel", str, when.channel))
    return frozenset(lines)


def required_channel(when: EntryCondition | str) -> str | None:
    """Return the channel that a rule requires; none: any channel, or the rule is an expression."""
    return None if isinstance(when, str) else when.channel


def unreachable_rules(policy: Policy) -> Iterator[tuple[EntryRule, list[str]]]:
    """Yield the rules that are never reached, in the document's order, with the names of the earlier rules that cover them."""
    return (found for found in reachability_steps(policy) if found is not None)


def reachability_steps(policy: Policy) -> Iterator[tuple[EntryRule, list[str]] | None]:
    """Yield ``unreachable_rules``, and None after each reachable rule, which has been compared with all before it."""
    earlier: list[tuple[EntryRule, RuleConditions]] = []
    for rule in policy.entry:
        conditions = rule_conditions(rule.when, with_channel=False)
        by_channel: dict[str, str] = {}
        for before, required in earlier:
            if required <= conditions:
                channel = required_channel(before.when)
                for name in policy.channels if channel is None else (channel,):
                    by_channel.setdefault(name, before.name)
        only = required_channel(rule.when)
        channels = policy.channels if only is None else (only,)
        if all(name in by_channel for name in channels):
            yield rule, list(dict.fromkeys(by_channel[name] for name in channels))
        else:
            earlier.append((rule, conditions))
            yield None


_PYTHON_TYPES: Final = {VariableType.BOOL: bool, VariableType.INT: int, VariableType.STRING: str}


class SampleContact(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sample contact, with facts of queues that replace the present ones."""

    channel: Name
    """Channel of the sample."""
    attributes: Attributes = {}
    customer: Attributes = {}
    """Facts of the customer."""
    queues: Annotated[dict[Name, Annotated[dict[str, FactValue], Meta(max_length=32)]], Meta(max_length=1_000)] = {}
    """Metrics by queue that replace the present ones: ``{"support": {"waiting": 21}}``."""


class RuleOutcome(StrEnum):
    """Outcome of a rule in a trial. Rules after the deciding one are not evaluated."""

    DECIDES = "decides"
    """The rule matches and decides."""
    NO_MATCH = "no_match"
    """The rule does not match."""
    FAILED = "failed"
    """The rule could not be evaluated."""
    OVER_BUDGET = "over_budget"
    """The rule would have exceeded the budget of all rules for one contact; the evaluation ended here."""
    NOT_EVALUATED = "not_evaluated"
    """An earlier rule has decided."""


class RuleTrial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule of a trial, with the values of the facts that it uses."""

    name: str
    """Name of the rule."""
    outcome: RuleOutcome
    """Outcome of the rule."""
    facts: dict[str, FactValue] = {}
    """Values of the attributes and metrics that the rule uses."""
    missing: tuple[str, ...] = ()
    """Attributes and metrics that the rule uses and that have no value."""


class EntryRuleTrial(Struct, frozen=True, kw_only=True):
    """Result of a trial: the chosen queue and the outcome of every rule."""

    queue_id: str | None
    """Chosen queue; null: the contact would be refused, because no rule matches and there is no default queue."""
    rule: str | None
    """Deciding rule; null: the default queue is used, if there is one."""
    failed: tuple[str, ...]
    """Names of the rules that could not be evaluated."""
    rules: tuple[RuleTrial, ...]
    """Outcome of every rule, in the order of the policy."""


def sample_error(policy: Policy, sample: SampleContact) -> tuple[str, str] | None:
    """Return the first error of a sample as (field, reason), if any. Contains no value of the sample."""
    if sample.channel not in policy.channels:
        return "channel", f"not one of the policy's channels: {', '.join(sorted(policy.channels))}"
    error = check_attributes(policy, sample.attributes)
    if error is None and (found := check_attributes(policy, sample.customer, "customer")) is not None:
        error = found[0].replace("attributes", "customer", 1), found[1]
    if error is not None:
        return error
    for queue_id, facts in sample.queues.items():
        if queue_id not in policy.queues:
            return f"queues.{queue_id}" if is_harmless_name(queue_id) else "queues", "not one of the policy's queues"
        for name, value in facts.items():
            kind = QUEUE_FACTS.get(name)
            if kind is None:
                return f"queues.{queue_id}", "known facts of a queue are: " + ", ".join(QUEUE_FACTS)
            if type(value) is not _PYTHON_TYPES[kind]:
                return f"queues.{queue_id}.{name}", f"must be {kind}"
    return None


def try_entry_rules(
    policy: Policy,
    sample: SampleContact,
    read_queue_fact: QueueFactLookup,
    *,
    classifier: EntryRuleClassifier | None = None,
    fact_cost: QueueFactCost = nominal_fact_cost,
) -> EntryRuleTrial:
    """Return the trial of a valid sample. ``read_queue_fact`` supplies the facts of queues that the sample omits.

    ``classifier`` is that of the policy, if it has been compiled already.
    """

    def value_of(queue_id: str, name: str) -> FactValue | None:
        given = sample.queues.get(queue_id, {})
        return given[name] if name in given else read_queue_fact(queue_id, name)

    classifier = classifier or EntryRuleClassifier(policy)
    decided = classifier.classify(sample.channel, sample.attributes, value_of, fact_cost, sample.customer)
    rules: list[RuleTrial] = []
    is_over = False
    for index, rule in enumerate(policy.entry):
        if is_over:
            rules.append(RuleTrial(name=rule.name, outcome=RuleOutcome.NOT_EVALUATED))
            continue
        if rule.name == decided.over_budget:
            is_over = True
            rules.append(RuleTrial(name=rule.name, outcome=RuleOutcome.OVER_BUDGET))
            continue
        is_over = rule is decided.rule
        outcome = RuleOutcome.DECIDES if is_over else RuleOutcome.NO_MATCH
        if rule.name in decided.failed:
            outcome = RuleOutcome.FAILED
        values = _values(rule, classifier.variables_of(index), sample, value_of)
        rules.append(
            RuleTrial(
                name=rule.name,
                outcome=outcome,
                facts={name: value for name, value in values.items() if value is not None},
                missing=tuple(name for name, value in values.items() if value is None),
            )
        )
    chosen = policy.default_queue if decided.rule is None else decided.rule.queue
    return EntryRuleTrial(
        queue_id=chosen, rule=None if decided.rule is None else decided.rule.name, failed=decided.failed, rules=tuple(rules)
    )


def _values(
    rule: EntryRule, variables: tuple[Variable, ...], sample: SampleContact, read_queue_fact: QueueFactLookup
) -> dict[str, FactValue | None]:
    """Return the facts that a rule uses, with their values."""
    if isinstance(rule.when, EntryCondition):
        found: dict[str, FactValue | None] = {f"contact.{name}": sample.attributes.get(name) for name in rule.when.attributes}
        found |= {f"customer.{name}": sample.customer.get(name) for name in rule.when.customer}
        return found if rule.when.channel is None else {"channel": sample.channel, **found}
    return {variable.text: _value(variable, sample, read_queue_fact) for variable in variables}


def _value(variable: Variable, sample: SampleContact, read_queue_fact: QueueFactLookup) -> FactValue | None:
    match variable.root:
        case "contact":
            return sample.attributes.get(variable.name)
        case "customer":
            return sample.customer.get(variable.name)
        case "known":
            return variable.name in sample.attributes or variable.name in sample.customer
        case "channel":
            return sample.channel
    return read_queue_fact(variable.owner, variable.name)
