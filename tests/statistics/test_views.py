"""Views of the statistics at one point in time."""

import msgspec

from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion
from tests.statistics.test_workspace import rows_of
from tests.support.event_history import MINUTE, EventHistory, RandomHistory


def test_the_present_activity_counts_up_to_now() -> None:
    day = EventHistory()
    day.agent("ada")
    day.after(10).submit("c1")
    day.answer("c1")
    day.after(30)
    whole = day.workspace_stats().workspace_stats(day.now_ms)
    assert (whole.time.idle_ms, whole.time.busy_ms) == (10_000, 30_000)
    assert whole.occupancy == 0.75
    assert whole.agents_by_activity == {"offline": 0, "not_ready": 0, "idle": 0, "busy": 1}


def test_reading_changes_nothing() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1")
    stats = day.workspace_stats()
    before = stats.snapshot()
    stats.workspace_stats(day.now_ms + 75 * MINUTE)
    stats.queue_stats("a", day.now_ms + MINUTE)
    stats.agent_stats("ada", day.now_ms + MINUTE)
    rows_of(stats, StatisticsQuestion(Dimension.AGENT, Interval.QUARTER, to_ms=day.now_ms), day.now_ms)
    assert stats.snapshot() == before


def test_the_returned_histogram_is_a_copy() -> None:
    day = EventHistory()
    day.submit("c1")
    day.after(3).answer("c1")
    stats = day.workspace_stats()
    waits = stats.wait_histogram("a")
    assert waits is not None and (waits.count, sum(waits.buckets)) == (1, 1)
    waits.buckets[0] += 7
    again = stats.wait_histogram("a")
    assert again is not None and sum(again.buckets) == 1
    assert stats.wait_histogram("nowhere") is None


def test_views_encode_as_json_objects() -> None:
    day = RandomHistory(seed=3)
    for _ in range(50):
        day.step()
    stats = day.history.workspace_stats()
    whole = msgspec.to_builtins(stats.workspace_stats(day.history.now_ms))
    assert whole["contacts"]["service"]["answered"] > 0
    assert whole["counts"]["submitted"] > 0
