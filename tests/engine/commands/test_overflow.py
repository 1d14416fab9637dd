"""Overflow: how often a contact may move on, and what becomes of it then."""

from typing import Any

import pytest

from router.engine.engine import Engine
from router.engine.state.clocks import TimerKind
from router.model import commands as c
from router.model import events as e
from router.model.diagnosis import FindingCode
from router.model.policy import AtNoAgents, CalendarPolicy, CallbackPolicy, Policy, QueuePolicy, StepPolicy, WhenClosed
from router.model.results import RefusalCode
from router.model.states import AgentState
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, not_ready, offline, published, ready
from tests.support.world import World, a_world


def chain(overflow_count_max: int, **first: Any) -> Policy:
    """Return a policy with the overflow chain a → b → c → d, in which all queues but the last are closed."""
    names = ("a", "b", "c", "d")
    queues = {
        name: QueuePolicy(hours="never", when_closed=WhenClosed.OVERFLOW, overflow_to=names[place + 1])
        for place, name in enumerate(names[:3])
    }
    return a_policy(
        queues={**queues, "d": QueuePolicy()},
        calendars={"never": CalendarPolicy(zone="UTC")},
        overflow_count_max=overflow_count_max,
    )


def test_a_submit_is_refused_beyond_the_overflow_limit() -> None:
    world = a_world(chain(3))
    (queued,) = world.done(a_contact("c1", queue_id="a"))
    assert isinstance(queued, e.ContactQueued)
    assert (queued.queue_id, queued.overflow_count) == ("d", 3)
    world.done(published(chain(2)))
    assert world.refused(a_contact("c2", queue_id="a")).code is RefusalCode.QUEUE_CLOSED


def test_a_contact_at_the_overflow_limit_stays_and_the_view_says_so() -> None:
    queues = {
        "a": QueuePolicy(wait_max_s=10, overflow_to="b"),
        "b": QueuePolicy(wait_max_s=10, overflow_to="d"),
        "d": QueuePolicy(),
    }
    world = a_world(a_policy(queues=queues, overflow_count_max=1), a_contact("c1", queue_id="a"))
    world.later(60)
    view, why = world.engine.contact("c1"), world.engine.why("c1")
    assert view is not None and (view.queue_id, view.overflow_count, view.wait_until_ms) == ("b", 1, None)
    assert why is not None and why.overflow_impossible
    codes = [one.code for one in world.engine.diagnose(thorough=True).findings]
    assert FindingCode.CONTACTS_OVERFLOW_LIMIT in codes


# --- queues without ready agents ----------------------------------------------------------------------------------------
def a_chain() -> World:
    """Return a world in which Ada serves ``mid``, whose contacts leave it after 30 s without ready agents, and Eve ``last``."""
    queues = {"mid": QueuePolicy(no_agents_for_s=30, overflow_to="last"), "last": QueuePolicy(), "other": QueuePolicy()}
    world = a_world(a_policy(queues=queues))
    world.done_all(an_agent(queues=("mid",)), ready(), an_agent("eve", queues=("last",)), ready("eve"), not_ready("eve"))
    world.done_all(a_contact("c0", queue_id="mid"), c.AcceptOffer(offer_id="c0.1", agent_id="ada"))
    return world


def queue_of(world: World, contact_id: str = "c1") -> str:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.queue_id


def test_waiting_contacts_leave_a_queue_without_ready_agents_after_a_time() -> None:
    world = a_chain()
    world.done(a_contact("c1", queue_id="mid"))
    world.later(60)
    assert queue_of(world) == "mid", "a busy agent is ready"
    world.done(not_ready())
    world.later(29)
    world.done(ready())
    world.done(not_ready())
    world.later(29.999)
    assert queue_of(world) == "mid", "the time begins again when an agent was ready"
    restored = Engine.restore(world.engine.snapshot())
    assert restored.next_deadline_ms() == world.engine.next_deadline_ms() == world.at_ms + 1
    (overflowed,) = world.later(0.001)
    assert isinstance(overflowed, e.ContactOverflowed)
    assert (overflowed.queue_id, overflowed.reason, overflowed.overflow_count) == ("last", "no_agents_ready", 1)
    world.done(a_contact("c2", queue_id="mid"))
    assert queue_of(world, "c2") == "last", "later contacts leave at once"
    assert world.replayed().digest() == world.engine.digest() == Engine.restore(world.engine.snapshot()).digest()


@pytest.mark.parametrize(
    "change",
    [
        offline(),
        an_agent(queues=("other",)),
        an_agent(queues=("mid",), channel_max={"voice": 0, "chat": 0}),
        c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY, reason="lunch"),
    ],
    ids=["offline", "other queue", "no channel", "break"],
)
def test_the_time_begins_whatever_takes_the_last_agent_away(change: c.Command) -> None:
    world = a_chain()
    world.done_all(a_contact("c1", queue_id="mid"), change)
    world.later(29)
    assert queue_of(world) == "mid"
    world.later(1)
    assert queue_of(world) == "last"


def test_a_policy_may_let_contacts_expire_and_takes_effect_at_once() -> None:
    world = a_chain()
    world.done_all(a_contact("c1", queue_id="mid"), a_contact("c2", queue_id="other"), not_ready())
    queues = {"mid": QueuePolicy(), "last": QueuePolicy(), "other": QueuePolicy(no_agents_for_s=20, at_no_agents=AtNoAgents.EXPIRE)}
    world.done(published(a_policy(queues=queues)))
    (expired,) = world.later(600)
    assert isinstance(expired, e.ContactExpired) and (expired.contact_id, expired.reason) == ("c2", "no_agents_ready")


@pytest.mark.parametrize("by_command", [False, True])
def test_a_contact_whose_reservation_ends_without_agents_leaves_in_the_same_transaction(by_command: bool) -> None:
    queue = QueuePolicy(no_agents_for_s=5, at_no_agents=AtNoAgents.EXPIRE)
    world = a_world(a_policy(queues={"support": queue}), an_agent(), ready(), an_agent("bob"), ready("bob"), a_contact())
    world.done_all(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), not_ready("bob"))
    world.done(c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada", wait_s=20, return_to_sender_s=10))
    world.done(offline())
    world.jump(20)
    # The time of bob is over, and ada, who would get it back, is absent: nothing keeps it in a queue without agents.
    events = world.done(c.AdvanceTime() if not by_command else an_agent("eve"))
    kinds = ["ContactRequeued", "ContactPreferredAgentExpired", "ContactExpired"]
    assert [type(one).__name__ for one in events] == kinds + ["AgentUpdated"] * by_command
    due_ms = world.engine.next_deadline_ms()
    assert due_ms is None or due_ms > world.at_ms
    assert world.replayed().digest() == Engine.restore(world.engine.snapshot()).digest() == world.engine.digest()


def test_a_contact_that_no_queue_admits_waits_on_and_is_looked_at_again() -> None:
    world = a_chain()
    world.done_all(a_contact("c1", queue_id="mid"), not_ready(), c.SetQueueOpen(queue_id="last", is_open=False))
    world.later(45)
    assert queue_of(world) == "mid"
    world.done(c.SetQueueOpen(queue_id="last", is_open=True))
    world.later(14)
    assert queue_of(world) == "mid"
    world.later(1)
    assert queue_of(world) == "last"


def test_a_queue_is_looked_at_regularly_and_by_one_timer_however_many_contacts_enter() -> None:
    world = a_chain()
    world.done(not_ready())
    assert world.later(100) == [], "no contact waits"
    world.done(c.SetQueueOpen(queue_id="last", is_open=False))
    world.done_all(*(a_contact(f"c{number}", queue_id="mid") for number in range(1, 9)))
    world.later(59)
    timers = world.engine._state.timers
    assert [entry[:3] for entry in timers.heap if timers._is_current(entry)] == [(START_MS + 180_000, TimerKind.NO_AGENTS, "mid")]
    restored = Engine.restore(world.engine.snapshot())
    restored.handle(c.AdvanceTime(), world.at_ms)
    assert restored.next_deadline_ms() == world.engine.next_deadline_ms() == START_MS + 180_000


def test_contacts_whose_plan_has_a_ready_agent_callbacks_and_reserved_contacts_stay() -> None:
    mid = QueuePolicy(no_agents_for_s=30, overflow_to="last", requires={"billing": 3}, plan="all", callback=CallbackPolicy())
    plans = {"all": (StepPolicy(duration_s=60), StepPolicy(skills={}))}
    world = a_world(a_policy(queues={"mid": mid, "last": QueuePolicy()}, plans=plans))
    world.done_all(an_agent("cleo", queues=("mid",)), ready("cleo"))
    world.done_all(a_contact("c1", queue_id="mid"), a_contact("c2", queue_id="mid", callback=c.CallbackFields()))
    world.later(59)
    assert (queue_of(world), queue_of(world, "c2")) == ("mid", "mid")


def test_at_most_256_contacts_leave_in_one_turn() -> None:
    world = a_world(a_policy(queues={"mid": QueuePolicy(no_agents_for_s=30, overflow_to="last"), "last": QueuePolicy()}))
    engine = world.engine
    for number in range(600):
        engine.handle(a_contact(f"c{number:03}", queue_id="mid"), world.at_ms)
    moved: list[str] = []
    at_ms = world.at_ms + 30_000
    while len(moved) < 600:
        events = engine.handle(c.AdvanceTime(), at_ms).events
        assert 0 < len(events) <= 256
        moved += [event.contact_id for event in events if isinstance(event, e.ContactOverflowed)]
        at_ms += 1
    assert moved == sorted(moved) and at_ms == world.at_ms + 30_003
