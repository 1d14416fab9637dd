"""``router journal`` maintains the journal file of a stopped router."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from router.cli.options import json_option
from router.cli.output import print_json, print_renderable, spinner

if TYPE_CHECKING:
    from router.journal.sqlite.migration import MigrationReport


@click.group()
def journal() -> None:
    """Maintain the journal file of a stopped router."""


@journal.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def migrate(file: Path, as_json: bool) -> None:
    """Convert a journal (the file journal.db) of an earlier version to the format of this version, once.

    Stop the router first. Converts every record, checks that the conversion loses nothing, replays all events in the new journal
    and checks the invariants of the state; only then is the new journal put into place. The old one remains beside it with the
    ending .v1. Needs about three times the space of the journal. An interrupted migration is completed by running it again.
    """
    from router.journal.sqlite.migration import migrate_journal

    with spinner("migrating"):
        report = asyncio.run(migrate_journal(file, verify=_problems))
    if as_json:
        print_json({"migrated": report is not None, **msgspec.to_builtins(report or {})})
    elif report is None:
        click.echo(f"{file}: nothing to do, the journal has the format of this version")
    else:
        _print_report(report)


async def _problems(path: Path) -> list[str]:
    """Verify a journal and return the problems found."""
    from router.runtime.offline import verify_journal_file

    found = await verify_journal_file(path, scratch=path.parent)
    in_workspaces = (
        f"workspace {one.workspace}: {problem}"
        for one in found.workspaces
        for problem in one.problems
    )
    return [*found.problems, *in_workspaces]


def _print_report(report: "MigrationReport") -> None:
    from rich.table import Table

    table = Table("workspace", "records", "events", "last seq")
    for one in report.workspaces:
        table.add_row(one.workspace, f"{one.records:,}", f"{one.events:,}", f"{one.last_seq:,}")
    print_renderable(table)
    click.echo(f"{report.path}: converted from format {report.from_format} to {report.to_format}")
    click.echo(
        f"{report.backup}: the old journal; delete it, its -wal and its .hwm once the new one is in a backup"
    )
