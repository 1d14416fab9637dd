"""Records, states and desktops of agents."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, LostDesktopAction
from router.model.results import RefusalCode
from router.model.states import AgentState, AssignmentState
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    an_agent,
    not_ready,
    offline,
    published,
    ready,
)
from tests.support.engine_worlds import accept, offers_of, owner_of, state_of
from tests.support.world import a_world


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
    assert (
        view is not None and view.units_used == 0 and view.available_channels == ("voice", "chat")
    )


def test_an_offer_belongs_to_the_agent_and_not_to_the_connection() -> None:
    """Lesson A9."""
    world = a_world(None, an_agent(), c.ConnectDesktop(agent_id="ada", session_id="s1"), ready())
    world.done(a_contact())
    before = offers_of(world, "c1")
    world.done_all(
        c.LoseDesktop(agent_id="ada", session_id="s1"),
        c.ConnectDesktop(agent_id="ada", session_id="s2"),
    )
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
    world.done_all(
        c.ConnectDesktop(agent_id="ada", session_id="s1"),
        c.RemoveAgent(agent_id="ada"),
        an_agent(),
    )
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
