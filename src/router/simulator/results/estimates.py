"""Estimates from run statistics: sums over batches, ratios, confidence intervals, and the distribution of agent load.

Ratios are named by their path in the report: ``mean_wait_answered_s``, ``streams.vip.p_wait``, ``agent_groups.first.occupancy``.

Samples of the 95 % confidence intervals are replications, or the batches of one long run. Every statistic is a ratio of two
sums (waits over contacts, busy time over time on duty), and its estimate is the ratio of the totals. Its variance is that of
``numerator - estimate x denominator`` over the samples, the usual linearisation for ratio estimators (Law, Simulation Modeling
and Analysis, 4.5 and 9.5). The half-width uses Student's t with n - 1 degrees of freedom.

The distribution of load (minimum, median, maximum and Gini coefficient of contacts per agent) covers the agents who were on
duty at some time of the run, and the contacts that arrived within the window, counted for the agent who answered them first.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import sqrt
from statistics import fmean, median
from typing import Final, TypeAlias

from msgspec import Struct

from router.simulator.results.run_stats import RunCounts, RunStats, TimeIntegral
from router.statistics.service_level import ServiceLevelFormula, service_level_ratio

SERVICE_LEVELS: Final = (
    ("service_level", ServiceLevelFormula.EXCLUDE_SHORT),
    ("service_level_of_offered", ServiceLevelFormula.OF_OFFERED),
    ("service_level_exclude_early", ServiceLevelFormula.EXCLUDE_EARLY),
)
"""Service levels in the report, by name."""


class BatchSums:
    """Sums over a set of batches of one or more runs."""

    __slots__ = ("groups", "handling_ms", "on_duty_ms", "queues", "streams", "total", "waiting_ms", "window_ms")  # fmt: skip

    def __init__(self) -> None:
        self.total = RunCounts()
        self.streams: dict[str, RunCounts] = {}
        self.queues: dict[str, RunCounts] = {}
        self.waiting_ms: dict[str, int] = {}
        self.handling_ms: dict[str, int] = {}
        self.on_duty_ms: dict[str, int] = {}
        self.groups: dict[str, dict[str, int]] = {}
        """Answered contacts by agent group and stream."""
        self.window_ms = 0

    def add_batches(self, stats: RunStats, batches: Iterable[int]) -> "BatchSums":
        """Add batches of a run and return self."""
        chosen = sorted(batches)
        for (batch, stream, queue_id), counts in stats.counts.items():
            if batch not in chosen:
                continue
            self.total.add(counts)
            self.streams.setdefault(stream, RunCounts()).add(counts)
            self.queues.setdefault(queue_id, RunCounts()).add(counts)
            for group, count in counts.answered_by_group.items():
                by_stream = self.groups.setdefault(group, {})
                by_stream[stream] = by_stream.get(stream, 0) + count
        for name in ("waiting", "handling", "on_duty"):
            areas: dict[str, TimeIntegral] = getattr(stats, name)
            sums: dict[str, int] = getattr(self, f"{name}_ms")
            for key, area in areas.items():
                sums[key] = sums.get(key, 0) + sum(area.by_batch[batch] for batch in chosen)
        self.window_ms += sum(stats.cuts[b + 1] - stats.cuts[b] for b in chosen)
        return self


def percentile(waits: Sequence[int], share: float) -> int | None:
    """Return the smallest of sorted waits that at least this share does not exceed (nearest rank); none without waits."""
    if not waits:
        return None
    rank = -(-len(waits) * round(share * 1000) // 1000)  # ceiling, in whole numbers
    return waits[max(0, rank - 1)]


Ratio: TypeAlias = tuple[float, float]
"""Numerator and denominator of a sample."""


def ratios(sums: BatchSums) -> dict[str, Ratio]:
    """Return all statistics that are ratios of two sums, by name."""
    found = dict(_of_counts("", sums.total))
    waiting_ms = sum(sums.waiting_ms.values())
    found["mean_waiting"] = (waiting_ms, sums.window_ms)
    handling, on_duty = sum(sums.handling_ms.values()), sum(sums.on_duty_ms.values())
    found["occupancy"] = (handling, on_duty)
    for name, counts in sorted(sums.queues.items()):
        found.update(_of_counts(f"queues.{name}.", counts))
    for name, counts in sorted(sums.streams.items()):
        found.update(_of_counts(f"streams.{name}.", counts))
    for name in sorted(sums.on_duty_ms):
        path = f"agent_groups.{name}."
        found[f"{path}occupancy"] = (sums.handling_ms[name], sums.on_duty_ms[name])
        for stream, count in sorted(sums.groups.get(name, {}).items()):
            found[f"{path}answered_per_hour.{stream}"] = (count * 3_600_000, sums.window_ms)
    return found


def _of_counts(path: str, counts: RunCounts) -> Iterator[tuple[str, Ratio]]:
    counters = counts.counters
    handling = counters.handling
    yield f"{path}p_wait", (counts.waited, counts.admitted)
    yield f"{path}mean_wait_answered_s", (counters.waits.answered_ms / 1000, counts.answered)
    yield f"{path}mean_wait_all_s", (counts.wait_all_ms / 1000, counts.admitted)
    yield f"{path}abandoned_share", (counts.abandoned, counts.contacts)
    yield f"{path}blocked_share", (counts.blocked, counts.contacts)
    for name, formula in SERVICE_LEVELS:
        yield f"{path}{name}", service_level_ratio(counters.service, formula)
    yield f"{path}mean_handle_s", ((handling.talk_ms + handling.hold_ms) / 1000, handling.handled)


_Z: Final = 1.959963984540054

# The expansion below is inaccurate for one and two degrees of freedom; these values are exact.
_T_SMALL: Final = {1: 12.706204736, 2: 4.302652730}


class ConfidenceInterval(Struct, frozen=True, kw_only=True):
    """Estimate with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    samples: int


def t_quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t; from three degrees on by the Cornish-Fisher expansion, to four digits."""
    if degrees in _T_SMALL:
        return _T_SMALL[degrees]
    z, v = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def confidence_interval(samples: Sequence[Ratio]) -> ConfidenceInterval | None:
    """Return the confidence interval of a ratio; none with fewer than two samples or a zero denominator."""
    n = len(samples)
    denominator = sum(d for _, d in samples)
    if n < 2 or denominator <= 0:
        return None
    estimate = sum(x for x, _ in samples) / denominator
    squares = sum((x - estimate * d) ** 2 for x, d in samples)
    half = t_quantile(n - 1) * sqrt(squares / (n - 1) / n) / (denominator / n)
    return ConfidenceInterval(mean=round(estimate, 9), low=round(estimate - half, 9), high=round(estimate + half, 9), samples=n)


class AgentLoadReport(Struct, frozen=True, kw_only=True):
    """Contacts per agent. With several replications, each value is the mean over them."""

    agents: float
    contacts_min: float
    contacts_median: float
    contacts_max: float
    contacts_gini: float | None
    """Gini coefficient (see ``gini``); 0: all agents had equally many; none: no contact was answered."""


def agent_load(stats: RunStats) -> AgentLoadReport | None:
    """Return the contacts per agent of one run; none if no agent was on duty."""
    by_agent = dict.fromkeys(sorted(stats.agents_seen_on_duty), 0)
    for counts in stats.counts.values():
        for agent_id, count in counts.answered_by_agent.items():
            by_agent[agent_id] = by_agent.get(agent_id, 0) + count
    if not by_agent:
        return None
    found = list(by_agent.values())
    return AgentLoadReport(
        agents=len(found),
        contacts_min=min(found),
        contacts_median=median(found),
        contacts_max=max(found),
        contacts_gini=gini(found),
    )


def mean_agent_load(loads: Sequence[AgentLoadReport]) -> AgentLoadReport | None:
    """Return the means over replications; none without any."""
    if not loads:
        return None
    ginis = [load.contacts_gini for load in loads if load.contacts_gini is not None]
    return AgentLoadReport(
        agents=_mean([load.agents for load in loads]),
        contacts_min=_mean([load.contacts_min for load in loads]),
        contacts_median=_mean([load.contacts_median for load in loads]),
        contacts_max=_mean([load.contacts_max for load in loads]),
        contacts_gini=_mean(ginis) if ginis else None,
    )


def _mean(values: Sequence[float]) -> float:
    return round(fmean(values), 9)


def gini(loads: Sequence[int]) -> float | None:
    """Return the Gini coefficient: 0 if all are equal, (n - 1) / n if one has everything; none if the sum is 0.

    With ``x`` in ascending order: ``sum((2 i - n - 1) x_i for i in 1..n) / (n sum(x))``, which is half the mean absolute difference
    over the mean. Source: A. Sen, "On Economic Inequality", 1973, 2.8.
    """
    n, total = len(loads), sum(loads)
    if total == 0:
        return None
    weighted = sum((2 * i - n - 1) * x for i, x in enumerate(sorted(loads), start=1))
    return round(weighted / (n * total), 9)
