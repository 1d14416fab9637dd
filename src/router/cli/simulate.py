"""``router simulate``, ``router loadtest`` and ``router demo``: run a recorded or generated day.

``simulate`` runs it through the engine in virtual time, under one policy or several; ``loadtest`` and ``demo`` run it through a
router process over real sockets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from router.cli.options import Duration
from router.cli.output import EXIT_FAILED, print_table, progress, write_file, write_json

if TYPE_CHECKING:
    from router.simulator.run import SimulationSpec

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FORMAT:PATH",
    help="Recorded day (vanad, bank, contacts, agents). Several are merged.",
)
@click.option(
    "--workload", type=_FILE, help="Generated day: arrivals, service, patience, agents (YAML)."
)
@click.option(
    "--policy",
    "policies",
    type=_FILE,
    multiple=True,
    help="Policy to use instead of the day's own or the derived one. Several are compared with the first.",
)
@click.option("--wrap-up", "wrap_up_s", type=Duration(), help="Wrap-up time after every contact.")
@click.option("--seed", type=int, help="Seed of all random draws.")
@click.option(
    "--replications", type=click.IntRange(1, 100_000), help="Independent runs of a workload."
)
@click.option(
    "--audit/--no-audit", default=True, help="Audit the run independently.  [default: audit]"
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and nothing else.",
)
@click.option(
    "--picture",
    "picture_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT.svg",
    help="Draw a comparison of policies: waits, service level and occupancy by interval.",
)
@click.option(
    "--with-speed",
    is_flag=True,
    help="Include the speed of the run in the JSON; its bytes then differ from run to run.",
)
def simulate(
    logs: tuple[str, ...],
    workload: Path | None,
    policies: tuple[Path, ...],
    wrap_up_s: int | None,
    seed: int | None,
    replications: int | None,
    audit: bool,
    json_path: Path | None,
    picture_path: Path | None,
    with_speed: bool,
) -> None:
    """Run a day in virtual time and report service level, waits and occupancy.

    Give either --log or --workload. With two or more policies the same day runs once under each, and the results are shown
    side by side. The same input gives the same bytes of JSON. Exits with 1 if the audit finds a violation.
    """
    if bool(logs) == (workload is not None):
        raise click.UsageError("Give either --log or --workload.")
    if picture_path is not None and len(policies) < 2:
        raise click.UsageError("--picture draws a comparison: give --policy at least twice.")
    from router.simulator.run import SimulationSpec

    spec = SimulationSpec(
        logs=logs,
        workload=str(workload) if workload else None,
        policy=str(policies[0]) if len(policies) == 1 else None,
        wrap_up_s=wrap_up_s,
        seed=seed,
        replications=replications,
        audit=audit,
    )
    if len(policies) > 1:
        _several(spec, policies, json_path, picture_path=picture_path, with_speed=with_speed)
    else:
        _one(spec, json_path, with_speed=with_speed)


def _one(spec: "SimulationSpec", json_path: Path | None, *, with_speed: bool) -> None:
    from router.simulator.report import render
    from router.simulator.run import announced
    from router.simulator.run import simulate as run

    _tell(announced(spec))
    with progress("simulating") as advance:
        report = run(spec, progress=advance)
    if json_path is not None:
        write_json(report.to_json(with_speed=with_speed), json_path)
    if str(json_path) != "-":
        print_table(render(report))
    if report.audit.violations:
        raise SystemExit(EXIT_FAILED)


def _several(
    spec: "SimulationSpec",
    policies: Sequence[Path],
    json_path: Path | None,
    *,
    picture_path: Path | None,
    with_speed: bool,
) -> None:
    from router.simulator.compare import render
    from router.simulator.picture import picture
    from router.simulator.what_if import prepared

    case = prepared(spec, [str(path) for path in policies])
    _tell(case.announced())
    with progress("simulating") as advance:
        comparison = case.run(progress=advance)
    if json_path is not None:
        write_json(comparison.to_json(with_speed=with_speed), json_path)
    if picture_path is not None:
        write_file(picture(comparison), picture_path)
    if str(json_path) != "-":
        print_table(render(comparison))
    if comparison.violations:
        raise SystemExit(EXIT_FAILED)


def _tell(options: dict[str, str | int | float | bool | None]) -> None:
    """Print the inputs of the run on standard error before it starts."""
    for name, value in options.items():
        click.echo(f"{name}: {'-' if value is None else value}", err=True)
