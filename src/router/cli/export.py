"""``router export``: what a journal recorded, as rows for spreadsheets, notebooks and the simulator."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.options import EXISTING_DIRECTORY, OUTPUT_FILE, OUTPUT_FILE_OR_DASH, TimeType, json_option
from router.cli.output import CommandFailure, print_json, spinner, write_file

if TYPE_CHECKING:
    from msgspec import Struct

    from router.model.policy import Policy


def check_window(from_ms: int | None, to_ms: int | None) -> None:
    """Check ``--from`` and ``--to``. Raises UsageError where no time is between them."""
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise click.UsageError("--from must be before --to.")


@click.command()
@click.argument("source", metavar="FILE[#WORKSPACE]")
@click.option("--from", "from_ms", type=TimeType(), help="Leave out contacts that arrived earlier (2026-03-10T08:00; UTC).")
@click.option("--to", "to_ms", type=TimeType(), help="Leave out contacts that arrived at this time or later.")
@click.option("--contacts", type=OUTPUT_FILE_OR_DASH, help="Write the contacts to a file (.csv, .jsonl, .ndjson); - writes CSV.")
@click.option("--agents", type=OUTPUT_FILE, help="Write the agents with their shifts to a file (.csv, .jsonl, .ndjson).")
@click.option("--policy", type=OUTPUT_FILE, help="Write the policy of that time to a file (.yaml, .json).")
@click.option("--scratch", type=EXISTING_DIRECTORY, help="Directory for a working copy of the journal.")
@json_option
def export(
    source: str,
    from_ms: int | None,
    to_ms: int | None,
    contacts: Path | None,
    agents: Path | None,
    policy: Path | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Write the contacts, agents and policy that a journal (the file journal.db) recorded, for spreadsheets and `router simulate`.

    FILE belongs to a stopped or a running router, or is a backup or an archive; it is copied and not changed. `router simulate`
    reads the files back with --log contacts:FILE --log agents:FILE --policy FILE. They have no references and no customer ids.
    """
    check_window(from_ms, to_ms)
    if contacts is None and agents is None and policy is None:
        raise click.UsageError("Give at least one of --contacts, --agents and --policy.")
    if as_json and str(contacts) == "-":
        raise click.UsageError("--json and --contacts - both need standard output: give --contacts a file.")
    from router.simulator.day import DayWindow
    from router.simulator.formats import require_file
    from router.simulator.formats.journal import read_rows
    from router.simulator.formats.recorded_rows import AgentRow, ContactRow

    text = require_file(source.removeprefix("journal:"))
    with spinner("reading the journal"):
        found = read_rows(text, DayWindow(from_ms, to_ms), scratch=scratch)
    if contacts is not None:
        _write_rows(found.contacts, ContactRow, contacts)
    if agents is not None:
        _write_rows(found.agents, AgentRow, agents)
    if policy is not None:
        _write_policy(found.policy, policy)
    counts = {"workspace": found.workspace, "contacts": len(found.contacts), "agents": len(found.agents)}
    if as_json:
        print_json({**counts, "has_policy": found.policy is not None, "notes": found.notes})
        return
    click.echo(f"workspace {found.workspace}: {len(found.contacts):,} contacts, {len(found.agents):,} agents", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def _write_rows(rows: "Iterable[Struct]", type_: "type[Struct]", target: Path) -> None:
    from router.simulator.formats.native import is_written_as_json, to_csv, to_json_lines

    is_json = is_written_as_json(target.name)
    if not is_json and str(target) != "-" and target.suffix != ".csv":
        raise click.UsageError(f"{target}: a file of rows ends in .csv, .jsonl or .ndjson.")
    data = b"".join(to_json_lines(rows) if is_json else to_csv(rows, type_))
    if str(target) == "-":
        click.echo(data, nl=False)
    else:
        write_file(data, target)


def _write_policy(policy: "Policy | None", target: Path) -> None:
    import msgspec
    import yaml

    if policy is None:
        raise CommandFailure("the journal has no policy: none was published in this workspace")
    if target.suffix == ".json":
        write_file(msgspec.json.format(msgspec.json.encode(policy), indent=2) + b"\n", target)
    else:
        plain = msgspec.to_builtins(policy)
        write_file(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode(), target)
