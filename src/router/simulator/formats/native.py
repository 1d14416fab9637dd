"""Reader of the native log format: ``contacts:PATH`` and ``agents:PATH``, as CSV or JSON lines.

Files end in ``.csv``, ``.csv.gz`` or ``.jsonl``. Both encodings have the same fields, listed in
``docs/reference/workloads.md``. Times are either seconds from the beginning of the day or ISO 8601; a log uses only one of
the two. Unknown columns and keys are rejected.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from router.model.policy import Attributes, PriorityClass, PrioritySeconds, Skills
from router.model.states import Ident, Name, SubjectId
from router.simulator.day import PlannedAgent, PlannedCallback, PlannedContact, Shift, WorkloadInvalid
from router.simulator.distributions import NonNegative, Positive, to_ms
from router.simulator.formats.recorded_log import RecordedLog, rows

T = TypeVar("T", bound=Struct)

# A cell of several values: ``english:3;billing`` and ``0-14400;18000-32400``.
_LIST_SEPARATOR: Final = ";"


class ContactRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Contact row."""

    arrival: float | str
    """Seconds from the beginning of the day, or ISO 8601."""
    handle_s: NonNegative
    queue: Name | None = None
    """Queue; none: the entry rules choose it by the attributes."""
    attributes: Attributes | None = None
    contact_id: Ident | None = None
    patience_s: NonNegative | None = None
    """Wait after which the customer abandons."""
    wait_s: NonNegative | None = None
    """Wait of a customer who was served, from which a patience can be estimated."""
    agent_id: SubjectId | None = None
    """Agent who served the customer, from which handle times by agent can be estimated; needs ``wait_s``."""
    callback_after_s: NonNegative | None = None
    """Wait after which the customer requests a callback."""
    redial_after_s: NonNegative | None = None
    """Time from an abandonment until the customer calls again."""
    channel: Name = "voice"
    skills: Skills = {}
    priority_s: PrioritySeconds = 0
    priority_class: PriorityClass = 0
    stream: str = ""


class AgentRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agent row."""

    agent_id: SubjectId
    group: Name = "agents"
    skills: Skills = {}
    queues: tuple[Name, ...] | None = None
    units: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    channel_max: dict[Name, Annotated[int, Meta(ge=0, le=1_000)]] = {}
    attributes: Attributes = {}
    queue_ranks: dict[Name, Annotated[int, Meta(ge=1, le=9)]] = {}
    handle_factor: Positive = 1.0
    """Multiple of a contact's handle time that this agent takes."""
    shifts: Annotated[tuple[str, ...], Meta(min_length=1)] = ("0-",)
    """Shifts as ``FROM-TO`` in seconds or ``FROM/TO`` in ISO 8601; an empty TO: until the end of the run."""


def read_contacts(path: Path) -> RecordedLog:
    """Read contacts. Raises ``WorkloadInvalid``."""
    contacts = []
    for location, row in _read(path, ContactRow, _contact_cells):
        if row.queue is None and row.attributes is None:
            raise WorkloadInvalid(f"{location}: give queue or attributes")
        if row.patience_s is not None and row.wait_s is not None:
            raise WorkloadInvalid(f"{location}: give patience_s (abandoned) or wait_s (served)")
        if row.agent_id is not None and row.wait_s is None:
            raise WorkloadInvalid(f"{location}: agent_id is of a customer who was served: give wait_s")
        contacts.append(
            PlannedContact(
                contact_id=row.contact_id or "",
                at_ms=_timestamp_ms(location, "arrival", row.arrival),
                queue_id=row.queue,
                handle_ms=to_ms(row.handle_s),
                patience_ms=None if row.patience_s is None else to_ms(row.patience_s),
                waited_ms=None if row.wait_s is None else to_ms(row.wait_s),
                served_by=row.agent_id,
                callback=None if row.callback_after_s is None else PlannedCallback(after_ms=to_ms(row.callback_after_s)),
                redial_after_ms=None if row.redial_after_s is None else to_ms(row.redial_after_s),
                channel=row.channel,
                skills=row.skills,
                attributes=row.attributes or {},
                priority_s=row.priority_s,
                priority_class=row.priority_class,
                stream=row.stream,
            )
        )
    return RecordedLog(name=_stem(path), contacts=tuple(contacts), agents=())


def read_agents(path: Path) -> RecordedLog:
    """Read agents with their shifts. Raises ``WorkloadInvalid``."""
    agents = []
    for location, row in _read(path, AgentRow, _agent_cells):
        agents.append(
            PlannedAgent(
                agent_id=row.agent_id,
                group=row.group,
                skills=row.skills,
                queues=row.queues,
                units=row.units,
                channel_max=row.channel_max,
                attributes=row.attributes,
                queue_ranks=row.queue_ranks,
                handle_factor=row.handle_factor,
                shifts=tuple(_shift(location, text) for text in row.shifts),
            )
        )
    if len({agent.agent_id for agent in agents}) < len(agents):
        raise WorkloadInvalid(f"{path}: an agent id occurs more than once")
    return RecordedLog(name=_stem(path), contacts=(), agents=tuple(agents))


def _stem(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._:-]", "_", path.name.partition(".")[0])[:64]


def _timestamp_ms(location: str, field: str, value: float | str) -> int:
    seconds = _seconds(value)
    if seconds is None:
        raise WorkloadInvalid(f"{location}, {field}: must be seconds or an ISO 8601 time")
    if not 0 <= seconds < 2**40:
        raise WorkloadInvalid(f"{location}, {field}: must be at least 0 and below 2**40 seconds")
    return to_ms(seconds)


def _seconds(value: float | str) -> float | None:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _shift(location: str, text: str) -> Shift:
    start, mark, end = text.partition("/") if "/" in text else text.partition("-")
    if not mark:
        raise WorkloadInvalid(f"{location}, shifts: a shift must be FROM-TO or FROM/TO")
    from_ms = _timestamp_ms(location, "shifts", start)
    to_ms_ = _timestamp_ms(location, "shifts", end) if end else None
    if to_ms_ is not None and to_ms_ <= from_ms:
        raise WorkloadInvalid(f"{location}, shifts: a shift must end after it begins")
    return Shift(from_ms=from_ms, to_ms=to_ms_)


# --- CSV and JSON ---------------------------------------------------------------------------------------------------


def _read(path: Path, type_: type[T], cells: Callable[[dict[str, str]], dict[str, Any]]) -> list[tuple[str, T]]:
    if path.suffix == ".jsonl":
        return _read_json_lines(path, type_)
    found = []
    for row in rows(path, (f.name for f in msgspec.structs.fields(type_) if f.required)):
        try:
            found.append((row.location, msgspec.convert(cells(row.cells), type_, strict=False)))
        except msgspec.ValidationError as error:
            raise WorkloadInvalid(f"{row.location}: {error}") from error
        except ValueError as error:
            raise WorkloadInvalid(f"{row.location}: {error}") from None
    return found


def _read_json_lines(path: Path, type_: type[T]) -> list[tuple[str, T]]:
    decoder = msgspec.json.Decoder(type_)
    found = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append((f"{path}:{number}", decoder.decode(line)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WorkloadInvalid(f"{path}:{number}: {error}") from error
    return found


def _contact_cells(cells: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {k: v for k, v in cells.items() if v}
    if "skills" in found:
        found["skills"] = _levels(found["skills"], 1)
    if "attributes" in cells:
        # An empty cell of the column is a contact without attributes, not one for which they are unknown.
        found["attributes"] = _attributes(cells["attributes"]) if cells["attributes"] else {}
    return found


def _agent_cells(cells: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {k: v for k, v in cells.items() if v}
    for name, default in (("skills", 1), ("channel_max", None), ("queue_ranks", None)):
        if name in found:
            found[name] = _levels(found[name], default)
    if "attributes" in found:
        found["attributes"] = _attributes(found["attributes"])
    for name in ("queues", "shifts"):
        if name in found:
            found[name] = found[name].split(_LIST_SEPARATOR)
    return found


def _attributes(text: str) -> dict[str, bool | int | str]:
    """Parse ``years:3;native:true`` to a mapping; booleans and integers are converted, other values stay text."""
    found: dict[str, bool | int | str] = {}
    for part in text.split(_LIST_SEPARATOR):
        name, colon, value = part.partition(":")
        if not colon:
            raise ValueError("attributes must be NAME:VALUE;NAME:VALUE")
        if value in ("true", "false"):
            found[name] = value == "true"
        elif value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
            found[name] = int(value)
        else:
            found[name] = value
    return found


def _levels(text: str, default: int | None) -> dict[str, int]:
    """Parse ``english:3;billing`` to a mapping; a missing level is the default if there is one, else an error."""
    found: dict[str, int] = {}
    for part in text.split(_LIST_SEPARATOR):
        name, colon, level = part.partition(":")
        if colon and level.isascii() and level.isdigit():
            found[name] = int(level)
        elif not colon and default is not None:
            found[name] = default
        else:
            raise ValueError("levels must be NAME:NUMBER;NAME:NUMBER")
    return found
