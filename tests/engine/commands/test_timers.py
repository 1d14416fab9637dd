"""Timers: they fire in order of their deadlines, before the command that finds them due, and a bounded number per advance."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    published,
    ready,
)
from tests.support.engine_worlds import kinds, offers_of
from tests.support.world import a_world


def test_due_timers_fire_before_the_command_that_finds_them_due() -> None:
    world = a_world(None, an_agent(), ready(), a_contact())
    world.jump(3_600)
    outcome = world.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert kinds(outcome.events)[:2] == ["OfferExpired", "AgentStateChanged"]
    assert world.engine._state.contacts["c1"].agent_id is None


def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    world = a_world(None, *(a_contact(f"c{n}", ttl_s=30 - 10 * n) for n in range(3)))
    world.jump(60)
    events = world.do(c.AdvanceTime()).events
    assert [one.contact_id for one in events if isinstance(one, e.ContactExpired)] == ["c2", "c1", "c0"]


def test_one_advance_fires_a_bounded_number_of_timers() -> None:
    engine = Engine()
    engine.handle(published(a_policy()), START_MS)
    for number in range(100):
        engine.handle(a_contact(f"c{number:03}", ttl_s=10), START_MS)
    first = engine.handle(c.AdvanceTime(), START_MS + 10_000)
    second = engine.handle(c.AdvanceTime(), START_MS + 10_000)
    assert (len(first.events), len(second.events)) == (64, 36)
    assert engine.next_deadline_ms() is None


def test_any_other_command_fires_all_due_timers() -> None:
    engine = Engine()
    engine.handle(published(a_policy()), START_MS)
    for number in range(100):
        engine.handle(a_contact(f"c{number:03}", ttl_s=10), START_MS)
    outcome = engine.handle(an_agent(), START_MS + 10_000)
    assert len(outcome.events) == 101


def test_the_end_of_a_cool_down_offers_the_contact_again() -> None:
    world = a_world(a_policy_with_queue(cool_down_s=20), an_agent(), ready(), a_contact())
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert offers_of(world, "c1") == {}
    world.later(20)
    assert offers_of(world, "c1") == {"ada": "c1.2"}


def test_wrap_up_ends_and_parking_expires_by_the_same_kind_of_timer() -> None:
    policy = a_policy(channels={"voice": a_channel(wrap_up_s=30, park_max_s=60)}, queues={"support": a_queue()})
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))
    ended = world.later(60)
    assert kinds(ended) == ["ContactEnded", "WrapUpStarted"]
    assert kinds(world.later(30)) == ["AssignmentCompleted"]
