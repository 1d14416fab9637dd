"""Valid and invalid ids and names."""

from typing import Any

import msgspec
import pytest

from router.model.states import Ident, Name

VALID_IDENTS = ("c1", "A.b_c:d-9", "0", "x" * 128)
INVALID_IDENTS = ("", "x" * 129, "two words", "c1\n", "\nc1", "c1\nc2", "c1\r", "c1\u2028", "a/b", "ä", "c1\x00", "%41", "٣")
VALID_NAMES = ("support", "a", "tier_2-x", "a" * 64)
INVALID_NAMES = ("", "Support", "2nd", "_x", "a b", "support\n", "a" * 65, "a.b", "a:b", "é")


def check(kind: Any, text: str) -> str:
    """Decode a text in both ways: from bytes, and from an object that was decoded before."""
    decoded: str = msgspec.json.decode(msgspec.json.encode(text), type=kind)
    assert decoded == msgspec.convert(text, kind)
    return decoded


@pytest.mark.parametrize("text", VALID_IDENTS)
def test_an_id_is_accepted(text: str) -> None:
    assert check(Ident, text) == text


@pytest.mark.parametrize("text", INVALID_IDENTS)
def test_an_invalid_id_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        check(Ident, text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Ident)


@pytest.mark.parametrize("text", VALID_NAMES)
def test_a_name_is_accepted(text: str) -> None:
    assert check(Name, text) == text


@pytest.mark.parametrize("text", INVALID_NAMES)
def test_an_invalid_name_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        check(Name, text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Name)


def test_an_error_does_not_repeat_the_value() -> None:
    secret = "Ada Lovelace, +44 20 7946 0000"
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"id": secret}, dict[str, Ident])
    assert secret not in str(caught.value)
