"""Which texts may be ids and names; the door lets in nothing else."""

from typing import Any

import msgspec
import pytest

from router.model.ids import Ident, Name
from router.model.states import ContactState

GOOD_IDENTS = ("c1", "A.b_c:d-9", "0", "x" * 128)
BAD_IDENTS = (
    "",
    "x" * 129,
    "two words",
    "c1\n",
    "\nc1",
    "c1\nc2",
    "c1\r",
    "c1\u2028",
    "a/b",
    "ä",
    "c1\x00",
    "%41",
    "٣",
)
GOOD_NAMES = ("support", "a", "tier_2-x", "a" * 64)
BAD_NAMES = ("", "Support", "2nd", "_x", "a b", "support\n", "a" * 65, "a.b", "a:b", "é")


def check(kind: Any, text: str) -> str:
    """Both ways in: bytes from the wire, and an object that was already decoded."""
    decoded: str = msgspec.json.decode(msgspec.json.encode(text), type=kind)
    assert decoded == msgspec.convert(text, kind)
    return decoded


@pytest.mark.parametrize("text", GOOD_IDENTS)
def test_a_good_id(text: str) -> None:
    assert check(Ident, text) == text


@pytest.mark.parametrize("text", BAD_IDENTS)
def test_a_bad_id(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        check(Ident, text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Ident)


@pytest.mark.parametrize("text", GOOD_NAMES)
def test_a_good_name(text: str) -> None:
    assert check(Name, text) == text


@pytest.mark.parametrize("text", BAD_NAMES)
def test_a_bad_name(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        check(Name, text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Name)


def test_an_error_does_not_say_what_was_sent() -> None:
    secret = "Ada Lovelace, +44 20 7946 0000"
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"id": secret}, dict[str, Ident])
    assert secret not in str(caught.value)


def test_four_states_of_a_contact_are_terminal() -> None:
    terminal = {state for state in ContactState if state.is_terminal}
    assert terminal == {
        ContactState.ENDED,
        ContactState.ABANDONED,
        ContactState.CANCELLED,
        ContactState.EXPIRED,
    }
