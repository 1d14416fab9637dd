"""Views of contacts, agents, queues and the workspace."""

from router.model import commands as c
from router.model.policy import EntryCondition, EntryRule
from router.model.states import AssignmentRole
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World


def test_the_position_counts_all_waiting_lines_of_the_queue() -> None:
    world = World(a_policy())
    world.done_all(a_contact("c1"), a_contact("c2", skills={"german": 3}), a_contact("c3"))
    world.done_all(a_contact("urgent", priority_s=60))
    positions = {contact.contact_id: contact.position for contact in world.engine.contacts(queue_id="support")}
    assert positions == {"urgent": 1, "c1": 2, "c2": 3, "c3": 4}


def test_only_a_single_contact_has_its_expected_wait() -> None:
    world = World(a_policy())
    world.done_all(an_agent(), ready(), a_contact("c1"), a_contact("c2"))
    single = world.engine.contact("c2")
    assert single is not None and single.expected_wait is not None
    assert all(contact.expected_wait is None for contact in world.engine.contacts())


def test_an_agent_shows_used_capacity_and_available_channels() -> None:
    channels = {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)}
    world = World(a_policy(channels=channels))
    world.done_all(an_agent(), ready(), a_contact("c1", channel="chat"))
    agent = world.engine.agent("ada")
    assert agent is not None
    assert (agent.units, agent.units_used, agent.available_channels) == (100, 30, ("chat",))
    assert [offer.contact_id for offer in agent.offers] == ["c1"]


def test_a_conversation_shows_its_participants_with_their_roles() -> None:
    world = World(a_policy())
    world.done_all(an_agent("ada"), ready("ada"), a_contact(), c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    alone = world.engine.agent("ada")
    assert alone is not None and alone.assignments[0].members == {}
    world.done_all(an_agent("bob"), ready("bob"))
    world.done_all(c.AddParticipant(contact_id="c1", agent_id="bob"))
    owner = world.engine.agent("ada")
    assert owner is not None
    assert owner.assignments[0].members == {"ada": AssignmentRole.OWNER, "bob": AssignmentRole.PARTICIPANT}
    contact = world.engine.contact("c1")
    assert contact is not None and [one.agent_id for one in contact.participants] == ["bob"]


def test_a_queue_counts_each_available_agent_once() -> None:
    world = World(a_policy())
    world.done_all(an_agent("ada"), ready("ada"), an_agent("bob"))
    world.done_all(a_contact("c1", skills={"german": 9}), a_contact("c2", skills={"english": 9}))
    world.done_all(a_contact("c3", channel="chat", skills={"english": 9}))
    queue = world.engine.queue("support")
    assert queue is not None
    assert (queue.waiting, queue.agents_ready, queue.agents_available) == (3, 0, 0)
    world.done_all(an_agent("eve", skills={"german": 9}), ready("eve"))
    queue = world.engine.queue("support")
    assert queue is not None and (queue.waiting, queue.offered, queue.agents_ready) == (2, 1, 1)


def test_the_workspace_counts_every_contact_in_one_state() -> None:
    world = World(a_policy(queues={"support": a_queue(), "sales": a_queue()}))
    world.done_all(an_agent(), ready(), a_contact("c1"), a_contact("c2"), a_contact("c3"))
    world.done_all(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), c.AbandonContact(contact_id="c2"))
    view = world.engine.workspace()
    counts = view.counts
    assert (counts.submitted, counts.assigned, counts.abandoned, counts.queued) == (3, 1, 1, 1)
    assert [queue.queue_id for queue in view.queues] == ["support", "sales"]
    assert view.agents_by_state["ready"] == view.agents == 1
    assert (view.offers_pending, view.assignments_open) == (0, 1)


def test_entry_rules_show_their_matches() -> None:
    rule = EntryRule(name="chats", queue="support", when=EntryCondition(channel="chat"))
    world = World(a_policy(entry=(rule,), default_queue="support"))
    world.done_all(a_contact("c1", queue_id=None, channel="chat"), a_contact("c2", queue_id=None))
    view = world.engine.rules()
    assert (view.classified, view.default_queue_count) == (2, 1)
    assert [(one.name, one.matched, one.failed) for one in view.rules] == [("chats", 1, 0)]
