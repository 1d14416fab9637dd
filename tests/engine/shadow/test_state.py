"""State of a shadow: contacts that it would not have."""

from router.engine.shadow import Shadow
from router.model import commands as c
from router.model.events import OfferMade
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import a_channel, a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, ready
from tests.support.world import World


def test_a_contact_that_the_shadow_would_refuse_is_excluded() -> None:
    live = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    shadowed = ShadowedEngine(live, a_policy(), *two_ready())
    (found,) = shadowed.do(a_contact("c1", queue_id="sales"))
    assert (found.kind, found.why) == (K.REFUSED, ("unknown_queue",))
    report = shadowed.shadow.report()
    assert (report.offers, report.not_judged) == (1, 1)
    assert shadowed.do(accepted("c1", "ada"), a_contact("c2")) == []
    assert shadowed.shadow.report().same == 1, "ada is busy with it: bob under both"
    # A supervisor moves it to a queue that the shadow has.
    assert shadowed.do(c.RequeueContact(contact_id="c1", queue_id="support")) == []
    assert shadowed.shadow.state.contacts["c1"].queue_id == "support"


def test_work_of_a_channel_that_the_shadow_lacks_keeps_its_agent_busy() -> None:
    shadow = a_policy(channels={"voice": a_channel()})
    shadowed = ShadowedEngine(a_policy(), shadow, an_agent(), ready())
    (found,) = shadowed.do(a_contact("c1", channel="chat"))
    assert (found.kind, found.why) == (K.REFUSED, ("unknown_channel",))
    assert shadowed.do(accepted("c1", "ada"), a_contact("c2")) == []
    shadowed.do(c.EndContact(contact_id="c1", agent_id="ada"))
    assert shadowed.shadow.report().same == 1


def test_a_shadow_started_from_a_state_excludes_contacts_it_would_not_have() -> None:
    world = World(a_policy(queues={"support": a_queue(), "sales": a_queue(wait_max_s=5)}))
    world.done_all(a_contact("c1", queue_id="sales"), a_contact("c2"))
    shadow = Shadow.from_snapshot(world.engine.snapshot(), a_policy_with_queue(wait_max_s=60))
    assert shadow.compare_current_state() == []
    assert shadow.state.contacts["c2"].wait_until_ms == world.at_ms + 60_000
    events = world.done_all(an_agent(), ready())
    for first_seq, at_ms, record in world.records[-2:]:
        shadow.apply_record(record, first_seq, at_ms)
    assert [one.contact_id for one in events if isinstance(one, OfferMade)] == ["c1"]
    assert shadow.report().not_judged == 1
