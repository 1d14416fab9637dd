"""Records, states and desktops of agents."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, AtClosing, LostDesktopAction
from router.model.results import RefusalCode
from router.model.states import AgentState, AssignmentState
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, offline, published, ready
from tests.support.engine_worlds import accept, offers_of, owner_of, state_of
from tests.support.world import World, a_world

CONNECT = c.ConnectDesktop(agent_id="ada", session_id="s1")


def test_an_agent_who_toggles_between_ready_and_not_ready_causes_no_offer_storm() -> None:
    """Lessons A4 and A10."""
    world = a_world(None, an_agent(), ready(), a_contact())
    for _ in range(10):
        events = world.done_all(not_ready(), ready())
        assert sum(isinstance(one, e.OfferRescinded) for one in events) == 1
        assert sum(isinstance(one, e.OfferMade) for one in events) == 1
    events = world.done(c.DeclineOffer(offer_id=offers_of(world, "c1")["ada"], agent_id="ada"))
    assert not any(isinstance(one, e.OfferMade) for one in events)
    assert not any(isinstance(one, e.OfferMade) for one in world.done_all(not_ready(), ready()))


def test_busy_is_derived_from_live_offers_and_assignments() -> None:
    """Lesson A5."""
    world = a_world(None, an_agent(), ready(), a_contact())
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 100 and view.available_channels == ()
    world.done(c.CancelContact(contact_id="c1"))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 0 and view.available_channels == ("voice", "chat")


def test_an_offer_belongs_to_the_agent_and_not_to_the_connection() -> None:
    """Lesson A9."""
    world = a_world(None, an_agent(), c.ConnectDesktop(agent_id="ada", session_id="s1"), ready())
    world.done(a_contact())
    before = offers_of(world, "c1")
    world.done_all(c.LoseDesktop(agent_id="ada", session_id="s1"), c.ConnectDesktop(agent_id="ada", session_id="s2"))
    assert offers_of(world, "c1") == before
    assert world.done(c.LoseDesktop(agent_id="ada", session_id="s1")) == []
    accept(world, "c1", "ada")


def test_an_agent_whose_desktop_is_lost_gets_no_offers() -> None:
    """Lesson A10."""
    world = a_world(
        None,
        an_agent(),
        c.ConnectDesktop(agent_id="ada", session_id="s1"),
        ready(),
        c.LoseDesktop(agent_id="ada", session_id="s1"),
        a_contact(),
    )
    assert offers_of(world, "c1") == {}
    world.done(c.ConnectDesktop(agent_id="ada", session_id="s2"))
    assert list(offers_of(world, "c1")) == ["ada"]


def test_the_next_state_is_a_single_visible_slot_and_the_last_write_wins() -> None:
    """Lesson A13."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    lunch = not_ready("ada", reason="lunch", after_work=True)
    home = c.SetAgentState(agent_id="ada", state=AgentState.OFFLINE, after_work=True)
    world.done_all(lunch, home)
    view = world.engine.agent("ada")
    assert view is not None and view.next_state is AgentState.OFFLINE
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    assert state_of(world, "ada") is AgentState.OFFLINE


def test_going_ready_after_work_while_ready_does_no_harm() -> None:
    """Lesson A13."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    world.do(c.SetAgentState(agent_id="ada", state=AgentState.READY, after_work=True))
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    assert state_of(world, "ada") is AgentState.READY


def test_a_contact_is_reserved_for_its_agent_only_for_a_time() -> None:
    """Lessons A7 and D1."""
    channel = a_channel(lost_desktop=LostDesktopAction.REQUEUE, lost_desktop_prefer_s=30)
    world = a_world(a_policy(channels={"voice": channel}), an_agent(), ready())
    world.done_all(c.ConnectDesktop(agent_id="ada", session_id="s1"), a_contact())
    accept(world, "c1", "ada")
    world.done_all(an_agent("bob"), ready("bob"), c.LoseDesktop(agent_id="ada", session_id="s1"))
    world.later(15)
    assert state_of(world, "ada") is AgentState.OFFLINE
    assert offers_of(world, "c1") == {}
    world.later(30)
    assert list(offers_of(world, "c1")) == ["bob"]


def a_lost_call(*before_the_loss: c.Command, seconds: float = 15, **queue: Any) -> World:
    """Return a world in which ada's desktop was lost during ``c1``, after these commands, while ``bob`` is free."""
    channel = a_channel(lost_desktop=LostDesktopAction.REQUEUE, lost_desktop_prefer_s=300)
    policy = a_policy(channels={"voice": channel}, queues={"support": a_queue(**queue)})
    world = a_world(policy, an_agent(), ready(), CONNECT, a_contact())
    accept(world, "c1", "ada")
    world.done_all(an_agent("bob"), ready("bob"), *before_the_loss)
    world.done(c.LoseDesktop(agent_id="ada", session_id="s1"))
    world.later(seconds)
    return world


def reserved_for(world: World, contact_id: str = "c1") -> str | None:
    return world.engine._state.contacts[contact_id].preferred_agent_id


@pytest.mark.parametrize(
    "leaving",
    [(offline(),), (CONNECT, offline()), (CONNECT, not_ready(), offline()), (c.RemoveAgent(agent_id="ada"),)],
    ids=["offline", "returned", "after_a_break", "removed"],
)
def test_a_contact_is_not_reserved_for_an_agent_who_goes_offline_on_purpose(leaving: tuple[c.Command, ...]) -> None:
    world = a_lost_call()
    assert (reserved_for(world), offers_of(world, "c1")) == ("ada", {})
    world.done_all(*leaving[:-1])
    assert (reserved_for(world), offers_of(world, "c1")) == ("ada", {})
    world.done(leaving[-1])
    assert reserved_for(world) is None
    assert list(offers_of(world, "c1")) == ["bob"]


@pytest.mark.parametrize("seconds", [0, 15], ids=["before_the_loss", "in_the_grace_period"])
def test_the_call_of_an_agent_who_had_gone_offline_is_not_reserved(seconds: float) -> None:
    before = (offline(),) if not seconds else ()
    world = a_lost_call(*before, seconds=5)
    if seconds:
        world.done(offline())
    requeued = [one for one in world.later(10) if isinstance(one, e.ContactRequeued)]
    assert [one.preferred_agent_id for one in requeued] == [None]
    assert list(offers_of(world, "c1")) == ["bob"]


def test_a_reservation_for_an_agent_who_left_ends_when_the_queue_opens() -> None:
    world = a_lost_call(at_closing=AtClosing.WAIT)
    world.done_all(c.SetQueueOpen(queue_id="support", is_open=False), offline())
    world.done(c.SetQueueOpen(queue_id="support", is_open=True))
    assert reserved_for(world) is None
    assert list(offers_of(world, "c1")) == ["bob"]


def a_waiting_transfer(**changes: Any) -> World:
    """Return a world in which ``bob`` has transferred ``c2`` to the busy ``ada``, and ``cy`` is free."""
    world = a_world(None, an_agent(), ready(), a_contact("c1"))
    accept(world, "c1", "ada")
    world.done_all(an_agent("bob"), ready("bob"), a_contact("c2"))
    accept(world, "c2", "bob")
    world.done_all(an_agent("cy"), ready("cy"))
    transfer = c.TransferContact(contact_id="c2", agent_id="bob", to_agent_id="ada", wait_s=300, **changes)
    world.done_all(transfer, not_ready("bob"))
    assert reserved_for(world, "c2") == "ada"
    return world


def test_a_transfer_does_not_wait_for_an_agent_who_goes_offline() -> None:
    world = a_waiting_transfer()
    world.done(offline("ada"))
    assert list(offers_of(world, "c2")) == ["cy"]


def test_a_transfer_returns_to_its_sender_when_the_agent_goes_offline() -> None:
    world = a_waiting_transfer(return_to_sender_s=60)
    world.done(offline("ada"))
    assert (reserved_for(world, "c2"), offers_of(world, "c2")) == ("bob", {})
    world.done(offline("bob"))
    assert (reserved_for(world, "c2"), list(offers_of(world, "c2"))) == (None, ["cy"])


def test_a_transfer_does_not_return_to_a_sender_who_has_gone_offline() -> None:
    world = a_waiting_transfer(return_to_sender_s=60)
    world.done(offline("bob"))
    assert reserved_for(world, "c2") == "ada"
    world.later(300)
    assert (reserved_for(world, "c2"), list(offers_of(world, "c2"))) == (None, ["cy"])


def test_work_is_kept_when_an_agent_goes_offline() -> None:
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    world.done(offline())
    assert owner_of(world, "c1") == "ada"
    assert world.refused(c.RemoveAgent(agent_id="ada")).code is RefusalCode.AGENT_BUSY
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    work = world.reference.assignments["c1.1"]
    assert work.state is AssignmentState.COMPLETED


def test_an_agent_removed_and_created_again_starts_afresh() -> None:
    """Lesson A16: an agent with work cannot be removed, and a new record inherits nothing."""
    world = a_world(None, an_agent(), ready(), a_contact())
    assert world.refused(c.RemoveAgent(agent_id="ada")).code is RefusalCode.AGENT_BUSY
    world.done(c.CancelContact(contact_id="c1"))
    world.done_all(c.ConnectDesktop(agent_id="ada", session_id="s1"), c.RemoveAgent(agent_id="ada"), an_agent())
    view = world.engine.agent("ada")
    assert view is not None
    assert (view.state, view.units_used, view.offers) == (AgentState.OFFLINE, 0, ())
    # The session of the old record does not apply to the new one.
    assert world.done(c.LoseDesktop(agent_id="ada", session_id="s1")) == []
    world.done_all(ready(), a_contact("c2"))
    assert list(offers_of(world, "c2")) == ["ada"]
    assert world.engine.check_invariants() == []


def test_paused_channels_are_independent_of_the_agent_state() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    world.done(c.SetAgentChannels(agent_id="ada", paused=("voice", "chat", "voice")))
    assert world.done(c.SetAgentChannels(agent_id="ada", paused=("chat", "voice"))) == []
    world.done_all(offline(), ready(), an_agent(units=300))
    view = world.engine.agent("ada")
    assert view is not None and (view.paused, view.available_channels) == (("chat", "voice"), ())
    unknown = world.refused(c.SetAgentChannels(agent_id="bob"))
    assert unknown.code is RefusalCode.UNKNOWN_AGENT
    restored = Engine.restore(world.engine.snapshot()).agent("ada")
    assert restored == view


def test_pending_offers_stay_if_the_policy_does_not_rescind_them() -> None:
    policy = a_policy(agents=AgentsPolicy(rescind_when_not_ready=False))
    world = a_world(policy, an_agent(), ready())
    world.done(a_contact("c1"))
    world.done(c.SetAgentChannels(agent_id="ada", paused=("voice",)))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))


def test_a_supervisor_assigns_a_contact_of_a_paused_channel() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    world.done(c.SetAgentChannels(agent_id="ada", paused=("voice",)))
    world.done(a_contact("c1"))
    world.done(c.AssignContact(contact_id="c1", agent_id="ada"))


def test_a_removed_channel_is_still_paused_when_it_returns() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    world.done(c.SetAgentChannels(agent_id="ada", paused=("chat",)))
    world.done(published(a_policy(channels={"voice": a_channel()})))
    world.done(published(a_policy()))
    view = world.engine.agent("ada")
    assert view is not None and view.available_channels == ("voice",)
