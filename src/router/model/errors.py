"""Exceptions: failures outside the engine. A refused command is not an exception but a value (``Refused``).

RouterError
├── SettingsInvalid       a setting is misspelt or out of range
├── PolicyInvalid         a policy document has errors (each with its path, line and column)
├── JournalError
│   ├── JournalUnavailable  the disk failed or is full: nothing more is acknowledged (fail-stop)
│   ├── JournalCorrupt      a record, the chain or the high-water mark is inconsistent: the process does not start
│   ├── JournalLocked       another process uses the journal
│   ├── NotAJournal         a file that is to be verified or converted is none of the router's
│   └── JournalTooNew       the journal was written by a newer version and is left unchanged
├── ClockImplausible      the machine's clock contradicts the journal: set the clock, or reset the journal
├── SharedStateUnavailable  what the nodes share could not be read or changed: the store did not answer in time
├── CommandQueueFull      too many commands are waiting: the caller is refused immediately
└── Stopping              the process drains: the caller should use another node

A broken invariant is not among them: ``IllegalTransition`` and ``AssertionError`` are never caught; the process ends.

Texts of errors name the field or path and the limit. They never repeat a value that a client or a document contains, because
they are logged and returned to other clients. The name of a field may be repeated if ``is_harmless_name`` allows it.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

# Problems reported for one document.
PROBLEM_COUNT_MAX: Final = 1_000

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}").fullmatch
# The decoder's paths begin with a dollar sign, as in JSONPath: `$.skills[...]`, and `key in $.skills` for a key.
_DECODER_PATH: Final = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
# A name with more digits may be a telephone number or an account.
_NAME_DIGITS_MAX: Final = 4


def is_harmless_name(name: object) -> bool:
    """Return whether a name chosen by a client may be repeated in an error: an identifier, not data such as a number."""
    return isinstance(name, str) and _IDENTIFIER(name) is not None and sum(map(str.isdigit, name)) <= _NAME_DIGITS_MAX


def path_below(path: str, name: object) -> str:
    """Return the path of a field below another; empty: the document. A name that must not be repeated is ``[...]``.

    Paths have one form in all errors: names separated by dots and indexes in brackets, as ``skills.english`` or
    ``preferred_agents[2]``, without anything before them.
    """
    if not is_harmless_name(name):
        return f"{path}[...]"
    return f"{path}.{name}" if path else str(name)


def decoder_path(error: Exception) -> str:
    """Return the path that a message of the decoder names at its end, in the form of ``path_below``; empty: none."""
    found = _DECODER_PATH.search(str(error))
    return "" if found is None else found.group(1).removeprefix(".")


class Problem(Struct, frozen=True, kw_only=True):
    """One error in a document: its position and what would be valid. Never contains the offending value."""

    path: str
    """Position in the document, for example ``queues.support.overflow_to`` or ``entry[3].when.channel``; empty: the whole
    document."""
    message: str
    """What would be valid."""
    line: int = 0
    """Line, counted from 1; 0: the text is not available."""
    column: int = 0
    """Column, counted from 1; 0: the text is not available."""

    def __str__(self) -> str:
        position = f"{self.line}:{self.column}: " if self.line else ""
        return f"{position}{self.path}: {self.message}" if self.path else f"{position}{self.message}"


class ExpressionProblem(Problem, frozen=True, kw_only=True):
    """An error within a rule expression. ``offset`` counts characters from the start of the expression."""

    offset: int
    expression_line: int
    expression_column: int


class RouterError(Exception):
    """Base of the router's exceptions."""


class SettingsInvalid(RouterError):
    """A setting is unknown or out of range; the message names its path."""


class PolicyInvalid(RouterError):
    """A policy document has errors; ``problems`` and the message list them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class JournalError(RouterError):
    """The journal cannot be used."""


class JournalUnavailable(JournalError):
    """The disk failed or is full."""


class JournalCorrupt(JournalError):
    """The journal's content differs from what was written."""


class JournalLocked(JournalError):
    """Another process uses the journal."""


class NotFollowed(RouterError):
    """The node does not follow the workspace yet."""


class SharedStateUnavailable(RouterError):
    """The store did not answer in time about what the nodes share. Whether a change had an effect is not known."""


class NotAJournal(JournalError):
    """The file is none of the router's; the message says what it is."""


class JournalTooNew(JournalError):
    """The journal's format is newer than this version supports."""


class ClockImplausible(RouterError):
    """The clock of the machine contradicts the newest record of the journal."""


class CommandQueueFull(RouterError):
    """The command queue has reached its limit."""


class Stopping(RouterError):
    """The process drains and accepts no more commands."""


class IllegalTransition(AssertionError):
    """A state and an event that the transition table does not contain. The process must end."""
