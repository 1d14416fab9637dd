"""Deadlines of a shadow: waits, steps and rate caps that end under one policy alone."""

from router.model import commands as c
from router.model.policy import AtNoAgents, Policy, QueuePolicy, RateCapPolicy, StepPolicy
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, after
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, offline, published, ready


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


OVERFLOWS = a_queue(no_agents_for_s=10, overflow_to="last", at_no_agents=AtNoAgents.OVERFLOW)
EXPIRES = a_queue(no_agents_for_s=10, at_no_agents=AtNoAgents.EXPIRE)


def without_agents(live: Policy, shadow: Policy, *contacts: c.Command) -> ShadowedEngine:
    return ShadowedEngine(live, shadow, an_agent(), ready(), not_ready(), *contacts)


def queues_of(**queues: QueuePolicy) -> Policy:
    return a_policy(queues=queues)


def test_queues_without_agents_are_left_in_the_order_of_their_checks() -> None:
    """Two queues are due in the same millisecond and the third admits one contact: the first queue's, not the oldest."""
    leave = queues_of(mid=OVERFLOWS, vip=OVERFLOWS, last=a_queue(length_max=1))
    contacts = a_contact("c1", queue_id="vip"), a_contact("c2", queue_id="mid")
    same = without_agents(leave, leave, *contacts)
    assert same.later(10) == [] and same.do(an_agent("eve")) == []
    (found,) = after(without_agents(queues_of(mid=a_queue(), vip=a_queue(), last=a_queue()), leave, *contacts), 10)
    assert (found.kind, found.contact_id, found.shadow_queue_id) == (K.OVERFLOW, "c2", "last")


def test_a_contact_passes_through_two_queues_without_agents_at_once() -> None:
    leave = queues_of(mid=OVERFLOWS, last=EXPIRES)
    shadowed = without_agents(queues_of(mid=a_queue(), last=a_queue()), leave, a_contact(queue_id="mid"))
    assert [one.kind for one in after(shadowed, 10)] == [K.OVERFLOW, K.EXPIRY]
    same = without_agents(leave, leave, a_contact(queue_id="mid"))
    assert same.later(10) == [] and same.do(an_agent("eve")) == []


def test_contacts_leave_a_queue_without_agents_in_turns_as_in_live_routing() -> None:
    leave = queues_of(mid=EXPIRES)
    contacts = [a_contact(f"c{number}", queue_id="mid") for number in range(300)]
    same = without_agents(leave, leave, *contacts)
    assert same.later(10) == [] and same.later(1) == []
    alone = without_agents(queues_of(mid=a_queue()), leave, *contacts)
    assert len(after(alone, 10)) == 256
    alone.later(0.001)
    assert len(alone.do(an_agent("bob"))) == 44


def test_a_queue_without_agents_is_looked_at_again_after_the_same_time() -> None:
    shadowed = without_agents(queues_of(mid=a_queue(), last=a_queue()), queues_of(mid=OVERFLOWS, last=a_queue()))
    shadowed.do(a_contact(queue_id="mid"), c.SetQueueOpen(queue_id="last", is_open=False))
    assert after(shadowed, 10) == [], "no queue admits it"
    shadowed.do(c.SetQueueOpen(queue_id="last", is_open=True))
    shadowed.later(9)
    assert shadowed.do(an_agent("bob")) == []
    shadowed.later(1)
    assert [one.kind for one in shadowed.do(an_agent("cy"))] == [K.OVERFLOW]


def test_an_advance_of_time_may_leave_a_queue_without_agents_to_the_next_one() -> None:
    """It fires 64 timers at most, so the shadow waits a second before it decides on its own."""
    leave = queues_of(mid=EXPIRES, last=a_queue())
    shadowed = without_agents(queues_of(mid=a_queue(), last=a_queue()), leave, a_contact("c1", queue_id="mid"))
    shadowed.do(a_contact("c2", queue_id="last", ttl_s=10), a_contact("c3", queue_id="last", ttl_s=11))
    records = shadowed.world.records
    known = len(records)
    shadowed.world.later(11)
    (first, second) = records[known:]
    assert shadowed.shadow.apply_record(first[2], first[0], first[1], cause="time.advance") == []
    (found,) = shadowed.shadow.apply_record(second[2], second[0], second[1], cause="time.advance")
    assert (found.kind, found.contact_id, found.at_ms) == (K.EXPIRY, "c1", first[1] + 1_000)


def test_a_contact_that_leaves_after_the_matching_of_its_transaction_is_no_difference() -> None:
    policy = queues_of(support=a_queue(no_agents_for_s=5, at_no_agents=AtNoAgents.EXPIRE))
    shadowed = ShadowedEngine(policy, policy, an_agent(), ready(), an_agent("bob"), ready("bob"), a_contact())
    shadowed.do(accepted("c1", "ada"), not_ready("bob"))
    shadowed.do(c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada", wait_s=20, return_to_sender_s=10))
    shadowed.do(offline())
    shadowed.world.jump(20)
    assert shadowed.do(published(policy)) == []
    view = shadowed.world.engine.contact("c1")
    assert view is not None and view.state == "expired"


def test_a_rate_cap_that_opened_before_a_check_lets_contacts_leave_for_its_agent() -> None:
    """The next queue takes a contact only where an agent is available, who has been since the cap opened."""
    cap = RateCapPolicy(contacts_max=1, window_s=60)
    channels = {"voice": a_channel(rate_cap=cap)}
    needs = a_queue(requires={"german": 1}, no_agents_for_s=10, overflow_to="last", at_no_agents=AtNoAgents.OVERFLOW)
    policy = a_policy(channels=channels, queues={"mid": needs, "last": a_queue(length_max=0)})
    shadowed = ShadowedEngine(policy, policy, an_agent(), ready(), a_contact("c1", queue_id="last"), accepted("c1", "ada"))
    shadowed.do(c.EndContact(contact_id="c1", agent_id="ada"), a_contact("c2", queue_id="mid"))
    assert shadowed.later(55) == []
    shadowed.world.jump(17)  # The cap opens after 60 s, the check that succeeds was due after 70 s.
    assert shadowed.do(an_agent("eve")) == []
    assert shadowed.world.engine.contact("c2").queue_id == "last"  # type: ignore[union-attr]
