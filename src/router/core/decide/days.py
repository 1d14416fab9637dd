"""Calendar days in the time zone of the workspace, for selection rules that count per day.

The time zone is evaluated here and the result is part of the event, so replay does not depend on zone data.
"""

from router.core.decide.step import Step
from router.model.events import DayBegan
from router.model.policy import Policy, Selection
from router.rules.days import day_at
from router.rules.selections import selections_of


def counts_days(policy: Policy | None) -> bool:
    """Return whether some selection rule depends on the contacts of the day."""
    return policy is not None and Selection.FEWEST_TODAY in selections_of(policy)


def begin_day(step: Step) -> None:
    """Start the present day; days that passed while the router was stopped are skipped."""
    policy = step.state.policy
    assert policy is not None
    day, until_ms = day_at(policy.zone, step.at_ms)
    step.emit(DayBegan(day=day, until_ms=until_ms))


def follow_policy(step: Step, before: Policy | None) -> None:
    """Start the day after a change of policy if counting is new or the time zone has changed."""
    policy = step.state.policy
    if policy is None or not counts_days(policy):
        return
    if step.state.day is None or before is None or before.zone != policy.zone:
        begin_day(step)
