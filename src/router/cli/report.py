"""``router report``: a recorded day as one HTML page."""

from pathlib import Path

import click

from router.cli.export import check_window
from router.cli.options import INPUT_FILE, OUTPUT_FILE, TimeType
from router.cli.output import spinner, write_file


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    required=True,
    metavar="FORMAT:PATH",
    help="Recorded day (journal, asterisk, csv, vanad, bank, contacts, agents). Several that are no journals are merged.",
)
@click.option("--from", "from_ms", type=TimeType(), help="Start (2026-03-10T08:00; without a zone UTC); else that of the last day.")
@click.option("--to", "to_ms", type=TimeType(), help="End. Default: that of the last day.")
@click.option(
    "--interval", type=click.Choice(["15m", "30m", "60m"]), help="Width of the intervals; else by the length of the time."
)
@click.option("--policy", "policy_path", type=INPUT_FILE, help="Policy with the service-level targets of a log that is no journal.")
@click.option("-o", "--output", type=OUTPUT_FILE, required=True, metavar="OUT.html", help="File to write.")
def report(
    logs: tuple[str, ...], from_ms: int | None, to_ms: int | None, interval: str | None, policy_path: Path | None, output: Path
) -> None:
    """Write a page about a recorded day: load, waits, service level and occupancy by time, tables by queue, channel and agent.

    Nothing is simulated: the figures are those of the day, counted by the code of the running router. The page is one file without
    scripts and without anything from elsewhere.
    """
    check_window(from_ms, to_ms)
    from router.simulator.day import DayWindow
    from router.simulator.recorded_stats import count_day
    from router.simulator.results.day_report import to_html
    from router.simulator.run import read_policy
    from router.statistics.questions import Interval

    policy = read_policy(None if policy_path is None else str(policy_path))
    step = None if interval is None else Interval(interval)
    with spinner("counting"):
        day = count_day(logs, DayWindow(from_ms, to_ms), policy=policy, interval=step)
    write_file(to_html(day), output)
    click.echo(f"{output}: {day.name}")
