"""Requeueing, transfers and assignments by a supervisor."""

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.results import RefusalCode
from router.model.states import ContactState
from tests.support.builders import a_channel, a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, not_ready, ready
from tests.support.engine_worlds import accept, kinds, offers_of, owner_of, with_agents
from tests.support.world import World, a_world


@pytest.mark.parametrize("state", ["queued", "offered", "assigned", "on_hold"])
@pytest.mark.parametrize("act", ["requeue", "end", "assign"])
def test_a_supervisor_can_move_or_end_any_live_contact(state: str, act: str) -> None:
    """Lesson A12."""
    world = a_world(None, an_agent("bob"), not_ready("bob"), a_contact())
    if state != "queued":
        world.done_all(an_agent(), ready())
    if state in ("assigned", "on_hold"):
        accept(world, "c1", "ada")
    if state == "on_hold":
        world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    acts: dict[str, c.Command] = {
        "requeue": c.RequeueContact(contact_id="c1"),
        "end": c.EndContact(contact_id="c1", reason="supervisor"),
        "assign": c.AssignContact(contact_id="c1", agent_id="bob"),
    }
    world.done(acts[act])
    view = world.engine.contact("c1")
    assert view is not None
    if act == "assign":
        assert (view.state, view.agent_id) == (ContactState.ASSIGNED, "bob")
    elif act == "end":
        assert view.state.is_terminal
    else:
        assert view.state in (ContactState.QUEUED, ContactState.OFFERED)


def test_an_assignment_by_a_supervisor_overrides_matching() -> None:
    """Lessons B5 and B7."""
    world = with_agents(World(a_policy()), ("ada", "bob"))
    world.done(a_contact())
    (offered,) = offers_of(world, "c1")
    other = "bob" if offered == "ada" else "ada"
    events = world.done(c.AssignContact(contact_id="c1", agent_id=other))
    assert isinstance(events[0], e.OfferRescinded)
    assert owner_of(world, "c1") == other
    refused = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id=offered))
    assert refused.code is RefusalCode.OFFER_NOT_PENDING


def test_a_transfer_releases_the_old_owner_before_matching() -> None:
    """Lesson C5."""
    world = with_agents(World(a_policy()), ("ada", "bob"))
    world.done(a_contact())
    (owner,) = offers_of(world, "c1")
    accept(world, "c1", owner)
    events = world.done(c.TransferContact(contact_id="c1", to_queue_id="support"))
    assert kinds(events) == ["ContactRequeued", "AssignmentCompleted", "OfferMade"]


def test_a_bridge_that_fails_after_the_accept_is_offered_again_at_once() -> None:
    """Lesson B4: other offers end only with the accept, and the next offer is in the same transaction."""
    world = with_agents(World(a_policy_with_queue(broadcast=2)), ("ada", "bob"))
    world.done(a_contact())
    accept(world, "c1", "ada")
    events = world.done(c.RequeueContact(contact_id="c1"))
    assert [one.agent_id for one in events if isinstance(one, e.OfferMade)] == ["bob"]


def test_bots_are_agents_and_a_conversation_has_one_of_them_or_a_person() -> None:
    """Lesson B8."""
    policy = a_policy(
        channels={"chat": a_channel(units=1, per_agent_max=100, auto_accept=True)},
        queues={"support": a_queue(), "people": a_queue()},
    )
    world = World(policy)
    for bot in ("bot1", "bot2"):
        world.done_all(an_agent(bot, queues=("support",)), ready(bot))
    world.done_all(an_agent("ada", queues=("people",)), ready("ada"))
    world.done(a_contact(channel="chat"))
    first = owner_of(world, "c1")
    other = "bot2" if first == "bot1" else "bot1"
    refused = world.refused(c.EndContact(contact_id="c1", agent_id=other))
    assert refused.code is RefusalCode.UNKNOWN_CONTACT
    events = world.done(c.TransferContact(contact_id="c1", to_queue_id="people", agent_id=first))
    assert sum(isinstance(one, e.OfferAccepted) for one in events) == 1
    assert owner_of(world, "c1") == "ada"
    late = world.refused(c.TransferContact(contact_id="c1", to_agent_id=other, agent_id=first))
    assert late.code is RefusalCode.UNKNOWN_CONTACT
