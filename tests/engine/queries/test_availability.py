"""Availability for a contact that has not been submitted: counts, refusals and the target queue."""

import pytest

from router.model import commands as c
from router.model.policy import CalendarPolicy, StepPolicy, WeekPolicy, WhenClosed, WhenFull, WhenNoAgentsReady
from router.model.results import RefusalCode, Refused
from router.model.views import AvailabilityView
from tests.support.builders import a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, ready
from tests.support.world import World


def availability(
    world: World, queue_id: str = "support", channel: str | None = "voice", skills: dict[str, int] | None = None
) -> AvailabilityView:
    found = world.engine.availability(queue_id, channel, skills or {})
    assert isinstance(found, AvailabilityView), found
    return found


def test_ready_and_free_agents_with_the_requirement_are_counted() -> None:
    world = World(a_policy_with_queue(requires={"english": 3}))
    world.done_all(an_agent("ada", skills={"english": 5}), ready("ada"))
    world.done_all(an_agent("bob", skills={"english": 3}), ready("bob"))
    world.done_all(an_agent("cy", skills={"english": 2}), ready("cy"))
    assert (availability(world).agents_ready, availability(world).agents_free) == (2, 2)
    assert availability(world, skills={"english": 4}).agents_free == 1
    world.done_all(a_contact())
    assert (availability(world).agents_ready, availability(world).agents_free) == (2, 1)
    assert availability(world).accepts_contacts


def test_without_a_channel_the_one_with_most_agents_counts() -> None:
    world = World(a_policy())
    world.done_all(an_agent("ada", channel_max={"voice": 0}), ready("ada"))
    world.done_all(an_agent("bob"), ready("bob"))
    assert availability(world).agents_ready == 1
    assert availability(world, channel=None).agents_ready == 2


def test_agents_of_every_step_of_the_plan_are_counted() -> None:
    steps = (StepPolicy(duration_s=20), StepPolicy(remove_skills=("german",)))
    policy = a_policy(plans={"wide": steps}, queues={"support": a_queue(plan="wide", requires={"german": 3})})
    world = World(policy)
    world.done_all(an_agent(), ready())
    assert availability(world).agents_ready == 1


def test_a_queue_that_refuses_without_ready_agents() -> None:
    world = World(a_policy_with_queue(when_no_agents_ready=WhenNoAgentsReady.REFUSE))
    found = availability(world)
    assert (found.accepts_contacts, found.refusal) == (False, "no_agents_ready")
    assert found.target_queue_id is None
    assert world.refused(a_contact()).code is RefusalCode.NO_AGENTS_READY
    world.done_all(an_agent(), ready())
    assert availability(world).accepts_contacts


def test_a_full_queue_names_its_overflow_queue_as_target() -> None:
    queues = {"support": a_queue(length_max=1, when_full=WhenFull.OVERFLOW, overflow_to="backup"), "backup": a_queue()}
    world = World(a_policy(queues=queues))
    assert availability(world).target_queue_id == "support"
    world.done_all(a_contact())
    found = availability(world)
    assert (found.waiting, found.accepts_contacts, found.target_queue_id) == (1, True, "backup")


def test_a_closed_queue_refuses_and_names_its_opening() -> None:
    calendar = CalendarPolicy(zone="UTC", week=WeekPolicy(mon=("10:00-11:00",)))
    policy = a_policy(queues={"support": a_queue(hours="office", when_closed=WhenClosed.REFUSE)}, calendars={"office": calendar})
    world = World(policy)
    found = availability(world)
    assert (found.is_open, found.refusal) == (False, "queue_closed")
    assert found.changes_at_ms == world.at_ms + 3_600_000


@pytest.mark.parametrize(
    ("queue_id", "channel", "skills", "code"),
    [
        ("nowhere", "voice", {}, RefusalCode.UNKNOWN_QUEUE),
        ("support", "fax", {}, RefusalCode.UNKNOWN_CHANNEL),
        ("support", "voice", {"chinese": 1}, RefusalCode.UNKNOWN_SKILL),
    ],
)
def test_unknown_names_are_refused(queue_id: str, channel: str, skills: dict[str, int], code: RefusalCode) -> None:
    found = World(a_policy()).engine.availability(queue_id, channel, skills)
    assert isinstance(found, Refused) and found.code is code


def test_a_query_changes_nothing() -> None:
    world = World(a_policy_with_queue(length_max=1))
    world.done_all(an_agent(), ready(), a_contact("c1"), c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    before = world.engine.digest()
    availability(world, channel=None, skills={"english": 1})
    assert world.engine.digest() == before


def test_an_expected_wait_of_an_unknown_channel_or_queue_is_refused() -> None:
    world = World(a_policy())
    world.done_all(an_agent("ada"), ready("ada"))
    found = world.engine.expected_wait("support", channel="fax")
    assert isinstance(found, Refused) and (found.code, found.field) == (RefusalCode.UNKNOWN_CHANNEL, "channel")
    unknown = world.engine.expected_wait("none")
    assert isinstance(unknown, Refused) and unknown.field == "queue_id"
    assert not isinstance(world.engine.expected_wait("support", channel="voice"), Refused)
