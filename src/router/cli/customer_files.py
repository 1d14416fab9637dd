"""Files of customers: CSV with a header line, or NDJSON with one document a line; read and written in constant memory.

Columns of a CSV file are the fields of the profile, one column for each type of identity (``phone``, ``email``, ``app_user``,
``external:crm`` …) and ``identities`` with a JSON list of type, value and assurance, which an export writes. A line of NDJSON has
the same names; ``identities`` is a list there.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import click
import msgspec

from router.cli.output import CommandFailure

FORMATS: Final = ("csv", "ndjson")
PROFILE_COLUMNS: Final = ("name", "tier", "time_zone", "locale", "preferred_channel")
_WRITTEN: Final = ("customer_id", *PROFILE_COLUMNS, "identities")
_IGNORED: Final = frozenset(
    {"customer_id", "merged_into", "members", "version", "created_ms", "seen_ms", "is_anonymous", "candidates"}
)
_SHOWN_MAX: Final = 100
_LINE_BYTES_MAX: Final = 64 * 1024


def format_of(path: Path) -> str:
    """Return the format by the end of a file's name. Raises UsageError for another end."""
    ends = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
    if path.suffix not in ends:
        raise click.UsageError(f"{path}: give --format, the name ends with none of {', '.join(ends)}")
    return ends[path.suffix]


class BadLines:
    """Lines that are not valid: reported on standard error by number and field, never with a value."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, line: int, field: str | None, reason: str) -> None:
        """Report a line."""
        self.count += 1
        if self.count <= _SHOWN_MAX:
            click.echo(f"line {line}: {f'{field}: ' if field else ''}{reason}", err=True)
        elif self.count == _SHOWN_MAX + 1:
            click.echo("further lines are counted only", err=True)


class _LineInvalid(Exception):
    """A line cannot be sent: field and reason."""

    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class FileReader:
    """Reads the customers of a file in batches, and remembers how far it was acknowledged."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._mark = path.with_name(path.name + ".position")
        self._size = max(1, path.stat().st_size)
        self._read = 0

    @property
    def share(self) -> float:
        """Return the share of the file that was read."""
        return min(1.0, self._read / self._size)

    def resume_line(self) -> int:
        """Return the last line that was acknowledged. Raises CommandFailure where nothing is to be resumed."""
        try:
            line, size = self._mark.read_text().split()
        except (OSError, ValueError):
            raise CommandFailure(f"{self._mark}: there is no interrupted import; start without --resume") from None
        if int(size) != self._size:
            raise CommandFailure(f"{self._path}: has changed since the interruption; start without --resume")
        return int(line)

    def save_position(self, line: int) -> None:
        """Remember that everything up to a line was acknowledged."""
        self._mark.write_text(f"{line} {self._size}\n")

    def forget_position(self) -> None:
        """Remove the mark: the file was read to its end."""
        self._mark.unlink(missing_ok=True)

    def batches(self, size: int, bad: BadLines, *, from_line: int) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Yield batches of line numbers and customers as the API takes them."""
        batch: list[tuple[int, dict[str, Any]]] = []
        with self._path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for line, record in self._records(file, bad):
                if line <= from_line:
                    continue
                try:
                    batch.append((line, _entry(record)))
                except _LineInvalid as error:
                    bad.add(line, error.field, str(error))
                if len(batch) == size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _records(self, file: IO[str], bad: BadLines) -> Iterator[tuple[int, dict[str, Any]]]:
        if self._kind == "csv":
            yield from self._csv_records(file, bad)
            return
        for line, text in enumerate(file, start=1):
            self._read += len(text)
            if not text.strip():
                continue
            try:
                record = msgspec.json.decode(text[: _LINE_BYTES_MAX + 1])
            except msgspec.DecodeError:
                record = None
            if isinstance(record, dict):
                yield line, record
            else:
                bad.add(line, None, f"must be one JSON object of at most {_LINE_BYTES_MAX:,} characters")

    def _csv_records(self, file: IO[str], bad: BadLines) -> Iterator[tuple[int, dict[str, Any]]]:
        reader = csv.reader(self._counted(file), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) != len(header) or not header:
                raise CommandFailure(f"{self._path}: the first line must name the columns, each once")
            for row in reader:
                if len(row) == len(header):
                    yield reader.line_num, {name: value for name, value in zip(header, row, strict=True) if value}
                elif row:
                    bad.add(reader.line_num, None, f"has {len(row)} columns, the header has {len(header)}")
        except csv.Error:
            raise CommandFailure(f"{self._path}: line {reader.line_num} is not CSV (quotes must be doubled and closed)") from None

    def _counted(self, file: IO[str]) -> Iterator[str]:
        for text in file:
            self._read += len(text)
            yield text


def _entry(record: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a customer. Raises _LineInvalid."""
    identities = record.get("identities", [])
    if isinstance(identities, str):
        try:
            identities = msgspec.json.decode(identities)
        except msgspec.DecodeError:
            raise _LineInvalid("identities", "must be a JSON list") from None
    if not isinstance(identities, list) or not all(isinstance(one, dict) for one in identities):
        raise _LineInvalid("identities", "must be a list of objects with type and value")
    kept = [{name: one[name] for name in ("type", "value", "assurance") if name in one} for one in identities]
    profile: dict[str, Any] = {}
    for name, value in record.items():
        if name in PROFILE_COLUMNS or name == "consents":
            profile[name] = value
        elif name != "identities" and name not in _IGNORED:
            kept.append({"type": name, "value": value})
    if not kept:
        raise _LineInvalid("identities", "a customer needs at least one identity")
    return {"identities": kept, "profile": profile}


class FileWriter:
    """Writes customers to a file of mode 0600, which appears under its name when it is complete."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._scratch = path.with_name(path.name + ".part")

    def __enter__(self) -> Self:
        """Create the file."""
        self._scratch.unlink(missing_ok=True)
        descriptor = os.open(self._scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file)
        if self._kind == "csv":
            self._csv.writerow(_WRITTEN)
        return self

    def write(self, view: dict[str, Any]) -> None:
        """Write a customer as the API returned it."""
        fields = {name: view[name] for name in ("customer_id", *PROFILE_COLUMNS, "consents") if view.get(name)}
        identities = [{name: one[name] for name in ("type", "value", "assurance")} for one in view.get("identities", ())]
        if self._kind == "csv":
            row = [fields.get(name, "") for name in _WRITTEN[:-1]]
            self._csv.writerow([*row, msgspec.json.encode(identities).decode()])
        else:
            self._file.write(msgspec.json.encode({**fields, "identities": identities}).decode() + "\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file, and remove what an error left incomplete."""
        self._file.close()
        if kind is None:
            self._scratch.replace(self._path)
        else:
            self._scratch.unlink(missing_ok=True)
