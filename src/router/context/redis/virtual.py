"""The tables of the customer context as virtual tables of SQLite, whose rows are in Redis.

SQLite parses and runs the statements that both backends share; here it is told which look-ups a table has, and is given the rows.
It checks every condition itself again, so that an index which leads to a row that has changed does no harm. A statement for which
there is no look-up would read all customers: it is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import apsw
from msgspec import Struct

from router.context.redis.layout import (
    OrderedIndex,
    Row,
    SetIndex,
    TableShape,
    Value,
    field_name,
    hash_name,
    pack,
    place_of,
    split_place,
    unpack,
)
from router.context.redis.rows import RowBuffer, index_name

_EQUAL: Final = apsw.SQLITE_INDEX_CONSTRAINT_EQ
_BOUNDS: Final = {
    apsw.SQLITE_INDEX_CONSTRAINT_GT: (0, 1),
    apsw.SQLITE_INDEX_CONSTRAINT_GE: (0, 0),
    apsw.SQLITE_INDEX_CONSTRAINT_LT: (1, -1),
    apsw.SQLITE_INDEX_CONSTRAINT_LE: (1, 0),
}
"""Which end of a range a comparison gives, and what makes it inclusive."""
_COST_NONE: Final = 1e12


class _LookUp(Struct, frozen=True):
    """A way to find rows, as it was told to SQLite."""

    kind: str
    """``hash``, ``number``, ``set``, ``order`` or ``none``."""
    cost: float
    columns: tuple[int, ...] = ()
    """Columns whose values it needs, in order."""
    index: SetIndex | OrderedIndex | None = None
    bounds: tuple[tuple[int, int], ...] = ()
    """Ends of the range that it is given after the values."""
    is_ordered: bool = False


class RowTable:
    """One table. SQLite calls the methods with names in capitals."""

    def __init__(self, shape: TableShape, buffer: RowBuffer, on_conflict: Callable[[], int], expiry_ms: int | None) -> None:
        """``on_conflict`` returns the rule of a statement for a row that exists; ``expiry_ms``: how long a hash is kept."""
        self._shape = shape
        self._plan = plan = shape.plan
        self._buffer = buffer
        self._on_conflict = on_conflict
        self._expiry_ms = expiry_ms
        self._owner = tuple(shape.position(name) for name in plan.owner)
        self._field = tuple(shape.position(name) for name in plan.field)
        self._number = None if plan.number is None else shape.position(plan.number)
        self._sets = [(index, tuple(shape.position(name) for name in index.columns)) for index in plan.sets]
        self._orders = [(index, tuple(shape.position(name) for name in index.columns)) for index in plan.orders]
        self._places: dict[int, tuple[str, bytes]] = {}
        """Where the rows are that this operation has seen, by row id."""
        self._row_ids: dict[tuple[str, bytes], int] = {}
        self._look_ups: list[_LookUp] = []

    @property
    def name(self) -> str:
        """Return the name of the table."""
        return self._plan.name

    @property
    def declaration(self) -> str:
        """Return the text that declares the table to SQLite."""
        return self._shape.declaration

    def forget(self) -> None:
        """Forget where rows are, at the end of an operation."""
        self._places.clear()
        self._row_ids.clear()

    # --- plans ---------------------------------------------------------------------------------

    def BestIndex(self, constraints: Sequence[tuple[int, int]], orders: Sequence[tuple[int, bool]]) -> Any:
        """Choose the cheapest look-up for these conditions."""
        equal = {column: place for place, (column, comparison) in reversed([*enumerate(constraints)]) if comparison == _EQUAL}
        chosen = min(self._usable(equal, constraints, orders), key=lambda one: one.cost)
        used: list[int | None] = [None] * len(constraints)
        for argument, column in enumerate(chosen.columns):
            used[equal[column]] = argument
        argument = len(chosen.columns)
        if isinstance(chosen.index, OrderedIndex):
            by = self._shape.position(chosen.index.by)
            for end, _ in chosen.bounds:
                place = next(
                    at
                    for at, (column, comparison) in enumerate(constraints)
                    if column == by and _BOUNDS.get(comparison, (2,))[0] == end
                )
                used[place] = argument
                argument += 1
        if chosen not in self._look_ups:
            self._look_ups.append(chosen)
        return used, self._look_ups.index(chosen), self.name, chosen.is_ordered, chosen.cost

    def _usable(
        self, equal: dict[int, int], constraints: Sequence[tuple[int, int]], orders: Sequence[tuple[int, bool]]
    ) -> Iterator[_LookUp]:
        yield _LookUp("none", _COST_NONE)
        if all(column in equal for column in self._owner):
            yield _LookUp("hash", 2.0, self._owner)
        if self._number is not None and self._number in equal:
            yield _LookUp("number", 4.0, (self._number,))
        for index, columns in self._sets:
            if all(column in equal for column in columns):
                yield _LookUp("set", 8.0, columns, index)
        for ordered, columns in self._orders:
            if all(column in equal for column in columns):
                by = self._shape.position(ordered.by)
                ends: dict[int, tuple[int, int]] = {}
                for column, comparison in constraints:
                    if column == by and comparison in _BOUNDS:
                        ends.setdefault(_BOUNDS[comparison][0], _BOUNDS[comparison])
                cost = 1_000.0 if ends else 10_000.0
                yield _LookUp("order", cost, columns, ordered, tuple(ends.values()), [*orders] == [(by, False)])

    def Open(self) -> "RowCursor":
        """Return a cursor."""
        return RowCursor(self)

    def Disconnect(self) -> None:
        """Do nothing: the rows stay in Redis."""

    Destroy = Disconnect

    # --- reading -------------------------------------------------------------------------------

    def found(self, look_up: int, values: Sequence[Value]) -> Iterator[tuple[int, Row]]:
        """Return rows with their row ids."""
        one = self._look_ups[look_up]
        match one.kind:
            case "hash":
                return iter(self._rows_of(hash_name(self._plan.kind, values)))
            case "number":
                return iter(self._numbered(values[0]))
            case "set":
                assert one.index is not None
                return iter(self._rows_at(self._buffer.members(index_name(self.name, one.index.name, values))))
            case "order":
                assert isinstance(one.index, OrderedIndex)
                return self._ordered(one, one.index, values)
        raise LookupError(f"no look-up of the table {self.name} fits this statement")

    def _rows_of(self, name: str) -> list[tuple[int, Row]]:
        prefix = self.name.encode()
        fields = self._buffer.hash(name)
        chosen = [field for field in fields if field == prefix or field.startswith(prefix + b":")]
        return sorted((self._row_id(name, field, row), row) for field in chosen for row in [self._unpack(fields[field])])

    def _numbered(self, number: Value) -> list[tuple[int, Row]]:
        """Return the row of a number, which this operation has read before in another way."""
        assert isinstance(number, int)
        if number not in self._places:
            raise LookupError(f"the table {self.name} has no look-up by number")
        return self._rows_at([place_of(*self._places[number])])

    def _rows_at(self, places: Iterable[bytes]) -> list[tuple[int, Row]]:
        split = [split_place(place) for place in sorted(places)]
        self._buffer.load(name for name, _ in split)
        found = []
        for name, field in split:
            packed = self._buffer.hash(name).get(field)
            if packed is not None:
                row = self._unpack(packed)
                found.append((self._row_id(name, field, row), row))
        return found

    def _ordered(self, one: _LookUp, index: OrderedIndex, values: Sequence[Value]) -> Iterator[tuple[int, Row]]:
        low: int | None = None
        high: int | None = None
        for (end, step), value in zip(one.bounds, values[len(one.columns) :], strict=True):
            assert isinstance(value, int)
            low, high = (value + step, high) if end == 0 else (low, value + step)
        for part in self._buffer.scan(index_name(self.name, index.name, values[: len(one.columns)]), low, high):
            if index.is_covering:
                for member, _ in part:
                    row = self._unpack(member)
                    yield self._row_id(*self._place(row), row), row
                continue
            self._read_ahead(part, index)
            by = self._shape.position(index.by)
            for member, score in part:
                for row_id, row in self._rows_at([member]):
                    if index.is_stamped:
                        row[by] = score
                    yield row_id, row

    def _read_ahead(self, part: Sequence[tuple[bytes, int]], index: OrderedIndex) -> None:
        names = [split_place(member)[0] for member, _ in part]
        self._buffer.load([*names, *(f"{kind}{name[1:]}" for kind in index.also for name in names)])

    def _unpack(self, packed: bytes) -> Row:
        return unpack(packed, len(self._shape.columns))

    def _place(self, row: Row) -> tuple[str, bytes]:
        name = hash_name(self._plan.kind, [row[column] for column in self._owner])
        return name, field_name(self.name, [row[column] for column in self._field])

    def _row_id(self, name: str, field: bytes, row: Row) -> int:
        """Return the row id: the number where there is one, otherwise one that is valid in this operation."""
        number = None if self._number is None else row[self._number]
        row_id = number if isinstance(number, int) else self._row_ids.setdefault((name, field), len(self._row_ids) + 1)
        self._places[row_id] = (name, field)
        return row_id

    # --- writing -------------------------------------------------------------------------------

    def UpdateInsertRow(self, row_id: int | None, fields: Sequence[Value]) -> int:
        """Store a new row and return its row id."""
        row, rule = list(fields), self._on_conflict()
        is_new = self._number is not None and row[self._number] is None
        if is_new:
            assert self._number is not None
            row[self._number] = self._buffer.next_number()
        for existing, other in self._existing(row, is_new=is_new):
            if rule == apsw.SQLITE_IGNORE:
                return existing
            if rule != apsw.SQLITE_REPLACE:
                raise apsw.ConstraintError(f"the table {self.name} has this row already")
            self._write(other, None)
        name, field = self._place(row)
        if is_new and self._plan.begins_owner:
            self._buffer.assume_empty(hash_name(kind, [row[column] for column in self._owner]) for kind in "cjhn")
        self._write(None, row)
        return self._row_id(name, field, row)

    def _existing(self, row: Row, *, is_new: bool) -> list[tuple[int, Row]]:
        """Return the rows that exclude this one: in the same place, or with the same unique values."""
        found = []
        name, field = self._place(row)
        if not is_new and (packed := self._buffer.hash(name).get(field)) is not None:
            other = self._unpack(packed)
            found.append((self._row_id(name, field, other), other))
        for index, columns in self._sets:
            if index.is_unique:
                members = self._buffer.members(index_name(self.name, index.name, [row[column] for column in columns]))
                found += [one for one in self._rows_at(members) if self._places[one[0]] != (name, field)]
        return found

    def UpdateDeleteRow(self, row_id: int) -> None:
        """Delete a row."""
        self._write(self._stored(row_id), None)

    def UpdateChangeRow(self, row_id: int, new_row_id: int, fields: Sequence[Value]) -> None:
        """Change a row; it moves where its owner changes."""
        row = list(fields)
        self._write(self._stored(row_id), row)
        self._places[row_id] = self._place(row)

    def _stored(self, row_id: int) -> Row:
        name, field = self._places[row_id]
        return self._unpack(self._buffer.hash(name)[field])

    def _write(self, old: Row | None, new: Row | None) -> None:
        old_place = None if old is None else self._place(old)
        new_place = None if new is None else self._place(new)
        packed = None if new is None else pack(new)
        if old_place is not None and old_place != new_place:
            self._buffer.put(*old_place, None)
        if new_place is not None:
            self._buffer.put(*new_place, packed)
            if self._expiry_ms is not None:
                self._buffer.expire(new_place[0], self._expiry_ms)
        for index, columns in self._sets:
            self._move_in_set(index, columns, old, new)
        for ordered, columns in self._orders:
            self._move_in_order(ordered, columns, old, new)

    def _move_in_set(self, index: SetIndex, columns: tuple[int, ...], old: Row | None, new: Row | None) -> None:
        entries = [self._set_entry(index, columns, row) for row in (old, new)]
        if entries[0] == entries[1]:
            return
        for entry, is_added in zip(entries, (False, True), strict=True):
            if entry is not None:
                self._buffer.mark(*entry, is_added=is_added)

    def _set_entry(self, index: SetIndex, columns: tuple[int, ...], row: Row | None) -> tuple[str, bytes] | None:
        if row is None or (index.unless_null is not None and row[self._shape.position(index.unless_null)] is None):
            return None
        return index_name(self.name, index.name, [row[column] for column in columns]), place_of(*self._place(row))

    def _move_in_order(self, index: OrderedIndex, columns: tuple[int, ...], old: Row | None, new: Row | None) -> None:
        entries = [self._order_entry(index, columns, row) for row in (old, new)]
        if entries[0] == entries[1]:
            return
        before, after = entries
        if before is not None and (after is None or after[:2] != before[:2]):
            self._buffer.score(before[0], before[1], None)
        if after is not None and index.is_stamped:
            self._buffer.stamp(after[0], after[1])
        elif after is not None:
            self._buffer.score(*after)

    def _order_entry(self, index: OrderedIndex, columns: tuple[int, ...], row: Row | None) -> tuple[str, bytes, int] | None:
        if row is None:
            return None
        score = row[self._shape.position(index.by)]
        if not isinstance(score, int):
            return None
        member = pack(row) if index.is_covering else place_of(*self._place(row))
        return index_name(self.name, index.name, [row[column] for column in columns]), member, score


class RowCursor:
    """A cursor of one table. SQLite calls all methods."""

    def __init__(self, table: RowTable) -> None:
        self._table = table
        self._rows: Iterator[tuple[int, Row]] = iter(())
        self._current: tuple[int, Row] | None = None

    def Filter(self, look_up: int, name: str, values: Sequence[Value]) -> None:
        """Begin with the rows of a look-up."""
        self._rows = self._table.found(look_up, values)
        self.Next()

    def Eof(self) -> bool:
        """Return whether there are no more rows."""
        return self._current is None

    def Next(self) -> None:
        """Go to the next row."""
        self._current = next(self._rows, None)

    def Rowid(self) -> int:
        """Return the row id of the present row."""
        assert self._current is not None
        return self._current[0]

    def Column(self, number: int) -> Value:
        """Return a column of the present row."""
        assert self._current is not None
        return self._current[0] if number < 0 else self._current[1][number]

    def Close(self) -> None:
        """Let go of the rows."""
        self._rows, self._current = iter(()), None


class RowModule:
    """Gives SQLite the tables by name."""

    def __init__(self, tables: dict[str, RowTable]) -> None:
        self._tables = tables

    def Connect(self, connection: apsw.Connection, module: str, database: str, table: str, *_: object) -> tuple[str, RowTable]:
        """Return the declaration of a table, and the table."""
        connection.vtab_config(apsw.SQLITE_VTAB_CONSTRAINT_SUPPORT, 1)
        found = self._tables[table]
        return found.declaration, found

    Create = Connect
