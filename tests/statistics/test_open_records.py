"""Live records: what keeps an agent busy, and what counts as handle time."""

from router.model.states import AgentState
from tests.support.event_history import SECOND, EventHistory


def test_two_simultaneous_chats_count_busy_time_once() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1", channel="chat")
    day.submit("c2", channel="chat")
    one = day.answer("c1")
    two = day.after(10).answer("c2")
    day.after(10).end(one)
    day.complete(one)
    day.after(10).end(two)
    day.complete(two)
    agent = day.workspace_stats().agent_stats("ada", day.now_ms)
    assert agent is not None
    assert agent.time.busy_ms == 30 * SECOND
    assert agent.handling.talk_ms == 40 * SECOND


def test_parked_time_is_counted_separately_and_is_not_busy() -> None:
    day = EventHistory()
    day.agent("ada")
    day.after(10).submit("c1", channel="chat")
    work = day.answer("c1")
    day.after(20).park(work)
    day.after(5).submit("c2", channel="chat")
    other = day.answer("c2")
    day.after(15).park(other)
    day.after(40).unpark(work)
    day.after(30).end(work)
    day.complete(work)
    day.after(50).end(other)
    day.wrap_up(other)
    day.after(6).complete(other)

    agent = day.workspace_stats().agent_stats("ada", day.now_ms)
    assert agent is not None
    assert (agent.assignments, agent.parked) == (0, 0)
    assert agent.time.busy_ms == (20 + 15 + 30 + 6) * SECOND
    assert agent.time.idle_ms == (10 + 5 + 40 + 50) * SECOND
    handling = agent.handling
    assert (handling.talk_ms, handling.wrap_up_ms) == ((20 + 30 + 15) * SECOND, 6 * SECOND)
    assert handling.parked_ms == (5 + 15 + 40 + 40 + 30 + 50) * SECOND
    assert agent.aht_ms == (65 + 6) * SECOND // 2


def test_completing_a_parked_assignment_leaves_the_agent_idle() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1")
    work = day.answer("c1")
    day.after(7).park(work)
    view = day.workspace_stats().agent_stats("ada", day.now_ms)
    assert view is not None
    assert (view.activity, view.assignments, view.parked) == ("idle", 0, 1)
    day.after(9).end(work)
    day.complete(work)
    view = day.after(1).workspace_stats().agent_stats("ada", day.now_ms)
    assert view is not None
    assert (view.activity, view.assignments, view.parked) == ("idle", 0, 0)
    assert (view.time.busy_ms, view.handling.parked_ms) == (7 * SECOND, 9 * SECOND)


def test_an_agent_on_break_is_busy_until_open_work_is_done() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1")
    work = day.answer("c1")
    day.after(10).turn("ada", AgentState.READY, AgentState.NOT_READY)
    day.after(10).end(work)
    day.complete(work)
    day.after(40)
    agent = day.workspace_stats().agent_stats("ada", day.now_ms)
    assert agent is not None
    assert (agent.time.busy_ms, agent.time.not_ready_ms) == (20_000, 40_000)
    assert agent.occupancy == 1.0
    assert agent.activity == "not_ready"
