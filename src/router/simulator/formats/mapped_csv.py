"""Reader of CSV files of other systems, by a mapping of their columns: ``csv:PATH#MAPPING``.

The mapping is a small YAML or JSON file that names the columns, the form of times and durations, and what values mean; it is
written once for a system and used for every day. One row is one contact. A contact was answered if its outcome says so, else if it
has a time of the answer, else if it has an agent and a talk time. Queues require a skill of the same name, which the agents have
who answered there; agents are on duty while they have contacts, except for gaps of more than ten minutes. ``agents:PATH`` beside it
gives others.
"""

import csv
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from router.model.errors import RouterError
from router.model.policy import FactValue
from router.model.states import Name
from router.simulator.day import RecordedOutcome, WorkloadInvalid
from router.simulator.distributions import to_ms
from router.simulator.formats.foreign_rows import BadRows, ForeignNames, agents_of_calls
from router.simulator.formats.native import fact_value, stem
from router.simulator.formats.recorded_log import RecordedLog, opened
from router.simulator.formats.recorded_rows import ContactRow, iso_time, planned_agents, planned_contacts, seconds
from router.simulator.yaml_documents import load_document

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
_EPOCH: Final = {"epoch": 1_000, "epoch_ms": 1}
TIME_MS_MAX: Final = 2**40 * 1_000

Column: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]


class DurationUnit(StrEnum):
    """Unit of the durations."""

    MILLISECONDS = "ms"
    SECONDS = "s"
    MINUTES = "min"
    HOURS = "h"
    CLOCK = "clock"
    """H:MM:SS."""


class TimeFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """Form of the points in time."""

    format: str = "iso"
    """``iso``, ``epoch``, ``epoch_ms``, or a pattern of ``strptime``."""
    zone: str = "UTC"
    """IANA zone of times without one."""


class ColumnNames(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the columns."""

    arrival: Column
    queue: Column | None = None
    channel: Column | None = None
    contact_id: Column | None = None
    agent_id: Column | None = None
    answered: Column | None = None
    """Time of the answer."""
    ended: Column | None = None
    """Time of the end."""
    wait: Column | None = None
    """Duration of the wait."""
    talk: Column | None = None
    hold: Column | None = None
    wrap_up: Column | None = None
    outcome: Column | None = None
    disposition: Column | None = None
    attributes: dict[Name, Column] = {}
    """Columns of facts."""


class ColumnMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping file."""

    columns: ColumnNames
    time: TimeFormat = TimeFormat()
    durations: DurationUnit = DurationUnit.SECONDS
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8"
    queues: dict[str, Name] = {}
    """Queues by the values of their column; others get their own name in lower case."""
    channels: dict[str, Name] = {}
    outcomes: dict[str, RecordedOutcome] = {}
    """Meaning of the values of the column ``outcome``."""
    queue: Name | None = None
    """Queue of all contacts, without a column."""
    channel: Name = "voice"
    """Channel of contacts without a value."""


class _BadRow(RouterError):
    """A row that cannot be read."""


class _Reader:
    """Conversion of the rows of one file."""

    def __init__(self, path: Path, mapping: ColumnMapping, zone: tzinfo) -> None:
        self._mapping, self._columns, self._zone = mapping, mapping.columns, zone
        self._names = ForeignNames()
        self.bad = BadRows(path)
        self.count = 0
        self.rows: list[ContactRow] = []

    def add(self, line: int, cells: dict[str, str]) -> None:
        """Convert a row; one that cannot be read is noted."""
        self.count += 1
        try:
            self.rows.append(self._row(cells))
        except _BadRow as error:
            self.bad.add(line, str(error))

    def _row(self, cells: dict[str, str]) -> ContactRow:
        columns = self._columns
        arrival_ms = self._time(cells, columns.arrival)
        if arrival_ms is None:
            raise _BadRow(f"{columns.arrival}: is missing")
        answered_ms, ended_ms = self._time(cells, columns.answered), self._time(cells, columns.ended)
        talk_ms, hold_ms = self._duration(cells, columns.talk), self._duration(cells, columns.hold)
        agent = self._cell(cells, columns.agent_id)
        outcome = self._outcome(cells, is_answered=answered_ms is not None or (agent is not None and bool(talk_ms)))
        is_answered = outcome in (RecordedOutcome.ANSWERED, RecordedOutcome.CALLED_BACK)
        wait_ms = self._duration(cells, columns.wait)
        if wait_ms is None:
            until_ms = answered_ms if is_answered else ended_ms
            wait_ms = None if until_ms is None else until_ms - arrival_ms
        handle_ms = None if talk_ms is None else talk_ms + (hold_ms or 0)
        if handle_ms is None and ended_ms is not None and wait_ms is not None:
            handle_ms = ended_ms - arrival_ms - wait_ms
        if wait_ms is None or wait_ms < 0:
            raise _BadRow("the wait is missing or negative: it needs a column wait, or answered and ended")
        if is_answered and (handle_ms is None or handle_ms < 0):
            raise _BadRow("the handle time is missing or negative: it needs a column talk, or answered and ended")
        has_left = outcome is RecordedOutcome.ABANDONED
        contact_id = self._cell(cells, columns.contact_id)
        queue = self._queue(cells)
        return ContactRow(
            arrival=iso_time(arrival_ms),
            contact_id=None if contact_id is None else self._names.id(contact_id),
            channel=self._named(cells, columns.channel, self._mapping.channels) or self._mapping.channel,
            queue=queue,
            attributes=self._facts(cells),
            handle_s=seconds(handle_ms) if is_answered and handle_ms is not None else None,
            patience_s=seconds(wait_ms) if has_left else None,
            wait_s=None if has_left else seconds(wait_ms),
            agent_id=self._names.id(agent) if is_answered and agent is not None else None,
            outcome=outcome,
            ended=None if ended_ms is None else iso_time(ended_ms),
            entered_queue=queue,
            last_queue=queue,
            hold_s=None if hold_ms is None else seconds(hold_ms),
            wrap_up_s=_optional_s(self._duration(cells, columns.wrap_up)),
            disposition=self._cell(cells, columns.disposition),
        )

    def _outcome(self, cells: dict[str, str], *, is_answered: bool) -> RecordedOutcome:
        text = self._cell(cells, self._columns.outcome)
        if text is None:
            return RecordedOutcome.ANSWERED if is_answered else RecordedOutcome.ABANDONED
        if text in self._mapping.outcomes:
            return self._mapping.outcomes[text]
        try:
            return RecordedOutcome(text.lower())
        except ValueError:
            raise _BadRow(f"{self._columns.outcome}: a value that outcomes of the mapping does not have") from None

    def _queue(self, cells: dict[str, str]) -> str:
        found = self._named(cells, self._columns.queue, self._mapping.queues) or self._mapping.queue
        if found is None:
            raise _BadRow(f"{self._columns.queue}: is missing")
        return found

    def _named(self, cells: dict[str, str], column: str | None, known: dict[str, str]) -> str | None:
        text = self._cell(cells, column)
        if text is None:
            return None
        return known[text] if text in known else self._names.name(text)

    def _facts(self, cells: dict[str, str]) -> dict[str, FactValue]:
        """Return the facts of a row; texts are made to fit as ids are."""
        found = ((name, self._cell(cells, column)) for name, column in self._columns.attributes.items())
        values = ((name, fact_value(text)) for name, text in found if text is not None)
        return {name: self._names.id(value) if isinstance(value, str) else value for name, value in values}

    # --- cells -------------------------------------------------------------------------------------------------------

    def _cell(self, cells: dict[str, str], column: str | None) -> str | None:
        return None if column is None else (cells.get(column) or "").strip() or None

    def _time(self, cells: dict[str, str], column: str | None) -> int | None:
        text = self._cell(cells, column)
        if text is None:
            return None
        form = self._mapping.time.format
        try:
            if form in _EPOCH:
                found = round(float(text) * _EPOCH[form])
            else:
                parsed = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)  # noqa: DTZ007
                found = round((parsed if parsed.tzinfo else parsed.replace(tzinfo=self._zone)).timestamp() * 1000)
        except (ValueError, OverflowError):
            raise _BadRow(f"{column}: is not a time of the form {form}") from None
        if not 0 <= found < TIME_MS_MAX:
            raise _BadRow(f"{column}: must be at least 1970 and below the year 36812")
        return found

    def _duration(self, cells: dict[str, str], column: str | None) -> int | None:
        text = self._cell(cells, column)
        if text is None:
            return None
        unit = self._mapping.durations
        try:
            found = _clock_ms(text) if unit is DurationUnit.CLOCK else round(float(text) * _UNITS_MS[unit])
        except (ValueError, OverflowError):
            raise _BadRow(f"{column}: is not a duration in {unit.value}") from None
        if found < 0:
            raise _BadRow(f"{column}: is negative")
        return found


def _clock_ms(text: str) -> int:
    parts = [float(part) for part in text.split(":")]
    if not 2 <= len(parts) <= 3:
        raise ValueError
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return to_ms(total)


def _optional_s(value_ms: int | None) -> float | None:
    return None if value_ms is None else seconds(value_ms)


def read(source: str) -> RecordedLog:
    """Read a file by its mapping, given as ``PATH#MAPPING``. Raises ``WorkloadInvalid``."""
    name, mark, mapping_name = source.rpartition("#")
    if not mark or not mapping_name:
        raise WorkloadInvalid("a CSV file needs a mapping of its columns: give csv:PATH#MAPPING")
    path, mapping = Path(name), load_document(Path(mapping_name), ColumnMapping)
    try:
        zone: tzinfo = UTC if mapping.time.zone == "UTC" else ZoneInfo(mapping.time.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise WorkloadInvalid(f"{mapping_name}: time.zone: is not an IANA time zone") from None
    reader = _Reader(path, mapping, zone)
    try:
        with opened(path, encoding=mapping.encoding) as file:
            _read_rows(reader, path, mapping, csv.DictReader(file, delimiter=mapping.delimiter, restkey="", restval=""))
    except LookupError:
        raise WorkloadInvalid(f"{mapping_name}: encoding: is not known") from None
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise WorkloadInvalid(f"{path}: cannot be read ({type(error).__name__})") from error
    contacts = planned_contacts((str(path), row) for row in reader.rows)
    agents = agents_of_calls(reader.rows)
    queues = sorted({row.queue or "" for row in reader.rows})
    return RecordedLog(
        name=f"csv-{stem(path)}",
        contacts=contacts,
        agents=planned_agents(path, ((str(path), row) for row in agents)),
        queue_skills={queue: queue for queue in queues},
        notes=reader.bad.notes(reader.count),
    )


def _read_rows(reader: _Reader, path: Path, mapping: ColumnMapping, found: "csv.DictReader[str]") -> None:
    columns = msgspec.structs.asdict(mapping.columns)
    named = [*columns.pop("attributes").values(), *(name for name in columns.values() if name is not None)]
    missing = sorted(set(named) - set(found.fieldnames or ()))
    if missing:
        raise WorkloadInvalid(f"{path}:1: no column {', '.join(missing)}")
    for cells in found:
        reader.add(found.line_num, cells)
