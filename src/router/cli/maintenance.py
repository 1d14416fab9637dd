"""Commands that keep the journal of a running or stopped router: ``router backup``, ``router journal archive`` and ``unarchive``.

A running router executes them itself, through the socket beside its journal; for a stopped one the command opens the journal.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from router.cli.diagnosis import journal
from router.cli.options import DIRECTORY, INPUT_FILE, DurationType, config_options, json_option, load_command_settings
from router.cli.output import CommandFailure, print_json, spinner

if TYPE_CHECKING:
    from router.runtime.clock_reset import ClockReset
    from router.settings import Settings


@click.command()
@config_options
@click.option("--to", "directory", type=DIRECTORY, required=True, help="New directory for the backup.")
@click.option("--no-verify", is_flag=True, help="Do not read the backup back and replay it.")
@json_option
def backup(config: Path | None, data: Path | None, directory: Path, no_verify: bool, as_json: bool) -> None:
    """Copy the journal of a running or stopped router into a new directory.

    The router goes on meanwhile. The copy contains everything that was acknowledged when it began, the snapshots and the token
    secret, so a router can be started on it. It is then verified by a replay in this process. To restore it, see
    docs/how-to/recovery.md.
    """
    settings = load_command_settings(config, data)
    with spinner("copying"):
        report = _run(settings, "backup", directory)
    problems: list[str] = []
    if not no_verify:
        from router.cli.diagnosis import find_problems

        with spinner("verifying"):
            problems = asyncio.run(find_problems(Path(report["path"])))
    if as_json:
        print_json({**report, "verified": not no_verify, "problems": problems})
    else:
        checked = "not verified" if no_verify else "verified" if not problems else "DAMAGED"
        click.echo(f"{report['path']}: {report['records']:,} records, {report['bytes']:,} bytes, {checked}")
    if problems:
        raise CommandFailure(f"the backup does not verify: {problems[0]}")


@journal.command()
@config_options
@click.option("--to", "directory", type=DIRECTORY, required=True, help="New directory for the archive.")
@click.option("--keep", "keep_s", type=DurationType(), required=True, help="Age up to which records stay, at least 2d (90d).")
@json_option
def archive(config: Path | None, data: Path | None, directory: Path, keep_s: int, as_json: bool) -> None:
    """Move old records of a running or stopped router into an archive, a new directory.

    Records that a start needs stay in any case: those since the older of the two snapshots. The file of the journal does not become
    smaller, but its space is used again; a backup is a compact copy. The archive can be checked with `router verify` and put back
    with `router journal unarchive`.
    """
    settings = load_command_settings(config, data)
    with spinner("archiving"):
        report = _run(settings, "archive", directory, keep_s=keep_s)
    if as_json:
        print_json({"archived": report is not None, **(report or {})})
    elif report is None:
        click.echo("nothing to archive: no records are both older than that and not needed for a start")
    else:
        click.echo(f"{report['path']}: {report['records']:,} records, {report['bytes']:,} bytes")


@journal.command()
@click.argument("archive_file", type=INPUT_FILE)
@click.argument("journal_file", type=INPUT_FILE)
@json_option
def unarchive(archive_file: Path, journal_file: Path, as_json: bool) -> None:
    """Put an archive (its archive.db) back in front of the journal of a stopped router (journal.db).

    Needed before an upgrade that cannot read the snapshots, and where both snapshots are damaged. Several archives are put back
    from the newest to the oldest. The archive is not changed.
    """
    with spinner("putting back"):
        begins = asyncio.run(_put_back(archive_file, journal_file))
    if as_json:
        print_json({"first_seq": begins})
    else:
        for workspace, seq in begins.items():
            click.echo(f"{journal_file}: workspace {workspace} begins with event {seq:,} again")


@journal.command(name="reset-clock")
@config_options
@click.option("--backup", "directory", type=DIRECTORY, required=True, help="New directory for a backup that is made first.")
@json_option
def reset_clock(config: Path | None, data: Path | None, directory: Path, as_json: bool) -> None:
    """Bring the journal of a stopped router back to the present, after it was written with a clock that was ahead.

    Moves all times of each workspace that is ahead by the same amount, so that waits and remaining times stay as they are, and
    begins a new history; clients load the full state. Times agreed with customers stay, opening hours are evaluated again. The old
    history is in the backup. Set the clock of the machine before.
    """
    settings = load_command_settings(config, data)
    resets = asyncio.run(_reset_clock(settings, directory.absolute()))
    if as_json:
        print_json(msgspec.to_builtins(resets))
    for one in () if as_json else resets:
        click.echo(f"workspace {one.workspace}: moved back by {one.ahead_ms / 1000:,.0f} s at event {one.seq:,}")
    if not resets and not as_json:
        click.echo("nothing to do: no workspace is ahead of the clock of this machine")


async def _reset_clock(settings: "Settings", directory: Path) -> "list[ClockReset]":
    from router.app.restorable_stats import RestorableStats
    from router.journal.backends import open_journal
    from router.journal.sqlite.journal import SqliteJournal
    from router.runtime.clock import SystemClock
    from router.runtime.clock_reset import reset_clock
    from router.server.auth.keys import secret_path

    _check_in_file(settings)
    opened = open_journal(settings.journal)
    if not isinstance(opened, SqliteJournal) or not opened.path.exists():
        raise CommandFailure(f"{settings.journal.path}: no journal (use the same --data or --config as the router)")
    return await reset_clock(
        opened,
        backup=directory,
        companions=(secret_path(settings),),
        now_ms=SystemClock().now_ms(),
        new_stats=lambda _: RestorableStats(),
    )


def _check_in_file(settings: "Settings") -> None:
    if settings.store.url is not None:
        raise CommandFailure(
            "store.url: the journal of these settings is on a server; back the server up with its own means (docs/how-to/redis.md)"
        )


def _run(settings: "Settings", command: str, directory: Path, **fields: Any) -> Any:
    """Run a command in the running router, or here where none runs; return its report as plain data."""
    from router.journal.files import JournalPaths
    from router.runtime.control import send_command

    _check_in_file(settings)
    path = Path(settings.journal.path).absolute()
    target = directory.absolute()
    if not path.exists():
        raise CommandFailure(f"{path}: no journal (use the same --data or --config as the router)")
    answer = send_command(JournalPaths(path).control, command, to=str(target), **fields)
    if answer is not None:
        return answer["report"]
    return msgspec.to_builtins(asyncio.run(_run_here(settings, command, target, **fields)))


async def _run_here(settings: "Settings", command: str, directory: Path, **fields: Any) -> Any:
    from router.journal.backends import open_journal
    from router.journal.sqlite.journal import SqliteJournal
    from router.runtime.maintenance import Maintenance
    from router.server.auth.keys import secret_path

    opened = open_journal(settings.journal)
    if not isinstance(opened, SqliteJournal):
        raise CommandFailure("the journal of these settings is in memory")
    await opened.open()
    try:
        maintenance = Maintenance(opened, settings.journal, companions=(secret_path(settings),))
        if command == "backup":
            return await maintenance.backup(directory)
        return await maintenance.archive(directory, **fields)
    finally:
        await opened.close()


async def _put_back(archive_file: Path, journal_file: Path) -> dict[str, int]:
    from router.journal.files import JournalPaths
    from router.journal.sqlite.journal import SqliteJournal
    from router.runtime.offline import copy_journal

    target = SqliteJournal(journal_file, reserved_bytes=0)
    await target.open(is_archive=True)
    try:
        with copy_journal(JournalPaths(archive_file), journal_file.parent) as copy:
            source = SqliteJournal(copy, reserved_bytes=0)
            await source.open(is_archive=True)
            try:
                return await target.put_back(source)
            finally:
                await source.close()
    finally:
        await target.close()
