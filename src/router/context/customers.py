"""Customers as clients see them: profile, identities, merges, and the answers of the context store.

A **customer** is a person as far as the router knows: a random id, a profile, and identities. Two customers that turn out to be one
person are **merged**: the loser points to the winner, nothing is moved, and the merge can be undone exactly at any time. The
**root** of a customer is the winner at the end of its pointers; the customers of one root are its **members**.
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from router.context.identities import Assurance
from router.model.errors import RouterError

CUSTOMER_ID_PATTERN: Final = r"^c_[0-9a-f]{32}(?!\n)$"
MERGE_ID_PATTERN: Final = r"^m_[0-9a-f]{32}(?!\n)$"

STRONG_AND_ADDRESS_MAX: Final = 20
"""Most strong identities and addresses of one customer."""
WEAK_MAX: Final = 50
"""Most weak identities of one customer; the one seen longest ago goes."""
MEMBERS_MAX: Final = 8
"""Most customers that are merged into one."""
CONSENTS_MAX: Final = 32
CONSENT_CHANGES_MAX: Final = 50

CUSTOMER_ID_RULE: Final = "must be a customer id: c_ and 32 hexadecimal digits in lower case"

CustomerId = Annotated[str, Meta(pattern=CUSTOMER_ID_PATTERN, extra={"rule": CUSTOMER_ID_RULE})]
MergeId = Annotated[
    str, Meta(pattern=MERGE_ID_PATTERN, extra={"rule": "must be the id of a merge: m_ and 32 hexadecimal digits in lower case"})
]
Purpose = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}$", extra={"rule": "must be 1 to 64 of a-z, 0-9, _ and -"})]
ShortText = Annotated[str, Meta(max_length=128)]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_/+.-]{1,64}$", extra={"rule": "must be 1 to 64 of A-Z, a-z, 0-9, and _ / + . -"})]


class ContextError(RouterError):
    """Base of the errors of the context store. Texts name ids, fields and limits, never a value of a customer."""


class ContextUnavailable(ContextError):
    """The context store cannot be used at present: its disk or its thread has failed, or it is too busy."""


class ContextConflict(ContextError):
    """Another router has changed the same customer at the same time; the operation left nothing behind and can run again."""


class ContextCorrupt(ContextError):
    """The files of the context store are damaged, or do not belong together."""


class UnknownCustomer(ContextError):
    """No customer has this id."""


class ErasedCustomer(ContextError):
    """The customer was erased."""


class UnknownMerge(ContextError):
    """No merge has this id."""


class MergeRefused(ContextError):
    """The customers cannot be merged, or the merge cannot be undone; the message says why."""


class NotErasable(ContextError):
    """The data of the contact cannot be erased alone; the message says what to erase instead."""


class IdentityTaken(ContextError):
    """The identity belongs to another customer."""


class IdentityConflict(ContextError):
    """The customer has another strong identity of the same type, so they are another person."""


class UnknownIdentity(ContextError):
    """The customer has no identity of this number."""


class TooManyIdentities(ContextError):
    """The customer has as many identities as are allowed."""


class VersionMismatch(ContextError):
    """The customer was changed since the version that the caller names."""


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a customer agrees to a purpose, since when, and how this is known."""

    granted: bool
    """True: agreed; false: refused or withdrawn."""
    at_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """When the customer said so, in milliseconds of Unix time."""
    source: Annotated[str, Meta(min_length=1, max_length=64)]
    """How it is known, for example ``app`` or ``agent``."""


class ProfileChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fields of a profile to set; null removes a field, an omitted one stays (JSON merge patch, RFC 7396)."""

    name: ShortText | UnsetType | None = UNSET
    """Name, as the agent should say it."""
    tier: Code | UnsetType | None = UNSET
    """Tier, for example ``gold``."""
    time_zone: Code | UnsetType | None = UNSET
    """IANA time zone, for example ``Europe/Berlin``."""
    locale: Code | UnsetType | None = UNSET
    """Language and region, for example ``de-DE``."""
    preferred_channel: Code | UnsetType | None = UNSET
    """Channel on which the customer prefers to be reached."""
    consents: dict[Purpose, Consent | None] | UnsetType = UNSET
    """Consents by purpose; null removes one."""


class ConsentChange(Struct, frozen=True, array_like=True):
    """An entry of the history of consents."""

    purpose: str
    granted: bool | None
    """None: removed."""
    at_ms: int
    source: str
    actor: str


class Profile(Struct, kw_only=True, omit_defaults=True):
    """What is known about a customer, as it is stored."""

    name: str | None = None
    tier: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    preferred_channel: str | None = None
    consents: dict[str, Consent] = {}
    consent_changes: list[ConsentChange] = []
    changed: dict[str, tuple[int, str]] = {}
    """Time and actor of the last change of each field; never the earlier value."""


PROFILE_FIELDS: Final = ("name", "tier", "time_zone", "locale", "preferred_channel")


def united_profile(winner: Profile, loser: Profile) -> Profile:
    """Return the profile of the winner with what only the loser has; nothing is stored."""
    consents = dict(winner.consents)
    for purpose, consent in loser.consents.items():
        if purpose not in consents or consents[purpose].at_ms < consent.at_ms:
            consents[purpose] = consent
    return Profile(
        name=winner.name if winner.name is not None else loser.name,
        tier=winner.tier if winner.tier is not None else loser.tier,
        time_zone=winner.time_zone if winner.time_zone is not None else loser.time_zone,
        locale=winner.locale if winner.locale is not None else loser.locale,
        preferred_channel=winner.preferred_channel if winner.preferred_channel is not None else loser.preferred_channel,
        consents=consents,
    )


class IdentityView(Struct, frozen=True, kw_only=True):
    """An identity of a customer. The value is masked unless the caller may see it."""

    number: int
    """Number of the identity, by which it is detached."""
    type: str
    strength: str
    """``strong``: belongs to one person; ``address``: may be shared; ``weak``: passes from one person to another."""
    assurance: Assurance
    """How the identity is known."""
    value: str
    """Value, masked unless the caller may see it."""
    seen_ms: int
    """When the identity was attached, or when its latest login was, epoch milliseconds."""


class CandidateView(Struct, frozen=True, kw_only=True):
    """Another customer who uses the same identity; a person decides whether they are the same."""

    customer_id: str
    identity_type: str
    """Type of the shared identity."""


class CustomerView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A customer. Of merged customers the union: fields of the winner first."""

    customer_id: str
    merged_into: str | None = None
    """Root of this customer, where it was merged; the other fields are the root's."""
    members: tuple[str, ...] = ()
    """All customers that were merged, without the root."""
    version: int
    """Number that grows with every change of the customer."""
    created_ms: int
    """When the customer was first seen, epoch milliseconds."""
    seen_ms: int
    """When an identity of the customer was last seen, epoch milliseconds."""
    is_anonymous: bool = False
    """True: known by weak identities only."""
    name: str | None = None
    """Name, as the agent should say it."""
    tier: str | None = None
    """Tier, for example ``gold``."""
    time_zone: str | None = None
    """IANA time zone."""
    locale: str | None = None
    """Language and region."""
    preferred_channel: str | None = None
    """Channel on which the customer prefers to be reached."""
    consents: dict[str, Consent] = {}
    """Consents by purpose."""
    identities: tuple[IdentityView, ...] = ()
    """Identities of all members, strong ones first."""
    candidates: tuple[CandidateView, ...] = ()
    """Other customers who use an address of this one."""


class ConflictKind(StrEnum):
    """Why the identities of one request belong to different customers."""

    STRONG = "identity_conflict"
    """Two customers have different strong identities of one type."""
    SHARED_ADDRESS = "shared_address"
    """The address belongs to another customer; it stays there and is listed as candidate."""
    NOT_VERIFIED = "not_verified"
    """The customers might be one person, but an identity is not verified."""
    UNDONE = "merge_undone"
    """Both were merged once and the merge was undone, so they are never merged automatically."""
    TOO_MANY_MEMBERS = "too_many_members"
    """The merged customer would have too many members."""


class Conflict(Struct, frozen=True, kw_only=True):
    """Customers that were not merged, and why."""

    kind: ConflictKind
    """Why not."""
    customer_id: str
    """The other customer."""
    identity_type: str
    """Type of the identity that leads to the other customer."""


class Resolved(Struct, frozen=True, kw_only=True):
    """The customer of the identities of a request."""

    customer_id: str | None
    """Root; None where none was found and none was to be created."""
    member_id: str | None = None
    """Member that has the identity that decided: what is recorded under this id follows the identity when a merge is
    undone. None where no customer was found."""
    created: bool = False
    """Whether the customer is new."""
    assurance: Assurance | None = None
    """Assurance of the identity that selected the customer."""
    merged: tuple[str, ...] = ()
    """Customers that were merged into this one by the request."""
    conflicts: tuple[Conflict, ...] = ()
    """Other customers of these identities, who were not merged."""


class Merged(Struct, frozen=True, kw_only=True):
    """A merge that was made."""

    merge_id: str
    customer_id: str
    """Winner."""
    merged_customer_id: str
    """Loser."""


class Unmerged(Struct, frozen=True, kw_only=True):
    """A merge that was undone."""

    merge_id: str
    customer_ids: tuple[str, ...]
    """Both customers: the winner first."""
    undecided: int = 0
    """Steps and contacts since the merge that came with no identity; they stay with the winner."""
