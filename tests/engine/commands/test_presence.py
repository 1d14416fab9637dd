"""Customers whose app is no longer connected: the time of grace, the place that they keep, and when it does not run."""

from typing import Any

import msgspec
import pytest

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model import events as e
from router.model.policy import CallbackPolicy, CallbackWindowsPolicy, LostDesktopAction, Policy, RequestPolicy
from router.model.results import Done, RefusalCode, Refused
from router.model.states import AgentState, ContactState, RequestOutcome, RequestPhase
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world

GRACE_S = 60


def the_policy(grace_s: int | None = GRACE_S, **requests: Any) -> Policy:
    options: dict[str, Any] = {"channels": ("chat",), "callback": CallbackWindowsPolicy(), "later": True}
    return a_policy(
        channels={
            "voice": a_channel(),
            "chat": a_channel(units=30, per_agent_max=3, leave_grace_s=grace_s, lost_desktop=LostDesktopAction.REQUEUE),
        },
        queues={"support": a_queue(callback=CallbackPolicy(), cool_down_s=0)},
        requests=RequestPolicy(**(options | requests)),
    )


def a_request(contact_id: str = "r1", *, ask: bool = False, channel: str = "chat") -> c.RequestContact:
    contact = a_contact(contact_id, channel=channel)
    return c.RequestContact(contact=contact, token_hash=contact_id.encode(), ask=ask)


def here(contact_id: str = "r1") -> c.SetCustomerPresence:
    return c.SetCustomerPresence(contact_id=contact_id, is_here=True)


def away(contact_id: str = "r1", after_s: float = 0) -> c.SetCustomerPresence:
    return c.SetCustomerPresence(contact_id=contact_id, is_here=False, away_ms=round(1000 * after_s))


def a_waiting_customer(*more: c.Command, **policy: Any) -> World:
    """Return a world in which r1 and r2 wait for ada, who is not ready, and the app of r1 is connected."""
    world = a_world(the_policy(**policy), an_agent("ada"), ready("ada"), a_request("r1"), a_request("r2"))
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY))
    world.done_all(here(), *more)
    return world


def state(world: World, contact_id: str = "r1") -> ContactState:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.state


def position(world: World, contact_id: str = "r1") -> int | None:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.position


def test_a_customer_who_does_not_return_in_time_has_left() -> None:
    world = a_waiting_customer()
    (told,) = world.done(away(after_s=10))
    assert told == e.CustomerPresenceChanged(contact_id="r1", is_here=False, leave_at_ms=world.at_ms + 50_000, gateway_id="")
    world.later(49.9)
    assert state(world) is ContactState.QUEUED
    (left,) = world.later(0.1)
    assert isinstance(left, e.ContactAbandoned)
    assert (left.reason, left.ended_by) == ("customer_away", "customer")
    view = world.engine.request("r1")
    assert view is not None and (view.state, view.outcome) == (RequestPhase.ENDED, RequestOutcome.LEFT)
    assert position(world, "r2") == 1


def test_a_customer_who_returns_in_time_keeps_the_place() -> None:
    world = a_waiting_customer(away())
    world.later(GRACE_S - 1)
    (back,) = world.done(here())
    assert isinstance(back, e.CustomerPresenceChanged) and back.is_here and back.leave_at_ms is None
    assert world.later(10 * GRACE_S) == []
    assert position(world) == 1
    # Each absence has the whole time.
    world.done(away())
    world.later(GRACE_S - 1)
    assert state(world) is ContactState.QUEUED


def test_what_is_known_already_leaves_no_event() -> None:
    world = a_waiting_customer()
    assert world.done(here()) == []
    world.done(away())
    assert world.done(away()) == []


def test_a_customer_who_was_never_seen_does_not_leave() -> None:
    world = a_waiting_customer()
    assert world.done(away("r2")) == []
    world.later(10 * GRACE_S)
    assert state(world, "r2") is ContactState.QUEUED


def test_without_a_time_of_grace_nothing_is_written() -> None:
    world = a_waiting_customer(grace_s=None)
    assert [one for _, _, events in world.records for one in events if isinstance(one, e.CustomerPresenceChanged)] == []
    assert world.done(away()) == []


def test_the_channel_that_the_customer_waits_on_decides() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_contact("c1"), a_request("r1", channel="voice"))
    assert world.done_all(here(), away()) == []


def test_the_offer_of_a_customer_who_has_left_is_rescinded() -> None:
    world = a_waiting_customer(away())
    world.later(GRACE_S - 5)
    world.done(ready("ada"))
    assert state(world) is ContactState.OFFERED
    kinds = [type(one) for one in world.later(5)]
    assert kinds[:2] == [e.OfferRescinded, e.ContactAbandoned]


def test_an_answer_ends_the_time_of_grace() -> None:
    world = a_waiting_customer(away())
    world.done(ready("ada"))
    world.done(c.AcceptOffer(offer_id="r1.2", agent_id="ada"))
    world.later(10 * GRACE_S)
    assert state(world) is ContactState.ASSIGNED
    # Nor does a conversation end because the app is closed.
    assert [type(one) for one in world.done_all(here(), away())] == [e.CustomerPresenceChanged] * 2
    world.later(10 * GRACE_S)
    assert state(world) is ContactState.ASSIGNED


@pytest.mark.parametrize("way", ["desktop lost", "returned", "transferred"])
def test_a_customer_who_is_away_when_they_wait_again_has_the_whole_time(way: str) -> None:
    """The agent of the conversation fails or passes it on: the app has this long to return, also after a restart."""
    world = a_waiting_customer(away(), ready("ada"))
    world.done(c.AcceptOffer(offer_id="r1.2", agent_id="ada"))
    world.later(3_600)
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY))
    again: dict[str, tuple[c.Command, ...]] = {
        "desktop lost": (c.ConnectDesktop(agent_id="ada", session_id="s"), c.LoseDesktop(agent_id="ada", session_id="s")),
        "returned": (c.RequeueContact(contact_id="r1"),),
        "transferred": (c.TransferContact(contact_id="r1", to_queue_id="support", agent_id="ada"),),
    }
    outcomes = [world.do(command) for command in again[way]]
    events = [one for outcome in outcomes for one in outcome.events]
    if way != "desktop lost":
        # The answer names the event that did it, not that of the time of grace, which follows.
        (outcome,) = outcomes
        assert isinstance(outcome.result, Done)
        assert isinstance(outcome.events[outcome.result.seq - outcome.first_seq], e.ContactRequeued)
    while not any(isinstance(one, e.ContactRequeued) for one in events):
        events = world.later(1)  # The desktop has its own time to return.
    told = [one for one in events if isinstance(one, e.CustomerPresenceChanged)]
    assert [(one.is_here, one.leave_at_ms) for one in told] == [(False, world.at_ms + 1000 * GRACE_S)]
    assert Engine.restore(world.engine.snapshot()).digest() == world.engine.digest() == world.replayed().digest()
    world.later(GRACE_S - 1)
    assert state(world) is ContactState.QUEUED
    world.later(1)
    assert state(world) is ContactState.ABANDONED


@pytest.mark.parametrize("way", ["supervisor", "drained"])
def test_a_waiting_contact_that_is_moved_does_not_give_its_customer_more_time(way: str) -> None:
    queues = {name: a_queue(callback=CallbackPolicy()) for name in ("support", "sales")}
    world = a_waiting_customer(published(msgspec.structs.replace(the_policy(), queues=queues)), away())
    for queue_id, other in (("support", "sales"), ("sales", "support")):
        world.later(GRACE_S / 3)
        command: c.Command = c.RequeueContact(contact_id="r1", queue_id=other)
        if way == "drained":
            policy = msgspec.structs.replace(the_policy(), queues={other: queues[other]})
            command = published(policy, drain_to={queue_id: other})
        events = world.done(command)
        assert e.ContactRequeued in [type(one) for one in events]
        assert e.CustomerPresenceChanged not in [type(one) for one in events]
    assert Engine.restore(world.engine.snapshot()).digest() == world.engine.digest() == world.replayed().digest()
    world.later(GRACE_S / 3 - 1)
    assert state(world) is ContactState.QUEUED
    world.later(1)
    assert state(world) is ContactState.ABANDONED


def test_a_customer_who_is_connected_waits_again_without_a_deadline() -> None:
    world = a_waiting_customer(ready("ada"))
    world.done(c.AcceptOffer(offer_id="r1.2", agent_id="ada"))
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY))
    world.done(c.RequeueContact(contact_id="r1"))
    world.later(10 * GRACE_S)
    assert state(world) is ContactState.QUEUED


@pytest.mark.parametrize(
    ("option", "expected"), [("callback", ContactState.QUEUED), ("later", ContactState.SUSPENDED), ("now", ContactState.ABANDONED)]
)
def test_a_choice_decides_whether_the_customer_has_to_stay(option: str, expected: ContactState) -> None:
    world = a_world(the_policy(default_option=option), an_agent("ada"), ready("ada"), a_request(ask=True))
    world.done_all(here(), away())
    # While the customer chooses, nothing ends because they are away; the default option is taken in the end.
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY))
    world.later(119)
    assert state(world) is ContactState.CHOOSING
    world.later(1 + GRACE_S)
    assert state(world) is expected


def test_a_suspended_customer_may_be_away() -> None:
    world = a_waiting_customer(away(), c.SuspendContact(contact_id="r1"))
    world.later(10 * GRACE_S)
    assert state(world) is ContactState.SUSPENDED


def test_a_deadline_that_passed_while_the_router_was_stopped_begins_again() -> None:
    world = a_waiting_customer(away())
    world.jump(GRACE_S + 3_600)
    (again,) = world.done(c.AdvanceTime())
    assert again == e.CustomerPresenceChanged(contact_id="r1", is_here=False, leave_at_ms=world.at_ms + 1000 * GRACE_S)
    world.later(GRACE_S)
    assert state(world) is ContactState.ABANDONED


def test_a_policy_without_the_time_of_grace_ends_it() -> None:
    world = a_waiting_customer(away())
    world.done(published(the_policy(grace_s=None)))
    world.later(10 * GRACE_S)
    assert state(world) is ContactState.QUEUED


def test_a_restored_engine_knows_who_is_away_and_who_is_connected() -> None:
    world = a_waiting_customer(here("r2"), away("r2"))
    restored = Engine.restore(world.engine.snapshot())
    for engine in (restored, world.replayed()):
        assert engine.connected_customers() == ["r1"]
        assert engine.next_deadline_ms() == world.at_ms + 1000 * GRACE_S
        assert engine.digest() == world.engine.digest()
    # The writer reports the others as away.
    restored.handle(away(), world.at_ms)
    restored.handle(c.AdvanceTime(), world.at_ms + 1000 * GRACE_S)
    assert {name: one.state for name in ("r1", "r2") if (one := restored.contact(name))} == {
        "r1": ContactState.ABANDONED,
        "r2": ContactState.ABANDONED,
    }


def test_the_presence_of_others_is_refused() -> None:
    world = a_world(the_policy(), a_contact("c1"))
    for contact_id in ("c1", "c2"):
        refused = world.do(here(contact_id)).result
        assert isinstance(refused, Refused) and refused.code is RefusalCode.UNKNOWN_CONTACT


def test_an_ended_contact_is_not_followed() -> None:
    world = a_waiting_customer(c.CancelRequest(contact_id="r1"))
    assert world.done(away()) == []
    assert world.engine.connected_customers() == []


def on_node(run: str, *, is_here: bool) -> c.SetCustomerPresence:
    return c.SetCustomerPresence(contact_id="r1", is_here=is_here, run=run)


def test_what_a_node_says_of_a_customer_who_is_connected_to_another_one_changes_nothing() -> None:
    world = a_waiting_customer(on_node("a", is_here=True))
    (moved,) = world.done(on_node("b", is_here=True))
    assert isinstance(moved, e.CustomerPresenceChanged) and (moved.is_here, moved.run) == (True, "b")
    assert world.done(on_node("a", is_here=False)) == []
    assert world.done(on_node("b", is_here=True)) == []
    (left,) = world.done(on_node("b", is_here=False))
    assert isinstance(left, e.CustomerPresenceChanged) and (left.is_here, left.run) == (False, "b")
    assert left.leave_at_ms == world.at_ms + 1000 * GRACE_S
    # The node where another socket is still open says so again.
    (back,) = world.done(on_node("a", is_here=True))
    assert isinstance(back, e.CustomerPresenceChanged) and (back.is_here, back.run, back.leave_at_ms) == (True, "a", None)


def test_the_node_of_a_customer_survives_a_snapshot() -> None:
    world = a_waiting_customer(on_node("a", is_here=True))
    restored = Engine.restore(world.engine.snapshot())
    assert run_to_end(restored.connected_clients()).customers == [("r1", "a")]
    assert run_to_end(a_waiting_customer().engine.connected_clients()).customers == [("r1", "")]
