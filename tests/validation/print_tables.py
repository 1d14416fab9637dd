"""Run every case and print the tables of validation.md and expected-wait.md (``docs/explanation``) and ``docs/how-to/what-if.md``.

``python -m tests.validation.print_tables`` prints all of them; with arguments, only those parts (the keys of ``PARTS``).
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from msgspec import structs

from router.model.policy import (
    AttributeOrder,
    CrossQueueOrder,
    Direction,
    FactPolicy,
    FactType,
    Policy,
    QueueOrder,
    Selection,
    ServiceLevelPolicy,
)
from router.simulator.formats import parse_log
from router.simulator.formats.recorded_log import derived_policy
from router.simulator.patience import PatienceSource
from router.simulator.results.comparison import STAT_ROWS, Comparison, PolicyResult, StatRow, format_difference, format_stat
from router.simulator.results.forecast_accuracy import ForecastReport
from router.simulator.run import SimulationReport, SimulationSpec, simulate
from router.simulator.what_if import what_if
from router.simulator.workload import SMALL_CENTRE
from tests.validation.bank_selections import replayed_selections
from tests.validation.cases import CASES, Finding, findings
from tests.validation.changing_days import Change, accuracy_of
from tests.validation.recorded_days import BANK, REFERENCE, VANAD, RecordedDay

EXPLANATION: Final = Path(__file__).parents[2] / "docs" / "explanation"
SCENARIOS: Final = Path(__file__).parents[2] / "benchmarks" / "scenarios"
OVERLOADED: Final = SCENARIOS / "what_if" / "overloaded"


def row(finding: Finding) -> str:
    """Return one line of a table."""
    value, measured = finding.value, finding.measured
    source = f" {list(value.published)}" if value.published else ""
    inside = "yes" if finding.deviation <= 1 else f"no ({finding.deviation:.2f} half-widths)"
    return (
        f"| `{value.name}` | {value.expected:.6g}{source} | {measured.mean:.6g} "
        f"| [{measured.low:.6g}, {measured.high:.6g}] | {inside} |"
    )


def exact_cases() -> None:
    """Print the tables of the exact and published results, each line as soon as it is computed."""
    inside = total = 0
    for case in CASES:
        report = case.run()
        print(f"\n### {case.title}\n")
        print(f"`router simulate --workload benchmarks/scenarios/{case.workload}.yaml`")
        print(f"({report.contacts:,} contacts, seed {report.options['seed']})\n")
        print("| statistic | expected | measured | 95 % interval | inside |")
        print("|---|---|---|---|---|")
        for finding in findings(case, report):
            total += 1
            inside += finding.deviation <= 1
            print(row(finding), flush=True)
    print(f"\n{inside} of {total} values lie inside their 95 % interval.")


def recorded_row(day: RecordedDay, report: SimulationReport) -> str:
    """Return one line of the table of the recorded days."""
    return (
        f"| {day.day} | {day.wrap_up_s} s | {report.mean_wait_answered_s:.1f} s ({day.mean_wait_s}) "
        f"| {report.abandoned} ({day.abandoned}) | {report.service_level.of_offered:.3f} "
        f"| {report.occupancy:.3f} | {report.audit.checks:,} checks, {len(report.audit.violations)} violations |"
    )


def recorded() -> None:
    """Print the tables of the recorded days."""
    print("\n### VANAD\n")
    print("| day | wrap-up | mean wait (reference) | abandoned (reference) | service level | occupancy | audit |")
    print("|---|---|---|---|---|---|---|")
    for day in REFERENCE:
        log = f"vanad:{VANAD / day.day}.csv"
        report = simulate(SimulationSpec(logs=(log,), wrap_up_s=day.wrap_up_s))
        print(recorded_row(day, report), flush=True)
    print("\n### Bank\n")
    print("| seconds of priority of a priority-2 caller | selections with a choice | agreed | share |")
    print("|---|---|---|---|")
    for priority_s in (0, 60, 90, 120):
        agreement = replayed_selections(BANK, priority_s=priority_s)
        print(f"| {priority_s} s | {agreement.total:,} | {agreement.agreed:,} | {agreement.share:.1%} |")


def compared(day: str, wrap_up_s: int, *names: str, patience: PatienceSource) -> Comparison:
    """Compare policies of the overloaded day on a day of the log."""
    spec = SimulationSpec(logs=(f"vanad:{VANAD / day}.csv",), wrap_up_s=wrap_up_s, patience=patience, audit=False)
    return what_if(spec, [str(OVERLOADED / f"{name}.yaml") for name in names])


def cell(row: StatRow, one: PolicyResult) -> str:
    """Return a statistic of a policy with its unit."""
    return format_stat(row, one.stats[row.name])


ROWS: Final = {row.name: row for row in STAT_ROWS}
ONE_DAY: Final = ("service_level", "abandoned", "mean_wait_answered_s", "p50_wait_s", "p90_wait_s", "p95_wait_s", "occupancy")
WRAP_UPS: Final = [(day, wrap_up_s) for day in ("2014-06-25", "2014-03-10") for wrap_up_s in (0, 10, 20, 30)]


def one_day_rows() -> list[str]:
    """Return the table of the overloaded day under two policies."""
    first, other = compared("2014-06-25", 10, "fifo", "early_first", patience=PatienceSource.ESTIMATED).policies
    return [
        f"| {ROWS[name].label} | {cell(ROWS[name], first)} | {cell(ROWS[name], other)} "
        f"| {format_difference(ROWS[name], other.differences[name])} |"
        for name in ONE_DAY
    ]


def wrap_up_row(day: str, wrap_up_s: int) -> str:
    """Return one line of the table of two days and four wrap-up times."""
    first, other = compared(day, wrap_up_s, "fifo", "early_first", patience=PatienceSource.ESTIMATED).policies
    names = ("service_level", "abandoned", "mean_wait_answered_s", "p95_wait_s")
    pairs = [f"{cell(ROWS[name], first)} → {cell(ROWS[name], other)}" for name in names]
    return f"| {day[5:]}, {wrap_up_s} s | {' | '.join(pairs)} |"


def without_return() -> str:
    """Return what a policy gives that puts late calls last for ever, as it stands in the text."""
    with TemporaryDirectory() as folder:
        last = Path(folder) / "late_last.yaml"
        steps = (OVERLOADED / "early_first.yaml").read_text()
        kept = [line for line in steps.splitlines() if "{add_priority_s: 900}" not in line]
        last.write_text("\n".join(kept).replace("duration_s: 100, add_priority_s: -900", "add_priority_s: -3600"))
        (_, other) = compared("2014-06-25", 10, "fifo", str(last.with_suffix("")), patience=PatienceSource.ESTIMATED).policies
    return f"{cell(ROWS['service_level'], other)}, with a p95 of {cell(ROWS['p95_wait_s'], other)}"


def patience_rows() -> list[str]:
    """Return the table of what is assumed about the patience of the served."""
    rows = []
    for patience in PatienceSource:
        found = compared("2014-06-25", 10, "fifo", "lifo", patience=patience).policies
        fifo, lifo = (one.report.abandoned for one in found)
        rows.append(f"| `{patience}` | {fifo:,} | {lifo:,} ({lifo / fifo - 1:+.0%}) |".replace("-", "−").replace("%", " %"))
    return rows


def what_if_tables() -> None:
    """Print the tables of the recorded days in ``docs/how-to/what-if.md``, as they stand there."""
    print("\n### One day, two policies\n", *one_day_rows(), sep="\n", flush=True)
    print("\n### Two days, four wrap-up times\n")
    for day, wrap_up_s in WRAP_UPS:
        print(wrap_up_row(day, wrap_up_s), flush=True)
    print("\n### Late calls last, without a return\n", without_return(), sep="\n", flush=True)
    print("\n### Patience of the served\n", *patience_rows(), sep="\n", flush=True)


def accuracy_row(title: str, found: ForecastReport) -> str:
    """Return one line of the table of expected waits."""
    cells = [title, f"{found.answered:,}", f"{found.lost:,}"]
    for one in (found.expected, found.uncalibrated):
        shares = [f"{share:.1%}".replace("%", " %") for share in (one.within_50, one.within_90) if share is not None]
        cells += [*shares, f"{one.mean_error_s:.1f}", f"{one.bias_s:.1f}".replace("-", "−")]
    cells += [f"{found.last_wait.mean_error_s:.1f}", f"{found.last_hour.mean_error_s:.1f}"]
    return f"| {' | '.join(cells)} |"


def accuracy_tables() -> None:
    """Print the tables of ``docs/explanation/expected-wait.md``."""
    print("\n### Expected waits: single days\n")
    plain = "in 50 % | in 90 % | error | bias"
    print(f"| day | answered | left | {plain} | uncalibrated: {plain} | last wait: error | last hour: error |")
    print(f"|{'---|' * 13}")
    logs = {
        "recorded: a multi-skill centre, normal Monday": (f"vanad:{VANAD / '2014-03-10'}.csv", 20),
        "recorded: the same, overloaded Wednesday": (f"vanad:{VANAD / '2014-06-25'}.csv", 20),
        "recorded: a bank in February, priorities": (f"bank:{BANK}", None),
    }
    for title, (log, wrap_up_s) in logs.items() if VANAD.is_dir() else ():
        report = simulate(SimulationSpec(logs=(log,), wrap_up_s=wrap_up_s, audit=False))
        print(accuracy_row(title, report.forecasts["*"]), flush=True)
    workloads = (
        ("small", SMALL_CENTRE, 5),
        *((name, SCENARIOS / f"{name}.yaml", n) for name, n in (("simple_msk", 3), ("erlang_a", 1))),
    )
    for name, path, replications in workloads:
        report = simulate(SimulationSpec(workload=str(path), replications=replications, audit=False))
        print(accuracy_row(f"generated: `{name}.yaml`", report.forecasts["*"]), flush=True)
    report = simulate(SimulationSpec(workload=str(SCENARIOS / "priority.yaml"), replications=1, audit=False))
    for stream in ("high", "low"):
        print(accuracy_row(f"generated: `priority.yaml`, {stream} class", report.forecasts[stream]), flush=True)
    print("\n### Expected waits: days that change at noon\n")
    print("| change | answered | in 50 % | in 90 % | interval score 50 %, 90 % | error |")
    print("|---|---|---|---|---|---|")
    for change in Change:
        found = accuracy_of(change)
        scores = f"{found.interval_score_50_s:.1f} s, {found.interval_score_90_s:.1f} s"
        shares = f"{found.within_50:.1%} | {found.within_90:.1%}"
        print(f"| {change} | {found.answered:,} | {shares} | {scores} | {found.mean_error_s:.1f} s |", flush=True)


def selection_policies(log: str) -> dict[str, Policy]:
    """Return a policy for each selection and order, by the name of its row; all else as derived from the log."""
    found = {}
    plain = structs.replace(derived_policy(parse_log(log)), facts=_AGENT_FACTS)
    for order in QueueOrder:
        for selection in Selection:
            settings: dict[str, Any] = {"selection": selection, "order": order}
            if selection is Selection.WEIGHTED_RANDOM:
                settings["weight_fact"] = "served_queues"
            if selection is Selection.BY_ATTRIBUTES:
                settings["order_by"] = (AttributeOrder(fact="served_queues", direction=Direction.DESC),)
            queues = {name: structs.replace(queue, **settings) for name, queue in plain.queues.items()}
            found[f"{order}, {selection}"] = structs.replace(plain, queues=queues)
    # The time left to the threshold differs from the age only where thresholds differ: every second queue has a longer one.
    levels = (ServiceLevelPolicy(threshold_s=20), ServiceLevelPolicy(threshold_s=60))
    mixed = {q: structs.replace(queue, service_level=levels[n % 2]) for n, (q, queue) in enumerate(sorted(plain.queues.items()))}
    for across in CrossQueueOrder:
        found[f"thresholds of 20 and 60 s, {across}"] = structs.replace(plain, queues=mixed, cross_queue_order=across)
    return found


_AGENT_FACTS: Final = {"served_queues": FactPolicy(type=FactType.INT, applies_to="agent", non_personal=True)}


def selection_tables() -> None:
    """Print every selection and order on both recorded days, with a drawn patience of the served."""
    for day in ("2014-03-10", "2014-06-25"):
        log = f"vanad:{VANAD / day}.csv"
        print(f"\n### Selections and orders, {day}\n")
        print("| order, selection | service level | abandoned | mean wait | p90 wait | occupancy | uneven contacts (Gini) |")
        print(f"|{'---|' * 7}")
        with TemporaryDirectory() as folder:
            team = Path(folder) / "team.csv"
            # The first log decides the attributes of an agent: the number of queues that each served that day.
            agents = [f"{a.agent_id},served_queues:{len(a.skills)},0-1" for a in parse_log(log).agents]
            team.write_text("\n".join(["agent_id,attributes,shifts", *agents]))
            for name, policy in selection_policies(log).items():
                path = Path(folder) / "policy.yaml"
                path.write_bytes(msgspec.json.encode(policy))
                report = simulate(
                    SimulationSpec(
                        logs=(f"agents:{team}", log), policy=str(path), wrap_up_s=10, patience=PatienceSource.ESTIMATED, audit=False
                    )
                )
                assert report.service_level.value is not None and report.load is not None
                share = f"{report.service_level.value:.1%} | {report.abandoned}".replace("%", " %")
                waits = f"{report.mean_wait_answered_s:.1f} s | {report.p90_wait_s:.0f} s"
                load = f"{report.occupancy:.1%} | {report.load.contacts_gini or 0:.3f}".replace("%", " %")
                print(f"| {name} | {share} | {waits} | {load} |", flush=True)


PARTS: Final[dict[str, Callable[[], None]]] = {
    "exact": exact_cases,
    "recorded": recorded,
    "what-if": what_if_tables,
    "expected-wait": accuracy_tables,
    "selections": selection_tables,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
