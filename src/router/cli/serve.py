"""``router serve`` runs the router; ``router token`` signs a bearer token with the router's own secret."""

import re
from pathlib import Path
from typing import Final

import click

from router.cli.options import DurationType, config_options, json_option, load_command_settings, mint_command_token
from router.cli.output import print_json
from router.model.states import ID_PATTERN

_ROLES: Final = ("agent", "gateway", "supervisor", "admin")


@click.command()
@config_options
@click.option("--host", help="Address to listen on. Other than loopback it requires TLS or --behind-proxy.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of the HTTP API and the WebSockets; 0 selects a free port.")
@click.option(
    "--admin-port", type=click.IntRange(0, 65_535), help="Port of the admin listener with /metrics; 0 selects a free port."
)
@click.option("--behind-proxy", is_flag=True, default=None, help="A proxy in front of the router terminates TLS.")
@click.option("--memory", is_flag=True, help="Keep the journal in memory; everything is lost on exit. For trials.")
@click.option(
    "--policy",
    "policy_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Initial policy of workspaces that have none.",
)
@click.option(
    "--accept-history-loss",
    is_flag=True,
    help="Start on the intact part of a damaged journal; all clients then start over with a new history id.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Minimum level of log lines.")
def serve(
    config: Path | None,
    data: Path | None,
    host: str | None,
    port: int | None,
    admin_port: int | None,
    behind_proxy: bool | None,
    memory: bool,
    policy_path: Path | None,
    accept_history_loss: bool,
    log_level: str | None,
) -> None:
    """Run the router until SIGTERM or Ctrl-C; a second signal stops it at once.

    Settings come from the defaults, the file, the environment (ROUTER__SERVER__PORT=8080) and these options; later sources
    win. The first start prints, once, an admin token valid for one hour.
    """
    settings = load_command_settings(
        config,
        data,
        server__host=host,
        server__port=port,
        server__behind_proxy=behind_proxy,
        telemetry__metrics_port=admin_port,
        telemetry__log_level=log_level,
        journal__backend="memory" if memory else None,
        policy__seed_path=str(policy_path) if policy_path else None,
    )
    from router.app import main_accept_history_loss, main_serve

    if accept_history_loss and (code := main_accept_history_loss(settings)):
        raise SystemExit(code)
    raise SystemExit(main_serve(settings))


@click.command()
@config_options
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Role of the token.")
@click.option("--subject", required=True, help="Subject: id of an agent, a gateway or a person.")
@click.option("--workspace", default="default", show_default=True, help="Workspace of the token.")
@click.option("--ttl", "lifetime_s", type=DurationType(), default="1h", show_default=True, help="Lifetime of the token.")
@json_option
def token(config: Path | None, data: Path | None, role: str, subject: str, workspace: str, lifetime_s: int, as_json: bool) -> None:
    """Sign a token with the secret stored with the router's journal, or with the first hmac issuer of the settings."""
    if not re.match(ID_PATTERN, subject):
        raise click.BadParameter("an id has 1 to 128 of the characters A-Z, a-z, 0-9, and . _ : -", param_hint="--subject")
    settings = load_command_settings(config, data)
    text = mint_command_token(settings, subject=subject, role=role, workspace=workspace, lifetime_s=lifetime_s)
    if as_json:
        print_json({"token": text, "role": role, "sub": subject, "workspace": workspace, "ttl_s": lifetime_s})
    else:
        click.echo(text)
