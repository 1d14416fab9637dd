"""Recorded selection: match trigger, other candidates and selection inputs of an offer."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import Selection, StepPolicy
from router.model.states import MatchTrigger
from router.model.views import ChosenAgent
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.engine_worlds import choosing, chosen, staffed, taker


def test_the_selection_is_recorded_with_the_assignment_and_shown_in_the_views() -> None:
    world = staffed(
        choosing(Selection.HIGHEST_PROFICIENCY),
        an_agent("ada", skills={"english": 3}),
        an_agent("bob", skills={"english": 7}),
        an_agent("cy", skills={"english": 5}),
    )
    world.done(a_contact("c1", skills={"english": 2}))
    expected = ChosenAgent(
        agent_id="bob",
        reason="highest_proficiency",
        at_ms=world.at_ms,
        match_trigger=MatchTrigger.CONTACT,
        other_candidates=2,
        selection_inputs={"levels": 7},
    )
    assert chosen(world, "c1") == expected
    view = world.engine.agent("bob")
    assert view is not None
    assert (view.offers[0].match_trigger, view.offers[0].other_candidates) == (MatchTrigger.CONTACT, 2)
    assert view.offers[0].selection_inputs == {"levels": 7}
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="bob"))
    assert chosen(world, "c1") == expected
    view = world.engine.agent("bob")
    assert view is not None
    work = view.assignments[0]
    assert (work.reason, work.match_trigger, work.other_candidates) == ("highest_proficiency", MatchTrigger.CONTACT, 2)
    assert work.selection_inputs == {"levels": 7}


def test_transfers_and_supervisor_assignments_have_no_match_trigger() -> None:
    world = staffed(choosing(Selection.LONGEST_IDLE), an_agent("ada"), an_agent("bob"))
    world.done(a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done(c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada"))
    why = world.engine.why("c1")
    assert why is not None
    assert [(one.agent_id, one.reason, one.match_trigger) for one in why.chosen] == [
        ("ada", "longest_idle", MatchTrigger.CONTACT),
        ("bob", "transfer", None),
    ]
    world.done(c.DeclineOffer(offer_id="c1.2", agent_id="bob"))
    world.done(c.AssignContact(contact_id="c1", agent_id="bob"))
    assert (chosen(world, "c1").reason, chosen(world, "c1").match_trigger) == ("supervisor", None)


def test_agents_in_cool_down_or_with_an_offer_of_the_contact_are_not_candidates() -> None:
    world = staffed(
        choosing(Selection.LONGEST_IDLE, broadcast=2),
        *(an_agent(name, units=300, channel_max={"voice": 3}) for name in ("ada", "bob", "cy")),
    )
    events = world.done(a_contact("c1"))
    assert [one.other_candidates for one in events if isinstance(one, e.OfferMade)] == [2, 1]
    events = world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert [one.other_candidates for one in events if isinstance(one, e.OfferMade)] == [0]


def test_candidates_of_very_many_agent_groups_are_not_counted() -> None:
    names = [f"s{n}" for n in range(20)]
    engine = Engine()
    engine.handle(published(a_policy(skills=tuple(names))), START_MS)
    for name in names:
        engine.handle(an_agent(name, skills={name: 1}), START_MS)
        engine.handle(ready(name), START_MS)
    (made,) = [one for one in engine.handle(a_contact(), START_MS).events if isinstance(one, e.OfferMade)]
    assert made.other_candidates == -1


def test_defaults_are_omitted_from_the_journal() -> None:
    world = staffed(choosing(Selection.LONGEST_IDLE), an_agent())
    (made,) = [one for one in world.done(a_contact()) if isinstance(one, e.OfferMade)]
    assert (made.other_candidates, made.selection_inputs) == (0, None)


def test_the_other_candidates_of_a_reserved_contact_are_counted() -> None:
    plan = (StepPolicy(duration_s=10, prefer_agents=("bob", "ada")), StepPolicy())
    world = staffed(
        a_policy(queues={"support": a_queue(plan="kept")}, plans={"kept": plan}), an_agent("ada"), an_agent("bob"), an_agent("cy")
    )
    assert taker(world, "c1") == "bob"
    assert (chosen(world, "c1").reason, chosen(world, "c1").other_candidates) == ("preferred", 1)
