"""Transcript of a story: requests, answers and frames in short form, and the checks of what it tells.

Everything fits into ``COLUMNS`` columns, or into the terminal where that is narrower, down to ``COLUMNS_MIN``. Long ids and tokens
are cut to their beginning; members of a document are left out by the caller. A check that does not hold is printed with both values
and counted, and the story goes on.
"""

import re
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from router.context.cards import Card

COLUMNS: Final = 100
COLUMNS_MIN: Final = 80
_ID_LENGTH: Final = 12
_LONG_ID: Final = re.compile(r"(?:[a-z]+_)?[A-Za-z0-9_-]{24,}(?:\.[0-9]+)?")
_NAME_WIDTH: Final = 10


class Transcript:
    """Prints a story to a console and remembers what was not as told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._columns = max(COLUMNS_MIN, min(COLUMNS, console.width)) if console.is_terminal else COLUMNS
        self.checks = 0
        self.differences: list[str] = []
        self._has_entries = False

    def scene(self, title: str) -> None:
        """Begin a scene."""
        self._line("")
        self._line(f"── {title} ".ljust(self._columns, "─"), "bold")
        self._has_entries = False

    def say(self, text: str) -> None:
        """Tell what happens, in a paragraph."""
        if self._has_entries:
            self._line("")
        for line in textwrap.wrap(text, self._columns):
            self._line(line)
        self._has_entries = False

    def listing(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in aligned columns."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._line(("  " + "  ".join(cells)).rstrip())

    def request(self, sender: str, line: str, body: object = None) -> None:
        """Print a request to the router: method and path, and the body."""
        self._entry(sender, f"→ {_LONG_ID.sub(_cut, line)}", body)

    def answer(self, status: int, body: object = None) -> None:
        """Print the answer of the router."""
        self._entry("", f"← {status}", body)

    def frame(self, name: str, body: object, *, is_sent: bool = False) -> None:
        """Print a WebSocket frame that a client sends or gets."""
        self._entry(name, "→" if is_sent else "←", body)

    def card(self, title: str, card: Card) -> None:
        """Print a card as a desktop may show it."""
        self._line(f"  ┌─ {title} (status: {card.status})")
        for name, text in _card_rows(card):
            lines = textwrap.wrap(text, self._columns - 16, subsequent_indent="  ")
            for number, line in enumerate(lines):
                self._line(f"  │ {(name if not number else '').ljust(10)} {line}")
        self._line("  └─")

    def check(self, what: str, expected: object, actual: object) -> None:
        """Compare what the story tells with what the router did."""
        self.checks += 1
        if expected == actual:
            for line in textwrap.wrap(what, self._columns, initial_indent="  ok  ", subsequent_indent=" " * 6):
                self._line(line, "green")
            return
        self.differences.append(what)
        self._line(f"  NOT AS TOLD  {what}", "bold red")
        self._line(f"      told: {document_lines(expected, 0, 10_000)[0]}", "red")
        self._line(f"      here: {document_lines(actual, 0, 10_000)[0]}", "red")

    def abort(self, reason: str) -> None:
        """Say why the story ends before its end."""
        self.differences.append(reason)
        self._line(f"  THE STORY ENDS HERE  {reason}", "bold red")

    def summary(self) -> bool:
        """Print how many statements hold; return whether all do."""
        self._line("")
        if not self.differences:
            self._line(f"All {self.checks} statements of the story hold.", "bold green")
            return True
        self._line(f"The story did not go as told: {len(self.differences)} of {self.checks} statements", "bold red")
        for what in self.differences:
            self._line(f"  {what}", "red")
        return False

    def _entry(self, name: str, what: str, body: object) -> None:
        head = f"  {name.ljust(_NAME_WIDTH)} {what}"
        if not body:
            self._line(head, "cyan")
            return
        indent = len(head) + 1
        lines = document_lines(body, indent, self._columns)
        if (len(lines) > 1 or indent + len(lines[0]) > self._columns) and indent > 2 * _NAME_WIDTH:
            # A body of several lines below a long path would begin too far to the right.
            self._line(head, "cyan")
            indent = _NAME_WIDTH + 5
            lines = document_lines(body, indent, self._columns)
            head = " " * (indent - 1)
        for number, line in enumerate(lines):
            self._line(f"{head} {line}" if not number else " " * indent + line, "cyan")

    def _line(self, text: str, style: str = "") -> None:
        self._has_entries = True
        self._console.print(Text(text, style), soft_wrap=True)


def document_lines(value: object, indent: int, columns: int) -> list[str]:
    """Return a document as JSON with long ids cut, on one line if it fits between the indent and the last column."""
    whole = _LONG_ID.sub(_cut, msgspec.json.encode(value).decode())
    return _layout(msgspec.json.decode(whole), indent, columns)


def _cut(found: re.Match[str]) -> str:
    return found[0][:_ID_LENGTH] + "…"


def _layout(value: Any, indent: int, columns: int) -> list[str]:
    text = _one_line(value)
    if indent + len(text) <= columns or not isinstance(value, Mapping | list) or not value:
        return [text]
    is_object = isinstance(value, Mapping)
    if isinstance(value, Mapping):
        parts = [(f"{_one_line(key)}: ", one) for key, one in value.items()]
    else:
        parts = [("", one) for one in value]
    lines: list[str] = []
    for name, one in parts:
        inner = _layout(one, indent + 1 + len(name), columns - 2)
        # Several short members stand on one line.
        if lines and len(inner) == 1 and indent + len(lines[-1]) + 2 + len(name) + len(inner[0]) <= columns - 2:
            lines[-1] += f", {name}{inner[0]}"
            continue
        if lines:
            lines[-1] += ","
        lines.append(f" {name}{inner[0]}")
        lines.extend(" " * (1 + len(name)) + line for line in inner[1:])
    lines[0] = ("{" if is_object else "[") + lines[0][1:]
    lines[-1] += "}" if is_object else "]"
    return lines


def _one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_one_line(key)}: {_one_line(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_one_line, value)) + "]"
    return msgspec.json.encode(value).decode()


def _card_rows(card: Card) -> list[tuple[str, str]]:
    rows = []
    if card.customer is not None:
        one = card.customer
        identities = [f"{identity.type} {identity.value} ({identity.assurance})" for identity in one.identities]
        rows.append(("customer", ", ".join(filter(None, (one.name, one.tier, *identities)))))
    if card.now is not None:
        rows.append(("now", ", ".join(filter(None, (card.now.screen, card.now.intent, card.now.summary)))))
    for step in card.steps:
        channel = f"in the {step.channel}" if step.channel else None
        data = " ".join(f"{key}={value}" for key, value in step.data.items())
        rows.append(
            ("steps", f"{time_text(step.at_ms)}  {' '.join(filter(None, (step.type, step.name, step.result, channel, data)))}")
        )
    rows.extend(
        ("contacts", f"{time_text(one.queued_at_ms)}  {one.channel}, {one.state}, {one.agent_id or 'no agent'}")
        for one in card.contacts
    )
    if card.agents:
        rows.append(("agents", ", ".join(card.agents)))
    rows.extend(("notes", f"{time_text(note.at_ms)}  {note.author}: {note.text}") for note in card.notes)
    names = [name for name, _ in rows]
    return [(name if number == names.index(name) else "", text) for number, (name, text) in enumerate(rows)]


def time_text(at_ms: int) -> str:
    """Return a time as day and minute, in UTC."""
    return time.strftime("%a %d %b %H:%M", time.gmtime(at_ms / 1000))
