"""Generated days that change at noon: the load, the handling time or the number of agents, for the accuracy of expected waits.

Every day is drawn from its number alone: size, patience, load before noon and the change differ from day to day. The days are
overloaded for some hours, where waits are long and a forecast is confirmed late.
"""

import json
from enum import StrEnum
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from msgspec import Struct

from router.simulator.results.forecast_accuracy import EstimatorReport
from router.simulator.run import SimulationSpec, simulate

DAYS: Final = 30
"""Days of each kind of change."""

_PERIOD_S: Final = 1_800
_PERIODS: Final = 20
_GROUP_SKILLS: Final = {"first": {"a": 5, "b": 3}, "second": {"b": 5, "c": 5}}


class Change(StrEnum):
    """What changes at noon."""

    LOAD = "load"
    HANDLING_TIME = "handling time"
    STAFF = "staff"


class PooledAccuracy(Struct, frozen=True, kw_only=True):
    """Accuracy of the expected waits of several days together."""

    answered: int
    within_50: float
    within_90: float
    interval_score_50_s: float
    interval_score_90_s: float
    mean_error_s: float


def changed_day(change: Change, number: int) -> dict[str, Any]:
    """Return the workload of one day of ten hours whose second half is different."""
    dice = Random(f"{change}/{number}")
    agents, handle_s = dice.choice((8, 12, 20, 40)), dice.uniform(150, 420)
    load, factor = dice.uniform(0.95, 1.15), dice.uniform(1.25, 2.0)
    patience_s = dice.choice((dice.uniform(300, 900), dice.uniform(900, 2_400)))
    shape: dict[str, Any] = dice.choice(({"dist": "exponential"}, {"dist": "lognormal", "cv": round(dice.uniform(0.6, 1.2), 2)}))
    shares = dice.choice(({"a": 1.0}, {"a": 0.4, "b": 0.35, "c": 0.25}))
    groups = {"first": agents} if len(shares) == 1 else {"first": agents * 11 // 20, "second": agents - agents * 11 // 20}

    def halves(value: float, other: float) -> list[float]:
        return [round(value, 3)] * (_PERIODS // 2) + [round(other, 3)] * (_PERIODS // 2)

    streams = {}
    for name, share in shares.items():
        rate = share * load * agents / handle_s * 3_600
        streams[name] = {
            "arrivals": {"per_hour": halves(rate, rate * factor if change is Change.LOAD else rate), "period_s": _PERIOD_S},
            "handle": [
                {**shape, "mean_s": mean_s}
                for mean_s in halves(handle_s, handle_s * factor if change is Change.HANDLING_TIME else handle_s)
            ],
            "patience": {"dist": "exponential", "mean_s": round(patience_s, 1)},
            "skills": {name: 1},
        }
    return {
        "name": f"{change.replace(' ', '_')}_{number}",
        "duration_s": _PERIODS * _PERIOD_S,
        "seed": number,
        "streams": streams,
        "agent_groups": {
            name: {
                "count": [round(n) for n in halves(count, max(2, count / factor) if change is Change.STAFF else count)],
                "period_s": _PERIOD_S,
                "skills": {skill: level for skill, level in _GROUP_SKILLS[name].items() if skill in shares},
            }
            for name, count in groups.items()
        },
    }


def accuracy_of(change: Change, *, days: int = DAYS) -> PooledAccuracy:
    """Run the days of a change and return the accuracy of their forecasts together."""
    reports: list[tuple[int, EstimatorReport]] = []
    with TemporaryDirectory() as folder:
        for number in range(1, days + 1):
            path = Path(folder) / "day.yaml"
            path.write_text(json.dumps(changed_day(change, number)))
            found = simulate(SimulationSpec(workload=str(path), audit=False)).forecasts["*"]
            reports.append((found.answered, found.expected))
    answered = sum(n for n, _ in reports)

    def mean(name: str) -> float:
        return float(sum(n * getattr(one, name) for n, one in reports) / answered)

    return PooledAccuracy(
        answered=answered,
        within_50=mean("within_50"),
        within_90=mean("within_90"),
        interval_score_50_s=mean("interval_score_50_s"),
        interval_score_90_s=mean("interval_score_90_s"),
        mean_error_s=mean("mean_error_s"),
    )
