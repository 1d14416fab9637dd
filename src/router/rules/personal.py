"""Facts that smell of a person: names of facts and values that would carry a telephone number, a name, a date of birth.

Routing needs codes, not people. The journal is never rewritten, so what should not be in it is stopped at the door: an ``ident``
whose name sounds personal, or a value that looks like a telephone number, is refused unless the policy says that the fact is
``non_personal``. A guess by the look of things: it finds carelessness, not malice.
"""

import re
from typing import Final

from router.model.policy import FactPolicy, FactType

NAME_MESSAGE: Final = (
    "sounds personal: such data has no place here; if it holds none, say non_personal: true"
)
VALUE_MESSAGE: Final = "looks like a telephone number or an address: say non_personal: true if not"

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
# Seven digits or more, with or without a plus and single separators: a telephone number, and not an id of up to six digits.
_TELEPHONE: Final = re.compile(r"(?:tel:)?\+?[0-9](?:[ .:_-]?[0-9]){6,}").fullmatch


def sounds_personal(name: str, fact: FactPolicy) -> bool:
    """Whether a fact's name says that it would hold a person's data. Only an ``ident`` can hold any."""
    if fact.non_personal or fact.type is not FactType.IDENT:
        return False
    return not _PERSONAL.isdisjoint(re.split(r"[-_]", name))


def looks_personal(value: str) -> bool:
    """Whether a text looks like a telephone number or an e-mail address."""
    return "@" in value or _TELEPHONE(value) is not None
