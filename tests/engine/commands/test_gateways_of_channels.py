"""A contact passes to the gateway that serves its new channel; and the channels that a policy offers to customers."""

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import EntryCondition, EntryRule
from router.model.results import Done, RefusalCode, Refused
from router.model.states import ChannelOutcome, IfUnable
from router.model.views import ContactView
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World, a_world

TO_CHAT = c.SwitchChannel(contact_id="c1", channel="chat", reference="chat-1", gateway_id="sms")


def a_centre(*commands: c.Command) -> World:
    channels = {
        "sms": a_channel(units=10, per_agent_max=9),
        "chat": a_channel(units=30, per_agent_max=3, gateway="web"),
        "voice": a_channel(gateway="pbx"),
    }
    first = a_contact("c1", channel="sms", reference="sms-1", gateway_id="sms", priority_s=30)
    return a_world(a_policy(channels=channels, queues={"support": a_queue(cool_down_s=0)}), first, *commands)


def talking(*commands: c.Command) -> World:
    return a_centre(an_agent("ada"), ready("ada"), c.AcceptOffer(offer_id="c1.1", agent_id="ada"), *commands)


def view_of(world: World) -> ContactView:
    view = world.engine.contact("c1")
    assert view is not None
    return view


def test_a_waiting_contact_is_passed_on_with_what_the_new_gateway_needs() -> None:
    world = a_centre()
    switched, passed = world.done(TO_CHAT)
    assert isinstance(switched, e.ContactChannelSwitched) and switched.gateway_id == "sms"
    assert isinstance(passed, e.ContactGatewayChanged)
    assert (passed.gateway_id, passed.from_gateway_id, passed.channel, passed.queue_id) == ("web", "sms", "chat", "support")
    assert (passed.priority_s, passed.reference, passed.owner_agent_id) == (30, "chat-1", None)
    assert view_of(world).gateway_id == "web"
    assert world.refused(c.CancelContact(contact_id="c1", gateway_id="sms")).code is RefusalCode.UNKNOWN_CONTACT
    world.done(c.CancelContact(contact_id="c1", gateway_id="web"))


def test_in_a_conversation_the_new_gateway_connects_and_then_has_the_contact() -> None:
    world = talking()
    (asked,) = world.done(TO_CHAT)
    assert isinstance(asked, e.ContactChannelRequested)
    assert (asked.gateway_id, asked.to_gateway_id) == ("sms", "web")
    stranger = c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED, gateway_id="pbx")
    assert world.refused(stranger).code is RefusalCode.UNKNOWN_CONTACT
    for gateway_id in ("sms", "web"):
        assert world.engine.may_see_contact("c1", gateway_id=gateway_id), "both have the customer while the switch is in progress"
    events = world.done(c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED, gateway_id="web"))
    switched, passed = events
    assert isinstance(switched, e.ContactChannelSwitched) and isinstance(passed, e.ContactGatewayChanged)
    assert (passed.owner_agent_id, passed.assignment_id) == ("ada", "c1.1")
    again = world.do(c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED, gateway_id="web")).result
    assert isinstance(again, Done) and again.replayed
    assert not world.engine.may_see_contact("c1", gateway_id="sms")
    (ended,) = [event for event in world.done(c.EndContact(contact_id="c1")) if isinstance(event, e.ContactEnded)]
    assert ended.gateway_id == "web"


@pytest.mark.parametrize("reported", [True, False])
def test_a_switch_that_fails_leaves_the_contact_with_its_gateway(reported: bool) -> None:
    world = talking(TO_CHAT)
    failed = c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.FAILED, gateway_id="web")
    (event,) = world.done(failed) if reported else world.later(30)
    assert isinstance(event, e.ContactChannelFailed) and (event.gateway_id, event.to_gateway_id) == ("sms", "web")
    assert view_of(world).gateway_id == "sms" and not world.engine.may_see_contact("c1", gateway_id="web")


def test_a_consulted_agent_who_takes_over_takes_the_contact_to_the_other_gateway() -> None:
    world = talking(a_contact("c2", channel="sms"), c.AcceptOffer(offer_id="c2.1", agent_id="ada"), an_agent("bob"), ready("bob"))
    world.done(c.SwitchChannel(contact_id="c1", channel="voice", if_unable=IfUnable.CONSULT, gateway_id="sms"))
    events = world.done_all(c.AcceptOffer(offer_id="c1.2", agent_id="bob"), c.CompleteConsult(contact_id="c1", agent_id="ada"))
    (asked,) = [event for event in events if isinstance(event, e.ContactChannelRequested)]
    assert (asked.gateway_id, asked.to_gateway_id, asked.to_agent_id) == ("sms", "pbx", "bob")
    assert world.engine.may_see_contact("c1", gateway_id="pbx") and view_of(world).gateway_id == "sms"
    events = world.done(c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED, gateway_id="pbx"))
    (passed,) = [event for event in events if isinstance(event, e.ContactGatewayChanged)]
    assert (passed.gateway_id, passed.owner_agent_id) == ("pbx", "bob")


def test_the_gateway_of_a_channel_resumes_a_contact_of_another_one_on_that_channel_alone() -> None:
    world = a_centre(c.SuspendContact(contact_id="c1"))
    by_web = c.ResumeContact(contact_id="c1", channel="voice", gateway_id="web")
    assert world.refused(by_web).code is RefusalCode.UNKNOWN_CONTACT
    assert world.refused(c.ResumeContact(contact_id="c1", gateway_id="pbx")).code is RefusalCode.UNKNOWN_CONTACT
    events = world.done(c.ResumeContact(contact_id="c1", channel="voice", reference="call-9", gateway_id="pbx"))
    assert [type(event) for event in events][:2] == [e.ContactResumed, e.ContactGatewayChanged]
    view = view_of(world)
    assert (view.gateway_id, view.channel, view.reference) == ("pbx", "voice", "call-9")
    again = world.do(c.ResumeContact(contact_id="c1", channel="voice", gateway_id="pbx")).result
    assert isinstance(again, Done) and again.replayed


@pytest.mark.parametrize("commands", [(TO_CHAT,), (c.SuspendContact(contact_id="c1"),)])
def test_the_gateway_survives_a_snapshot_and_a_replay(commands: tuple[c.Command, ...]) -> None:
    world = talking(*commands)
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest()
        for one in (
            c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED, gateway_id="web"),
            c.ResumeContact(contact_id="c1", channel="chat", gateway_id="web"),
        ):
            engine.handle(one, world.at_ms + 1)
        contact = engine.contact("c1")
        assert contact is not None and (contact.gateway_id, contact.channel) == ("web", "chat")


# --- channels that are offered to customers -----------------------------------------------------------------------------
LINK = c.ChangeCustomerToken(contact_id="c1", token_hash=b"hash", gateway_id="sms", is_link=True)


def an_offer(*commands: c.Command, of_rule: tuple[str, ...] | None = None, of_channel: tuple[str, ...] = ("chat",)) -> World:
    """Return a centre with an SMS that came by a rule, and what rule and channel offer."""
    channels = {
        "sms": a_channel(units=10, per_agent_max=9, offer_channels=of_channel),
        "chat": a_channel(units=30, per_agent_max=3),
        "voice": a_channel(),
    }
    rule = EntryRule(name="sms", when=EntryCondition(channel="sms"), queue="support", offer_channels=of_rule)
    policy = a_policy(channels=channels, queues={"support": a_queue(cool_down_s=0)}, entry=(rule,))
    return a_world(policy, a_contact("c1", channel="sms", queue_id=None, gateway_id="sms"), *commands)


@pytest.mark.parametrize(
    ("of_rule", "of_channel", "offered"),
    [
        (None, ("chat",), ("chat",)),
        (("voice", "chat"), ("chat",), ("voice", "chat")),
        ((), ("chat",), ()),
        (None, (), ()),
        (("sms", "voice"), (), ("voice",)),
    ],
)
def test_the_rule_of_a_contact_says_what_its_customer_is_offered_else_its_channel(
    of_rule: tuple[str, ...] | None, of_channel: tuple[str, ...], offered: tuple[str, ...]
) -> None:
    world = an_offer(of_rule=of_rule, of_channel=of_channel)
    if not offered:
        refused = world.refused(LINK)
        assert (refused.code, refused.field) == (RefusalCode.CHANNEL_NOT_POSSIBLE, "contact_id")
        return
    world.done(LINK)
    request = world.engine.request("c1")
    assert request is not None and (request.channel, request.channels) == ("sms", offered)
    holder = world.engine.token_holder(b"hash")
    assert holder is not None and holder.contact_id == "c1"
    for name in ("sms", "chat", "voice"):
        engine = Engine.restore(world.engine.snapshot())
        answer = engine.handle(c.SwitchChannel(contact_id="c1", channel=name, by_customer=True), world.at_ms).result
        if name in offered or name == "sms":
            assert isinstance(answer, Done)
        else:
            assert isinstance(answer, Refused) and answer.allowed == offered


def test_a_contact_without_a_request_gets_no_token_but_by_a_link() -> None:
    world = an_offer()
    token = c.ChangeCustomerToken(contact_id="c1", token_hash=b"hash", gateway_id="sms")
    assert world.refused(token).code is RefusalCode.UNKNOWN_CONTACT
    world.done(LINK)
    world.done(c.ChangeCustomerToken(contact_id="c1", token_hash=b"other", gateway_id="sms"))
    assert world.engine.token_holder(b"hash") is None
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest() and engine.token_holder(b"other") is not None


def test_a_customer_sees_the_switch_that_waits_for_capacity() -> None:
    world = an_offer(an_agent("ada", units=30), ready("ada"), c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(c.EnqueueContact(contact_id="c2", channel="sms", queue_id="support"), LINK)
    world.done(c.AcceptOffer(offer_id="c2.1", agent_id="ada"))
    world.done(c.SwitchChannel(contact_id="c1", channel="chat", if_unable=IfUnable.QUEUE, by_customer=True))
    request = world.engine.request("c1")
    assert request is not None and (request.channel, request.switches_to) == ("sms", "chat")
    world.done(c.SwitchChannel(contact_id="c1", channel="sms", by_customer=True))
    request = world.engine.request("c1")
    assert request is not None and request.switches_to is None
