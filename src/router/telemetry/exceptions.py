"""Exceptions in the log: where and of which type, and their message only where it cannot hold a value of a request.

The message of a ``KeyError``, of ``int("…")`` or of a codec is the value that was wrong, perhaps a name or number of a customer.
A type of ``_SAFE_TYPES`` describes types, names of the program, files or limits. Everything that reports an exception to standard
error goes through here: structured logs, logs of libraries, the event loop, threads, and an error that ends the process.
"""

import asyncio
import logging
import re
import sqlite3
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, Final, TextIO

from router.model.errors import RouterError

_SAFE_TYPES: Final = (
    *(RouterError, OSError, sqlite3.Error, asyncio.CancelledError, asyncio.InvalidStateError),
    *(TypeError, AttributeError, NameError, ImportError, AssertionError, RecursionError, MemoryError),
)
_HIDDEN: Final = "(message left out: it may hold a value)"
_CHAIN_MAX: Final = 10


def exception_text(error: BaseException) -> str:
    """Return the traceback of an exception and of those that caused it, oldest first."""
    return "\n".join(_lines(error, set(), 0)).rstrip("\n")


def _lines(error: BaseException, seen: set[int], depth: int) -> list[str]:
    seen.add(id(error))
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen and depth < _CHAIN_MAX:
        lines += [*_lines(cause, seen, depth + 1), "", "followed by", ""]
    if error.__traceback__ is not None:
        lines.append("Traceback (most recent call last):")
        lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    lines.append(f"{type(error).__module__}.{type(error).__qualname__}: {_message(error)}".removeprefix("builtins."))
    if isinstance(error, BaseExceptionGroup) and depth < _CHAIN_MAX:
        for one in error.exceptions:
            lines += ["", "one of the group", "", *_lines(one, seen, depth + 1)]
    return lines


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, _SAFE_TYPES) else _HIDDEN


def render_exception(_logger: Any, _method: str, fields: Any) -> Any:
    """Replace ``exc_info`` of a structured log by the text of the exception, as ``exception``."""
    given = fields.pop("exc_info", None)
    error = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        fields["exception"] = exception_text(error)
    return fields


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the event loop reports, without representations of its objects: that of a future holds its exception."""
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    error = context.get("exception")
    # After the words of the message comes the representation of a callback with its arguments.
    message = re.split("[(<]", str(context.get("message", "an error of the event loop")), maxsplit=1)[0].rstrip()
    text = "" if error is None else f"\n{exception_text(error)}"
    logging.getLogger("asyncio").error("%s %s%s", message, name, text)


def report_uncaught_exceptions(out: TextIO) -> None:
    """Write exceptions that nothing caught, in any thread, to ``out`` without their values."""

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            out.write(exception_text(error) + "\n")

    def of_thread(given: threading.ExceptHookArgs) -> None:
        if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
            out.write(exception_text(given.exc_value) + "\n")

    def of_destructor(given: Any) -> None:
        if given.exc_value is not None:
            out.write(f"in a destructor or callback: {exception_text(given.exc_value)}\n")

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, of_destructor
