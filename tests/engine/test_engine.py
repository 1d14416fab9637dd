"""The engine as a whole: counts, replay and automation."""

from router.model import commands as c
from router.model.policy import QueuePolicy
from tests.support.builders import a_contact, a_policy, an_agent, ready
from tests.support.engine_worlds import accept, owner_of, with_agents
from tests.support.world import World, a_world


def test_counters_are_the_sum_of_the_events_and_survive_a_replay() -> None:
    """Lesson B3."""
    world = with_agents(World(a_policy()), ("ada",))
    world.done_all(*(a_contact(f"c{number}") for number in range(4)))
    accept(world, "c0", "ada")
    world.done_all(
        c.EndContact(contact_id="c0", agent_id="ada"), c.CancelContact(contact_id="c2"), c.AbandonContact(contact_id="c3")
    )
    for engine in (world.engine, world.replayed()):
        counts = engine.workspace().counts
        assert (counts.submitted, counts.offered, counts.ended) == (4, 1, 1)
        assert (counts.cancelled, counts.abandoned, counts.queued) == (1, 1, 0)


def test_automation_that_other_routers_need_add_ons_for_is_built_in() -> None:
    """Lesson F9: automatic accept and wrap-up, transfers, and supervisors who end work and set capacity."""
    queue = QueuePolicy(auto_accept=True, wrap_up_s={"voice": 20})
    world = a_world(a_policy(queues={"support": queue, "sales": queue}), an_agent(), ready())
    world.done(a_contact())
    assert owner_of(world, "c1") == "ada"
    world.done(c.TransferContact(contact_id="c1", to_queue_id="sales", agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None and view.assignments[0].state == "wrap_up"
    world.done(c.CompleteAssignment(assignment_id="c1.1"))
    world.later(30)
    assert owner_of(world, "c1") == "ada", "the cool-down of ada is over"
    world.done(an_agent(units=0))
    world.done_all(c.EndContact(contact_id="c1"), a_contact("c2"))
    world.later(60)
    assert owner_of(world, "c2") is None
    world.done(an_agent(units=100))
    assert owner_of(world, "c2") == "ada"
