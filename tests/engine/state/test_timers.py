"""Tests of timers: deadlines fire in order, stale entries never fire, and a rebuilt heap equals the current one."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from router.engine.engine import Engine
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import TimerKind
from router.engine.state.records import QueueHours
from router.engine.state.timers import TimerEntry, Timers
from router.model import commands as c
from router.model.policy import (
    CalendarPolicy,
    CallbackPolicy,
    LostDesktopAction,
    Policy,
    RateCapPolicy,
    RonaPolicy,
    Selection,
    StepPolicy,
    WeekPolicy,
)
from router.model.states import AgentState, Presence
from tests.properties.workload import Workload
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World, a_world


def timers_of(next_check_ms: dict[str, int]) -> Timers:
    """Return timers for queues whose calendar is evaluated again at these times."""
    state = RoutingState()
    for name, at_ms in next_check_ms.items():
        state.hours[name] = QueueHours(is_open=True, changes_at_ms=at_ms, next_check_at_ms=at_ms, reason="hours")
    return state.timers


def test_stale_deadlines_are_removed_and_current_ones_fire_in_order() -> None:
    random = Random(5)
    current = {f"q{n}": random.randrange(10**6) for n in range(500)}
    timers = timers_of(current)
    names = sorted(current)
    random.shuffle(names)
    for n in range(60_000):
        timers.add(random.randrange(10**6), TimerKind.HOURS, "gone")
        if n % 120 == 0:
            name = names[n // 120]
            timers.add(current[name], TimerKind.HOURS, name)
        assert len(timers.heap) < 20_000
    came = list(iter(lambda: timers.pop_due(10**6), None))
    assert [(due_ms, name) for due_ms, _, name, _ in came] == sorted((at_ms, name) for name, at_ms in current.items())


def test_deadlines_fire_by_time_then_kind_then_id() -> None:
    timers = timers_of({"b": 5, "a": 5, "c": 4})
    for name, due_ms in (("b", 5), ("a", 5), ("c", 4)):
        timers.add(due_ms, TimerKind.HOURS, name)
    assert timers.next_deadline_ms() == 4
    assert timers.pop_due(3) is None
    assert [timers.pop_due(5) for _ in range(4)] == [
        (4, TimerKind.HOURS, "c", ""),
        (5, TimerKind.HOURS, "a", ""),
        (5, TimerKind.HOURS, "b", ""),
        None,
    ]


def test_a_moved_deadline_fires_once_at_its_new_time() -> None:
    timers = timers_of({"q": 9})
    timers.add(5, TimerKind.HOURS, "q")
    timers.add(9, TimerKind.HOURS, "q")
    assert timers.next_deadline_ms() == 9
    assert timers.pop_due(8) is None
    assert timers.pop_due(9) == (9, TimerKind.HOURS, "q", "")
    assert timers.next_deadline_ms() is None


def current_entries(world: World) -> list[TimerEntry]:
    """Return each deadline that lies ahead, once; a cool-down that has passed stays on its contact and fires to no effect."""
    state = world.engine._state
    return sorted({entry for entry in state.timers.heap if entry[0] > state.at_ms and state.timers._is_current(entry)})


@pytest.mark.parametrize("seed", (0, 1, 5, 8))
def test_rebuilt_timers_are_those_that_a_walk_has_set(seed: int) -> None:
    world, workload = World(), Workload(seed)
    for command in workload.opening():
        world.do(command)
    for _ in range(12):
        for _ in range(10):
            workload.pause(world)
            world.do(workload.next(world))
        before = current_entries(world)
        world.engine._state.timers.rebuild()
        assert current_entries(world) == before


ACCEPT = c.AcceptOffer(offer_id="c1.1", agent_id="ada")
END = c.EndContact(contact_id="c1")
DESKTOP = (an_agent(), ready(), c.ConnectDesktop(agent_id="ada", session_id="s1"), c.LoseDesktop(agent_id="ada", session_id="s1"))


def with_voice(queue: dict[str, Any] | None = None, **channel: Any) -> Policy:
    return a_policy(channels={"voice": a_channel(**channel)}, queues={"support": a_queue(**(queue or {}))})


KEPT: dict[str, Any] = {"lost_desktop": LostDesktopAction.REQUEUE, "lost_desktop_prefer_s": 30}
MORNING = CalendarPolicy(zone="UTC", week=WeekPolicy(mon=("10:00-12:00",)))
EXPIRED = "ContactPreferredAgentExpired"
PLAN = {"wider": (StepPolicy(duration_s=30), StepPolicy(add_priority_s=60))}

# For each kind of timer: a policy, commands that set the timer, seconds after which it is pending, and its first event.
TIMERS: dict[str, tuple[Policy, Sequence[c.Command], int, str]] = {
    "offer": (a_policy(), (an_agent(), ready(), a_contact()), 1, "OfferExpired"),
    "wrap_up": (with_voice(wrap_up_s=20), (an_agent(), ready(), a_contact(), ACCEPT, END), 1, "AssignmentCompleted"),
    "parking": (
        with_voice(park_max_s=60),
        (an_agent(), ready(), a_contact(), ACCEPT, c.ParkContact(contact_id="c1")),
        1,
        "ContactEnded",
    ),
    "ttl": (a_policy(), (a_contact(ttl_s=30),), 1, "ContactExpired"),
    "wait": (with_voice({"wait_max_s": 30}), (a_contact(),), 1, "ContactExpired"),
    "preferred": (with_voice(**KEPT), (*DESKTOP[:3], a_contact(), ACCEPT, DESKTOP[3]), 20, EXPIRED),
    "cool_down": (
        with_voice({"cool_down_s": 30}),
        (an_agent(), ready(), a_contact(), c.DeclineOffer(offer_id="c1.1", agent_id="ada")),
        1,
        "OfferMade",
    ),
    "return": (
        with_voice({"rona": RonaPolicy(return_after_s=60), "cool_down_s": 0}),
        (an_agent(), ready(), a_contact()),
        20,
        "AgentStateChanged",
    ),
    "grace": (a_policy(), DESKTOP, 1, "AgentStateChanged"),
    "rate_cap": (
        with_voice(rate_cap=RateCapPolicy(contacts_max=1, window_s=60)),
        (an_agent(), ready(), a_contact(), ACCEPT, END, a_contact("c2")),
        1,
        "OfferMade",
    ),
    "day": (with_voice({"selection": Selection.FEWEST_TODAY}), (), 1, "DayStarted"),
    "hours": (a_policy(queues={"support": a_queue(hours="morning")}, calendars={"morning": MORNING}), (), 1, "QueueOpened"),
    "callback": (
        with_voice({"callback": CallbackPolicy()}),
        (a_contact(callback=c.CallbackFields(at_ms=START_MS + 600_000)),),
        1,
        "ContactRequeued",
    ),
    "step": (a_policy(queues={"support": a_queue(plan="wider")}, plans=PLAN), (a_contact(),), 1, "ContactStepEntered"),
}


@pytest.mark.parametrize("kind", TIMERS)
def test_a_deadline_fires_after_a_restore_as_without(kind: str) -> None:
    policy, commands, wait_s, expected = TIMERS[kind]
    world = a_world(policy, *commands)
    world.later(wait_s)
    restored = Engine.restore(world.engine.snapshot())
    due_ms = world.engine.next_deadline_ms()
    assert due_ms is not None and restored.next_deadline_ms() == due_ms
    live, again = (one.handle(c.AdvanceTime(), due_ms) for one in (world.engine, restored))
    assert type(live.events[0]).__name__ == expected
    assert again.events == live.events
    assert restored.digest() == world.engine.digest()


def test_an_agent_goes_offline_after_a_restore_within_the_grace_period() -> None:
    world = a_world(a_policy(), *DESKTOP)
    world.later(5)
    restored = Engine.restore(world.engine.snapshot())
    restored.handle(c.AdvanceTime(), world.at_ms + 10_000)
    view = restored.agent("ada")
    assert view is not None
    assert (view.state, view.presence) == (AgentState.OFFLINE, Presence.NONE)
    assert view.reason == "desktop_lost"
