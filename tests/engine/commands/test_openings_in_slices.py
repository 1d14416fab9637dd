"""An opening admits the contacts that wait for it in slices: bounded work in a turn, the most urgent first, across restarts."""

import pytest

from router.engine.commands import hours
from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import CalendarPolicy, QueuePolicy, StepPolicy, WhenClosed, WhenNoAgentsReady
from router.model.states import ContactState
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, published, ready
from tests.support.world import World, a_world

OPEN = c.SetQueueOpen(queue_id="support", is_open=True)
CLOSE = c.SetQueueOpen(queue_id="support", is_open=False)


def a_closed_world(contacts: int, **queue: object) -> World:
    policy = a_policy(
        queues={
            "support": QueuePolicy(when_closed=WhenClosed.WAIT, hours="never", **queue),  # type: ignore[arg-type]
            "night": QueuePolicy(),
        },
        calendars={"never": CalendarPolicy(zone="UTC")},
        plans={"calm": (StepPolicy(duration_s=60), StepPolicy())} if queue.get("plan") else {},
    )
    world = a_world(policy)
    world.done_all(*(a_contact(f"c{number:02}", priority_s=600 if number == contacts - 1 else 0) for number in range(contacts)))
    return world


def waiting(world: World) -> list[str]:
    views = world.engine.contacts(queue_id="support", limit=1000)
    return [view.contact_id for view in views if view.waiting_for_opening]


def opened(events: list[e.Event]) -> list[tuple[str, ...] | None]:
    return [event.contact_ids for event in events if isinstance(event, e.QueueOpened)]


@pytest.fixture(autouse=True)
def three_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "ADMITTED_MAX", 3)


def test_contacts_are_admitted_a_few_in_a_millisecond_and_the_most_urgent_first() -> None:
    world = a_closed_world(8)
    first = world.done(OPEN)
    assert opened(first) == [("c00", "c01", "c07")]
    assert waiting(world) == ["c02", "c03", "c04", "c05", "c06"]
    assert world.engine.next_deadline_ms() == world.at_ms + 1
    assert opened(world.later(0.001)) == [("c02", "c03", "c04")]
    # Other commands come in between; a contact that arrives now does not wait.
    world.done(a_contact("new"))
    assert waiting(world) == ["c05", "c06"]
    assert opened(world.later(0.001)) == [None]
    assert waiting(world) == [] and world.engine.next_deadline_ms() is None
    assert world.replayed().digest() == world.engine.digest()


def test_a_small_queue_is_admitted_by_one_event() -> None:
    world = a_closed_world(3)
    assert opened(world.done(OPEN)) == [None]
    assert waiting(world) == []


def test_an_opening_continues_after_a_restart() -> None:
    world = a_closed_world(8)
    world.done(OPEN)
    restored = Engine.restore(world.engine.snapshot())
    assert restored.next_deadline_ms() == world.engine.next_deadline_ms()
    replayed = world.replayed()
    assert replayed.next_deadline_ms() == world.engine.next_deadline_ms()
    world.later(1)
    for engine in (restored, replayed):
        while (due_ms := engine.next_deadline_ms()) is not None:
            engine.handle(c.AdvanceTime(), due_ms)
        assert not [view for view in engine.contacts(limit=1000) if view.waiting_for_opening]


def test_contacts_that_were_not_admitted_yet_wait_on_if_the_queue_closes() -> None:
    world = a_closed_world(8, wait_max_s=100)
    world.done(OPEN)
    world.done(CLOSE)
    left = ["c02", "c03", "c04", "c05", "c06"]
    assert set(left) <= set(waiting(world))
    assert world.later(1) == []
    world.done(OPEN)
    world.later(1)
    assert waiting(world) == []
    opened_ms = world.at_ms - 1000
    assert all(
        view.wait_until_ms is not None and view.wait_until_ms - opened_ms - 100_000 < 10
        for view in world.engine.contacts(queue_id="support", limit=100)
    )


def test_another_end_of_the_opening_admits_nothing_at_once() -> None:
    world = a_closed_world(8)
    world.done(OPEN)
    events = world.done(c.SetQueueOpen(queue_id="support", is_open=True, duration_s=3600))
    assert opened(events) == [()]
    assert len(waiting(world)) == 5
    world.later(0.01)
    assert waiting(world) == []


def test_contacts_without_agents_overflow_in_slices_too() -> None:
    world = a_closed_world(8, overflow_to="night", when_no_agents_ready=WhenNoAgentsReady.OVERFLOW)
    # The night has an agent; support has none.
    world.done_all(an_agent("ada", queues=("night",)), ready("ada"))
    events = world.done(OPEN)
    assert sum(isinstance(event, e.ContactOverflowed) for event in events) == 3
    later = world.later(0.01)
    assert sum(isinstance(event, e.ContactOverflowed) for event in later) == 5
    assert waiting(world) == []


def test_the_slices_of_many_queues_share_the_limit() -> None:
    queues = {f"q{number}": QueuePolicy(when_closed=WhenClosed.WAIT, hours="days") for number in range(4)}
    week = {"week": {"mon": ("09:00-10:00", "11:00-12:00")}}
    calendar = CalendarPolicy(zone="UTC", week=CalendarPolicy(zone="UTC").week.__class__(**week["week"]))
    world = a_world(a_policy(queues=queues, calendars={"days": calendar}))
    world.later(3600)  # 10:00: closed
    world.done_all(*(a_contact(f"{name}-{number}", queue_id=name) for name in queues for number in range(2)))
    at_opening = world.later(3600)
    first = [event for event in at_opening if isinstance(event, e.QueueOpened)][:4]
    admitted = [2 if event.contact_ids is None else len(event.contact_ids) for event in first]
    assert sum(admitted) == 3
    assert len({event.queue_id for event in first}) == 4, "all queues open before any contact moves"
    world.later(1)
    assert not [view for view in world.engine.contacts(limit=100) if view.waiting_for_opening]


def test_no_turn_admits_more_than_its_limit_at_the_real_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "ADMITTED_MAX", 256)
    engine = Engine()
    policy = a_policy(
        queues={"support": QueuePolicy(when_closed=WhenClosed.WAIT, hours="never")}, calendars={"never": CalendarPolicy(zone="UTC")}
    )
    engine.handle(published(policy), START_MS)
    for number in range(1_000):
        engine.handle(a_contact(f"c{number}"), START_MS)
    outcome = engine.handle(OPEN, START_MS)
    sizes = [len(event.contact_ids or ()) for event in outcome.events if isinstance(event, e.QueueOpened)]
    at_ms = START_MS
    while (due_ms := engine.next_deadline_ms()) is not None:
        assert due_ms > at_ms
        at_ms = due_ms
        for event in engine.handle(c.AdvanceTime(), at_ms).events:
            assert isinstance(event, e.QueueOpened)
            sizes.append(1_000 - sum(sizes) if event.contact_ids is None else len(event.contact_ids))
    assert sizes == [256, 256, 256, 232]
    assert all(view.state is ContactState.QUEUED for view in engine.contacts(limit=1_000))
