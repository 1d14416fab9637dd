"""Shadow: submits, refusals and published policies, and the report. Equal policies are compared in ``tests/properties``."""

from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.policy import CallbackPolicy, Selection
from router.model.results import RefusalCode
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, published


def test_a_submit_that_the_live_policy_refuses_may_be_taken_by_the_shadow() -> None:
    shadowed = ShadowedEngine(a_policy_with_queue(length_max=0), a_policy())
    (found,) = shadowed.do(a_contact())
    assert (found.kind, found.why) == (K.TAKEN, ("queue_full",))
    assert found.shadow_queue_id == "support"
    assert shadowed.do(a_contact(queue_id="nowhere")) == [], "both refuse it"
    assert shadowed.shadow.report().submits == 2
    assert shadowed.shadow.judge_refusal(a_contact(), RefusalCode.IDEMPOTENCY_KEY_REUSED, shadowed.world.at_ms) == []


def test_a_callback_that_the_shadow_does_not_offer_is_refused_there() -> None:
    shadowed = ShadowedEngine(a_policy_with_queue(callback=CallbackPolicy()), a_policy(), *two_ready())
    found = shadowed.do(a_contact("c1", callback=CallbackFields()), accepted("c1", "ada"))
    assert [(one.kind, one.why) for one in found] == [(K.REFUSED, ("callback_not_offered",))]
    assert shadowed.shadow.report().not_judged == 1


def test_when_the_shadow_policy_is_published_the_differences_end() -> None:
    shadow = a_policy_with_queue(selection=Selection.LEAST_FLEXIBLE)
    shadowed = ShadowedEngine(a_policy(), shadow, *two_ready(ada={"german": 3}))
    assert shadowed.do(a_contact()) != []
    shadowed.do(c.CancelContact(contact_id="c1"), published(shadow))
    before = shadowed.counts
    assert shadowed.do(a_contact("c2"), accepted("c2", "bob"), a_contact("c3")) == []
    assert shadowed.counts == before
