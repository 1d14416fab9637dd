"""Faults: what the router raises when the world outside the core fails.

RouterError
├── SettingsInvalid       a setting is misspelt or out of range
├── PolicyInvalid         a policy document has errors (each with its path, line and column)
├── JournalError
│   ├── JournalUnavailable  the disk failed or is full: fail-stop, nothing more is acknowledged
│   ├── JournalCorrupt      a record, the chain or the high-water mark does not fit: never start shorter than before
│   ├── JournalLocked       another process has it
│   └── JournalTooNew       written by a newer version: touched nothing
├── InboxFull             too many commands at once: say so at once
└── Stopping              the process drains: try elsewhere

A broken invariant is none of these: ``IllegalTransition`` and ``AssertionError`` are caught by nobody; the process ends.
"""

from collections.abc import Sequence

from msgspec import Struct


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong in a document: where, and what would be right. Never the value that stands there.

    ``path`` names the place (``queues.support.overflow_to``, ``entry[3].when.channel``; empty: the whole). ``line`` and
    ``column`` count from 1; 0 = the text is not known.
    """

    path: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ExpressionProblem(Problem, frozen=True, kw_only=True):
    """A problem within a rule expression. ``offset``: characters from the start of the expression's text."""

    offset: int
    expression_line: int
    expression_column: int


class RouterError(Exception):
    """The root."""


class SettingsInvalid(RouterError):
    """A setting is misspelt or out of range; the message names the place."""


class PolicyInvalid(RouterError):
    """A policy document has errors; ``problems`` and the message list them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class JournalError(RouterError):
    """The journal cannot be trusted or used."""


class JournalUnavailable(JournalError):
    """The disk failed or is full."""


class JournalCorrupt(JournalError):
    """What is on disk is not what was written."""


class JournalLocked(JournalError):
    """Another process has the journal."""


class JournalTooNew(JournalError):
    """The journal's format is newer than this version knows."""


class InboxFull(RouterError):
    """The writer's inbox is at its limit."""


class Stopping(RouterError):
    """The process drains and takes no more commands."""


class IllegalTransition(AssertionError):
    """A pair of state and event that is not a row of its table. The process must end."""
