"""``router loadtest``: run a recorded or generated day through real sockets, faster than real time."""

from pathlib import Path
from typing import Final

import click

from router.cli.options import Duration, config_options, settings_of

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@config_options
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="FORMAT:PATH",
    help="Recorded day. Several are merged.",
)
@click.option("--workload", type=_FILE, help="Generated day (YAML).")
@click.option(
    "--policy",
    "policy_path",
    type=_FILE,
    help="Policy to use instead of the day's own or the derived one.",
)
@click.option("--wrap-up", "wrap_up_s", type=Duration(), help="Wrap-up time after every contact.")
@click.option("--seed", type=int, help="Seed of all random draws.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1, max=100_000),
    default=60.0,
    show_default=True,
    help="Multiple of real time.",
)
@click.option("--url", help="URL of a running router; default: start one for the load test.")
@click.option("--publish", is_flag=True, help="With --url: replace the policy of that router.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="OUT",
    help="Write the report to a file; - writes it to standard output and nothing else.",
)
def replay(
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
    from router.replay.main import replay as run

    code = run(
        settings=settings_of(config, data),
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
