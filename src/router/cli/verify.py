"""``router verify``: check the integrity of a journal and the invariants of its replay."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from router.cli.options import json_option
from router.cli.output import EXIT_FAILED, print_json, print_table, working

if TYPE_CHECKING:
    from router.runtime.verify import VerifyReport


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory for the working copy; it needs as much free space as the journal.",
)
@json_option
def verify(file: Path, scratch: Path | None, as_json: bool) -> None:
    """Check a journal (the file journal.db) that no router has open; the file itself is not modified.

    Checks the checksum of every record, the hash chain, and that event numbers have no gap and times never decrease; then
    replays all events and checks the invariants and the digest of the state. Exits with 1 if any check fails.
    """
    from router.runtime.verify import verify_file

    with working("verifying"):
        report = asyncio.run(verify_file(file, scratch=scratch))
    if as_json:
        print_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        _tell(report)
    if not report.ok:
        raise SystemExit(EXIT_FAILED)


def _tell(report: "VerifyReport") -> None:
    from rich.table import Table

    if report.workspaces:
        table = Table("workspace", "records", "events", "last seq", "epochs", "snapshot", "digest")
        for one in report.workspaces:
            snapshot = "-" if one.snapshot_seq is None else f"{one.snapshot_seq:,}"
            counts = (one.records, one.events, one.last_seq, one.epochs)
            table.add_row(one.workspace, *(f"{n:,}" for n in counts), snapshot, one.digest[:16])
        print_table(table)
    for problem in report.problems:
        click.echo(f"{report.path}: {problem}")
    for one in report.workspaces:
        for problem in one.problems:
            click.echo(f"{report.path}: {one.workspace}: {problem}")
    click.echo(f"{report.path}: {'sound' if report.ok else 'NOT SOUND'}")
