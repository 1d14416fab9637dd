"""Problems that users of other routers report, and the behaviour of this one. Each docstring has its number in the page.

The page is ``docs/lessons.md``. After each command the test world compares the engine with the reference implementation, so
a test asserts only what is special about its case.
"""

from collections.abc import Iterable

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.policy import LostDesktopAction, RonaPolicy, Selection
from router.model.results import RefusalCode
from router.model.states import AgentState, AssignmentState, ContactState, OfferState
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


def names(count: int) -> list[str]:
    return [f"agent{number:02}" for number in range(count)]


def with_agents(world: World, agents: Iterable[str]) -> World:
    for agent_id in agents:
        world.done_all(an_agent(agent_id), ready(agent_id))
    return world


def offers_of(world: World, contact_id: str) -> dict[str, str]:
    """Return the pending offers of a contact: agent id to offer id."""
    view = world.engine.contact(contact_id)
    assert view is not None
    return {offer.agent_id: offer.offer_id for offer in view.offers}


def accept(world: World, contact_id: str, agent_id: str) -> list[e.Event]:
    offer_id = offers_of(world, contact_id)[agent_id]
    return world.done(c.AcceptOffer(offer_id=offer_id, agent_id=agent_id))


def kinds(events: Iterable[e.Event]) -> list[str]:
    return [type(one).__name__ for one in events]


def state_of(world: World, agent_id: str) -> AgentState:
    view = world.engine.agent(agent_id)
    assert view is not None
    return view.state


def owner_of(world: World, contact_id: str) -> str | None:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.agent_id


# --- A: offers, reservations and agent states that get stuck ------------------------------------------------
def test_fifty_agents_accept_at_once_and_one_wins_and_none_is_left_reserved() -> None:
    """Lesson A1."""
    world = with_agents(World(a_policy_with_queue(broadcast=50)), names(50))
    world.done(a_contact())
    offers = offers_of(world, "c1")
    assert len(offers) == 50
    answers = {
        agent_id: world.do(c.AcceptOffer(offer_id=offer_id, agent_id=agent_id)).result
        for agent_id, offer_id in offers.items()
    }
    winner = next(iter(offers))
    assert owner_of(world, "c1") == winner
    losers = [answer for agent_id, answer in answers.items() if agent_id != winner]
    assert {getattr(answer, "code", None) for answer in losers} == {RefusalCode.OFFER_NOT_PENDING}
    assert not world.reference.pending_offers()
    for agent_id in offers:
        view = world.engine.agent(agent_id)
        assert view is not None
        assert view.units_used == (100 if agent_id == winner else 0)


def test_a_contact_that_is_ended_twice_ends_once() -> None:
    """Lesson A2."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    assert kinds(world.done(c.AbandonContact(contact_id="c1"))) == [
        "ContactEnded",
        "AssignmentCompleted",
    ]
    assert world.done(c.AbandonContact(contact_id="c1")) == []
    assert world.refused(c.DeclineOffer(offer_id="c1.1", agent_id="ada")).code is (
        RefusalCode.OFFER_NOT_PENDING
    )
    view = world.engine.agent("ada")
    assert view is not None and view.assignments == ()


def test_an_unavailable_agent_does_not_block_routing() -> None:
    """Lesson A3."""
    world = with_agents(World(a_policy()), ("ada", "bob", "cy"))
    world.done_all(not_ready("ada"), not_ready("cy"))
    world.done_all(a_contact("c1"))
    assert list(offers_of(world, "c1")) == ["bob"]


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


def test_of_equal_contacts_one_is_always_first() -> None:
    """Lesson A6."""
    world = a_world(None, *(a_contact(f"c{number}") for number in range(10)))
    positions = [world.engine.contact(f"c{number}") for number in range(10)]
    assert [view.position for view in positions if view] == list(range(1, 11))
    taken = []
    for agent_id in names(10):
        events = world.done_all(an_agent(agent_id), ready(agent_id))
        taken += [one.contact_id for one in events if isinstance(one, e.OfferMade)]
    assert taken == [f"c{number}" for number in range(10)]


def test_a_supervisor_releases_an_agent_whose_contact_never_ended() -> None:
    """Lesson A7."""
    world = a_world(None, an_agent(), ready(), a_contact())
    accept(world, "c1", "ada")
    world.later(86_400)
    world.done(c.EndContact(contact_id="c1", reason="supervisor"))
    view = world.engine.agent("ada")
    assert (
        view is not None and view.assignments == () and view.available_channels == ("voice", "chat")
    )


def test_rona_ends_automatically_and_the_view_says_when() -> None:
    """Lessons A8 and F8."""
    policy = a_policy_with_queue(rona=RonaPolicy(return_after_s=20), cool_down_s=60)
    world = a_world(policy, an_agent(), ready(), a_contact())
    world.later(15)
    view = world.engine.agent("ada")
    assert view is not None
    assert (view.state, view.reason) == (AgentState.NOT_READY, "rona")
    assert view.return_at_ms == world.at_ms + 20_000
    world.later(20)
    assert state_of(world, "ada") is AgentState.READY


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


@pytest.mark.parametrize("state", ["queued", "offered", "assigned", "on_hold"])
@pytest.mark.parametrize("act", ["requeue", "end", "assign"])
def test_a_supervisor_can_move_or_end_any_live_contact(state: str, act: str) -> None:
    """Lesson A12."""
    world = a_world(None, an_agent("bob"), not_ready("bob"), a_contact())
    if state != "queued":
        world.done_all(an_agent(), ready())
    if state in ("assigned", "on_hold"):
        accept(world, "c1", "ada")
    if state == "on_hold":
        world.done(c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))
    acts: dict[str, c.Command] = {
        "requeue": c.RequeueContact(contact_id="c1"),
        "end": c.EndContact(contact_id="c1", reason="supervisor"),
        "assign": c.AssignContact(contact_id="c1", agent_id="bob"),
    }
    world.done(acts[act])
    view = world.engine.contact("c1")
    assert view is not None
    if act == "assign":
        assert (view.state, view.agent_id) == (ContactState.ASSIGNED, "bob")
    elif act == "end":
        assert view.state.is_terminal
    else:
        assert view.state in (ContactState.QUEUED, ContactState.OFFERED)


def test_a_declined_contact_is_not_offered_to_the_only_agent_repeatedly() -> None:
    """Lesson A13."""
    world = a_world(a_policy_with_queue(cool_down_s=30), an_agent(), ready(), a_contact())
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert not any(isinstance(one, e.OfferMade) for one in world.later(29))
    assert kinds(world.later(1)) == ["OfferMade"]


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


def test_cancelling_is_idempotent_and_a_refusal_names_the_state() -> None:
    """Lesson A14."""
    world = a_world(None, a_contact())
    world.done(c.CancelContact(contact_id="c1"))
    assert world.done(c.CancelContact(contact_id="c1")) == []
    world.done_all(an_agent(), ready(), a_contact("c2"))
    accept(world, "c2", "ada")
    refused = world.refused(c.CancelContact(contact_id="c2"))
    assert refused.code is RefusalCode.INVALID_CONTACT_STATE
    assert refused.state == "assigned"


# --- B: double assignment, overwritten assignment, wrong counts ---------------------------------------------
def test_the_second_accept_is_refused_with_the_deciding_event() -> None:
    """Lesson B1."""
    world = with_agents(World(a_policy_with_queue(broadcast=2)), ("ada", "bob"))
    world.done(a_contact())
    accept(world, "c1", "bob")
    refused = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    assert refused.code is RefusalCode.OFFER_NOT_PENDING
    assert refused.seq == world.reference.offers["c1.1"].end_seq


def test_a_repeated_successful_accept_gets_the_first_answer() -> None:
    """Lesson B1."""
    world = a_world(None, an_agent(), ready(), a_contact())
    first = world.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada")).result
    again = world.do(c.AcceptOffer(offer_id="c1.1", agent_id="ada")).result
    assert getattr(again, "replayed", None) is True
    assert getattr(again, "seq", 0) == getattr(first, "seq", -1)


def test_capacity_is_taken_when_the_offer_is_made_across_all_queues() -> None:
    """Lesson B2."""
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    world = a_world(policy, an_agent(), ready())
    world.done_all(a_contact("c1"), a_contact("c2", queue_id="sales"))
    assert list(offers_of(world, "c1")) == ["ada"]
    assert offers_of(world, "c2") == {}


def test_other_offers_of_a_broadcast_end_only_after_an_accept() -> None:
    """Lesson B4."""
    world = with_agents(World(a_policy_with_queue(broadcast=3)), ("ada", "bob", "cy"))
    world.done(a_contact())
    world.done(c.DeclineOffer(offer_id=offers_of(world, "c1")["ada"], agent_id="ada"))
    assert set(offers_of(world, "c1")) == {"bob", "cy"}


def test_an_assignment_by_a_supervisor_overrides_matching() -> None:
    """Lessons B5 and B7."""
    world = with_agents(World(a_policy()), ("ada", "bob"))
    world.done(a_contact())
    (offered,) = offers_of(world, "c1")
    other = "bob" if offered == "ada" else "ada"
    events = world.done(c.AssignContact(contact_id="c1", agent_id=other))
    assert isinstance(events[0], e.OfferRescinded)
    assert owner_of(world, "c1") == other
    refused = world.refused(c.AcceptOffer(offer_id="c1.1", agent_id=offered))
    assert refused.code is RefusalCode.OFFER_NOT_PENDING


def test_an_agent_who_loses_a_skill_loses_the_offers_that_need_it() -> None:
    """Lesson B6."""
    policy = a_policy_with_queue(requires={"english": 3})
    world = a_world(policy, an_agent(skills={"english": 5}), ready(), a_contact())
    assert list(offers_of(world, "c1")) == ["ada"]
    world.done(c.UpdateContact(contact_id="c1", skills={"english": 6}))
    assert offers_of(world, "c1") == {}


def test_counters_are_the_sum_of_the_events_and_survive_a_replay() -> None:
    """Lesson B3."""
    world = with_agents(World(a_policy()), ("ada",))
    world.done_all(*(a_contact(f"c{number}") for number in range(4)))
    accept(world, "c0", "ada")
    world.done_all(
        c.EndContact(contact_id="c0", agent_id="ada"),
        c.CancelContact(contact_id="c2"),
        c.AbandonContact(contact_id="c3"),
    )
    for engine in (world.engine, world.replayed()):
        counts = engine.workspace().counts
        assert (counts.submitted, counts.offered, counts.ended) == (4, 1, 1)
        assert (counts.cancelled, counts.abandoned, counts.queued) == (1, 1, 0)


def test_why_not_names_the_limit_and_the_items_that_use_it() -> None:
    """Lesson B9."""
    world = a_world(None, an_agent(), ready(), a_contact("c1"), a_contact("c2"))
    why = world.engine.why_agent("c2", "ada")
    assert why is not None and not why.eligible_now
    (lack,) = [lack for lack in why.unmet_conditions if lack.code == "capacity"]
    assert lack.items == ("c1.1",)


# --- C: an agent is available, a contact waits --------------------------------------------------------------
def test_freed_capacity_goes_to_the_oldest_contact() -> None:
    """Lesson C1."""
    world = a_world(None, an_agent(), ready())
    world.done_all(*(a_contact(f"c{number}", channel="chat") for number in range(1, 4)))
    for number in range(1, 4):
        accept(world, f"c{number}", "ada")
    world.done_all(a_contact("c4", channel="chat"), a_contact("c5", channel="chat"))
    events = world.done(c.EndContact(contact_id="c2", agent_id="ada"))
    assert [one.contact_id for one in events if isinstance(one, e.OfferMade)] == ["c4"]


def test_an_agent_who_becomes_ready_gets_a_contact_in_the_same_transaction() -> None:
    """Lesson C2."""
    world = a_world(None, a_contact(), an_agent())
    events = world.done(ready())
    assert kinds(events) == ["AgentStateChanged", "OfferMade"]


@pytest.mark.parametrize("selection", [Selection.LONGEST_IDLE, Selection.ROUND_ROBIN])
def test_the_load_is_spread_evenly(selection: Selection) -> None:
    """Lesson C3."""
    world = with_agents(World(a_policy_with_queue(selection=selection)), names(4))
    served = dict.fromkeys(names(4), 0)
    for number in range(40):
        world.done(a_contact(f"c{number}"))
        (agent_id,) = offers_of(world, f"c{number}")
        accept(world, f"c{number}", agent_id)
        served[agent_id] += 1
        world.later(1)
        world.done(c.EndContact(contact_id=f"c{number}", agent_id=agent_id))
    assert set(served.values()) == {10}


def test_a_transfer_releases_the_old_owner_before_matching() -> None:
    """Lesson C5."""
    world = with_agents(World(a_policy()), ("ada", "bob"))
    world.done(a_contact())
    (owner,) = offers_of(world, "c1")
    accept(world, "c1", owner)
    events = world.done(c.TransferContact(contact_id="c1", to_queue_id="support"))
    assert kinds(events) == ["ContactRequeued", "AssignmentCompleted", "OfferMade"]


def test_a_hundred_contacts_that_no_agent_can_take_block_no_other_contact() -> None:
    """Lesson C6."""
    world = a_world(None, an_agent(), ready())
    world.done_all(*(a_contact(f"c{n}", skills={"german": 9}, priority_s=600) for n in range(100)))
    world.done(a_contact("last", priority_s=-600))
    assert list(offers_of(world, "last")) == ["ada"]


def test_the_capacity_view_lists_the_items_that_use_it() -> None:
    """Lesson C8."""
    world = a_world(None, an_agent(), ready())
    world.done_all(a_contact("c1", channel="chat"), a_contact("c2", channel="chat"))
    accept(world, "c1", "ada")
    view = world.engine.agent("ada")
    assert view is not None
    assert [work.assignment_id for work in view.assignments] == ["c1.1"]
    assert [offer.offer_id for offer in view.offers] == ["c2.1"]
    assert view.units_used == view.assignments[0].units + view.offers[0].units == 60


def test_an_agent_of_two_queues_serves_the_one_that_has_waited_longest() -> None:
    """Lesson C9."""
    policy = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    world = a_world(policy)
    world.done(a_contact("c1", queue_id="sales"))
    world.later(1)
    world.done_all(a_contact("c2"), an_agent(), ready())
    assert list(offers_of(world, "c1")) == ["ada"]


# --- D: offline agents, stickiness, hand-back ---------------------------------------------------------------
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


def test_a_contact_without_a_queue_is_refused_with_a_reason() -> None:
    """Lesson D4."""
    world = a_world(a_policy(default_queue=None))
    assert world.refused(a_contact(queue_id=None)).code is RefusalCode.NO_MATCHING_QUEUE
    world.done(published(a_policy(default_queue="support")))
    world.done(a_contact(queue_id=None))
    view = world.engine.contact("c1")
    assert view is not None and view.queue_id == "support"


# --- basics of every interface ------------------------------------------------------------------------------
def test_each_way_an_offer_ends_has_its_own_name() -> None:
    world = a_world(a_policy_with_queue(cool_down_s=0, rona=RonaPolicy(not_ready=False)))
    world.done_all(an_agent(), ready(), a_contact())
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada", reason="busy"))
    world.later(15)
    world.done_all(not_ready(), ready())
    accept(world, "c1", "ada")
    ends = [world.reference.offers[f"c1.{number}"].state for number in range(1, 5)]
    assert ends == [
        OfferState.DECLINED,
        OfferState.EXPIRED,
        OfferState.RESCINDED,
        OfferState.ACCEPTED,
    ]


def test_the_offer_of_a_customer_who_leaves_ends_in_the_same_transaction() -> None:
    world = a_world(None, an_agent(), ready(), a_contact())
    events = world.done(c.AbandonContact(contact_id="c1"))
    assert kinds(events) == ["OfferRescinded", "ContactAbandoned"]


def test_the_same_key_gives_the_same_answer_and_another_payload_is_refused() -> None:
    world = a_world(None)
    first = a_contact("c1", dedupe_key=b"k", fingerprint=b"f")
    done = world.do(first).result
    again = world.do(a_contact("c2", dedupe_key=b"k", fingerprint=b"f")).result
    assert (getattr(again, "subject", ""), getattr(again, "replayed", None)) == ("c1", True)
    assert getattr(again, "seq", 0) == getattr(done, "seq", -1)
    other = world.refused(a_contact("c3", dedupe_key=b"k", fingerprint=b"g"))
    assert other.code is RefusalCode.IDEMPOTENCY_KEY_REUSED
    assert world.engine.contact("c2") is None and world.engine.contact("c3") is None
