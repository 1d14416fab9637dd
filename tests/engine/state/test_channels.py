"""Channels that interrupt or block others: cases that no scenario covers."""

from router.engine.state.channels import ChannelTable
from router.model import commands as c
from router.model.results import RefusalCode
from tests.support.builders import a_channel, a_contact, a_policy, an_agent, published, ready
from tests.support.checks.views import compare_views
from tests.support.engine_worlds import interrupting, taken_by_ada
from tests.support.world import a_world


def test_an_interrupted_item_interrupts_too_and_the_views_say_so() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    for name, channel in (("m1", "mail"), ("c1", "chat"), ("v1", "voice")):
        taken_by_ada(world, name, channel)
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
    taken_by_ada(world, "c1", "chat")
    taken_by_ada(world, "c2", "chat")
    world.done(a_contact("v1"))
    view = world.engine.agent("ada")
    assert view is not None and (view.units_used, len(view.offers)) == (100, 1)
    assert all(work.interrupted for work in view.assignments)
    world.done(c.DeclineOffer(offer_id="v1.1", agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None and not any(work.interrupted for work in view.assignments)


def test_why_names_the_item_that_interrupts() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    taken_by_ada(world, "v1")
    world.done(a_contact("c1", channel="chat"))
    why = world.engine.why_agent("c1", "ada")
    assert why is not None
    lacks = {lack.code: lack.items for lack in why.unmet_conditions}
    assert lacks["interrupted"] == ("v1.1",)


def test_a_supervisor_cannot_assign_what_would_be_interrupted_at_once() -> None:
    world = a_world(interrupting(), an_agent(units=500), ready())
    taken_by_ada(world, "v1")
    world.done(a_contact("c1", channel="chat"))
    refused = world.refused(c.AssignContact(contact_id="c1", agent_id="ada"))
    assert refused.code is RefusalCode.CAPACITY_EXCEEDED


def test_a_policy_without_interruptions_gives_every_item_its_units_back() -> None:
    world = a_world(interrupting(), an_agent(), ready())
    taken_by_ada(world, "c1", "chat")
    taken_by_ada(world, "v1")
    plain = a_policy(channels={"voice": a_channel(), "chat": a_channel(units=50, per_agent_max=2), "mail": a_channel(units=20)})
    world.done(published(plain))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 150
    world.done(published(interrupting()))
    view = world.engine.agent("ada")
    assert view is not None and view.units_used == 100
    compare_views(world)


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
