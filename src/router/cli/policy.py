"""``router policy``: validate, compare and publish policy documents, and classify a sample contact."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from router.cli.options import INPUT_FILE_OR_DASH, RouterAccess, json_option, router_options
from router.cli.output import EXIT_FAILED, CommandFailure, CommandUsageFailure, print_json, print_renderable, read_file
from router.model.errors import PolicyInvalid, Problem

if TYPE_CHECKING:
    from router.client.http_query import HttpAnswer
    from router.model.policy import Policy
    from router.policy.diff import DocumentChange
    from router.policy.entry_rules import EntryRuleTrial

_QUOTES = '"'
# The backspace character keeps click from rewrapping the paragraph.
_TRY_EXAMPLE = """\b
router policy try policy.yaml --contact \\
  '{"channel": "voice", "attributes": {"tier": "gold"}, "queues": {"support": {"waiting": 21}}}'
"""


@click.group()
def policy() -> None:
    """Check and publish policy documents, and try their entry rules."""


@policy.command()
@click.argument("file", type=INPUT_FILE_OR_DASH)
@click.option("--compare-with", type=INPUT_FILE_OR_DASH, help="Another policy; also list the differences to it.")
@json_option
def check(file: Path, compare_with: Path | None, as_json: bool) -> None:
    """Check a policy document (YAML or JSON; - is standard input).

    Lists every problem with its line and column and exits with 1. Advice about unusual but valid parts is not a failure.
    """
    from router.policy.diff import policy_diff
    from router.policy.document.parsing import parse_policy_with_advice

    before = _read_valid_policy(compare_with) if compare_with else None
    try:
        found, advice = parse_policy_with_advice(read_document(file))
    except PolicyInvalid as error:
        _print_problems(file, list(error.problems), as_json=as_json)
        raise SystemExit(EXIT_FAILED) from None
    changes = policy_diff(before, found) if before is not None else None
    if as_json:
        print_json({"valid": True, "problems": [], "advice": advice, "changes": changes or []})
        return
    _print_summary(file, found, advice)
    if changes is not None:
        print_changes(changes)


@policy.command(name="try", epilog=_TRY_EXAMPLE)
@click.argument("file", type=INPUT_FILE_OR_DASH)
@click.option(
    "--contact", "sample", required=True, help="Contact as JSON: channel, attributes, and queues with the values of their facts."
)
@json_option
def try_(file: Path, sample: str, as_json: bool) -> None:
    """Classify a sample contact by the entry rules of a policy document.

    Shows which rule decides, which rules fail, and the facts that each one read. Facts of queues that are not given have no value.
    """
    import msgspec

    from router.invalid_input import InvalidInput, NotWellFormed, decode_json
    from router.policy.entry_rules import SampleContact, sample_error, try_entry_rules

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


@policy.command()
@click.argument("file", type=INPUT_FILE_OR_DASH)
@router_options
@click.option(
    "--if-match",
    metavar="VERSION",
    help="Version that the document replaces, or * for any; default: the one that is active when the command reads it.",
)
@click.option(
    "--drain-to",
    multiple=True,
    metavar="REMOVED:TARGET",
    help="Queue for the contacts of a queue that the document removes; may be repeated.",
)
@click.option("--note", default="", help="Why it is published, for the list of versions; at most 500 characters.")
@click.option("--dry-run", is_flag=True, help="Print the differences and what would be refused; publish nothing.")
@json_option
def publish(
    file: Path,
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    token: str | None,
    if_match: str | None,
    drain_to: tuple[str, ...],
    note: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish a policy document (YAML or JSON; - is standard input) on a running router.

    Checks the document, prints the differences to the active policy, and replaces exactly the version that it has compared: if
    another one is published meanwhile, nothing is replaced. A document without differences is not published again.
    """
    router = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="policy")
    publication = Publication(router, file, as_json=as_json)
    publication.compare()
    if publication.is_unchanged:
        publication.report_unchanged()
        return
    publication.check(drain_to)
    if dry_run:
        publication.report(None)
    else:
        publication.report(publication.send(if_match, drain_to, note))


class Publication:
    """Publication of one document: read, compared with the active policy, checked by the router, and sent."""

    def __init__(self, router: RouterAccess, file: Path, *, as_json: bool) -> None:
        from router.policy.document.parsing import parse_policy_with_advice

        self._router, self._file, self._as_json = router, file, as_json
        self._document = read_document(file)
        try:
            self._policy, self._advice = parse_policy_with_advice(self._document)
        except PolicyInvalid as error:
            _print_problems(file, list(error.problems), as_json=as_json)
            raise SystemExit(EXIT_FAILED) from None
        self._tag: str | None = None
        self._changes: list[DocumentChange] | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the active policy is the same as the document."""
        return self._changes == []

    def compare(self) -> None:
        """Read the active policy with its entity tag, and compare. Raises CommandFailure."""
        from router.client.http_query import HttpRequestRefused
        from router.policy.diff import policy_diff
        from router.policy.document.parsing import parse_policy

        try:
            answer = self._router.exchange("GET", "/v1/policy", role="admin")
        except HttpRequestRefused as error:
            if error.code == "not_found":
                return  # There is no policy yet.
            raise CommandFailure(str(error)) from None
        self._tag = answer.headers.get("ETag")
        if self._tag is None:
            raise CommandFailure("the server did not answer as a router of this version does")
        self._changes = policy_diff(parse_policy(answer.body), self._policy)

    def check(self, drain_to: tuple[str, ...]) -> None:
        """Let the router check the document. Raises CommandFailure for a removed queue with contacts and without a target."""
        import msgspec

        body = send_document(self._router, "POST", "/v1/policy/check", self._file, self._document).body
        waiting = msgspec.json.decode(body)["removed_queues_waiting"]
        named = {pair.partition(":")[0] for pair in drain_to}
        missing = [f"{name} ({_format_count(count, 'contact')})" for name, count in waiting.items() if name not in named]
        if missing:
            raise CommandFailure(
                f"the document removes queues in which contacts wait: {', '.join(missing)}; "
                "name a queue for them with --drain-to REMOVED:TARGET"
            )

    def send(self, if_match: str | None, drain_to: tuple[str, ...], note: str = "") -> int:
        """Publish the document and return its version. Raises CommandFailure."""
        import msgspec

        if if_match is not None:
            headers = {"If-Match": if_match if if_match == "*" else f'"{if_match.strip(_QUOTES)}"'}
        else:
            headers = {"If-None-Match": "*"} if self._tag is None else {"If-Match": self._tag}
        query = {name: text for name, text in (("drain_to", ",".join(drain_to)), ("note", note)) if text}
        path = "/v1/policy" + (f"?{urlencode(query)}" if query else "")
        body = send_document(self._router, "PUT", path, self._file, self._document, headers=headers).body
        return int(msgspec.json.decode(body)["version"])

    def report_unchanged(self) -> None:
        """Print that there is nothing to publish."""
        version = int((self._tag or "0").strip(_QUOTES))
        if self._as_json:
            print_json({"published": False, "version": version, "changes": [], "advice": self._advice})
        else:
            click.echo(f"{self._router.workspace}: version {version} is active and has no differences; nothing is published")

    def report(self, version: int | None) -> None:
        """Print the differences and the published version; None: nothing was published."""
        changes = self._changes or []
        if self._as_json:
            print_json({"published": version is not None, "version": version, "changes": changes, "advice": self._advice})
            return
        _print_summary(self._file, self._policy, self._advice)
        if self._changes is not None:
            print_changes(changes)
        if version is None:
            click.echo("Nothing is published (--dry-run).")
        else:
            click.echo(f"{self._router.workspace}: version {version} is active")


def send_document(
    router: RouterAccess, method: str, path: str, file: Path, document: bytes, *, headers: dict[str, str] | None = None
) -> "HttpAnswer":
    """Send a policy document; print all its errors if the router refuses it. Raises CommandFailure or SystemExit."""
    from router.client.http_query import HttpRequestRefused

    try:
        return router.exchange(method, path, role="admin", document=document, headers=headers)
    except HttpRequestRefused as error:
        if error.problems:
            _print_problems(file, list(error.problems), as_json=False)
            raise SystemExit(EXIT_FAILED) from None
        if error.code == "policy_version_conflict":
            text = "another policy was published meanwhile, or --if-match names another version; run the command again to compare"
            raise CommandFailure(f"{text} ({error})") from None
        raise CommandFailure(str(error)) from None


def read_document(path: Path) -> bytes:
    """Return the bytes of a policy document. Raises CommandFailure."""
    from router.policy.document.nodes import DOCUMENT_BYTES_MAX

    return read_file(path, size_max=DOCUMENT_BYTES_MAX)


def read_valid_policy(path: Path) -> "Policy":
    """Return the policy in a document; print all its problems if it has any. Raises CommandFailure or SystemExit."""
    from router.policy.document.parsing import parse_policy

    try:
        return parse_policy(read_document(path))
    except PolicyInvalid as error:
        _print_problems(path, list(error.problems), as_json=False)
        raise SystemExit(EXIT_FAILED) from None


def _read_valid_policy(path: Path) -> "Policy":
    from router.policy.document.parsing import parse_policy

    try:
        return parse_policy(read_document(path))
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


def print_changes(changes: "Sequence[DocumentChange]") -> None:
    """Print differences between two policies as a table."""
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
