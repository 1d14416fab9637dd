"""State of a shadow: contacts that it would not have."""

from router.engine.shadow import Shadow
from router.model import commands as c
from router.model.events import OfferMade
from router.model.policy import AtClosing, DerivePolicy, FactPolicy, FactType, Policy, StepPolicy
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


def with_first_step_for(condition: str) -> Policy:
    steps = (StepPolicy(duration_s=60, when=condition), StepPolicy(remove_skills=("german",)))
    derive = DerivePolicy(open_contacts=True)
    fact = FactPolicy(type=FactType.INT, applies_to="customer", derive=derive, refresh_while_waiting=True)
    queue = a_queue(requires={"german": 3}, plan="wider", at_closing=AtClosing.WAIT)
    return a_policy(queues={"support": queue}, plans={"wider": steps}, facts={"open": fact})


def test_a_step_ends_that_is_no_longer_for_the_customer() -> None:
    often, always = with_first_step_for("customer.open < 3"), with_first_step_for("customer.open < 300")
    start = an_agent(), ready(), a_contact(customer_facts={"open": 1})
    change = c.UpdateContact(contact_id="c1", customer_facts={"open": 5})
    same = ShadowedEngine(often, often, *start)
    assert same.do(change) == [] and same.shadow.report().same == 1
    step, offer = ShadowedEngine(often, always, *start).do(change)
    assert (step.kind, step.why, offer.kind) == (K.STEP, ("would_stay",), K.NOT_ELIGIBLE)
    step, offer = ShadowedEngine(always, often, *start).do(change)
    assert (step.kind, step.why, offer.kind) == (K.STEP, ("would_go_on",), K.SOONER)


def test_a_step_that_is_not_for_the_customer_ends_at_the_opening() -> None:
    often, always = with_first_step_for("customer.open < 3"), with_first_step_for("customer.open < 300")
    closed, opened = (c.SetQueueOpen(queue_id="support", is_open=one) for one in (False, True))
    change = c.UpdateContact(contact_id="c1", customer_facts={"open": 5})
    start = an_agent(), ready(), a_contact(customer_facts={"open": 1}), closed, change
    for live, shadow, why in ((often, often, ()), (often, always, ("would_stay",)), (always, often, ("would_go_on",))):
        shadowed = ShadowedEngine(live, shadow, *start)
        found = shadowed.do(opened)
        assert tuple(one.why[0] for one in found if one.kind is K.STEP) == why, (live is often, found)
