"""What two things at once must not do to each other: a queued state, an open offer, a forced assignment, a removed queue."""

from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, LostDesktopAction, RonaPolicy
from router.model.refusals import RefusalCode
from router.model.states import AgentState
from tests.builders import a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.core.world import World, a_world

OFFERS_RUN_ON = AgentsPolicy(rescind_when_not_ready=False)


def _an_agent_who_will_leave(**queue: object) -> World:
    """Ada has an offer of c1 and asked to go offline after work; the offer runs on."""
    policy = a_policy(queues={"support": a_queue(**queue)}, agents=OFFERS_RUN_ON)
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.OFFLINE, after_work=True))
    return world


def test_an_agent_who_is_given_the_contact_that_rings_at_him_stays_until_it_is_done() -> None:
    world = _an_agent_who_will_leave()
    world.done(c.AssignContact(contact_id="c1", agent_id="ada"))
    agent = world.engine.agent("ada")
    assert agent is not None
    assert (agent.state, agent.next_state) == (AgentState.READY, AgentState.OFFLINE)
    world.done(c.EndContact(contact_id="c1"))
    agent = world.engine.agent("ada")
    assert agent is not None
    assert agent.state is AgentState.OFFLINE


def test_a_missed_offer_does_not_take_the_place_of_the_state_that_he_asked_for() -> None:
    world = _an_agent_who_will_leave(rona=RonaPolicy(return_after_s=20))
    world.later(60)
    agent = world.engine.agent("ada")
    assert agent is not None
    assert (agent.state, agent.reason) == (AgentState.OFFLINE, None)


def test_a_conversation_of_a_removed_queue_goes_back_to_the_queue_that_took_over() -> None:
    channels = {"voice": a_channel(lost_desktop=LostDesktopAction.REQUEUE)}
    both = a_policy(channels=channels, queues={"support": a_queue(), "vip": a_queue()})
    world = a_world(both, an_agent(), ready(), a_contact(queue_id="vip"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    without = a_policy(channels=channels, queues={"support": a_queue()})
    assert world.refused(published(without)).code is RefusalCode.DRAIN_REQUIRED
    world.done(published(without, drain_to={"vip": "support"}))
    (requeued, *_) = world.done(c.RequeueContact(contact_id="c1"))
    assert isinstance(requeued, e.ContactRequeued)
    assert requeued.queue_id == "support"
