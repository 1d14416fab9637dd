"""``router shadow``: evaluate a second policy in parallel with the active policy and report its differences."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from router.cli.options import (
    EXISTING_DIRECTORY,
    INPUT_FILE,
    INPUT_FILE_OR_DASH,
    RouterAccess,
    json_option,
    repeated_router_options,
    router_options,
)
from router.cli.output import CommandFailure, print_json, print_renderable, spinner
from router.cli.policy import read_document, read_valid_policy, send_document

if TYPE_CHECKING:
    from router.model.shadow import Difference, ShadowReport

_EXAMPLES_SHOWN_MAX: Final = 5


@click.group(invoke_without_command=True)
@router_options
@click.option("--journal", type=INPUT_FILE, help="Read the whole journal of a stopped router instead.")
@click.option("--policy", type=INPUT_FILE_OR_DASH, help="With --journal: the shadow policy to evaluate.")
@click.option("--scratch", type=EXISTING_DIRECTORY, help="With --journal: directory for the working copy.")
@json_option
@click.pass_context
def shadow(
    context: click.Context,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    token: str | None,
    journal: Path | None,
    policy: Path | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a second policy in parallel with the active policy: without effect on routing, with a report of differing decisions.

    `put` starts it, `report` prints its findings, `stop` ends it, all on a running router. With --journal and --policy the
    whole history of a stopped router is evaluated instead.
    """
    context.obj = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="shadow")
    if context.invoked_subcommand is not None:
        if journal is not None or policy is not None or scratch is not None:
            raise click.UsageError("--journal, --policy and --scratch cannot be combined with a subcommand.")
        return
    if journal is None or policy is None:
        raise click.UsageError("Give one of the subcommands put, report and stop, or both --journal and --policy.")
    reports = _report_from_journal(journal, policy, scratch)
    if as_json:
        print_json({"workspaces": msgspec.to_builtins(reports)})
        return
    for name, report in reports.items():
        _print_report(name, report)


@shadow.command()
@click.argument("file", type=INPUT_FILE_OR_DASH)
@repeated_router_options
@click.pass_obj
def put(router: RouterAccess, file: Path, config: Path | None, data: Path | None, url: str | None) -> None:
    """Set the policy in FILE (YAML or JSON; - is standard input) as the shadow policy."""
    router = router.updated(config=config, data=data, url=url)
    send_document(router, "PUT", "/v1/shadow", file, read_document(file))
    click.echo(f"{router.workspace}: {file} is active as the shadow policy")


@shadow.command()
@json_option
@repeated_router_options
@click.pass_obj
def report(router: RouterAccess, as_json: bool, config: Path | None, data: Path | None, url: str | None) -> None:
    """Report what the shadow policy has evaluated and which decisions would have differed."""
    from router.model.shadow import ShadowReport

    router = router.updated(config=config, data=data, url=url)
    body = _request(router, "GET", role="supervisor")
    try:
        found = msgspec.json.decode(body, type=ShadowReport)
    except msgspec.DecodeError:
        raise CommandFailure("the server did not answer as a router of this version does") from None
    if as_json:
        print_json(found)
    else:
        _print_report(router.workspace, found)


@shadow.command()
@repeated_router_options
@click.pass_obj
def stop(router: RouterAccess, config: Path | None, data: Path | None, url: str | None) -> None:
    """Clear the shadow policy."""
    router = router.updated(config=config, data=data, url=url)
    _request(router, "DELETE", role="admin")
    click.echo(f"{router.workspace}: the shadow policy is stopped")


def _request(router: RouterAccess, method: str, *, role: str) -> bytes:
    from router.client.http_query import HttpRequestRefused

    try:
        return router.exchange(method, "/v1/shadow", role=role).body
    except HttpRequestRefused as error:
        raise CommandFailure(str(error)) from None


def _report_from_journal(journal: Path, policy: Path, scratch: Path | None) -> "dict[str, ShadowReport]":
    from router.runtime.offline import shadow_journal_file

    document = read_valid_policy(policy)
    with spinner("evaluating the journal"):
        return asyncio.run(shadow_journal_file(journal, document, scratch=scratch))


# --- output ------------------------------------------------------------------------------------------
def _print_report(workspace: str, report: "ShadowReport") -> None:
    from rich.table import Table
    from rich.text import Text

    click.echo(
        f"{workspace}: {report.state}; events {report.since_seq:,} to {report.as_of_seq:,}: "
        f"{report.submits:,} submits, {report.offers:,} offers, {report.same:,} of them identical"
    )
    if report.failure is not None:
        click.echo(f"{workspace}: stopped by {report.failure}; see the router's log for details")
    if report.events_missed:
        click.echo(f"{workspace}: {report.events_missed:,} events were missed")
    if not report.differences:
        click.echo(f"{workspace}: no differences")
        return
    table = Table("queue", *report.differences, title=workspace)
    for name, queue in report.queues.items():
        if queue.differences:
            counts = (f"{queue.differences.get(kind, 0):,}" for kind in report.differences)
            table.add_row(Text(name or "–"), *counts)
    table.add_row("all", *(f"{count:,}" for count in report.differences.values()))
    print_renderable(table)
    cases = Table("difference", "seq", "contact", "queue", "actual", "shadow", "why")
    for kind, examples in report.examples.items():
        for one in examples[-_EXAMPLES_SHOWN_MAX:]:
            cells = (
                kind,
                f"{one.seq:,}",
                one.contact_id,
                one.queue_id,
                one.agent_id or "–",
                _shadow_choice(one),
                ", ".join(one.why),
            )
            cases.add_row(*map(Text, cells))
    print_renderable(cases)


def _shadow_choice(one: "Difference") -> str:
    named = (("queue", one.shadow_queue_id), ("agent", one.shadow_agent_id), ("contact", one.shadow_contact_id))
    return ", ".join(f"{what} {name}" for what, name in named if name is not None) or "–"
