"""Files of customers: CSV with a header line, or NDJSON with one document a line; read and written in constant memory.

Columns of a CSV file are the fields of the profile, one column for each type of identity (``phone``, ``email``, ``app_user``,
``external:crm`` …), and ``consents`` and ``identities`` in JSON, which an export writes. A line of NDJSON has the same names;
``consents`` is an object there and ``identities`` a list.

Messages about a file name lines and columns, never a value. The name of a column is repeated only if it looks like one: without a
header line the first customer stands in its place.
"""

import csv
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import click
import msgspec
from msgspec import Struct

from router.cli.output import CommandFailure
from router.model.errors import is_harmless_name

FORMATS: Final = ("csv", "ndjson")
PROFILE_COLUMNS: Final = ("name", "tier", "time_zone", "locale", "preferred_channel")
_JSON_COLUMNS: Final = ("consents", "identities")
_WRITTEN: Final = ("customer_id", *PROFILE_COLUMNS, *_JSON_COLUMNS)
_IGNORED: Final = frozenset(
    {"customer_id", "merged_into", "members", "version", "created_ms", "seen_ms", "is_anonymous", "candidates"}
)
_SHOWN_MAX: Final = 100
_LINE_BYTES_MAX: Final = 64 * 1024
_NOT_UTF8: Final = "is not UTF-8 text: save the file as UTF-8"
# What decoding makes of bytes that are not UTF-8.
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
_PLACE_OF_IDENTITY: Final = re.compile(r"identities\[([0-9]+)\](?:\.value)?").fullmatch


def format_of(path: Path) -> str:
    """Return the format by the end of a file's name. Raises UsageError for another end."""
    ends = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
    if path.suffix not in ends:
        raise click.UsageError(f"{path}: give --format csv or ndjson, as the name ends with none of {', '.join(ends)}")
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


class Entry(Struct, frozen=True, kw_only=True):
    """A customer of a file as the API takes it, or a part of one with more identities than a request may have."""

    line: int
    """Line on which it ends."""
    body: dict[str, Any]
    columns: tuple[str | None, ...]
    """Column of each identity; None: it was in the list ``identities``."""
    is_first: bool
    """Whether it is the first part of its customer."""

    def column(self, field: str | None) -> str | None:
        """Return the column of the file that a field of the API came from."""
        if field is None:
            return None
        found = _PLACE_OF_IDENTITY(field)
        column = self.columns[int(found[1])] if found and int(found[1]) < len(self.columns) else None
        return column or field.removeprefix("profile.")


class FileReader:
    """Reads the customers of a file in batches, and remembers how far it was acknowledged."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        # A pipe cannot be read again from its beginning.
        self._mark = path.with_name(path.name + ".position") if path.is_file() else None
        self._size = max(1, path.stat().st_size)
        self._read = 0
        self.acknowledged_line = 0
        """Line up to which the file was acknowledged and which is remembered; 0: none."""

    @property
    def share(self) -> float:
        """Return the share of the file that was read."""
        return min(1.0, self._read / self._size)

    def resume_line(self) -> int:
        """Return the last line that was acknowledged. Raises CommandFailure where nothing is to be resumed."""
        if self._mark is None:
            raise CommandFailure(f"{self._path}: is not a file that can be read again; start without --resume")
        try:
            line, size = self._mark.read_text().split()
        except (OSError, ValueError):
            raise CommandFailure(f"{self._mark}: there is no interrupted import; start without --resume") from None
        if int(size) != self._size:
            raise CommandFailure(f"{self._path}: has changed since the interruption; start without --resume")
        self.acknowledged_line = int(line)
        return self.acknowledged_line

    def save_position(self, line: int) -> None:
        """Remember that everything up to a line was acknowledged, if a file can be written beside the one that is read."""
        if self._mark is None:
            return
        try:
            self._mark.write_text(f"{line} {self._size}\n")
        except OSError as error:
            click.echo(f"{self._mark}: {error.strerror}; an interruption cannot be resumed", err=True)
            self._mark = None
            self.acknowledged_line = 0
        else:
            self.acknowledged_line = line

    def forget_position(self) -> None:
        """Remove the mark: the file was read to its end."""
        if self._mark is not None:
            self._mark.unlink(missing_ok=True)

    def batches(self, size: int, bad: BadLines, *, from_line: int) -> Iterator[list[Entry]]:
        """Yield batches of customers. Raises CommandFailure for a file that is none of customers."""
        batch: list[Entry] = []
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            for line, record in self._records(file, bad):
                if line <= from_line:
                    continue
                try:
                    parts = _entries(line, record)
                except _LineInvalid as error:
                    bad.add(line, error.field, str(error))
                    continue
                # The parts of one customer stay together, as the position that is remembered is that of a line.
                if batch and len(batch) + len(parts) > size:
                    yield batch
                    batch = []
                batch.extend(parts)
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
            except UnicodeEncodeError:
                bad.add(line, None, _NOT_UTF8)
                continue
            if isinstance(record, dict):
                yield line, record
            else:
                bad.add(line, None, f"must be one JSON object of at most {_LINE_BYTES_MAX:,} characters")

    def _csv_records(self, file: IO[str], bad: BadLines) -> Iterator[tuple[int, dict[str, Any]]]:
        reader = csv.reader(self._counted(file), strict=True)
        header: list[str] | None = None
        while True:
            first = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error:
                extent = "" if first == reader.line_num else f" up to line {reader.line_num:,}"
                bad.add(
                    first, None, f"is not CSV{extent}: quotes must be doubled and closed; a value has at most 131,072 characters"
                )
                continue
            if row is None:
                break
            if header is None:
                header = self._header(row)
            elif any(map(_UNDECODED.search, row)):
                bad.add(first, None, _NOT_UTF8)
            elif len(row) == len(header):
                yield reader.line_num, {name: value for name, value in zip(header, row, strict=True) if value}
            elif row:
                bad.add(first, None, f"has {len(row)} columns, the header has {len(header)}")
        if header is None:
            raise CommandFailure(f"{self._path}: the first line must name the columns")

    def _header(self, row: list[str]) -> list[str]:
        """Return the names of the columns. Raises CommandFailure unless all are known."""
        from router.context.identities import IDENTITY_TYPE_PATTERN

        names = [name.strip() for name in row]
        if any("\0" in name or _UNDECODED.search(name) for name in names):
            raise CommandFailure(f"{self._path}: line 1 {_NOT_UTF8}")
        for number, name in enumerate(names, start=1):
            if name in PROFILE_COLUMNS or name in _JSON_COLUMNS or name in _IGNORED or re.search(IDENTITY_TYPE_PATTERN, name):
                continue
            shown = f"column {number}" + (f" ({name})" if is_harmless_name(name) else "")
            separated = next((f"; columns are separated by commas, not by {mark!r}" for mark in ";\t" if mark in name), "")
            raise CommandFailure(
                f"{self._path}: line 1 must name the columns: {shown} is none of {', '.join((*PROFILE_COLUMNS, *_JSON_COLUMNS))}, "
                f"nor a type of identity (phone, email, app_user, device, cookie, social:<name>, external:<name>){separated}"
            )
        if len(set(names)) != len(names):
            raise CommandFailure(f"{self._path}: line 1 must name the columns, each once")
        return names

    def _counted(self, file: IO[str]) -> Iterator[str]:
        for text in file:
            self._read += len(text)
            yield text


def _entries(line: int, record: dict[str, Any]) -> list[Entry]:
    """Return the customer of a record, in parts of at most ``IDENTITIES_MAX`` identities. Raises _LineInvalid.

    Each part after the first repeats the first identity, by which its customer is found.
    """
    from router.context.identities import IDENTITIES_MAX, IDENTITY_TYPE_PATTERN, IDENTITY_TYPE_RULE

    for name in _JSON_COLUMNS:
        if isinstance(record.get(name), str):
            try:
                record[name] = msgspec.json.decode(record[name])
            except msgspec.DecodeError:
                raise _LineInvalid(name, "must be JSON") from None
    listed = record.get("identities", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _LineInvalid("identities", "must be a list of objects with type and value")
    found: list[tuple[dict[str, Any], str | None]]
    found = [({name: one[name] for name in ("type", "value", "assurance") if name in one}, None) for one in listed]
    profile: dict[str, Any] = {}
    for name, value in record.items():
        if name in PROFILE_COLUMNS or name == "consents":
            profile[name] = value
        elif name != "identities" and name not in _IGNORED:
            if not re.search(IDENTITY_TYPE_PATTERN, name):
                field = name if is_harmless_name(name) else None
                raise _LineInvalid(field, f"is no field of a profile; an identity {IDENTITY_TYPE_RULE}")
            found.append(({"type": name, "value": value}, name))
    if not found:
        raise _LineInvalid("identities", "a customer needs at least one identity")
    first, *others = found
    size = IDENTITIES_MAX - 1
    parts = [others[start : start + size] for start in range(0, len(others), size)] or [[]]
    return [
        Entry(
            line=line,
            body={"identities": [identity for identity, _ in (first, *part)], "profile": {} if number else profile},
            columns=tuple(column for _, column in (first, *part)),
            is_first=not number,
        )
        for number, part in enumerate(parts)
    ]


class FileWriter:
    """Writes customers to a file of mode 0600, which appears under its name when it is complete; ``-`` is standard output."""

    def __init__(self, path: Path, kind: str) -> None:
        """Take the path of a file; raises CommandFailure for a device or a pipe, which the complete file would replace."""
        self._kind = kind
        self._is_standard_output = str(path) == "-"
        # A link stays, and the file it leads to is replaced.
        self._path = path if self._is_standard_output else path.resolve()
        if not self._is_standard_output and self._path.exists() and not self._path.is_file():
            raise CommandFailure(f"{path}: is not a regular file; - writes to standard output")
        self._scratch = self._path.with_name(self._path.name + ".part")

    def __enter__(self) -> Self:
        """Create the file. Raises CommandFailure."""
        try:
            if self._is_standard_output:
                self._file = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=True)
            else:
                self._scratch.unlink(missing_ok=True)
                descriptor = os.open(self._scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                self._file = io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding="utf-8", newline="")
        except OSError as error:
            raise CommandFailure(f"{self._scratch}: {error.strerror}") from None
        self._csv = csv.writer(self._file)
        self._has_header = self._kind != "csv"
        return self

    def _write_header(self) -> None:
        if not self._has_header:
            self._has_header = True
            self._csv.writerow(_WRITTEN)

    def write(self, view: dict[str, Any]) -> None:
        """Write a customer as the API returned it. Raises OSError."""
        fields = {name: view[name] for name in ("customer_id", *PROFILE_COLUMNS, "consents") if view.get(name)}
        identities = [{name: one[name] for name in ("type", "value", "assurance")} for one in view.get("identities", ())]
        self._write_header()
        if self._kind == "csv":
            texts = [fields.get(name, "") for name in ("customer_id", *PROFILE_COLUMNS)]
            consents = msgspec.json.encode(fields["consents"]).decode() if "consents" in fields else ""
            self._csv.writerow([*texts, consents, msgspec.json.encode(identities).decode()])
        else:
            self._file.write(msgspec.json.encode({**fields, "identities": identities}).decode() + "\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file, and remove what an error left incomplete. Raises CommandFailure if it cannot be written."""
        if self._is_standard_output:
            if error is None:
                self._write_header()
            self._file.detach()
            return
        failure = error if isinstance(error, OSError) else None
        try:
            if error is None:
                self._write_header()
            self._file.close()
            if error is None:
                self._scratch.replace(self._path)
        except OSError as late:
            failure = late
        self._scratch.unlink(missing_ok=True)
        if failure is not None and failure.errno != errno.EPIPE:
            raise CommandFailure(f"{self._path}: {failure.strerror}") from None
