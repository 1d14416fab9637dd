"""``router workspace``: list the workspaces of a running router, and create one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
from msgspec import Struct, convert

from router.cli.options import INPUT_FILE_OR_DASH, RouterAccess, config_options, json_option
from router.cli.output import CommandFailure, print_json, print_renderable
from router.cli.policy import read_document

F = TypeVar("F", bound=Callable[..., Any])


class _Workspace(Struct):
    """A workspace as the API describes it."""

    name: str
    is_in_settings: bool
    policy_version: int
    live_contacts: int
    created_by: str | None = None


def _operator_options(command: F) -> F:
    url = click.option("--url", help="URL of the running router; default: the address in the settings.")
    token = click.option(
        "--token",
        envvar="ROUTER_TOKEN",
        help="Bearer token of an operator; default: one signed with the router's secret. Environment variable: ROUTER_TOKEN.",
    )
    return config_options(url(token(command)))


@click.group()
def workspace() -> None:
    """List, create and remove workspaces of a running router."""


@workspace.command(name="list")
@_operator_options
@json_option
def list_(config: Path | None, data: Path | None, url: str | None, token: str | None, as_json: bool) -> None:
    """List the workspaces: those of the settings, and those that were created while the router ran."""
    found = _exchange(_access(config, data, url, token), "GET")
    if as_json:
        print_json(found)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("workspace", "from", "policy", "live contacts")
    for one in convert(found["workspaces"], list[_Workspace]):
        version = str(one.policy_version or "none")
        origin = "settings" if one.is_in_settings else one.created_by or ""
        table.add_row(*map(Text, (one.name, origin, version, str(one.live_contacts))))
    print_renderable(table)


@workspace.command()
@click.argument("name")
@_operator_options
@click.option(
    "--policy", "file", type=INPUT_FILE_OR_DASH, help="First policy of the workspace (YAML or JSON; - is standard input)."
)
@click.option("--note", default="", help="Note of that version; at most 500 characters.")
@json_option
def create(
    name: str,
    config: Path | None,
    data: Path | None,
    url: str | None,
    token: str | None,
    file: Path | None,
    note: str,
    as_json: bool,
) -> None:
    """Create a workspace while the router runs. It needs no entry in the settings, and is there after a restart."""
    document = "" if file is None else read_document(file).decode(errors="replace")
    made = _exchange(_access(config, data, url, token), "POST", {"name": name, "policy": document, "note": note})
    if as_json:
        print_json(made)
        return
    click.echo(f"{name}: created")
    if not convert(made, _Workspace).policy_version:
        click.echo(f"It has no policy: until `router policy publish FILE --workspace {name}` every contact is refused.")


@workspace.command()
@click.argument("name")
@_operator_options
@click.option("--force", is_flag=True, help="End its live contacts; without it, they prevent the removal.")
def remove(name: str, config: Path | None, data: Path | None, url: str | None, token: str | None, force: bool) -> None:
    """Remove a workspace that was created over the API, with its agents and customers. Its name is not used again."""
    _exchange(_access(config, data, url, token), "DELETE", path=f"/v1/workspaces/{quote(name, safe='')}?force={str(force).lower()}")
    click.echo(f"{name}: removed")


def _access(config: Path | None, data: Path | None, url: str | None, token: str | None) -> RouterAccess:
    return RouterAccess(config=config, data=data, url=url, workspace="default", token=token, subject="cli")


def _exchange(router: RouterAccess, method: str, body: dict[str, str] | None = None, path: str = "/v1/workspaces") -> Any:
    import msgspec

    from router.client.http_query import HttpRequestRefused

    document = None if body is None else msgspec.json.encode(body)
    headers = None if body is None else {"Content-Type": "application/json"}
    try:
        answer = router.exchange(method, path, role="operator", document=document, headers=headers)
    except HttpRequestRefused as error:
        problems = "".join(f"\n{problem.path}: {problem.message}" for problem in error.problems)
        raise CommandFailure(f"{error}{problems}") from None
    return msgspec.json.decode(answer.body)
