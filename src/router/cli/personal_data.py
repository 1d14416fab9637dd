"""Commands on personal data in the journal of a stopped router: ``router journal redact`` and ``audit-personal``."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from router.cli.options import FilePath, config_options, json_option, load_command_settings
from router.cli.output import CommandFailure, print_json, print_renderable, progress_bar, spinner

if TYPE_CHECKING:
    from router.journal.sqlite.redaction import FoundReference, RedactionReport
    from router.settings import Settings


@click.command()
@config_options
@click.option("--drop", is_flag=True, help="Do not move the references to the customer context: they are gone for good.")
@click.option("--delete-old", is_flag=True, help="Delete the journal as it was, once the new one is in place.")
@json_option
def redact(config: Path | None, data: Path | None, drop: bool, delete_old: bool, as_json: bool) -> None:
    """Move the references of contacts out of the journal of a stopped router, into its customer context.

    Journals of earlier versions hold references, which cannot be erased there. All records are written to a new journal that
    differs in references alone; it is read back, all events are replayed and the invariants checked; only then is it put into
    place. The old one remains beside it with the ending .unredacted. References older than context.contact_days are dropped. Needs
    about three times the space of the journal. An interrupted redaction is completed by running it again.
    """
    settings = load_command_settings(config, data)
    with progress_bar("redacting") as show_progress:
        report = asyncio.run(_redact(settings, drop=drop, progress=show_progress))
    if report is not None and delete_old:
        from router.journal.sqlite.redaction import delete_old as delete_files

        delete_files(report)
    copies = _earlier_copies(settings)
    if as_json:
        found = {"redacted": report is not None, "old_deleted": delete_old, "earlier_copies": [str(path) for path in copies]}
        print_json({**found, **msgspec.to_builtins(report or {})})
    elif report is None:
        click.echo(f"{settings.journal.path}: nothing to do, the journal has no references")
    else:
        _print_report(report, dropped=drop, deleted=delete_old)
    if copies and not as_json:
        click.echo("Not changed, and may still hold references:")
        for path in copies:
            click.echo(f"  {path}")
        click.echo("Put archives back, redact, and archive again; delete the others, and backups elsewhere.")


def _earlier_copies(settings: "Settings") -> list[Path]:
    """Return the other journals and archives beside the journal and below the directory of archives."""
    from router.journal.sqlite.connection import APPLICATION_ID, ARCHIVE_APPLICATION_ID, application_id
    from router.runtime.maintenance import archive_directory

    journal = Path(settings.journal.path).absolute()
    candidates = [*journal.parent.glob("*"), *archive_directory(settings.journal).absolute().rglob("*")]
    return [
        path
        for path in sorted(set(candidates))
        if path.is_file() and path != journal and application_id(path) in (APPLICATION_ID, ARCHIVE_APPLICATION_ID)
    ]


def _print_report(report: "RedactionReport", *, dropped: bool, deleted: bool) -> None:
    for workspace, count in report.redacted_contacts.items():
        click.echo(f"workspace {workspace}: references of {count:,} contacts {'dropped' if dropped else 'moved to the context'}")
    if deleted:
        click.echo(f"{report.old}: deleted; earlier backups still hold the references")
    else:
        click.echo(f"{report.old}: the old journal with all references; delete it, its -wal and its .hwm once you need it no more")


async def _redact(settings: "Settings", *, drop: bool, progress: Callable[[float], None]) -> "RedactionReport | None":
    from router.cli.diagnosis import find_problems
    from router.context.opening import open_context
    from router.journal.sqlite.redaction import redact_journal
    from router.runtime.clock import SystemClock

    clock = SystemClock()
    context = None if drop else open_context(settings, clock)
    if context is None and not drop:
        raise CommandFailure("the customer context is switched off (context.enabled): switch it on, or use --drop")
    oldest_ms = clock.now_ms() - settings.context.contact_days * 24 * 3_600_000
    started = False

    async def keep(workspace: str, found: "list[FoundReference]") -> None:
        nonlocal started
        if context is None:
            return
        if not started:  # Not before the lock of the journal is held.
            await context.start()
            started = True
        await context.run(lambda store: _keep(store, workspace, [one for one in found if one.at_ms > oldest_ms]))

    try:
        return await redact_journal(Path(settings.journal.path), keep=keep, verify=find_problems, progress=progress)
    finally:
        if context is not None and started:
            await context.stop()


def _keep(store: Any, workspace: str, found: "list[FoundReference]") -> None:
    from router.context.port import ContactReference

    by_day: dict[int, list[ContactReference]] = {}
    for one in found:
        by_day.setdefault(one.at_ms // 86_400_000, []).append(ContactReference(one.contact_id, one.reference, one.customer_id))
    for day, references in by_day.items():
        store.references.keep(workspace, references, now_ms=day * 86_400_000)


@click.command("audit-personal")
@click.argument("file", type=FilePath(is_optional=True))
@json_option
def audit_personal(file: Path, as_json: bool) -> None:
    """Count what may be personal data in a journal (the file journal.db), by event and field. No value is shown.

    Stop the router first. Counts references, and texts that have the form of a telephone number, an address, an account or a card.
    """
    with spinner("reading"):
        counts = asyncio.run(_audit(file))
    if as_json:
        print_json({"fields": [{"field": name, "references": kind == "reference", "count": n} for (name, kind), n in counts]})
        return
    if not counts:
        click.echo(f"{file}: no references and no text with the form of personal data")
        return
    from rich.table import Table

    table = Table("event and field", "what", "count")
    for (name, kind), number in counts:
        table.add_row(name, kind, f"{number:,}")
    print_renderable(table)
    if any(kind == "reference" for (_, kind), _ in counts):
        click.echo("`router journal redact` moves references to the customer context")


async def _audit(path: Path) -> list[tuple[tuple[str, str], int]]:
    from router.journal.files import JournalPaths
    from router.journal.sqlite.connection import ARCHIVE_APPLICATION_ID, application_id
    from router.journal.sqlite.journal import SqliteJournal
    from router.runtime.offline import copy_journal

    counts: Counter[tuple[str, str]] = Counter()
    with copy_journal(JournalPaths(path), path.parent) as copy:
        opened = SqliteJournal(copy, reserved_bytes=0)
        try:
            for history in await opened.open(is_archive=application_id(copy) == ARCHIVE_APPLICATION_ID):
                for record in opened.replay(history.workspace, after_seq=history.first_seq - 1):
                    for event in record.events:
                        plain = msgspec.to_builtins(event)
                        _count(counts, plain.pop("type"), plain)
        finally:
            await opened.close()
    return sorted(counts.items())


# Ids that the router makes, and whole policies, which people write for the purpose.
_NOT_READ = frozenset(
    {"contact_id", "offer_id", "assignment_id", "session_id", "customer_id", "key", "fingerprint", "dedupe_key", "policy"}
)


def _count(counts: "Counter[tuple[str, str]]", place: str, value: Any) -> None:
    """Count the texts of an event that may be personal data, by their place."""
    from router.model.states import SEALED_REFERENCE
    from router.policy.personal_data import is_personal_value

    if isinstance(value, dict):
        for name, one in value.items():
            if name == "reference":
                if one not in (None, SEALED_REFERENCE):
                    counts[f"{place}.reference", "reference"] += 1
            elif name not in _NOT_READ:
                _count(counts, f"{place}.{name}", one)
    elif isinstance(value, list | tuple):
        for one in value:
            _count(counts, place, one)
    elif isinstance(value, str) and is_personal_value(value):
        counts[place, "form of a number or an address"] += 1
