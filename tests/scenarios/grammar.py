"""Grammar of scenario files: lines with a time and a command, and lines that are expected to follow.

The words of commands and expected lines are read elsewhere; ``docs/how-to/scenarios.md`` describes the language.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

TIME: Final = re.compile(r"^(?:(\d+):)?(\d{1,2}):(\d{2})\s+(.*)$")
MOMENT: Final = re.compile(r"^it is (\d{4}-\d\d-\d\d) (\d\d:\d\d) (\S+)$")
DURATION: Final = re.compile(r"^(\d+)(s|min|h)?$")
FACTORS: Final = {"s": 1, "min": 60, "h": 3_600}


class ScenarioError(Exception):
    """The text is not a valid scenario; the message names the file, the line and the error."""


@dataclass(frozen=True)
class ScenarioLine:
    """One line that is not a comment."""

    number: int
    text: str


@dataclass
class ScenarioStep:
    """A command at one time (none: time passes), and the lines that are expected to follow."""

    at_s: int
    line: ScenarioLine
    command: str | None
    expected: list[ScenarioLine] = field(default_factory=list)


@dataclass(frozen=True)
class Scenario:
    """One scenario file."""

    name: str
    text: str
    steps: tuple[ScenarioStep, ...]
    start_ms: int | None = None
    """Epoch time of 00:00, if the scenario sets it."""

    @property
    def title(self) -> str:
        """The first comment."""
        return self.text.partition("\n")[0].removeprefix("#").strip()

    def with_mark(self, line: ScenarioLine, complaint: str) -> str:
        """Return the whole scenario with the line that differs marked and the complaint below it."""
        shown = []
        for number, text in enumerate(self.text.splitlines(), start=1):
            shown.append(f"{'>>' if number == line.number else '  '} {text}")
            if number == line.number:
                shown += [f"   {' ' * 7}^ {part}" for part in complaint.splitlines()]
        return "\n".join(["", f"{self.name}: the outcome differs at line {line.number}.", *shown])


def clock(seconds: int) -> str:
    """Return seconds as a scenario's time: 02:05, or 1:02:05."""
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def time_of_day(text: str) -> int:
    """Return ``02:05`` or ``1:02:05`` in seconds. Raises ValueError for anything else."""
    match = TIME.match(f"{text} ")
    if match is None:
        raise ValueError(f"{text!r} is not a time; write 02:05 or 1:02:05")
    return int(match[1] or 0) * 3_600 + int(match[2]) * 60 + int(match[3])


def seconds_of(text: str) -> int:
    """Return ``90s``, ``2min``, ``1h`` or bare seconds in seconds. Raises ValueError for anything else."""
    match = DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 30s, 2min or 1h")
    return int(match[1]) * FACTORS[match[2] or "s"]


def parse(path: Path) -> Scenario:
    """Return the scenario of a file. Raises ScenarioError if a line cannot be read or times decrease."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("# "):
        raise ScenarioError(f"{path.name}:1: a scenario starts with a comment that says what it shows")
    steps: list[ScenarioStep] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        content = raw.split(" #")[0].strip() if not raw.startswith("#") else ""
        if content:
            _read_line(path.name, ScenarioLine(number, content), steps)
    start_ms = None
    if steps and steps[0].command is not None and steps[0].command.startswith("it is "):
        start_ms = _moment(path.name, steps[0].line, steps.pop(0).command or "")
    return Scenario(path.name, text, tuple(steps), start_ms)


def _moment(name: str, line: ScenarioLine, command: str) -> int:
    """Return ``it is 2026-03-06 16:58 Europe/Zurich`` in epoch milliseconds."""
    match = MOMENT.match(command)
    if match is None:
        raise ScenarioError(f"{name}:{line.number}: write it is 2026-03-06 16:58 Europe/Zurich")
    moment = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=ZoneInfo(match[3]))
    return round(moment.timestamp() * 1000)


def _read_line(name: str, line: ScenarioLine, steps: list[ScenarioStep]) -> None:
    match = TIME.match(line.text)
    if match is None and not line.text.startswith(">"):
        raise ScenarioError(f"{name}:{line.number}: a line starts with a time (00:05) or with >")
    if match is None:
        if not steps:
            raise ScenarioError(f"{name}:{line.number}: no command precedes this expected line")
        steps[-1].expected.append(ScenarioLine(line.number, line.text[1:].strip()))
        return
    at_s = int(match[1] or 0) * 3_600 + int(match[2]) * 60 + int(match[3])
    if steps and at_s < steps[-1].at_s:
        raise ScenarioError(f"{name}:{line.number}: the time is before that of the line above")
    if match[4].startswith(">"):
        expected = [ScenarioLine(line.number, match[4][1:].strip())]
        steps.append(ScenarioStep(at_s, line, None, expected))
    else:
        steps.append(ScenarioStep(at_s, line, match[4]))


def words_and_settings(text: str) -> tuple[list[str], dict[str, str]]:
    """Split ``queue support wrap_up=30s`` into its words and its settings."""
    words: list[str] = []
    settings: dict[str, str] = {}
    for part in text.split():
        key, equals, value = part.partition("=")
        if equals:
            if key in settings:
                raise ValueError(f"{key} is set twice")
            settings[key] = value
        else:
            words.append(part)
    return words, settings
