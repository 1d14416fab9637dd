"""Views of a scope: what is in it, its totals, and what has changed."""

import asyncio
from collections.abc import Generator
from typing import Any

import msgspec

from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model.filters import SupervisorScope
from router.protocol.frames import ServerFrame
from router.runtime.workspace import QueryResult
from router.server.references import NO_REFERENCES
from router.server.ws.scoped_views import (
    AGENTS_PER_TURN,
    ScopedState,
    ScopedViews,
    _changes,
    in_scope,
    scoped_totals,
    workspace_state,
)
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, ready
from tests.support.virtual_time import in_virtual_time
from tests.support.world import World, a_world

SCOPE = SupervisorScope(queues=("support",), teams=("blue",))


def a_centre() -> World:
    """Ada of the blue team has a contact of either queue; bob is of no team."""
    world = a_world(
        a_policy(queues={"support": a_queue(), "sales": a_queue()}),
        *(an_agent("ada", team="blue", units=10_000, channel_max={"voice": 9}), ready("ada"), an_agent("bob"), ready("bob")),
    )
    for name, queue_id in (("c1", "support"), ("c2", "sales")):
        world.done_all(a_contact(name, queue_id=queue_id), c.AssignContact(contact_id=name, agent_id="ada"))
    return world


def state_of(world: World, scope: SupervisorScope = SCOPE) -> ScopedState:
    stats, agents = run_to_end(workspace_state(world.engine))
    return run_to_end(in_scope(scope, stats, agents))


def test_agents_of_the_teams_are_shown_without_the_work_of_other_queues() -> None:
    visible = state_of(a_centre())
    assert list(visible.agents) == ["ada"] and list(visible.queues) == ["support"]
    assert [work.contact_id for work in visible.agents["ada"].assignments] == ["c1"]
    only_queues = state_of(a_centre(), SupervisorScope(queues=("sales",)))
    assert list(only_queues.agents) == ["ada", "bob"]
    assert [work.contact_id for work in only_queues.agents["ada"].assignments] == ["c2"]


def test_totals_are_those_of_the_scope() -> None:
    world = a_centre()
    stats, agents = run_to_end(workspace_state(world.engine))
    totals = run_to_end(scoped_totals(stats, run_to_end(in_scope(SCOPE, stats, agents))))
    assert (totals.agents, totals.assignments_open, totals.agents_by_state["ready"]) == (1, 1, 1)
    assert (totals.counts.assigned, totals.counts.submitted, [one.queue_id for one in totals.queues]) == (1, 1, ["support"])


def test_a_change_is_what_differs_and_what_is_gone() -> None:
    world = a_centre()
    before = state_of(world)
    nothing = run_to_end(_changes(before, state_of(world)))
    assert not (nothing.agents or nothing.queues or nothing.removed_agents or nothing.removed_queues)
    world.done_all(c.UpdateAgent(agent_id="ada", team=None), c.UpdateAgent(agent_id="bob", team="blue"))
    changed = run_to_end(_changes(before, state_of(world)))
    assert ([one.agent_id for one in changed.agents], changed.removed_agents) == (["bob"], ["ada"])


def turns_of(query: Generator[None, None, Any]) -> int:
    """Run a query to its end and return its number of turns."""
    turns = 1
    try:
        while True:
            next(query)
            turns += 1
    except StopIteration:
        return turns


def test_many_agents_are_worked_on_in_turns() -> None:
    """What is left of a large centre after each turn, and how many turns there are."""
    world = a_centre()
    stats, [ada, _] = run_to_end(workspace_state(world.engine))
    agents = [msgspec.structs.replace(ada, agent_id=f"a{number}") for number in range(10 * AGENTS_PER_TURN)]
    read = iter(agents)
    making = in_scope(SCOPE, stats, read)
    next(making)
    assert len(list(read)) == 9 * AGENTS_PER_TURN
    visible = run_to_end(in_scope(SCOPE, stats, agents))
    assert len(visible.agents) == len(agents)
    assert turns_of(in_scope(SCOPE, stats, agents)) > 10
    assert turns_of(scoped_totals(stats, visible)) > 10
    assert turns_of(_changes(visible, visible)) > 20, "what differs, and what is gone"


class Lead:
    """A connection with a scope; ``takes_more`` is set by the test."""

    workspace, subprotocol = "main", "json"
    live = True

    def __init__(self, session_id: str, scope: SupervisorScope = SCOPE) -> None:
        self.session_id = session_id
        self.scope: SupervisorScope | None = scope
        self.takes_more = True
        self.frames: list[dict[str, Any]] = []

    def deliver(self, frame: bytes) -> None:
        self.frames.append(msgspec.json.decode(frame))

    @property
    def removed(self) -> list[str]:
        return [name for frame in self.frames for name in frame.get("removed_agents", ())]

    def seen(self, agent_id: str) -> list[dict[str, Any]]:
        return [view for frame in self.frames for view in frame.get("agents", ()) if view["agent_id"] == agent_id]


class Hub:
    """Encodes as JSON, counts what it encodes, and keeps tasks."""

    def __init__(self) -> None:
        self.encoded = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def encode(self, frame: ServerFrame, _subprotocol: str) -> bytes:
        self.encoded += 1
        return msgspec.json.encode(frame)

    def track_task(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)


class Queries:
    """Answers queries from the engine of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def query_in_slices(self, _workspace: str, query: Any) -> QueryResult[Any]:
        await asyncio.sleep(0)
        return QueryResult(value=run_to_end(query(self._world.engine)), history_id="h", seq=1, epoch=1, at_ms=1)


def views_of(world: World, hub: Hub, *leads: Lead) -> ScopedViews:
    """Return the views with leads who have been sent the present state."""
    queries: Any = Queries(world)
    views = ScopedViews(hub, queries, NO_REFERENCES, 1_000)
    for lead in leads:
        views.begin(lead, state_of(world, lead.scope or SCOPE))
    return views


@in_virtual_time
async def test_a_lead_who_reads_slowly_delays_no_other_and_gets_the_last_state() -> None:
    world, hub = a_centre(), Hub()
    slow, fast = Lead("slow"), Lead("fast")
    slow.takes_more = False
    views = views_of(world, hub, slow, fast)
    world.done_all(c.UpdateAgent(agent_id="bob", team="blue"))
    views.note_change("main")
    await asyncio.sleep(1.5)
    assert fast.seen("bob") and not slow.frames
    world.done_all(c.UpdateAgent(agent_id="bob", team=None))
    views.note_change("main")
    await asyncio.sleep(1.5)
    assert fast.removed == ["bob"] and not slow.frames, "the second update did not wait either"
    slow.takes_more = True
    await asyncio.sleep(3)
    assert slow.seen("bob") and slow.removed == ["bob"], "what was left out follows without a further change"


@in_virtual_time
async def test_leads_of_a_scope_share_the_work_of_an_update() -> None:
    world, hub = a_centre(), Hub()
    leads = [Lead(f"l{number}") for number in range(5)]
    views = views_of(world, hub, *leads)
    await asyncio.sleep(1.5)
    hub.encoded = 0
    world.done_all(c.UpdateAgent(agent_id="bob", team="blue"))
    views.note_change("main")
    await asyncio.sleep(1.5)
    assert all(len(lead.seen("bob")) == 1 for lead in leads) and hub.encoded == 1
