"""Checks of the alerts of a policy: measures, thresholds and what is watched."""

from collections.abc import Iterator
from difflib import get_close_matches
from math import isfinite

from router.model.errors import Problem
from router.model.policy import (
    COUNTED_MEASURES,
    LIVE_MEASURES,
    SAMPLED_MEASURES,
    AlertBy,
    AlertPeriod,
    AlertPolicy,
    Policy,
    subjects_of,
)
from router.policy.checks.sections import duplicate_names, unknown_name


def alert_problems(policy: Policy) -> Iterator[Problem]:
    """Yield the problems of all alerts, in the document's order."""
    for name, alert in policy.alerts.items():
        path = f"alerts.{name}"
        yield from _measure_problems(path, alert)
        yield from _threshold_problems(path, alert)
        yield from _subject_problems(policy, path, alert)


def _measure_problems(path: str, alert: AlertPolicy) -> Iterator[Problem]:
    subjects = subjects_of(alert.measure)
    if subjects is None:
        close = get_close_matches(alert.measure, (*LIVE_MEASURES, *SAMPLED_MEASURES, *COUNTED_MEASURES), n=1)
        hint = f"; there is {close[0]}" if close else ""
        yield Problem(path=f"{path}.measure", message=f"no such measure{hint}")
        return
    if alert.by not in subjects:
        allowed = ", ".join(one for one in AlertBy if one in subjects)
        yield Problem(path=f"{path}.by", message=f"this measure can be watched by {allowed}")
    if alert.measure in LIVE_MEASURES and alert.period is not AlertPeriod.LAST_15M:
        yield Problem(path=f"{path}.period", message="without effect: the measure is of the present moment; leave it out")
    if alert.samples_min and alert.measure not in SAMPLED_MEASURES:
        yield Problem(path=f"{path}.samples_min", message="only for shares, means and quantiles: this measure has no samples")


def _threshold_problems(path: str, alert: AlertPolicy) -> Iterator[Problem]:
    if (alert.above is None) == (alert.below is None):
        yield Problem(path=f"{path}.above", message="give exactly one of above and below")
        return
    for name in ("above", "below", "clear"):
        value = getattr(alert, name)
        if value is not None and not isfinite(value):
            yield Problem(path=f"{path}.{name}", message="must be a finite number")
            return
    if alert.clear is not None and alert.is_beyond(alert.clear):
        side = "at most above" if alert.above is not None else "at least below"
        yield Problem(path=f"{path}.clear", message=f"must be {side}: the alert would be raised and cleared at once")


def _subject_problems(policy: Policy, path: str, alert: AlertPolicy) -> Iterator[Problem]:
    yield from duplicate_names(f"{path}.only", alert.only)
    if alert.only and alert.by is AlertBy.WORKSPACE:
        yield Problem(path=f"{path}.only", message="not for the workspace, which is watched as a whole")
    if alert.by in (AlertBy.QUEUE, AlertBy.CHANNEL):
        noun, names = ("queue", tuple(policy.queues)) if alert.by is AlertBy.QUEUE else ("channel", tuple(policy.channels))
        for index, name in enumerate(alert.only):
            if name not in names:
                yield unknown_name(f"{path}.only[{index}]", noun, name, names)
