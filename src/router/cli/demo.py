"""``router demo``: the router with a small generated contact centre."""

from pathlib import Path

import click

from router.cli.options import config_options, settings_of


@click.command()
@config_options
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port of the HTTP API and the WebSockets; 0 selects a free port.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Random seed of the generated centre."
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1, max=1_000),
    default=20.0,
    show_default=True,
    help="Multiple of real time.",
)
@click.option(
    "--exit", "exit_when_done", is_flag=True, help="Exit after the report instead of serving on."
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and everything else to standard error.",
)
def demo(
    config: Path | None,
    data: Path | None,
    port: int | None,
    seed: int,
    speed: float,
    exit_when_done: bool,
    json_path: Path | None,
) -> None:
    """Start the router with agents and customers on real connections, show the events and print a report."""
    from router.demo.main import demo as run

    code = run(
        settings=settings_of(config, data, edge__port=port),
        seed=seed,
        speed=speed,
        exit_when_done=exit_when_done,
        json_path=json_path,
    )
    raise SystemExit(code)
