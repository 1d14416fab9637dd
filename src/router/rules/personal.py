"""Detection of personal data in facts: telephone numbers, names, dates of birth.

The journal is never rewritten, so personal data must not enter it. An ``ident`` fact with a name such as ``phone``, or a value
that looks like a telephone number or an e-mail address, is refused unless the policy declares the fact ``non_personal``. The
check is a heuristic: it prevents accidents, not deliberate misuse.
"""

import re
from typing import Final

from router.model.policy import FactPolicy, FactType

NAME_MESSAGE: Final = (
    "looks like personal data, which attributes must not hold; if it is not, set non_personal: true"
)
VALUE_MESSAGE: Final = (
    "looks like a telephone number or an address; if it is not, set non_personal: true"
)

_PERSONAL: Final = frozenset(
    {
        *("phone", "phones", "telephone", "tel", "mobile", "cellphone", "msisdn", "fax"),
        *("caller", "callerid", "ani", "cli", "email", "emails", "mail"),
        *("name", "names", "firstname", "lastname", "surname", "forename", "fullname"),
        *("birth", "birthday", "birthdate", "birthplace", "dob"),
        *("address", "street", "zip", "zipcode", "postcode", "postal"),
        *("iban", "bic", "ssn", "passport", "card", "pan", "holder", "accountholder", "taxid"),
    }
)
# Seven or more digits, optionally with a plus and single separators. Ids of up to six digits are allowed.
_TELEPHONE: Final = re.compile(r"(?:tel:)?\+?[0-9](?:[ .:_-]?[0-9]){6,}").fullmatch


def sounds_personal(name: str, fact: FactPolicy) -> bool:
    """Return whether a fact's name suggests personal data. Only an ``ident`` can hold any."""
    if fact.non_personal or fact.type is not FactType.IDENT:
        return False
    return not _PERSONAL.isdisjoint(re.split(r"[-_]", name))


def looks_personal(value: str) -> bool:
    """Return whether a text looks like a telephone number or an e-mail address."""
    return "@" in value or _TELEPHONE(value) is not None
