"""Day profile of a run: service level and occupancy by interval, the distribution of waits, and the balance of agent load.

The report covers the whole day; the day profile has the data of its chart. Both use the same statistics class, here on a copy of
the day that is divided into intervals and has every agent in a group of its own, so that they always agree.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from router.simulator.day import Day
from router.simulator.results.estimates import BatchSums, gini, percentile, ratios
from router.simulator.results.run_stats import RunStats
from router.statistics.service_level import ratio, service_level

_HALF_HOUR_MS: Final = 1_800_000

# Two days of half hours; more points would not be readable in a chart.
INTERVALS_MAX: Final = 96

# One quantile per half per cent, for a smooth curve up to its tail.
QUANTILE_STEPS: Final = 200


class DayProfile(Struct, frozen=True, kw_only=True):
    """Profile of a run, or of all replications together."""

    from_s: float
    """Start of the first interval, on the day's own clock."""
    interval_s: float
    contacts: tuple[int, ...]
    """Arrivals by interval."""
    service_level: tuple[float | None, ...]
    """Service level of the contacts that arrived in the interval; none without such contacts."""
    occupancy: tuple[float | None, ...]
    """Time with open work / time ready or with open work; none if no agent was on duty."""
    wait_quantiles_s: tuple[float, ...]
    """Quantiles of the waits of answered contacts at 0, 0.5, 1, … 100 %; empty if none was answered."""
    load_gini: float | None
    """Gini coefficient of the agents' time with open work; with replications, the mean over them."""


class DayProfileRecorder:
    """Factory of one listener per replication, and their common day profile after the last one."""

    def __init__(self) -> None:
        self._stats: RunStats | None = None
        self._intervals: list[BatchSums] = []
        self._ginis: list[float] = []
        self._from_ms = self._width_ms = 0
        self._samples: list[Mapping[str, float]] = []

    def __call__(self, day: Day) -> RunStats:
        """Return a listener for one run of this day."""
        self._finish_run()
        self._stats = RunStats(_split_into_intervals(day), end_ms=day.window_to_ms)
        self._from_ms = self._stats.cuts[0]
        self._width_ms = self._stats.cuts[1] - self._stats.cuts[0]
        return self._stats

    def profile(self) -> DayProfile:
        """Return the day profile of all runs; at least one must be complete."""
        self._finish_run()
        waits = sorted(wait for sums in self._intervals for wait in sums.total.waits)
        found = [percentile(waits, step / QUANTILE_STEPS) for step in range(QUANTILE_STEPS + 1)]
        return DayProfile(
            from_s=self._from_ms / 1000,
            interval_s=self._width_ms / 1000,
            contacts=tuple(sums.total.contacts for sums in self._intervals),
            service_level=tuple(_rounded(service_level(sums.total.service)) for sums in self._intervals),
            occupancy=tuple(
                _rounded(ratio(sum(sums.handling_ms.values()), sum(sums.on_duty_ms.values()))) for sums in self._intervals
            ),
            wait_quantiles_s=tuple(wait_ms / 1000 for wait_ms in found if wait_ms is not None),
            load_gini=_rounded(_mean(self._ginis)),
        )

    def samples(self) -> tuple[Mapping[str, float], ...]:
        """Return the statistics of each replication by name, without those that have a zero denominator."""
        self._finish_run()
        return tuple(self._samples)

    def _finish_run(self) -> None:
        """Close the latest run and add its intervals."""
        stats, self._stats = self._stats, None
        if stats is None:
            return
        stats.close()
        while len(self._intervals) < stats.batches:
            self._intervals.append(BatchSums())
        for index in range(stats.batches):
            self._intervals[index].add_batches(stats, (index,))
        run_sums = BatchSums().add_batches(stats, range(stats.batches))
        on_duty = [agent for agent, duty_ms in sorted(run_sums.on_duty_ms.items()) if duty_ms > 0]
        found = gini([run_sums.handling_ms[agent] for agent in on_duty])
        if found is not None:
            self._ginis.append(found)
        self._samples.append(_replication_stats(run_sums, found))


def _replication_stats(sums: BatchSums, load_gini: float | None) -> dict[str, float]:
    """Return the statistics of one replication by name, without those of agent groups, which are single agents here."""
    values = {
        name: above / below for name, (above, below) in ratios(sums).items() if below and not name.startswith("agent_groups.")
    }
    if load_gini is not None:
        values["load_gini"] = load_gini
    queues = {f"queues.{name}.": counts for name, counts in sums.queues.items()}
    for path, counts in {"": sums.total, **queues}.items():
        waits = sorted(counts.waits)
        for name, share in (("p50_wait_s", 0.5), ("p90_wait_s", 0.9), ("p95_wait_s", 0.95)):
            wait_ms = percentile(waits, share)
            if wait_ms is not None:
                values[path + name] = wait_ms / 1000
    return values


def _split_into_intervals(day: Day) -> Day:
    """Divide a day into intervals of half an hour, or of several half hours so that at most INTERVALS_MAX result."""
    from_ms = day.window_from_ms
    if from_ms == day.start_ms:
        # Without a warm-up, intervals begin at the full and the half hour.
        from_ms -= from_ms % _HALF_HOUR_MS
    halves = max(1, -(-(day.window_to_ms - from_ms) // _HALF_HOUR_MS))
    width_ms = -(-halves // INTERVALS_MAX) * _HALF_HOUR_MS
    count = -(-(day.window_to_ms - from_ms) // width_ms)
    return structs.replace(
        day,
        agents=tuple(structs.replace(agent, group=agent.agent_id) for agent in day.agents),
        window_from_ms=from_ms,
        window_to_ms=from_ms + max(1, count) * width_ms,
        batches=max(1, count),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)
