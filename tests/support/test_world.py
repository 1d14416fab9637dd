"""Tests of the checks: an engine that reports wrong events fails the right invariant."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.results import Outcome
from router.model.states import AgentState, AssignmentRole, ChannelOutcome, IfUnable, OfferState
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    an_agent,
    not_ready,
    published,
    ready,
)
from tests.support.checks.views import compare_views
from tests.support.world import World

Tampering = Callable[[list[e.Event]], list[e.Event]]


class FaultyEngine(Engine):
    """Works correctly, but tampers with the events that it returns."""

    tamper: Tampering | None = None

    def handle(self, command: c.Command, at_ms: int) -> Outcome:
        outcome = super().handle(command, at_ms)
        return outcome if self.tamper is None else replace(outcome, events=self.tamper(outcome.events))


def a_faulty_engine(*commands: c.Command, policy: object = None) -> tuple[World, FaultyEngine]:
    engine = FaultyEngine()
    world = World(engine=engine)
    world.done_all(policy if isinstance(policy, c.PublishPolicy) else published(), *commands)
    return world, engine


def changed(kind: type, **changes: object) -> Tampering:
    """Return a tampering that changes fields of all events of one type."""
    return lambda events: [replace(one, **changes) if isinstance(one, kind) else one for one in events]


def is_detected(world: World, command: c.Command, invariant: str) -> None:
    with pytest.raises(AssertionError, match=invariant):
        world.do(command)


TWO = (an_agent("ada"), ready("ada"), an_agent("bob"), ready("bob"))


def test_a_correct_engine_passes() -> None:
    world, _ = a_faulty_engine(*TWO, a_contact())
    world.later(60)
    compare_views(world)


def test_an_offer_to_an_agent_that_is_not_ready() -> None:
    world, engine = a_faulty_engine(*TWO, not_ready("bob"))
    engine.tamper = changed(e.OfferMade, agent_id="bob")
    is_detected(world, a_contact(), "I12")


def test_an_offer_beyond_capacity() -> None:
    world, engine = a_faulty_engine(*TWO, a_contact("c1"))
    engine.tamper = changed(e.OfferMade, agent_id="ada")
    is_detected(world, a_contact("c2"), "I12/I14")


def test_an_offer_to_an_agent_without_the_skill() -> None:
    world, engine = a_faulty_engine(an_agent("ada", skills={"english": 9}), ready("ada"), *TWO[2:])
    engine.tamper = changed(e.OfferMade, agent_id="bob")
    is_detected(world, a_contact(skills={"english": 1}), "I12")


def test_an_offer_to_the_wrong_agent() -> None:
    world, engine = a_faulty_engine(*TWO)
    engine.tamper = changed(e.OfferMade, agent_id="bob")
    is_detected(world, a_contact(), "; expected")


@pytest.mark.parametrize("second", [{}, {"priority_s": -60}])
def test_an_offer_of_a_contact_that_was_not_first(second: dict[str, int]) -> None:
    world, engine = a_faulty_engine(an_agent(), a_contact("c1"), a_contact("c2", **second))
    priority_s = second.get("priority_s", 0)
    engine.tamper = changed(e.OfferMade, contact_id="c2", offer_id="c2.1", effective_priority_s=priority_s)
    is_detected(world, ready(), "I20/I21")


def test_a_second_pending_offer() -> None:
    world, engine = a_faulty_engine(*TWO)

    def twice(events: list[e.Event]) -> list[e.Event]:
        (made,) = [one for one in events if isinstance(one, e.OfferMade)]
        return [*events[:-1], made, replace(made, offer_id="c1.2", agent_id="bob")]

    engine.tamper = twice
    with pytest.raises(AssertionError):
        world.do(a_contact())
    # The check of seq finds the additional event first; the event model finds it as well.
    with pytest.raises(AssertionError, match="I8"):
        for event in twice(engine_events(a_contact())):
            world.reference.apply(event, START_MS)


def engine_events(command: c.Command) -> list[e.Event]:
    world, _ = a_faulty_engine(*TWO)
    return world.engine.handle(command, world.at_ms).events


def test_a_missed_match() -> None:
    world, engine = a_faulty_engine(an_agent(), a_contact("c1"))
    engine.tamper = lambda events: [one for one in events if not isinstance(one, e.OfferMade)]
    with pytest.raises(AssertionError, match="I25"):
        world.do(ready())
    assert world.reference.missed_matches(world.at_ms) == []
    went_ready = e.AgentStateChanged(agent_id="ada", state=AgentState.READY, from_state=AgentState.OFFLINE)
    world.reference.apply(went_ready, world.at_ms)
    assert world.reference.missed_matches(world.at_ms) == [("c1", "ada")]


def test_an_offer_that_expires_too_early_or_too_late() -> None:
    world, engine = a_faulty_engine(an_agent(), ready())
    engine.tamper = changed(e.OfferMade, deadline_ms=START_MS + 99_000)
    world.do(a_contact())
    engine.tamper = None
    with pytest.raises(AssertionError, match="I15: expired before"):
        world.later(15)

    world, engine = a_faulty_engine(an_agent(), ready())
    engine.tamper = changed(e.OfferMade, deadline_ms=START_MS + 5_000)
    world.do(a_contact())
    world.jump(6)
    is_detected(world, c.AdvanceTime(), "I15: an offer is pending past")


def test_a_requeue_that_loses_the_position() -> None:
    world, engine = a_faulty_engine(an_agent(), ready(), a_contact())
    engine.tamper = changed(e.ContactRequeued, queued_seq=99)
    is_detected(world, c.DeclineOffer(offer_id="c1.1", agent_id="ada"), "I15: a requeued")


def test_an_accept_of_another_agent() -> None:
    world, engine = a_faulty_engine(*TWO, a_contact())
    engine.tamper = changed(e.OfferAccepted, agent_id="bob")
    is_detected(world, c.AcceptOffer(offer_id="c1.1", agent_id="ada"), "I11")


def test_an_end_that_leaves_an_open_assignment() -> None:
    world, engine = a_faulty_engine(an_agent(), ready(), a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    engine.tamper = lambda events: [
        e.AssignmentHeld(assignment_id="c1.1", contact_id="c1", agent_id="ada") if isinstance(one, e.AssignmentCompleted) else one
        for one in events
    ]
    is_detected(world, c.EndContact(contact_id="c1", agent_id="ada"), "I7")


def test_a_wrap_up_that_ends_twice() -> None:
    policy = a_policy(channels={"voice": a_channel(wrap_up_s=10)})
    world, _ = a_faulty_engine(an_agent(), ready(), a_contact(), policy=published(policy))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    ended = world.later(10)
    with pytest.raises(AssertionError, match="I16"):
        world.reference.apply(ended[0], world.at_ms)


def test_a_transfer_that_names_another_owner() -> None:
    world, engine = a_faulty_engine(*TWO, a_contact())
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    engine.tamper = changed(e.ContactRequeued, agent_id="bob")
    is_detected(world, c.TransferContact(contact_id="c1", to_queue_id="support"), "I17")


def test_a_contact_in_a_queue_that_is_full() -> None:
    policy = a_policy_with_queue(length_max=1)
    world, _ = a_faulty_engine(a_contact("c1"), policy=published(policy))
    queued = e.ContactQueued(contact_id="c2", channel="voice", queue_id="support", requirement="", policy_version=1)
    with pytest.raises(AssertionError, match="full queue"):
        world._check_admission(queued)


def test_a_count_that_does_not_add_up() -> None:
    world, _ = a_faulty_engine(a_contact())
    world.reference.submitted += 1
    with pytest.raises(AssertionError, match="I41"):
        compare_views(world)


def test_a_guarded_consult_is_checked_like_a_plain_one() -> None:
    world, engine = a_faulty_engine(*TWO[:2], a_contact(), c.AcceptOffer(offer_id="c1.1", agent_id="ada"), *TWO[2:])
    command = c.StartConsult(contact_id="c1", to_agent_id="bob")
    guarded = c.GuardedCommand(command=command, client="eve", dedupe_key=b"k", fingerprint=b"f")
    engine.tamper = changed(e.OfferMade, role=AssignmentRole.OWNER)
    is_detected(world, guarded, "the role does not match")
    world, _ = a_faulty_engine(*TWO[:2], a_contact(), c.AcceptOffer(offer_id="c1.1", agent_id="ada"), *TWO[2:])
    world.done(guarded)


# --- switches of the channel that another agent takes ------------------------------------------------------------------
SWITCHING = published(a_policy(channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)}))
TO_VOICE = c.SwitchChannel(contact_id="c1", channel="voice", if_unable=IfUnable.QUEUE)


def a_chat(*commands: c.Command) -> tuple[World, FaultyEngine]:
    world, engine = a_faulty_engine(an_agent("ada"), ready("ada"), a_contact("c1", channel="chat"), policy=SWITCHING)
    world.done_all(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), *commands)
    return world, engine


def test_a_switch_that_holds_too_little() -> None:
    world, engine = a_chat()
    engine.tamper = changed(e.ContactChannelRequested, held_units=0)
    is_detected(world, TO_VOICE, "I14")


def a_chat_for_another_agent() -> tuple[World, FaultyEngine]:
    """Return a chat that bob is offered on voice, as ada has another chat."""
    world, engine = a_chat(a_contact("c2", channel="chat"), c.AcceptOffer(offer_id="c2.1", agent_id="ada"))
    world.done_all(an_agent("bob"), ready("bob"), TO_VOICE)
    return world, engine


def test_a_switch_that_makes_another_agent_the_owner_before_the_customer_is_connected() -> None:
    world, engine = a_chat_for_another_agent()
    engine.tamper = changed(e.OfferAccepted, role=AssignmentRole.OWNER, takes_over=False)
    is_detected(world, c.AcceptOffer(offer_id="c1.2", agent_id="bob"), "I7")


def test_a_switch_that_fails_and_leaves_the_other_agent_in_the_conversation() -> None:
    world, engine = a_chat_for_another_agent()
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    engine.tamper = lambda events: [one for one in events if not isinstance(one, e.ParticipantLeft)]
    is_detected(world, c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.FAILED), "I25|members|in the conversation")


def test_a_switch_that_waits_although_it_could_be_offered() -> None:
    world, _ = a_chat_for_another_agent()
    assert world.reference.missed_switches(world.at_ms) == []
    (offer,) = world.reference.pending_offers()
    offer.state = OfferState.RESCINDED
    assert world.reference.missed_switches(world.at_ms) == [("c1", "bob")]
