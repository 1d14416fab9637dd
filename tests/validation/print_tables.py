"""Run every case and print the tables of ``docs/explanation/validation.md`` and ``docs/how-to/what-if.md``.

``python -m tests.validation.print_tables`` prints all of them; with the argument ``what-if``, only those of the second page.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from router.simulator.patience import PatienceSource
from router.simulator.results.comparison import STAT_ROWS, Comparison, PolicyResult, StatRow, format_difference, format_stat
from router.simulator.run import SimulationSpec, simulate
from router.simulator.what_if import what_if
from tests.validation.bank_selections import replayed_selections
from tests.validation.cases import CASES, Finding, findings
from tests.validation.recorded_days import BANK, REFERENCE, VANAD

OVERLOADED: Final = Path(__file__).parents[2] / "benchmarks" / "scenarios" / "what_if" / "overloaded"


def row(finding: Finding) -> str:
    """Return one line of a table."""
    value, measured = finding.value, finding.measured
    source = f" {list(value.published)}" if value.published else ""
    inside = "yes" if finding.deviation <= 1 else f"no ({finding.deviation:.2f} half-widths)"
    return (
        f"| `{value.name}` | {value.expected:.6g}{source} | {measured.mean:.6g} "
        f"| [{measured.low:.6g}, {measured.high:.6g}] | {inside} |"
    )


def main() -> None:
    """Print all tables, each line as soon as it is computed."""
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
    if VANAD.is_dir():
        recorded()
        what_if_tables()


def recorded() -> None:
    """Print the tables of the recorded days."""
    print("\n### VANAD\n")
    print("| day | wrap-up | mean wait (reference) | abandoned (reference) | service level | occupancy | audit |")
    print("|---|---|---|---|---|---|---|")
    for day in REFERENCE:
        log = f"vanad:{VANAD / day.day}.csv"
        report = simulate(SimulationSpec(logs=(log,), wrap_up_s=day.wrap_up_s))
        print(
            f"| {day.day} | {day.wrap_up_s} s | {report.mean_wait_answered_s:.1f} s ({day.mean_wait_s}) "
            f"| {report.abandoned} ({day.abandoned}) | {report.service_level.of_offered:.3f} "
            f"| {report.occupancy:.3f} | {report.audit.checks:,} checks, "
            f"{len(report.audit.violations)} violations |",
            flush=True,
        )
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


def what_if_tables() -> None:
    """Print the tables of the recorded days in ``docs/how-to/what-if.md``."""
    rows = {row.name: row for row in STAT_ROWS}
    first, other = compared("2014-06-25", 10, "fifo", "early_first", patience=PatienceSource.ESTIMATED).policies
    print("\n### One day, two policies\n")
    for name in ("service_level", "abandoned", "mean_wait_answered_s", "p50_wait_s", "p90_wait_s", "p95_wait_s", "occupancy"):
        found = rows[name]
        change = format_difference(found, other.differences[name])
        print(f"| {found.label} | {cell(found, first)} | {cell(found, other)} | {change} |")
    print("\n### Two days, four wrap-up times\n")
    print("| day, wrap-up | service level | abandoned | mean wait | p95 wait |")
    print("|---|---|---|---|---|")
    for day in ("2014-06-25", "2014-03-10"):
        for wrap_up_s in (0, 10, 20, 30):
            first, other = compared(day, wrap_up_s, "fifo", "early_first", patience=PatienceSource.ESTIMATED).policies
            pairs = [
                f"{cell(rows[name], first)} → {cell(rows[name], other)}"
                for name in ("service_level", "abandoned", "mean_wait_answered_s", "p95_wait_s")
            ]
            print(f"| {day[5:]}, {wrap_up_s} s | {' | '.join(pairs)} |", flush=True)
    print("\n### Late calls last, without a return\n")
    with TemporaryDirectory() as folder:
        last = Path(folder) / "late_last.yaml"
        steps = (OVERLOADED / "early_first.yaml").read_text()
        kept = [line for line in steps.splitlines() if "{add_priority_s: 900}" not in line]
        last.write_text("\n".join(kept).replace("duration_s: 100, add_priority_s: -900", "add_priority_s: -3600"))
        (_, other) = compared("2014-06-25", 10, "fifo", str(last.with_suffix("")), patience=PatienceSource.ESTIMATED).policies
        print(", ".join(f"{rows[n].label} {cell(rows[n], other)}" for n in ("service_level", "abandoned", "p95_wait_s")))
    print("\n### Patience of the served\n")
    print("| patience of the served | `fifo`: abandoned | `lifo`: abandoned |")
    print("|---|---|---|")
    for patience in PatienceSource:
        found_both = compared("2014-06-25", 10, "fifo", "lifo", patience=patience).policies
        fifo, lifo = (one.report.abandoned for one in found_both)
        print(f"| `{patience}` | {fifo:,} | {lifo:,} ({lifo / fifo - 1:+.0%}) |", flush=True)


if __name__ == "__main__":
    what_if_tables() if sys.argv[1:] == ["what-if"] else main()
