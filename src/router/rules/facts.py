"""Facts: the declared, typed attributes that contacts and agents may carry.

What is not declared does not enter. So nobody's words, names or numbers get into the core, the journal or the logs by way
of attributes: a fact is a truth value, a whole number, one of a list of codes, or an opaque id.
"""

import re
from collections.abc import Mapping
from typing import Final

from router.model.ids import ID_PATTERN
from router.model.policy import FactPolicy, FactType, FactValue, Policy
from router.rules.personal import VALUE_MESSAGE, looks_personal

UNDECLARED: Final = "no such fact is declared"
INT_MIN: Final = -(2**53)
INT_MAX: Final = 2**53

_IS_ID: Final = re.compile(ID_PATTERN).match
# More than a policy may declare; keeps a hostile sender from having thousands of names looked up.
_COUNT_MAX: Final = 64


def check_attributes(
    policy: Policy, attributes: Mapping[str, FactValue], of: str = "contact"
) -> tuple[str, str] | None:
    """The first attribute that may not enter, as (field, reason); none: all are declared facts ``of`` that kind.

    The field names the attribute only if it is declared (an undeclared name may be anything); the reason is
    ``UNDECLARED`` or says what the fact must be. Neither repeats a value.
    """
    if not attributes:
        return None
    if len(attributes) > _COUNT_MAX:
        return "attributes", f"at most {_COUNT_MAX} attributes"
    facts = policy.facts
    for name, value in attributes.items():
        fact = facts.get(name)
        if fact is None or fact.of != of:
            return "attributes", UNDECLARED
        objection = fact_objection(fact, value)
        if objection is not None:
            return f"attributes.{name}", objection
    return None


def fact_objection(fact: FactPolicy, value: object) -> str | None:
    """What is wrong with a value of that fact; none: nothing. A bool is not an int, an int is not a bool."""
    kind = type(value)
    match fact.type:
        case FactType.BOOL:
            return None if kind is bool else "must be true or false"
        case FactType.INT:
            # mypy cannot follow ``type(value) is int``, which is needed because bool is a subclass.
            if isinstance(value, int) and kind is int:
                return None if INT_MIN <= value <= INT_MAX else "must be within ±2^53"
            return "must be a whole number"
        case FactType.ENUM:
            return (
                None
                if value in fact.values and kind is str
                else "must be one of the declared values"
            )
        case FactType.IDENT:
            if isinstance(value, str) and _IS_ID(value):
                return VALUE_MESSAGE if not fact.non_personal and looks_personal(value) else None
            return "must be an id: at most 128 of A-Z, a-z, 0-9, and . _ : -"
