"""Redaction of a journal of an earlier version: references of contacts are taken out, with the router stopped.

Theory of operation. As in a migration, the records are converted into a new journal in the working directory, which takes the
place of the old one only when it is complete and verified; a crash at any moment leaves the old journal in use, or a swap that the
next run completes. Every reference becomes ``SEALED_REFERENCE``, as in the records of this version, so decisions, sequence
numbers, history ids and times are unchanged. For each record the plain bodies are compared: they may differ in references alone.

The references are given to ``keep`` before the new journal is put into place. Snapshots hold references too and are not converted;
the next start replays all records. The old journal remains with the ending ``.unredacted`` or is deleted.

A journal whose beginning was archived is refused, because without its snapshots it could not start.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from router.journal.files import JournalPaths, check_regular_file, fsync_directory
from router.journal.highwater import HighWaterMark
from router.journal.port import JournalOutdated
from router.journal.records import (
    FORMAT,
    ChainVerifier,
    DamagedRecord,
    Record,
    WorkspaceTail,
    corrupt_record,
    decode_record,
    encode_body,
)
from router.journal.sqlite.connection import TABLES, check_schema, file_format, open_connection, require_journal, translate_errors
from router.journal.sqlite.journal import SqliteJournal
from router.journal.sqlite.migration import JournalSwap, Verify, check_copy, lock_stopped
from router.journal.sqlite.recovery import recover_journal, rows_from
from router.model.errors import JournalCorrupt, JournalUnavailable
from router.model.events import Event
from router.model.states import SEALED_REFERENCE, WorkspaceId

_SUFFIX: Final = ".unredacted"
_BATCH_RECORDS: Final = 256
_COPIED_SHARE: Final = 0.6
_CHECKED_SHARE: Final = 0.8
"""Shares of the work that are done when all records were copied, and when the copy was read back; then all events are replayed."""


class FoundReference(Struct, frozen=True):
    """A reference that stood in a record."""

    contact_id: str
    reference: str
    customer_id: str | None
    at_ms: int
    """Time of the record."""


Keep = Callable[[WorkspaceId, list[FoundReference]], Awaitable[None]]
"""Store references durably; those of a later record replace earlier ones of the same contact."""


class RedactionReport(Struct, frozen=True, kw_only=True):
    """A finished redaction."""

    path: str
    old: str
    """The journal as it was."""
    redacted_contacts: dict[WorkspaceId, int]
    """Number of contacts whose reference was taken out."""
    redacted_events: dict[str, int]
    """Number of changed events by type."""


async def redact_journal(
    path: Path, *, keep: Keep, verify: Verify, progress: Callable[[float], None] = lambda share: None
) -> RedactionReport | None:
    """Take the references out of a journal; None where it has none. ``progress`` is called with the completed share.

    Raises JournalLocked where a router has opened the journal, JournalOutdated for one of an older format, JournalCorrupt where it
    is damaged or the new one does not verify, and JournalUnavailable where it does not exist, was archived, or the disk is full.
    """
    work = JournalSwap(path, _SUFFIX)
    paths = work.paths
    if not work.is_ready():
        if not check_regular_file(paths.database):
            raise JournalUnavailable(f"{paths.database}: the journal does not exist")
        require_journal(paths)
        version = file_format(paths.database)
        if version != FORMAT:
            raise JournalOutdated(f"{paths.database}: has another format; run `router journal migrate` first")
    with lock_stopped(paths) as mark:
        if work.is_ready():
            report = work.read_report(RedactionReport)
            with translate_errors():
                work.sync_found()
        else:
            made = await _convert(work, mark, keep, verify, progress)
            if made is None:
                return None
            report = made
        with translate_errors():
            work.swap()
    return report


def delete_old(report: RedactionReport) -> None:
    """Delete the journal as it was. Raises OSError."""
    old = JournalPaths(Path(report.old))
    for path in (old.database, old.wal, old.high_water):
        path.unlink(missing_ok=True)
    fsync_directory(old.database.parent)


async def _convert(
    work: JournalSwap, mark: HighWaterMark, keep: Keep, verify: Verify, progress: Callable[[float], None]
) -> RedactionReport | None:
    redactor = _Redactor(keep)
    try:
        with translate_errors(opening=True):
            work.begin()
            digests = await _copy_records(work.source, mark, work.new, redactor, progress)
        if not redactor.events:
            work.remove()
            return None
        await check_copy(work.new, digests)
        progress(_CHECKED_SHARE)
        problems = await verify(work.new.database)
        if problems:
            raise JournalCorrupt(f"the redacted journal does not verify: {problems[0]}")
        report = RedactionReport(
            path=str(work.paths.database),
            old=str(work.old.database),
            redacted_contacts={workspace: len(names) for workspace, names in redactor.contacts.items()},
            redacted_events=dict(redactor.events),
        )
        with translate_errors():
            work.finish(report)
    except BaseException:
        work.remove()
        raise
    return report


class _Redactor:
    """Takes references out of records and passes them on."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._found: list[FoundReference] = []
        self._customers: dict[str, str] = {}
        self.events: Counter[str] = Counter()
        self.contacts: dict[WorkspaceId, set[str]] = {}

    def redact(self, workspace: WorkspaceId, record: Record) -> Record:
        """Return the record without references."""
        if not any(getattr(event, "reference", None) not in (None, SEALED_REFERENCE) for event in record.events):
            return record
        return msgspec.structs.replace(record, events=tuple(self._event(workspace, record.at_ms, event) for event in record.events))

    def _event(self, workspace: WorkspaceId, at_ms: int, event: Event) -> Event:
        value = getattr(event, "reference", None)
        if value in (None, SEALED_REFERENCE):
            return event
        one: Any = event
        contact_id, customer_id = one.contact_id, getattr(one, "customer_id", None)
        if customer_id is not None:
            self._customers[contact_id] = customer_id
        self._found.append(FoundReference(contact_id, value, self._customers.get(contact_id), at_ms))
        self.events[event.__struct_config__.tag or ""] += 1  # type: ignore[index]
        self.contacts.setdefault(workspace, set()).add(contact_id)
        changed: Event = msgspec.structs.replace(one, reference=SEALED_REFERENCE)
        return changed

    async def flush(self, workspace: WorkspaceId) -> None:
        """Pass on what was found since the last call; of each contact the newest reference."""
        found, self._found = {one.contact_id: one for one in self._found}, []
        if found:
            await self._keep(workspace, list(found.values()))


async def _copy_records(
    source: JournalPaths, mark: HighWaterMark, new: JournalPaths, redactor: _Redactor, progress: Callable[[float], None]
) -> dict[WorkspaceId, bytes]:
    """Convert all records into a new journal and return a digest of the bodies of each workspace."""
    digests = {}
    target = SqliteJournal(new.database, reserved_bytes=0)
    with closing(open_connection(source.database)) as connection:
        check_schema(connection, version=FORMAT, tables=TABLES)
        found = recover_journal(connection, mark)
        if any(tail.first_seq > 1 for tail in found.tails.values()):
            raise JournalUnavailable(
                "the beginning of this journal is in an archive: put it back with `router journal unarchive`, then redact"
                " and archive again"
            )
        await target.open()
        events, done = max(1, sum(tail.last_seq for tail in found.tails.values())), 0
        try:
            for tail in found.tails.values():
                await target.create_workspace(tail.workspace, history_id=tail.history_id)
                digest = blake2b()
                batch: list[tuple[WorkspaceId, Record]] = []
                for record in _redacted(rows_from(connection, tail.number, 0), tail, redactor):
                    digest.update(encode_body(record))
                    batch.append((tail.workspace, record))
                    if len(batch) == _BATCH_RECORDS:
                        await redactor.flush(tail.workspace)
                        await target.append(batch)
                        progress(_COPIED_SHARE * (done + batch[-1][1].last_seq) / events)
                        batch = []
                await redactor.flush(tail.workspace)
                await target.append(batch)
                digests[tail.workspace] = digest.digest()
                done += tail.last_seq
        finally:
            await target.close()
    return digests


def _redacted(rows: Iterator[tuple[object, object]], tail: WorkspaceTail, redactor: _Redactor) -> Iterator[Record]:
    """Verify and convert the rows of a workspace from the first one on. Raises JournalCorrupt."""
    verifier = ChainVerifier.from_start(tail.workspace)
    for key, data in rows:
        envelope = verifier.verify(key, data)
        try:
            record = redactor.redact(tail.workspace, decode_record(envelope))
            if _without_references(encode_body(record)) != _without_references(envelope.body):
                raise DamagedRecord("the redaction would change more than references")
        except DamagedRecord as error:
            raise corrupt_record(tail.workspace, envelope.seq, str(error)) from error
        yield record
    verifier.check_end(last_seq=tail.last_seq, chain=tail.chain)


def _without_references(body: bytes) -> Any:
    plain = msgspec.msgpack.decode(body)
    for event in plain["events"]:
        event.pop("reference", None)
    return plain
