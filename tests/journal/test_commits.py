"""Preparation of commits: chains, digests of the workspace tails, and the row of the commit index."""

import pytest

from router.journal.records import COMMIT_INDEX_WORKSPACE, ChainVerifier, CommitBuilder, CommitIndex, WorkspaceTail, decode_envelope
from tests.support.journal_records import a_record, records


@pytest.fixture
def index() -> CommitIndex:
    return CommitIndex.create(b"r" * 16)[0]


@pytest.fixture
def builder(index: CommitIndex) -> CommitBuilder:
    made = CommitBuilder(index, {})
    for name in ("main", "other"):
        made.add_workspace(name, f"history of {name}")
    return made


def test_a_commit_has_a_row_for_each_record_and_one_for_the_index(builder: CommitBuilder) -> None:
    commit = builder.build_commit([("main", a_record(1, events=2)), ("other", a_record(1))])
    assert commit.values[0::3] == [1, 2, COMMIT_INDEX_WORKSPACE]
    assert commit.values[1::3] == [1, 1, commit.mark.number]
    assert [(one.workspace, one.last_seq) for one in commit.tail_updates] == [("main", 2), ("other", 1)]


def test_the_rows_of_a_workspace_form_a_chain(builder: CommitBuilder) -> None:
    verifier = ChainVerifier.from_start("main")
    written = records(6)
    for start in (0, 2, 4):
        commit = builder.build_commit([("main", record) for record in written[start : start + 2]])
        for place in (0, 3):
            key, data = commit.values[place + 1], commit.values[place + 2]
            assert verifier.verify_and_decode(key, data) == written[start + place // 3]
    (end,) = commit.tail_updates
    verifier.check_end(last_seq=end.last_seq, chain=end.chain)


def test_a_row_of_the_index_holds_the_digests_of_all_tails(builder: CommitBuilder, index: CommitIndex) -> None:
    commit = builder.build_commit([("main", a_record(1))])
    body = decode_envelope(commit.values[-1]).body
    tails = list(builder._tails.values())
    assert int.from_bytes(body) == index.digests == tails[0].digest ^ tails[1].digest
    assert all(tail.digest == tail.compute_digest() for tail in tails)


def test_consecutive_rows_of_the_index_form_a_chain(builder: CommitBuilder) -> None:
    first = builder.build_commit([("main", a_record(1))])
    second = builder.build_commit([("main", a_record(2))])
    envelope = decode_envelope(second.values[-1])
    assert (second.mark.number, envelope.previous_chain) == (first.mark.number + 1, first.mark.chain)
    assert envelope.chain == second.mark.chain


@pytest.mark.parametrize(("field", "value"), [("number", 2), ("workspace", "b"), ("history_id", "h2"), ("last_seq", 1)])
def test_a_digest_depends_on_everything_that_it_authenticates(field: str, value: object) -> None:
    tail = WorkspaceTail.empty(1, "a", "h")
    setattr(tail, field, value)
    assert tail.compute_digest() != tail.digest


def test_a_gap_in_the_sequence_numbers_is_rejected(builder: CommitBuilder) -> None:
    with pytest.raises(AssertionError, match="gap"):
        builder.build_commit([("main", a_record(2))])


def test_journals_start_with_different_chains() -> None:
    assert CommitIndex.create(b"a" * 16)[0].chain != CommitIndex.create(b"b" * 16)[0].chain
