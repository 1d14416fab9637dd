"""Recognition of personal data: a table of what is refused, and one of ordinary ids that must pass."""

import random
import re
import string

import pytest

from router.model.states import CODE_PATTERN
from router.policy.personal_data import is_personal_integer, is_personal_reference, is_personal_value

TELEPHONES = (
    *("4915112345678", "0301234567", "0170-1234567", "030-1234567", "030.1234567", "06.12.34.56.78", "020-7946-0958"),
    *("0049-170-1234567", "49-170-1234567", "33-6-12-34-56-78", "44-20-7946-0958", "1-212-555-0199", "212-555-0199"),
)
CARDS = (
    "4111111111111111",
    "4111-1111-1111-1111",
    "5500.0000.0000.0004",
    "378282246310005",
    "3782-822463-10005",
    "6011000990139424",
)
ACCOUNTS = ("DE89370400440532013000", "de89370400440532013000", "DE89-3704-0044-0532-0130-00", "GB82WEST12345698765432")
ADDRESSES = ("tel:110", "TEL:0301", "sip:ada", "SIPS:ada", "mailto:ada", "callto:ada")
ORDINARY = (
    # Call ids: Asterisk (also with its system name), FreeSWITCH, a SIP Call-ID, Twilio, Genesys.
    *("1700000000.123", "1764479640.7", "pbx1-1764479640.7", "550e8400-e29b-41d4-a716-446655440000"),
    *("a84b4c76e66710", "CA0123456789abcdef0123456789abcdef", "019ad1c0-7c3e-7b7e-8d51-3f0a7c1e2b9d"),
    # Orders, tickets, invoices.
    *("4711", "12345678", "123456789", "123-456-789", "12-3456789", "2026-000123", "20240101-000123", "2026-11-30-0001"),
    *("20261130-0001", "4411-2233-4455", "100-200-300", "0001-0000001", "INC0012345", "ORD-2026-0000123456", "1Z999AA10123456784"),
    # Dates and times, addresses of networks, versions, books, other ids.
    *("2026.11.30", "01.12.2026-17", "05-11-2026-0001", "20261130.051400", "2024-11-30T10:00", "192.168.100.200", "10.20.30.40"),
    *("1.2.3.4.5.6.7.8", "978-3-16-148410-0", "01HF7YAT00ZQ3V7D6Z0N9E2QXB", "AB12CDEF00112233", "8f3a", "1" * 20),
    *("00000000-0000-0000-0000-000000000000", "DE89370400440532013001", "4111111111111112", "GB82WEST", "DE12-PREMIUM-LINE"),
    # An id of one's own passes with a word before it.
    *("call-0170-1234567", "order-4111111111111111", "account-DE89370400440532013000", "ref:4915112345678"),
)
CODES = (
    *("customer-4711", "not_reached", "US10-CARD-LOST-CALL", "2026-11-30", "v2.10.3", "pod-0170-77", "gw-7f9c4d7b9-x2k4q", "AB12"),
    *("550e8400-e29b-41d4-a716-446655440000", "call-0170-1234567"),
)


@pytest.mark.parametrize("text", [*TELEPHONES, *CARDS, *ACCOUNTS, *ADDRESSES])
def test_personal_data_is_recognised_everywhere(text: str) -> None:
    assert is_personal_reference(text) and is_personal_value(text)


@pytest.mark.parametrize("text", [*(t for t in TELEPHONES if len(re.sub(r"\D", "", t)) >= 10), *CARDS, *ACCOUNTS, *ADDRESSES])
def test_a_code_is_none_of_it(text: str) -> None:
    assert re.match(CODE_PATTERN, text) is None


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_id_is_accepted_as_reference(text: str) -> None:
    assert not is_personal_reference(text)


@pytest.mark.parametrize("text", CODES)
def test_an_ordinary_code_is_accepted(text: str) -> None:
    assert re.match(CODE_PATTERN, text) is not None


@pytest.mark.parametrize("value", ["ada@example.org", "ada.b@sub.example.org", "+49 170 1234567", "1700000000.123"])
def test_a_fact_is_stricter(value: str) -> None:
    """A number with seven digits is refused in a fact, which the policy can declare ``non_personal``."""
    assert is_personal_value(value)


def test_integers() -> None:
    personal = (4915112345678, 3012345678, 378282246310005, 4111111111111111)
    assert all(map(is_personal_integer, personal))
    harmless = (0, -4915112345678, 150_000, 999_999_999, 4111111111111112, 1234567890123456, 2**53)
    assert not any(map(is_personal_integer, harmless))


def test_random_ids_are_hardly_ever_taken_for_personal_data() -> None:
    draw = random.Random(7)
    letters = string.ascii_uppercase + string.digits
    ids = [f"{draw.getrandbits(128):032x}" for _ in range(5_000)]
    ids += ["".join(draw.choices(letters, k=22)) for _ in range(5_000)]
    ids += [f"{1_700_000_000 + draw.randrange(10**8)}.{draw.randrange(10**6)}" for _ in range(5_000)]
    ids += [f"{draw.randrange(2000, 2030)}-{draw.randrange(10**6):06}" for _ in range(5_000)]
    assert not [one for one in ids if is_personal_reference(one)]
    numbers = [str(draw.randrange(10**15, 10**16)) for _ in range(5_000)]
    assert sum(map(is_personal_reference, numbers)) < 0.07 * len(numbers), "one of ten has a right check digit"
