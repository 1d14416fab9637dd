"""Goals in the statistics of a large centre, whose history is packed."""

import pytest

from router.model.events import AgentUpdated, ContactGoal, GoalChanged
from router.model.states import GoalChange, GoalOutcome
from router.statistics.history_queries import Dimension, RowFilter
from router.statistics.questions import Interval, StatisticsQuestion
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import rows_of

HOUR_MS = 3_600_000
START_MS = 20_000 * 24 * HOUR_MS + 10 * HOUR_MS
QUEUES = 300


def a_large_centre() -> WorkspaceStats:
    """Return statistics in which each of 300 queues has counted one contact with a goal, four hours ago."""
    stats = WorkspaceStats()
    seq = 0
    for number in range(QUEUES):
        seq += 1
        goal = ContactGoal(
            goal="refund",
            outcome=GoalOutcome.DONE,
            set_at_ms=START_MS,
            queued_at_ms=START_MS,
            queue_id=f"queue-{number:03}",
            channel="voice",
            agent_id=f"agent-{number:03}",
            is_answered=True,
            ended_at_ms=START_MS,
            counted_at_ms=START_MS,
        )
        stats.apply(GoalChanged(contact_id=f"c{number}", change=GoalChange.COUNTED, goal=goal), seq, START_MS)
    for minute in range(1, 241):
        for _ in range(20):  # With each event a part of the history is packed.
            seq += 1
            stats.apply(AgentUpdated(agent_id="ada"), seq, START_MS + minute * 60_000)
    assert stats.history.packed_bytes
    return stats


@pytest.mark.parametrize(
    ("kept", "goals"),
    [
        (RowFilter(), QUEUES),
        (RowFilter(queue_id="queue-007"), 1),
        (RowFilter(queue_id="queue-299", channel="voice"), 1),
        (RowFilter(channel="voice"), QUEUES),
        (RowFilter(channel="chat"), 0),
        (RowFilter(queue_id="queue"), 0),
    ],
)
def test_goals_are_found_in_packed_spans(kept: RowFilter, goals: int) -> None:
    stats = a_large_centre()
    for interval in (Interval.QUARTER, Interval.DAY, Interval.TOTAL):
        question = StatisticsQuestion(Dimension.GOAL, interval, from_ms=START_MS, to_ms=START_MS + HOUR_MS, kept=kept)
        rows = rows_of(stats, question, stats.at_ms)
        assert sum(row.goals_done for row in rows) == goals, interval
        assert all(row.goal == "refund" for row in rows)
