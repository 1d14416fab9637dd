"""Options shared by several commands, and what they resolve to: settings, router URL and access token."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from router.cli.output import CommandFailure, RouterUnreachable

if TYPE_CHECKING:
    from router.client.http_query import HttpAnswer
    from router.settings import Settings


F = TypeVar("F", bound=Callable[..., Any])

_TOKEN_LIFETIME_S: Final = 60
JOURNAL_FILE_NAME: Final = "journal.db"
# Read where `--config` and ROUTER_CONFIG are absent and the working directory has it, as `router init` writes it.
DEFAULT_CONFIG_PATH: Final = Path("config/router.yaml")


class FilePath(click.Path):
    """Parameter type for the path of a file that is read or written; every path that cannot be is refused before any work.

    Click's own type calls a path that cannot be examined missing, and lets a named pipe pass, on which the command would wait.
    """

    def __init__(self, *, is_output: bool = False, is_optional: bool = False, allow_dash: bool = False) -> None:
        """``is_optional``: the command itself says what a file that does not exist means."""
        super().__init__(dir_okay=False, allow_dash=allow_dash, path_type=Path)
        self._is_output = is_output
        self._may_be_missing = is_output or is_optional

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        from router.settings import file_objection

        path = Path(value)
        if self.allow_dash and str(path) == "-":
            return path
        is_missing = self._may_be_missing and _is_missing(path)
        objection = None if is_missing else file_objection(path)
        if is_missing and self._is_output:
            objection = directory_objection(path.parent)
            path = path.parent if objection else path
        if objection is not None:
            self.fail(f"{path}: {objection}", param, ctx)
        return path


class DirectoryPath(click.Path):
    """Parameter type for the path of a directory. Unless it must exist, it may be missing: the command creates it."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(exists=exists, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        path = Path(value)
        if (self.exists or not _is_missing(path)) and (objection := directory_objection(path)):
            self.fail(f"{path}: {objection}", param, ctx)
        return path


def _is_missing(path: Path) -> bool:
    """Return whether nothing is at a path and something can be created there; false if it cannot be examined."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        pass
    return False


def directory_objection(path: Path) -> str | None:
    """Return why a path is not a directory that can be used; None: it is one."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "not a valid path"
    return None if path.is_dir() else "is not a directory"


INPUT_FILE: Final = FilePath()
INPUT_FILE_OR_DASH: Final = FilePath(allow_dash=True)
OUTPUT_FILE: Final = FilePath(is_output=True)
OUTPUT_FILE_OR_DASH: Final = FilePath(is_output=True, allow_dash=True)
DIRECTORY: Final = DirectoryPath()
EXISTING_DIRECTORY: Final = DirectoryPath(exists=True)


def config_options(command: F) -> F:
    """Add ``--config`` and ``--data``, the locations of the settings file and of the data directory."""
    config = click.option(
        "--config",
        type=INPUT_FILE,
        envvar="ROUTER_CONFIG",
        default=lambda: DEFAULT_CONFIG_PATH if DEFAULT_CONFIG_PATH.is_file() else None,
        help=f"Settings file (YAML). Environment variable: ROUTER_CONFIG. Without either: {DEFAULT_CONFIG_PATH}, if it exists.",
    )
    data = click.option("--data", type=DIRECTORY, help=f"Directory for the journal ({JOURNAL_FILE_NAME}) and the token secret.")
    return config(data(command))


def json_option(command: F) -> F:
    """Add ``--json``, which replaces tables on standard output by JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(command)


def load_command_settings(config: Path | None, data: Path | None, **overrides: Any) -> "Settings":
    """Load the settings from defaults, file, environment (``ROUTER__…``) and command options; later sources win.

    ``overrides`` are settings keys with ``__`` for the dot; None means that the option was not given. Raises SettingsInvalid.
    """
    from router.settings import load_settings

    given = {name.replace("__", "."): value for name, value in overrides.items()}
    if data is not None:
        given["journal.path"] = str(data / JOURNAL_FILE_NAME)
    return load_settings(config, environment=os.environ, flags=given)


def mint_command_token(
    settings: "Settings",
    *,
    subject: str,
    role: str,
    workspace: str,
    lifetime_s: int,
    queues: tuple[str, ...] = (),
    teams: tuple[str, ...] = (),
    may_be_unlisted: bool = False,
) -> str:
    """Return a signed token. Raises CommandFailure if the settings point to no issuer and no secret file.

    ``may_be_unlisted``: the workspace may be one that was created over the API.
    """
    from msgspec import UNSET

    from router.server.auth.credentials import ScopeClaim, mint_token
    from router.server.auth.keys import secret_path

    if not settings.auth.issuers and not secret_path(settings).exists():
        raise CommandFailure(
            f"{secret_path(settings)}: no secret; the router creates it at its first start "
            "(use the same --data or --config as the router)"
        )
    scope = ScopeClaim(queues=queues or UNSET, teams=teams or UNSET) if queues or teams else None
    return mint_token(
        settings,
        subject=subject,
        role=role,
        workspace=workspace,
        lifetime_s=lifetime_s,
        scope=scope,
        may_be_unlisted=may_be_unlisted,
    )


def validate_url(url: str) -> str:
    """Return the URL unchanged. Raises BadParameter unless its scheme is http or https."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("a URL begins with http:// or https://", param_hint="--url")
    return url


def configured_url(settings: "Settings") -> str:
    """Return the URL at which a router with these settings listens. Raises UsageError if the port is not fixed."""
    server = settings.server
    if not server.port:
        raise click.UsageError("The port in the settings is 0 (any free port): give --url.")
    scheme = "http" if server.tls_certificate_path is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.port}"


def router_options(command: F) -> F:
    """Add the options that say how to reach a running router, beside those of ``config_options``."""
    url = click.option("--url", help="URL of the running router; default: the address in the settings.")
    workspace = click.option("--workspace", default="default", show_default=True, help="Workspace to use.")
    token = click.option(
        "--token",
        envvar="ROUTER_TOKEN",
        help="Bearer token of an administrator; default: one signed with the router's secret. Environment variable: ROUTER_TOKEN.",
    )
    return config_options(url(workspace(token(command))))


def repeated_router_options(command: F) -> F:
    """Add to a subcommand the options of its group that people also write behind it; without defaults, so that the group's hold."""
    config = click.option("--config", type=INPUT_FILE, help="As before the subcommand.")
    data = click.option("--data", type=DIRECTORY, help="As before the subcommand.")
    url = click.option("--url", help="As before the subcommand.")
    return config(data(url(command)))


class RouterAccess:
    """HTTP access of a command to a running router."""

    def __init__(
        self, *, config: Path | None, data: Path | None, url: str | None, workspace: str, token: str | None, subject: str
    ) -> None:
        """``token``: sent as it is; None: each request gets a token of its own for ``subject``, signed with the router's secret."""
        self._config, self._data, self._url, self._token = config, data, url, token
        self._subject = subject
        self.workspace = workspace

    def updated(self, *, config: Path | None, data: Path | None, url: str | None) -> "RouterAccess":
        """Return the access with the options given behind a subcommand, which win over those before it."""
        return RouterAccess(
            config=config or self._config,
            data=data or self._data,
            url=url or self._url,
            workspace=self.workspace,
            token=self._token,
            subject=self._subject,
        )

    def exchange(
        self, method: str, path: str, *, role: str, document: bytes | None = None, headers: dict[str, str] | None = None
    ) -> "HttpAnswer":
        """Send one request and return the answer. Raises RouterUnreachable, or HttpRequestRefused for an error of the router."""
        from router.client.errors import NotConnected
        from router.client.http_query import exchange

        settings = load_command_settings(self._config, self._data)
        url = configured_url(settings) if self._url is None else validate_url(self._url)
        token = self._token
        if token is None:
            lifetime_s = min(_TOKEN_LIFETIME_S, settings.auth.lifetime_s_max)
            token = mint_command_token(
                settings, subject=self._subject, role=role, workspace=self.workspace, lifetime_s=lifetime_s, may_be_unlisted=True
            )
        try:
            return asyncio.run(exchange(url, path, token=token, method=method, document=document, headers=headers))
        except NotConnected as error:
            raise RouterUnreachable(str(error)) from None


class TimeType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Parameter type for points in time: ISO 8601, a date being its first moment; without a zone UTC. In epoch milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return epoch milliseconds."""
        if isinstance(value, int):
            return value
        from datetime import UTC, datetime

        try:
            parsed = datetime.fromisoformat(str(value).strip())
            return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail("expected a date or a time as 2026-03-10T08:00, 2026-03-10T08:00:00Z or with an offset", param, ctx)


class DurationType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Parameter type for durations: whole seconds, or a number with the unit ``s``, ``m``, ``h`` or ``d``."""

    name = "duration"
    _UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the duration in seconds."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        number, unit = (text[:-1], text[-1]) if text[-1:] in self._UNITS else (text, "s")
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            self.fail("expected whole seconds or a number with s, m, h or d (90, 15m, 12h)", param, ctx)
        return int(number) * self._UNITS[unit]
