"""Normal forms of identities, their strength, and values that identify no customer."""

import pytest

from router.context.identities import (
    CANDIDATES_MAX,
    Assurance,
    Identity,
    IdentityInvalid,
    Strength,
    is_region,
    masked,
    normalise,
    phone_candidates,
    strength_of,
)


def normal(type: str, value: str, region: str = "DE") -> str:
    return normalise(Identity(type=type, value=value), region=region).value


@pytest.mark.parametrize(
    ("type", "strength"),
    [
        ("app_user", Strength.STRONG),
        ("external:crm", Strength.STRONG),
        ("phone", Strength.ADDRESS),
        ("email", Strength.ADDRESS),
        ("social:whatsapp", Strength.ADDRESS),
        ("device", Strength.WEAK),
        ("cookie", Strength.WEAK),
    ],
)
def test_the_strength_follows_from_the_type(type: str, strength: Strength) -> None:
    assert strength_of(type) is strength
    assert (
        normalise(Identity(type=type, value="a@b.example" if type == "email" else "0151 1234567"), region="DE").strength is strength
    )


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(IdentityInvalid, match="must be phone"):
        normalise(Identity(type="fax", value="1"), region="DE")


@pytest.mark.parametrize(
    ("value", "region", "expected"),
    [
        ("0151 1234567", "DE", "+491511234567"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("tel:+49-151-1234567", "US", "+491511234567"),
        ("+52 1 55 1234 5678", "DE", "+5215512345678"),
        ("+54 9 11 1234-5678", "DE", "+5491112345678"),
    ],
)
def test_a_telephone_number_is_stored_in_e164(value: str, region: str, expected: str) -> None:
    assert normal("phone", value, region) == expected


@pytest.mark.parametrize(
    ("number", "others"),
    [
        ("+5215512345678", ("+525512345678",)),
        ("+525512345678", ("+5215512345678",)),
        ("+5511912345678", ("+551112345678",)),
        ("+551191234567", ("+5511991234567",)),
        ("+551132345678", ()),
        ("+5491112345678", ("+541112345678",)),
        ("+541112345678", ("+5491112345678",)),
        ("+491511234567", ()),
    ],
)
def test_other_forms_of_a_number_are_candidates_after_the_exact_one(number: str, others: tuple[str, ...]) -> None:
    found = phone_candidates(number)
    assert found[0] == number and found[1:] == others and len(found) <= CANDIDATES_MAX


def test_the_forms_of_a_number_find_each_other() -> None:
    for one, other in [
        ("+5215512345678", "+525512345678"),
        ("+5511912345678", "+551112345678"),
        ("+5491112345678", "+541112345678"),
    ]:
        assert set(phone_candidates(one)) & set(phone_candidates(other))


@pytest.mark.parametrize(
    ("value", "stored", "candidate"),
    [
        ("Anna.B+shop@Example.ORG", "Anna.B+shop@example.org", "anna.b+shop@example.org"),
        ("a@bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        (" u\u0308@example.org ".strip(), "ü@example.org", "ü@example.org"),
    ],
)
def test_an_address_keeps_its_local_part_and_its_tag(value: str, stored: str, candidate: str) -> None:
    found = normalise(Identity(type="email", value=value), region="DE")
    assert (found.value, found.candidates) == (stored, (candidate,))


@pytest.mark.parametrize(
    "value",
    ["null", "NULL", "undefined", "0", "anonymous", "[object Object]", "NaN", "  none ", "00-00", "gue" + "st", "Anonymous User"],
)
@pytest.mark.parametrize("type", ["app_user", "device", "external:crm"])
def test_placeholders_are_refused(type: str, value: str) -> None:
    with pytest.raises(IdentityInvalid, match="placeholder"):
        normalise(Identity(type=type, value=value), region="DE")


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("phone", "withheld"),
        ("phone", "call me"),
        ("phone", "+49 1"),
        ("phone", "1" * 40),
        ("email", "anna"),
        ("email", "a@b@c"),
        ("email", "@example.org"),
        ("device", "a\x00b"),
        ("device", "   "),
    ],
)
def test_what_is_no_number_address_or_id_is_refused_without_repeating_it(type: str, value: str) -> None:
    with pytest.raises(IdentityInvalid) as caught:
        normalise(Identity(type=type, value=value), region="DE")
    assert len(value) < 5 or value not in str(caught.value)


def test_the_assurance_is_kept() -> None:
    found = normalise(Identity(type="app_user", value="u-1", assurance=Assurance.VERIFIED), region="DE")
    assert found.assurance is Assurance.VERIFIED


def test_regions_are_known_by_their_iso_code() -> None:
    assert is_region("DE") and is_region("BR") and not is_region("XX") and not is_region("de")


@pytest.mark.parametrize(
    ("type", "value", "shown"),
    [
        ("phone", "+491511234567", "+49…67"),
        ("email", "anna@b.example", "a…@b.example"),
        ("device", "d-123", "d-…"),
        ("cookie", "abc", "…"),
    ],
)
def test_a_masked_value_is_recognised_but_cannot_be_used(type: str, value: str, shown: str) -> None:
    assert masked(type, value) == shown
