"""How facts of customers are derived from their profiles, journeys and contacts."""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from router.model.policy.values import DAY_S, PolicyStruct

# Longest window of a derived fact; older steps are not kept.
WINDOW_S_MAX: Final = 30 * DAY_S
StepWord: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}(?!\n)$",
        extra={"rule": "must be a letter or digit, then at most 63 of A-Z, a-z, 0-9, and _ . : / -"},
    ),
]
Purpose: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9_-]{1,64}(?!\n)$", extra={"rule": "must be 1 to 64 of a-z, 0-9, _ and -"})
]


class ProfileField(StrEnum):
    """Field of a customer's profile that a fact may have the value of."""

    TIER = "tier"
    """Tier."""
    TIME_ZONE = "time_zone"
    """Time zone."""
    LOCALE = "locale"
    """Language and region."""
    PREFERRED_CHANNEL = "preferred_channel"
    """Preferred channel."""


class StepField(StrEnum):
    """Field of a step that a fact may have the value of."""

    NAME = "name"
    """What exactly."""
    RESULT = "result"
    """How it ended."""
    CHANNEL = "channel"
    """Where it happened."""


class StepMatch(PolicyStruct, frozen=True, kw_only=True):
    """Steps of a journey: those whose fields all have these values."""

    type: StepWord
    """Type of the step."""
    name: StepWord | None = None
    """Name of the step; null: any."""
    result: StepWord | None = None
    """Result of the step; null: any."""
    channel: StepWord | None = None
    """Channel of the step; null: any."""


class DerivePolicy(PolicyStruct, frozen=True, kw_only=True):
    """Where a fact of a customer comes from: one of ``count``, ``latest``, ``profile``, ``consent`` and ``open_contacts``."""

    count: StepMatch | None = None
    """Number of these steps within ``within_s``; for a ``bool``, whether there is one."""
    latest: StepMatch | None = None
    """The newest of these steps within ``within_s``; the value is its ``field``."""
    field: StepField = StepField.NAME
    """Field of the step of ``latest``."""
    within_s: Annotated[int, Meta(ge=1, le=WINDOW_S_MAX)] = DAY_S
    """Length of the window of ``count`` and ``latest``, which ends now."""
    profile: ProfileField | None = None
    """Field of the profile."""
    consent: Purpose | None = None
    """Purpose: whether the customer has consented to it."""
    open_contacts: bool = False
    """Number of the customer's contacts that have not ended; for a ``bool``, whether there is one."""
