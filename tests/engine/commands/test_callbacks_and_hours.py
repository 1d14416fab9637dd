"""Callbacks in queues with opening hours: no customer is called for a closed queue, and no closing loses a callback."""

from typing import Any

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.policy import (
    AtClosing,
    CallbackMode,
    CallbackPolicy,
    CallbackQueuePosition,
    Policy,
    QueuePolicy,
    StepPolicy,
    WhenClosed,
    WhenNoAgentsReady,
)
from router.model.results import RefusalCode
from router.model.states import CallbackOutcome, ContactState
from router.model.views import ContactView
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, not_ready, ready
from tests.support.checks.views import compare_views
from tests.support.world import World, a_world

FIRST = CallbackMode.CUSTOMER_FIRST
ANY = CallbackPolicy()


def a_policy_of(callback: CallbackPolicy = ANY, **queue: Any) -> Policy:
    """Return a policy whose queue ``support`` offers callbacks and whose queue ``night`` does not."""
    queues = {"support": QueuePolicy(callback=callback, **queue), "night": QueuePolicy()}
    return a_policy(queues=queues, plans={"patient": (StepPolicy(duration_s=60), StepPolicy())})


def closing(queue_id: str = "support") -> c.SetQueueOpen:
    return c.SetQueueOpen(queue_id=queue_id, is_open=False)


def opening(queue_id: str = "support") -> c.SetQueueOpen:
    return c.SetQueueOpen(queue_id=queue_id, is_open=True)


def asked(**terms: Any) -> c.RequestCallback:
    return c.RequestCallback(contact_id="c1", callback=CallbackFields(**terms))


def reported(outcome: str) -> c.ReportCallback:
    return c.ReportCallback(contact_id="c1", outcome=CallbackOutcome(outcome))


def view_of(world: World) -> ContactView:
    compare_views(world)
    view = world.engine.contact("c1")
    assert view is not None
    return view


def kinds(events: list[e.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


# --- closing ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("at_closing", AtClosing)
def test_a_callback_survives_every_closing_and_is_called_at_the_opening(at_closing: AtClosing) -> None:
    world = a_world(a_policy_of(at_closing=at_closing, overflow_to="night"), a_contact("c1"), asked(mode=FIRST))
    assert "QueueClosed" in kinds(world.done(closing()))
    view = view_of(world)
    assert (view.state, view.waiting_for_opening, view.queue_id) == (ContactState.QUEUED, True, "support")
    assert "CallbackDialRequested" not in kinds(world.done_all(an_agent("ada"), ready("ada")))
    why = world.engine.why("c1")
    assert why is not None and why.reason == "queue_closed"
    assert kinds(world.done(opening())) == ["QueueOpened", "CallbackDialRequested"]
    assert not view_of(world).waiting_for_opening


def test_the_maximum_wait_does_not_begin_for_a_callback_at_the_opening() -> None:
    world = a_world(a_policy_of(wait_max_s=10), a_contact("c1"), asked())
    world.done_all(closing(), opening())
    assert view_of(world).wait_until_ms is None
    world.later(60)
    assert view_of(world).state is ContactState.QUEUED


def test_an_offered_callback_comes_back_to_wait_for_the_opening() -> None:
    world = a_world(a_policy_of(at_closing=AtClosing.EXPIRE), an_agent("ada"), ready("ada"))
    world.done_all(a_contact("c1"), asked(), closing())
    assert view_of(world).state is ContactState.OFFERED
    world.done(c.DeclineOffer(offer_id=view_of(world).offers[0].offer_id, agent_id="ada"))
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.QUEUED, True)


def test_a_contact_that_becomes_a_callback_in_a_closed_queue_suspends_its_plan() -> None:
    world = a_world(a_policy_of(at_closing=AtClosing.SERVE, plan="patient"), a_contact("c1"))
    world.done(closing())
    assert not view_of(world).waiting_for_opening and view_of(world).step_until_ms is not None
    world.done(asked())
    assert view_of(world).waiting_for_opening and view_of(world).step_until_ms is None
    world.later(600)
    world.done(opening())
    assert view_of(world).step_until_ms == world.at_ms + 60_000


# --- due times ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", CallbackQueuePosition)
def test_an_agreed_time_in_a_closed_queue_waits_for_the_opening(place: CallbackQueuePosition) -> None:
    world = a_world(a_policy_of(CallbackPolicy(queue_position=place)), an_agent("ada"), ready("ada"))
    world.done(not_ready("ada"))
    world.done_all(a_contact("c1"), asked(at_ms=world.at_ms + 30_000), closing(), ready("ada"))
    world.later(40)
    view = view_of(world)
    assert (view.state, view.waiting_for_opening) == (ContactState.QUEUED, True)
    assert view.queued_at_ms == START_MS + (0 if place is CallbackQueuePosition.KEEP else 30_000)
    assert kinds(world.done(opening())) == ["QueueOpened", "OfferMade"]


def test_the_pause_after_a_failed_attempt_ends_in_the_queue_if_it_is_closed() -> None:
    world = a_world(a_policy_of(CallbackPolicy(mode=FIRST, retry_after_s=(5,))), an_agent("ada"), ready("ada"))
    world.done(not_ready("ada"))
    world.done_all(a_contact("c1"), asked(), ready("ada"), closing(), reported("busy"))
    assert not view_of(world).waiting_for_opening
    world.later(5)
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.QUEUED, True)
    assert kinds(world.done(opening())) == ["QueueOpened", "CallbackDialRequested"]


@pytest.mark.parametrize("at_closing", AtClosing)
def test_a_customer_reached_while_the_queue_closes_is_served(at_closing: AtClosing) -> None:
    world = a_world(
        a_policy_of(CallbackPolicy(mode=FIRST), at_closing=at_closing, overflow_to="night", wait_max_s=300),
        a_contact("c1"),
        asked(),
        an_agent("ada"),
        ready("ada"),
        closing(),
    )
    assert kinds(world.done(reported("connected"))) == ["CallbackConnected", "OfferMade"]
    assert view_of(world).wait_until_ms == world.at_ms + 300_000


def test_a_supervisor_can_assign_a_callback_that_waits_for_the_opening() -> None:
    world = a_world(a_policy_of(), a_contact("c1"), asked(), closing(), an_agent("ada"))
    world.done(ready("ada"))
    events = world.done(c.AssignContact(contact_id="c1", agent_id="ada"))
    assert kinds(events) == ["ContactAssigned", "CallbackDialRequested"]


# --- submit -------------------------------------------------------------------------------------------------
def test_a_closed_queue_with_callbacks_admits_only_submits_as_callbacks() -> None:
    world = a_world(a_policy_of(when_closed=WhenClosed.REFUSE), closing())
    assert world.refused(a_contact("c0")).code is RefusalCode.QUEUE_CLOSED
    world.done(a_contact("c1", callback=CallbackFields()))
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.QUEUED, True)
    world.done(closing("night"))
    later = a_contact("c2", queue_id="night", callback=CallbackFields())
    assert world.refused(later).code is RefusalCode.QUEUE_CLOSED


def test_a_closed_queue_admits_a_scheduled_callback() -> None:
    world = a_world(a_policy_of(), closing())
    world.done(a_contact("c1", callback=CallbackFields(at_ms=world.at_ms + 60_000)))
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.CALLBACK_SCHEDULED, False)
    world.done(opening())
    world.later(60)
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.QUEUED, False)


def test_a_callback_is_admitted_where_no_agent_is_ready() -> None:
    world = a_world(a_policy_of(when_no_agents_ready=WhenNoAgentsReady.REFUSE))
    assert world.refused(a_contact("c0")).code is RefusalCode.NO_AGENTS_READY
    world.done(a_contact("c1", callback=CallbackFields()))


def test_replay_and_restore_keep_the_callbacks_that_wait_for_the_opening() -> None:
    world = a_world(a_policy_of(), a_contact("c1"), asked(), closing())
    snapshot, seq = world.engine.snapshot(), world.engine.seq
    world.done_all(an_agent("ada"), ready("ada"), opening())
    assert world.replayed().digest() == world.engine.digest()
    assert world.replayed(snapshot, seq).digest() == world.engine.digest()


def test_a_removed_queue_passes_scheduled_callbacks_to_a_closed_queue() -> None:
    world = a_world(a_policy_of(), a_contact("c1"), asked(at_ms=START_MS + 30_000))
    world.done(closing("night"))
    remaining = a_policy(queues={"night": QueuePolicy()})
    world.done(c.PublishPolicy(policy=remaining, drain_to={"support": "night"}))
    assert (view_of(world).queue_id, view_of(world).waiting_for_opening) == ("night", False)
    world.later(30)
    assert (view_of(world).state, view_of(world).waiting_for_opening) == (ContactState.QUEUED, True)
