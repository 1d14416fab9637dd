"""Shadow: submits, refusals and published policies, and the report. Equal policies are compared in ``tests/properties``."""

from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.policy import (
    CallbackPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    Selection,
)
from router.model.results import RefusalCode
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import (
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    published,
)


def test_the_shadows_entry_rules_classify_contacts_that_name_no_queue() -> None:
    facts = {"topic": FactPolicy(type=FactType.ENUM, values=("card", "loan"))}
    queues = {"support": a_queue(), "cards": a_queue()}
    live = a_policy(queues=queues, facts=facts, default_queue="support")
    card = EntryRule(
        name="card",
        when=EntryCondition(attributes={"topic": "card"}),
        queue="cards",
        priority_s=30,
        skills={"english": 2},
    )
    shadow = a_policy(queues=queues, facts=facts, default_queue="support", entry=(card,))
    beside = ShadowedEngine(live, shadow)
    asked = {"queue_id": None, "attributes": {"topic": "card"}}
    found = beside.do(a_contact("c1", **asked))
    assert [one.kind for one in found] == [K.QUEUE, K.REQUIREMENT, K.PRIORITY]
    assert {one.queue_id for one in found} == {"support"}
    assert {one.shadow_queue_id for one in found} == {"cards"}
    assert beside.do(a_contact("c2", attributes={"topic": "card"})) == [], "it named its queue"
    assert beside.do(a_contact("c3", queue_id=None, attributes={"topic": "loan"})) == []
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


def test_a_submit_that_the_live_policy_refuses_may_be_taken_by_the_shadow() -> None:
    beside = ShadowedEngine(a_policy_with_queue(length_max=0), a_policy())
    (found,) = beside.do(a_contact())
    assert (found.kind, found.why) == (K.TAKEN, ("queue_full",))
    assert found.shadow_queue_id == "support"
    assert beside.do(a_contact(queue_id="nowhere")) == [], "both refuse it"
    assert beside.shadow.report().submits == 2
    assert (
        beside.shadow.judge_refusal(
            a_contact(), RefusalCode.IDEMPOTENCY_KEY_REUSED, beside.world.at_ms
        )
        == []
    )


def test_a_callback_that_the_shadow_does_not_offer_is_refused_there() -> None:
    beside = ShadowedEngine(
        a_policy_with_queue(callback=CallbackPolicy()), a_policy(), *two_ready()
    )
    told = beside.do(a_contact("c1", callback=CallbackFields()), accepted("c1", "ada"))
    assert [(one.kind, one.why) for one in told] == [(K.REFUSED, ("callback_not_offered",))]
    assert beside.shadow.report().not_judged == 1


def test_when_the_shadow_policy_is_published_the_differences_end() -> None:
    shadow = a_policy_with_queue(selection=Selection.LEAST_FLEXIBLE)
    beside = ShadowedEngine(a_policy(), shadow, *two_ready(ada={"german": 3}))
    assert beside.do(a_contact()) != []
    beside.do(c.CancelContact(contact_id="c1"), published(shadow))
    before = beside.counts
    assert beside.do(a_contact("c2"), accepted("c2", "bob"), a_contact("c3")) == []
    assert beside.counts == before


def test_examples_are_bounded_and_totals_are_not() -> None:
    beside = ShadowedEngine(a_policy_with_queue(requires={"german": 1}), a_policy())
    beside.do(*(a_contact(f"c{number}") for number in range(120)))
    report = beside.shadow.report()
    assert report.differences == {"requirement": 120}
    assert [one.contact_id for one in report.examples["requirement"]][:1] == ["c20"]
    assert len(report.examples["requirement"]) == 100
