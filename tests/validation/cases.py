"""Exact results and published tables that the simulator must reproduce, by workload file and statistic.

Sources: Erlang's formulas and their extension with patience (Erlang A) as in Gans, Koole and Mandelbaum (2003); head-of-line
priority by Cobham (1954) with one service rate; the N and W systems by the product form of Adan and Weiss, "A skill based parallel
service system under FCFS-ALIS" (2014); the N systems with eight places by solving the Markov chain; SimpleMSK from the examples of
the ContactCenters library (E. Buist, P. L'Ecuyer). Names are those of the report's ``intervals``.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from router.simulator.results.estimates import ConfidenceInterval
from router.simulator.results.report import SimulationReport
from router.simulator.run import SimulationSpec, simulate

SCENARIOS: Final = Path(__file__).parents[2] / "benchmarks" / "scenarios"
_MINUTE: Final = 60


class ExpectedValue(Struct, frozen=True):
    """Expected value; ``published`` is the confidence interval of a source that is itself a simulation."""

    name: str
    expected: float
    published: tuple[float, float] | None = None


class Case(Struct, frozen=True, kw_only=True):
    """Workload with its expected values."""

    title: str
    workload: str
    expected_values: tuple[ExpectedValue, ...]

    def run(self) -> SimulationReport:
        """Simulate the workload, without the audit, which has tests of its own."""
        path = SCENARIOS / f"{self.workload}.yaml"
        return simulate(SimulationSpec(workload=str(path), audit=False))


class Finding(Struct, frozen=True):
    """Expected value with its measurement."""

    value: ExpectedValue
    measured: ConfidenceInterval

    @property
    def deviation(self) -> float:
        """The distance of the expected from the measured value, in half-widths of the interval; at most 1 in 95 % of all cases.

        If the source has an interval too, the two half-widths are combined as independent errors.
        """
        half = (self.measured.high - self.measured.low) / 2
        if self.value.published is not None:
            low, high = self.value.published
            half = (half**2 + ((high - low) / 2) ** 2) ** 0.5
        return abs(self.measured.mean - self.value.expected) / half


def findings(case: Case, report: SimulationReport) -> list[Finding]:
    """Return every expected value of a case with its measurement."""
    return [Finding(value, report.intervals[value.name]) for value in case.expected_values]


def _n_system_with_places(rule: str, waits: tuple[float, float], lost: tuple[float, float], occupancy: tuple[float, float]) -> Case:
    return Case(
        title=f"N system with 8 places, agents by {rule}",
        workload=f"n_system_{rule}",
        expected_values=(
            ExpectedValue("streams.a.mean_wait_all_s", waits[0] * _MINUTE),
            ExpectedValue("streams.b.mean_wait_all_s", waits[1] * _MINUTE),
            ExpectedValue("streams.a.blocked_share", lost[0]),
            ExpectedValue("streams.b.blocked_share", lost[1]),
            ExpectedValue("agent_groups.s1.occupancy", occupancy[0]),
            ExpectedValue("agent_groups.s2.occupancy", occupancy[1]),
        ),
    )


CASES: Final = (
    Case(
        title="Erlang C: M/M/14, 200 an hour, 3 min",
        workload="erlang_c",
        expected_values=(
            ExpectedValue("p_wait", 0.174132),
            ExpectedValue("mean_wait_all_s", 0.130599 * _MINUTE),
            ExpectedValue("service_level", 0.888350),
            ExpectedValue("occupancy", 0.714286),
        ),
    ),
    Case(
        title="Erlang C near saturation: M/M/50, 48 a minute, 1 min",
        workload="erlang_c_heavy",
        expected_values=(
            ExpectedValue("p_wait", 0.694456),
            ExpectedValue("mean_wait_all_s", 0.347228 * _MINUTE),
            ExpectedValue("p90_wait_s", 0.96898 * _MINUTE),
            ExpectedValue("mean_waiting", 16.667),
        ),
    ),
    Case(
        title="Erlang A: the same with patience 2 min",
        workload="erlang_a",
        expected_values=(
            ExpectedValue("p_wait", 0.467774),
            ExpectedValue("mean_wait_all_s", 0.061825 * _MINUTE),
            ExpectedValue("abandoned_share", 0.030912),
            ExpectedValue("occupancy", 0.930324),
            ExpectedValue("mean_waiting", 2.9676),
        ),
    ),
    Case(
        title="Erlang A: 10 agents, 100 an hour, 6 min, patience 5 min",
        workload="erlang_a_small",
        expected_values=(
            ExpectedValue("p_wait", 0.521629),
            ExpectedValue("mean_wait_all_s", 0.653474 * _MINUTE),
            ExpectedValue("abandoned_share", 0.130695),
            ExpectedValue("service_level_of_offered", 0.548195),
        ),
    ),
    Case(
        title="Finite places: 12 agents, 5 may wait",
        workload="finite_places",
        expected_values=(ExpectedValue("mean_wait_all_s", 0.0611242 * _MINUTE), ExpectedValue("blocked_share", 0.00947687)),
    ),
    Case(
        title="Head-of-line priority: 10 agents, 40 and 50 an hour, 6 min",
        workload="priority",
        expected_values=(
            ExpectedValue("streams.high.mean_wait_all_s", 0.668732 * _MINUTE),
            ExpectedValue("streams.low.mean_wait_all_s", 6.68732 * _MINUTE),
            ExpectedValue("mean_wait_all_s", 4.01239 * _MINUTE),
        ),
    ),
    Case(
        title="N system, FCFS-ALIS",
        workload="n_system",
        expected_values=(
            ExpectedValue("streams.a.p_wait", 0.678788),
            ExpectedValue("streams.b.p_wait", 0.872727),
            ExpectedValue("streams.a.mean_wait_all_s", 1.69697 * _MINUTE),
            ExpectedValue("streams.b.mean_wait_all_s", 3.39394 * _MINUTE),
            ExpectedValue("agent_groups.s1.occupancy", 0.727273),
            ExpectedValue("agent_groups.s2.occupancy", 0.872727),
            ExpectedValue("agent_groups.s1.answered_per_hour.a", 0.727273 * 60),
            ExpectedValue("agent_groups.s2.answered_per_hour.a", 0.272727 * 60),
            ExpectedValue("agent_groups.s2.answered_per_hour.b", 0.6 * 60),
        ),
    ),
    Case(
        title="W system, FCFS-ALIS",
        workload="w_system",
        expected_values=(
            ExpectedValue("streams.a.p_wait", 0.77),
            ExpectedValue("streams.b.p_wait", 0.605),
            ExpectedValue("streams.c.p_wait", 0.73),
            ExpectedValue("streams.a.mean_wait_all_s", 2.2 * _MINUTE),
            ExpectedValue("streams.b.mean_wait_all_s", 1.21 * _MINUTE),
            ExpectedValue("streams.c.mean_wait_all_s", 1.87667 * _MINUTE),
            ExpectedValue("agent_groups.s1.occupancy", 0.77),
            ExpectedValue("agent_groups.s2.occupancy", 0.73),
            ExpectedValue("agent_groups.s1.answered_per_hour.a", 0.5 * 60),
            ExpectedValue("agent_groups.s1.answered_per_hour.b", 0.27 * 60),
            ExpectedValue("agent_groups.s2.answered_per_hour.b", 0.33 * 60),
            ExpectedValue("agent_groups.s2.answered_per_hour.c", 0.4 * 60),
        ),
    ),
    _n_system_with_places("longest_idle", (0.984706, 2.43212), (0.0351197, 0.0366159), (0.689062, 0.853848)),
    _n_system_with_places("least_flexible", (0.983282, 2.39462), (0.0348386, 0.0363111), (0.706491, 0.836884)),
    _n_system_with_places("weighted_random", (0.985125, 2.44314), (0.0352022, 0.0367054), (0.683946, 0.858828)),
    Case(
        title="SimpleMSK: three types, two groups, three periods",
        workload="simple_msk",
        expected_values=(
            ExpectedValue("answered", 4297.3, (4270.2, 4324.5)),
            ExpectedValue("abandoned", 910.3, (876.1, 944.5)),
            ExpectedValue("service_level_exclude_early", 0.501, (0.494, 0.509)),
            ExpectedValue("agent_groups.group0.occupancy", 0.881, (0.877, 0.884)),
        ),
    ),
)
