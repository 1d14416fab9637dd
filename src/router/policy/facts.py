"""Facts: the declared and typed attributes of contacts and agents.

Undeclared attributes are refused, and a fact is a boolean, an integer, one of a list of codes, or an opaque id. So attributes
carry no free text and no personal data into the engine, the journal or the logs.

Personal data: an ``ident`` fact with a name such as ``phone``, or a value that ``personal_data.py`` recognises, is refused unless
the policy declares the fact ``non_personal``; so is an ``int`` with such a name, of 10 to 15 digits, or with the number of a card.

Conditions of queues on agents (``agents_when``) are evaluated when an agent or the policy changes, for each class of customers that
they tell apart. ``selection: by_attributes`` compares the attributes of agents as ordered numbers.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from router.model.errors import is_harmless_name
from router.model.policy import FactPolicy, FactType, FactValue, Policy, Selection, selections_of
from router.model.states import ID_PATTERN, QueueId
from router.policy.cel_library import Variable
from router.policy.customer_classes import NO_CLASS, NO_CUSTOMER_FACTS, CustomerClass, CustomerClasses, RankedFact, number_use_error
from router.policy.expression_tokens import ExpressionError
from router.policy.expressions import ExpressionCache, agent_scope, compile_expression, compile_leniently
from router.policy.personal_data import is_personal_integer, is_personal_value
from router.policy.rule_costs import agent_conditions_over_budget

UNDECLARED_FACT: Final = "no such fact is declared"
INT_MIN: Final = -(2**53)
INT_MAX: Final = 2**53
PERSONAL_NAME_MESSAGE: Final = "looks like personal data, which attributes must not hold; if it is not, set non_personal: true"
PERSONAL_VALUE_MESSAGE: Final = (
    "looks like a telephone number, an account, a card or an address; if it is not, set non_personal: true"
)
# Values of the facts that any queue's condition uses, in a fixed order; None: the agent does not have the attribute.
AttributeKey: TypeAlias = tuple[FactValue | None, ...]
RankedAttributes: TypeAlias = dict[str, FactPolicy]
AttributeRanks: TypeAlias = tuple[tuple[str, int], ...]
_MISSING: Final = (1, 0)
_IS_ID: Final = re.compile(ID_PATTERN).match
# Bounds the work for a hostile request; the API's limit of attributes is the same.
_ATTRIBUTE_COUNT_MAX: Final = 64
# Names or values that an error lists.
_NAMES_SHOWN_MAX: Final = 20
_PERSONAL_WORDS: Final = frozenset(
    {
        *("phone", "phones", "telephone", "tel", "mobile", "cellphone", "msisdn", "fax"),
        *("caller", "callerid", "ani", "cli", "email", "emails", "mail"),
        *("name", "names", "firstname", "lastname", "surname", "forename", "fullname"),
        *("birth", "birthday", "birthdate", "birthplace", "dob"),
        *("address", "street", "zip", "zipcode", "postcode", "postal"),
        *("iban", "bic", "ssn", "passport", "card", "pan", "holder", "accountholder", "taxid"),
    }
)
# Words that suggest personal data in a number too.
_PERSONAL_NUMBER_WORDS: Final = frozenset(
    {
        *("phone", "phones", "telephone", "tel", "mobile", "cellphone", "msisdn", "fax"),
        *("caller", "callerid", "ani", "cli", "iban", "ssn", "passport", "pan", "taxid"),
    }
)


def check_attributes(policy: Policy, attributes: Mapping[str, FactValue], applies_to: str = "contact") -> tuple[str, str] | None:
    """Return the first invalid attribute as (field, reason); none: all are valid facts of contacts or agents.

    The field names the attribute, unless its name could itself be data. The reason says what would be valid: the declared facts,
    or the values of this fact. Neither repeats a value.
    """
    if not attributes:
        return None
    if len(attributes) > _ATTRIBUTE_COUNT_MAX:
        return "attributes", f"at most {_ATTRIBUTE_COUNT_MAX} attributes"
    facts = policy.facts
    for name, value in attributes.items():
        fact = facts.get(name)
        if fact is None or fact.applies_to != applies_to:
            return undeclared_attribute(policy, name, applies_to)
        error = fact_value_error(fact, value)
        if error is None and type(value) is int and not fact.non_personal and is_personal_integer(value):
            error = PERSONAL_VALUE_MESSAGE
        if error is not None:
            return f"attributes.{name}", error
    return None


def undeclared_attribute(policy: Policy, name: str, applies_to: str) -> tuple[str, str]:
    """Return the field and the reason for an attribute that is not declared, with the names of those that are."""
    names = sorted(known for known, fact in policy.facts.items() if fact.applies_to == applies_to)
    shown = ", ".join(names[:_NAMES_SHOWN_MAX]) or "none"
    reason = f"{UNDECLARED_FACT}; declared for {applies_to}s are: {shown}{', …' if len(names) > _NAMES_SHOWN_MAX else ''}"
    return f"attributes.{name}" if is_harmless_name(name) else "attributes", reason


def fact_value_error(fact: FactPolicy, value: object) -> str | None:
    """Return why a value is invalid for a fact; none: it is valid. A bool is not an int, nor the reverse."""
    kind = type(value)
    match fact.type:
        case FactType.BOOL:
            return None if kind is bool else "must be true or false"
        case FactType.INT:
            # bool is a subclass of int, so the type must be compared; mypy narrows by isinstance only.
            if isinstance(value, int) and kind is int:
                return None if INT_MIN <= value <= INT_MAX else f"must be an integer from {INT_MIN:,} to {INT_MAX:,}"
            return "must be an integer"
        case FactType.ENUM:
            is_declared = value in fact.values and kind is str
            return None if is_declared else f"must be one of {', '.join(fact.values[:_NAMES_SHOWN_MAX])}"
        case FactType.IDENT:
            if isinstance(value, str) and _IS_ID(value):
                return PERSONAL_VALUE_MESSAGE if not fact.non_personal and is_personal_value(value) else None
            return "must be an id: at most 128 of A-Z, a-z, 0-9, and . _ : -"


def is_personal_name(name: str, fact: FactPolicy) -> bool:
    """Return whether a fact's name suggests personal data. Only an ``ident`` or an ``int`` can hold any."""
    if fact.non_personal or fact.type not in (FactType.IDENT, FactType.INT):
        return False
    words = _PERSONAL_WORDS if fact.type is FactType.IDENT else _PERSONAL_NUMBER_WORDS
    return not words.isdisjoint(re.split(r"[-_]", name))


class AgentConditions:
    """Conditions of all queues on agents' facts under one policy.

    Agents are represented by the values of the facts that any condition uses (``attribute_key``), and customers by their class, so
    that agents and customers with equal values share cached outcomes.
    """

    def __init__(self, policy: Policy) -> None:
        scope = agent_scope(policy)
        self._facts = scope.facts
        self._customer_facts = scope.customer_facts
        self.customers = CustomerClasses(policy)
        """Classes of customers that the conditions of queues and plans tell apart."""
        self._conditions: dict[QueueId, ExpressionCache] = {}
        self.over_budget = frozenset(queue_id for queue_id, _ in agent_conditions_over_budget(policy))
        """Queues whose condition exceeds the budget of all conditions: it is not evaluated, and no agent meets it."""
        for queue_id, queue in policy.queues.items():
            if queue.agents_when is not None and queue_id not in self.over_budget:
                self._conditions[queue_id] = ExpressionCache(compile_leniently(queue.agents_when, scope))
        used = {variable.name for memo in self._conditions.values() for variable in memo.expression.variables}
        mentioned = used - self._customer_facts.keys()
        self._indexes = {name: index for index, name in enumerate(sorted(mentioned))}

    @property
    def queue_ids(self) -> tuple[QueueId, ...]:
        """Return the queues with a condition that is evaluated."""
        return tuple(self._conditions)

    def attribute_key(self, attributes: Mapping[str, FactValue]) -> AttributeKey:
        """Return the values of the facts that conditions use. A value that the policy no longer allows counts as missing."""
        facts = self._facts
        return tuple([_allowed(facts[name], attributes.get(name)) for name in self._indexes])

    def accepts(self, queue_id: QueueId, key: AttributeKey, customer: CustomerClass | None = NO_CLASS) -> bool:
        """Return whether agents with these values qualify for contacts of a queue whose customers are of a class.

        ``customer``: None for the contacts of any class. If the evaluation fails, the agents do not qualify.
        """
        memo = self._conditions.get(queue_id)
        if memo is None:
            return queue_id not in self.over_budget
        if customer is None:
            return any(self.accepts(queue_id, key, one) for one in self.customers.classes_of_condition(queue_id))
        places, known = self._indexes, dict(customer) if customer else NO_CUSTOMER_FACTS

        def value_of(variable: Variable) -> FactValue | None:
            place = places.get(variable.name)
            value = known.get(variable.name) if place is None else key[place]
            return value is not None if variable.root == "known" else value

        return bool(memo.evaluate(value_of))

    def accepts_facts(self, queue_id: QueueId, key: AttributeKey, customer_facts: Mapping[str, FactValue]) -> bool:
        """Return the same as ``accepts`` for the facts of one customer, without reducing them to a class."""
        facts = self._customer_facts
        allowed = {name: _allowed(facts[name], value) for name, value in customer_facts.items() if name in facts}
        return self.accepts(queue_id, key, tuple((name, value) for name, value in allowed.items() if value is not None))


def _allowed(fact: FactPolicy, value: FactValue | None) -> FactValue | None:
    return None if value is None or fact_value_error(fact, value) is not None else value


def agents_when_error(text: str, policy: Policy) -> ExpressionError | None:
    """Return the error in a queue's ``agents_when``, if any."""
    scope = agent_scope(policy)
    try:
        compile_expression(text, scope)
    except ExpressionError as error:
        return error
    return number_use_error(text, scope)


def ranked_attributes(policy: Policy) -> RankedAttributes:
    """Return the attributes that some queue orders agents by, keyed by name; empty if no queue does."""
    if Selection.BY_ATTRIBUTES not in selections_of(policy):
        return {}
    names = {step.fact for queue in policy.queues.values() for step in queue.order_by}
    return {name: policy.facts[name] for name in sorted(names)}


def attribute_ranks(facts: RankedAttributes, attributes: dict[str, FactValue]) -> AttributeRanks:
    """Return the agent's values of these attributes as integers, without those that are missing."""
    return tuple(
        (name, _rank(fact, attributes[name]))
        for name, fact in facts.items()
        if name in attributes and fact_value_error(fact, attributes[name]) is None
    )


def _rank(fact: FactPolicy, value: FactValue) -> int:
    return fact.values.index(str(value)) if fact.type is FactType.ENUM else int(value)


def attribute_sort_key(ranks: dict[str, int], order: tuple[RankedFact, ...]) -> tuple[tuple[int, int], ...]:
    """Return the sort key of an agent: smaller is chosen first, and a missing attribute sorts last."""
    keys: list[tuple[int, int]] = []
    for fact, is_descending, equal_to in order:
        rank = ranks.get(fact)
        if rank is None:
            keys.append(_MISSING)
            continue
        if equal_to is not None:
            rank = int(rank != equal_to)
        keys.append((0, -rank if is_descending else rank))
    return tuple(keys)
