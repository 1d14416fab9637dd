"""Commands that move a journal between files and a store: ``router journal import``, ``export`` and ``discard-import``.

They work on a stopped router. The settings name the store as for ``router serve``.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from router.cli.options import DIRECTORY, EXISTING_DIRECTORY, INPUT_FILE, config_options, json_option, load_command_settings
from router.cli.output import CommandUsageFailure, print_json, print_renderable, progress_bar, spinner

if TYPE_CHECKING:
    from router.runtime.journal_transfer import TransferReport
    from router.settings import Settings


_SECRETS: Final = ("token.secret", "hash-secrets.json")
"""Files beside a journal that a router needs to go on with it, and that an import does not copy."""


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--store`` and ``--durability``, as ``router serve`` has them."""
    store = click.option("--store", help="Redis or Valkey server, as for `router serve`; default: store.url of the settings.")
    durability = click.option(
        "--durability",
        type=click.Choice(["leader", "fsync", "replica", "replica_fsync"]),
        help="What confirms a write to the store. Default: replica.",
    )
    return store(durability(command))


@click.command(name="import")
@click.argument("file", type=INPUT_FILE)
@config_options
@store_options
@click.option(
    "--scratch", type=EXISTING_DIRECTORY, help="Directory for a working copy; it needs as much free space as the journal."
)
@click.option("--no-verify", is_flag=True, help="Do not read the store back and compare the digests.")
@json_option
def import_command(
    file: Path,
    config: Path | None,
    data: Path | None,
    store: str | None,
    durability: str | None,
    scratch: Path | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Copy the journal FILE (journal.db) of a stopped router into an empty store.

    FILE is not changed. The store must not have a journal yet. Until everything is written and verified, every router refuses the
    store; an import that was interrupted goes on where it ended when the same command is run again. Clients resume as after a
    restart. --data is the data directory of the router that will use the store; it gets the mark of this node.
    """
    settings = _settings_with_store(config, data, store, durability)
    from router.runtime.journal_transfer import import_journal

    directory = Path(settings.journal.path).absolute().parent
    with progress_bar(f"importing {file.name}") as show:
        report = asyncio.run(
            import_journal(
                file, settings.store, data_directory=directory, scratch=scratch, is_verified=not no_verify, on_progress=show
            )
        )
    _print_report(report, as_json)
    if as_json:
        return
    if file.absolute() == Path(settings.journal.path).absolute():
        click.echo(
            f"next: move {file.name} and its files out of {directory}, but leave {' and '.join(_SECRETS)} there; "
            "`router serve` refuses a store beside a journal in files"
        )
    else:
        _print_copy_hint(file.absolute().parent, directory, _SECRETS)


@click.command(name="export")
@config_options
@store_options
@click.option("--to", "directory", type=DIRECTORY, required=True, help="New directory for the journal.")
@click.option("--running", is_flag=True, help="Also where a router uses the store: copy what it has written so far.")
@click.option("--no-verify", is_flag=True, help="Do not replay the copy and compare the digests.")
@json_option
def export_command(
    config: Path | None,
    data: Path | None,
    store: str | None,
    durability: str | None,
    directory: Path,
    running: bool,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Copy the journal in a store into a new directory, as a journal in files on which a router can be started.

    Writes nothing to the store. The token secret of --data is copied too. Without --running a store that a router uses is refused,
    because a router that is started on the copy would lack what the other one still writes.
    """
    settings = _settings_with_store(config, data, store, durability)
    from router.runtime.journal_transfer import export_store
    from router.server.auth.keys import secret_path

    with progress_bar("exporting") as show:
        report = asyncio.run(
            export_store(
                settings.store,
                directory.absolute(),
                data_directory=Path(settings.journal.path).absolute().parent,
                companions=(secret_path(settings),),
                is_used=running,
                is_verified=not no_verify,
                on_progress=show,
            )
        )
    _print_report(report, as_json)
    if not as_json:
        # A backup must not have the secrets of the idempotency keys, so they are not copied.
        _print_copy_hint(Path(settings.journal.path).absolute().parent, directory.absolute(), _SECRETS[1:])


def _print_copy_hint(source: Path, target: Path, names: Sequence[str]) -> None:
    """Tell which secrets a router needs beside the journal in its new place."""
    found = [name for name in names if (source / name).exists() and source != target]
    if found:
        click.echo(
            f"next: copy {' and '.join(found)} from {source} to {target} before `router serve`; without hash-secrets.json, "
            "commands that are repeated with an idempotency key are carried out again"
        )


@click.command(name="discard-import")
@config_options
@store_options
@json_option
def discard_import(config: Path | None, data: Path | None, store: str | None, durability: str | None, as_json: bool) -> None:
    """Remove what an interrupted `router journal import` has written to a store; anything else is left alone."""
    settings = _settings_with_store(config, data, store, durability)
    with spinner("removing"):
        workspaces = _discard(settings)
    if as_json:
        print_json({"removed": workspaces})
    else:
        click.echo(f"removed the unfinished import of {len(workspaces):,} workspaces: {', '.join(workspaces)}")


def _discard(settings: "Settings") -> list[str]:
    from router.journal.redis.importing import StoreImport

    target = StoreImport(settings.store, Path(settings.journal.path).absolute().parent)
    target.open()
    try:
        return target.discard()
    finally:
        target.close()


def _settings_with_store(config: Path | None, data: Path | None, store: str | None, durability: str | None) -> "Settings":
    settings = load_command_settings(config, data, store__url=store, store__durability=durability)
    if settings.store.url is None:
        raise CommandUsageFailure(
            "store.url: the settings name no Redis or Valkey server; give --store, or the --config of the router "
            "(a journal in files is copied with `router backup`)"
        )
    return settings


def _print_report(report: "TransferReport", as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(report))
        return
    from rich.table import Table

    table = Table("workspace", "events", "last seq", "chain", "digest")
    for one in report.workspaces:
        count = one.last_seq - one.first_seq + 1
        table.add_row(one.workspace, f"{count:,}", f"{one.last_seq:,}", one.chain[:16], one.digest[:16] or "-")
    print_renderable(table)
    checked = "verified: chain and state are those of the original" if report.verified else "not verified"
    click.echo(f"{report.target}: {sum(one.last_seq - one.first_seq + 1 for one in report.workspaces):,} events, {checked}")
