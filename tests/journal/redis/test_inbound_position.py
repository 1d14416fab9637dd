"""The position of the inbound stream travels with the records that its commands led to, also where they need several scripts."""

from router.journal.records import initial_chain
from router.journal.redis.layout import EpochIndex, Meta, WorkspaceKeys
from router.journal.redis.log import WorkspaceLog
from tests.support.journal_records import a_record


def a_log() -> WorkspaceLog:
    chain = initial_chain("main")
    meta = Meta(
        format=2, history_id="h", epoch=1, owner="n.x", seq=0, chain=chain, inbound="0-0", first_seq=1, base_chain=chain,
        snapshot_seq=0, previous_snapshot_seq=0, name="main",
    )  # fmt: skip
    return WorkspaceLog("main", WorkspaceKeys.of("rt", "main"), meta, epoch=1, owner="n.x", epochs=EpochIndex([(1, 1)]))


def test_each_script_stores_the_position_of_its_own_last_record() -> None:
    log = a_log()
    for number in range(1, 301):
        log.consume(f"{number}-0")
        log.prepare(a_record(number))
    log.consume("301-0")
    first, last = log.next_chunks()
    assert (first.seq, first.inbound) == (256, "256-0"), "a leader that dies now leaves the commands after 256 to the next one"
    assert (last.seq, last.inbound) == (300, "301-0"), "a command without events counts with the last script"


def test_a_command_without_events_moves_the_position_alone() -> None:
    log = a_log()
    log.consume("7-1")
    [chunk] = log.next_chunks()
    assert (chunk.seq, chunk.inbound) == (0, "7-1")


def test_the_position_never_goes_back_when_records_are_written_again() -> None:
    log = a_log()
    for number in range(1, 3):
        log.consume(f"9-{number}")
        log.prepare(a_record(number))
    log.consume("10-12")
    for chunk in log.next_chunks():
        log.note_stored(chunk)
    assert log.inbound == "10-12"
