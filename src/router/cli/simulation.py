"""``router simulate``, ``router loadtest`` and ``router demo``: run a recorded or generated day.

``simulate`` runs it through the engine in virtual time, under one policy or several; ``loadtest`` and ``demo`` run it through a
router process over real sockets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.export import check_window
from router.cli.options import (
    INPUT_FILE,
    OUTPUT_FILE,
    OUTPUT_FILE_OR_DASH,
    DurationType,
    TimeType,
    config_options,
    load_command_settings,
)
from router.cli.output import EXIT_FAILED, print_renderable, progress_bar, spinner, write_file, write_json

if TYPE_CHECKING:
    from router.simulator.results.statistics_rows import RowsOfRun
    from router.simulator.run import SimulationSpec


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FORMAT:PATH",
    help="Recorded day (journal, asterisk, csv, vanad, bank, contacts, agents). Several are merged.",
)
@click.option("--from", "from_ms", type=TimeType(), help="With --log: leave out contacts that arrived earlier.")
@click.option("--to", "to_ms", type=TimeType(), help="With --log: leave out contacts that arrived at this time or later.")
@click.option("--workload", type=INPUT_FILE, help="Generated day: arrivals, service, patience, agents (YAML).")
@click.option(
    "--policy",
    "policies",
    type=INPUT_FILE,
    multiple=True,
    help="Policy to use instead of the day's own or the derived one. Several are compared with the first.",
)
@click.option("--wrap-up", "wrap_up_s", type=DurationType(), help="Wrap-up time after every contact.")
@click.option("--seed", type=int, help="Seed of all random draws.")
@click.option("--replications", type=click.IntRange(1, 100_000), help="Independent runs of a workload.")
@click.option(
    "--patience",
    type=click.Choice(["recorded", "estimated"]),
    help="Patience of customers who were served in a log: unlimited, or drawn from the log.  "
    "[default: recorded; estimated with several policies]",
)
@click.option(
    "--handle-times",
    type=click.Choice(["recorded", "by-agent"]),
    default="recorded",
    show_default=True,
    help="Handle times of a log: of the contact alone, or of contact and agent, with factors estimated from the log.",
)
@click.option(
    "--callback-share", type=click.FloatRange(0, 1), default=0.0, help="Share of a log's customers who request a callback."
)
@click.option(
    "--callback-after", "callback_after_s", type=DurationType(), default="60s", show_default=True, help="Wait before the request."
)
@click.option("--redial-share", type=click.FloatRange(0, 1), default=0.0, help="Share of those who abandon who call again, once.")
@click.option(
    "--redial-after", "redial_after_s", type=DurationType(), default="300s", show_default=True, help="Mean time until they do."
)
@click.option(
    "--audit/--no-audit", default=True, help="Check the run with an independent implementation of the rules.  [default: audit]"
)
@click.option(
    "--json",
    "json_path",
    type=OUTPUT_FILE_OR_DASH,
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and nothing else.",
)
@click.option(
    "--chart",
    "chart_path",
    type=OUTPUT_FILE,
    metavar="OUT.svg",
    help="Draw a comparison of policies: waits, service level and occupancy by interval.",
)
@click.option("--timing", is_flag=True, help="Include the speed of the run in the JSON; its bytes then differ from run to run.")
@click.option(
    "--statistics",
    "statistics_path",
    type=OUTPUT_FILE,
    metavar="OUT.csv",
    help="Write the statistics of the first replication, as GET /v1/statistics has them: .csv, .json or .ndjson.",
)
@click.option(
    "--by",
    type=click.Choice(["workspace", "queue", "channel", "queue_channel", "agent", "team", "disposition"]),
    help="Print these rows of the statistics, and write them with --statistics.  [default there: queue]",
)
@click.option("--interval", type=click.Choice(["total", "15m", "30m", "60m", "day"]), help="Spans of these rows.  [default: total]")
def simulate(
    logs: tuple[str, ...],
    from_ms: int | None,
    to_ms: int | None,
    workload: Path | None,
    policies: tuple[Path, ...],
    wrap_up_s: int | None,
    seed: int | None,
    replications: int | None,
    patience: str | None,
    handle_times: str,
    callback_share: float,
    callback_after_s: int,
    redial_share: float,
    redial_after_s: int,
    audit: bool,
    json_path: Path | None,
    chart_path: Path | None,
    timing: bool,
    statistics_path: Path | None,
    by: str | None,
    interval: str | None,
) -> None:
    """Run a day in virtual time and report service level, waits and occupancy.

    Give either --log or --workload. With two or more policies the same day runs once under each, and the results are shown
    side by side. The JSON is byte-identical for the same input. Exits with 1 if the audit finds a violation.
    """
    if bool(logs) == (workload is not None):
        raise click.UsageError("Give either --log or --workload.")
    if (from_ms is not None or to_ms is not None) and not logs:
        raise click.UsageError("--from and --to require --log.")
    check_window(from_ms, to_ms)
    if patience is not None and not logs:
        raise click.UsageError("--patience requires --log.")
    if not logs and (handle_times != "recorded" or callback_share or redial_share):
        raise click.UsageError("--handle-times, --callback-share and --redial-share require --log: a workload has its own.")
    if chart_path is not None and len(policies) < 2:
        raise click.UsageError("--chart draws a comparison: give --policy at least twice.")
    wants_rows = statistics_path is not None or by is not None
    if wants_rows and len(policies) > 1:
        raise click.UsageError("--statistics and --by are of one policy: give --policy once.")
    if interval is not None and not wants_rows:
        raise click.UsageError("--interval requires --by or --statistics.")
    if statistics_path is not None and statistics_path.suffix not in (".csv", ".json", ".ndjson"):
        raise click.UsageError("--statistics: the name of the file must end in .csv, .json or .ndjson.")
    from router.simulator.handle_times import HandleTimeSource
    from router.simulator.patience import PatienceSource
    from router.simulator.run import SimulationSpec

    spec = SimulationSpec(
        logs=logs,
        from_ms=from_ms,
        to_ms=to_ms,
        workload=str(workload) if workload else None,
        policy=str(policies[0]) if len(policies) == 1 else None,
        wrap_up_s=wrap_up_s,
        seed=seed,
        replications=replications,
        patience=None if patience is None else PatienceSource(patience),
        handle_times=HandleTimeSource(handle_times),
        callback_share=callback_share,
        callback_after_s=callback_after_s,
        redial_share=redial_share,
        redial_after_s=redial_after_s,
        audit=audit,
    )
    if len(policies) > 1:
        _compare_policies(spec, policies, json_path, chart_path=chart_path, timing=timing)
        return
    from router.simulator.results.statistics_rows import RowsOfRun

    rows = RowsOfRun(by or "queue", interval or "total") if wants_rows else None
    violations = _simulate_one(spec, json_path, timing=timing, rows=rows, shows_rows=by is not None)
    if rows is not None and statistics_path is not None:
        write_file(rows.encoded(statistics_path.suffix), statistics_path)
    if violations:
        raise SystemExit(EXIT_FAILED)


def _simulate_one(
    spec: "SimulationSpec", json_path: Path | None, *, timing: bool, rows: "RowsOfRun | None", shows_rows: bool
) -> tuple[str, ...]:
    """Run one policy, print its report, and return the violations that the audit has found."""
    from router.simulator.results.report import render
    from router.simulator.run import resolved_options, with_logs_read
    from router.simulator.run import simulate as run

    with spinner("reading the log"):
        spec = with_logs_read(spec)
    _print_options(resolved_options(spec))
    with progress_bar("simulating") as advance:
        report = run(spec, progress=advance, make_listener=None if rows is None else rows.listener)
    if json_path is not None:
        write_json(report.to_json(with_speed=timing), json_path)
    if str(json_path) != "-":
        print_renderable(render(report))
        if rows is not None and shows_rows:
            print_renderable(rows.table())
    else:
        _print_notes(report.notes)
    return report.audit.violations


def _compare_policies(
    spec: "SimulationSpec", policies: Sequence[Path], json_path: Path | None, *, chart_path: Path | None, timing: bool
) -> None:
    from router.simulator.results.chart import comparison_chart
    from router.simulator.results.comparison import render
    from router.simulator.what_if import prepare_what_if

    case = prepare_what_if(spec, [str(path) for path in policies])
    _print_options(case.resolved_options())
    with progress_bar("simulating") as advance:
        comparison = case.run(progress=advance)
    if json_path is not None:
        write_json(comparison.to_json(with_speed=timing), json_path)
    if chart_path is not None:
        write_file(comparison_chart(comparison), chart_path)
    if str(json_path) != "-":
        print_renderable(render(comparison))
    else:
        _print_notes(comparison.notes)
    if comparison.violations:
        raise SystemExit(EXIT_FAILED)


def _print_options(options: dict[str, str | int | float | bool | None]) -> None:
    """Print the inputs of the run on standard error before it starts."""
    for name, value in options.items():
        click.echo(f"{name}: {'-' if value is None else value}", err=True)


def _print_notes(notes: Sequence[str]) -> None:
    """Print the remarks on a report on standard error, where standard output carries JSON only."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


@click.command()
@config_options
@click.option("--log", "logs", multiple=True, metavar="FORMAT:PATH", help="Recorded day. Several are merged.")
@click.option("--workload", type=INPUT_FILE, help="Generated day (YAML).")
@click.option("--policy", "policy_path", type=INPUT_FILE, help="Policy to use instead of the day's own or the derived one.")
@click.option("--wrap-up", "wrap_up_s", type=DurationType(), help="Wrap-up time after every contact.")
@click.option("--seed", type=int, help="Seed of all random draws.")
@click.option(
    "--speed", type=click.FloatRange(min=0.1, max=100_000), default=60.0, show_default=True, help="Multiple of real time."
)
@click.option("--url", help="URL of a running router; default: start one for the load test.")
@click.option("--publish", is_flag=True, help="With --url: replace the policy of that router.")
@click.option(
    "--json",
    "json_path",
    type=OUTPUT_FILE_OR_DASH,
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and nothing else.",
)
def loadtest(
    config: Path | None,
    data: Path | None,
    logs: tuple[str, ...],
    workload: Path | None,
    policy_path: Path | None,
    wrap_up_s: int | None,
    seed: int | None,
    speed: float,
    url: str | None,
    publish: bool,
    json_path: Path | None,
) -> None:
    """Run a day with one gateway and one desktop connection per agent, and report it with the latency of offers.

    Give either --log or --workload. Tokens are signed with the secret that --config or --data point to.
    """
    if bool(logs) == (workload is not None):
        raise click.UsageError("Give either --log or --workload.")
    if publish and url is None:
        raise click.UsageError("--publish requires --url.")
    from router.loadtest.main import run_loadtest as run

    code = run(
        settings=load_command_settings(config, data),
        logs=logs,
        workload=workload,
        policy=policy_path,
        wrap_up_s=wrap_up_s,
        seed=seed,
        speed=speed,
        url=url,
        publish=publish,
        json_path=json_path,
    )
    raise SystemExit(code)


@click.command()
@config_options
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the HTTP API and the WebSockets; 0 selects a free port.")
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed of the generated centre.")
@click.option("--speed", type=click.FloatRange(min=0.1, max=1_000), default=20.0, show_default=True, help="Multiple of real time.")
@click.option("--only", type=click.Choice(["story", "day"]), help="Only the story, or only the day.")
@click.option("--exit-when-done", is_flag=True, help="Exit after the report instead of serving on.")
@click.option(
    "--json",
    "json_path",
    type=OUTPUT_FILE_OR_DASH,
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and everything else to standard error.",
)
def demo(
    config: Path | None,
    data: Path | None,
    port: int | None,
    seed: int,
    speed: float,
    only: str | None,
    exit_when_done: bool,
    json_path: Path | None,
) -> None:
    """Show the router at work over real connections: first one customer's story, step by step, then the day of a small centre.

    In the story a customer of a bank asks for an agent from the app, stops, and goes on two days later by telephone with the same
    agent. Each request is printed, and what it should show is checked. The day has 15 agents and ends with a report. Exits with 1
    if anything did not go as told.
    """
    if only == "story" and json_path is not None:
        raise click.UsageError("--json writes the report of the day: leave out --only story, or --json.")
    from router.demo.main import DemoPart
    from router.demo.main import run_demo as run

    code = run(
        settings=load_command_settings(config, data, server__port=port),
        seed=seed,
        speed=speed,
        exit_when_done=exit_when_done,
        json_path=json_path,
        only=None if only is None else DemoPart(only),
    )
    raise SystemExit(code)
