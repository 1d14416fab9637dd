"""``router policy versions``, ``show``, ``diff`` and ``rollback``: the published versions of a running router's policy."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.cli.options import RouterAccess, json_option, router_options
from router.cli.output import CommandFailure, CommandUsageFailure, print_json, print_renderable
from router.cli.policy import print_changes, read_valid_policy

if TYPE_CHECKING:
    from router.model.policy import Policy
    from router.policy.diff import DocumentChange

_ACTIVE: Final = "active"
# The backspace character keeps click from rewrapping the paragraph.
_DIFF_EXAMPLES: Final = """\b
router policy diff new.yaml      what publishing the file would change
router policy diff 3 5           what changed from version 3 to version 5
router policy diff 3 active      what changed since version 3
"""
_is_version: Final = re.compile(r"[0-9]{1,15}").fullmatch


@click.command()
@router_options
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="Maximum number of versions.")
@json_option
def versions(
    config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None, limit: int, as_json: bool
) -> None:
    """List the published versions of the policy, newest first: when, who, what changed, and why."""
    router = _access(config, data, url, workspace, token)
    found = _get(router, f"/v1/policy/versions?limit={limit}")
    if as_json:
        print_json(found)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("version", "published", "by", "+", "-", "~", "note")
    for one in found["versions"]:
        counts = one["changes"] or {}
        numbers = (str(counts.get(name, "")) for name in ("added", "removed", "changed"))
        note = f"restores version {one['restores']}" * (one["restores"] is not None)
        kind = "scheduled" * one["is_scheduled"]
        text = "; ".join(part for part in (note, kind, one["note"], "" if one["is_kept"] else "content no longer kept") if part)
        name = f"{one['version']}{' (active)' if one['is_active'] else ''}"
        table.add_row(*map(Text, (name, _time_text(one["published_at_ms"]), one["published_by"] or "", *numbers, text)))
    print_renderable(table)
    if not found["versions"]:
        click.echo(f"{workspace}: no policy has been published")


@click.command()
@click.argument("version", default=_ACTIVE)
@router_options
@json_option
def show(
    version: str, config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None, as_json: bool
) -> None:
    """Print a published version of the policy (default: the active one) as YAML, for example into a file."""
    router = _access(config, data, url, workspace, token)
    body = _read_version(router, version, "application/json" if as_json else "application/yaml")
    click.echo(body.decode(), nl=not body.endswith(b"\n"))


@click.command(epilog=_DIFF_EXAMPLES)
@click.argument("before")
@click.argument("after", required=False)
@router_options
@json_option
def diff(
    before: str,
    after: str | None,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    token: str | None,
    as_json: bool,
) -> None:
    """Compare two policies, each the number of a version, `active`, or a file. With one: the active policy with it."""
    router = _access(config, data, url, workspace, token)
    first, second = (_ACTIVE, before) if after is None else (before, after)
    changes = _server_diff(router, first, second)
    if changes is None:
        from router.policy.diff import policy_diff

        changes = policy_diff(_policy_named(router, first), _policy_named(router, second))
    if as_json:
        print_json({"before": first, "after": second, "changes": changes})
        return
    print_changes(changes)


@click.command()
@click.argument("version", type=click.IntRange(min=1))
@router_options
@click.option("--note", default="", help="Why, for the list of versions; at most 500 characters.")
@click.option(
    "--drain-to",
    multiple=True,
    metavar="REMOVED:TARGET",
    help="Queue for the contacts of a queue that the version does not have; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Print what it would change and what would be refused; change nothing.")
@json_option
def rollback(
    version: int,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    token: str | None,
    note: str,
    drain_to: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the content of an earlier version again, as a new version.

    Prints what it changes first, and replaces exactly the version that it has compared.
    """
    router = _access(config, data, url, workspace, token)
    preview = _get(router, f"/v1/policy/versions/{version}/preview")
    targets = _targets(drain_to)
    missing = {name: count for name, count in preview["removed_queues_contacts"].items() if name not in targets}
    done = None if dry_run or missing else _roll_back(router, preview, {"version": version, "note": note, "drain_to": targets})
    if as_json:
        print_json({"published": done is not None, "version": done, "preview": preview})
    else:
        _print_preview(preview, missing)
        if done is not None:
            click.echo(f"{workspace}: version {done} is active, with the content of version {version}")
        elif dry_run:
            click.echo("Nothing is published (--dry-run).")
    if missing and not dry_run:
        raise CommandFailure("contacts wait in queues that the version does not have: name a queue with --drain-to REMOVED:TARGET")


def _roll_back(router: RouterAccess, preview: dict[str, Any], body: dict[str, Any]) -> int:
    import msgspec

    from router.client.http_query import HttpRequestRefused

    headers = {"If-Match": f'"{preview["active_version"]}"', "Content-Type": "application/json"}
    try:
        answer = router.exchange("POST", "/v1/policy/rollback", role="admin", document=msgspec.json.encode(body), headers=headers)
    except HttpRequestRefused as error:
        problems = "".join(f"\n{problem.path}: {problem.message}" for problem in error.problems)
        raise CommandFailure(f"{error}{problems}") from None
    return int(msgspec.json.decode(answer.body)["version"])


def _print_preview(preview: dict[str, Any], missing: dict[str, int]) -> None:
    import msgspec

    from router.policy.diff import DocumentChange

    print_changes(msgspec.convert(preview["changes"], list[DocumentChange]))
    for problem in preview["problems"]:
        click.echo(f"{problem['path']}: {problem['message']}")
    for name, count in missing.items():
        click.echo(f"{name}: {count} live contact{'' if count == 1 else 's'}, and the version does not have this queue")
    if preview["refused"] and preview["refused"] != "drain_target_required":
        click.echo(f"It would be refused: {preview['refused']}: {preview['refused_because']}")


def _access(config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None) -> RouterAccess:
    return RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="policy")


def _get(router: RouterAccess, path: str) -> Any:
    import msgspec

    return msgspec.json.decode(_read(router, path, "application/json"))


def _read(router: RouterAccess, path: str, accept: str) -> bytes:
    from router.client.http_query import HttpRequestRefused

    try:
        return router.exchange("GET", path, role="admin", headers={"Accept": accept}).body
    except HttpRequestRefused as error:
        raise CommandFailure(str(error)) from None


def _read_version(router: RouterAccess, version: str, accept: str) -> bytes:
    if version != _ACTIVE and _is_version(version) is None:
        raise CommandUsageFailure("a version is a number, or `active`")
    return _read(router, "/v1/policy" if version == _ACTIVE else f"/v1/policy/versions/{version}", accept)


def _server_diff(router: RouterAccess, before: str, after: str) -> "list[DocumentChange] | None":
    """Return the differences between two versions as the router finds them; None: one of them is a file, or the active policy."""
    if _is_version(before) is None or not (after == _ACTIVE or _is_version(after)):
        return None
    import msgspec

    from router.policy.diff import DocumentChange

    target = "" if after == _ACTIVE else f"&after={after}"
    return msgspec.convert(_get(router, f"/v1/policy/diff?before={before}{target}")["changes"], list[DocumentChange])


def _policy_named(router: RouterAccess, name: str) -> "Policy":
    """Return the policy of a version, of the active one, or of a file."""
    from router.policy.document.parsing import parse_policy

    if name != _ACTIVE and _is_version(name) is None:
        path = Path(name)
        if not path.is_file():
            raise CommandUsageFailure(f"{name}: neither a version, nor `active`, nor a file")
        return read_valid_policy(path)
    return parse_policy(_read_version(router, name, "application/json"))


def _targets(drain_to: tuple[str, ...]) -> dict[str, str]:
    pairs = [pair.partition(":") for pair in drain_to]
    if any(not (removed and target) for removed, _, target in pairs):
        raise CommandUsageFailure("--drain-to is REMOVED:TARGET, two names of queues")
    return {removed: target for removed, _, target in pairs}


def _time_text(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
