"""Requests: options, the choice, the default option, and the place that a customer keeps while choosing."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import (
    CalendarPolicy,
    CallbackPolicy,
    CallbackWindowsPolicy,
    ChannelPolicy,
    Policy,
    QueuePolicy,
    RequestPolicy,
    WeekPolicy,
    WhenClosed,
    WhenNoAgentsReady,
)
from router.model.results import Done, RefusalCode, Refused
from router.model.states import ContactState
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.engine_worlds import owner_of
from tests.support.world import World, a_world

HOUR_MS = 3_600_000
ALL_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def the_policy(*, queue: dict[str, Any] | None = None, requests: dict[str, Any] | None = None, **changes: Any) -> Policy:
    """Return a policy with voice and chat whose queue offers callbacks, and requests that offer everything."""
    options: dict[str, Any] = {"channels": ("chat",), "callback": CallbackWindowsPolicy()}
    return a_policy(
        channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(callback=CallbackPolicy(), cool_down_s=0, **(queue or {}))},
        requests=RequestPolicy(**(options | (requests or {}))),
        **changes,
    )


def a_request(contact_id: str = "r1", *, ask: bool = True, token: bytes = b"token", **fields: Any) -> c.RequestContact:
    return c.RequestContact(contact=a_contact(contact_id, **fields), token_hash=token, ask=ask)


def choose(option: str, contact_id: str = "r1", **more: Any) -> c.ChooseOption:
    return c.ChooseOption(contact_id=contact_id, option=option, **more)


def options_of(events: list[e.Event]) -> dict[str, e.ContactOption]:
    (event,) = [one for one in events if isinstance(one, e.ContactChoosing)]
    return {option.id: option for option in event.options}


def a_busy_centre(**policy: Any) -> World:
    """Return a world whose only agent talks to c1."""
    world = a_world(the_policy(**policy), an_agent("ada"), ready("ada"), a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    return world


def owner_of_token(engine: Engine, token_hash: bytes) -> str | None:
    holder = engine.token_holder(token_hash)
    return None if holder is None else holder.contact_id


def state(world: World, contact_id: str = "r1") -> ContactState:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.state


def test_a_request_has_options_and_is_offered_to_no_agent() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"))
    options = options_of(world.done(a_request()))
    assert [(one.id, one.channel) for one in options.values()] == [("now", "voice"), ("chat", "chat"), ("callback", "voice")]
    assert state(world) is ContactState.CHOOSING
    view = world.engine.contact("r1")
    assert view is not None and (view.position, view.offers) == (None, ())


def test_an_option_is_taken_at_the_place_of_the_request() -> None:
    world = a_busy_centre()
    world.done(a_request("r1"))
    world.later(10)
    world.done(a_contact("c2"))
    assert world.engine.contact("c2").position == 1  # type: ignore[union-attr]
    events = world.done(choose("now"))
    assert [type(one).__name__ for one in events] == ["ContactQueued"]
    assert (world.engine.contact("r1").position, world.engine.contact("c2").position) == (1, 2)  # type: ignore[union-attr]
    world.done(c.EndContact(contact_id="c1"))
    assert state(world) is ContactState.OFFERED


def test_another_channel_is_taken() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_request())
    world.done(choose("chat"))
    view = world.engine.contact("r1")
    assert view is not None and (view.channel, view.state) == ("chat", ContactState.OFFERED)


def test_a_callback_window_is_taken() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"))
    options = options_of(world.done(a_request()))
    windows = options["callback"].windows
    assert [(one.start_at_ms - START_MS, one.end_at_ms - START_MS) for one in windows] == [
        (n * HOUR_MS, (n + 1) * HOUR_MS) for n in (1, 2, 3, 4)
    ]
    answer = world.do(choose("callback", window=windows[1])).result
    assert isinstance(answer, Done) and (answer.state, answer.due_at_ms) == ("callback_scheduled", START_MS + 2 * HOUR_MS)
    world.later(2 * 3_600)
    assert state(world) is ContactState.OFFERED
    other = e.TimeWindow(start_at_ms=1, end_at_ms=2)
    world.done(a_request("r2", token=b"other"))
    assert world.refused(choose("callback", "r2", window=other)).code is RefusalCode.OPTION_NOT_AVAILABLE
    assert world.refused(choose("now", "r2", window=windows[0])).code is RefusalCode.OPTION_NOT_AVAILABLE


def test_windows_lie_in_the_opening_hours() -> None:
    hours = CalendarPolicy(week=WeekPolicy(mon=("09:00-10:30",), tue=("08:00-10:00",)), zone="UTC")
    world = a_world(the_policy(queue={"hours": "short"}, calendars={"short": hours}), an_agent(), ready())
    windows = options_of(world.done(a_request()))["callback"].windows
    day = 24 * HOUR_MS
    # On Monday 10:00 begins too late, as the queue closes at 10:30; then Tuesday, and the next Monday.
    begins = [one.start_at_ms - START_MS for one in windows]
    assert begins == [day - HOUR_MS, day, 7 * day]


@pytest.mark.parametrize("ask", [True, False])
def test_a_closed_queue_leaves_the_callback(ask: bool) -> None:
    hours = CalendarPolicy(week=WeekPolicy(tue=("08:00-18:00",)), zone="UTC")
    world = a_world(the_policy(queue={"hours": "later"}, calendars={"later": hours}), an_agent(), ready())
    assert list(options_of(world.done(a_request(ask=ask)))) == ["callback"]
    assert state(world) is ContactState.CHOOSING


def test_without_ready_agents_the_callback_is_left() -> None:
    world = a_world(the_policy(), an_agent())
    assert list(options_of(world.done(a_request()))) == ["callback"]


def test_to_wait_is_the_option_where_there_is_no_other() -> None:
    world = a_world(the_policy(requests={"channels": (), "callback": None}), an_agent())
    assert list(options_of(world.done(a_request()))) == ["now"]


def test_a_request_without_any_option_is_refused_like_a_submit() -> None:
    closed = CalendarPolicy(week=WeekPolicy(tue=("08:00-18:00",)), zone="UTC")
    options = {"channels": ("chat",), "callback": None}
    world = a_world(the_policy(queue={"hours": "later"}, requests=options, calendars={"later": closed}), an_agent(), ready())
    refused = world.refused(a_request())
    assert (refused.code, refused.opens_at_ms) == (RefusalCode.QUEUE_CLOSED, START_MS + 23 * HOUR_MS)
    assert world.engine.contact("r1") is None


def test_first_takes_the_channel_at_once() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"))
    events = world.done(a_request(ask=False))
    assert [type(one).__name__ for one in events] == ["ContactChoosing", "ContactQueued", "OfferMade"]
    assert state(world) is ContactState.OFFERED


def test_the_default_option_is_taken_after_120_seconds() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_request())
    world.later(119.999)
    assert state(world) is ContactState.CHOOSING
    events = world.later(0.001)
    (queued,) = [one for one in events if isinstance(one, e.ContactQueued)]
    assert (queued.option, queued.is_default_option, queued.queued_at_ms) == ("now", True, START_MS)
    assert state(world) is ContactState.OFFERED


def test_another_default_option_and_time() -> None:
    world = a_world(the_policy(requests={"default_option": "callback", "choose_s": 30}), an_agent("ada"), a_request())
    world.later(30)
    view = world.engine.contact("r1")
    assert view is not None and view.callback is not None and view.state is ContactState.QUEUED


def test_a_default_option_that_is_no_longer_possible_is_replaced() -> None:
    world = a_world(the_policy(queue={"when_closed": WhenClosed.REFUSE}), an_agent(), ready(), a_request())
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    assert world.refused(choose("now")).code is RefusalCode.QUEUE_CLOSED
    world.later(120)
    view = world.engine.contact("r1")
    assert view is not None and view.callback is not None


def test_a_request_without_a_possible_option_expires() -> None:
    options = {"channels": (), "callback": None}
    world = a_world(the_policy(queue={"when_closed": WhenClosed.REFUSE}, requests=options), an_agent(), ready(), a_request())
    world.done(c.SetQueueOpen(queue_id="support", is_open=False))
    world.later(120)
    view = world.engine.contact("r1")
    assert view is not None and (view.state, view.reason) == (ContactState.EXPIRED, "not_chosen")
    assert world.engine.workspace().counts.submitted == world.engine.workspace().counts.expired == 0


def test_later_suspends_the_request_and_offers_it_to_no_agent() -> None:
    world = a_world(the_policy(requests={"later": True}), an_agent("ada"), ready("ada"))
    assert "later" in options_of(world.done(a_request()))
    events = world.done(choose("later"))
    assert [type(one).__name__ for one in events] == ["ContactQueued", "ContactSuspended"]
    assert state(world) is ContactState.SUSPENDED
    world.done(c.ResumeContact(contact_id="r1", channel="chat"))
    assert state(world) is ContactState.OFFERED


def test_a_choice_is_made_once() -> None:
    world = a_busy_centre()
    world.done(a_request())
    first = world.do(choose("chat")).result
    again = world.do(choose("chat")).result
    assert isinstance(first, Done) and isinstance(again, Done) and (first.replayed, again.replayed) == (False, True)
    refused = world.refused(choose("now"))
    assert (refused.code, refused.state) == (RefusalCode.INVALID_CONTACT_STATE, "queued")


def test_an_option_that_was_not_shown_is_refused() -> None:
    world = a_world(the_policy(), an_agent(), ready(), a_request())
    refused = world.refused(choose("video"))
    assert (refused.code, refused.field, refused.allowed) == (
        RefusalCode.OPTION_NOT_AVAILABLE,
        "option",
        ("now", "chat", "callback"),
    )


def test_a_cancelled_request_counts_nowhere() -> None:
    world = a_world(the_policy(), an_agent(), ready(), a_request())
    assert world.engine.workspace().counts.choosing == 1
    world.done(c.CancelContact(contact_id="r1", reason="customer_left", gateway_id=""))
    assert state(world) is ContactState.CANCELLED
    counts = world.engine.workspace().counts
    assert (counts.submitted, counts.cancelled, counts.choosing) == (0, 0, 0)
    world.later(200)
    assert state(world) is ContactState.CANCELLED


@pytest.mark.parametrize(
    "command",
    [
        c.AbandonContact(contact_id="r1"),
        c.RequeueContact(contact_id="r1"),
        c.AssignContact(contact_id="r1", agent_id="ada"),
        c.RequestCallback(contact_id="r1"),
        c.TransferContact(contact_id="r1", to_queue_id="support"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_nothing_moves_a_contact_whose_customer_is_choosing(command: c.Command) -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_request())
    refused = world.refused(command)
    assert (refused.code, refused.state) == (RefusalCode.INVALID_CONTACT_STATE, "choosing")


def test_a_thousand_customers_may_be_choosing() -> None:
    engine = Engine()
    engine.handle(published(the_policy()), START_MS)
    for number in range(1_000):
        assert isinstance(engine.handle(a_request(f"r{number}", token=str(number).encode()), START_MS).result, Done)
    refused = engine.handle(a_request("more"), START_MS).result
    assert isinstance(refused, Refused) and refused.code is RefusalCode.TOO_MANY_REQUESTS
    assert isinstance(engine.handle(choose("callback", "r7"), START_MS).result, Done)
    assert isinstance(engine.handle(a_request("more"), START_MS).result, Done)


def test_a_customer_chooses_once_at_a_time() -> None:
    world = a_world(the_policy(), an_agent(), ready(), a_request("r1", customer_id="c_1", token=b"1"))
    world.done(a_request("r2", customer_id="c_2", token=b"2"))
    world.done(a_request("r3", customer_id="c_1", token=b"3"))
    assert [state(world, name).value for name in ("r1", "r2", "r3")] == ["cancelled", "choosing", "choosing"]
    view = world.engine.contact("r1")
    assert view is not None and (view.reason, view.ended_by) == ("replaced", "customer")
    world.done(choose("now", "r3"))
    view = world.engine.contact("r3")
    assert view is not None and view.customer_id == "c_1"


def test_another_gateway_does_not_know_the_request() -> None:
    world = a_world(the_policy(), an_agent(), ready(), a_request(gateway_id="web"))
    assert world.refused(choose("now", gateway_id="phone")).code is RefusalCode.UNKNOWN_CONTACT
    assert isinstance(world.do(choose("now", gateway_id="web")).result, Done)


def test_a_token_is_replaced_and_revoked() -> None:
    world = a_world(the_policy(), an_agent(), ready(), a_request(token=b"first"))
    assert owner_of_token(world.engine, b"first") == "r1"
    world.done(c.ChangeCustomerToken(contact_id="r1", token_hash=b"second"))
    assert (owner_of_token(world.engine, b"first"), owner_of_token(world.engine, b"second")) == (None, "r1")
    world.done(c.ChangeCustomerToken(contact_id="r1"))
    assert owner_of_token(world.engine, b"second") is None
    world.done(a_contact("c1"))
    assert world.refused(c.ChangeCustomerToken(contact_id="c1", token_hash=b"x")).code is RefusalCode.UNKNOWN_CONTACT


def test_the_choice_goes_on_after_a_restart() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"))
    world.done(a_request())
    restored = Engine.restore(world.engine.snapshot())
    for engine in (restored, world.replayed()):
        assert engine.digest() == world.engine.digest()
        assert owner_of_token(engine, b"token") == "r1"
        engine.handle(c.AdvanceTime(), START_MS + 120_000)
        view = engine.contact("r1")
        assert view is not None and view.state is ContactState.OFFERED


def test_a_removed_queue_passes_its_choosing_contacts_on() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_request())
    other = the_policy()
    moved = Policy(
        channels={"voice": ChannelPolicy(), "chat": ChannelPolicy()},
        queues={"sales": QueuePolicy(when_no_agents_ready=WhenNoAgentsReady.WAIT, callback=CallbackPolicy())},
        requests=other.requests,
    )
    world.done(published(moved, drain_to={"support": "sales"}))
    world.done(choose("now"))
    view = world.engine.contact("r1")
    assert view is not None and view.queue_id == "sales"
    world.done(c.AcceptOffer(offer_id="r1.1", agent_id="ada"))
    assert owner_of(world, "r1") == "ada"


def test_why_names_the_default_option() -> None:
    world = a_world(the_policy(), an_agent("ada"), ready("ada"), a_request())
    why = world.engine.why("r1")
    assert why is not None and (why.reason, why.next_change, why.next_change_at_ms) == (
        "choosing",
        "default_option",
        START_MS + 120_000,
    )


def test_an_option_with_a_free_agent_has_no_place() -> None:
    """One caller waits for voice, an agent is free for chat: the customer would wait on one channel, and not on the other."""
    world = a_busy_centre()
    world.done_all(
        an_agent("bob"), c.SetAgentChannels(agent_id="bob", paused=("voice",)), ready("bob"), a_contact("c2"), a_request()
    )
    view = world.engine.request("r1")
    assert view is not None
    places = {one.id: (one.position, one.wait_s is not None and one.wait_s.p90 == 0) for one in view.options}
    assert places["now"] == (2, False)
    assert places["chat"] == (None, True)
