"""``router records``: records of ended contacts of a running router, over its HTTP API."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import click
import msgspec

from router.cli.options import RouterAccess, repeated_router_options, router_options
from router.cli.output import CommandFailure, print_json

_PAGE: Final = 500
_FILTERS: Final = (
    "from_ms",
    "to_ms",
    "state",
    "queue",
    "agent",
    "channel",
    "disposition",
    "goal",
    "outcome",
    "monitor",
    "customer",
    "attribute",
)


@click.group()
@router_options
@click.pass_context
def records(
    context: click.Context, config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None
) -> None:
    """Show and export records of ended contacts of a running router."""
    context.obj = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="records")


@records.command()
@click.argument("contact_id")
@repeated_router_options
@click.pass_obj
def show(router: RouterAccess, contact_id: str, config: Path | None, data: Path | None, url: str | None) -> None:
    """Show the record of a contact as JSON."""
    router = router.updated(config=config, data=data, url=url)
    print_json(msgspec.json.decode(_get(router, f"/v1/records/{quote(contact_id, safe='')}").body))


@records.command()
@click.option("--format", "kind", type=click.Choice(("ndjson", "csv")), default="ndjson", show_default=True)
@click.option("--where", multiple=True, metavar="NAME=VALUE", help=f"Only records that match; NAME: {', '.join(_FILTERS)}.")
@repeated_router_options
@click.pass_obj
def export(
    router: RouterAccess, kind: str, where: tuple[str, ...], config: Path | None, data: Path | None, url: str | None
) -> None:
    """Write records to standard output, those that ended first at the beginning, page by page."""
    router = router.updated(config=config, data=data, url=url)
    query: dict[str, str] = {"format": kind, "order": "oldest", "limit": str(_PAGE)}
    for text in where:
        name, _, value = text.partition("=")
        if name not in _FILTERS or not value or name in query:
            raise click.UsageError(f"--where is NAME=VALUE, each NAME once, one of: {', '.join(_FILTERS)}.")
        query[name] = value
    while True:
        page = _get(router, f"/v1/records?{urlencode(query)}")
        click.echo(page.body, nl=False)
        cursor = page.headers.get("X-Next-Cursor")
        if cursor is None:
            return
        query["cursor"] = cursor


def _get(router: RouterAccess, path: str) -> Any:
    from router.client.http_query import HttpRequestRefused

    try:
        return router.exchange("GET", path, role="admin")
    except HttpRequestRefused as error:
        raise CommandFailure(str(error)) from None
