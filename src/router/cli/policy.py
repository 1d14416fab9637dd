"""``router policy check`` and ``router policy try``: validate and compare policy documents, classify a sample contact."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.cli.options import json_option
from router.cli.output import EXIT_FAILED, CommandFailure, CommandUsageFailure, print_json, print_renderable, read_file
from router.model.errors import PolicyInvalid, Problem

if TYPE_CHECKING:
    from router.model.policy import Policy
    from router.policy.diff import DocumentChange
    from router.policy.entry_rules import EntryRuleTrial

_POLICY_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
# The backspace character keeps click from rewrapping the paragraph.
_TRY_EXAMPLE = """\b
router policy try policy.yaml --contact \\
  '{"channel": "voice", "attributes": {"tier": "gold"}, "queues": {"support": {"waiting": 21}}}'
"""


@click.group()
def policy() -> None:
    """Check policy documents and try their entry rules."""


@policy.command()
@click.argument("file", type=_POLICY_FILE)
@click.option("--compare-with", type=_POLICY_FILE, help="Another policy; also list the differences to it.")
@json_option
def check(file: Path, compare_with: Path | None, as_json: bool) -> None:
    """Check a policy document (YAML or JSON; - is standard input).

    Lists every problem with its line and column and exits with 1. Advice about unusual but valid parts is not a failure.
    """
    from router.policy.diff import policy_diff
    from router.policy.document.parsing import parse_policy_with_advice

    before = _read_valid_policy(compare_with) if compare_with else None
    try:
        found, advice = parse_policy_with_advice(_read_document(file))
    except PolicyInvalid as error:
        _print_problems(file, list(error.problems), as_json=as_json)
        raise SystemExit(EXIT_FAILED) from None
    changes = policy_diff(before, found) if before is not None else None
    if as_json:
        print_json({"valid": True, "problems": [], "advice": advice, "changes": changes or []})
        return
    _print_summary(file, found, advice)
    if changes is not None:
        _print_changes(changes)


@policy.command(name="try", epilog=_TRY_EXAMPLE)
@click.argument("file", type=_POLICY_FILE)
@click.option(
    "--contact", "sample", required=True, help="Contact as JSON: channel, attributes, and queues with the values of their facts."
)
@json_option
def try_(file: Path, sample: str, as_json: bool) -> None:
    """Classify a sample contact by the entry rules of a policy document.

    Shows which rule decides, which rules fail, and the facts that each one read. Facts of queues that are not given have no value.
    """
    import msgspec

    from router.policy.entry_rules import SampleContact, sample_error, try_entry_rules
    from router.protocol.invalid_input import InvalidInput, NotWellFormed, decode_json

    found = _read_valid_policy(file)
    try:
        contact = decode_json(sample.encode(errors="replace"), msgspec.json.Decoder(SampleContact))
    except (InvalidInput, NotWellFormed) as error:
        raise CommandUsageFailure(f"--contact: {error}") from None
    objection = sample_error(found, contact)
    if objection is not None:
        raise CommandUsageFailure(f"--contact: {objection[0]}: {objection[1]}")
    trial = try_entry_rules(found, contact, lambda queue_id, name: None)
    if as_json:
        print_json(trial)
        return
    _print_trial(trial)


def _print_trial(trial: "EntryRuleTrial") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("rule", "", "facts", "missing")
    for rule in trial.rules:
        facts = ", ".join(f"{name} = {value}" for name, value in rule.facts.items())
        cells = (rule.name, str(rule.outcome).replace("_", " "), facts, ", ".join(rule.missing))
        table.add_row(*map(Text, cells))
    print_renderable(table)
    by = f"by the rule {trial.rule}" if trial.rule else "by default_queue: no rule matches"
    if trial.queue_id is None:
        click.echo("Refused: no rule matches, and the policy has no default_queue.")
    else:
        click.echo(f"Queue {trial.queue_id}, {by}.")


def _read_document(path: Path) -> bytes:
    from router.policy.document.nodes import DOCUMENT_BYTES_MAX

    return read_file(path, size_max=DOCUMENT_BYTES_MAX)


def _read_valid_policy(path: Path) -> "Policy":
    from router.policy.document.parsing import parse_policy

    try:
        return parse_policy(_read_document(path))
    except PolicyInvalid as error:
        raise CommandFailure(
            f"{path}: {_format_count(len(error.problems), 'problem')}; run `router policy check {path}` for the list"
        ) from None


def _print_problems(path: Path, problems: list[Problem], *, as_json: bool) -> None:
    if as_json:
        print_json({"valid": False, "problems": problems, "advice": [], "changes": []})
        return
    for problem in problems:
        click.echo(f"{path}:{problem}")
    click.echo(f"{_format_count(len(problems), 'problem')}; the router would reject this policy.", err=True)


def _print_summary(path: Path, found: "Policy", advice: list[Problem]) -> None:
    for one in advice:
        click.echo(f"{path}:{one.line}:{one.column}: advice: {one.path or 'policy'}: {one.message}")
    click.echo(
        f"{path}: valid: {_format_count(len(found.queues), 'queue')}, {_format_count(len(found.channels), 'channel')}, "
        f"{_format_count(len(found.skills), 'skill')}, {_format_count(len(found.facts), 'fact')}, "
        f"{_format_count(len(found.entry), 'entry rule')}"
    )


def _print_changes(changes: "list[DocumentChange]") -> None:
    if not changes:
        click.echo("No changes.")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("change", "where", "before", "after", title="Changes", title_justify="left")
    for change in changes:
        # Text, because a value in brackets would be interpreted as markup.
        cells = (str(change.kind), change.path, change.before or "", change.after or "")
        table.add_row(*map(Text, cells))
    print_renderable(table)


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
