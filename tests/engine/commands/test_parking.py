"""Parked conversations: their capacity, and replies of their customers."""

from router.model import commands as c
from router.model import events as e
from router.model.policy import LostDesktopAction
from router.model.results import RefusalCode
from router.model.states import AgentState, AssignmentState, ContactState
from tests.support.builders import a_channel, a_contact, a_policy, an_agent, not_ready, ready
from tests.support.engine_worlds import chats, owner_of, taken, taken_by_ada
from tests.support.world import a_world


def test_a_reply_to_an_agent_who_is_away_goes_to_an_available_agent() -> None:
    """Lesson D2: if the channel says so, the contact is requeued at its age and the absent agent's work is completed."""
    world = chats(unpark_when_not_ready=LostDesktopAction.REQUEUE)
    world.done_all(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done_all(not_ready("ada"), an_agent("bob"), ready("bob"))
    world.later(3_600)
    world.done(c.UnparkContact(contact_id="c1"))
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.OFFERED
    assert [offer.agent_id for offer in view.offers] == ["bob"]
    assert view.offers[0].waited_ms == 3_600_000
    ada = world.engine.agent("ada")
    assert ada is not None and not ada.assignments


def test_a_reply_to_an_available_agent_stays_with_that_agent() -> None:
    """Lesson D2: only an absent agent loses the contact."""
    world = chats(unpark_when_not_ready=LostDesktopAction.REQUEUE)
    world.done_all(an_agent("ada"), ready("ada"))
    assignment_id = taken(world, "c1", "ada")
    world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.UnparkContact(contact_id="c1"))
    assert owner_of(world, "c1") == "ada"


def test_silent_conversations_do_not_block_capacity() -> None:
    """Lesson F7: parked conversations use no capacity, and nothing of them is lost."""
    world = chats()
    world.done_all(an_agent("ada"), ready("ada"))
    silent = [taken(world, f"c{n}", "ada") for n in (1, 2)]
    world.done(a_contact("c3", channel="chat"))
    view = world.engine.contact("c3")
    assert view is not None and view.state is ContactState.QUEUED, "ada already has two"
    for assignment_id in silent:
        world.done(c.ParkAssignment(assignment_id=assignment_id, agent_id="ada"))
    world.done(c.AcceptOffer(offer_id="c3.1", agent_id="ada"))
    ada = world.engine.agent("ada")
    assert ada is not None and ada.units_used == 50 and len(ada.assignments) == 3
    world.done(c.UnparkContact(contact_id="c1"))
    assert [owner_of(world, name) for name in ("c1", "c2", "c3")] == ["ada", "ada", "ada"]


def test_repeated_parking_and_unparking_has_no_effect() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    work = taken_by_ada(world, "c1")
    for command, state in (
        (c.ParkAssignment(assignment_id=work, agent_id="ada"), "parked"),
        (c.UnparkAssignment(assignment_id=work, agent_id="ada"), "active"),
        (c.ParkContact(contact_id="c1"), "assigned"),
        (c.UnparkContact(contact_id="c1"), "assigned"),
    ):
        assert len(world.done(command)) == 1
        assert world.done(command) == []
        answer = world.do(command).result
        assert getattr(answer, "state", None) == state


def test_only_the_owner_can_park_a_conversation() -> None:
    world = a_world(a_policy(channels={"voice": a_channel(wrap_up_s=9)}), an_agent(), ready())
    world.done(a_contact("c1", gateway_id="web"))
    waiting = world.refused(c.ParkContact(contact_id="c1"))
    assert (waiting.code, waiting.state) == (RefusalCode.INVALID_CONTACT_STATE, "offered")
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    stranger = world.refused(c.ParkContact(contact_id="c1", gateway_id="sms"))
    assert stranger.code is RefusalCode.UNKNOWN_CONTACT
    other = world.refused(c.ParkAssignment(assignment_id="c1.1", agent_id="bob"))
    assert other.code is RefusalCode.UNKNOWN_ASSIGNMENT
    world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    held = world.refused(c.UnparkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert (held.code, held.state) == (RefusalCode.INVALID_ASSIGNMENT_STATE, "on_hold")
    world.done(c.EndContact(contact_id="c1"))
    wrapping = world.refused(c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert (wrapping.code, wrapping.state) == (RefusalCode.INVALID_ASSIGNMENT_STATE, "wrap_up")
    ended = world.refused(c.UnparkContact(contact_id="c1", gateway_id="web"))
    assert (ended.code, ended.state) == (RefusalCode.INVALID_CONTACT_STATE, "ended")


def test_parked_work_does_not_count_towards_the_channels_maximum() -> None:
    world = a_world(a_policy(channels={"chat": a_channel(units=10)}), an_agent(), ready())
    for n in range(3):
        work = taken_by_ada(world, f"c{n}", "chat")
        world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None
    assert (view.units_used, view.available_channels, len(view.assignments)) == (0, ("chat",), 3)


def test_after_unparking_beyond_the_units_no_new_item_is_offered() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    first = taken_by_ada(world, "c1")
    world.done(c.ParkAssignment(assignment_id=first, agent_id="ada"))
    taken_by_ada(world, "c2")
    world.done(c.UnparkContact(contact_id="c1"))
    view = world.engine.agent("ada")
    assert view is not None and (view.units_used, view.available_channels) == (200, ())
    world.done(a_contact("c3"))
    world.done(c.EndContact(contact_id="c1"))
    assert world.engine.agent("ada").offers == ()  # type: ignore[union-attr]
    world.done(c.EndContact(contact_id="c2"))
    assert len(world.engine.agent("ada").offers) == 1  # type: ignore[union-attr]


def test_the_wrap_up_of_parked_work_holds_capacity_as_its_channel_says() -> None:
    for holds, used in ((True, 100), (False, 0)):
        channel = a_channel(wrap_up_s=20, wrap_up_holds_capacity=holds)
        world = a_world(a_policy(channels={"voice": channel}), an_agent(), ready())
        work = taken_by_ada(world, "c1")
        world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
        world.done(c.AbandonContact(contact_id="c1"))
        view = world.engine.agent("ada")
        assert view is not None and view.units_used == used
        assert view.assignments[0].state is AssignmentState.WRAP_UP
        world.later(20)
        view = world.engine.agent("ada")
        assert view is not None and view.units_used == 0


def test_a_lost_desktop_requeues_parked_work_too() -> None:
    channel = a_channel(lost_desktop=LostDesktopAction.REQUEUE)
    world = a_world(a_policy(channels={"voice": channel}), an_agent(), ready())
    world.done(c.ConnectDesktop(agent_id="ada", session_id="s"))
    work = taken_by_ada(world, "c1")
    world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    world.done(c.LoseDesktop(agent_id="ada", session_id="s"))
    events = world.later(15)
    assert [event.reason for event in events if isinstance(event, e.ContactRequeued)] == ["lost_desktop"]


def test_parked_work_can_be_completed_and_transferred_to_an_agent() -> None:
    world = a_world(a_policy(), an_agent(), ready(), an_agent("bob"))
    first = taken_by_ada(world, "c1")
    world.done(c.ParkAssignment(assignment_id=first, agent_id="ada"))
    world.done(c.CompleteAssignment(assignment_id=first, agent_id="ada"))
    second = taken_by_ada(world, "c2")
    world.done(c.ParkAssignment(assignment_id=second, agent_id="ada"))
    world.done(not_ready())
    world.done(ready("bob"))
    world.done(c.TransferContact(contact_id="c2", to_agent_id="bob", agent_id="ada"))
    world.done(c.AcceptOffer(offer_id="c2.2", agent_id="bob"))
    assert world.engine.agent("ada").assignments == ()  # type: ignore[union-attr]
    assert world.engine.contact("c2").agent_id == "bob"  # type: ignore[union-attr]


def test_an_agent_with_parked_work_goes_offline_after_work_and_is_not_removed() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    work = taken_by_ada(world, "c1")
    world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.OFFLINE, after_work=True))
    assert world.engine.agent("ada").state is AgentState.OFFLINE  # type: ignore[union-attr]
    assert world.refused(c.RemoveAgent(agent_id="ada")).code is RefusalCode.AGENT_BUSY
    world.done(c.UnparkContact(contact_id="c1"))
    assert world.engine.contact("c1").agent_id == "ada"  # type: ignore[union-attr]
