"""Snapshots of statistics in pieces: the same bytes as one made at once at the beginning, whatever is counted meanwhile."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from router.model.events import ContactAbandoned, ContactQueued, Event, PolicyPublished
from router.statistics import incremental
from router.statistics.history import QUARTER_MS
from router.statistics.incremental import IncrementalStats
from router.statistics.workspace import WorkspaceStats
from tests.properties.test_machine import ContactCentre
from tests.support.builders import START_MS, a_policy


@pytest.fixture(autouse=True)
def two_entries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(incremental, "_ENTRIES", 2)
    yield


class Progress:
    """A snapshot in progress beside the bytes that it must return."""

    def __init__(self, stats: WorkspaceStats) -> None:
        self.expected = stats.snapshot()
        self.image = stats.incremental_snapshot()

    def advance(self) -> bool:
        """Encode one more piece; return whether the snapshot has ended. If it is complete, check it."""
        if self.image.advance():
            return False
        assert self.image.is_cancelled or b"".join(self.image.parts()) == self.expected
        return True


class CentreWithSnapshots(ContactCentre):
    """State machine of the engine tests; after every event one more piece of a snapshot of the statistics is encoded."""

    completed = 0

    def __init__(self) -> None:
        super().__init__()
        self.stats = WorkspaceStats()
        self.applied_records = 0
        self.progress: Progress | None = None

    @invariant()
    def a_snapshot_in_pieces_is_as_of_its_beginning(self) -> None:
        for first_seq, at_ms, events in self.world.records[self.applied_records :]:
            for seq, event in enumerate(events, first_seq):
                if self.progress is None:
                    self.progress = Progress(self.stats)
                self.stats.apply(event, seq, at_ms)
                if seq % 7 == 0:
                    self.stats.snapshot()  # Any query adds the pending counters.
                if any(self.progress.advance() for _ in range(4)):
                    CentreWithSnapshots.completed += self.progress.image.is_done
                    self.progress = None
        self.applied_records = len(self.world.records)

    def a_replay_gives_the_same_state(self) -> None:
        """Skip; checked by the engine tests, and slow."""

    def the_views_agree_with_the_log(self) -> None:
        """Skip; checked by the engine tests."""


TestCentreWithSnapshots = CentreWithSnapshots.TestCase
TestCentreWithSnapshots.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=tuple(HealthCheck)
)


def test_the_random_commands_have_completed_snapshots() -> None:
    """Runs after the state machine, so that it cannot pass by never completing one."""
    if CentreWithSnapshots.completed == 0:
        pytest.skip("the state machine has not run in this process")
    assert CentreWithSnapshots.completed >= 3


def queued(contact_id: str, queue_id: str) -> Event:
    return ContactQueued(contact_id=contact_id, channel="voice", queue_id=queue_id, requirement="", policy_version=1)


def a_centre(contacts: int = 40) -> WorkspaceStats:
    stats = WorkspaceStats()
    stats.apply(PolicyPublished(version=1, policy=a_policy()), 1, START_MS)
    for number in range(contacts):
        stats.apply(queued(f"c{number}", "support"), number + 2, START_MS)
    return stats


def test_no_piece_encodes_more_than_a_few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = a_centre(300)
    monkeypatch.setattr(incremental, "_ENTRIES", 16)
    progress = Progress(stats)
    most = 0
    encoded: list[str] = []
    entry = incremental._entry

    def counted(key: str, value: object) -> bytes:
        encoded.append(key)
        return entry(key, value)

    monkeypatch.setattr(incremental, "_entry", counted)
    ended = False
    while not ended:
        encoded.clear()
        ended = progress.advance()
        most = max(most, len(encoded))
    assert progress.image.is_done and most == 16


def test_an_interval_that_ends_meanwhile_is_as_it_was() -> None:
    stats = a_centre()
    progress = Progress(stats)
    for number in range(20):
        event = ContactAbandoned(contact_id=f"c{number}", queue_id="support", waited_ms=1)
        stats.apply(event, 100 + number, START_MS + QUARTER_MS * (1 + number // 10))
        assert not progress.advance()
    while not progress.advance():
        pass
    assert progress.image.is_done
    assert WorkspaceStats.restore(progress.expected).counts().queued == 40
    # The next one contains both closed intervals.
    again = Progress(stats)
    while not again.advance():
        pass
    assert again.image.is_done


def test_a_policy_cancels_the_snapshot_and_another_one_can_begin() -> None:
    stats = a_centre()
    first = stats.incremental_snapshot()
    assert first.advance()
    with pytest.raises(AssertionError):
        stats.incremental_snapshot()
    stats.apply(PolicyPublished(version=2, policy=a_policy()), 100, START_MS)
    assert first.is_cancelled and not first.advance()
    second: IncrementalStats = stats.incremental_snapshot()
    second.cancel()
    second.cancel()
    third = Progress(stats)
    while not third.advance():
        pass
    assert third.image.is_done
