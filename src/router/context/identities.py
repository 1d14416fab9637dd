"""Identities of customers: their types, their strength and assurance, and their normal form for look-up.

An identity is a type and a value: a telephone number, an e-mail address, the id of a signed-in app user, a device. Values name
people, so they are stored sealed and are found by a keyed hash of their **normal form** only (``keys.LookupKey``).

*Strength* follows from the type and says what an identity may decide. A **strong** identity (``app_user``, ``external:<name>``)
belongs to one person for good. An **address** (``phone``, ``email``, ``social:<name>``) reaches a person but may be shared by a
household. A **weak** identity (``device``, ``cookie``) passes from one person to another.

*Assurance* says how the sender of a request knows the identity: **verified** by a login or a second factor, **asserted** by a
trusted gateway (caller id, sender address), or merely **claimed** by a visitor who typed it.

Numbers of some countries are written in two ways for the same subscriber (Mexico with and without the old mobile digit 1, Brazil
with and without the ninth digit, Argentina with and without the mobile digit 9). The other forms are look-up candidates; the number
itself is stored as it was given, in E.164.
"""

import re
import unicodedata
from enum import IntEnum, StrEnum
from functools import cache
from typing import Annotated, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from msgspec import Meta, Struct

from router.model.errors import RouterError

VALUE_LENGTH_MAX: Final = 320
"""Longest value of an identity in characters; an e-mail address has at most 320."""

IDENTITIES_MAX: Final = 8
"""Most identities of one request."""

CANDIDATES_MAX: Final = 3
"""Most normal forms under which a value is looked up."""

IDENTITY_TYPE_PATTERN: Final = r"^(phone|email|app_user|device|cookie|(social|external):[a-z0-9_-]{1,32})$"
IDENTITY_TYPE_RULE: Final = "must be phone, email, app_user, device, cookie, social:<name> or external:<name>"

IdentityType = Annotated[str, Meta(pattern=IDENTITY_TYPE_PATTERN, extra={"rule": IDENTITY_TYPE_RULE})]


class Strength(IntEnum):
    """What an identity may decide; a higher value decides before a lower one."""

    WEAK = 0
    ADDRESS = 1
    STRONG = 2


class Assurance(StrEnum):
    """How the sender of a request knows an identity."""

    VERIFIED = "verified"
    """By a login or a second factor."""
    ASSERTED = "asserted"
    """By a trusted gateway, such as a caller id or the address of a sender."""
    CLAIMED = "claimed"
    """Typed by a visitor; selects no customer."""


ASSURANCE_RANK: Final = {Assurance.CLAIMED: 0, Assurance.ASSERTED: 1, Assurance.VERIFIED: 2}


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity as a client sends it."""

    type: IdentityType
    """``phone``, ``email``, ``app_user``, ``device``, ``cookie``, ``social:<name>`` or ``external:<name>``."""
    value: Annotated[str, Meta(min_length=1, max_length=VALUE_LENGTH_MAX)]
    """The number, address or id."""
    assurance: Assurance = Assurance.ASSERTED
    """How the sender knows it."""


class NormalIdentity(Struct, frozen=True):
    """An identity in its normal form."""

    type: str
    strength: Strength
    assurance: Assurance
    value: str
    """The value as it is stored and shown: E.164 for telephone numbers."""
    candidates: tuple[str, ...]
    """Normal forms under which the value is looked up: the exact one first, at most ``CANDIDATES_MAX``."""


class IdentityInvalid(RouterError):
    """The value of an identity cannot be used; the message names the reason, never the value."""


# Values that applications send for "no user". They would join all their visitors into one customer.
_PLACEHOLDERS: Final = frozenset(
    {"-", "0", "anon", "anonymous", "distinct_id", "distinctid", "email", "false", "id", "n/a", "na", "nan", "nil", "none"}
    | {"not_authenticated", "null", "private", "restricted", "true", "unavailable", "undefined", "unknown", "userid", "user_id"}
    | {"withheld", "[object object]", "00000000-0000-0000-0000-000000000000"}
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PLACEHOLDER_FORMS: Final = re.compile(r"^([0\-\s]+|gues[t]([ _-]?user)?|anonymous[ _-]?user)$", re.IGNORECASE)

_STRENGTHS: Final = {
    "app_user": Strength.STRONG,
    "external": Strength.STRONG,
    "phone": Strength.ADDRESS,
    "email": Strength.ADDRESS,
    "social": Strength.ADDRESS,
    "device": Strength.WEAK,
    "cookie": Strength.WEAK,
}


def strength_of(type: str) -> Strength:
    """Return the strength of an identity type. Raises IdentityInvalid for an unknown type."""
    strength = _STRENGTHS.get(type.partition(":")[0])
    if strength is None:
        raise IdentityInvalid("must be phone, email, app_user, device, cookie, social:<name> or external:<name>")
    return strength


def normalise(identity: Identity, *, region: str) -> NormalIdentity:
    """Return the normal form of an identity.

    ``region`` is the country (ISO 3166, two letters) of telephone numbers without a country code. Raises IdentityInvalid for a
    value that identifies no customer: not a number or address, or a placeholder such as ``null`` or ``anonymous``.
    """
    strength = strength_of(identity.type)
    value = unicodedata.normalize("NFC", identity.value).strip()
    if not value or _CONTROL.search(value):
        raise IdentityInvalid("must be text without control characters")
    if value.lower() in _PLACEHOLDERS or _PLACEHOLDER_FORMS.match(value):
        raise IdentityInvalid("is a placeholder such as null, undefined or anonymous, which identifies no customer")
    if identity.type == "phone":
        value = _e164(value, region)
        candidates: tuple[str, ...] = phone_candidates(value)
    elif identity.type == "email":
        value = _address(value)
        candidates = (value.lower(),)
    else:
        candidates = (value,)
    return NormalIdentity(identity.type, strength, identity.assurance, value, candidates)


@cache
def is_region(region: str) -> bool:
    """Return whether telephone numbers of this region (ISO 3166, two capital letters) are known."""
    return region in phonenumbers.SUPPORTED_REGIONS


def _e164(value: str, region: str) -> str:
    """Return a telephone number in E.164. Raises IdentityInvalid."""
    try:
        number = phonenumbers.parse(value.removeprefix("tel:"), region)
    except phonenumbers.NumberParseException:
        raise IdentityInvalid("must be a telephone number, with a country code unless it is of the workspace's region") from None
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    # An old form, such as Mexico's with the digit 1, is no longer possible by today's numbering plan, but its variant is.
    if not any(_is_possible(form) for form in phone_candidates(text)):
        raise IdentityInvalid("must be a telephone number of a possible length, with a country code")
    return text


def _is_possible(number: str) -> bool:
    return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))


def phone_candidates(number: str) -> tuple[str, ...]:
    """Return the forms under which a number (E.164) may be stored: itself first, then its variants."""
    return (number, *_variants(number))[:CANDIDATES_MAX]


def _variants(number: str) -> tuple[str, ...]:
    if number.startswith("+52"):
        # Mexico: the mobile digit 1 was abolished in 2019; ten digits follow the country code.
        if len(number) == 14 and number[3] == "1":
            return ("+52" + number[4:],)
        return ("+521" + number[3:],) if len(number) == 13 else ()
    if number.startswith("+55"):
        # Brazil: mobile numbers have a ninth digit 9 before eight digits that start with 6 to 9; the area code has two digits.
        if len(number) == 14 and number[5] == "9":
            return (number[:5] + number[6:],)
        return (number[:5] + "9" + number[5:],) if len(number) == 13 and number[5] in "6789" else ()
    if number.startswith("+54"):
        # Argentina: a 9 after the country code marks mobile numbers in international form; ten digits follow.
        if len(number) == 14 and number[3] == "9":
            return ("+54" + number[4:],)
        return ("+549" + number[3:],) if len(number) == 13 else ()
    return ()


def _address(value: str) -> str:
    """Return an e-mail address with its domain in lower-case ASCII; the local part keeps its case. Raises IdentityInvalid."""
    try:
        found = validate_email(value, check_deliverability=False, allow_quoted_local=True, test_environment=True)
    except EmailNotValidError:
        raise IdentityInvalid("must be an e-mail address") from None
    # The library keeps internationalised domains in their own script; the ASCII form is the one that mail servers use.
    return f"{found.local_part}@{(found.ascii_domain or found.domain).lower()}"


def masked(type: str, value: str) -> str:
    """Return the value of an identity for display: enough to recognise it, not enough to use it."""
    if type == "phone":
        return f"{value[:3]}…{value[-2:]}"
    if type == "email":
        local, _, domain = value.partition("@")
        return f"{local[:1]}…@{domain}"
    return f"{value[:2]}…" if len(value) > 4 else "…"
