"""``router simulate``: a recorded or generated day through the real core in virtual time."""

from pathlib import Path
from typing import Final

import click

from router.cli.options import Duration
from router.cli.output import EXIT_FAILED, print_table, progress, write_json

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FORMAT:PATH",
    help="A recorded day (vanad, bank, contacts, agents). Several are merged.",
)
@click.option(
    "--workload", type=_FILE, help="A generated day: arrivals, service, patience, agents (YAML)."
)
@click.option(
    "--policy",
    "policy_path",
    type=_FILE,
    help="Policy in place of the day's own or the derived one.",
)
@click.option("--wrap-up", "wrap_up_s", type=Duration(), help="Wrap-up after every contact.")
@click.option("--seed", type=int, help="Seed of everything drawn.")
@click.option(
    "--replications", type=click.IntRange(1, 100_000), help="Independent runs of a workload."
)
@click.option(
    "--audit/--no-audit", default=True, help="Keep independent books of the run.  [default: audit]"
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="OUT",
    help="Write the report to a file; - prints it and nothing else.",
)
@click.option(
    "--with-speed",
    is_flag=True,
    help="How fast it ran, too; then the bytes differ from run to run.",
)
def simulate(
    logs: tuple[str, ...],
    workload: Path | None,
    policy_path: Path | None,
    wrap_up_s: int | None,
    seed: int | None,
    replications: int | None,
    audit: bool,
    json_path: Path | None,
    with_speed: bool,
) -> None:
    """Run a day in virtual time and report service level, waits, occupancy.

    Either --log or --workload. The same input gives the same bytes of JSON. Exits with 1 when the audit has found a
    broken promise.
    """
    if bool(logs) == (workload is not None):
        raise click.UsageError("Give --log or --workload, one of them.")
    from router.simulator.report import render
    from router.simulator.run import SimulationSpec, announced
    from router.simulator.run import simulate as run

    spec = SimulationSpec(
        logs=logs,
        workload=str(workload) if workload else None,
        policy=str(policy_path) if policy_path else None,
        wrap_up_s=wrap_up_s,
        seed=seed,
        replications=replications,
        audit=audit,
    )
    for name, value in announced(spec).items():
        click.echo(f"{name}: {'-' if value is None else value}", err=True)
    with progress("simulating") as advance:
        report = run(spec, progress=advance)
    if json_path is not None:
        write_json(report.to_json(with_speed=with_speed), json_path)
    if str(json_path) != "-":
        print_table(render(report))
    if report.audit.violations:
        raise SystemExit(EXIT_FAILED)
