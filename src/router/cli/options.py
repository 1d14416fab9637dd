"""Options shared by several commands, and what they resolve to: settings, router URL and access token."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from router.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

JOURNAL_NAME: Final = "journal.db"

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def config_options(command: F) -> F:
    """Add ``--config`` and ``--data``, the locations of the settings file and of the data directory."""
    config = click.option(
        "--config",
        type=_FILE,
        envvar="ROUTER_CONFIG",
        help="Settings file (YAML). Environment variable: ROUTER_CONFIG.",
    )
    data = click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Directory for the journal ({JOURNAL_NAME}) and the token secret.",
    )
    return config(data(command))


def json_option(command: F) -> F:
    """Add ``--json``, which replaces tables on standard output by JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(
        command
    )


def settings_of(config: Path | None, data: Path | None, **flags: Any) -> "Settings":
    """Load the settings from defaults, file, environment (``ROUTER__…``) and command options; later sources win.

    ``flags`` are settings keys with ``__`` for the dot; None means that the option was not given. Raises SettingsInvalid.
    """
    from router.settings import load_settings

    given = {name.replace("__", "."): value for name, value in flags.items()}
    if data is not None:
        given["journal.path"] = str(data / JOURNAL_NAME)
    return load_settings(config, environment=os.environ, flags=given)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
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
            self.fail(
                "expected whole seconds or a number with s, m, h or d (90, 15m, 12h)", param, ctx
            )
        return int(number) * self._UNITS[unit]
