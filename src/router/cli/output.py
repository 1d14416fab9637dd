"""Output of the commands: JSON for programs, tables and progress for people, one line for an error."""

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


class CommandFailure(click.ClickException):
    """Failed command: one line on standard error, exit code 1."""

    exit_code = EXIT_FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print ``router: <message>`` on standard error."""
        click.echo(f"router: {self.format_message()}", file=file, err=True)


class RouterUnreachable(CommandFailure):
    """No router answers: exit code 1."""


class CommandUsageFailure(CommandFailure):
    """Invalid options or settings: exit code 2."""

    exit_code = EXIT_USAGE


class CommandJournalFailure(CommandFailure):
    """Damaged or unusable journal: exit code 3."""

    exit_code = EXIT_JOURNAL


def to_command_failure(error: RouterError) -> CommandFailure:
    """Return the click exception that reports a ``RouterError`` with its exit code."""
    if isinstance(error, SettingsInvalid):
        return CommandUsageFailure(str(error))
    if isinstance(error, PolicyInvalid):
        return CommandFailure(f"the policy is invalid\n{error}")
    if isinstance(error, JournalError):
        return CommandJournalFailure(f"{_error_name(error)}: {error}")
    return CommandFailure(str(error) or _error_name(error))


def _error_name(error: RouterError) -> str:
    """Return the name of the error class in lower-case words, as ``journal too new``."""
    name = type(error).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def print_json(value: object) -> None:
    """Print a value as indented JSON on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_renderable(renderable: "RenderableType") -> None:
    """Print a table, or any other rich renderable, on standard output."""
    from rich.console import Console

    # A pipe has no width of its own; a report in a file must not be cut to the width of a small terminal.
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(renderable)


def write_json(data: bytes, target: Path) -> None:
    """Write JSON to a file, or to standard output if the path is ``-``. Raises CommandFailure."""
    if str(target) == "-":
        sys.stdout.buffer.write(data)
        return
    write_file(data, target)


def write_file(data: bytes, target: Path) -> None:
    """Write bytes to a file, replacing its content. Raises CommandFailure."""
    try:
        target.write_bytes(data)
    except OSError as error:
        raise CommandFailure(f"{target}: {error.strerror or 'cannot be written'}") from None


def read_file(path: Path, *, size_max: int) -> bytes:
    """Return the bytes of a file, or of standard input if the path is ``-``. Raises CommandFailure.

    Reads at most ``size_max`` + 1 bytes: a result longer than ``size_max`` means that the limit is exceeded.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(size_max + 1)
        with path.open("rb") as file:
            return file.read(size_max + 1)
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or 'cannot be read'}") from None


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on standard error while the block runs; the yielded function takes the completed share, 0 to 1.

    The bar appears on a terminal only, so that logs and pipes contain no control characters.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def spinner(label: str) -> Iterator[None]:
    """Show a spinner on standard error while the block runs, for work of unknown length; on a terminal only."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(label):
        yield
