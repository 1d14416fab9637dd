"""Publication of policies while contacts are offered."""

from router.model import commands as c
from router.model.results import RefusalCode
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, an_agent, published
from tests.support.engine_worlds import offers_of, with_agents
from tests.support.world import World


def test_an_offer_made_under_an_older_policy_cannot_be_accepted_where_it_no_longer_holds() -> None:
    """Lesson B6: pending offers are checked again when the policy changes, before any other command."""
    world = with_agents(World(a_policy()), ("ada",))
    world.done(a_contact())
    world.done(published(a_policy_with_queue(requires={"german": 3})))
    assert offers_of(world, "c1") == {}
    late = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert late.code is RefusalCode.OFFER_NOT_PENDING and late.state == "rescinded"
    world.done(an_agent(skills={"german": 3}))
    assert list(offers_of(world, "c1")) == ["ada"]
