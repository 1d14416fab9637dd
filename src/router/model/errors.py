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


class RouterError(Exception):
    """The root."""


class SettingsInvalid(RouterError):
    """A setting is misspelt or out of range; the message names the place."""


class PolicyInvalid(RouterError):
    """A policy document has errors; the message lists them all."""


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
