"""``router token``: sign a bearer token with the router's own secret, for development and first steps."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from router.cli.options import Duration, config_options, json_option, settings_of
from router.cli.output import Failure, print_json
from router.model.ids import ID_PATTERN

if TYPE_CHECKING:
    from router.settings import Settings

_ROLES: Final = ("agent", "gateway", "supervisor", "admin")


def minted(
    settings: "Settings", *, subject: str, role: str, workspace: str, lifetime_s: int
) -> str:
    """Return a signed token. Raises Failure if the settings point to no issuer and no secret file."""
    from router.edge.auth import mint_token
    from router.edge.keys import secret_path

    if not settings.auth.issuers and not secret_path(settings).exists():
        raise Failure(
            f"{secret_path(settings)}: no secret; the router creates it at its first start "
            "(use the same --data or --config as the router)"
        )
    return mint_token(
        settings, subject=subject, role=role, workspace=workspace, lifetime_s=lifetime_s
    )


@click.command()
@config_options
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Role of the token.")
@click.option(
    "--sub", "subject", required=True, help="Subject: id of an agent, a gateway or a person."
)
@click.option("--workspace", default="default", show_default=True, help="Workspace of the token.")
@click.option(
    "--ttl",
    "lifetime_s",
    type=Duration(),
    default="1h",
    show_default=True,
    help="Lifetime of the token.",
)
@json_option
def token(
    config: Path | None,
    data: Path | None,
    role: str,
    subject: str,
    workspace: str,
    lifetime_s: int,
    as_json: bool,
) -> None:
    """Sign a token with the secret beside the router's journal, or with the first hmac issuer of the settings."""
    if not re.match(ID_PATTERN, subject):
        raise click.BadParameter(
            "an id has 1 to 128 of the characters A-Z, a-z, 0-9, and . _ : -", param_hint="--sub"
        )
    settings = settings_of(config, data)
    text = minted(settings, subject=subject, role=role, workspace=workspace, lifetime_s=lifetime_s)
    if as_json:
        print_json(
            {
                "token": text,
                "role": role,
                "sub": subject,
                "workspace": workspace,
                "ttl_s": lifetime_s,
            }
        )
    else:
        click.echo(text)
