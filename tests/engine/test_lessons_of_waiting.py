"""Lessons of other routers about customers who are silent, absent or want to be called back."""

from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.events import OfferMade
from router.model.policy import (
    CallbackMode,
    CallbackPolicy,
    ChannelPolicy,
    LostDesktopAction,
    QueuePolicy,
    WhenNoAgentsReady,
)
from router.model.results import RefusalCode
from router.model.states import CallbackOutcome, ContactState
from router.model.views import AvailabilityView
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_queue,
    an_agent,
    not_ready,
    ready,
)
from tests.support.world import World, a_world


def chats(**channel: object) -> World:
    """Return a policy with two chats per agent and no cool-down."""
    return a_world(
        a_policy(
            channels={"chat": a_channel(units=50, per_agent_max=2, **channel)},
            queues={"support": a_queue(cool_down_s=0)},
        )
    )


def taken(world: World, contact_id: str, agent_id: str) -> str:
    """Submit a chat that the only agent with free capacity accepts, and return the assignment id."""
    world.done(a_contact(contact_id, channel="chat"))
    world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id=agent_id))
    return f"{contact_id}.1"


def owner_of(world: World, contact_id: str) -> str | None:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.agent_id


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


def calls(**queue: object) -> World:
    """Return a policy with a voice queue that offers callbacks and has no cool-down."""
    policy = CallbackPolicy(mode=CallbackMode.AGENT_FIRST)
    return a_world(a_policy(queues={"support": a_queue(callback=policy, cool_down_s=0, **queue)}))


def test_a_callback_is_served_exactly_when_the_call_would_have_been() -> None:
    """Lesson F3: a customer who hangs up for a callback keeps the position, and later contacts do not overtake."""
    orders = []
    for as_callback in (False, True):
        world = calls()
        for n in (1, 2, 3):
            world.done(a_contact(f"c{n}"))
            world.later(1)
        if as_callback:
            world.done(c.RequestCallback(contact_id="c2"))
        world.done(a_contact("c4", priority_s=-5))
        served = []
        world.done(an_agent())
        for event in world.done(ready()):
            served += [event.contact_id] if isinstance(event, OfferMade) else []
        while len(served) < 4:
            contact_id = served[-1]
            world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id="ada"))
            if as_callback and contact_id == "c2":
                world.done(c.ReportCallback(contact_id="c2", outcome=CallbackOutcome.CONNECTED))
            events = world.done(c.EndContact(contact_id=contact_id, agent_id="ada"))
            served += [event.contact_id for event in events if isinstance(event, OfferMade)]
        orders.append(served)
    assert orders == [["c1", "c2", "c3", "c4"]] * 2


def test_availability_tells_a_gateway_that_no_agent_is_there() -> None:
    """Lesson D5: availability gives a gateway the answer that a submit would get, and a callback is possible instead."""
    world = calls(when_no_agents_ready=WhenNoAgentsReady.REFUSE)
    world.done_all(an_agent(), not_ready())
    told = world.engine.availability("support", "voice", {})
    assert isinstance(told, AvailabilityView)
    assert (told.accepts_contacts, told.refusal, told.agents_ready) == (False, "no_agents_ready", 0)
    assert world.refused(a_contact("c1")).code is RefusalCode.NO_AGENTS_READY
    world.done(a_contact("c2", callback=CallbackFields()))
    made = world.done(ready())[-1]
    assert isinstance(made, OfferMade) and made.contact_id == "c2"
    told = world.engine.availability("support", "voice", {})
    assert isinstance(told, AvailabilityView) and told.accepts_contacts and told.agents_ready == 1


def test_a_queue_may_admit_contacts_while_no_agent_is_ready() -> None:
    """Lesson D3: the policy decides whether a queue admits contacts, and availability says so."""
    for when_no_agents_ready, takes in (
        (WhenNoAgentsReady.WAIT, True),
        (WhenNoAgentsReady.REFUSE, False),
    ):
        world = calls(when_no_agents_ready=when_no_agents_ready)
        world.done(an_agent())
        told = world.engine.availability("support", "voice", {})
        assert isinstance(told, AvailabilityView) and told.accepts_contacts is takes


def test_a_chat_has_an_expected_wait() -> None:
    """Lesson F4: the expected wait is an interval for the individual contact, on any channel."""
    world = chats()
    world.done_all(an_agent("ada"), ready("ada"))
    for n in (1, 2):
        taken(world, f"c{n}", "ada")
    world.done_all(a_contact("c3", channel="chat"), a_contact("c4", channel="chat"))
    waits = []
    for name in ("c3", "c4"):
        view = world.engine.contact(name)
        assert view is not None and view.expected_wait is not None
        assert view.expected_wait.interval_90 is not None
        waits.append(view.expected_wait.p50_ms or 0)
    assert 0 < waits[0] < waits[1]


def test_callbacks_parking_and_opening_hours_work_together() -> None:
    """Lesson F9: features that other routers add by plug-ins are configured in the policy."""
    keys = QueuePolicy.__struct_fields__ + ChannelPolicy.__struct_fields__
    assert {
        "callback",
        "hours",
        "park_max_s",
        "unpark_when_not_ready",
        "interrupts",
        "rate_cap",
    } <= set(keys)
    world = calls()
    world.done(a_contact("c1"))
    world.done(
        c.RequestCallback(contact_id="c1", callback=CallbackFields(at_ms=world.at_ms + 60_000))
    )
    world.done_all(an_agent(), ready())
    view = world.engine.contact("c1")
    assert view is not None and view.state is ContactState.CALLBACK_SCHEDULED
    made = [event for event in world.later(60) if isinstance(event, OfferMade)]
    assert [event.contact_id for event in made] == ["c1"]
