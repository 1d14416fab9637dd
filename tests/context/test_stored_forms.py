"""Stored forms of profiles, words and journeys: whatever is stored is read back, also as earlier versions have stored it."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from router.context.customers import PROFILE_FIELDS, Consent, ConsentChange, Profile
from router.context.identities import Assurance
from router.context.journey import Step
from router.context.journey_codec import JourneyCodec
from router.context.stored_forms import (
    all_stored,
    assurance_of,
    pack_profile,
    stored_assurance,
    stored_type,
    type_of,
    unpack_profile,
)

TEXTS = st.one_of(
    st.sampled_from(["", ",", "a", "a,b", "ab", "abc", "item-1", "item-2", "ü"]), st.text(st.characters(codec="utf-8"), max_size=8)
)
WORDS = st.one_of(st.none(), TEXTS)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
DATA = st.dictionaries(
    TEXTS, st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(TEXTS, SCALARS, max_size=2)), max_size=3
)
REFS = st.lists(st.tuples(TEXTS, TEXTS, st.one_of(st.none(), st.integers(0, 2**53))), max_size=2).map(tuple)
TIMES = st.integers(0, 2**53)
STEPS = st.builds(Step, TIMES, TEXTS, WORDS, WORDS, WORDS, DATA, REFS, WORDS)
ACTORS = st.sampled_from(["agent:ann", "gateway:web"])


@given(st.lists(STEPS, max_size=12), st.integers(1, 6))
@settings(max_examples=60)
def test_a_journey_is_read_back_as_it_was(steps: list[Step], times: int) -> None:
    """Steps that repeat have columns of few different words; types of values are compared too, since 1 == 1.0 == True."""
    codec, steps = JourneyCodec(), steps * times
    found = codec.unpack(codec.pack(steps))
    assert found == steps and repr(found) == repr(steps)


@given(
    st.builds(
        Profile,
        name=WORDS,
        tier=WORDS,
        time_zone=WORDS,
        locale=WORDS,
        preferred_channel=WORDS,
        consents=st.dictionaries(
            TEXTS, st.builds(Consent, granted=st.booleans(), at_ms=TIMES, source=st.text(min_size=1, max_size=4)), max_size=3
        ),
        consent_changes=st.lists(
            st.builds(ConsentChange, TEXTS, st.one_of(st.none(), st.booleans()), TIMES, TEXTS, ACTORS), max_size=3
        ),
        changed=st.dictionaries(st.sampled_from(PROFILE_FIELDS), st.tuples(st.sampled_from([1, 2]), ACTORS)),
    )
)
@settings(max_examples=60)
def test_a_profile_is_read_back_also_from_the_form_of_earlier_versions(profile: Profile) -> None:
    assert unpack_profile(pack_profile(profile)) == profile
    assert unpack_profile(msgspec.msgpack.encode(profile)) == profile


def test_a_profile_takes_few_bytes() -> None:
    by_import = dict.fromkeys(("tier", "locale", "time_zone"), (1_800_000_000_000, "import"))
    profile = Profile(tier="gold", locale="de-DE", time_zone="Europe/Berlin", changed=by_import)
    assert len(pack_profile(profile)) < 55 < len(msgspec.msgpack.encode(profile)) / 2


def test_words_are_read_in_full_and_as_letters() -> None:
    types = ["phone", "email", "app_user", "device", "cookie", "social:x", "external:crm"]
    assert [type_of(stored_type(one)) for one in types] == types == [type_of(one) for one in types]
    assert len({stored_type(one) for one in types}) == len(types)
    for assurance in Assurance:
        assert all_stored(assurance) == (stored_assurance(assurance), str(assurance))
        assert {assurance_of(form) for form in all_stored(assurance)} == {assurance}
