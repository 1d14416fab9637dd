"""Shadow matcher: offers compared with what the shadow would have made."""

from router.engine.shadow import Shadow
from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.policy import CallbackMode, CallbackPolicy, Policy, Selection, WhenClosed
from router.model.states import CallbackOutcome
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    published,
    ready,
)
from tests.support.world import World


def test_another_selection_chooses_another_agent() -> None:
    shadowed = ShadowedEngine(a_policy(), a_policy_with_queue(selection=Selection.LEAST_FLEXIBLE), *two_ready(ada={"german": 3}))
    (found,) = shadowed.do(a_contact())
    assert (found.kind, found.agent_id, found.shadow_agent_id) == (K.OTHER_AGENT, "ada", "bob")
    assert found.contact_id == "c1" and found.queue_id == "support"
    assert found.seq == shadowed.world.engine.seq
    report = shadowed.shadow.report()
    assert (report.submits, report.offers, report.same) == (1, 1, 0)
    assert report.queues["support"].differences == {"other_agent": 1}
    assert report.examples["other_agent"] == (found,)
    # Bob is free in reality: the next contact goes to bob under both policies.
    assert shadowed.do(a_contact("c2")) == []
    assert shadowed.shadow.report().same == 1


def test_another_priority_gives_the_agent_another_contact() -> None:
    live = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    shadow = a_policy(queues={"support": a_queue(), "sales": a_queue(priority_s=60)})
    shadowed = ShadowedEngine(live, shadow)
    assert shadowed.do(a_contact("c1")) == []
    shadowed.world.later(1)
    (rank,) = shadowed.do(a_contact("c2", queue_id="sales"))
    assert (rank.kind, rank.queue_id) == (K.PRIORITY, "sales")
    shadowed.do(an_agent())
    (found,) = shadowed.do(ready())
    assert (found.kind, found.contact_id, found.agent_id) == (K.OTHER_CONTACT, "c1", "ada")
    assert found.shadow_contact_id == "c2"


def test_an_ineligible_agent_is_reported_with_the_unmet_conditions() -> None:
    shadowed = ShadowedEngine(a_policy(), a_policy_with_queue(requires={"english": 3}), *two_ready(bob={"english": 5}))
    needs, found = shadowed.do(a_contact())
    assert needs.kind is K.REQUIREMENT
    assert (found.kind, found.agent_id) == (K.NOT_ELIGIBLE, "ada")
    assert (found.why, found.shadow_agent_id) == (("skill",), "bob")


def test_a_pair_that_only_the_shadow_would_have_made_is_reported_once() -> None:
    shadowed = ShadowedEngine(a_policy_with_queue(requires={"german": 3}), a_policy(), *two_ready())
    needs, found = shadowed.do(a_contact())
    assert needs.kind is K.REQUIREMENT
    assert (found.kind, found.contact_id, found.agent_id) == (K.SOONER, "c1", None)
    assert found.shadow_agent_id == "ada"
    assert shadowed.do(not_ready("bob"), ready("bob")) == []
    assert shadowed.counts == {"requirement": 1, "sooner": 1}


def test_a_customer_who_is_called_first_would_be_called_for_another_agent() -> None:
    def calling(selection: Selection) -> Policy:
        callback = CallbackPolicy(mode=CallbackMode.CUSTOMER_FIRST)
        return a_policy_with_queue(callback=callback, selection=selection)

    shadowed = ShadowedEngine(
        calling(Selection.LONGEST_IDLE), calling(Selection.HIGHEST_PROFICIENCY), *two_ready(ada={"english": 1}, bob={"english": 5})
    )
    found = shadowed.do(a_contact("c1", skills={"english": 1}, callback=CallbackFields()))
    assert [(one.kind, one.agent_id, one.shadow_agent_id) for one in found] == [(K.OTHER_AGENT, "ada", "bob")]
    done = c.ReportCallback(contact_id="c1", attempt=1, outcome=CallbackOutcome.CONNECTED)
    assert {one.kind for one in shadowed.do(done)} <= {K.OTHER_AGENT}


def test_the_present_state_is_compared_without_a_further_event() -> None:
    world = World(a_policy_with_queue(requires={"german": 3}))
    world.done_all(an_agent(), ready(), a_contact())
    shadow = Shadow.from_snapshot(world.engine.snapshot(), a_policy())
    (found,) = shadow.compare_current_state()
    assert (found.kind, found.contact_id, found.shadow_agent_id) == (K.SOONER, "c1", "ada")
    assert shadow.compare_current_state() == []


def test_an_agent_whose_offer_interrupts_other_work_comes_before_the_contacts_that_are_left() -> None:
    channels = {
        "voice": a_channel(units=50, interrupts=("chat",)),
        "chat": a_channel(units=50, per_agent_max=2),
        "mail": a_channel(units=20),
    }
    policy = a_policy(channels=channels, queues={"support": a_queue(when_closed=WhenClosed.WAIT), "chats": a_queue()})
    shadowed = ShadowedEngine(policy, policy, an_agent(), ready())
    for name in ("c1", "c2"):
        shadowed.do(a_contact(name, channel="chat", queue_id="chats"), accepted(name, "ada"))
    shadowed.do(c.SetQueueOpen(queue_id="support", is_open=False))
    shadowed.do(a_contact("m1", channel="mail"), a_contact("v1"), a_contact("m2", channel="mail"))
    assert shadowed.do(c.SetQueueOpen(queue_id="support", is_open=True)) == []
    report = shadowed.shadow.report()
    assert (report.offers, report.same, report.overdue) == (4, 4, 0)


def mails(*, auto_accept: bool) -> Policy:
    """Return a policy with one mail for each agent, and a broadcast queue of mails."""
    channels = {
        "voice": a_channel(units=50, interrupts=("chat",)),
        "chat": a_channel(units=50, per_agent_max=2),
        "mail": a_channel(units=20, per_agent_max=1),
    }
    queues = {
        "support": a_queue(when_closed=WhenClosed.WAIT),
        "chats": a_queue(),
        "all": a_queue(broadcast=2, auto_accept=auto_accept),
    }
    return a_policy(channels=channels, queues=queues)


def shadowed_mails(*commands: c.Command) -> ShadowedEngine:
    return ShadowedEngine(mails(auto_accept=False), mails(auto_accept=True), *commands)


GERMAN = {"german": 1}


def test_agents_that_an_offer_to_a_freed_agent_frees_come_before_the_next_contact() -> None:
    shadowed = shadowed_mails(an_agent(skills=GERMAN), ready())
    for name in ("c1", "c2"):
        shadowed.do(a_contact(name, channel="chat", queue_id="chats", skills=GERMAN), accepted(name, "ada"))
    shadowed.do(an_agent("bob"), ready("bob"), a_contact("b1", channel="mail", queue_id="all"))
    shadowed.do(published(mails(auto_accept=True)), c.SetQueueOpen(queue_id="support", is_open=False))
    shadowed.do(a_contact("m1", channel="mail"), a_contact("v1", skills=GERMAN), a_contact("m2", channel="mail"))
    before = shadowed.shadow.report()
    assert shadowed.do(c.SetQueueOpen(queue_id="support", is_open=True)) == []
    after_it = shadowed.shadow.report()
    assert (after_it.same - before.same, after_it.overdue - before.overdue) == (3, 0)


def test_agents_that_an_offer_to_a_freed_agent_frees_come_before_the_first_contact() -> None:
    shadowed = shadowed_mails(an_agent(), ready(), a_contact("last", channel="mail", priority_s=-600), accepted("last", "ada"))
    shadowed.do(an_agent("bob"), ready("bob"), a_contact("b1", channel="mail", queue_id="all"), a_contact("m1", channel="mail"))
    shadowed.do(published(mails(auto_accept=True)))
    before = shadowed.shadow.report()
    assert shadowed.do(c.RequeueContact(contact_id="last")) == []
    after_it = shadowed.shadow.report()
    assert (after_it.same - before.same, after_it.overdue - before.overdue) == (2, 0)
