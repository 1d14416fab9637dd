"""Goals: what customers come for, when it is done, and when they have come again for it."""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from router.model.policy.customer_facts import StepMatch
from router.model.policy.values import DAY_S, PolicyStruct
from router.model.states import GoalOutcome, Ident, Name

# Longest time for which goals are kept after their contact.
GOALS_KEPT_S_MAX: Final = 90 * DAY_S


class RepeatOf(StrEnum):
    """Which earlier contact of a customer a new one repeats."""

    GOAL = "goal"
    """One with the same goal."""
    CUSTOMER = "customer"
    """Any one with a goal, whatever the customer comes for now."""


class GoalPolicy(PolicyStruct, frozen=True, kw_only=True):
    """One thing that customers come for."""

    done_by: Annotated[tuple[StepMatch, ...], Meta(max_length=16)] = ()
    """Steps of the journey that report it as done: any of these, during the contact or within ``done_within_s`` after it."""
    done_within_s: Annotated[int, Meta(ge=0, le=GOALS_KEPT_S_MAX)] = 3 * DAY_S
    """Time after the contact in which such a step counts, in seconds."""
    dispositions: Annotated[dict[Ident, GoalOutcome], Meta(max_length=1_000)] = {}
    """Outcomes that dispositions stand for, in addition to and before those of all goals."""
    repeat_within_s: Annotated[int, Meta(ge=0, le=GOALS_KEPT_S_MAX)] | None = None
    """Time after a contact in which the next one is a repeat, in seconds; null: that of all goals."""


class GoalsPolicy(PolicyStruct, frozen=True, kw_only=True):
    """Goals of contacts. Without ``known`` the workspace has none."""

    known: Annotated[dict[Name, GoalPolicy], Meta(max_length=1_000)] = {}
    """Goals by name; contacts can have only these."""
    default: Name | None = None
    """Goal of contacts for which neither the submit nor an entry rule names one; null: they have none."""
    dispositions: Annotated[dict[Ident, GoalOutcome], Meta(max_length=1_000)] = {}
    """Outcomes that dispositions stand for, for all goals. A disposition that is not listed says nothing about the goal."""
    repeat_within_s: Annotated[int, Meta(ge=0, le=GOALS_KEPT_S_MAX)] = 7 * DAY_S
    """Time after a contact in which the next one of the same customer is a repeat, in seconds; 0: none is."""
    repeat_of: RepeatOf = RepeatOf.GOAL
    """Whether the next one must have the same goal."""
    kept_s: Annotated[int, Meta(ge=DAY_S, le=GOALS_KEPT_S_MAX)] = 8 * DAY_S
    """Time for which the goal of a contact is kept after it, in seconds: so long it can be corrected, and be repeated."""
    kept_max: Annotated[int, Meta(ge=1_000, le=1_000_000)] = 100_000
    """Maximum number of contacts whose goal is kept, about 800 bytes each. Beyond it the oldest that are over are forgotten."""
