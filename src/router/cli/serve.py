"""``router init`` prepares a directory, ``router serve`` runs the router, ``router token`` signs a bearer token.

``init`` writes what a first start needs and never replaces a file, so that it can be repeated: a commented policy and settings
(package data in ``templates/``), the secret with which tokens are signed, and an admin token in a file of its own.
"""

import contextlib
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.cli.options import (
    DEFAULT_CONFIG_PATH,
    DIRECTORY,
    INPUT_FILE,
    DurationType,
    config_options,
    configured_url,
    json_option,
    load_command_settings,
    mint_command_token,
)
from router.cli.output import CommandFailure, print_json
from router.model.states import SUBJECT_PATTERN

if TYPE_CHECKING:
    from router.settings import Settings

TEMPLATES_PATH: Final = Path(__file__).with_name("templates")
DEFAULT_POLICY_PATH: Final = Path("config/policy.yaml")
TOKEN_FILE_NAME: Final = "admin.token"
_INIT_SUBJECT: Final = "first-admin"
_ROLES: Final = ("agent", "gateway", "supervisor", "admin", "operator")


@click.command()
@click.argument("directory", type=DIRECTORY, default=Path("."))
def init(directory: Path) -> None:
    """Prepare DIRECTORY (the current one by default) for a first start.

    Writes config/policy.yaml (an example: a retail bank), config/router.yaml (every setting with its default), the secret with
    which tokens are signed, and an admin token in var/admin.token. Files that exist are kept; only the token is renewed.
    """
    _make_directory(directory / "config", mode=0o755)
    for path in (DEFAULT_POLICY_PATH, DEFAULT_CONFIG_PATH):
        is_new = _create_file(directory / path, (TEMPLATES_PATH / path.name).read_bytes(), mode=0o644)
        click.echo(f"{'wrote' if is_new else 'kept '} {directory / path}")
    settings = load_command_settings(directory / DEFAULT_CONFIG_PATH, None)
    # A relative path in the settings is relative to the working directory of the router, which is this directory.
    with contextlib.chdir(directory):
        token_path = _write_secret_and_token(settings)
    click.echo(_next_steps(directory, token_path, configured_url(settings) if settings.server.port else "http://localhost:PORT"))


def _write_secret_and_token(settings: "Settings") -> Path | None:
    """Write the secret and an admin token with the journal's files; None: the settings name issuers, which sign the tokens."""
    from router.server.auth.keys import create_secret, secret_path
    from router.settings import file_objection

    if settings.auth.issuers:
        click.echo("kept  auth.issuers: tokens come from the configured issuers")
        return None
    secret = secret_path(settings)
    _make_directory(secret.parent, mode=0o700)
    try:
        is_new = create_secret(settings)
    except OSError as error:
        raise CommandFailure(f"{secret}: {error.strerror or 'cannot be written'}") from None
    click.echo(f"{'wrote' if is_new else 'kept '} {secret}")
    lifetime_s = settings.auth.lifetime_s_max
    token = mint_command_token(settings, subject=_INIT_SUBJECT, role="admin", workspace="default", lifetime_s=lifetime_s)
    path = secret.with_name(TOKEN_FILE_NAME)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailure(f"{path}: {file_objection(path) or error.strerror}; remove it, or move it away") from None
    _create_file(path, f"{token}\n".encode(), mode=0o600)
    click.echo(f"wrote {path} (valid for {lifetime_s // 3600} hours)")
    return path


def _make_directory(path: Path, *, mode: int) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or 'cannot be created'}") from None


def _create_file(path: Path, data: bytes, *, mode: int) -> bool:
    """Create a file with its content; return False if it exists. Raises CommandFailure."""
    from router.settings import file_objection

    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except FileExistsError:
        if objection := file_objection(path):
            raise CommandFailure(f"{path}: {objection}; remove it, or move it away") from None
        return False
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or 'cannot be written'}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return True


def _next_steps(directory: Path, token_path: Path | None, url: str) -> str:
    enter = [] if directory == Path(".") else [f"  cd {directory}"]
    token = [] if token_path is None else [f"  export ADMIN=$(cat {token_path})"]
    return "\n".join(
        (
            "",
            "Start the router:",
            *enter,
            "  router serve",
            "",
            "In a second terminal:",
            *enter,
            *token,
            f'  curl -sS {url}/v1/queues -H "Authorization: Bearer $ADMIN"',
            "",
            f"API reference of the running router: {url}/docs",
            f"After a change of {DEFAULT_POLICY_PATH}: router policy publish {DEFAULT_POLICY_PATH}",
        )
    )


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
    "--store",
    help="Redis or Valkey server for the journal, instead of a file: redis://HOST:6379/0, redis+sentinel://… or redis+cluster://…",
)
@click.option(
    "--durability",
    type=click.Choice(["leader", "fsync", "replica", "replica_fsync"]),
    help="With --store: what confirms a command before it is acknowledged. Default: replica.",
)
@click.option("--shared", is_flag=True, default=None, help="With --store: several routers use the store at once; all need it.")
@click.option("--policy", "policy_path", type=INPUT_FILE, help="Initial policy of workspaces that have none.")
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
    store: str | None,
    durability: str | None,
    shared: bool | None,
    policy_path: Path | None,
    accept_history_loss: bool,
    log_level: str | None,
) -> None:
    """Run the router until SIGTERM or Ctrl-C; a second signal stops it at once.

    Settings come from the defaults, the file, the environment (ROUTER__SERVER__PORT=8080) and these options; later sources
    win. The first start prints, once, an admin token valid for one hour.
    """
    load = functools.partial(
        load_command_settings,
        config,
        data,
        server__host=host,
        server__port=port,
        server__behind_proxy=behind_proxy,
        telemetry__metrics_port=admin_port,
        telemetry__log_level=log_level,
        journal__backend="memory" if memory else None,
        store__url=store,
        store__durability=durability,
        store__shared=shared,
        policy__seed_path=str(policy_path) if policy_path else None,
    )
    settings = load()
    from router.app import main_accept_history_loss, main_serve

    if accept_history_loss and (code := main_accept_history_loss(settings)):
        raise SystemExit(code)
    raise SystemExit(main_serve(settings, load))


@click.command()
@config_options
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Role of the token.")
@click.option("--subject", required=True, help="Subject: id of an agent, a gateway or a person.")
@click.option("--workspace", default="default", show_default=True, help="Workspace of the token.")
@click.option(
    "--unlisted", "may_be_unlisted", is_flag=True, help="The workspace is not in the settings: it was created over the API."
)
@click.option("--ttl", "lifetime_s", type=DurationType(), default="1h", show_default=True, help="Lifetime of the token.")
@click.option("--queue", "queues", multiple=True, help="Limit a supervisor to this queue; may be repeated.")
@click.option("--team", "teams", multiple=True, help="Limit a supervisor to the agents of this team; may be repeated.")
@json_option
def token(config: Path | None, data: Path | None, role: str, subject: str, as_json: bool, **terms: Any) -> None:
    """Sign a token with the secret stored with the router's journal, or with the first hmac issuer of the settings."""
    if not re.match(SUBJECT_PATTERN, subject):
        raise click.BadParameter("an id has 1 to 128 of the characters A-Z, a-z, 0-9, and . _ : @ | -", param_hint="--subject")
    settings = load_command_settings(config, data)
    text = mint_command_token(settings, subject=subject, role=role, **terms)
    if as_json:
        print_json({"token": text, "role": role, "sub": subject, "workspace": terms["workspace"], "ttl_s": terms["lifetime_s"]})
    else:
        click.echo(text)
