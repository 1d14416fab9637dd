"""Translation of live events: what a submit, an update, an offer or a requeue means under the shadow policy."""

from router.model import commands as c
from router.model.policy import EntryCondition, EntryRule, FactPolicy, FactType
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, after, two_ready
from tests.support.builders import a_channel, a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, not_ready, ready


def test_the_shadows_entry_rules_classify_contacts_that_name_no_queue() -> None:
    facts = {"topic": FactPolicy(type=FactType.ENUM, values=("card", "loan"))}
    queues = {"support": a_queue(), "cards": a_queue()}
    live = a_policy(queues=queues, facts=facts, default_queue="support")
    card = EntryRule(
        name="card", when=EntryCondition(attributes={"topic": "card"}), queue="cards", priority_s=30, skills={"english": 2}
    )
    shadow = a_policy(queues=queues, facts=facts, default_queue="support", entry=(card,))
    shadowed = ShadowedEngine(live, shadow)
    asked = {"queue_id": None, "attributes": {"topic": "card"}}
    found = shadowed.do(a_contact("c1", **asked))
    assert [one.kind for one in found] == [K.QUEUE, K.REQUIREMENT, K.PRIORITY]
    assert {one.queue_id for one in found} == {"support"}
    assert {one.shadow_queue_id for one in found} == {"cards"}
    assert shadowed.do(a_contact("c2", attributes={"topic": "card"})) == [], "it named its queue"
    assert shadowed.do(a_contact("c3", queue_id=None, attributes={"topic": "loan"})) == []
    # The other way round: skills added by the live rule are not taken for the contact's own.
    other = ShadowedEngine(shadow, live)
    other.do(a_contact("c1", **asked))
    mine = other.shadow.state.contacts["c1"]
    assert (mine.queue_id, mine.skills, mine.priority_s) == ("support", {}, 0)
    # An update changes the same values here as in reality, and no others.
    other.do(c.UpdateContact(contact_id="c1", priority_class=2))
    assert (mine.skills, mine.priority_s, mine.priority_class) == ({}, 0, 2)
    other.do(c.UpdateContact(contact_id="c1", priority_s=90))
    assert (mine.skills, mine.priority_s) == ({}, 90)


def test_an_item_uses_the_capacity_of_the_shadow_policy() -> None:
    channels = {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)}
    heavier = channels | {"chat": a_channel(units=60, per_agent_max=3)}
    shadowed = ShadowedEngine(a_policy(channels=channels), a_policy(channels=heavier), an_agent(), ready())
    shadowed.do(a_contact("c1", channel="chat"), accepted("c1", "ada"))
    assert shadowed.world.engine.agent("ada").units_used == 30  # type: ignore[union-attr]
    assert shadowed.shadow.state.agents["ada"].capacity.units_used == 60
    (found,) = shadowed.do(a_contact("c2", channel="chat"))
    assert (found.kind, found.why) == (K.NOT_ELIGIBLE, ("capacity",))


def test_a_declined_contact_keeps_its_queue_and_cools_down_as_the_shadow_says() -> None:
    shadowed = ShadowedEngine(a_policy_with_queue(cool_down_s=5), a_policy_with_queue(cool_down_s=60), *two_ready())
    shadowed.do(a_contact("c1"), c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    state = shadowed.shadow.state
    assert state.contacts["c1"].cool_downs == {"ada": state.at_ms + 60_000}


def test_a_contact_moved_by_a_supervisor_follows_in_both() -> None:
    queues = {"support": a_queue(), "sales": a_queue(requires={"german": 1})}
    shadowed = ShadowedEngine(a_policy(queues=queues), a_policy(queues=queues), a_contact("c1"))
    assert shadowed.do(c.RequeueContact(contact_id="c1", queue_id="sales")) == []
    assert shadowed.shadow.state.contacts["c1"].queue_id == "sales"


def test_a_contact_moved_to_a_queue_that_the_shadow_lacks_is_left_out_until_it_comes_back() -> None:
    live = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    shadowed = ShadowedEngine(live, a_policy(queues={"support": a_queue()}), a_contact("c1"))
    (found,) = shadowed.do(c.RequeueContact(contact_id="c1", queue_id="sales"))
    assert (found.kind, found.contact_id, found.queue_id, found.why) == (K.QUEUE, "c1", "sales", ("unknown_queue",))
    assert shadowed.shadow._state.excluded == {"c1"}
    assert shadowed.do(an_agent(), ready()) == [], "nothing is compared for it"
    assert shadowed.do(c.RequeueContact(contact_id="c1", queue_id="support")) == []
    assert not shadowed.shadow._state.excluded
    assert shadowed.shadow.state.contacts["c1"].queue_id == "support"


def test_a_transfer_that_waits_for_its_agent_and_returns_does_so_in_both() -> None:
    policy = a_policy_with_queue(cool_down_s=0)
    shadowed = ShadowedEngine(policy, policy, *two_ready(), a_contact("c1"), accepted("c1", "ada"), not_ready("bob"))
    transfer = c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada", wait_s=30, return_to_sender_s=20)
    assert shadowed.do(transfer) == []
    contact = shadowed.shadow.state.contacts["c1"]
    live = shadowed.world.engine.contact("c1")
    assert live is not None and live.requirement == "voice/support@bob"
    assert contact.preferred_agent_id == "bob"
    assert after(shadowed, 31) == []
    moved = shadowed.world.engine.contact("c1")
    assert moved is not None and moved.requirement == "voice/support@ada"
    assert shadowed.shadow.state.contacts["c1"].preferred_agent_id == "ada"
