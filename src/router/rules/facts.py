"""Facts: the declared and typed attributes of contacts and agents.

Undeclared attributes are refused, and a fact is a boolean, an integer, one of a list of codes, or an opaque id. So attributes
carry no free text and no personal data into the engine, the journal or the logs.
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
# Bounds the work for a hostile request; the API's limit of attributes is the same.
_COUNT_MAX: Final = 64


def check_attributes(
    policy: Policy, attributes: Mapping[str, FactValue], of: str = "contact"
) -> tuple[str, str] | None:
    """Return the first invalid attribute as (field, reason); none: all are valid facts of contacts or agents.

    The field names the attribute only if it is declared, since an undeclared name may be any text. The reason is
    ``UNDECLARED_FACT`` or says what the fact must be. Neither repeats a value.
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
    """Return why a value is invalid for a fact; none: it is valid. A bool is not an int, nor the reverse."""
    kind = type(value)
    match fact.type:
        case FactType.BOOL:
            return None if kind is bool else "must be true or false"
        case FactType.INT:
            # bool is a subclass of int, so the type must be compared; mypy narrows by isinstance only.
            if isinstance(value, int) and kind is int:
                return None if INT_MIN <= value <= INT_MAX else "must be within ±2^53"
            return "must be an integer"
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
