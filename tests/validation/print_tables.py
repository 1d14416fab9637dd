"""Run every case and print the tables of ``docs/explanation/validation.md``: ``python -m tests.validation.print_tables``."""

from router.simulator.run import SimulationSpec, simulate
from tests.validation.bank_selections import replayed_selections
from tests.validation.cases import CASES, Finding, findings
from tests.validation.recorded_days import BANK, REFERENCE, VANAD


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


def recorded() -> None:
    """Print the tables of the recorded days."""
    print("\n### VANAD\n")
    print(
        "| day | wrap-up | mean wait (reference) | abandoned (reference) | service level | occupancy | audit |"
    )
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
    print(
        "| seconds of priority of a priority-2 caller | selections with a choice | agreed | share |"
    )
    print("|---|---|---|---|")
    for priority_s in (0, 60, 90, 120):
        agreement = replayed_selections(BANK, priority_s=priority_s)
        print(
            f"| {priority_s} s | {agreement.total:,} | {agreement.agreed:,} | {agreement.share:.1%} |"
        )


if __name__ == "__main__":
    main()
