"""Progress display of a load test."""

from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from router.client import CachedAgent
from router.client.state import CachedAssignment
from router.loadtest.live_view import QUEUES_SHOWN_MAX, status_board, status_line, time_of_day
from router.loadtest.session import LoadTestSession
from router.model.states import AgentState, AssignmentState
from router.model.views import QueueView
from router.statistics.service_level import ServiceLevelCounts
from tests.loadtest.histories import a_tracker


def an_agent(agent_id: str, state: AgentState, *, busy: bool = False) -> CachedAgent:
    agent = CachedAgent(agent_id=agent_id, state=state)
    if busy:
        agent.assignments["c1.1"] = CachedAssignment(
            assignment_id="c1.1",
            contact_id="c1",
            state=AssignmentState.ACTIVE,
            channel="voice",
            queue_id="calls",
            started_at_ms=0,
            wrap_up_deadline_ms=None,
            attributes={},
            reference=None,
        )
    return agent


def a_session(queues: int = 1) -> LoadTestSession:
    """Return what the display reads of a session."""
    agents = [
        an_agent("ada", AgentState.READY),
        an_agent("bob", AgentState.READY, busy=True),
        an_agent("eve", AgentState.NOT_READY),
    ]
    views = [QueueView(queue_id=f"queue-{n}", is_open=True, waiting=2, offered=0, assigned=1) for n in range(queues)]
    tracker = a_tracker("c1", "c2")
    tracker.latencies_s = [0.001, 0.002, 0.009]
    monitor = SimpleNamespace(
        supervisor=SimpleNamespace(
            workspace=SimpleNamespace(
                agents={agent.agent_id: agent for agent in agents}, queues={view.queue_id: view for view in views}
            )
        ),
        service_level_counts=ServiceLevelCounts(),
        service_level=0.5,
        ended_count=1,
        recent=[(28_800_000, "ada accepts c1")],
    )
    session = SimpleNamespace(
        tracker=tracker,
        monitor=monitor,
        clock=SimpleNamespace(now_ms=28_872_000, speed=60),
        agents={agent.agent_id: None for agent in agents},
    )
    return cast(LoadTestSession, session)


def text_of(session: LoadTestSession) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(status_board(session))
    return captured.get()


@pytest.mark.parametrize(("day_ms", "text"), [(0, "00:00:00"), (28_872_000, "08:01:12"), (90_000_000, "01:00:00")])
def test_a_time_of_the_day_has_hours_minutes_and_seconds(day_ms: int, text: str) -> None:
    assert time_of_day(day_ms) == text


def test_the_status_line_has_the_state_of_contacts_and_agents() -> None:
    line = status_line(a_session())
    for part in ("08:01:12", "submitted 2 of 2", "waiting 2", "ready 1", "busy 1", "50.0%"):
        assert part in line
    assert "submit→offer 2.0 ms" in line


def test_the_board_lists_queues_and_the_latest_events() -> None:
    board = text_of(a_session())
    assert "queue-0" in board
    assert "08:00:00  ada accepts c1" in board


def test_the_board_limits_the_number_of_queues() -> None:
    assert "… and 3 more" in text_of(a_session(QUEUES_SHOWN_MAX + 3))
