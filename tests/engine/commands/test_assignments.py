"""Assignments that interact with other changes: a pending next state, an open offer, a supervisor's command, a removed queue."""

from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, LostDesktopAction, RonaPolicy
from router.model.results import RefusalCode
from router.model.states import AgentState
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.engine_worlds import accept
from tests.support.world import World, a_world

OFFERS_RUN_ON = AgentsPolicy(rescind_when_not_ready=False)


def _an_agent_who_will_leave(**queue: object) -> World:
    """Return a world in which ada has an offer of c1 and a pending next state; the offer continues."""
    policy = a_policy(queues={"support": a_queue(**queue)}, agents=OFFERS_RUN_ON)
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.OFFLINE, after_work=True))
    return world


def test_a_pending_next_state_waits_for_a_contact_that_is_assigned_while_offered() -> None:
    world = _an_agent_who_will_leave()
    world.done(c.AssignContact(contact_id="c1", agent_id="ada"))
    agent = world.engine.agent("ada")
    assert agent is not None
    assert (agent.state, agent.next_state) == (AgentState.READY, AgentState.OFFLINE)
    world.done(c.EndContact(contact_id="c1"))
    agent = world.engine.agent("ada")
    assert agent is not None
    assert agent.state is AgentState.OFFLINE


def test_a_missed_offer_does_not_replace_the_pending_next_state() -> None:
    world = _an_agent_who_will_leave(rona=RonaPolicy(return_after_s=20))
    world.later(60)
    agent = world.engine.agent("ada")
    assert agent is not None
    assert (agent.state, agent.reason) == (AgentState.OFFLINE, None)


def test_a_conversation_of_a_removed_queue_is_requeued_in_the_drain_queue() -> None:
    channels = {"voice": a_channel(lost_desktop=LostDesktopAction.REQUEUE)}
    both = a_policy(channels=channels, queues={"support": a_queue(), "vip": a_queue()})
    world = a_world(both, an_agent(), ready(), a_contact(queue_id="vip"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    without = a_policy(channels=channels, queues={"support": a_queue()})
    assert world.refused(published(without)).code is RefusalCode.DRAIN_TARGET_REQUIRED
    world.done(published(without, drain_to={"vip": "support"}))
    (requeued, *_) = world.done(c.RequeueContact(contact_id="c1"))
    assert isinstance(requeued, e.ContactRequeued)
    assert requeued.queue_id == "support"


def test_a_supervisor_releases_an_agent_whose_contact_never_ended() -> None:
    """Lesson A7."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    world.later(86_400)
    world.done(c.EndContact(contact_id="c1", reason="supervisor"))
    view = world.engine.agent("ada")
    assert view is not None and view.assignments == () and view.available_channels == ("voice", "chat")
