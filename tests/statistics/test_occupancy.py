"""Definitions of agent activity, occupancy and utilisation, each checked with small numbers."""

from router.model.states import AgentState
from router.statistics.occupancy import AgentActivity, WorkforceTime, WorkTime, activity_of, concurrency, occupancy, utilisation


def test_an_agent_with_assignments_is_busy_in_any_state() -> None:
    assert activity_of(AgentState.NOT_READY, 1) is AgentActivity.BUSY
    assert activity_of(AgentState.OFFLINE, 1) is AgentActivity.BUSY
    assert activity_of(AgentState.READY, 0) is AgentActivity.IDLE
    assert activity_of(AgentState.NOT_READY, 0) is AgentActivity.NOT_READY
    assert activity_of(AgentState.OFFLINE, 0) is AgentActivity.OFFLINE


def test_occupancy_excludes_breaks_and_utilisation_includes_them() -> None:
    time = WorkTime()
    time.add(AgentActivity.BUSY, 600)
    time.add(AgentActivity.IDLE, 200)
    time.add(AgentActivity.NOT_READY, 400)
    time.add(AgentActivity.OFFLINE, 5_000)
    assert occupancy(time) == 0.75
    assert utilisation(time) == 0.5
    assert concurrency(1200, time) == 2.0


def test_workforce_time_is_agents_times_duration() -> None:
    force = WorkforceTime(agents_by_activity=[5, 1, 2, 3], since_ms=100)
    force.advance(110)
    assert force.time == WorkTime(10, 20, 30)
