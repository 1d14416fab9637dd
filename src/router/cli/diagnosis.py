"""Commands that examine a workspace or a journal.

``router doctor`` finds configuration problems of a workspace; ``router verify`` checks the integrity of a journal;
``router journal`` maintains the journal file of a stopped router.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from router.cli.options import (
    EXISTING_DIRECTORY,
    INPUT_FILE,
    FilePath,
    config_options,
    configured_url,
    json_option,
    load_command_settings,
    mint_command_token,
    validate_url,
)
from router.cli.output import EXIT_FAILED, CommandFailure, print_json, print_renderable, spinner

if TYPE_CHECKING:
    from router.journal.sqlite.migration import MigrationReport
    from router.model.diagnosis import Diagnosis, Finding
    from router.runtime.offline import JournalVerification
    from router.settings import Settings


@click.group()
def journal() -> None:
    """Maintain the journal file of a stopped router."""


@journal.command()
@click.argument("file", type=FilePath(is_optional=True))
@json_option
def migrate(file: Path, as_json: bool) -> None:
    """Convert a journal (the file journal.db) of an earlier version to the format of this version, once.

    Stop the router first. Converts every record, checks that the conversion loses nothing, replays all events in the new journal
    and checks the invariants of the state; only then is the new journal put into place. The old one remains beside it with the
    ending .v1. Needs about three times the space of the journal. An interrupted migration is completed by running it again.
    """
    from router.journal.sqlite.migration import migrate_journal

    with spinner("migrating"):
        report = asyncio.run(migrate_journal(file, verify=find_problems))
    if as_json:
        print_json({"migrated": report is not None, **msgspec.to_builtins(report or {})})
    elif report is None:
        click.echo(f"{file}: nothing to do, the journal has the format of this version")
    else:
        _print_report(report)


async def find_problems(path: Path) -> list[str]:
    """Verify a journal and return the problems found."""
    from router.runtime.offline import verify_journal_file

    found = await verify_journal_file(path, scratch=path.parent)
    in_workspaces = (f"workspace {one.workspace}: {problem}" for one in found.workspaces for problem in one.problems)
    return [*found.problems, *in_workspaces]


def _print_report(report: "MigrationReport") -> None:
    from rich.table import Table

    table = Table("workspace", "records", "events", "last seq")
    for one in report.workspaces:
        table.add_row(one.workspace, f"{one.records:,}", f"{one.events:,}", f"{one.last_seq:,}")
    print_renderable(table)
    click.echo(f"{report.path}: converted from format {report.from_format} to {report.to_format}")
    click.echo(f"{report.backup}: the old journal; delete it, its -wal and its .hwm once the new one is in a backup")


_TOKEN_LIFETIME_S: Final = 60


@click.command()
@config_options
@click.option("--url", help="URL of the running router; default: the address in the settings.")
@click.option("--workspace", default="default", show_default=True, help="Workspace to diagnose.")
@click.option("--journal", type=INPUT_FILE, help="Read the journal of a stopped router instead (all workspaces).")
@click.option("--scratch", type=EXISTING_DIRECTORY, help="With --journal: directory for the working copy.")
@json_option
def doctor(
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    journal: Path | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Find contacts without a qualified agent, queues without agents, unused skills and agents, and rules without effect.

    Queries a running router with a token signed with the secret that --config or --data point to, or reads a journal. Exits
    with 1 if there are errors; warnings and notes are not failures. Values of facts that no gateway has set are unknown to it.
    """
    context = click.get_current_context()
    source = click.core.ParameterSource.DEFAULT
    if journal is None and scratch is not None:
        raise click.UsageError("--scratch requires --journal.")
    if journal is not None:
        if any(context.get_parameter_source(name) is not source for name in ("url", "workspace")):
            raise click.UsageError("--journal cannot be combined with --url or --workspace.")
        found = _diagnose_journal(journal, scratch)
    else:
        found = {workspace: _query_router(load_command_settings(config, data), url, workspace)}
    if as_json:
        is_healthy = not any(one.errors for one in found.values())
        print_json({"healthy": is_healthy, "workspaces": msgspec.to_builtins(found)})
    else:
        for name, diagnosis in found.items():
            _print_diagnosis(name, diagnosis)
    if any(diagnosis.errors for diagnosis in found.values()):
        raise SystemExit(EXIT_FAILED)


def _diagnose_journal(journal: Path, scratch: Path | None) -> "dict[str, Diagnosis]":
    from router.runtime.offline import diagnose_journal_file

    with spinner("reading the journal"):
        return asyncio.run(diagnose_journal_file(journal, scratch=scratch))


def _query_router(settings: "Settings", url: str | None, workspace: str) -> "Diagnosis":
    from router.client.errors import ClientError
    from router.client.http_query import request
    from router.model.diagnosis import Diagnosis

    url = configured_url(settings) if url is None else validate_url(url)
    lifetime_s = min(_TOKEN_LIFETIME_S, settings.auth.lifetime_s_max)
    token = mint_command_token(settings, subject="doctor", role="supervisor", workspace=workspace, lifetime_s=lifetime_s)
    try:
        body = asyncio.run(request(url, "/v1/doctor", token=token))
        return msgspec.json.decode(body, type=Diagnosis)
    except ClientError as error:
        raise CommandFailure(str(error)) from None
    except msgspec.DecodeError:
        raise CommandFailure(f"the server at {url} did not answer as a router of this version does") from None


def _print_diagnosis(workspace: str, diagnosis: "Diagnosis") -> None:
    from rich.table import Table
    from rich.text import Text

    if diagnosis.findings:
        table = Table("severity", "finding", "subject", "problem", "advice", title=workspace)
        for one in diagnosis.findings:
            cells = (one.severity, one.code, one.subject, _describe_finding(one), one.advice)
            # Text, because an id or name in brackets would be interpreted as markup.
            table.add_row(*(Text(str(cell)) for cell in cells))
        print_renderable(table)
    if diagnosis.omitted:
        click.echo(f"{workspace}: and {diagnosis.omitted:,} more")
    counts = ((diagnosis.errors, "error"), (diagnosis.warnings, "warning"), (diagnosis.notes, "note"))
    summary = ", ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for n, name in counts if n)
    click.echo(f"{workspace}: {summary or 'healthy, no findings'}")


def _describe_finding(finding: "Finding") -> str:
    parts = [finding.message]
    if finding.contacts:
        parts.append(f"contacts: {finding.contacts:,} ({_first_ids(finding.contact_ids)})")
    if finding.oldest_wait_ms is not None:
        parts.append(f"longest wait: {finding.oldest_wait_ms // 1000:,} s")
    if finding.agents:
        parts.append(f"agents: {finding.agents:,} ({_first_ids(finding.agent_ids)})")
    return "; ".join(parts)


def _first_ids(ids: tuple[str, ...], shown_max: int = 3) -> str:
    return ", ".join(ids[:shown_max]) + (" …" if len(ids) > shown_max else "")


@click.command()
@click.argument("file", type=INPUT_FILE)
@click.option(
    "--scratch", type=EXISTING_DIRECTORY, help="Directory for the working copy; it needs as much free space as the journal."
)
@json_option
def verify(file: Path, scratch: Path | None, as_json: bool) -> None:
    """Check a journal (the file journal.db) that no router has open; the file itself is not modified.

    Checks the checksum of every record, the hash chain, and that event numbers have no gap and times never decrease; then
    replays all events and checks the invariants and the digest of the state. Exits with 1 if any check fails.
    """
    from router.runtime.offline import verify_journal_file

    with spinner("verifying"):
        report = asyncio.run(verify_journal_file(file, scratch=scratch))
    if as_json:
        print_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        _print_verify_report(report)
    if not report.ok:
        raise SystemExit(EXIT_FAILED)


def _print_verify_report(report: "JournalVerification") -> None:
    from rich.table import Table

    if report.workspaces:
        table = Table("workspace", "records", "events", "last seq", "epochs", "snapshot", "digest")
        for one in report.workspaces:
            snapshot = "-" if one.snapshot_seq is None else f"{one.snapshot_seq:,}"
            counts = (one.records, one.events, one.last_seq, one.epochs)
            table.add_row(one.workspace, *(f"{n:,}" for n in counts), snapshot, one.digest[:16])
        print_renderable(table)
    for problem in report.problems:
        click.echo(f"{report.path}: {problem}")
    for one in report.workspaces:
        for problem in one.problems:
            click.echo(f"{report.path}: {one.workspace}: {problem}")
    click.echo(f"{report.path}: {'ok' if report.ok else 'FAILED'}")
