"""``router shadow``: evaluate a second policy beside the active one and report the decisions that would differ."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from router.cli.doctor import checked, own_url
from router.cli.options import config_options, json_option, settings_of
from router.cli.output import Failure, print_json, print_table, read_file, working
from router.cli.token import minted

if TYPE_CHECKING:
    from router.model.shadow import Difference, ShadowReport

_TOKEN_LIFETIME_S: Final = 60
_EXAMPLES_SHOWN_MAX: Final = 5
_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Router:
    """HTTP access to the running router for the subcommands of ``router shadow``."""

    def __init__(
        self, config: Path | None, data: Path | None, url: str | None, workspace: str
    ) -> None:
        self._config, self._data, self._url = config, data, url
        self.workspace = workspace

    def ask(self, method: str, *, role: str, document: bytes | None = None) -> bytes:
        """Send one request to ``/v1/shadow`` and return the response body. Raises Failure."""
        from router.client.errors import ClientError
        from router.client.question import ask

        settings = settings_of(self._config, self._data)
        url = own_url(settings) if self._url is None else checked(self._url)
        lifetime_s = min(_TOKEN_LIFETIME_S, settings.auth.lifetime_s_max)
        token = minted(
            settings, subject="shadow", role=role, workspace=self.workspace, lifetime_s=lifetime_s
        )
        try:
            return asyncio.run(
                ask(url, "/v1/shadow", token=token, method=method, document=document)
            )
        except ClientError as error:
            raise Failure(str(error)) from None


@click.group(invoke_without_command=True)
@config_options
@click.option("--url", help="URL of the running router; default: the address in the settings.")
@click.option("--workspace", default="default", show_default=True, help="Workspace to use.")
@click.option(
    "--journal",
    type=_EXISTING_FILE,
    help="Read the whole journal of a stopped router instead.",
)
@click.option("--policy", type=_FILE, help="With --journal: the shadow policy to evaluate.")
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --journal: directory for the working copy.",
)
@json_option
@click.pass_context
def shadow(
    context: click.Context,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    journal: Path | None,
    policy: Path | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a second policy beside the active one: it has no effect on routing, and its differing decisions are reported.

    `put` starts it, `report` prints its findings, `stop` ends it, all on a running router. With --journal and --policy the
    whole history of a stopped router is evaluated instead.
    """
    context.obj = _Router(config, data, url, workspace)
    if context.invoked_subcommand is not None:
        if journal is not None or policy is not None or scratch is not None:
            raise click.UsageError(
                "--journal, --policy and --scratch cannot be combined with a subcommand."
            )
        return
    if journal is None or policy is None:
        raise click.UsageError(
            "Give one of the subcommands put, report and stop, or both --journal and --policy."
        )
    reports = _from_journal(journal, policy, scratch)
    if as_json:
        print_json({"workspaces": msgspec.to_builtins(reports)})
        return
    for name, report in reports.items():
        _tell(name, report)


@shadow.command()
@click.argument("file", type=_FILE)
@click.pass_obj
def put(router: _Router, file: Path) -> None:
    """Start the policy in FILE (YAML or JSON; - is standard input) as the shadow policy."""
    router.ask("PUT", role="admin", document=_read(file))
    click.echo(f"{router.workspace}: {file} is active as the shadow policy")


@shadow.command()
@json_option
@click.pass_obj
def report(router: _Router, as_json: bool) -> None:
    """Report what the shadow policy has evaluated and which decisions would have differed."""
    from router.model.shadow import ShadowReport

    body = router.ask("GET", role="supervisor")
    try:
        found = msgspec.json.decode(body, type=ShadowReport)
    except msgspec.DecodeError:
        raise Failure("the server did not answer as a router of this version does") from None
    if as_json:
        print_json(found)
    else:
        _tell(router.workspace, found)


@shadow.command()
@click.pass_obj
def stop(router: _Router) -> None:
    """Stop the shadow policy."""
    router.ask("DELETE", role="admin")
    click.echo(f"{router.workspace}: the shadow policy is stopped")


def _read(path: Path) -> bytes:
    from router.rules.limits import SIZE_BYTES_MAX

    return read_file(path, size_max=SIZE_BYTES_MAX)


def _from_journal(journal: Path, policy: Path, scratch: Path | None) -> "dict[str, ShadowReport]":
    from router.rules.document import parse_policy
    from router.runtime.shadow_file import shadow_file

    document = parse_policy(_read(policy))
    with working("evaluating the journal"):
        return asyncio.run(shadow_file(journal, document, scratch=scratch))


# --- output ------------------------------------------------------------------------------------------
def _tell(workspace: str, report: "ShadowReport") -> None:
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
    print_table(table)
    cases = Table("difference", "seq", "contact", "queue", "actual", "shadow", "why")
    for kind, examples in report.examples.items():
        for one in examples[-_EXAMPLES_SHOWN_MAX:]:
            cells = (
                kind,
                f"{one.seq:,}",
                one.contact_id,
                one.queue_id,
                one.agent_id or "–",
                _instead(one),
                ", ".join(one.why),
            )
            cases.add_row(*map(Text, cells))
    print_table(cases)


def _instead(one: "Difference") -> str:
    named = (
        ("queue", one.shadow_queue_id),
        ("agent", one.shadow_agent_id),
        ("contact", one.shadow_contact_id),
    )
    return ", ".join(f"{what} {name}" for what, name in named if name is not None) or "–"
