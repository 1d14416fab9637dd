"""Search of records: pages in the order of their ends.

Every value that a record can be found by has an entry in the index ``posting``: the term, the end and the number of the record. A
search walks the entries of one term, the one that has the fewest in the time asked for, in the order of the answer, and looks up
whether the record has a term of each other group. One page walks at most ``EXAMINED_MAX`` entries; then its cursor says how far it
came, and the page may have fewer records than asked for, even none.
"""

import sqlite3
from pathlib import Path
from typing import Final

import msgspec
import zstandard
from msgspec import Struct

from router.model.errors import RouterError
from router.records.record import ContactRecord, term

EXAMINED_MAX: Final = 10_000
"""Entries of the index that one page of a search may walk."""
_ESTIMATE_MAX: Final = 2_000
"""Entries up to which those of a term are counted, to choose the one that is walked."""
_CACHE_KIB: Final = 16_384
_PRAGMAS: Final = (
    ("journal_mode", "WAL"),
    ("synchronous", "NORMAL"),
    ("secure_delete", "ON"),
    ("trusted_schema", "OFF"),
    ("cell_size_check", "ON"),
    ("temp_store", "MEMORY"),
    ("busy_timeout", "5000"),
    ("cache_size", f"-{_CACHE_KIB}"),
)

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ContactRecord).decode


class _Owner(Struct):
    """The gateway of a record."""

    gateway_id: str


_decode_owner: Final = msgspec.json.Decoder(_Owner).decode
_DICTIONARY: Final = (
    b'","rule":null,"skills":{"english":5},"priority_s":0,"attributes":{"topic":"billing","tier":"gold"},"queues":[{"queue_id":"'
    b'","entered_at_ms":17,"left_at_ms":17,"left_by":"overflow"},{"queue_id":"support","entered_at_ms":17,"left_at_ms":17,'
    b'"left_by":"answered"}],"waits":[{"queue_id":"","channel":"chat","wait_ms":1,"outcome":"abandoned","service_level_met":false}'
    b'],"offers":[{"offer_id":".1","agent_id":"","queue_id":"","offered_at_ms":17,"role":"consult","outcome":"declined",'
    b'"answered_at_ms":17,"reason":"no_answer"},{"role":"owner","outcome":"expired","reason":"rescinded"}],"assignments":[{'
    b'"assignment_id":".2","agent_id":"","role":"participant","queue_id":"","channel":"voice","started_at_ms":17,"ended_at_ms":'
    b'17,"talk_ms":1,"hold_ms":0,"parked_ms":0,"wrap_up_ms":1,"reason":"finished","disposition":"resolved"}],"transfers":[{'
    b'"at_ms":17,"kind":"queue","from_agent_id":"","to_agent_id":null,"to_queue_id":null}],"callback":{"requested_at_ms":17,'
    b'"mode":"agent_first","due_at_ms":null,"attempts":[{"attempt":1,"dialled_at_ms":17,"outcome":"connected"}]},"suspensions":[{'
    b'"suspended_at_ms":17,"resumed_at_ms":17}],{"contact_id":"","state":"abandoned","reason":"customer_left","ended_by":'
    b'"customer","channel":"voice","queue_id":"","gateway_id":"","submitted_at_ms":17,"ended_at_ms":17,"answered_at_ms":null,'
    b'"completed_at_ms":17,"first_channel":"voice","rule":null,"skills":{},"priority_s":0,"attributes":{},"queues":[{"queue_id":'
    b'"","entered_at_ms":17,"left_at_ms":17,"left_by":"answered"}],"waits":[{"queue_id":"","channel":"voice","wait_ms":1,"outcome"'
    b':"answered","service_level_met":true}],"offers":[{"offer_id":"","agent_id":"","queue_id":"","offered_at_ms":17,"role":"owner'
    b'","outcome":"accepted","answered_at_ms":17,"reason":null}],"assignments":[{"assignment_id":"","agent_id":"","role":"owner",'
    b'"queue_id":"","channel":"voice","started_at_ms":17,"ended_at_ms":17,"talk_ms":1,"hold_ms":0,"parked_ms":0,"wrap_up_ms":1,'
    b'"reason":"timer","disposition":null}],"transfers":[],"callback":null,"suspensions":[],"agents":[""],"service_level_met":true,'
    b'"wait_ms":1,"talk_ms":1,"hold_ms":0,"parked_ms":0,"wrap_up_ms":1,"omitted":0,"goal":null}'
)
"""What records have in common, for their compression. It must never change: stored records could not be read any more."""
_LEVEL: Final = 1
_DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
_WORDS: Final = zstandard.ZstdCompressionDict(_DICTIONARY, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_WORDS.precompute_compress(level=_LEVEL)


class RecordCodec:
    """Compression of records as JSON documents. Confined to one thread."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(level=_LEVEL, dict_data=_WORDS).compress
        self._decompress = zstandard.ZstdDecompressor(dict_data=_WORDS).decompress

    def pack(self, record: ContactRecord) -> bytes:
        """Return a record as it is stored."""
        return self._compress(_encode(record))

    def document(self, content: bytes) -> bytes:
        """Return a stored record as JSON. Raises RecordsUnavailable where it is damaged."""
        try:
            return self._decompress(content, max_output_size=_DOCUMENT_BYTES_MAX)
        except zstandard.ZstdError:
            raise RecordsUnavailable(DAMAGED) from None

    def unpack(self, content: bytes) -> ContactRecord:
        """Return a stored record. Raises RecordsUnavailable where it is damaged."""
        try:
            return _decode(self.document(content))
        except msgspec.MsgspecError:
            raise RecordsUnavailable(DAMAGED) from None


DAMAGED: Final = "the file of the records is damaged; move it away, and it is made again from the events that the journal still has"


class RecordsUnavailable(RouterError):
    """The file of the records cannot be used at present."""


class RecordPosition(Struct, frozen=True, order=True):
    """Position of a record in the order of their ends."""

    ended_ms: int
    number: int


class StoredRecord(Struct, frozen=True):
    """A record with its customer."""

    document: bytes
    """The record as JSON."""
    customer_id: str | None
    """None: not known, or erased."""


class RecordSearch(Struct, frozen=True, kw_only=True):
    """What to look for."""

    groups: tuple[tuple[int, ...], ...]
    """A record must have a term of each group."""
    from_ms: int
    """Earliest end."""
    to_ms: int
    """End before which it must have ended."""
    gateway_id: str | None = None
    """Only records of this gateway, whatever the index says; None: of all."""
    newest_first: bool = True
    after: RecordPosition | None = None
    """Position after which the page begins; None: the first page."""
    limit: int = 100


class RecordPage(Struct, frozen=True):
    """Records in the order of their ends."""

    records: list[StoredRecord]
    next: RecordPosition | None
    """Where the next page begins; None: there is none."""


class RecordReader:
    """Reads records over a connection of its own. Confined to one thread."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._codec = RecordCodec()

    def get(self, workspace: str, contact_id: str, *, from_ms: int, gateway_id: str | None = None) -> StoredRecord | None:
        """Return the newest record with a contact's id that ended at or after ``from_ms``; None: there is none.

        ``gateway_id``: only of contacts of this gateway.
        """
        found = self._database.execute(
            "SELECT customer_id, content FROM record WHERE workspace = (SELECT number FROM workspace WHERE name = ?)"
            " AND contact_id = ? AND ended_ms >= ? ORDER BY submitted_ms DESC",
            (workspace, contact_id, from_ms),
        )
        records = (StoredRecord(self._codec.document(content), customer_id) for customer_id, content in found)
        return next((one for one in records if _is_of(one, gateway_id)), None)

    def find(self, workspace: str, search: RecordSearch) -> RecordPage:
        """Return one page of a search."""
        groups = list(search.groups) or [(term("workspace", workspace),)]
        walked = min(groups, key=lambda group: self._estimate(group, search)) if len(groups) > 1 else groups[0]
        others = [group for group in groups if group is not walked]
        # Most pages are full after a short walk.
        for count in (search.limit + 1 if not others else 4 * search.limit, EXAMINED_MAX):
            found = self._matches(walked, others, search, count)
            if len(found) > search.limit:
                after: RecordPosition | None = RecordPosition(*found[search.limit - 1])
                break
            after = self._end_of_walk(walked, search, count)
            if after is None:
                break
        stored = [self._read(number) for _, number in found[: search.limit]]
        return RecordPage([one for one in stored if one is not None and _is_of(one, search.gateway_id)], after)

    def _matches(
        self, walked: tuple[int, ...], others: list[tuple[int, ...]], search: RecordSearch, count: int
    ) -> list[tuple[int, int]]:
        """Return at most one record more than the page holds, of those that a walk of ``count`` entries finds."""
        walk, values = _walk(walked, search, count)
        direction = "DESC" if search.newest_first else "ASC"
        conditions = ""
        for group in others:
            marks = ", ".join("?" * len(group))
            conditions += f" AND EXISTS (SELECT 1 FROM posting o WHERE o.term IN ({marks})"
            conditions += " AND o.ended_ms = w.ended_ms AND o.number = w.number)"
            values += group
        return self._database.execute(
            f"WITH w AS MATERIALIZED ({walk}) SELECT DISTINCT w.ended_ms, w.number FROM w WHERE 1{conditions}"
            f" ORDER BY w.ended_ms {direction}, w.number {direction} LIMIT ?",
            (*values, search.limit + 1),
        ).fetchall()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._database.close()

    def _read(self, number: int) -> StoredRecord | None:
        found = self._database.execute("SELECT customer_id, content FROM record WHERE number = ?", (number,)).fetchone()
        return None if found is None else StoredRecord(self._codec.document(found[1]), found[0])

    def _estimate(self, group: tuple[int, ...], search: RecordSearch) -> int:
        """Return how many records of the time asked for have a term of a group, counted up to a limit."""
        total = 0
        for one in group:
            counted = self._database.execute(
                "SELECT count(*) FROM (SELECT 1 FROM posting WHERE term = ? AND ended_ms >= ? AND ended_ms < ? LIMIT ?)",
                (one, search.from_ms, search.to_ms, _ESTIMATE_MAX),
            ).fetchall()
            total += counted[0][0]
        return total

    def _end_of_walk(self, group: tuple[int, ...], search: RecordSearch, count: int) -> RecordPosition | None:
        """Return where a walk of ``count`` entries ended; None: it came to the end."""
        walk, values = _walk(group, search, count)
        ended = self._database.execute(f"SELECT ended_ms, number FROM ({walk}) LIMIT 1 OFFSET ?", (*values, count - 1))
        found = ended.fetchone()
        return None if found is None else RecordPosition(*found)


def _is_of(stored: StoredRecord, gateway_id: str | None) -> bool:
    if gateway_id is None:
        return True
    try:
        return _decode_owner(stored.document).gateway_id == gateway_id
    except msgspec.MsgspecError:
        raise RecordsUnavailable(DAMAGED) from None


def _walk(group: tuple[int, ...], search: RecordSearch, count: int) -> tuple[str, list[int]]:
    """Return the query for ``count`` entries of a group after the position of the search, in its order, with its parameters."""
    direction, comparison = ("DESC", "<") if search.newest_first else ("ASC", ">")
    after = f" AND (ended_ms, number) {comparison} (?, ?)" if search.after is not None else ""
    parts: list[str] = []
    values: list[int] = []
    for one in group:
        parts.append(
            f"SELECT * FROM (SELECT ended_ms, number FROM posting WHERE term = ? AND ended_ms >= ? AND ended_ms < ?{after}"
            f" ORDER BY ended_ms {direction}, number {direction} LIMIT {count})"
        )
        values += [one, search.from_ms, search.to_ms]
        if search.after is not None:
            values += [search.after.ended_ms, search.after.number]
    joined = " UNION ALL ".join(parts)
    return f"SELECT * FROM ({joined}) ORDER BY ended_ms {direction}, number {direction} LIMIT {count}", values


def connect(path: Path | None) -> sqlite3.Connection:
    """Open a connection; None: to a new database in memory."""
    database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
    for name, value in _PRAGMAS:
        database.execute(f"PRAGMA {name} = {value}")
    return database
