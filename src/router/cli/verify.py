"""``router verify``: is a journal whole, and does its replay keep every promise?"""

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
    help="Directory for the working copy; it needs room for the journal.",
)
@json_option
def verify(file: Path, scratch: Path | None, as_json: bool) -> None:
    """Check a journal (the file journal.db) that no router has open; the file itself is not touched.

    Every record's checksum, the chain, numbers and times without a gap or a step back; then a replay of everything, its
    invariants, and its digest. Exits with 1 when anything is wrong.
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
