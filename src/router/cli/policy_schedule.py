"""``router policy schedule`` and ``cancel``: the policy that a running router publishes by itself at a time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from router.cli.options import INPUT_FILE_OR_DASH, RouterAccess, json_option, router_options
from router.cli.output import CommandFailure, CommandUsageFailure, print_json
from router.cli.policy import read_document, send_document


@click.command()
@click.argument("file", type=INPUT_FILE_OR_DASH, required=False)
@router_options
@click.option("--at", "publish_at", metavar="TIME", help="When: ISO 8601 with an offset from UTC, 2026-12-01T06:00:00+01:00.")
@click.option("--replaces", metavar="VERSION", help="Version that must be active then, or `any`; default: the one active now.")
@click.option(
    "--drain-to",
    multiple=True,
    metavar="REMOVED:TARGET",
    help="Queue for the contacts of a queue that the document removes; may be repeated.",
)
@click.option("--note", default="", help="Why, for the list of versions; at most 500 characters.")
@click.option("--replace-scheduled", is_flag=True, help="Replace the policy that is scheduled already.")
@json_option
def schedule(
    file: Path | None,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    token: str | None,
    publish_at: str | None,
    replaces: str | None,
    drain_to: tuple[str, ...],
    note: str,
    replace_scheduled: bool,
    as_json: bool,
) -> None:
    """Let the router publish a policy document by itself at a time; without a FILE, show what is scheduled."""
    router = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="policy")
    if file is None:
        if publish_at is not None:
            raise CommandUsageFailure("--at needs the FILE to publish")
        _print_schedule(router, as_json=as_json)
        return
    if publish_at is None:
        raise CommandUsageFailure("--at is missing: when is the policy to be published?")
    given = {"publish_at": publish_at, "replaces": replaces, "drain_to": ",".join(drain_to), "note": note}
    query = urlencode({name: text for name, text in given.items() if text})
    headers = {"If-Match": "*"} if replace_scheduled and _scheduled(router) is not None else {}
    send_document(router, "PUT", f"/v1/policy/scheduled?{query}", file, read_document(file), headers=headers)
    _print_schedule(router, as_json=as_json)


@click.command()
@router_options
def cancel(config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None) -> None:
    """Cancel the scheduled policy, or forget one that was refused."""
    from router.client.http_query import HttpRequestRefused

    router = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="policy")
    try:
        router.exchange("DELETE", "/v1/policy/scheduled", role="admin")
    except HttpRequestRefused as error:
        raise CommandFailure(str(error)) from None
    click.echo(f"{workspace}: no policy is scheduled any more")


def _scheduled(router: RouterAccess) -> dict[str, Any] | None:
    import msgspec

    from router.client.http_query import HttpRequestRefused

    try:
        body = router.exchange("GET", "/v1/policy/scheduled", role="admin").body
    except HttpRequestRefused as error:
        if error.code == "no_scheduled_policy":
            return None
        raise CommandFailure(str(error)) from None
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


def _print_schedule(router: RouterAccess, *, as_json: bool) -> None:
    found = _scheduled(router)
    if as_json:
        print_json(found)
        return
    if found is None:
        click.echo(f"{router.workspace}: no policy is scheduled")
        return
    at = f"{datetime.fromtimestamp(found['publish_at_ms'] / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    version = "any version" if found["replaces"] is None else f"version {found['replaces']}"
    note = f" ({found['note']})" if found["note"] else ""
    if found["state"] == "refused":
        click.echo(f"{router.workspace}: refused at {at}{note}: {found['refused']}: {found['refused_because']}")
        return
    click.echo(f"{router.workspace}: will replace {version} at {at}{note}, scheduled by {found['scheduled_by']}")
    if found["refused"]:
        click.echo(f"It would be refused now: {found['refused']}: {found['refused_because']}")
