"""Statistics of consults, conferences and warm transfers: one answer per contact, and handle time of all agents."""

from router.model import commands as c
from router.model.results import Done, Outcome
from router.simulator.audit.auditor import Auditor
from router.statistics.counters import OfferCounts
from router.statistics.views import AgentStatsView, ContactStatsView
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import a_channel, a_contact, a_policy, an_agent, ready
from tests.support.event_history import EventHistory
from tests.support.world import World, a_world


def a_conversation() -> World:
    """Return a world in which ``ada`` has answered after 5 s; ``bob`` and ``cy`` are free."""
    policy = a_policy(channels={"voice": a_channel(wrap_up_s=10)})
    world = a_world(policy, an_agent("ada"), ready("ada"), a_contact("c1"))
    world.later(5)
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(an_agent("bob"), ready("bob"), an_agent("cy"), ready("cy"))
    return world


def stats_of(world: World) -> tuple[ContactStatsView, dict[str, AgentStatsView]]:
    """Return the statistics of the queue and of each agent after all events."""
    stats = WorkspaceStats()
    for first_seq, at_ms, events in world.records:
        for seq, event in enumerate(events, first_seq):
            stats.apply(event, seq, at_ms)
    queue = stats.queue_stats("support", world.at_ms)
    assert queue is not None
    agents = {name: stats.agent_stats(name, world.at_ms) for name in stats.agent_ids()}
    assert WorkspaceStats.restore(stats.snapshot()).snapshot() == stats.snapshot()
    return queue.contacts, {name: one for name, one in agents.items() if one is not None}


def a_warm_transfer() -> World:
    """Run a warm transfer: 10 s alone, 20 s of consult, 30 s with bob, and 10 s of wrap-up each."""
    world = a_conversation()
    world.later(10)
    world.done(c.StartConsult(contact_id="c1", to_agent_id="bob"))
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    world.later(20)
    world.done(c.CompleteConsult(contact_id="c1"))
    world.later(30)
    world.done(c.EndContact(contact_id="c1"))
    world.later(10)
    return world


def test_a_warm_transfer_is_one_answer_and_one_transfer() -> None:
    queue, agents = stats_of(a_warm_transfer())
    assert (queue.service.answered, queue.asa_ms) == (1, 5_000)
    assert queue.flow.entered == queue.flow.submitted == 1
    assert (queue.handling.handled, queue.handling.transferred) == (2, 1)
    assert queue.handling.hold_ms == 20_000
    assert agents["ada"].handling.transferred == 1
    assert agents["bob"].handling.transferred == 0
    assert agents["bob"].aht_ms == 60_000
    assert agents["bob"].time.busy_ms == 60_000


def test_work_beside_the_owner_is_handle_time_but_not_a_handled_contact() -> None:
    world = a_conversation()
    world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
    world.done(c.StartConsult(contact_id="c1", to_agent_id="bob"))
    world.done(c.AcceptOffer(offer_id="c1.3", agent_id="bob"))
    world.later(15)
    world.done(c.CancelConsult(contact_id="c1"))
    world.later(5)
    world.done(c.EndContact(contact_id="c1"))
    world.later(10)
    queue, agents = stats_of(world)
    assert (queue.service.answered, queue.handling.handled) == (1, 1)
    assert queue.handling.transferred == 0
    # ada 20 s and 10 s of wrap-up, cy the same, bob 15 s.
    assert queue.aht_ms == 30_000 + 30_000 + 15_000
    assert agents["bob"].handling.handled == 1
    assert agents["bob"].aht_ms == agents["bob"].time.busy_ms == 15_000
    assert agents["cy"].aht_ms == 30_000


def test_a_hand_over_is_a_transfer_only_if_the_owner_made_it() -> None:
    for command, transferred in (
        (c.HandOverContact(contact_id="c1", to_agent_id="cy"), 1),
        (c.AssignContact(contact_id="c1", agent_id="cy"), 0),
    ):
        world = a_conversation()
        world.done(c.AddParticipant(contact_id="c1", agent_id="cy"))
        world.done(command)
        queue, _ = stats_of(world)
        assert queue.handling.transferred == transferred


def test_an_accept_counts_up_for_the_agent_who_accepts_and_for_no_other() -> None:
    world = a_conversation()
    _, agents = stats_of(world)
    assert agents["ada"].offers == OfferCounts(made=1, accepted=1)
    assert agents["ada"].rona_rate == 0.0
    assert agents["bob"].offers == agents["cy"].offers == OfferCounts()
    world.done(c.StartConsult(contact_id="c1", to_agent_id="bob"))
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    queue, agents = stats_of(world)
    assert agents["ada"].offers == agents["bob"].offers == OfferCounts(made=1, accepted=1)
    assert (queue.offers.made, queue.offers.accepted) == (2, 2)


def test_each_end_of_an_offer_counts_once_for_its_agent() -> None:
    day = EventHistory()
    day.agent("ada")
    day.submit("c1")
    day.accept(day.offer("c1"))
    for end in (day.decline, day.expire_offer, day.rescind):
        contact_id = f"c-{end.__name__}"
        day.submit(contact_id)
        end(day.offer(contact_id))
    stats = day.workspace_stats()
    ada, queue = stats.agent_stats("ada", day.now_ms), stats.queue_stats("a", day.now_ms)
    assert ada is not None and queue is not None
    expected = OfferCounts(made=4, accepted=1, declined=1, expired=1, rescinded=1)
    assert ada.offers == queue.contacts.offers == expected
    assert ada.rona_rate == 1 / 3


def test_the_audit_agrees() -> None:
    world = a_warm_transfer()
    world.done(a_contact("c2"))
    auditor = Auditor()
    for first_seq, at_ms, events in world.records:
        answer = Done(subject="", state="", seq=0)
        auditor.on_outcome(c.AdvanceTime(), Outcome(result=answer, first_seq=first_seq, at_ms=at_ms, events=events))
    auditor.close(1)
    assert auditor.violations == []
    assert auditor.checks > 20
