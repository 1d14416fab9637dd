"""The file of the records: what is found after a record has changed."""

from pathlib import Path

import msgspec
import pytest

from router.records.builder import ChangedRecord, LateDisposition, RecordChanges
from router.records.reading import RecordSearch
from router.records.record import ContactRecord, RecordedWork, term
from router.records.sqlite import RecordCheckpoint, SqliteRecordStore


def _record(submitted_at_ms: int, *, contact_id: str = "c1", customer_id: str | None = None, is_new: bool = True) -> ChangedRecord:
    record = ContactRecord(
        contact_id=contact_id,
        state="ended",
        reason="solved",
        ended_by="agent",
        channel="voice",
        queue_id="support",
        gateway_id="web",
        submitted_at_ms=submitted_at_ms,
        ended_at_ms=submitted_at_ms + 10,
        assignments=[RecordedWork(f"{contact_id}.1", "ada", "owner", "support", "voice", submitted_at_ms)],
    )
    return ChangedRecord(record, customer_id, is_new)


def _with(store: SqliteRecordStore, disposition: str) -> int:
    """How many records are found by a disposition."""
    search = RecordSearch(groups=((term("disposition", "w", disposition),),), from_ms=0, to_ms=2**53)
    return len(store.reader().find("w", search).records)


def _late(at_ms: int, disposition: str) -> RecordChanges:
    return RecordChanges(late=[LateDisposition(at_ms, "c1", "c1.1", disposition)])


def test_a_late_disposition_is_of_the_last_contact_that_had_the_id_then() -> None:
    store = SqliteRecordStore(None)
    store.write("w", RecordChanges(records=[_record(1_000), _record(5_000)]))
    store.write("w", _late(2_000, "sale"))
    store.write("w", _late(6_000, "refund"))
    for disposition, submitted_ms in (("sale", 1_000), ("refund", 5_000)):
        search = RecordSearch(groups=((term("disposition", "w", disposition),),), from_ms=submitted_ms, to_ms=submitted_ms + 100)
        assert len(store.reader().find("w", search).records) == 1
    newest = store.reader().get("w", "c1", from_ms=0)
    assert newest is not None and b'"disposition":"refund"' in newest.document


def test_a_record_is_not_found_by_what_it_said_before() -> None:
    store = SqliteRecordStore(None)
    store.write("w", RecordChanges(records=[_record(1_000)]))
    store.write("w", _late(2_000, "sale"))
    store.write("w", _late(3_000, "refund"))
    assert (_with(store, "sale"), _with(store, "refund")) == (0, 1)
    for is_new in (True, False):
        # Written again from the events, after a crash or not, it is as it was then.
        store.write("w", RecordChanges(records=[_record(1_000, is_new=is_new)]))
        assert (_with(store, "sale"), _with(store, "refund"), store.count("w")) == (0, 0, 1)
    assert store.trim("w", ended_before_ms=2**53, count_max=10, slice_count=10) == 1
    assert store._database.execute("SELECT count(*) FROM posting").fetchall() == [(0,)]


def test_records_that_are_stored_already_and_new_ones_are_written_together() -> None:
    store = SqliteRecordStore(None)
    store.write("w", RecordChanges(records=[_record(1_000), _record(1_000, contact_id="c2")]))
    store.write("w", RecordChanges(records=[_record(1_000, contact_id=one) for one in ("c2", "c3", "c4")]))
    store.write("w", RecordChanges(records=[_record(1_000, contact_id="c5")]))
    assert store.count("w") == 5
    search = RecordSearch(groups=((term("agent", "w", "ada"),),), from_ms=0, to_ms=2**53)
    found = [msgspec.json.decode(one.document)["contact_id"] for one in store.reader().find("w", search).records]
    assert sorted(found) == ["c1", "c2", "c3", "c4", "c5"]
    assert store._database.execute("SELECT count(*), count(DISTINCT number) FROM record").fetchall() == [(5, 5)]


def test_the_number_of_records_is_kept_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reopened() -> tuple[int, int]:
        again = SqliteRecordStore(tmp_path / "records.db")
        found = again.count("w"), again.count("other")
        again.close()
        return found

    store = SqliteRecordStore(tmp_path / "records.db")
    assert reopened() == (0, 0)
    store.write("w", RecordChanges(records=[_record(number, contact_id=f"c{number}") for number in range(1, 6)]))
    store.write("other", RecordChanges(records=[_record(1_000)]))
    assert reopened() == (5, 1)
    store.write("w", RecordChanges(records=[_record(number, contact_id=f"c{number}") for number in range(4, 8)]))
    assert reopened() == (store.count("w"), 1) == (7, 1)
    assert store.trim("w", ended_before_ms=0, count_max=4, slice_count=10) == 3
    assert reopened() == (store.count("w"), 1) == (4, 1)
    monkeypatch.setattr(store, "_save_checkpoint", _fails)
    checkpoint = RecordCheckpoint(history_id="h", seq=1, targets={}, opened={})
    with pytest.raises(OSError, match="full"):
        store.write("w", RecordChanges(records=[_record(9_000, contact_id="c9")]), checkpoint)
    assert reopened() == (store.count("w"), 1) == (4, 1), "of what was not written none is counted"
    store.close()


def _fails(*_: object) -> None:
    raise OSError("the disk is full")


def test_records_written_after_an_erasure_do_not_have_the_customer() -> None:
    store = SqliteRecordStore(None)
    store.forget_customers("w", ["erased"])
    for is_new in (True, False):
        customers = ("erased", "known", None)
        records = [_record(1_000, contact_id=f"c{number}", customer_id=one, is_new=is_new) for number, one in enumerate(customers)]
        store.write("w", RecordChanges(records=records))
        found = store._database.execute("SELECT customer_id FROM record ORDER BY contact_id").fetchall()
        assert found == [(None,), ("known",), (None,)]
        for customer_id, count in (("erased", 0), ("known", 1)):
            search = RecordSearch(groups=((term("customer", "w", customer_id),),), from_ms=0, to_ms=2**53)
            assert len(store.reader().find("w", search).records) == count
