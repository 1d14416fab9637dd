"""Tests of rate caps beyond the scenarios: restarts, replays, policy changes, transfers and assignments."""

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import Policy, RateCapPolicy
from router.model.results import RefusalCode
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, published, ready
from tests.support.world import World, a_world


def capped(most: int = 2, **changes: object) -> Policy:
    channel = a_channel(units=0, per_agent_max=9, auto_accept=True, rate_cap=RateCapPolicy(contacts_max=most, window_s=60))
    return a_policy(channels={"voice": channel}, **changes)


def taken(world: World, contact_id: str, channel: str = "voice") -> str:
    """Submit a contact and accept it as ada; return the assignment's id."""
    events = world.done(a_contact(contact_id, channel=channel))
    (offer,) = (event for event in events if isinstance(event, e.OfferMade))
    if not any(isinstance(event, e.OfferAccepted) for event in events):
        world.done(c.AcceptOffer(offer_id=offer.offer_id, agent_id="ada"))
    return offer.offer_id


def test_a_paused_channel_or_a_reached_cap_refuses_a_transfer_to_the_agent() -> None:
    world = a_world(capped(most=1), an_agent(), ready(), an_agent("bob"), ready("bob"))
    taken(world, "c1")
    to_bob = c.TransferContact(contact_id="c1", to_agent_id="bob")
    world.done(c.SetAgentChannels(agent_id="bob", paused=("voice",)))
    assert world.refused(to_bob).code is RefusalCode.AGENT_UNAVAILABLE
    world.done(c.SetAgentChannels(agent_id="bob"))
    world.done(a_contact("c2"))
    assert world.engine.contact("c2").agent_id == "bob"  # type: ignore[union-attr]
    assert world.refused(to_bob).code is RefusalCode.AGENT_UNAVAILABLE
    world.later(60)
    world.done(to_bob)


def test_a_cap_opens_to_the_millisecond_and_why_says_when() -> None:
    world = a_world(capped(), an_agent(), ready())
    first_ms = world.at_ms
    taken(world, "c1")
    world.later(10)
    taken(world, "c2")
    world.later(10)
    world.done(a_contact("c3"))
    why = world.engine.why("c3")
    assert why is not None
    assert (why.next_change, why.next_change_at_ms) == ("rate_cap", first_ms + 60_000)
    world.later(39.999)
    assert world.engine.contact("c3").state == "queued"  # type: ignore[union-attr]
    world.later(0.001)
    assert world.engine.contact("c3").agent_id == "ada"  # type: ignore[union-attr]


def test_a_cap_survives_restart_and_replay() -> None:
    world = a_world(capped(), an_agent(), ready())
    taken(world, "c1")
    taken(world, "c2")
    world.done(a_contact("c3"))
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert engine.next_deadline_ms() == world.engine.next_deadline_ms()
        assert engine.agent("ada") == world.engine.agent("ada")
        events = engine.handle(c.AdvanceTime(), world.at_ms + 60_000).events
        assert [type(event) for event in events] == [e.OfferMade, e.OfferAccepted]


def test_an_expired_cap_is_expired_in_a_restored_engine() -> None:
    world = a_world(capped(), an_agent(), ready())
    taken(world, "c1")
    taken(world, "c2")
    world.later(60)  # The timer opens the channel again and leaves no event.
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        outcome = engine.handle(a_contact("c3"), world.at_ms)
        assert any(isinstance(event, e.OfferAccepted) for event in outcome.events)
    taken(world, "c3")


def test_only_the_times_that_the_caps_need_are_kept() -> None:
    world = a_world(capped(most=3), an_agent(), ready())
    for n in range(3):
        taken(world, f"c{n}")
    world.done(published(capped(most=1)))
    world.done(published(capped(most=2)))
    # Only one time was kept: one more contact is allowed.
    taken(world, "c3")
    world.done(a_contact("c4"))
    assert world.engine.contact("c4").state == "queued"  # type: ignore[union-attr]
    world.done(published(a_policy(channels={"voice": a_channel(per_agent_max=99, units=0)})))
    assert len(world.engine.agent("ada").offers) == 1  # type: ignore[union-attr]


def test_a_supervisors_assignment_counts_in_a_cap_but_is_not_limited_by_it() -> None:
    world = a_world(capped(most=1), an_agent())
    world.done(not_ready())
    for n in range(3):
        world.done(a_contact(f"c{n}"))
        world.done(c.AssignContact(contact_id=f"c{n}", agent_id="ada"))
        world.later(10)
    world.done(ready())
    world.done(a_contact("c4"))
    events = world.later(50)
    (offer,) = (event for event in events if isinstance(event, e.OfferMade))
    assert offer.contact_id == "c4"
    assert world.engine.contact("c4").agent_id == "ada"  # type: ignore[union-attr]


@pytest.mark.parametrize("queue_full", [False, True])
def test_a_cap_counts_for_a_full_queue(queue_full: bool) -> None:
    policy = capped(most=1, queues={"support": a_queue(length_max=0 if queue_full else None)})
    world = a_world(policy, an_agent(), ready())
    taken(world, "c1")
    if queue_full:
        assert world.refused(a_contact("c2")).code is RefusalCode.QUEUE_FULL
    else:
        world.done(a_contact("c2"))
