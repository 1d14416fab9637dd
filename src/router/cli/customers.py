"""``router customer`` and ``router journey``: customers of a running router, over its HTTP API."""

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from router.cli.customer_files import FORMATS, BadLines, FileReader, FileWriter, format_of
from router.cli.options import INPUT_FILE, OUTPUT_FILE_OR_DASH, RouterAccess, json_option, repeated_router_options, router_options
from router.cli.output import CommandFailure, RouterUnreachable, print_json, progress_bar

_BATCH: Final = 200
_RETRIES_MAX: Final = 30
_TAIL_PAUSE_S: Final = 2.0
_JSON: Final = {"Content-Type": "application/json"}
_FORMAT = click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: by the end of the file's name.")


class PrefixedIdType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Parameter type for the id of a customer or a merge; anything else would become another path of the API."""

    def __init__(self, what: str, letter: str, source: str) -> None:
        """``source`` is the command that prints such ids."""
        self.name = f"{what} id"
        self._is_id = re.compile(rf"{letter}_[0-9a-f]{{32}}").fullmatch
        self._rule = f"a {what} id is {letter}_ and 32 hexadecimal digits; `router customer {source}` prints it"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id."""
        text = str(value).strip()
        if self._is_id(text) is None:
            self.fail(self._rule, param, ctx)
        return text


_CUSTOMER_ID: Final = PrefixedIdType("customer", "c", "search")
_MERGE_ID: Final = PrefixedIdType("merge", "m", "merge")


@click.group()
@router_options
@click.pass_context
def customer(
    context: click.Context, config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None
) -> None:
    """Show, search, merge, erase, import and export customers of a running router."""
    context.obj = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="customer")


@click.group(name="journey")
@router_options
@click.pass_context
def customer_journey(
    context: click.Context, config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None
) -> None:
    """Show what customers did."""
    context.obj = RouterAccess(config=config, data=data, url=url, workspace=workspace, token=token, subject="journey")


@customer.command()
@click.argument("customer_id", type=_CUSTOMER_ID)
@json_option
@repeated_router_options
@click.pass_obj
def show(router: RouterAccess, customer_id: str, as_json: bool, config: Path | None, data: Path | None, url: str | None) -> None:
    """Show a customer, with masked identities. The look is recorded."""
    router = router.updated(config=config, data=data, url=url)
    found = _call(router, "GET", f"/v1/customers/{customer_id}")
    if as_json:
        print_json(found)
    else:
        _print_customers([found])


@customer.command()
@click.argument("name", required=False)
@click.option("--identity", "type_", metavar="TYPE", help="Search by an identity of this type; its value is read from the input.")
@json_option
@repeated_router_options
@click.pass_obj
def search(
    router: RouterAccess,
    name: str | None,
    type_: str | None,
    as_json: bool,
    config: Path | None,
    data: Path | None,
    url: str | None,
) -> None:
    """Search by the beginnings of the words of a NAME, or by an identity.

    The value of an identity is asked for, so that it is not in the list of processes or the history of the shell.
    """
    if (name is None) == (type_ is None):
        raise click.UsageError("Give either NAME or --identity.")
    router = router.updated(config=config, data=data, url=url)
    body: dict[str, Any] = {"name": name}
    if type_ is not None:
        body = {"identity": {"type": type_, "value": click.prompt("Value", err=True)}}
    found = _call(router, "POST", "/v1/customers/search", body)["customers"]
    if as_json:
        print_json({"customers": found})
    else:
        _print_customers(found)
        if not found:
            click.echo("no customer found", err=True)


@customer.command()
@click.argument("customer_id", type=_CUSTOMER_ID)
@click.argument("other_id", type=_CUSTOMER_ID)
@click.option("--reason", default="operator", show_default=True, help="Why both are one person.")
@repeated_router_options
@click.pass_obj
def merge(
    router: RouterAccess, customer_id: str, other_id: str, reason: str, config: Path | None, data: Path | None, url: str | None
) -> None:
    """Merge two customers who are one person. `router customer unmerge` undoes it."""
    router = router.updated(config=config, data=data, url=url)
    done = _call(router, "POST", f"/v1/customers/{customer_id}/merge", {"from": other_id, "reason": reason})
    click.echo(f"{done['merge_id']}: {done['merged_customer_id']} was merged into {done['customer_id']}")


@customer.command()
@click.argument("merge_id", type=_MERGE_ID)
@repeated_router_options
@click.pass_obj
def unmerge(router: RouterAccess, merge_id: str, config: Path | None, data: Path | None, url: str | None) -> None:
    """Undo a merge, by the id that `router customer merge` printed. Both customers are as before; nothing is lost."""
    router = router.updated(config=config, data=data, url=url)
    done = _call(router, "POST", f"/v1/merges/{merge_id}/undo", {})
    click.echo(f"{merge_id}: undone; the customers are {' and '.join(done['customer_ids'])} again")
    if done.get("undecided"):
        click.echo(f"steps and contacts since the merge without an identity, which stay with the first: {done['undecided']:,}")


@customer.command()
@click.argument("customer_id", type=_CUSTOMER_ID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@repeated_router_options
@click.pass_obj
def erase(router: RouterAccess, customer_id: str, yes: bool, config: Path | None, data: Path | None, url: str | None) -> None:
    """Erase a customer with all members. This cannot be undone."""
    router = router.updated(config=config, data=data, url=url)
    if not yes:
        click.confirm(f"Erase {customer_id} and everything that is stored about them?", abort=True, err=True)
    state = _call(router, "DELETE", f"/v1/customers/{customer_id}")["state"]
    click.echo(f"{customer_id}: {state}")
    if state != "erased":
        raise CommandFailure("a reader of the files prevents the end of the erasure; it is completed as soon as possible")


@customer.command(name="rotate-keys")
@click.option("--status", "is_status", is_flag=True, help="Only show the state.")
@repeated_router_options
@click.pass_obj
def rotate_keys(router: RouterAccess, is_status: bool, config: Path | None, data: Path | None, url: str | None) -> None:
    """Wrap the keys of all customers with a new master key, while the router serves, and wait for the end."""
    router = router.updated(config=config, data=data, url=url)
    found = _call(router, "GET", "/v1/customer-keys") if is_status else _call(router, "POST", "/v1/customer-keys/rotate", {})
    while not is_status and len(found["versions"]) > 1:
        time.sleep(0.2)
        found = _call(router, "GET", "/v1/customer-keys")
    versions = ", ".join(map(str, found["versions"]))
    click.echo(f"master key {found['newest_version']} is in use; in the file: {versions}; remaining: {found['remaining']:,}")
    if found["unreadable"]:
        customers = ", ".join(found["unreadable_customers"])
        click.echo(f"keys that cannot be opened and were left as they are: {found['unreadable']:,} ({customers})")


@customer.command(name="import")
@click.argument("file", type=INPUT_FILE)
@_FORMAT
@click.option("--resume", is_flag=True, help="Go on behind the last batch that was acknowledged.")
@repeated_router_options
@click.pass_obj
def import_(
    router: RouterAccess, file: Path, kind: str | None, resume: bool, config: Path | None, data: Path | None, url: str | None
) -> None:
    """Create and change customers from FILE (CSV or NDJSON). The same file again changes nothing.

    After an interruption --resume goes on where it stopped. Lines that are not valid are reported by number and column, never with
    their values, and the others are imported.
    """
    router = router.updated(config=config, data=data, url=url)
    reader = FileReader(file, kind or format_of(file))
    bad = BadLines()
    stored = created = 0
    try:
        with progress_bar("importing") as show_progress:
            for batch in reader.batches(_BATCH, bad, from_line=reader.resume_line() if resume else 0):
                answer = _put(router, [entry.body for entry in batch])
                for one in answer["rejected"]:
                    entry = batch[one["index"]]
                    bad.add(entry.line, entry.column(one.get("field")), one["detail"])
                stored += sum(id is not None and entry.is_first for id, entry in zip(answer["customer_ids"], batch, strict=True))
                created += answer["created"]
                reader.save_position(batch[-1].line)
                show_progress(reader.share)
    except (KeyboardInterrupt, CommandFailure):
        if reader.acknowledged_line:
            click.echo(f"stopped: everything up to line {reader.acknowledged_line:,} is stored; --resume goes on there", err=True)
        raise
    reader.forget_position()
    click.echo(f"{_count(stored, 'customer')} stored, {created:,} of them new; {_count(bad.count, 'line')} not valid")
    if bad.count:
        raise CommandFailure(f"{file}: not everything was imported; correct the lines that are named, and import the file again")


@customer.command()
@click.argument("file", type=OUTPUT_FILE_OR_DASH)
@_FORMAT
@repeated_router_options
@click.pass_obj
def export(router: RouterAccess, file: Path, kind: str | None, config: Path | None, data: Path | None, url: str | None) -> None:
    """Write all customers with unmasked identities to FILE (CSV or NDJSON), mode 0600. The look at each of them is recorded.

    The file appears when it is complete. - writes to standard output, for example into an encryption; give --format then.
    """
    router = router.updated(config=config, data=data, url=url)
    count, position = 0, "0"
    with FileWriter(file, kind or format_of(file)) as writer:
        while True:
            page = _call(router, "GET", f"/v1/customers?unmasked=true&limit={_BATCH}&updated_after={position}")
            for one in page["customers"]:
                writer.write(one)
                count += 1
            position = page["next"]
            if not page["has_more"]:
                break
    click.echo(f"{_count(count, 'customer')} written to {'standard output' if str(file) == '-' else file}", err=str(file) == "-")


@customer_journey.command()
@click.argument("customer_id", type=_CUSTOMER_ID)
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="Newest steps to begin with.")
@click.option("--follow", is_flag=True, help="Go on with new steps until interrupted.")
@json_option
@repeated_router_options
@click.pass_obj
def tail(
    router: RouterAccess,
    customer_id: str,
    limit: int,
    follow: bool,
    as_json: bool,
    config: Path | None,
    data: Path | None,
    url: str | None,
) -> None:
    """Show the newest steps of a customer, oldest first; with --json one document a line.

    --follow asks every two seconds, also while the router is started again, and each look is recorded.
    """
    router = router.updated(config=config, data=data, url=url)
    shown: list[Any] = []
    is_connected = is_waiting = False
    while True:
        try:
            steps = _call(router, "GET", f"/v1/customers/{customer_id}/journey?limit={200 if shown else limit}")["steps"]
        except RouterUnreachable as error:
            if not is_connected:
                raise
            if not is_waiting:
                click.echo(f"{error.format_message()}; trying again", err=True)
            is_waiting = True
            time.sleep(_TAIL_PAUSE_S)
            continue
        is_connected, is_waiting = follow, False
        for step in steps:
            if step not in shown:
                click.echo(msgspec.json.encode(step).decode() if as_json else _step_line(step))
        shown = steps
        if not follow:
            if not steps:
                click.echo("no steps", err=True)
            return
        time.sleep(_TAIL_PAUSE_S)


def _put(router: RouterAccess, customers: list[dict[str, Any]]) -> Any:
    """Send a batch, again after a pause where the router is busy: the same batch changes nothing twice."""
    from router.client.http_query import HttpRequestRefused

    for attempt in range(_RETRIES_MAX):
        try:
            return _call(router, "POST", "/v1/customers/batch", {"customers": customers})
        except HttpRequestRefused as error:
            if error.status not in (429, 503) or attempt == _RETRIES_MAX - 1:
                raise CommandFailure(str(error)) from None
            time.sleep(1)
    raise AssertionError("unreachable")


def _call(router: RouterAccess, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request as an administrator. Raises HttpRequestRefused for a batch, else CommandFailure."""
    from router.client.http_query import HttpRequestRefused

    document = None if body is None else msgspec.json.encode(body)
    try:
        return msgspec.json.decode(router.exchange(method, path, role="admin", document=document, headers=_JSON).body)
    except HttpRequestRefused as error:
        if path == "/v1/customers/batch":
            raise
        raise CommandFailure(str(error)) from None
    except msgspec.DecodeError:
        raise CommandFailure("the server did not answer as a router of this version does") from None


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _print_customers(customers: Iterable[dict[str, Any]]) -> None:
    for one in customers:
        merged = f", merged into {one['merged_into']}" if one.get("merged_into") else ""
        texts = [f"{name} {one[name]}" for name in ("name", "tier", "time_zone", "locale", "preferred_channel") if one.get(name)]
        click.echo(f"{one['customer_id']}{merged}: {', '.join(texts) or 'no profile'}")
        for identity in one.get("identities", ()):
            click.echo(f"  {identity['type']} {identity['value']} ({identity['strength']}, {identity['assurance']})")


def _step_line(step: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(step["at_ms"] / 1000))
    words = [step["type"], *(step[name] for name in ("name", "result") if step.get(name))]
    channel = f" ({step['channel']})" if step.get("channel") else ""
    data = f" {msgspec.json.encode(step['data']).decode()}" if step.get("data") else ""
    return f"{when} {' '.join(words)}{channel}{data}"
