"""Recognition of personal data in ids: telephone numbers, payment cards, bank accounts, e-mail and other addresses.

The journal is never rewritten, so personal data must not enter it. These checks are heuristics: they prevent accidents, not
deliberate misuse. They are made so that ordinary ids pass – order numbers, UUIDs, call ids such as ``1700000000.123``, dates – and
an id of the operator's own passes whatever it contains as soon as a word stands before it (``order-0170-1234567``).

There are three degrees. ``is_personal_reference`` is for ids of other systems, which are often numbers; ``is_personal_value`` is
for values of facts, where a number with seven digits or more is suspicious, since a fact can be declared ``non_personal``; the
pattern of codes (``model/states.py``) is for short words such as reasons, and does without check digits.

Most references are decided by the first match of one regular expression, since this is done for every submit.
"""

import re
import string
from typing import Final

import phonenumbers
from stdnum import iban, luhn

_SCHEMES: Final = "(?:tel|callto|sips?|mailto):"
# What could be one of them at all: an address, only digits and separators, or country and check digits of an account.
_is_suspect: Final = re.compile(
    rf"{_SCHEMES}|[0-9][0-9._:-]{{6,}}\Z|[A-Z]{{2}}[0-9]{{2}}[0-9A-Z._:-]{{11,50}}\Z", re.IGNORECASE
).match
_has_scheme: Final = re.compile(_SCHEMES, re.IGNORECASE).match
# Seven or more digits, optionally with a plus and single separators.
_NUMBER: Final = re.compile(r"\+?[0-9](?:[ .:_-]?[0-9]){6,}").fullmatch
_separators: Final = re.compile(r"[ ._:-]+")
# First digits of the payment networks: Visa, Mastercard, Maestro, UnionPay, Discover, American Express, Diners, JCB, Mir.
_has_card_prefix: Final = re.compile(r"4|5[0-9]|6[0-9]|3[04-9]|2[2-7]").match
# Telephone numbers with country or area code have 10 to 15 digits (ITU-T E.164), cards 13 to 19 (ISO/IEC 7812).
_DIGITS_MIN: Final = 10
_DIGITS_MAX: Final = 15
_CARD_DIGITS: Final = range(13, 20)
# Area code and number within a country, behind a zero.
_NATIONAL_DIGITS: Final = range(9, 14)
# Letters as numbers, A as 10 and Z as 35.
_LETTERS: Final = {ord(letter): str(int(letter, 36)) for letter in string.ascii_letters}
_starts_with_date: Final = re.compile(r"[0-3][0-9][._:-][01][0-9][._:-](?:19|20)[0-9]{2}").match
# What an id has no place for, at the ends of words and between the groups of a number that is written with spaces.
_outside_ids: Final = re.compile(r"[^0-9A-Za-z._:-]").sub
_digit_groups: Final = re.compile(r"\b[0-9](?:[ ()/._-]{0,3}[0-9]){6,}\b").findall
_between_digits: Final = re.compile(r"[^0-9]+").sub
_is_north_american: Final = re.compile(r"(?:1[._:-])?[2-9][0-9]{2}[._:-][2-9][0-9]{2}[._:-][0-9]{4}").fullmatch


def is_personal_reference(reference: str) -> bool:
    """Return whether an id of another system is personal data. It has only the characters of ``ID_PATTERN``, and is not empty."""
    if _is_suspect(reference) is None:
        return False
    if not reference[0].isdigit():
        return _has_scheme(reference) is not None or _is_account(reference)
    groups = _separators.split(reference)
    if len(groups) == 1:
        return _DIGITS_MIN <= len(reference) <= _DIGITS_MAX or _is_card(reference)
    return _is_grouped_card(groups) or _is_grouped_telephone(reference, groups)


def is_personal_value(value: str) -> bool:
    """Return whether the value of a fact is personal data, or any number with seven digits or more."""
    if "@" in value or _NUMBER(value) is not None:
        return True
    return _has_scheme(value) is not None or (_is_suspect(value) is not None and _is_account(value))


def is_personal_integer(value: int) -> bool:
    """Return whether an integer has as many digits as a telephone number with area code, or is the number of a card."""
    if 10 ** (_DIGITS_MIN - 1) <= value < 10**_DIGITS_MAX:
        return True
    return value >= 10**_DIGITS_MAX and _is_card(str(value))


def is_personal_note(note: str) -> bool:
    """Return whether a note of a few words holds personal data: an address, a telephone number, a card or an account."""
    if "@" in note or next(iter(phonenumbers.PhoneNumberMatcher(note, None)), None) is not None:
        return True
    words = [_outside_ids("", word) for word in note.split()]
    numbers = [_between_digits("-", found) for found in _digit_groups(note)]
    return any(word and is_personal_reference(word) for word in (*words, *numbers))


def _is_card(digits: str) -> bool:
    return len(digits) in _CARD_DIGITS and _has_card_prefix(digits) is not None and luhn.is_valid(digits)


def _is_grouped_card(groups: list[str]) -> bool:
    """Return whether the groups are those printed on a card: 4-4-4-4, 4-6-5, 4-6-4 or 4-4-4-4-3 digits."""
    return len(groups[0]) == 4 and all(3 <= len(group) <= 6 for group in groups) and _is_card("".join(groups))


def _is_account(text: str) -> bool:
    """Return whether a text is an IBAN: country, length, structure and check digits (ISO 13616)."""
    compact = _separators.sub("", text)
    # The check digits (ISO 7064), which nearly every other id fails, before the library's slower check of country and structure.
    return int((compact[4:] + compact[:4]).translate(_LETTERS)) % 97 == 1 and bool(iban.is_valid(compact))


def _is_grouped_telephone(text: str, groups: list[str]) -> bool:
    digits, first = "".join(groups), groups[0]
    if first.startswith("00"):
        return len(first) > 2 and first[2] != "0" and _international(digits[2:]) is not None
    if first.startswith("0"):
        return 2 <= len(first) <= 6 and len(digits) in _NATIONAL_DIGITS and _starts_with_date(text) is None
    if _is_north_american(text) is not None:
        return True
    is_country = len(first) <= 3 and int(first) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    if not is_country or len(groups) < 3 or not _DIGITS_MIN <= len(digits) <= _DIGITS_MAX:
        return False
    # A country code without its plus: only if the digits are grouped as numbers of this country are written.
    found = _international(digits)
    if found is None:
        return False
    written = phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return _separators.split(written.removeprefix("+")) == groups


def _international(digits: str) -> phonenumbers.PhoneNumber | None:
    """Return the telephone number that begins with a country code; none: there is no such number."""
    try:
        found = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    return found if phonenumbers.is_valid_number(found) else None
