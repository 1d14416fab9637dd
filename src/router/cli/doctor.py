"""``router doctor``: what in a workspace cannot work, and what to do about it."""

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
@click.option("--url", help="The running router; without it the address in the settings.")
@click.option("--workspace", default="default", show_default=True, help="The workspace to look at.")
@click.option(
    "--journal",
    type=_EXISTING_FILE,
    help="Instead of a running router: the journal of one that is stopped, all workspaces.",
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
    """Find contacts that nobody can ever take, queues without agents, skills nobody has, agents without work, rules without
    effect.

    Asks a running router with a token minted from the secret that --config or --data lead to, or reads a journal. Exits with 1
    when there are errors; warnings and notes are no failure. Facts that no gateway sets cannot be known.
    """
    context = click.get_current_context()
    source = click.core.ParameterSource.DEFAULT
    if journal is None and scratch is not None:
        raise click.UsageError("--scratch goes with --journal.")
    if journal is not None:
        if any(context.get_parameter_source(name) is not source for name in ("url", "workspace")):
            raise click.UsageError("--journal goes without --url and --workspace.")
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
        raise Failure(f"what answers at {url} is no router of this version") from None


def checked(url: str) -> str:
    """The URL, if it can be one."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("a URL begins with http:// or https://", param_hint="--url")
    return url


def own_url(settings: "Settings") -> str:
    """Where these settings let the router listen."""
    edge = settings.edge
    if not edge.port:
        raise click.UsageError("The settings let the router take any port: give --url.")
    scheme = "http" if edge.tls_certificate_path is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(edge.host, edge.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{edge.port}"


def _tell(workspace: str, diagnosis: "Diagnosis") -> None:
    from rich.table import Table
    from rich.text import Text

    if diagnosis.findings:
        table = Table(
            "severity", "finding", "about", "what is wrong", "what to do", title=workspace
        )
        for one in diagnosis.findings:
            cells = (one.severity, one.code, one.subject, _sentence(one), one.advice)
            # Names are shown as they are, whatever brackets they have.
            table.add_row(*(Text(str(cell)) for cell in cells))
        print_table(table)
    if diagnosis.left_out:
        click.echo(f"{workspace}: and {diagnosis.left_out:,} more")
    counts = (
        (diagnosis.errors, "error"),
        (diagnosis.warnings, "warning"),
        (diagnosis.notes, "note"),
    )
    told = ", ".join(f"{n:,} {name}{'' if n == 1 else 's'}" for n, name in counts if n)
    click.echo(f"{workspace}: {told or 'healthy, nothing found'}")


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
