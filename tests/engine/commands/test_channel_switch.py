"""Switching a contact to another channel: waiting or in a conversation, and what happens if the agent or the gateway cannot."""

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import ChannelPolicy
from router.model.results import Done, RefusalCode
from router.model.states import AgentState, AssignmentRole, AssignmentState, ChannelOutcome, ContactState, IfUnable
from router.model.views import AgentView, AssignmentView, ContactView
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World, a_world, compare_views

TO_VOICE = c.SwitchChannel(contact_id="c1", channel="voice", reference="call-9")
WAIT_FOR_VOICE = c.SwitchChannel(contact_id="c1", channel="voice", reference="call-9", if_unable=IfUnable.QUEUE)
CONSULT_FOR_VOICE = c.SwitchChannel(contact_id="c1", channel="voice", reference="call-9", if_unable=IfUnable.CONSULT)
BOB_ACCEPTS = c.AcceptOffer(offer_id="c1.2", agent_id="bob")
COMPLETE = c.CompleteConsult(contact_id="c1", agent_id="ada")
CONNECTED = c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED)
FAILED = c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.FAILED)


def a_centre(*commands: c.Command, voice: ChannelPolicy | None = None, cool_down_s: int = 0) -> World:
    """Return a workspace whose agents have three chats or one call; nothing waits for wrap-up."""
    channels = {
        "voice": voice or a_channel(),
        "chat": a_channel(units=30, per_agent_max=3),
        "sms": a_channel(units=10, per_agent_max=9),
    }
    return a_world(a_policy(channels=channels, queues={"support": a_queue(cool_down_s=cool_down_s)}), *commands)


def chatting(*commands: c.Command, others: int = 0, voice: ChannelPolicy | None = None, cool_down_s: int = 0) -> World:
    """Let ada have the chat c1 and some further chats, which leave no capacity for a call."""
    opening = an_agent("ada"), ready("ada"), a_contact("c1", channel="chat", reference="chat-1")
    world = a_centre(*opening, voice=voice, cool_down_s=cool_down_s)
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    for number in range(others):
        world.done_all(a_contact(f"more{number}", channel="chat"), c.AcceptOffer(offer_id=f"more{number}.1", agent_id="ada"))
    world.done_all(*commands)
    return world


def view_of(world: World, contact_id: str = "c1") -> ContactView:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view


def agent_of(engine: Engine, agent_id: str = "ada") -> AgentView:
    view = engine.agent(agent_id)
    assert view is not None
    return view


def work_of(world: World, agent_id: str = "ada") -> AssignmentView:
    return next(work for work in agent_of(world.engine, agent_id).assignments if work.contact_id == "c1")


def test_a_waiting_contact_changes_its_channel_and_keeps_its_place() -> None:
    """Story: a customer who has sent an SMS follows the link to a live chat while waiting."""
    world = a_centre(a_contact("c0", channel="sms"), a_contact("c1", channel="sms"), a_contact("c2", channel="chat"))
    world.later(60)
    (switched,) = world.done(c.SwitchChannel(contact_id="c1", channel="chat", reference="chat-1"))
    assert isinstance(switched, e.ContactChannelSwitched)
    view = view_of(world)
    assert (view.channel, view.reference, view.queued_at_ms, view.position) == ("chat", "chat-1", START_MS, 2)
    assert view.requirement.startswith("chat/")
    world.done_all(an_agent("bob", channel_max={"sms": 0, "chat": 1}), ready("bob"))
    assert [offer.channel for offer in view_of(world).offers] == ["chat"]
    compare_views(world)


def test_an_offered_contact_is_offered_again_on_its_new_channel() -> None:
    world = a_centre(an_agent(), ready(), a_contact("c1", channel="sms"))
    kinds = [type(event) for event in world.done(c.SwitchChannel(contact_id="c1", channel="chat"))]
    assert kinds == [e.OfferRescinded, e.ContactRequeued, e.ContactChannelSwitched, e.OfferMade]
    (offer,) = view_of(world).offers
    assert (offer.channel, offer.units) == ("chat", 30)


def test_a_conversation_switches_when_the_customer_is_connected_with_the_same_agent_and_assignment() -> None:
    world = chatting()
    (requested,) = world.done(TO_VOICE)
    assert isinstance(requested, e.ContactChannelRequested)
    assert (requested.held_units, requested.deadline_ms) == (70, world.at_ms + 30_000)
    view = view_of(world)
    assert view.channel == "chat" and view.switch is not None and view.switch.channel == "voice"
    # The larger of both is held: no other chat is offered meanwhile.
    world.done(a_contact("c2", channel="chat"))
    assert view_of(world, "c2").state is ContactState.QUEUED
    compare_views(world)
    (switched,) = world.done(CONNECTED)
    assert isinstance(switched, e.ContactChannelSwitched) and switched.assignment_id == "c1.1"
    work = work_of(world)
    assert (work.assignment_id, work.state, work.channel, work.units) == ("c1.1", AssignmentState.ACTIVE, "voice", 100)
    assert work.reference == view_of(world).reference == "call-9"
    again = world.do(CONNECTED).result
    assert isinstance(again, Done) and again.replayed
    world.done(c.EndContact(contact_id="c1"))
    assert view_of(world, "c2").state is ContactState.OFFERED
    compare_views(world)


@pytest.mark.parametrize(
    ("how", "reason"), [(FAILED, "failed"), (None, "timeout"), (c.SwitchChannel(contact_id="c1", channel="chat"), "cancelled")]
)
def test_the_old_channel_stands_if_the_customer_is_not_connected(how: c.Command | None, reason: str) -> None:
    world = chatting(TO_VOICE)
    (failed,) = world.later(30) if how is None else world.done(how)
    assert isinstance(failed, e.ContactChannelFailed) and failed.reason == reason
    work = work_of(world)
    assert (work.channel, work.units, work.reference, work.held_channel) == ("chat", 30, "chat-1", None)
    assert agent_of(world.engine).units_used == 30
    assert world.refused(CONNECTED).code is RefusalCode.INVALID_CONTACT_STATE
    assert world.engine.check_invariants() == []


def test_an_agent_in_a_call_keeps_the_chat_where_the_switch_is_refused() -> None:
    """Edge case: chat to voice with an agent whose capacity is in use; the chat goes on."""
    world = chatting(others=1)
    refused = world.refused(TO_VOICE)
    assert (refused.code, refused.field, refused.allowed) == (RefusalCode.CHANNEL_NOT_POSSIBLE, "channel", ("sms",))
    assert "sms" in refused.detail
    assert work_of(world).channel == "chat"


def test_a_waiting_switch_goes_on_with_the_same_agent_as_soon_as_there_is_capacity() -> None:
    world = chatting(others=1)
    world.done(a_contact("c9", channel="voice"))
    (requested,) = world.done(WAIT_FOR_VOICE)
    assert isinstance(requested, e.ContactChannelRequested) and requested.deadline_ms is None
    assert work_of(world).channel == "chat"
    events = world.done(c.EndContact(contact_id="more0"))
    again = [event for event in events if isinstance(event, e.ContactChannelRequested)]
    assert len(again) == 1 and again[0].deadline_ms is not None, "a conversation in progress goes before new contacts"
    assert view_of(world, "c9").state is ContactState.QUEUED
    world.done(CONNECTED)
    assert (work_of(world).channel, view_of(world).agent_id) == ("voice", "ada")


def test_a_waiting_switch_is_offered_to_another_agent_and_the_chat_goes_on_until_the_accept() -> None:
    world = chatting(others=1)
    world.done(WAIT_FOR_VOICE)
    events = world.done_all(an_agent("bob"), ready("bob"))
    (made,) = [event for event in events if isinstance(event, e.OfferMade)]
    assert (made.agent_id, made.channel, made.reason, made.from_agent_id) == ("bob", "voice", "channel", "ada")
    assert view_of(world).agent_id == "ada"
    accepted, asked = world.done(BOB_ACCEPTS)
    assert isinstance(accepted, e.OfferAccepted) and isinstance(asked, e.ContactChannelRequested)
    assert (accepted.role, accepted.takes_over, accepted.from_assignment_id) == (AssignmentRole.CONSULT, True, None)
    assert (asked.agent_id, asked.to_agent_id, asked.to_assignment_id) == ("ada", "bob", "c1.2")
    assert (asked.deadline_ms, asked.held_units, asked.reference) == (world.at_ms + 30_000, 0, "call-9")
    again = world.do(BOB_ACCEPTS).result
    assert isinstance(again, Done) and again.replayed
    view = view_of(world)
    assert (view.agent_id, view.channel, work_of(world).state) == ("ada", "chat", AssignmentState.ACTIVE)
    assert view.switch is not None and (view.switch.to_agent_id, view.switch.deadline_ms) == ("bob", asked.deadline_ms)
    assert (work_of(world).held_channel, work_of(world).passes_to) == ("voice", "bob")
    assert (work_of(world, "bob").channel, agent_of(world.engine).units_used) == ("voice", 60)
    compare_views(world)
    events = world.done(CONNECTED)
    assert [type(event) for event in events][:2] == [e.ContactHandedOver, e.ContactChannelSwitched]
    view = view_of(world)
    assert (view.agent_id, view.channel, view.reference, view.switch) == ("bob", "voice", "call-9", None)
    assert (work_of(world, "bob").channel, work_of(world, "bob").units) == ("voice", 100)
    assert [work.contact_id for work in agent_of(world.engine).assignments] == ["more0"]
    again = world.do(CONNECTED).result
    assert isinstance(again, Done) and again.replayed
    compare_views(world)
    assert world.engine.check_invariants() == []


def taking_over(if_unable: IfUnable, *commands: c.Command, joined: bool = False) -> World:
    """Let the gateway connect the customer of ada's chat with bob, on voice."""
    if if_unable is IfUnable.QUEUE:
        world = chatting(an_agent("bob"), ready("bob"), others=1)
        world.done_all(WAIT_FOR_VOICE, BOB_ACCEPTS)
    else:
        world = consulting()
    if joined:
        world.done(c.JoinConsult(contact_id="c1", agent_id="ada"))
    if if_unable is IfUnable.CONSULT:
        passes_on = c.HandOverContact(contact_id="c1", to_agent_id="bob", agent_id="ada") if joined else COMPLETE
        (asked,) = world.done(passes_on)
        assert isinstance(asked, e.ContactChannelRequested) and (asked.to_agent_id, asked.reference) == ("bob", "call-9")
        again = world.do(passes_on).result
        assert isinstance(again, Done) and again.replayed and again.seq == world.engine.seq
    world.done_all(*commands)
    return world


ways = pytest.mark.parametrize(
    ("if_unable", "joined"), [(IfUnable.QUEUE, False), (IfUnable.QUEUE, True), (IfUnable.CONSULT, False), (IfUnable.CONSULT, True)]
)


@ways
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (FAILED, "failed"),
        (None, "timeout"),
        (c.LeaveContact(contact_id="c1", agent_id="bob"), "cancelled"),
        (c.LeaveContact(contact_id="c1", agent_id="bob", reason="removed"), "cancelled"),
        (c.CompleteAssignment(assignment_id="c1.2", agent_id="bob"), "cancelled"),
        (c.CancelConsult(contact_id="c1", agent_id="ada"), "cancelled"),
    ],
)
def test_the_first_owner_keeps_the_old_channel_if_the_customer_is_not_connected_with_the_other_agent(
    if_unable: IfUnable, joined: bool, how: c.Command | None, reason: str
) -> None:
    world = taking_over(if_unable, joined=joined)
    if joined and isinstance(how, c.CancelConsult):
        assert world.refused(how).code is RefusalCode.INVALID_CONSULT_STATE
        return
    events = world.later(30) if how is None else world.done(how)
    left, failed = events[:2]
    assert isinstance(left, e.ParticipantLeft) and left.agent_id == "bob"
    assert isinstance(failed, e.ContactChannelFailed) and (failed.reason, failed.agent_id, failed.members) == (reason, "ada", None)
    view = view_of(world)
    assert (view.agent_id, view.channel, view.reference) == ("ada", "chat", "chat-1")
    assert (view.switch, view.participants) == (None, ())
    assert work_of(world).state is AssignmentState.ACTIVE and work_of(world).held_channel is None
    assert (agent_of(world.engine).units_used, agent_of(world.engine, "bob").units_used) == (60, 0)
    assert world.refused(CONNECTED).code is RefusalCode.INVALID_CONTACT_STATE
    assert world.engine.check_invariants() == []
    compare_views(world)
    world.later(60)
    assert view_of(world).agent_id == "ada"


@ways
def test_a_hand_over_in_progress_survives_a_snapshot_with_its_timer(if_unable: IfUnable, joined: bool) -> None:
    world = taking_over(if_unable, joined=joined)
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert engine.next_deadline_ms() == world.engine.next_deadline_ms() == world.at_ms + 30_000
        assert engine.check_invariants() == []
        outcome = engine.handle(CONNECTED, world.at_ms + 1)
        assert [type(event) for event in outcome.events][:2] == [e.ContactHandedOver, e.ContactChannelSwitched]
        contact = engine.contact("c1")
        assert contact is not None and (contact.agent_id, contact.channel, contact.reference) == ("bob", "voice", "call-9")


@ways
@pytest.mark.parametrize(
    "end",
    [
        c.EndContact(contact_id="c1"),
        c.EndContact(contact_id="c1", agent_id="ada"),
        c.AbandonContact(contact_id="c1"),
        c.RequeueContact(contact_id="c1", queue_id="support"),
        c.SuspendContact(contact_id="c1"),
        c.AssignContact(contact_id="c1", agent_id="cy"),
        c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"),
    ],
)
def test_whatever_takes_the_contact_from_its_owner_ends_the_hand_over_in_progress(
    if_unable: IfUnable, joined: bool, end: c.Command
) -> None:
    world = taking_over(if_unable, an_agent("cy"), ready("cy"), joined=joined)
    world.done(end)
    assert view_of(world).switch is None and view_of(world).channel == "chat"
    assert world.engine.check_invariants() == []
    compare_views(world)
    world.later(60)
    assert world.refused(CONNECTED).code is RefusalCode.INVALID_CONTACT_STATE


def test_a_supervisor_who_assigns_the_contact_to_the_agent_who_takes_over_does_not_wait_for_the_gateway() -> None:
    world = taking_over(IfUnable.QUEUE)
    events = world.done(c.AssignContact(contact_id="c1", agent_id="bob"))
    assert [type(event) for event in events][:2] == [e.ContactHandedOver, e.ContactChannelSwitched]
    late = world.do(CONNECTED).result
    assert isinstance(late, Done) and late.replayed


def test_the_owner_has_no_item_of_the_channel_on_which_another_agent_takes_over() -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=1, voice=a_channel(blocks=("sms",)))
    world.done_all(WAIT_FOR_VOICE, BOB_ACCEPTS, c.SetAgentState(agent_id="bob", state=AgentState.NOT_READY))
    world.done(a_contact("c7", channel="sms"))
    assert [offer.agent_id for offer in view_of(world, "c7").offers] == ["ada"], "voice blocks text messages"


def test_while_one_agent_takes_over_no_other_one_can() -> None:
    world = taking_over(IfUnable.QUEUE, an_agent("cy"), ready("cy"), joined=True)
    world.done_all(c.StartConsult(contact_id="c1", to_agent_id="cy", agent_id="ada"), c.AcceptOffer(offer_id="c1.3", agent_id="cy"))
    assert world.refused(COMPLETE).code is RefusalCode.INVALID_CONTACT_STATE
    world.done(c.JoinConsult(contact_id="c1", agent_id="ada"))
    refused = world.refused(c.HandOverContact(contact_id="c1", to_agent_id="cy", agent_id="ada"))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE and "connected with another agent" in refused.detail
    world.done(CONNECTED)
    view = view_of(world)
    assert (view.agent_id, [one.agent_id for one in view.participants]) == ("bob", ["cy"])
    assert world.engine.check_invariants() == []


def test_a_switch_that_waits_is_offered_to_no_other_agent_while_its_owner_consults_one() -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=1)
    world.done_all(c.SetAgentChannels(agent_id="bob", paused=("voice",)), WAIT_FOR_VOICE)
    world.done_all(c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada"), BOB_ACCEPTS)
    events = world.done_all(an_agent("cy"), ready("cy"))
    assert not [event for event in events if isinstance(event, e.OfferMade)]
    events = world.done(c.CancelConsult(contact_id="c1", agent_id="ada"))
    (made,) = [event for event in events if isinstance(event, e.OfferMade)]
    assert (made.agent_id, made.reason) == ("cy", "channel")


@pytest.mark.parametrize(
    "end",
    [
        c.EndContact(contact_id="c1"),
        c.RequeueContact(contact_id="c1", queue_id="support"),
        c.SuspendContact(contact_id="c1"),
        c.AssignContact(contact_id="c1", agent_id="bob"),
        c.ParkAssignment(assignment_id="c1.1", agent_id="ada"),
        c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_whatever_ends_the_conversation_ends_the_switch_with_what_is_held(end: c.Command, others: int) -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=others)
    world.done_all(WAIT_FOR_VOICE, end)
    assert view_of(world).switch is None
    assert world.engine.check_invariants() == []
    compare_views(world)
    world.later(60)
    assert view_of(world).channel == "chat"


def test_a_parked_or_shared_conversation_and_a_suspended_contact_cannot_switch() -> None:
    world = chatting(an_agent("bob"), ready("bob"))
    world.done(c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada"))
    assert world.refused(TO_VOICE).code is RefusalCode.INVALID_CONTACT_STATE
    world.done_all(c.CancelConsult(contact_id="c1"), c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert world.refused(TO_VOICE).code is RefusalCode.INVALID_CONTACT_STATE
    world.done(c.SuspendContact(contact_id="c1"))
    assert world.refused(TO_VOICE).state == "suspended"
    assert world.refused(c.SwitchChannel(contact_id="c1", channel="smoke")).code is RefusalCode.UNKNOWN_CHANNEL


@pytest.mark.parametrize("others", [0, 1])
def test_a_switch_in_progress_survives_a_snapshot_with_its_timer_and_what_is_held(others: int) -> None:
    world = chatting(others=others)
    world.done(WAIT_FOR_VOICE)
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert engine.next_deadline_ms() == world.engine.next_deadline_ms()
        assert agent_of(engine).units_used == agent_of(world.engine).units_used
        assert engine.check_invariants() == []
        outcome = engine.handle(c.EndContact(contact_id="more0") if others else CONNECTED, world.at_ms + 1)
        wanted = e.ContactChannelRequested if others else e.ContactChannelSwitched
        assert any(isinstance(event, wanted) for event in outcome.events)
        assert engine.check_invariants() == []


def test_an_interrupting_channel_takes_over_and_gives_back() -> None:
    world = chatting(voice=a_channel(interrupts=("chat",)), others=2)
    world.done(TO_VOICE)
    assert world.engine.check_invariants() == []
    world.done(CONNECTED)
    assert (work_of(world).channel, agent_of(world.engine).units_used) == ("voice", 100)
    compare_views(world)


def consulting(*commands: c.Command) -> World:
    """Let bob be consulted on voice for the chat of ada, who has no capacity for a call."""
    world = chatting(an_agent("bob"), ready("bob"), others=1)
    world.done_all(CONSULT_FOR_VOICE, BOB_ACCEPTS, *commands)
    return world


def test_an_agent_who_cannot_take_the_channel_consults_one_who_can_and_the_chat_goes_on() -> None:
    """Edge case: chat to voice with an agent in other work, ``if_unable: consult``."""
    world = chatting(an_agent("bob"), ready("bob"), others=1)
    asked, offered = world.done(CONSULT_FOR_VOICE)
    assert isinstance(asked, e.ContactChannelRequested) and isinstance(offered, e.OfferMade)
    assert (asked.agent_id, asked.deadline_ms, asked.if_unable) == ("ada", None, IfUnable.CONSULT)
    assert (offered.agent_id, offered.channel, offered.units, offered.role) == ("bob", "voice", 100, AssignmentRole.CONSULT)
    assert (offered.reason, offered.from_agent_id, offered.reference) == ("channel", "ada", "chat-1")
    (accepted,) = world.done(BOB_ACCEPTS)
    assert isinstance(accepted, e.OfferAccepted), "the customer is not put on hold: the chat goes on"
    view = view_of(world)
    assert (view.channel, view.agent_id, work_of(world).state) == ("chat", "ada", AssignmentState.ACTIVE)
    assert view.switch is not None and (view.switch.channel, view.switch.if_unable) == ("voice", IfUnable.CONSULT)
    assert (work_of(world, "bob").channel, work_of(world, "bob").role) == ("voice", AssignmentRole.CONSULT)
    again = world.do(CONSULT_FOR_VOICE).result
    assert isinstance(again, Done) and again.replayed
    compare_views(world)


def test_completing_the_consult_is_the_switch_once_the_customer_is_connected() -> None:
    world = taking_over(IfUnable.CONSULT)
    assert (view_of(world).agent_id, view_of(world).channel) == ("ada", "chat")
    events = world.done(CONNECTED)
    handed, switched = events[:2]
    assert isinstance(handed, e.ContactHandedOver) and isinstance(switched, e.ContactChannelSwitched)
    assert (switched.from_channel, switched.channel, switched.agent_id, switched.reference) == ("chat", "voice", "bob", "call-9")
    view = view_of(world)
    assert (view.agent_id, view.channel, view.reference, view.switch, view.participants) == ("bob", "voice", "call-9", None, ())
    assert (work_of(world, "bob").units, agent_of(world.engine, "bob").units_used) == (100, 100)
    assert [work.contact_id for work in agent_of(world.engine).assignments] == ["more0"]
    assert world.engine.check_invariants() == []
    compare_views(world)


@pytest.mark.parametrize(
    "end",
    [
        c.CancelConsult(contact_id="c1", agent_id="ada"),
        c.LeaveContact(contact_id="c1", agent_id="bob"),
        c.CompleteAssignment(assignment_id="c1.2", agent_id="bob"),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_the_switch_is_given_up_when_the_consulted_agent_leaves(end: c.Command, joined: bool) -> None:
    world = consulting(*([c.JoinConsult(contact_id="c1", agent_id="ada")] if joined else []))
    if joined and isinstance(end, c.CancelConsult):
        assert world.refused(end).code is RefusalCode.INVALID_CONSULT_STATE
        end = c.LeaveContact(contact_id="c1", agent_id="bob", reason="removed")
    events = world.done(end)
    (failed,) = [event for event in events if isinstance(event, e.ContactChannelFailed)]
    assert (failed.channel, failed.reason, failed.members) == ("voice", "cancelled", None)
    view = view_of(world)
    assert (view.channel, view.agent_id, view.switch, view.participants) == ("chat", "ada", None, ())
    assert work_of(world).state is AssignmentState.ACTIVE
    assert world.engine.check_invariants() == []


def test_a_conference_has_both_channels_until_the_hand_over() -> None:
    world = consulting(c.JoinConsult(contact_id="c1", agent_id="ada"))
    view = view_of(world)
    assert (view.channel, view.agent_id, [one.agent_id for one in view.participants]) == ("chat", "ada", ["bob"])
    assert world.refused(c.SwitchChannel(contact_id="c1", channel="sms")).code is RefusalCode.INVALID_CONTACT_STATE
    (asked,) = world.done(c.HandOverContact(contact_id="c1", to_agent_id="bob", agent_id="ada"))
    assert isinstance(asked, e.ContactChannelRequested) and asked.members == {"ada": "owner", "bob": "participant"}
    assert (view_of(world).channel, view_of(world).agent_id) == ("chat", "ada")
    events = world.done(CONNECTED)
    assert [type(event) for event in events][:2] == [e.ContactHandedOver, e.ContactChannelSwitched]
    assert (view_of(world).channel, view_of(world).reference, view_of(world).agent_id) == ("voice", "call-9", "bob")
    assert world.engine.check_invariants() == []
    compare_views(world)


def test_a_consult_for_a_switch_that_is_declined_goes_to_the_next_agent_and_waits_if_none_is_free() -> None:
    world = chatting(others=1, cool_down_s=30)
    (asked,) = world.done(CONSULT_FOR_VOICE)
    assert isinstance(asked, e.ContactChannelRequested) and view_of(world).offers == ()
    events = world.done_all(an_agent("bob"), ready("bob"), an_agent("cy"), ready("cy"))
    assert [event.agent_id for event in events if isinstance(event, e.OfferMade)] == ["bob"]
    events = world.done(c.DeclineOffer(offer_id="c1.2", agent_id="bob"))
    (made,) = [event for event in events if isinstance(event, e.OfferMade)]
    assert (made.agent_id, made.role) == ("cy", AssignmentRole.CONSULT)


def test_a_switch_is_offered_again_when_the_cool_down_of_the_only_other_agent_is_over() -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=1, cool_down_s=30)
    world.done_all(WAIT_FOR_VOICE, c.DeclineOffer(offer_id="c1.2", agent_id="bob"))
    assert view_of(world).offers == ()
    (made,) = world.later(30)
    assert isinstance(made, e.OfferMade) and made.agent_id == "bob"
    # The same where the cool-down was there before the switch, and after a restart.
    world.done_all(
        c.SwitchChannel(contact_id="c1", channel="chat"), WAIT_FOR_VOICE, c.DeclineOffer(offer_id="c1.4", agent_id="bob")
    )
    world.done_all(c.SwitchChannel(contact_id="c1", channel="chat"), CONSULT_FOR_VOICE)
    for engine in (world.engine, Engine.restore(world.engine.snapshot()), world.replayed()):
        outcome = engine.handle(c.AdvanceTime(), world.at_ms + 30_000)
        assert [event.agent_id for event in outcome.events if isinstance(event, e.OfferMade)] == ["bob"]


def test_the_own_agent_goes_first_until_another_one_is_consulted() -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=1)
    world.done(CONSULT_FOR_VOICE)
    events = world.done(c.EndContact(contact_id="more0"))
    assert [type(event) for event in events][-2:] == [e.OfferRescinded, e.ContactChannelRequested]
    world = consulting()
    events = world.done(c.EndContact(contact_id="more0"))
    assert not any(isinstance(event, e.ContactChannelRequested) for event in events)
    assert world.refused(CONNECTED).code is RefusalCode.INVALID_CONTACT_STATE


def test_while_the_consult_for_a_switch_is_offered_the_switch_can_be_changed_or_given_up() -> None:
    world = chatting(an_agent("bob"), ready("bob"), others=1)
    world.done(CONSULT_FOR_VOICE)
    assert world.refused(c.CancelConsult(contact_id="c1", agent_id="ada")).code is RefusalCode.INVALID_CONSULT_STATE
    assert "for the switch" in world.refused(c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada")).detail
    events = world.done(WAIT_FOR_VOICE)
    (made,) = [event for event in events if isinstance(event, e.OfferMade)]
    assert made.role is AssignmentRole.OWNER, "now the contact itself is offered"
    events = world.done_all(CONSULT_FOR_VOICE, c.SwitchChannel(contact_id="c1", channel="chat"))
    assert [type(event) for event in events][-2:] == [e.OfferRescinded, e.ContactChannelFailed]
    assert agent_of(world.engine, "bob").units_used == 0
    world.done_all(CONSULT_FOR_VOICE, c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))
    assert (view_of(world).switch, view_of(world).offers) == (None, ())


def test_no_agent_is_consulted_for_a_switch_where_the_channel_allows_no_participants() -> None:
    channels = {"voice": a_channel(), "chat": a_channel(units=60, participants_max=0)}
    world = a_world(a_policy(channels=channels, queues={"support": a_queue()}), an_agent("ada"), ready("ada"))
    world.done_all(a_contact("c1", channel="chat"), c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(c.PutAgent(agent_id="ada", units=60), an_agent("bob"), ready("bob"))
    refused = world.refused(CONSULT_FOR_VOICE)
    assert (refused.code, refused.field) == (RefusalCode.PARTICIPANT_LIMIT_EXCEEDED, "if_unable")


@pytest.mark.parametrize("joined", [False, True])
def test_a_consult_for_a_switch_survives_a_snapshot_and_ends_with_the_contact(joined: bool) -> None:
    world = consulting(*([c.JoinConsult(contact_id="c1", agent_id="ada")] if joined else []))
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert engine.check_invariants() == []
        command = c.HandOverContact(contact_id="c1", to_agent_id="bob") if joined else c.CompleteConsult(contact_id="c1")
        engine.handle(command, world.at_ms + 1)
        outcome = engine.handle(CONNECTED, world.at_ms + 2)
        assert any(isinstance(event, e.ContactChannelSwitched) and event.reference == "call-9" for event in outcome.events)
    for end in (c.EndContact(contact_id="c1"), c.SuspendContact(contact_id="c1"), c.AbandonContact(contact_id="c1")):
        engine = Engine.restore(world.engine.snapshot())
        engine.handle(end, world.at_ms + 1)
        assert agent_of(engine, "bob").units_used == 0 and engine.check_invariants() == []
        contact = engine.contact("c1")
        assert contact is not None and contact.switch is None
