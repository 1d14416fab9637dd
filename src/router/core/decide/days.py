"""Days of the workspace's zone, for rules that count by the day. Zones are looked at here, and the event says what they said."""

from router.core.decide.step import Step
from router.model.events import DayBegan
from router.model.policy import Policy, Selection
from router.rules.days import day_at
from router.rules.selections import selections_of


def counts_days(policy: Policy | None) -> bool:
    """Whether some selection asks what was given to whom today."""
    return policy is not None and Selection.FEWEST_TODAY in selections_of(policy)


def begin_day(step: Step) -> None:
    """The day that it is now. Late is as good as in time: the days between are nobody's."""
    policy = step.state.policy
    assert policy is not None
    day, until_ms = day_at(policy.zone, step.at_ms)
    step.emit(DayBegan(day=day, until_ms=until_ms))


def follow_policy(step: Step, before: Policy | None) -> None:
    """Another policy is in force: begin to count where that is new, and anew where the days are others."""
    policy = step.state.policy
    if policy is None or not counts_days(policy):
        return
    if step.state.day is None or before is None or before.zone != policy.zone:
        begin_day(step)
