"""Structured logs: one JSON object per line on standard error, with a fixed text, data in fields and a stable ``action`` key.

Fields contain ids only: no addresses, queries, bodies or personal data; exceptions are written without values
(``exceptions.py``). Characters that a terminal would interpret are escaped, so logged data cannot forge log lines.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog

from router.telemetry.exceptions import exception_text, render_exception

# C1 controls, DEL, line separators and bidirectional overrides; JSON escapes the others by itself.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encoder: Final = msgspec.json.Encoder(enc_hook=lambda value: f"<{type(value).__name__}>")


def configure_logs(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process, libraries included. A repeated call replaces the earlier set-up."""
    out = stream if stream is not None else sys.stderr
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render_exception,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_LibraryLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, _LibraryLines):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def render(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> str:
    """Return the fields as one JSON line; a value that JSON cannot represent is replaced by the name of its type."""
    return _line(fields)


def _line(fields: Mapping[str, Any]) -> str:
    try:
        text = _encoder.encode(fields).decode()
    except (UnicodeEncodeError, RecursionError):
        text = _encoder.encode({"event": "a log line could not be encoded"}).decode()
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class _LibraryLines(logging.Formatter):
    """Formats records of libraries in the same way."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "event": record.getMessage(),
            "action": "library",
            "logger": record.name,
            "level": record.levelname.lower(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = exception_text(record.exc_info[1])
        return _line(fields)
