"""State of the live statistics: targets, removed queues and agents, intervals, and snapshots that continue exactly."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.model.events import PolicyPublished
from router.model.policy import QueuePolicy
from router.model.states import AgentState
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion
from router.statistics.views import QueueStatsView
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import rows_of
from tests.support.event_history import POLICY, SECOND, EventHistory, RandomHistory, apply_all


def queue_of(history: EventHistory, queue_id: str = "a") -> QueueStatsView:
    found = history.workspace_stats().queue_stats(queue_id, history.now_ms)
    assert found is not None
    return found


def test_a_new_target_applies_to_later_contacts() -> None:
    day = EventHistory()
    for contact_id in ("c1", "c2"):
        day.submit(contact_id)
    day.after(30).answer("c1")
    queues = {**POLICY.queues, "a": POLICY.queues["b"]}
    day.write(PolicyPublished(version=2, policy=msgspec.structs.replace(POLICY, queues=queues)))
    day.answer("c2", "bob")
    assert queue_of(day).contacts.service_level == 0.5
    assert queue_of(day).threshold_ms == 60 * SECOND


def test_a_removed_queue_stays_in_the_totals() -> None:
    day = EventHistory()
    day.submit("c1", "b")
    work = day.after(5).answer("c1")
    day.end(work)
    day.wrap_up(work)
    queues = {"a": POLICY.queues["a"], "c": QueuePolicy()}
    day.write(PolicyPublished(version=2, policy=msgspec.structs.replace(POLICY, queues=queues)))
    day.after(5).complete(work)
    stats = day.workspace_stats()
    assert stats.queue_stats("b", day.now_ms) is None
    whole = stats.workspace_stats(day.now_ms)
    assert whole.contacts.asa_ms == 5 * SECOND
    assert whole.contacts.handling.handled == 1
    assert set(stats.queue_ids()) == {"a", "c"}


def test_the_time_of_a_removed_agent_stays_in_the_total() -> None:
    day = EventHistory()
    day.agent("ada")
    day.after(10).turn("ada", AgentState.READY, AgentState.OFFLINE)
    day.remove("ada")
    stats = day.workspace_stats()
    assert stats.agent_ids() == []
    whole = stats.workspace_stats(day.now_ms + 1000)
    assert whole.time.idle_ms == 10 * SECOND
    assert sum(whole.agents_by_activity.values()) == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), steps=st.integers(1, 120), share=st.floats(0, 1))
def test_a_restored_snapshot_continues_like_the_original(seed: int, steps: int, share: float) -> None:
    day = RandomHistory(seed)
    for _ in range(steps):
        day.step()
    events = day.history.events
    cut = round(share * len(events))
    first = WorkspaceStats()
    apply_all(first, events[:cut], first_seq=1)
    second = WorkspaceStats.restore(first.snapshot())
    apply_all(second, events[cut:], first_seq=cut + 1)
    assert figures(second, day.history.now_ms) == figures(day.history.workspace_stats(), day.history.now_ms)


def figures(stats: WorkspaceStats, now_ms: int) -> list[object]:
    """Return everything that can be read of the statistics; what is packed when does not matter."""
    found: list[object] = list(msgspec.msgpack.decode(stats.snapshot())[:-3])
    for by in Dimension:
        for interval in Interval:
            found += rows_of(stats, StatisticsQuestion(by, interval, to_ms=now_ms + 1), now_ms)
    return found


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x91\x01\x02", b"junk"])
def test_bytes_that_are_not_a_snapshot_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        WorkspaceStats.restore(data)


def test_a_snapshot_of_another_format_is_refused() -> None:
    snapshot = msgspec.msgpack.decode(WorkspaceStats().snapshot())
    snapshot[0] = 99
    with pytest.raises(ValueError, match="format 99"):
        WorkspaceStats.restore(msgspec.msgpack.encode(snapshot))


def test_a_queue_that_comes_back_begins_at_zero() -> None:
    day = EventHistory()
    day.submit("c1", "b")
    day.after(5).abandon("c1")
    without = msgspec.structs.replace(POLICY, queues={"a": POLICY.queues["a"]})
    day.write(PolicyPublished(version=2, policy=without))
    day.write(PolicyPublished(version=3, policy=POLICY))
    stats = day.workspace_stats()
    queue = stats.queue_stats("b", day.now_ms)
    assert queue is not None and queue.contacts.service.abandoned == 0
    assert stats.workspace_stats(day.now_ms).contacts.service.abandoned == 1
