"""Lessons about customers who are silent, who are away, and who had rather be called: one test a behaviour."""

from router.model import commands as c
from router.model.policy import LostDesktopAction
from router.model.states import ContactState
from tests.builders import a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, ready
from tests.core.world import World, a_world


def chats(**channel: object) -> World:
    """Two places for chats at each agent, no cool-down."""
    return a_world(
        a_policy(
            channels={"chat": a_channel(units=50, per_agent_max=2, **channel)},
            queues={"support": a_queue(cool_down_s=0)},
        )
    )


def taken(world: World, contact_id: str, agent_id: str) -> str:
    """A chat comes and that agent, the only one with room, accepts it; the assignment's id."""
    world.done(a_contact(contact_id, channel="chat"))
    world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id=agent_id))
    return f"{contact_id}.1"


def owner_of(world: World, contact_id: str) -> str | None:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.agent_id


def test_a_reply_to_an_agent_who_is_away_goes_to_somebody_who_is_there() -> None:
    """Lesson D2: where the channel says so; at his age, and the one who is away is done with it."""
    world = chats(unpark_away=LostDesktopAction.REQUEUE)
    world.all_done(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.all_done(not_ready("ada"), an_agent("bob"), ready("bob"))
    world.later(3_600)
    world.done(c.UnparkContact(contact_id="c1"))
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.OFFERED
    assert [offer.agent_id for offer in view.offers] == ["bob"]
    assert view.offers[0].waited_ms == 3_600_000
    ada = world.engine.agent("ada")
    assert ada is not None and not ada.assignments


def test_a_reply_to_an_agent_who_is_there_stays_his() -> None:
    """Lesson D2: only who is away loses it."""
    world = chats(unpark_away=LostDesktopAction.REQUEUE)
    world.all_done(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.UnparkContact(contact_id="c1"))
    assert owner_of(world, "c1") == "ada"


def test_silent_conversations_do_not_block_capacity() -> None:
    """Lesson F7: parked, they use none of it, and nothing of them is lost."""
    world = chats()
    world.all_done(an_agent("ada"), ready("ada"))
    silent = [taken(world, f"c{n}", "ada") for n in (1, 2)]
    world.done(a_contact("c3", channel="chat"))
    view = world.engine.contact("c3")
    assert view is not None and view.state is ContactState.QUEUED, "she has two already"
    for assignment_id in silent:
        world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.AcceptOffer(offer_id="c3.1", agent_id="ada"))
    ada = world.engine.agent("ada")
    assert ada is not None and ada.units_used == 50 and len(ada.assignments) == 3
    world.done(c.UnparkContact(contact_id="c1"))
    assert [owner_of(world, name) for name in ("c1", "c2", "c3")] == ["ada", "ada", "ada"]
