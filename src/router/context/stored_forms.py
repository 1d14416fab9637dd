"""Short forms in which parts of customers are stored: profiles as arrays, and letters for what every identity repeats.

A customer has a profile and three identities or so, and there may be millions of customers; with the names of fields and words in
full these took 130 bytes more for each. What earlier versions have stored is read as well, and gets the short form when it is
written again. Both can be told apart: a profile in full is a map, not an array, and no word in full has a single letter.
"""

from typing import Final

import msgspec
from msgspec import Struct

from router.context.customers import PROFILE_FIELDS, Consent, ConsentChange, Profile
from router.context.identities import Assurance

_TYPE_LETTERS: Final = {"phone": "p", "email": "e", "app_user": "u", "device": "d", "cookie": "c"}
"""Other types have a name of their own after a colon, and stay as they are."""
_TYPES: Final = {letter: type for type, letter in _TYPE_LETTERS.items()}
_ASSURANCE_LETTERS: Final = {Assurance.VERIFIED: "v", Assurance.ASSERTED: "a", Assurance.CLAIMED: "c"}
_ASSURANCES: Final = {letter: assurance for assurance, letter in _ASSURANCE_LETTERS.items()}


class _StoredProfile(Struct, array_like=True):
    """A profile as it is stored; what is left out at the end is empty."""

    name: str | None = None
    tier: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    preferred_channel: str | None = None
    changed: list[tuple[int, str, int]] = []
    """Time and actor of a last change, with a bit for each field that it has changed."""
    consents: dict[str, tuple[bool, int, str]] = {}
    consent_changes: list[ConsentChange] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_StoredProfile)
_map_decoder: Final = msgspec.msgpack.Decoder(Profile)


def stored_type(type: str) -> str:
    """Return a type of identities as it is stored."""
    return _TYPE_LETTERS.get(type, type)


def type_of(stored: str) -> str:
    """Return the type of identities that is stored so."""
    return _TYPES.get(stored, stored)


def stored_assurance(assurance: Assurance) -> str:
    """Return an assurance as it is stored."""
    return _ASSURANCE_LETTERS[assurance]


def assurance_of(stored: str) -> Assurance:
    """Return the assurance that is stored so. Raises ValueError."""
    return _ASSURANCES.get(stored) or Assurance(stored)


def all_stored(assurance: Assurance) -> tuple[str, str]:
    """Return the forms in which an assurance may be stored."""
    return _ASSURANCE_LETTERS[assurance], str(assurance)


def pack_profile(profile: Profile) -> bytes:
    """Return a profile as it is stored."""
    changed: dict[tuple[int, str], int] = {}
    for bit, name in enumerate(PROFILE_FIELDS):
        if name in profile.changed:
            changed[profile.changed[name]] = changed.get(profile.changed[name], 0) | 1 << bit
    values = [
        *(getattr(profile, name) for name in PROFILE_FIELDS),
        [(at_ms, actor, bits) for (at_ms, actor), bits in changed.items()],
        {purpose: (one.granted, one.at_ms, one.source) for purpose, one in profile.consents.items()},
        profile.consent_changes,
    ]
    while values and not values[-1] and values[-1] != "":
        values.pop()
    return _encoder.encode(values)


def unpack_profile(content: bytes) -> Profile:
    """Return the profile of ``pack_profile``, or one that an earlier version has stored. Raises ValueError."""
    if content[:1] and _is_map(content[0]):
        return _map_decoder.decode(content)
    stored = _decoder.decode(content)
    changed = {
        name: (at_ms, actor) for at_ms, actor, bits in stored.changed for bit, name in enumerate(PROFILE_FIELDS) if bits & 1 << bit
    }
    return Profile(
        name=stored.name,
        tier=stored.tier,
        time_zone=stored.time_zone,
        locale=stored.locale,
        preferred_channel=stored.preferred_channel,
        consents={
            purpose: Consent(granted=granted, at_ms=at_ms, source=source)
            for purpose, (granted, at_ms, source) in stored.consents.items()
        },
        consent_changes=stored.consent_changes,
        changed=changed,
    )


def _is_map(first: int) -> bool:
    """Return whether a value of MessagePack that begins with this byte is a map."""
    return first & 0xF0 == 0x80 or first in (0xDE, 0xDF)
