"""Expected waits with opening hours and callbacks: what is estimated, and which forecasts are withdrawn."""

from typing import Any

from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.forecasts import ExpectedWait
from router.model.policy import AtClosing, CallbackMode, CallbackPolicy, QueuePolicy, WhenClosed
from router.model.states import CallbackOutcome
from tests.support.builders import a_contact, a_policy, an_agent, ready
from tests.support.checks.views import compare_views
from tests.support.engine_worlds import chats, taken
from tests.support.world import World, a_world


def a_busy_centre(*commands: c.Command, **queue: Any) -> World:
    """Return a world in which ada is ready and talks to c0."""
    policy = a_policy(
        queues={"support": QueuePolicy(auto_accept=True, callback=CallbackPolicy(), when_closed=WhenClosed.WAIT, **queue)}
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
    """Return the counts of forecasts made, answered and withdrawn."""
    counts = run_to_end(world.engine.queue_waits(world.at_ms))["support"].forecasts
    return counts.made, counts.answered, counts.withdrawn


def test_the_expected_wait_in_a_closed_queue_says_that_it_is_closed() -> None:
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


def test_a_contact_still_served_after_the_closing_has_an_expected_wait() -> None:
    world = a_busy_centre(a_contact("c1"), at_closing=AtClosing.SERVE)
    world.done(turned(is_open=False))
    found = expected_of(world)
    assert found is not None and found.p50_ms
    assert forecasts_of(world) == (1, 0, 0)


def test_a_forecast_is_withdrawn_when_the_queue_closes() -> None:
    world = a_busy_centre(a_contact("c1"), at_closing=AtClosing.WAIT)
    assert forecasts_of(world) == (1, 0, 0)
    world.done(turned(is_open=False))
    assert forecasts_of(world) == (1, 0, 1)


def test_contacts_waiting_for_the_opening_do_not_count_as_ahead() -> None:
    world = a_busy_centre(a_contact("c1", priority_s=600), a_contact("c2"))
    before = expected_of(world, "c2")
    assert before is not None and before.ahead == 1.0
    world.done_all(turned(is_open=False), called_back("c1"))
    after = expected_of(world, "c2")
    assert after is not None and after.ahead == 0.0


def test_a_forecast_is_withdrawn_when_the_contact_becomes_a_callback() -> None:
    world = a_busy_centre(a_contact("c1"))
    world.done(called_back())
    assert forecasts_of(world) == (1, 0, 1)
    found = expected_of(world)
    assert found is not None and found.p50_ms


def test_scheduled_and_dialled_callbacks_do_not_wait() -> None:
    world = a_busy_centre(a_contact("c1"))
    world.done(called_back(at_ms=world.at_ms + 60_000))
    view = world.engine.contact("c1")
    assert view is not None and view.state == "callback_scheduled" and view.expected_wait is None


def test_a_callback_behind_one_that_is_being_dialled_has_an_expected_wait() -> None:
    world = a_busy_centre(a_contact("c1"), a_contact("c2"))
    first = CallbackMode.CUSTOMER_FIRST
    world.done_all(called_back("c1", mode=first), called_back("c2", mode=first))
    world.done(c.EndContact(contact_id="c0", agent_id="ada"))
    found = expected_of(world, "c2")
    assert found is not None and found.p50_ms
    world.done(c.ReportCallback(contact_id="c1", outcome=CallbackOutcome.NO_ANSWER))
    view = world.engine.contact("c2")
    assert view is not None and view.state == "callback_scheduled"


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
