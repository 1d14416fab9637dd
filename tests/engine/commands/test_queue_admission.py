"""Admission of contacts to queues without ready agents, by every way into a queue."""

from typing import Any

from msgspec.structs import replace

from router.engine.engine import Engine
from router.model.commands import (
    AcceptOffer,
    CallbackFields,
    ConnectDesktop,
    LoseDesktop,
    ReportCallback,
    RequeueContact,
    SetQueueOpen,
    TransferContact,
)
from router.model.events import ContactRequeued, OfferMade
from router.model.policy import (
    AtClosing,
    CallbackMode,
    CallbackPolicy,
    ChannelPolicy,
    FactPolicy,
    FactType,
    LostDesktopAction,
    QueuePolicy,
    StepPolicy,
    WhenClosed,
    WhenNoAgentsReady,
)
from router.model.results import RefusalCode
from router.model.states import CallbackOutcome
from router.model.views import AvailabilityView
from tests.support.builders import a_contact, a_policy, an_agent, not_ready, published, ready
from tests.support.engine_worlds import calls
from tests.support.world import World, a_world


def test_availability_tells_a_gateway_that_no_agent_is_there() -> None:
    """Lesson D5: availability gives a gateway the answer that a submit would get, and a callback is possible instead."""
    world = calls(when_no_agents_ready=WhenNoAgentsReady.REFUSE)
    world.done_all(an_agent(), not_ready())
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView)
    assert (view.accepts_contacts, view.refusal, view.agents_ready) == (False, "no_agents_ready", 0)
    assert world.refused(a_contact("c1")).code is RefusalCode.NO_AGENTS_READY
    world.done(a_contact("c2", callback=CallbackFields()))
    made = world.done(ready())[-1]
    assert isinstance(made, OfferMade) and made.contact_id == "c2"
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView) and view.accepts_contacts and view.agents_ready == 1


def test_a_queue_may_admit_contacts_while_no_agent_is_ready() -> None:
    """Lesson D3: the policy decides whether a queue admits contacts, and availability says so."""
    for when_no_agents_ready, accepts in ((WhenNoAgentsReady.WAIT, True), (WhenNoAgentsReady.REFUSE, False)):
        world = calls(when_no_agents_ready=when_no_agents_ready)
        world.done(an_agent())
        view = world.engine.availability("support", "voice", {})
        assert isinstance(view, AvailabilityView) and view.accepts_contacts is accepts


# --- every way into a queue that has no ready agent ---------------------------------------------------------------------
def ways(**mid: Any) -> World:
    """Return a world with queues around ``mid``, which passes contacts on to ``last``, where Eve is ready.

    Ada serves ``first`` and ``mid``; Eve serves ``last``. Queue ``sender`` passes contacts to ``mid`` after 10 s.
    """
    queues = {
        "first": QueuePolicy(callback=CallbackPolicy()),
        "sender": QueuePolicy(wait_max_s=10, overflow_to="mid", at_closing=AtClosing.OVERFLOW),
        "planned": QueuePolicy(plan="moves"),
        "mid": QueuePolicy(when_no_agents_ready=WhenNoAgentsReady.OVERFLOW, overflow_to="last", callback=CallbackPolicy(), **mid),
        "last": QueuePolicy(),
    }
    world = a_world(a_policy(queues=queues, plans={"moves": (StepPolicy(duration_s=5), StepPolicy(queue="mid"))}))
    world.done_all(an_agent(queues=("first", "mid")), ready(), an_agent("eve", queues=("last",)), ready("eve"))
    return world


def queue_of(world: World, contact_id: str = "c1") -> tuple[str, str]:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.queue_id, view.agent_id or next((offer.agent_id for offer in view.offers), "")


def assigned_to_ada(world: World, queue_id: str = "first") -> None:
    """Submit c1, which Ada takes before going on a break."""
    world.done(a_contact("c1", queue_id=queue_id))
    world.done_all(AcceptOffer(offer_id="c1.1", agent_id="ada"), not_ready())


def test_the_maximum_wait_of_another_queue_passes_a_contact_on() -> None:
    world = ways()
    world.done_all(not_ready(), an_agent("eve", queues=("last",)), a_contact("c1", queue_id="sender"))
    world.later(10)
    assert queue_of(world) == ("last", "eve")


def test_a_step_of_a_plan_passes_a_contact_on() -> None:
    world = ways()
    world.done_all(not_ready(), a_contact("c1", queue_id="planned"))
    world.later(5)
    assert queue_of(world) == ("last", "eve")


def test_the_closing_of_another_queue_passes_a_contact_on() -> None:
    world = ways()
    world.done_all(not_ready(), SetQueueOpen(queue_id="sender", is_open=True), a_contact("c1", queue_id="sender"))
    world.done(SetQueueOpen(queue_id="sender", is_open=False))
    assert queue_of(world) == ("last", "eve")


def test_a_transfer_passes_a_contact_on_and_counts_the_overflow() -> None:
    world = ways()
    assigned_to_ada(world)
    events = world.done(TransferContact(contact_id="c1", to_queue_id="mid", agent_id="ada"))
    requeued = next(event for event in events if isinstance(event, ContactRequeued))
    assert (requeued.queue_id, requeued.named_queue_id, requeued.overflow_count) == ("last", "mid", 1)
    assert queue_of(world) == ("last", "eve")
    view = world.engine.contact("c1")
    assert view is not None and view.overflow_count == 1


def test_a_requeue_by_a_supervisor_passes_a_contact_on() -> None:
    world = ways()
    assigned_to_ada(world)
    world.done(RequeueContact(contact_id="c1", queue_id="mid"))
    assert queue_of(world) == ("last", "eve")


def test_a_removed_queue_passes_its_contacts_on() -> None:
    world = ways()
    world.done_all(not_ready(), a_contact("c1", queue_id="first"))
    policy = world.engine.policy
    assert policy is not None
    queues = {name: queue for name, queue in policy.queues.items() if name != "first"}
    world.done(an_agent(queues=("mid",)))
    world.done(published(replace(policy, queues=queues), drain_to={"first": "mid"}))
    assert queue_of(world) == ("last", "eve")


def test_a_callback_that_is_due_is_passed_on() -> None:
    world = ways()
    at_ms = world.at_ms + 60_000
    world.done_all(not_ready(), a_contact("c1", queue_id="mid", callback=CallbackFields(at_ms=at_ms)))
    world.later(60)
    assert queue_of(world) == ("last", "eve")


def test_a_customer_who_has_answered_a_callback_is_passed_on() -> None:
    world = ways()
    mode = CallbackMode.CUSTOMER_FIRST
    world.done(a_contact("c1", queue_id="mid", callback=CallbackFields(mode=mode)))
    world.done_all(not_ready(), ReportCallback(contact_id="c1", outcome=CallbackOutcome.CONNECTED))
    assert queue_of(world) == ("last", "eve")


def test_a_contact_without_its_owner_is_passed_on_after_the_reservation() -> None:
    """The owner's desktop is lost: the contact waits for the same agent, then no other agent of the queue is ready."""
    world = ways()
    channel = ChannelPolicy(lost_desktop=LostDesktopAction.REQUEUE, lost_desktop_prefer_s=20)
    policy = world.engine.policy
    assert policy is not None
    world.done(published(replace(policy, channels={**policy.channels, "voice": channel})))
    world.done_all(ConnectDesktop(agent_id="ada", session_id="s1"), a_contact("c1", queue_id="mid"))
    world.done_all(AcceptOffer(offer_id="c1.1", agent_id="ada"), LoseDesktop(agent_id="ada", session_id="s1"))
    world.later(15)
    assert queue_of(world)[0] == "mid"
    world.later(20)
    assert queue_of(world) == ("last", "eve")


def test_an_opening_without_ready_agents_passes_contacts_on() -> None:
    world = ways(when_closed=WhenClosed.WAIT)
    world.done_all(not_ready(), SetQueueOpen(queue_id="mid", is_open=False), a_contact("c1", queue_id="mid"))
    assert queue_of(world) == ("mid", "")
    world.done(SetQueueOpen(queue_id="mid", is_open=True))
    assert queue_of(world) == ("last", "eve")


def test_a_transfer_is_refused_like_a_submit() -> None:
    world = ways()
    assigned_to_ada(world)
    policy = world.engine.policy
    assert policy is not None
    changes = (
        ({"when_no_agents_ready": WhenNoAgentsReady.REFUSE}, RefusalCode.NO_AGENTS_READY),
        ({"when_no_agents_ready": WhenNoAgentsReady.WAIT, "length_max": 0}, RefusalCode.QUEUE_FULL),
    )
    for change, code in changes:
        world.done(published(replace(policy, queues={**policy.queues, "mid": replace(policy.queues["mid"], **change)})))
        refused = world.refused(TransferContact(contact_id="c1", to_queue_id="mid", agent_id="ada"))
        assert (refused.code, refused.field) == (code, "to_queue_id")
    assert queue_of(world) == ("first", "ada")


def test_a_contact_never_overflows_back_to_a_queue_that_it_has_left() -> None:
    """A new policy turns the chain around: the contact stays, instead of going back and forth."""
    queues = {
        "a": QueuePolicy(wait_max_s=10, overflow_to="b"),
        "b": QueuePolicy(wait_max_s=10, overflow_to="c"),
        "c": QueuePolicy(),
    }
    world = a_world(a_policy(queues=queues))
    world.done(a_contact("c1", queue_id="a"))
    world.later(10)
    assert queue_of(world) == ("b", "")
    world.done(published(a_policy(queues={**queues, "a": QueuePolicy(), "b": QueuePolicy(wait_max_s=10, overflow_to="a")})))
    (stays,) = world.later(10)
    assert isinstance(stays, ContactRequeued) and (stays.queue_id, stays.reason) == ("b", "overflow_impossible")
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == world.engine.digest() == world.replayed().digest()
    # A person who places it in a queue begins a new chain.
    world.done(published(a_policy(queues={**queues, "a": QueuePolicy(), "c": QueuePolicy(wait_max_s=10, overflow_to="a")})))
    world.done(RequeueContact(contact_id="c1", queue_id="c"))
    world.later(10)
    assert queue_of(world) == ("a", "")


def test_availability_counts_the_agents_of_the_attribute_condition() -> None:
    facts = {"team": FactPolicy(type=FactType.ENUM, values=("red", "blue"), applies_to="agent")}
    queue = QueuePolicy(agents_when='agent.team == "red"', when_no_agents_ready=WhenNoAgentsReady.REFUSE)
    world = a_world(a_policy(queues={"support": queue}, facts=facts))
    world.done_all(an_agent(attributes={"team": "blue"}), ready())
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView)
    assert (view.agents_ready, view.agents_free, view.accepts_contacts) == (0, 0, False)
    assert world.refused(a_contact("c1")).code is RefusalCode.NO_AGENTS_READY
    world.done(an_agent(attributes={"team": "red"}))
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView) and (view.agents_ready, view.accepts_contacts) == (1, True)
