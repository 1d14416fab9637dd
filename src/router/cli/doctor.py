"""``router doctor``: find configuration problems of a workspace, with advice for each."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from router.cli.options import config_options, json_option, settings_of
from router.cli.output import EXIT_FAILED, Failure, print_json, print_table, working
from router.cli.token import minted

if TYPE_CHECKING:
    from router.model.diagnosis import Diagnosis, Finding
    from router.settings import Settings

_TOKEN_LIFETIME_S: Final = 60
_EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@config_options
@click.option("--url", help="URL of the running router; default: the address in the settings.")
@click.option("--workspace", default="default", show_default=True, help="Workspace to diagnose.")
@click.option(
    "--journal",
    type=_EXISTING_FILE,
    help="Read the journal of a stopped router instead (all workspaces).",
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --journal: directory for the working copy.",
)
@json_option
def doctor(
    config: Path | None,
    data: Path | None,
    url: str | None,
    workspace: str,
    journal: Path | None,
    scratch: Path | None,
    as_json: bool,
) -> None:
    """Find contacts without a qualified agent, queues without agents, unused skills and agents, and rules without effect.

    Queries a running router with a token signed with the secret that --config or --data point to, or reads a journal. Exits
    with 1 if there are errors; warnings and notes are not failures. Values of facts that no gateway has set are unknown to it.
    """
    context = click.get_current_context()
    source = click.core.ParameterSource.DEFAULT
    if journal is None and scratch is not None:
        raise click.UsageError("--scratch requires --journal.")
    if journal is not None:
        if any(context.get_parameter_source(name) is not source for name in ("url", "workspace")):
            raise click.UsageError("--journal cannot be combined with --url or --workspace.")
        found = _from_journal(journal, scratch)
    else:
        found = {workspace: _from_router(settings_of(config, data), url, workspace)}
    if as_json:
        is_healthy = not any(one.errors for one in found.values())
        print_json({"healthy": is_healthy, "workspaces": msgspec.to_builtins(found)})
    else:
        for name, diagnosis in found.items():
            _tell(name, diagnosis)
    if any(diagnosis.errors for diagnosis in found.values()):
        raise SystemExit(EXIT_FAILED)


def _from_journal(journal: Path, scratch: Path | None) -> "dict[str, Diagnosis]":
    from router.runtime.examine import diagnose_file

    with working("reading the journal"):
        return asyncio.run(diagnose_file(journal, scratch=scratch))


def _from_router(settings: "Settings", url: str | None, workspace: str) -> "Diagnosis":
    from router.client.errors import ClientError
    from router.client.question import ask
    from router.model.diagnosis import Diagnosis

    url = own_url(settings) if url is None else checked(url)
    lifetime_s = min(_TOKEN_LIFETIME_S, settings.auth.lifetime_s_max)
    token = minted(
        settings, subject="doctor", role="supervisor", workspace=workspace, lifetime_s=lifetime_s
    )
    try:
        body = asyncio.run(ask(url, "/v1/doctor", token=token))
        return msgspec.json.decode(body, type=Diagnosis)
    except ClientError as error:
        raise Failure(str(error)) from None
    except msgspec.DecodeError:
        raise Failure(
            f"the server at {url} did not answer as a router of this version does"
        ) from None


def checked(url: str) -> str:
    """Return the URL unchanged. Raises BadParameter unless its scheme is http or https."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("a URL begins with http:// or https://", param_hint="--url")
    return url


def own_url(settings: "Settings") -> str:
    """Return the URL at which a router with these settings listens. Raises UsageError if the port is not fixed."""
    edge = settings.edge
    if not edge.port:
        raise click.UsageError("The port in the settings is 0 (any free port): give --url.")
    scheme = "http" if edge.tls_certificate_path is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(edge.host, edge.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{edge.port}"


def _tell(workspace: str, diagnosis: "Diagnosis") -> None:
    from rich.table import Table
    from rich.text import Text

    if diagnosis.findings:
        table = Table("severity", "finding", "subject", "problem", "advice", title=workspace)
        for one in diagnosis.findings:
            cells = (one.severity, one.code, one.subject, _sentence(one), one.advice)
            # Text, because an id or name in brackets would be interpreted as markup.
            table.add_row(*(Text(str(cell)) for cell in cells))
        print_table(table)
    if diagnosis.left_out:
        click.echo(f"{workspace}: and {diagnosis.left_out:,} more")
    counts = (
        (diagnosis.errors, "error"),
        (diagnosis.warnings, "warning"),
        (diagnosis.notes, "note"),
    )
    summary = ", ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for n, name in counts if n)
    click.echo(f"{workspace}: {summary or 'healthy, no findings'}")


def _sentence(finding: "Finding") -> str:
    parts = [finding.message]
    if finding.contacts:
        parts.append(f"contacts: {finding.contacts:,} ({_some(finding.contact_ids)})")
    if finding.oldest_wait_ms is not None:
        parts.append(f"longest wait: {finding.oldest_wait_ms // 1000:,} s")
    if finding.agents:
        parts.append(f"agents: {finding.agents:,} ({_some(finding.agent_ids)})")
    return "; ".join(parts)


def _some(ids: tuple[str, ...], shown_max: int = 3) -> str:
    return ", ".join(ids[:shown_max]) + (" …" if len(ids) > shown_max else "")
