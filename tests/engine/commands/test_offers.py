"""Offers: the first accept wins, and every offer ends in exactly one way."""

from router.model import commands as c
from router.model import events as e
from router.model.policy import RonaPolicy
from router.model.results import RefusalCode
from router.model.states import AgentState, OfferState
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, not_ready, ready
from tests.support.engine_worlds import accept, kinds, names, offers_of, owner_of, state_of, with_agents
from tests.support.world import World, a_world


def test_fifty_agents_accept_at_once_and_one_wins_and_none_is_left_reserved() -> None:
    """Lesson A1."""
    world = with_agents(World(a_policy_with_queue(broadcast=50)), names(50))
    world.done(a_contact())
    offers = offers_of(world, "c1")
    assert len(offers) == 50
    answers = {
        agent_id: world.do(c.AcceptOffer(offer_id=offer_id, agent_id=agent_id)).result for agent_id, offer_id in offers.items()
    }
    winner = next(iter(offers))
    assert owner_of(world, "c1") == winner
    losers = [answer for agent_id, answer in answers.items() if agent_id != winner]
    assert {getattr(answer, "code", None) for answer in losers} == {RefusalCode.OFFER_NOT_PENDING}
    assert not world.reference.pending_offers()
    for agent_id in offers:
        view = world.engine.agent(agent_id)
        assert view is not None
        assert view.units_used == (100 if agent_id == winner else 0)


def test_rona_ends_automatically_and_the_view_says_when() -> None:
    """Lessons A8 and F8."""
    policy = a_policy_with_queue(rona=RonaPolicy(return_after_s=20), cool_down_s=60)
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.later(15)
    view = world.engine.agent("ada")
    assert view is not None
    assert (view.state, view.reason) == (AgentState.NOT_READY, "rona")
    assert view.return_at_ms == world.at_ms + 20_000
    world.later(20)
    assert state_of(world, "ada") is AgentState.READY


def test_a_declined_contact_is_not_offered_to_the_only_agent_repeatedly() -> None:
    """Lesson A13."""
    world = a_world(a_policy_with_queue(cool_down_s=30), an_agent(), ready(), a_contact())
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert not any(isinstance(one, e.OfferMade) for one in world.later(29))
    assert kinds(world.later(1)) == ["OfferMade"]


def test_the_second_accept_is_refused_with_the_deciding_event() -> None:
    """Lesson B1."""
    world = with_agents(World(a_policy_with_queue(broadcast=2)), ("ada", "bob"))
    world.done(a_contact())
    accept(world, "c1", "bob")
    refused = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert refused.code is RefusalCode.OFFER_NOT_PENDING
    assert refused.seq == world.reference.offers["c1.1"].end_seq


def test_a_repeated_successful_accept_gets_the_first_answer() -> None:
    """Lesson B1."""
    world = a_world(None, an_agent(), ready(), a_contact())
    first = world.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada")).result
    again = world.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada")).result
    assert getattr(again, "replayed", None) is True
    assert getattr(again, "seq", 0) == getattr(first, "seq", -1)


def test_capacity_is_taken_when_the_offer_is_made_across_all_queues() -> None:
    """Lesson B2."""
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    world = a_world(policy, an_agent(), ready())
    world.done_all(a_contact("c1"), a_contact("c2", queue_id="sales"))
    assert list(offers_of(world, "c1")) == ["ada"]
    assert offers_of(world, "c2") == {}


def test_other_offers_of_a_broadcast_end_only_after_an_accept() -> None:
    """Lesson B4."""
    world = with_agents(World(a_policy_with_queue(broadcast=3)), ("ada", "bob", "cy"))
    world.done(a_contact())
    world.done(c.DeclineOffer(offer_id=offers_of(world, "c1")["ada"], agent_id="ada"))
    assert set(offers_of(world, "c1")) == {"bob", "cy"}


def test_each_way_an_offer_ends_has_its_own_name() -> None:
    world = a_world(a_policy_with_queue(cool_down_s=0, rona=RonaPolicy(not_ready=False)))
    world.done_all(an_agent(), ready(), a_contact())
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada", reason="busy"))
    world.later(15)
    world.done_all(not_ready(), ready())
    accept(world, "c1", "ada")
    ends = [world.reference.offers[f"c1.{number}"].state for number in range(1, 5)]
    assert ends == [OfferState.DECLINED, OfferState.EXPIRED, OfferState.RESCINDED, OfferState.ACCEPTED]


def test_an_agent_who_never_answers_becomes_not_ready_after_one_offer() -> None:
    """Lesson A10: offers that fail in the same way do not repeat, and each end has a reason."""
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.later(3_600)
    assert sum(isinstance(one, e.OfferMade) for one in events) == 0
    (expired,) = [one for one in events if isinstance(one, e.OfferExpired)]
    assert expired.reason == "no_answer"
    view = world.engine.agent("ada")
    assert view is not None and (view.state, view.reason) == (AgentState.NOT_READY, "rona")


def test_an_agent_who_does_not_answer_becomes_not_ready_with_a_reason() -> None:
    """Lesson F8: the agent becomes not ready at the deadline of the offer, not before."""
    world = a_world(a_policy_with_queue(rona=RonaPolicy(not_ready=True)), an_agent(), ready())
    world.done(a_contact())
    world.later(14)
    assert state_of(world, "ada") is AgentState.READY
    world.later(1)
    assert state_of(world, "ada") is AgentState.NOT_READY
