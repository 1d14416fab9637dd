"""Matching after every command: freed agents, arriving contacts, and contacts that no agent can take."""

from router.model import commands as c
from router.model import events as e
from router.model.policy import Policy, WhenClosed
from router.model.states import ContactState, MatchTrigger
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
from tests.support.engine_worlds import accept, kinds, offers_of, with_agents
from tests.support.world import World, a_world


def test_an_unavailable_agent_does_not_block_routing() -> None:
    """Lesson A3."""
    world = with_agents(World(a_policy()), ("ada", "bob", "cy"))
    world.done_all(not_ready("ada"), not_ready("cy"))
    world.done_all(a_contact("c1"))
    assert list(offers_of(world, "c1")) == ["bob"]


def test_freed_capacity_goes_to_the_oldest_contact() -> None:
    """Lesson C1."""
    world = a_world(None, an_agent(), ready())
    world.done_all(*(a_contact(f"c{number}", channel="chat") for number in range(1, 4)))
    for number in range(1, 4):
        accept(world, f"c{number}", "ada")
    world.done_all(a_contact("c4", channel="chat"), a_contact("c5", channel="chat"))
    events = world.done(c.EndContact(contact_id="c2", agent_id="ada"))
    assert [one.contact_id for one in events if isinstance(one, e.OfferMade)] == ["c4"]


def test_an_agent_who_becomes_ready_gets_a_contact_in_the_same_transaction() -> None:
    """Lesson C2."""
    world = a_world(None, a_contact(), an_agent())
    events = world.done(ready())
    assert kinds(events) == ["AgentStateChanged", "OfferMade"]


def test_a_hundred_contacts_that_no_agent_can_take_block_no_other_contact() -> None:
    """Lesson C6."""
    world = a_world(None, an_agent(), ready())
    world.done_all(*(a_contact(f"c{n}", skills={"german": 9}, priority_s=600) for n in range(100)))
    world.done(a_contact("last", priority_s=-600))
    assert list(offers_of(world, "last")) == ["ada"]


def test_agents_freed_in_one_transaction_take_contacts_in_idle_order() -> None:
    needs_german = a_policy_with_queue(requires={"german": 1})
    world = with_agents(a_world(needs_german), ("bob", "ada"))
    world.done_all(a_contact("c1"), a_contact("c2"))
    events = world.done(published(a_policy_with_queue()))
    made = [(one.contact_id, one.agent_id) for one in events if isinstance(one, e.OfferMade)]
    assert made == [("c1", "bob"), ("c2", "ada")]


def test_an_arriving_contact_is_offered_without_entering_its_line() -> None:
    world = with_agents(a_world(), ("ada",))
    world.done(a_contact("c1"))
    contacts = world.engine._state.contacts
    assert (contacts["c1"].state, contacts["c1"].order_key) == (ContactState.OFFERED, 0)
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert contacts["c1"].state is ContactState.QUEUED and contacts["c1"].order_key != 0


def test_an_arriving_contact_of_a_broadcast_queue_waits_on_while_it_is_offered() -> None:
    world = with_agents(a_world(a_policy_with_queue(broadcast=2)), ("ada",))
    world.done(a_contact("c1"))
    contact = world.engine._state.contacts["c1"]
    assert contact.state is ContactState.OFFERED and contact.order_key != 0
    with_agents(world, ("bob",))
    assert set(offers_of(world, "c1")) == {"ada", "bob"} and contact.order_key == 0


def test_an_agent_whose_offer_interrupts_other_work_is_served_before_the_next_contact() -> None:
    channels = {
        "voice": a_channel(units=50, interrupts=("chat",)),
        "chat": a_channel(units=50, per_agent_max=2),
        "mail": a_channel(units=20),
    }
    world = a_world(
        a_policy(channels=channels, queues={"support": a_queue(when_closed=WhenClosed.WAIT), "chats": a_queue()}),
        an_agent(),
        ready(),
    )
    for name in ("c1", "c2"):
        world.done(a_contact(name, channel="chat", queue_id="chats"))
        accept(world, name, "ada")
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    world.done_all(a_contact("m1", channel="mail"), a_contact("v1"), a_contact("m2", channel="mail"))
    events = world.done(c.SetQueueOpen(queue_id="support", is_open=True))
    made = [(one.contact_id, one.match_trigger) for one in events if isinstance(one, e.OfferMade)]
    assert made == [("v1", MatchTrigger.CONTACT), ("m1", MatchTrigger.AGENT)], "m1 waits longer than m2"
    world.done(c.DeclineOffer(offer_id="m1.1", agent_id="ada"))
    assert list(offers_of(world, "m2")) == ["ada"]


def mails(*, auto_accept: bool = False) -> Policy:
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


def test_agents_that_an_offer_to_a_freed_agent_frees_come_before_the_next_contact() -> None:
    """Ada is freed by an offer to her, and takes a mail that was offered to bob; bob takes what has waited longest."""
    world = with_agents(a_world(mails(), an_agent("ada", skills={"german": 1}), ready("ada")), ("bob",))
    for name in ("c1", "c2"):
        world.done(a_contact(name, channel="chat", queue_id="chats", skills={"german": 1}))
        accept(world, name, "ada")
    world.done(a_contact("b1", channel="mail", queue_id="all"))
    assert list(offers_of(world, "b1")) == ["bob"]
    world.done_all(published(mails(auto_accept=True)), c.SetQueueOpen(queue_id="support", is_open=False))
    world.done_all(a_contact("m1", channel="mail"), a_contact("v1", skills={"german": 1}), a_contact("m2", channel="mail"))
    events = world.done(c.SetQueueOpen(queue_id="support", is_open=True))
    made = [(one.contact_id, one.agent_id) for one in events if isinstance(one, e.OfferMade)]
    assert made == [("v1", "ada"), ("b1", "ada"), ("m1", "bob")]


def test_agents_that_an_offer_to_a_freed_agent_frees_come_before_the_first_contact() -> None:
    world = with_agents(a_world(mails()), ("ada",))
    world.done(a_contact("last", channel="mail", priority_s=-600))
    accept(world, "last", "ada")
    with_agents(world, ("bob",))
    world.done_all(a_contact("b1", channel="mail", queue_id="all"), a_contact("m1", channel="mail"))
    assert list(offers_of(world, "b1")) == ["bob"]
    world.done(published(mails(auto_accept=True)))
    events = world.done(c.RequeueContact(contact_id="last"))
    made = [(one.contact_id, one.agent_id) for one in events if isinstance(one, e.OfferMade)]
    assert made == [("b1", "ada"), ("m1", "bob")]
