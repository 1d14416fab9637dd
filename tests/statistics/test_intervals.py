"""Statistics by quarter of an hour: boundaries, and the length of the history."""

from router.statistics.intervals import INTERVAL_MS, INTERVALS_MAX
from tests.support.event_history import (
    MINUTE,
    SECOND,
    EventHistory,
)


def test_activity_time_is_split_at_interval_boundaries() -> None:
    day = EventHistory(start_ms=INTERVAL_MS * 1_000_000 + 5 * MINUTE)
    day.agent("ada")
    day.after(20 * 60).submit("c1")
    work = day.answer("c1")
    day.after(10 * 60).end(work)
    day.complete(work)
    first, second, third = day.workspace_stats().intervals()
    assert (first.start_ms, second.start_ms) == (
        day.start_ms - 5 * MINUTE,
        day.start_ms + 10 * MINUTE,
    )
    assert first.occupancy == 0.0
    assert second.occupancy == 5 / 15
    assert third.occupancy == 1.0
    assert (second.contacts.service.answered, third.contacts.handling.handled) == (1, 1)
    by_queue = day.workspace_stats().intervals("a")
    assert [interval.contacts.flow.submitted for interval in by_queue] == [0, 1, 0]


def test_intervals_cover_one_day_after_any_gap() -> None:
    day = EventHistory()
    day.agent("ada")
    for contact in range(3):
        day.after(90 * 24 * 3600).submit(f"c{contact}")
    stats = day.workspace_stats()
    series = stats.intervals()
    assert len(series) == INTERVALS_MAX
    assert series[-1].start_ms + INTERVAL_MS > day.now_ms
    assert {
        one.start_ms - other.start_ms for one, other in zip(series[1:], series, strict=False)
    } == {INTERVAL_MS}
    assert stats.workspace_stats(day.now_ms).time.idle_ms == 3 * 90 * 24 * 3600 * SECOND
