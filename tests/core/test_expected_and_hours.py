"""Expected waits where queues close and customers are called back: what is said, and what is not compared."""

from typing import Any

from router.model import commands as c
from router.model.callbacks import CallbackFields, CallbackOutcome
from router.model.forecasts import ExpectedWait
from router.model.policy import AtClosing, CallbackMode, CallbackPolicy, QueuePolicy, WhenClosed
from tests.builders import a_contact, a_policy, an_agent, ready
from tests.core.world import World, a_world, compare_views


def a_busy_centre(*commands: c.Command, **queue: Any) -> World:
    """Ada is READY and talks to c0."""
    policy = a_policy(
        queues={
            "support": QueuePolicy(
                auto_accept=True, callback=CallbackPolicy(), when_closed=WhenClosed.WAIT, **queue
            )
        }
    )
    return a_world(policy, an_agent("ada"), ready("ada"), a_contact("c0"), *commands)


def turned(*, is_open: bool) -> c.SetQueueOpen:
    return c.SetQueueOpen(queue_id="support", is_open=is_open)


def called_back(contact_id: str = "c1", **terms: Any) -> c.RequestCallback:
    return c.RequestCallback(contact_id=contact_id, callback=CallbackFields(**terms))


def expected_of(world: World, contact_id: str = "c1") -> ExpectedWait | None:
    compare_views(world)
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.expected_wait


def forecasts_of(world: World) -> tuple[int, int, int]:
    """Made, answered, withdrawn."""
    counts, _ = world.engine.forecasts()["support"]
    return counts.made, counts.answered, counts.withdrawn


def test_a_closed_queue_says_so_to_a_newcomer_and_to_who_waits_for_the_opening() -> None:
    world = a_busy_centre(turned(is_open=False), a_contact("c1"))
    closed = ExpectedWait(reason="queue_closed")
    assert world.engine.expected_wait("support") == closed
    assert expected_of(world) == closed
    why = world.engine.why("c1")
    assert why is not None and why.expected_wait == closed
    assert forecasts_of(world) == (0, 0, 0)
    world.done(turned(is_open=True))
    found = expected_of(world)
    assert found is not None and found.reason is None and found.p50_ms


def test_who_is_still_served_after_the_closing_has_an_expected_wait() -> None:
    world = a_busy_centre(a_contact("c1"), at_closing=AtClosing.SERVE)
    world.done(turned(is_open=False))
    found = expected_of(world)
    assert found is not None and found.p50_ms
    assert forecasts_of(world) == (1, 0, 0)


def test_a_forecast_is_not_compared_with_a_night() -> None:
    world = a_busy_centre(a_contact("c1"), at_closing=AtClosing.WAIT)
    assert forecasts_of(world) == (1, 0, 0)
    world.done(turned(is_open=False))
    assert forecasts_of(world) == (1, 0, 1)


def test_those_who_are_held_back_are_ahead_of_nobody() -> None:
    world = a_busy_centre(a_contact("c1", priority_s=600), a_contact("c2"))
    before = expected_of(world, "c2")
    assert before is not None and before.ahead == 1.0
    world.all_done(turned(is_open=False), called_back("c1"))
    after = expected_of(world, "c2")
    assert after is not None and after.ahead == 0.0


def test_the_forecast_of_who_becomes_a_callback_is_not_compared() -> None:
    world = a_busy_centre(a_contact("c1"))
    world.done(called_back())
    assert forecasts_of(world) == (1, 0, 1)
    found = expected_of(world)
    assert found is not None and found.p50_ms


def test_a_callback_for_later_or_being_called_does_not_wait() -> None:
    world = a_busy_centre(a_contact("c1"))
    world.done(called_back(at_ms=world.at_ms + 60_000))
    view = world.engine.contact("c1")
    assert view is not None and view.state == "callback_scheduled" and view.expected_wait is None


def test_a_callback_behind_another_that_is_being_called_is_not_promised_at_once() -> None:
    world = a_busy_centre(a_contact("c1"), a_contact("c2"))
    first = CallbackMode.CUSTOMER_FIRST
    world.all_done(called_back("c1", mode=first), called_back("c2", mode=first))
    world.done(c.EndContact(contact_id="c0", agent_id="ada"))
    found = expected_of(world, "c2")
    assert found is not None and found.p50_ms
    world.done(c.ReportCallback(contact_id="c1", outcome=CallbackOutcome.NO_ANSWER))
    view = world.engine.contact("c2")
    assert view is not None and view.state == "callback_scheduled"
