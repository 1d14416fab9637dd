"""Frames about goals: what a contact is for, whether it was done, and how easy it was; and the fields that they share with HTTP."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from router.model import commands as c
from router.model.states import GoalOutcome, Name
from router.protocol.frames.command_frame import CommandFrame, ContactFrame

Ease: TypeAlias = Annotated[int, Meta(ge=1, le=7)]
Effort: TypeAlias = Annotated[int, Meta(ge=1, le=5)]
Satisfaction: TypeAlias = Annotated[int, Meta(ge=1, le=5)]


class ReportGoalFrame(ContactFrame, frozen=True, kw_only=True, tag="report_goal"):
    """Desktop, gateway, supervisor: name the goal of a contact, report its outcome or give scores, also after its end.

    What is omitted stays; null takes it back.
    """

    command = c.ReportGoal
    goal: Name | UnsetType | None = UNSET
    """What the customer came for: a goal of the policy."""
    outcome: GoalOutcome | UnsetType | None = UNSET
    """Whether it was done."""
    ease: Ease | UnsetType | None = UNSET
    """How easy it was for the customer: 1 (very difficult) to 7 (very easy)."""
    effort: Effort | UnsetType | None = UNSET
    """How much effort it took the customer: 1 (very little) to 5 (very much)."""
    satisfaction: Satisfaction | UnsetType | None = UNSET
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""


class AnswerFrame(CommandFrame, frozen=True, kw_only=True, tag="answer"):
    """Customer: answer whether it was done and how easy it was. What is omitted stays; null takes it back."""

    command = c.ReportGoal
    fixed: ClassVar[Mapping[str, object]] = {"is_customer": True}
    outcome: GoalOutcome | UnsetType | None = UNSET
    """Whether the customer got done what they came for."""
    ease: Ease | UnsetType | None = UNSET
    """How easy it was: 1 (very difficult) to 7 (very easy)."""
    effort: Effort | UnsetType | None = UNSET
    """How much effort it took: 1 (very little) to 5 (very much)."""
    satisfaction: Satisfaction | UnsetType | None = UNSET
    """How satisfied the customer is: 1 (not at all) to 5 (very)."""
