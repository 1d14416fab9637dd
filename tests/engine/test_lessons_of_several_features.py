"""Lessons of other routers that involve several features; the page is ``docs/lessons.md``."""

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.policy import QueuePolicy, RonaPolicy, Selection, StepPolicy
from router.model.results import RefusalCode
from router.model.states import AgentState, ContactState
from tests.engine.test_lessons import accept, offers_of, owner_of, state_of, with_agents
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    offline,
    published,
    ready,
)
from tests.support.world import World, a_world


# --- A: offers and agent states that get stuck --------------------------------------------------------------
@pytest.mark.parametrize("end", ["ended", "abandoned", "cancelled", "expired"])
def test_commands_after_the_end_of_a_contact_change_nothing(end: str) -> None:
    """Lesson A2: later commands do not undo the end, and a thorough diagnosis finds no orphaned record."""
    world = a_world(None, an_agent(), ready(), a_contact(ttl_s=10 if end == "expired" else None))
    if end == "ended":
        accept(world, "c1", "ada")
        world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    elif end == "abandoned":
        world.done(c.AbandonContact(contact_id="c1"))
    elif end == "cancelled":
        world.done(c.CancelContact(contact_id="c1"))
    else:
        world.later(10)
    late: tuple[c.Command, ...] = (
        c.DeclineOffer(offer_id="c1.1", agent_id="ada"),
        c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"),
        c.HoldAssignment(assignment_id="c1.1", agent_id="ada"),
        c.TransferContact(contact_id="c1", to_queue_id="support"),
        c.RequeueContact(contact_id="c1"),
        c.AssignContact(contact_id="c1", agent_id="ada"),
        c.EndContact(contact_id="c1"),
        c.AbandonContact(contact_id="c1"),
    )
    for command in late:
        assert world.do(command).events == []
    view = world.engine.contact("c1")
    assert view is not None and view.state == end
    agent = world.engine.agent("ada")
    assert agent is not None and agent.offers == () and agent.assignments == ()
    assert world.engine.check_invariants() == []
    assert world.engine.diagnose(thorough=True).errors == 0


def test_an_agent_who_never_answers_becomes_not_ready_after_one_offer() -> None:
    """Lesson A10: offers that fail in the same way do not repeat, and each end has a reason."""
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.later(3_600)
    assert sum(isinstance(one, e.OfferMade) for one in events) == 0
    (expired,) = [one for one in events if isinstance(one, e.OfferExpired)]
    assert expired.reason == "no_answer"
    view = world.engine.agent("ada")
    assert view is not None and (view.state, view.reason) == (AgentState.NOT_READY, "rona")


@pytest.mark.parametrize("away", [not_ready(), offline()], ids=["not_ready", "offline"])
def test_going_not_ready_rescinds_the_offers_of_the_agent_by_default(away: c.Command) -> None:
    """Lesson A11."""
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.done(away)
    rescinded = [one.reason for one in events if isinstance(one, e.OfferRescinded)]
    assert rescinded == ["agent_not_ready"]
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.QUEUED
    assert list(offers_of(with_agents(world, ["bob"]), "c1")) == ["bob"]


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


# --- B: double and overwritten assignments ------------------------------------------------------------------
def test_a_bridge_that_fails_after_the_accept_is_offered_again_at_once() -> None:
    """Lesson B4: other offers end only with the accept, and the next offer is in the same transaction."""
    world = with_agents(World(a_policy_with_queue(broadcast=2)), ("ada", "bob"))
    world.done(a_contact())
    accept(world, "c1", "ada")
    events = world.done(c.RequeueContact(contact_id="c1"))
    assert [one.agent_id for one in events if isinstance(one, e.OfferMade)] == ["bob"]


def test_an_offer_made_under_an_older_policy_cannot_be_accepted_where_it_no_longer_holds() -> None:
    """Lesson B6: pending offers are checked again when the policy changes, before any other command."""
    world = with_agents(World(a_policy()), ("ada",))
    world.done(a_contact())
    world.done(published(a_policy_with_queue(requires={"german": 3})))
    assert offers_of(world, "c1") == {}
    late = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert late.code is RefusalCode.OFFER_NOT_PENDING and late.state == "rescinded"
    world.done(an_agent(skills={"german": 3}))
    assert list(offers_of(world, "c1")) == ["ada"]


def test_bots_are_agents_and_a_conversation_has_one_of_them_or_a_person() -> None:
    """Lesson B8."""
    policy = a_policy(
        channels={"chat": a_channel(units=1, per_agent_max=100, auto_accept=True)},
        queues={"support": a_queue(), "people": a_queue()},
    )
    world = World(policy)
    for bot in ("bot1", "bot2"):
        world.done_all(an_agent(bot, queues=("support",)), ready(bot))
    world.done_all(an_agent("ada", queues=("people",)), ready("ada"))
    world.done(a_contact(channel="chat"))
    first = owner_of(world, "c1")
    other = "bot2" if first == "bot1" else "bot1"
    refused = world.refused(c.EndContact(contact_id="c1", agent_id=other))
    assert refused.code is RefusalCode.NOT_OWNER
    events = world.done(c.TransferContact(contact_id="c1", to_queue_id="people", agent_id=first))
    assert sum(isinstance(one, e.OfferAccepted) for one in events) == 1
    assert owner_of(world, "c1") == "ada"
    late = world.refused(c.TransferContact(contact_id="c1", to_agent_id=other, agent_id=first))
    assert late.code is RefusalCode.NOT_OWNER


# --- C, D: free agents and waiting contacts; absent and preferred agents ------------------------------------
def test_routing_uses_the_same_agent_state_as_the_views() -> None:
    """Lesson C7: views, explanations and matching use one state."""
    world = a_world(None, an_agent())
    acts: tuple[c.Command, ...] = (
        ready(),
        not_ready(reason="lunch"),
        c.ConnectDesktop(agent_id="ada", session_id="s1"),
        ready(),
        c.LoseDesktop(agent_id="ada", session_id="s1"),
        c.ConnectDesktop(agent_id="ada", session_id="s2"),
        offline(),
    )
    for number, act in enumerate(acts):
        world.done(act)
        view = world.engine.agent("ada")
        assert view is not None
        contact_id = f"c{number}"
        world.done(a_contact(contact_id))
        assert bool(offers_of(world, contact_id)) is bool(view.available_channels), act
        why = world.engine.why_agent(contact_id, "ada")
        assert why is not None and bool(why.unmet_conditions) is bool(
            not view.available_channels or offers_of(world, contact_id)
        )
        world.done(c.CancelContact(contact_id=contact_id))


def _sticky(**step: object) -> World:
    first = StepPolicy(duration_s=60, prefer=("last",), **step)  # type: ignore[arg-type]
    policy = a_policy(
        queues={"support": a_queue(plan="sticky", cool_down_s=0)},
        plans={"sticky": (first, StepPolicy())},
    )
    world = with_agents(World(policy), ("ada", "bob"))
    world.done(a_contact("c1"))
    (owner,) = offers_of(world, "c1")
    assert owner == "ada"
    accept(world, "c1", "ada")
    world.done(c.EndContact(contact_id="c1", agent_id="ada"))
    return world


def test_a_returning_customer_is_not_reserved_for_an_agent_who_is_away() -> None:
    """Lesson D1: the previous agent is preferred for a time, and not at all while absent."""
    world = _sticky()
    world.done_all(offline("ada"), a_contact("c2", continues_contact_id="c1"))
    assert list(offers_of(world, "c2")) == ["bob"]


def test_one_customer_on_another_channel_gets_the_same_agent() -> None:
    """Lesson F5: a contact that continues another prefers its agent on any channel."""
    world = _sticky()
    world.done(a_contact("c2", channel="chat", continues_contact_id="c1"))
    assert list(offers_of(world, "c2")) == ["ada"]
    accept(world, "c2", "ada")
    world.done(a_contact("c3", channel="chat", continues_contact_id="c2"))
    assert list(offers_of(world, "c3")) == ["ada"]


# --- F: built into the engine -------------------------------------------------------------------------------
def test_a_skill_with_its_level_decides_who_may_take_it() -> None:
    """Lesson F1."""
    world = World(a_policy())
    world.done_all(an_agent("ada", skills={"german": 2}), ready("ada"))
    world.done_all(an_agent("bob", skills={"german": 7}), ready("bob"))
    world.done(a_contact(skills={"german": 5}))
    assert list(offers_of(world, "c1")) == ["bob"]


def test_contacts_beyond_the_limit_of_an_agent_wait_in_order() -> None:
    """Lesson F2: limits apply per agent and over all channels; contacts beyond them are served in order."""
    world = a_world(None, an_agent(channel_max={"chat": 2}), ready())
    world.done_all(*(a_contact(f"c{number}", channel="chat") for number in range(4)))
    accept(world, "c0", "ada")
    accept(world, "c1", "ada")
    assert offers_of(world, "c2") == {} and offers_of(world, "c3") == {}
    events = world.done(c.EndContact(contact_id="c0", agent_id="ada"))
    assert [one.contact_id for one in events if isinstance(one, e.OfferMade)] == ["c2"]


def test_a_chat_has_a_position_in_the_queue_like_a_call() -> None:
    """Lesson F4: the position counts contacts of all channels, because they wait in one order."""
    world = a_world(None, a_contact("c1"), a_contact("c2", channel="chat"), a_contact("c3"))
    views = [world.engine.contact(name) for name in ("c1", "c2", "c3")]
    assert [view.position for view in views if view is not None] == [1, 2, 3]
    world.done(c.AbandonContact(contact_id="c1"))
    view = world.engine.contact("c2")
    assert view is not None and view.position == 1


def test_the_least_occupied_available_agent_gets_the_contact() -> None:
    """Lesson F6: selection by availability and workload."""
    world = with_agents(
        World(a_policy_with_queue(selection=Selection.LEAST_OCCUPIED)), ("ada", "bob", "cy")
    )
    world.done(not_ready("cy"))
    taken = []
    for number in range(4):
        world.done(a_contact(f"c{number}", channel="chat"))
        (agent_id,) = offers_of(world, f"c{number}")
        accept(world, f"c{number}", agent_id)
        taken.append(agent_id)
    assert sorted(taken) == ["ada", "ada", "bob", "bob"]


def test_an_agent_who_does_not_answer_becomes_not_ready_with_a_reason() -> None:
    """Lesson F8: the agent becomes not ready at the deadline of the offer, not before."""
    world = a_world(a_policy_with_queue(rona=RonaPolicy(not_ready=True)), an_agent(), ready())
    world.done(a_contact())
    world.later(14)
    assert state_of(world, "ada") is AgentState.READY
    world.later(1)
    assert state_of(world, "ada") is AgentState.NOT_READY


def test_automation_that_other_routers_need_add_ons_for_is_built_in() -> None:
    """Lesson F9: automatic accept and wrap-up, transfers, and supervisors who end work and set capacity."""
    queue = QueuePolicy(auto_accept=True, wrap_up_s={"voice": 20})
    world = a_world(a_policy(queues={"support": queue, "sales": queue}), an_agent(), ready())
    world.done(a_contact())
    assert owner_of(world, "c1") == "ada"
    world.done(c.TransferContact(contact_id="c1", to_queue_id="sales", agent_id="ada"))
    view = world.engine.agent("ada")
    assert view is not None and view.assignments[0].state == "wrap_up"
    world.done(c.CompleteAssignment(assignment_id="c1.1"))
    world.later(30)
    assert owner_of(world, "c1") == "ada", "the cool-down of ada is over"
    world.done(an_agent(units=0))
    world.done_all(c.EndContact(contact_id="c1"), a_contact("c2"))
    world.later(60)
    assert owner_of(world, "c2") is None
    world.done(an_agent(units=100))
    assert owner_of(world, "c2") == "ada"
