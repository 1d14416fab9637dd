"""Where the records of a workspace go on that this node follows again."""

from router.records.builder import RecordBuilder, RecordChanges
from router.records.service import _load
from router.records.sqlite import RecordCheckpoint, SqliteRecordStore
from tests.support.journal_records import a_record


def test_records_go_on_where_the_file_is_and_say_from_where_they_are_complete() -> None:
    store = SqliteRecordStore(None)
    fresh = _load(store, "sales", "h", 1, {})
    assert (fresh.seq, fresh.complete_from) == (0, 1)
    # The first event of the log is the 21st when the file is made.
    late = _load(store, "sales", "h", 21, {})
    assert (late.seq, late.complete_from) == (20, 21)

    builder = RecordBuilder({}, {})
    builder.apply(a_record(40))
    saved = RecordCheckpoint(history_id="h", seq=40, targets={}, complete_from=21, opened=builder.take_opened())
    store.write("sales", RecordChanges(), saved)
    again = _load(store, "sales", "h", 41, {})
    assert (again.seq, again.complete_from, len(again.builder._opened)) == (40, 21, 1)
    # Event 41 was archived meanwhile: of the open contact it may have been one.
    gap = _load(store, "sales", "h", 42, {})
    assert (gap.seq, gap.complete_from, len(gap.builder._opened)) == (41, 42, 0)
    assert store.load("sales") is None, "a crash before the next checkpoint does not bring it back"
    other = _load(store, "sales", "another history", 1, {})
    assert (other.seq, other.complete_from) == (0, 1)
