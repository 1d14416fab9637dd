"""Views of a scope: what is in it, its totals, and what has changed."""

from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model.filters import SupervisorScope
from router.server.ws.scoped_views import ScopedState, _changes, in_scope, scoped_totals, workspace_state
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, ready
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
    return in_scope(scope, stats, agents)


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
    totals = scoped_totals(stats, in_scope(SCOPE, stats, agents))
    assert (totals.agents, totals.assignments_open, totals.agents_by_state["ready"]) == (1, 1, 1)
    assert (totals.counts.assigned, totals.counts.submitted, [one.queue_id for one in totals.queues]) == (1, 1, ["support"])


def test_a_change_is_what_differs_and_what_is_gone() -> None:
    world = a_centre()
    before = state_of(world)
    nothing = _changes(before, state_of(world))
    assert not (nothing.agents or nothing.queues or nothing.removed_agents or nothing.removed_queues)
    world.done_all(c.UpdateAgent(agent_id="ada", team=None), c.UpdateAgent(agent_id="bob", team="blue"))
    changed = _changes(before, state_of(world))
    assert ([one.agent_id for one in changed.agents], changed.removed_agents) == (["bob"], ["ada"])
