"""Where the rows of the customer context are in Redis: hashes, and the indexes that find them.

The tables are those of the SQLite backend, with the same columns. Their rows are fields of hashes, each packed as one array in the
order of the columns. What belongs to one customer is in a few hashes of that customer, so that one request reads it and the end of
the customer deletes it. ``B`` is ``<prefix>:{context}``: all keys are in one slot of a cluster, so that an operation is atomic.

| key | type | content |
|---|---|---|
| `B:c:<row>` | hash | the customer: row, wrapped data key, identities, candidates, merges into another customer |
| `B:j:<row>` | hash | steps: the folded journey and the tail |
| `B:h:<row>` | hash | contacts, notes, how contacts went, verifications |
| `B:n:<row>` | hash | hashes of the beginnings of the name |
| `B:r:<workspace>:<contact>` | hash | reference of a contact |
| `B:p:…`, `B:e:…`, `B:s:…` | hashes | proposals, erased ids, suppressed hashes |
| `B:a:…`, `B:f:…`, `B:w`, `B:k` | hashes | audit, feed cursors, workspaces and their keys |
| `B:i:<table>.<index>:<values>` | set | places of the rows with these values |
| `B:z:<table>.<index>:<values>` | sorted set | places of the rows by time or position |
| `B:z:tail.touched` | sorted set | customers with steps that are not folded, by the time of the last one |
| `B:number`, `B:change` | string | last number of a row; last position of a change |
| `B:changes` | stream | which customers have changed, for the other nodes; bounded |
| `B:check` | hash | which master keys open the data keys; the format in which values are stored |

A **place** is the name of a hash and a field of it. A sorted set may hold the rows themselves instead (``is_covering``), where a
search reads many of them.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from router.context.sqlite.database import ADDED_DATA_TABLES, DATA_TABLES, KEY_TABLES

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = list[Value]

TAG: Final = "{context}"
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list)


class SetIndex(Struct, frozen=True, kw_only=True):
    """A set of places for each combination of values."""

    name: str
    columns: tuple[str, ...]
    is_unique: bool = False
    """Whether there is one row at most, which an insert has to check."""
    unless_null: str | None = None
    """Column without which a row is not in the index."""


class OrderedIndex(Struct, frozen=True, kw_only=True):
    """A sorted set of places for each combination of values."""

    name: str
    columns: tuple[str, ...]
    by: str
    """Column that is the score; a row without it is not in the index."""
    is_stamped: bool = False
    """Whether the score is given by the server at the commit, so that positions are taken in the order of commits."""
    is_covering: bool = False
    """Whether members are packed rows instead of places."""
    also: tuple[str, ...] = ()
    """Kinds of hashes of the same customer that are read with each slice."""


class TablePlan(Struct, frozen=True, kw_only=True):
    """Where the rows of one table are."""

    name: str
    kind: str
    """First part of the name of the hash."""
    owner: tuple[str, ...]
    """Columns that complete the name of the hash; none: one hash for the whole table."""
    field: tuple[str, ...] = ()
    """Columns that tell the rows of one hash apart."""
    number: str | None = None
    """Integer primary key, which is given to a row that has none."""
    sets: tuple[SetIndex, ...] = ()
    orders: tuple[OrderedIndex, ...] = ()
    begins_owner: bool = False
    """Whether a row with a new number is the first one of its hash."""


_CONTACT: Final = SetIndex(name="contact", columns=("workspace", "contact_id"), is_unique=True)

PLANS: Final = (
    TablePlan(name="workspace", kind="w", owner=(), field=("number",), number="number"),
    TablePlan(name="workspace_key", kind="k", owner=(), field=("number",)),
    TablePlan(
        name="customer",
        kind="c",
        owner=("row",),
        number="row",
        sets=(
            SetIndex(name="id", columns=("customer_id",)),
            SetIndex(name="merged", columns=("merged_into",), unless_null="merged_into"),
        ),
        orders=(
            OrderedIndex(name="changed", columns=("workspace",), by="changed", is_stamped=True, also=("h",)),
            OrderedIndex(name="seen", columns=("workspace",), by="seen_ms"),
        ),
        begins_owner=True,
    ),
    TablePlan(name="customer_key", kind="c", owner=("row",), orders=(OrderedIndex(name="version", columns=(), by="version"),)),
    TablePlan(
        name="identity",
        kind="c",
        owner=("row",),
        field=("number",),
        number="number",
        sets=(SetIndex(name="hash", columns=("workspace", "hash"), is_unique=True),),
    ),
    TablePlan(name="candidate", kind="c", owner=("row",), field=("hash",), sets=(SetIndex(name="hash", columns=("hash",)),)),
    TablePlan(
        name="merge",
        kind="c",
        owner=("loser",),
        field=("number",),
        number="number",
        sets=(SetIndex(name="id", columns=("merge_id",)), SetIndex(name="winner", columns=("winner",))),
    ),
    TablePlan(
        name="name_token",
        kind="n",
        owner=("row",),
        field=("hash",),
        orders=(OrderedIndex(name="word", columns=("workspace", "hash"), by="row", is_covering=True),),
    ),
    TablePlan(name="tail", kind="j", owner=("row",), field=("number",), number="number"),
    TablePlan(name="journey", kind="j", owner=("row",), orders=(OrderedIndex(name="row", columns=(), by="row", also=("c",)),)),
    TablePlan(
        name="contact",
        kind="h",
        owner=("row",),
        field=("number",),
        number="number",
        sets=(_CONTACT,),
        orders=(OrderedIndex(name="at", columns=("workspace",), by="at_ms"),),
    ),
    TablePlan(
        name="note",
        kind="h",
        owner=("row",),
        field=("number",),
        number="number",
        sets=(SetIndex(name="contact", columns=("workspace", "contact_id")),),
        orders=(OrderedIndex(name="at", columns=("workspace",), by="at_ms"),),
    ),
    TablePlan(
        name="work",
        kind="h",
        owner=("row",),
        field=("number",),
        number="number",
        sets=(_CONTACT,),
        orders=(OrderedIndex(name="changed", columns=("workspace",), by="changed_ms"),),
    ),
    TablePlan(
        name="verification",
        kind="h",
        owner=("row",),
        field=("number",),
        number="number",
        sets=(SetIndex(name="contact", columns=("workspace", "contact_id", "type"), is_unique=True),),
        orders=(OrderedIndex(name="at", columns=(), by="at_ms"),),
    ),
    TablePlan(
        name="reference",
        kind="r",
        owner=("workspace", "contact_id"),
        # A reference without a customer has the row of its block, a bounded number; it expires by itself as well.
        sets=(SetIndex(name="row", columns=("row",)),),
        orders=(OrderedIndex(name="day", columns=(), by="day"),),
    ),
    TablePlan(
        name="reference_day",
        kind="c",
        owner=("row",),
        sets=(SetIndex(name="day", columns=("workspace", "day"), is_unique=True),),
        orders=(OrderedIndex(name="day", columns=("workspace",), by="day"),),
    ),
    TablePlan(
        name="reference_block",
        kind="c",
        owner=("row",),
        sets=(
            SetIndex(name="open", columns=("workspace", "open_day"), unless_null="open_day"),
            SetIndex(name="retired", columns=("workspace", "retired"), unless_null="retired"),
        ),
        orders=(OrderedIndex(name="day", columns=("workspace",), by="day"),),
    ),
    TablePlan(name="feed_cursor", kind="f", owner=("workspace",)),
    TablePlan(
        name="proposal",
        kind="p",
        owner=("proposal_id",),
        number="number",
        sets=(SetIndex(name="one", columns=("one",)), SetIndex(name="other", columns=("other",))),
        orders=(
            OrderedIndex(name="state", columns=("workspace", "state"), by="number"),
            OrderedIndex(name="decided", columns=(), by="decided_ms"),
        ),
    ),
    TablePlan(name="erased", kind="e", owner=("customer_id",)),
    TablePlan(
        name="erased_change",
        kind="e",
        owner=("customer_id",),
        orders=(OrderedIndex(name="changed", columns=("workspace",), by="changed", is_stamped=True),),
    ),
    TablePlan(
        name="suppressed", kind="s", owner=("workspace", "hash"), orders=(OrderedIndex(name="until", columns=(), by="until_ms"),)
    ),
    TablePlan(name="read_audit", kind="a", owner=("customer_id",), field=("number",), number="number"),
)

FILE_TABLES: Final = frozenset({"meta", "deleted_key"})
"""Tables that only files need: what ties two files together."""


class TableShape(Struct, frozen=True):
    """The columns of a table as the statements see them."""

    plan: TablePlan
    columns: tuple[str, ...]
    declaration: str
    """Text of the declaration, without constraints."""

    def position(self, column: str) -> int:
        """Return the position of a column."""
        return self.columns.index(column)


def shapes() -> list[TableShape]:
    """Return the tables with the columns that the files have, so that both backends agree."""
    connection = sqlite3.connect(":memory:")
    try:
        for table in (*DATA_TABLES, *ADDED_DATA_TABLES, *KEY_TABLES[1:]):
            connection.execute(table)
        found = []
        for plan in PLANS:
            columns = [(name, kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({plan.name})").fetchall()]
            declared = ", ".join(f"{name} {kind}" for name, kind in columns)
            found.append(TableShape(plan, tuple(name for name, _ in columns), f"CREATE TABLE {plan.name} ({declared})"))
        return found
    finally:
        connection.close()


def key_part(value: Value) -> str:
    """Return a value as part of a key name."""
    return value.hex() if isinstance(value, bytes) else str(value)


def hash_name(kind: str, values: Sequence[Value]) -> str:
    """Return the name of a hash, without the base."""
    return ":".join((kind, *(key_part(value) for value in values)))


def field_name(table: str, values: Sequence[Value]) -> bytes:
    """Return the field of a row; it begins with the table."""
    return ":".join((table, *(key_part(value) for value in values))).encode()


def place_of(name: str, field: bytes) -> bytes:
    """Return a place: a hash and a field of it."""
    return name.encode() + b"\x00" + field


def split_place(place: bytes) -> tuple[str, bytes]:
    """Return the hash and the field of a place."""
    name, _, field = place.partition(b"\x00")
    return name.decode(), field


def pack(row: Sequence[Value]) -> bytes:
    """Return a row as it is stored."""
    return _encoder.encode(row)


def unpack(packed: bytes, width: int) -> Row:
    """Return a stored row; a column that was added since is null."""
    row: Row = _decoder.decode(packed)
    return row if len(row) == width else row + [None] * (width - len(row))
