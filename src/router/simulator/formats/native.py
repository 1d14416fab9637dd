"""Native log format: ``contacts:PATH`` and ``agents:PATH``, read and written, as CSV or JSON lines.

Files end in ``.csv``, ``.csv.gz``, ``.jsonl`` or ``.ndjson``. Both encodings have the same fields, listed in
``docs/reference/workloads.md``. Times are either seconds from the beginning of the day or ISO 8601; a log uses only one of
the two. Unknown columns and keys are rejected. What is written is read back to the same rows.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from router.model.policy import FactValue
from router.simulator.day import WorkloadInvalid
from router.simulator.formats.recorded_log import RecordedLog, rows
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, planned_agents, planned_contacts

T = TypeVar("T", bound=Struct)

# A cell of several values: ``english:3;billing`` and ``0-14400;18000-32400``.
_LIST_SEPARATOR: Final = ";"

_FACT_COLUMNS: Final = ("attributes", "customer_facts")

_JSON_LINES: Final = (".jsonl", ".ndjson")


def read_contacts(path: Path) -> RecordedLog:
    """Read contacts. Raises ``WorkloadInvalid``."""
    contacts = planned_contacts(_read(path, ContactRow, _contact_cells))
    return RecordedLog(name=stem(path), contacts=contacts, agents=())


def read_agents(path: Path) -> RecordedLog:
    """Read agents with their shifts. Raises ``WorkloadInvalid``."""
    agents = planned_agents(path, _read(path, AgentRow, _agent_cells))
    return RecordedLog(name=stem(path), contacts=(), agents=agents)


def stem(path: Path) -> str:
    """Return the name of a log, from that of its file."""
    return re.sub(r"[^A-Za-z0-9._:-]", "_", path.name.partition(".")[0])[:64]


# --- CSV and JSON ---------------------------------------------------------------------------------------------------


def _read(path: Path, type_: type[T], cells: Callable[[dict[str, str]], dict[str, Any]]) -> list[tuple[str, T]]:
    if path.suffix in _JSON_LINES:
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
    found: dict[str, Any] = {"handle_s": None} | {k: v for k, v in cells.items() if v}
    if "skills" in found:
        found["skills"] = _levels(found["skills"], 1)
    if "attributes" in cells:
        # An empty cell of the column is a contact without attributes, not one for which they are unknown.
        found["attributes"] = _attributes(cells["attributes"]) if cells["attributes"] else {}
    if "customer_facts" in found:
        found["customer_facts"] = _attributes(found["customer_facts"])
    if "preferred_agents" in found:
        found["preferred_agents"] = found["preferred_agents"].split(_LIST_SEPARATOR)
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
    """Parse ``years:3;native:true`` to a mapping; booleans and integers are converted, other values stay text.

    A JSON object is read as such: it is written where a text has a separator or could be taken for a number.
    """
    if text.startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, bool | int | str])
        except msgspec.DecodeError:
            raise ValueError("attributes must be NAME:VALUE;NAME:VALUE or a JSON object") from None
    found: dict[str, bool | int | str] = {}
    for part in text.split(_LIST_SEPARATOR):
        name, colon, value = part.partition(":")
        if not colon:
            raise ValueError("attributes must be NAME:VALUE;NAME:VALUE")
        found[name] = fact_value(value)
    return found


def fact_value(text: str) -> FactValue:
    """Return a boolean or an integer where a text has the form of one, else the text."""
    if text in ("true", "false"):
        return text == "true"
    is_number = text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()
    return int(text) if is_number else text


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


# --- writing --------------------------------------------------------------------------------------------------------


def is_written_as_json(name: str) -> bool:
    """Return whether a file of this name has JSON lines; the others have CSV."""
    return Path(name).suffix in _JSON_LINES


def to_json_lines(many: Iterable[Struct]) -> Iterator[bytes]:
    """Yield a line of JSON for each row; fields at their default are left out."""
    for row in many:
        yield msgspec.json.encode(row) + b"\n"


def to_csv(many: Iterable[Struct], type_: type[Struct]) -> Iterator[bytes]:
    """Yield the header line and a line for each row."""
    names = type_.__struct_fields__
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for row in many:
        writer.writerow([_cell(name, msgspec.to_builtins(getattr(row, name))) for name in names])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return _mapping_cell(name, value)
        case list() | tuple():
            return _LIST_SEPARATOR.join(value)
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)


def _mapping_cell(name: str, value: Mapping[str, FactValue]) -> str:
    plain = _LIST_SEPARATOR.join(f"{key}:{_cell(name, one)}" for key, one in value.items())
    if name not in _FACT_COLUMNS or not value:
        return plain
    try:
        is_read_back = _attributes(plain) == value
    except ValueError:
        is_read_back = False
    return plain if is_read_back else msgspec.json.encode(value).decode()
