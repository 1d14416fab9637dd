"""Queue of an agent's work: whose wrap-up, dispositions, timeouts and statistics apply, for each way of taking a contact."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine
from router.engine.state.records import WORK_QUEUES
from router.model import events as e
from router.model.commands import (
    AcceptOffer,
    AddParticipant,
    AssignContact,
    CompleteAssignment,
    CompleteConsult,
    ConnectDesktop,
    EndContact,
    HandOverContact,
    JoinConsult,
    LoseDesktop,
    PutAgent,
    RequeueContact,
    StartConsult,
    TransferContact,
)
from router.model.policy import AgentsPolicy, ChannelPolicy, LostDesktopAction, QueuePolicy
from router.model.results import RefusalCode
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.world import World, a_world


def a_centre() -> World:
    """Return a world in which Ada owns c1 of ``support``; Bob and Cleo serve ``billing``, with other settings."""
    queues = {
        "support": QueuePolicy(wrap_up_s={"voice": 10}, dispositions=("solved",), offer_timeout_s=15),
        "billing": QueuePolicy(wrap_up_s={"voice": 60}, dispositions=("paid",), offer_timeout_s=40),
    }
    channels = {"voice": ChannelPolicy(lost_desktop=LostDesktopAction.REQUEUE)}
    world = a_world(a_policy(queues=queues, channels=channels, agents=AgentsPolicy(desktop_grace_s=5)))
    world.done_all(an_agent("ada", queues=("support",)), ready("ada"), ConnectDesktop(agent_id="ada", session_id="s1"))
    world.done_all(a_contact("c1"), AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(an_agent("bob", queues=("billing",)), ready("bob"))
    return world


def by_offer(world: World) -> None:
    world.done_all(RequeueContact(contact_id="c1", queue_id="billing"), AcceptOffer(offer_id="c1.2", agent_id="bob"))


def by_transfer_to_the_queue(world: World) -> None:
    world.done(TransferContact(contact_id="c1", to_queue_id="billing", agent_id="ada"))
    world.done(AcceptOffer(offer_id="c1.2", agent_id="bob"))


def by_transfer_to_the_agent(world: World) -> None:
    world.done(TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada"))
    world.done(AcceptOffer(offer_id="c1.2", agent_id="bob"))


def by_assignment(world: World) -> None:
    world.done(AssignContact(contact_id="c1", agent_id="bob"))


def consulted(world: World, **target: str) -> None:
    world.done_all(StartConsult(contact_id="c1", **target), AcceptOffer(offer_id="c1.2", agent_id="bob"))


def by_consult_of_the_agent(world: World) -> None:
    consulted(world, to_agent_id="bob")
    world.done(CompleteConsult(contact_id="c1", agent_id="ada"))


def by_consult_of_the_queue(world: World) -> None:
    consulted(world, to_queue_id="billing")
    world.done(CompleteConsult(contact_id="c1", agent_id="ada"))


def by_hand_over_in_a_conference(world: World) -> None:
    consulted(world, to_queue_id="billing")
    world.done_all(JoinConsult(contact_id="c1"), HandOverContact(contact_id="c1", to_agent_id="bob"))


def by_assignment_of_a_participant(world: World) -> None:
    consulted(world, to_queue_id="billing")
    world.done_all(JoinConsult(contact_id="c1"), AssignContact(contact_id="c1", agent_id="bob"))


def by_a_lost_desktop(world: World) -> None:
    consulted(world, to_queue_id="billing")
    world.done_all(JoinConsult(contact_id="c1"), LoseDesktop(agent_id="ada", session_id="s1"))
    world.later(5)


def by_hand_over_to_an_added_agent(world: World) -> None:
    world.done_all(AddParticipant(contact_id="c1", agent_id="bob"), HandOverContact(contact_id="c1", to_agent_id="bob"))


@pytest.mark.parametrize(
    ("take", "queue_id"),
    [
        (by_offer, "billing"),
        (by_transfer_to_the_queue, "billing"),
        (by_transfer_to_the_agent, "support"),
        (by_assignment, "support"),
        (by_consult_of_the_agent, "support"),
        (by_consult_of_the_queue, "billing"),
        (by_hand_over_in_a_conference, "billing"),
        (by_assignment_of_a_participant, "billing"),
        (by_a_lost_desktop, "billing"),
        (by_hand_over_to_an_added_agent, "support"),
    ],
)
def test_the_work_belongs_to_the_queue_through_which_the_agent_was_reached(take: Callable[[World], None], queue_id: str) -> None:
    world = a_centre()
    take(world)
    view = world.engine.contact("c1")
    assert view is not None and (view.agent_id, view.queue_id) == ("bob", queue_id)
    world.later(30)
    wrap_up = next(event for event in world.done(EndContact(contact_id="c1")) if isinstance(event, e.WrapUpStarted))
    wrap_up_s, valid, other = (60, "paid", "solved") if queue_id == "billing" else (10, "solved", "paid")
    assert (wrap_up.agent_id, wrap_up.deadline_ms) == ("bob", world.at_ms + 1000 * wrap_up_s)
    world.later(5)
    refused = world.refused(CompleteAssignment(assignment_id=wrap_up.assignment_id, agent_id="bob", disposition=other))
    assert (refused.code, refused.field) == (RefusalCode.INVALID_VALUE, "disposition")
    world.done(CompleteAssignment(assignment_id=wrap_up.assignment_id, agent_id="bob", disposition=valid))
    # Ada answered it in ``support``; Bob's 35 seconds are handle time of the queue of Bob's work.
    world.later(60)
    stats = WorkspaceStats()
    for first_seq, at_ms, events in world.records:
        for seq, event in enumerate(events, start=first_seq):
            stats.apply(event, seq, at_ms)
    found = {name: stats.queue_stats(name, world.at_ms) for name in ("support", "billing")}
    support, billing = found["support"], found["billing"]
    assert support is not None and support.contacts.service.answered == 1
    mine = billing if queue_id == "billing" else support
    assert mine is not None and mine.contacts.handling.handled == (1 if queue_id == "billing" else 2)
    assert (support.assigned, 0 if billing is None else billing.assigned) == (0, 0)
    assert Engine.restore(world.engine.snapshot()).digest() == world.replayed().digest() == world.engine.digest()


def test_the_offer_of_a_consult_has_the_settings_of_the_consulted_queue() -> None:
    world = a_centre()
    made = world.done(StartConsult(contact_id="c1", to_queue_id="billing"))[0]
    assert isinstance(made, e.OfferMade)
    assert (made.queue_id, made.to_queue_id, made.deadline_ms - world.at_ms) == ("billing", "billing", 40_000)


def test_every_way_of_taking_a_contact_has_a_row() -> None:
    assert set(WORK_QUEUES) == {"offer", "transfer", "consult of an agent", "consult of a queue", "assign", "add", "hand over"}


# --- offers that the agent no longer qualifies for ----------------------------------------------------------------------
Change = Callable[[World], list[e.Event]]


def _record(**changes: object) -> Change:
    return lambda world: world.done(PutAgent(agent_id="bob", **{"queues": ("billing",), **changes}))  # type: ignore[arg-type]


def _policy(**changes: object) -> Change:
    def publish(world: World) -> list[e.Event]:
        policy = world.engine.policy
        assert policy is not None
        return world.done(published(replace(policy, **changes)))

    return publish


@pytest.mark.parametrize(
    "change",
    [
        _record(queues=("support",)),
        _record(units=50),
        _record(channel_max={"voice": 0}),
        _policy(agents=AgentsPolicy(units=50)),
        _policy(queues={"support": QueuePolicy(), "billing": QueuePolicy(requires={"billing": 3})}),
        _policy(queues={"support": QueuePolicy()}),
        lambda world: world.done(not_ready("bob")),
    ],
    ids=["queue", "units", "channel_max", "units of the policy", "required skill", "queue removed", "not ready"],
)
def test_a_pending_consult_of_a_queue_ends_when_its_agent_no_longer_qualifies(change: Change) -> None:
    world = a_centre()
    world.done(StartConsult(contact_id="c1", to_queue_id="billing"))
    events = change(world)
    assert [event.agent_id for event in events if isinstance(event, e.OfferRescinded)] == ["bob"]
    assert world.refused(AcceptOffer(offer_id="c1.2", agent_id="bob")).code is RefusalCode.OFFER_NOT_PENDING


def test_less_capacity_than_the_present_work_ends_the_latest_offers() -> None:
    channels = {"chat": ChannelPolicy(units=30, per_agent_max=3)}
    world = a_world(a_policy(channels=channels, queues={"support": QueuePolicy()}))
    world.done_all(an_agent(), ready(), *(a_contact(f"c{n}", channel="chat") for n in (1, 2, 3)))
    world.done(AcceptOffer(offer_id="c1.1", agent_id="ada"))
    events = world.done(an_agent(channel_max={"chat": 2}))
    assert [event.offer_id for event in events if isinstance(event, e.OfferRescinded)] == ["c3.1"]
    fewer = {"chat": ChannelPolicy(units=30, per_agent_max=3)}
    events = world.done(published(a_policy(channels=fewer, queues={"support": QueuePolicy()}, agents=AgentsPolicy(units=40))))
    assert [event.offer_id for event in events if isinstance(event, e.OfferRescinded)] == ["c2.1"]
