"""What commands print: JSON for programs, tables and progress for people, one line for an error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import msgspec

from router.model.errors import JournalError, PolicyInvalid, RouterError, SettingsInvalid

if TYPE_CHECKING:
    from rich.console import RenderableType

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_JOURNAL: Final = 3
_PIPE_COLUMNS: Final = 160


class Failure(click.ClickException):
    """A line on standard error and exit code 1."""

    exit_code = EXIT_FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """``router: what is wrong``."""
        click.echo(f"router: {self.format_message()}", file=file, err=True)


class UsageFailure(Failure):
    """What was asked for cannot be: exit code 2."""

    exit_code = EXIT_USAGE


class JournalFailure(Failure):
    """The journal cannot be trusted or used: exit code 3."""

    exit_code = EXIT_JOURNAL


def failure_of(error: RouterError) -> Failure:
    """How the command line tells one of the router's errors."""
    if isinstance(error, SettingsInvalid):
        return UsageFailure(str(error))
    if isinstance(error, PolicyInvalid):
        return Failure(f"the policy is invalid\n{error}")
    if isinstance(error, JournalError):
        return JournalFailure(f"{_words(error)}: {error}")
    return Failure(str(error) or _words(error))


def _words(error: RouterError) -> str:
    """``JournalTooNew`` as people say it."""
    name = type(error).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def print_json(value: object) -> None:
    """Indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(what: "RenderableType") -> None:
    """A table, or anything that rich can show, on standard output."""
    from rich.console import Console

    # A pipe has no width of its own, and a report in a file should not be cut to that of a small terminal.
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(what)


def write_json(data: bytes, target: Path) -> None:
    """JSON to a file, or to standard output where it is named ``-``."""
    if str(target) == "-":
        sys.stdout.buffer.write(data)
        return
    write_file(data, target)


def write_file(data: bytes, target: Path) -> None:
    """Bytes to a file, in place of what it had."""
    try:
        target.write_bytes(data)
    except OSError as error:
        raise Failure(f"{target}: {error.strerror or 'cannot be written'}") from None


def read_file(path: Path, *, size_max: int) -> bytes:
    """A file's bytes, or those of standard input where it is named ``-``; one byte beyond the limit at most."""
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(size_max + 1)
        with path.open("rb") as file:
            return file.read(size_max + 1)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or 'cannot be read'}") from None


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on standard error for work that takes its time; fed with the share that is done, 0 to 1.

    Only on a terminal: logs and pipes stay clean.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A sign of life on standard error for work of unknown length; only on a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
