"""Deadlines of a shadow: waits, steps and rate caps that end under one policy alone."""

from router.model import commands as c
from router.model.policy import Policy, RateCapPolicy, StepPolicy
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, after
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, ready


def test_a_wait_ending_under_one_policy_only_is_reported() -> None:
    queues = {"support": a_queue(wait_max_s=10, overflow_to="sales"), "sales": a_queue()}
    live = a_policy(queues=queues)
    stays = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    (found,) = after(ShadowedEngine(live, stays, a_contact()), 10)
    assert (found.kind, found.why) == (K.OVERFLOW, ("would_stay",))
    assert (found.queue_id, found.shadow_queue_id) == ("support", "support")
    (found,) = after(ShadowedEngine(stays, live, a_contact()), 10)
    assert (found.kind, found.why) == (K.OVERFLOW, ("would_overflow",))
    assert (found.queue_id, found.shadow_queue_id) == ("support", "sales")
    assert after(ShadowedEngine(live, live, a_contact()), 10) == []
    expires = a_policy(queues={"support": a_queue(wait_max_s=10), "sales": a_queue()})
    (found,) = after(ShadowedEngine(expires, stays, a_contact()), 10)
    assert (found.kind, found.why) == (K.EXPIRY, ("would_stay",))
    (found,) = after(ShadowedEngine(stays, expires, a_contact()), 10)
    assert (found.kind, found.why) == (K.EXPIRY, ("would_expire",))


def test_plans_continue_under_their_own_policy() -> None:
    wider = (StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)))
    needs = a_queue(requires={"german": 3}, plan="wider")
    live = a_policy(queues={"support": needs}, plans={"wider": wider})
    slower = a_policy(
        queues={"support": needs}, plans={"wider": (StepPolicy(duration_s=60), StepPolicy(remove_skills=("german",)))}
    )
    shadowed = ShadowedEngine(live, slower, an_agent(), ready(), a_contact())
    step, offer = after(shadowed, 10)
    assert (step.kind, step.why) == (K.STEP, ("would_stay",))
    assert (offer.kind, offer.why) == (K.NOT_ELIGIBLE, ("skill",))
    shadowed = ShadowedEngine(slower, live, an_agent(), ready(), a_contact())
    step, offer = after(shadowed, 10)
    assert (step.kind, step.why) == (K.STEP, ("would_go_on",))
    assert (offer.kind, offer.shadow_agent_id) == (K.SOONER, "ada")


def test_plans_continue_under_a_broadcast() -> None:
    def wider(duration_s: int) -> Policy:
        steps = (StepPolicy(duration_s=duration_s), StepPolicy(remove_skills=("german",)))
        queue = a_queue(requires={"german": 3}, plan="wider", broadcast=2, offer_timeout_s=60)
        return a_policy(queues={"support": queue}, plans={"wider": steps})

    ringing = (an_agent(skills={"german": 3}), ready(), an_agent("bob"), ready("bob"), a_contact())
    assert after(ShadowedEngine(wider(10), wider(10), *ringing), 10) == []
    step, offer = after(ShadowedEngine(wider(10), wider(50), *ringing), 10)
    assert (step.kind, step.why) == (K.STEP, ("would_stay",))
    assert (offer.kind, offer.why) == (K.NOT_ELIGIBLE, ("skill",))
    step, offer = after(ShadowedEngine(wider(50), wider(10), *ringing), 11)
    assert (step.kind, step.why) == (K.STEP, ("would_go_on",))
    assert (offer.kind, offer.shadow_agent_id) == (K.SOONER, "bob")


def test_a_rate_cap_of_the_shadow_opens_without_an_event() -> None:
    channels = {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)}
    capped = channels | {"chat": a_channel(units=30, per_agent_max=3, rate_cap=RateCapPolicy(contacts_max=1, window_s=60))}
    shadowed = ShadowedEngine(a_policy(), a_policy(channels=capped), an_agent("ada"), ready("ada"))
    assert shadowed.do(a_contact("c1", channel="chat"), accepted("c1", "ada")) == []
    found = shadowed.do(a_contact("c2", channel="chat"), c.DeclineOffer(offer_id="c2.1", agent_id="ada"))
    assert [(one.kind, one.why) for one in found] == [(K.NOT_ELIGIBLE, ("rate_cap",))]
    shadowed.do(c.AbandonContact(contact_id="c2"))
    shadowed.later(59)
    assert shadowed.do(a_contact("c3", channel="chat"))[0].kind is K.NOT_ELIGIBLE
    shadowed.do(c.AbandonContact(contact_id="c3"))
    shadowed.later(1)
    assert shadowed.do(a_contact("c4", channel="chat")) == []
