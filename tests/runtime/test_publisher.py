"""Missed records: complete, or reported as not available (I29)."""

import pytest

from router.runtime.publisher import Publisher
from tests.support.journal_records import a_record


def a_publisher(*, last_seq: int = 0, records: int = 4, total: int = 100) -> Publisher:
    publisher = Publisher(workspace_records_max=records, records_max=total)
    publisher.add_workspace("main", "history_id", last_seq=last_seq)
    return publisher


def seqs(publisher: Publisher, after_seq: int, gen: str = "history_id") -> list[int] | None:
    if not publisher.covers("main", gen, after_seq):
        return None
    missed = publisher.records_between("main", after_seq, publisher.last_seq("main"))
    return [record.first_seq for record in missed]


def test_an_up_to_date_client_has_missed_nothing() -> None:
    publisher = a_publisher(last_seq=7)
    assert seqs(publisher, 7) == []


def test_missed_records_are_returned_in_order() -> None:
    publisher = a_publisher()
    for seq in (1, 2, 5):
        publisher.publish("main", a_record(seq, events=3 if seq == 2 else 1))
    assert seqs(publisher, 0) == [1, 2, 5]
    assert seqs(publisher, 3) == [2, 5]
    assert seqs(publisher, 4) == [5]


@pytest.mark.parametrize("after_seq", [-1, 6, 2**64])
def test_impossible_positions_are_not_covered(after_seq: int) -> None:
    publisher = a_publisher()
    for seq in range(1, 6):
        publisher.publish("main", a_record(seq))
    assert seqs(publisher, after_seq) is None


def test_evicted_records_are_not_covered() -> None:
    publisher = a_publisher(records=3)
    for seq in range(1, 8):
        publisher.publish("main", a_record(seq))
    assert seqs(publisher, 4) == [5, 6, 7]
    assert seqs(publisher, 3) is None


def test_the_newest_records_are_retained_over_any_number_of_evictions() -> None:
    publisher = a_publisher(records=3)
    for seq in range(1, 301):
        publisher.publish("main", a_record(seq))
        first = max(1, seq - 2)
        assert seqs(publisher, first - 1) == list(range(first, seq + 1))
        assert publisher.evicted_seq("main") == first - 1


def test_records_that_were_never_loaded_are_not_covered() -> None:
    publisher = a_publisher(last_seq=7)
    assert seqs(publisher, 6) is None
    publisher.publish("main", a_record(8))
    assert seqs(publisher, 7) == [8]
    assert seqs(publisher, 6) is None


def test_another_history_and_another_workspace_are_not_covered() -> None:
    publisher = a_publisher(last_seq=7)
    assert seqs(publisher, 7, gen="other") is None
    assert not publisher.covers("elsewhere", "history_id", 0)


def test_loaded_records_are_covered_but_not_published() -> None:
    publisher = a_publisher(last_seq=3)
    published: list[object] = []
    publisher.subscribe(published.append)
    publisher.load_record("main", a_record(2))
    publisher.load_record("main", a_record(3))
    assert seqs(publisher, 1) == [2, 3]
    assert published == []


def test_the_oldest_record_is_evicted_at_the_overall_limit() -> None:
    publisher = Publisher(workspace_records_max=3, records_max=4)
    for name in ("main", "other"):
        publisher.add_workspace(name, "history_id", last_seq=0)
    for seq in range(1, 6):
        publisher.publish("main", a_record(seq))
    for seq in (1, 2):
        publisher.publish("other", a_record(seq))
    assert seqs(publisher, 3) == [4, 5]
    assert seqs(publisher, 2) is None
    assert publisher.covers("other", "history_id", 0)
    assert len(publisher.records_between("other", 0, 2)) == 2


def test_a_callback_can_unsubscribe_itself_while_it_runs() -> None:
    publisher = a_publisher()
    calls: list[str] = []

    def once(_: object) -> None:
        calls.append("once")
        end()

    end = publisher.subscribe(once)
    publisher.subscribe(lambda _: calls.append("always"))
    publisher.publish("main", a_record(1))
    publisher.publish("main", a_record(2))
    assert calls == ["once", "always", "always"]
