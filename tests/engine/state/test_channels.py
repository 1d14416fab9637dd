"""Tests of channels beyond the scenarios: interruption, parking and paused channels over restarts, policy changes and refusals."""

from router.engine.engine import Engine
from router.engine.state.channels import ChannelTable
from router.model import commands as c
from router.model import events as e
from router.model.policy import AgentsPolicy, LostDesktopAction, Policy
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
from tests.support.checks.views import compare_views
from tests.support.world import World, a_world


def interrupting(**changes: object) -> Policy:
    return a_policy(
        channels={
            "voice": a_channel(interrupts=("chat",)),
            "chat": a_channel(units=50, per_agent_max=2, interrupts=("mail",)),
            "mail": a_channel(units=20, per_agent_max=5),
        },
        **changes,
    )


def taken(world: World, contact_id: str, channel: str = "voice") -> str:
    """Submit a contact and accept it as ada; return the assignment's id."""
    events = world.done(a_contact(contact_id, channel=channel))
    (offer,) = (event for event in events if isinstance(event, e.OfferMade))
    if not any(isinstance(event, e.OfferAccepted) for event in events):
        world.done(c.AcceptOffer(offer_id=offer.offer_id, agent_id="ada"))
    return offer.offer_id


def test_an_interrupted_item_interrupts_too_and_the_views_say_so() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    for name, channel in (("m1", "mail"), ("c1", "chat"), ("v1", "voice")):
        taken(world, name, channel)
    view = world.engine.agent("ada")
    assert view is not None
    assert view.units_used == 100
    shown = {work.channel: (work.units, work.interrupted) for work in view.assignments}
    assert shown == {"mail": (0, True), "chat": (0, True), "voice": (100, False)}
    world.done(c.EndContact(contact_id="v1"))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 50
    compare_views(world)


def test_an_offer_interrupts_while_it_is_pending() -> None:
    world = a_world(interrupting(), an_agent(units=100), ready())
    taken(world, "c1", "chat")
    taken(world, "c2", "chat")
    world.done(a_contact("v1"))
    view = world.engine.agent("ada")
    assert view is not None and (view.units_used, len(view.offers)) == (100, 1)
    assert all(work.interrupted for work in view.assignments)
    world.done(c.DeclineOffer(offer_id="v1.1", agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None and not any(work.interrupted for work in view.assignments)


def test_why_names_the_item_that_interrupts() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    taken(world, "v1")
    world.done(a_contact("c1", channel="chat"))
    why = world.engine.why_agent("c1", "ada")
    assert why is not None
    lacks = {lack.code: lack.items for lack in why.unmet_conditions}
    assert lacks["interrupted"] == ("v1.1",)


def test_a_supervisor_cannot_assign_what_would_be_interrupted_at_once() -> None:
    world = a_world(interrupting(), an_agent(units=500), ready())
    taken(world, "v1")
    world.done(a_contact("c1", channel="chat"))
    refused = world.refused(c.AssignContact(contact_id="c1", agent_id="ada"))
    assert refused.code is RefusalCode.CAPACITY_EXCEEDED


def test_a_policy_without_interruptions_gives_every_item_its_units_back() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    taken(world, "c1", "chat")
    taken(world, "v1")
    plain = a_policy(
        channels={
            "voice": a_channel(),
            "chat": a_channel(units=50, per_agent_max=2),
            "mail": a_channel(units=20),
        }
    )
    world.done(published(plain))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 150
    world.done(published(interrupting()))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 100
    compare_views(world)


def test_repeated_parking_and_unparking_has_no_effect() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    work = taken(world, "c1")
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
        work = taken(world, f"c{n}", "chat")
        world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None
    assert (view.units_used, view.available_channels, len(view.assignments)) == (0, ("chat",), 3)


def test_after_unparking_beyond_the_units_no_new_item_is_offered() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    first = taken(world, "c1")
    world.done(c.ParkAssignment(assignment_id=first, agent_id="ada"))
    taken(world, "c2")
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
        work = taken(world, "c1")
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
    work = taken(world, "c1")
    world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    world.done(c.LoseDesktop(agent_id="ada", session_id="s"))
    events = world.later(15)
    assert [event.reason for event in events if isinstance(event, e.ContactRequeued)] == [
        "lost_desktop"
    ]


def test_parked_work_can_be_completed_and_transferred_to_an_agent() -> None:
    world = a_world(a_policy(), an_agent(), ready(), an_agent("bob"))
    first = taken(world, "c1")
    world.done(c.ParkAssignment(assignment_id=first, agent_id="ada"))
    world.done(c.CompleteAssignment(assignment_id=first, agent_id="ada"))
    second = taken(world, "c2")
    world.done(c.ParkAssignment(assignment_id=second, agent_id="ada"))
    world.done(not_ready())
    world.done(ready("bob"))
    world.done(c.TransferContact(contact_id="c2", to_agent_id="bob", agent_id="ada"))
    world.done(c.AcceptOffer(offer_id="c2.2", agent_id="bob"))
    assert world.engine.agent("ada").assignments == ()  # type: ignore[union-attr]
    assert world.engine.contact("c2").agent_id == "bob"  # type: ignore[union-attr]


def test_an_agent_with_parked_work_goes_offline_after_work_and_is_not_removed() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    work = taken(world, "c1")
    world.done(c.ParkAssignment(assignment_id=work, agent_id="ada"))
    world.done(c.SetAgentState(agent_id="ada", state=AgentState.OFFLINE, after_work=True))
    assert world.engine.agent("ada").state is AgentState.OFFLINE  # type: ignore[union-attr]
    assert world.refused(c.RemoveAgent(agent_id="ada")).code is RefusalCode.AGENT_BUSY
    world.done(c.UnparkContact(contact_id="c1"))
    assert world.engine.contact("c1").agent_id == "ada"  # type: ignore[union-attr]


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


def test_bits_of_interrupting_channels_follow_the_policy() -> None:
    table = ChannelTable()
    table.set_policy(interrupting())
    voice, chat, mail = table.by_index
    assert (voice.bit, chat.bit, mail.bit, table.all_bits) == (1, 2, 4, 7)
    assert (voice.interrupts, chat.interrupts, mail.interrupts) == (2, 4, 0)
    assert table.has_interrupts and table.needs_full_refresh and not table.has_caps


def test_bits_of_blocking_channels_follow_the_policy() -> None:
    table = ChannelTable()
    table.set_policy(a_policy(channels={"mail": a_channel(blocks=("voice", "unknown"))}))
    assert table.by_name["mail"].blocked_by == 0 and not table.needs_full_refresh


def test_a_blocked_channel_needs_a_full_refresh() -> None:
    table = ChannelTable()
    channels = {"mail": a_channel(blocks=("voice",)), "voice": a_channel()}
    table.set_policy(a_policy(channels=channels))
    assert table.by_name["voice"].blocked_by == table.by_name["mail"].bit
    assert table.needs_full_refresh and not table.has_interrupts
