"""Property: customers who are choosing change nothing for others.

The same random commands go to two engines; one of them also has customers who are shown options, and some leave. Apart from
the numbers of events, all others then have the same states, agents, positions and expected waits.
"""

import random
from typing import Any

import pytest

from router.engine.engine import Engine
from router.engine.events import requests as request_events
from router.engine.events.contact_state import place_in_line
from router.model import commands as c
from router.model.events import ContactChoosing
from router.model.policy import CallbackPolicy, CallbackWindowsPolicy, RequestPolicy
from router.model.results import Refused
from router.model.states import AgentState, ContactState
from tests.support.builders import START_MS, a_channel, a_policy, a_queue, published

AGENTS = ("ada", "bob", "cy")
QUEUES = ("support", "sales")


def a_centre() -> Engine:
    engine = Engine()
    policy = a_policy(
        channels={"voice": a_channel(wrap_up_s=5), "chat": a_channel(units=30, per_agent_max=3)},
        queues={
            "support": a_queue(callback=CallbackPolicy(), length_max=3, wait_max_s=300, overflow_to="sales"),
            "sales": a_queue(requires={"english": 2}),
        },
        requests=RequestPolicy(channels=("chat",), callback=CallbackWindowsPolicy(), choose_s=600),
    )
    engine.handle(published(policy), START_MS)
    for agent_id in AGENTS:
        engine.handle(c.PutAgent(agent_id=agent_id, skills={"english": 3}), START_MS)
    return engine


def others(engine: Engine) -> list[Any]:
    """Return what is known of everything but the requests, without numbers of events."""
    found: list[Any] = [engine.contact(one.contact_id) for one in engine.contacts(limit=1_000) if one.contact_id[0] == "c"]
    told = [(one.contact_id, one.state, one.queue_id, one.agent_id, one.position, one.expected_wait, one.reason) for one in found]
    views: list[Any] = [engine.queue(name) for name in QUEUES]
    queues = [(one.waiting, one.offered, one.assigned, one.oldest_queued_at_ms, one.callbacks, one.forecasts) for one in views]
    waits = [engine.expected_wait(name, channel=channel) for name in QUEUES for channel in ("voice", "chat")]
    agents = [(one.agent_id, one.state, one.units_used) for one in engine.agents()]
    counts = engine.workspace().counts
    return [told, queues, waits, agents, counts.submitted, counts.cancelled, counts.expired]


def a_command(draw: random.Random, engine: Engine, number: int) -> c.Command:
    records = engine._state
    offers, work = list(records.offers.values()), list(records.assignments.values())
    agent_id = draw.choice(AGENTS)
    kinds = ["submit", "submit", "submit", "ready", "ready", "accept", "accept", "decline", "end", "complete", "cancel", "pause"]
    match draw.choice(kinds):
        case "submit":
            return c.EnqueueContact(contact_id=f"c{number}", channel=draw.choice(("voice", "chat")), queue_id=draw.choice(QUEUES))
        case "ready":
            return c.SetAgentState(agent_id=agent_id, state=AgentState.READY)
        case "pause":
            return c.SetAgentState(agent_id=agent_id, state=AgentState.NOT_READY)
        case ("accept" | "decline") as what if offers:
            offer = draw.choice(offers)
            return (c.AcceptOffer if what == "accept" else c.DeclineOffer)(offer_id=offer.offer_id, agent_id=offer.agent_id)
        case "end" if work:
            return c.EndContact(contact_id=draw.choice(work).contact_id)
        case "complete" if work:
            return c.CompleteAssignment(assignment_id=draw.choice(work).assignment_id)
        case "cancel" if any(one.state is ContactState.QUEUED for one in records.contacts.values()):
            waiting = [one.contact_id for one in records.contacts.values() if one.state is ContactState.QUEUED]
            return c.CancelContact(contact_id=draw.choice(waiting))
        case _:
            return c.AdvanceTime()


def difference(seed: int, steps: int = 120) -> str | None:
    """Return where the two engines differ after the same commands; None: nowhere."""
    draw = random.Random(seed)
    without, with_requests, now_ms = a_centre(), a_centre(), START_MS
    for number in range(steps):
        now_ms += draw.choice((0, 0, 1, 500, 5_000, 20_000))
        if draw.random() < 0.4 and now_ms < START_MS + 590_000:
            contact = c.EnqueueContact(
                contact_id=f"r{number}", channel=draw.choice(("voice", "chat")), queue_id=draw.choice(QUEUES), priority_s=60
            )
            asked = with_requests.handle(c.RequestContact(contact=contact, token_hash=contact.contact_id.encode()), now_ms).result
            if not isinstance(asked, Refused) and draw.random() < 0.3:
                with_requests.handle(c.CancelContact(contact_id=contact.contact_id), now_ms)
        command = a_command(draw, without, number)
        for engine in (without, with_requests):
            engine.handle(command, now_ms)
            while (due_ms := engine.next_deadline_ms()) is not None and due_ms <= now_ms:
                engine.handle(c.AdvanceTime(), now_ms)
        if any(offer.contact_id[0] == "r" for offer in with_requests._state.offers.values()):
            return f"step {number}: a contact whose customer is choosing is offered"
        if others(without) != others(with_requests):
            return f"step {number}: the others differ"
        if now_ms > START_MS + 500_000:
            break
    return None


@pytest.mark.parametrize("seed", range(40))
def test_customers_who_are_choosing_change_nothing_for_others(seed: int) -> None:
    assert difference(seed) is None


def test_a_request_that_is_placed_in_its_queue_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = request_events.REQUEST_EVENTS[ContactChoosing]

    def begin_in_line(state: Any, event: Any) -> None:
        begin(state, event)
        place_in_line(state, state.contacts[event.contact_id])

    from router.engine.events import EVENT_HANDLERS

    monkeypatch.setitem(EVENT_HANDLERS, ContactChoosing, begin_in_line)
    assert any(difference(seed) is not None for seed in range(5))


def test_a_request_that_counts_as_waiting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = request_events.REQUEST_EVENTS[ContactChoosing]

    def begin_and_count(state: Any, event: Any) -> None:
        begin(state, event)
        state.queue_counts(event.queue_id)[ContactState.QUEUED] += 1

    from router.engine.events import EVENT_HANDLERS

    monkeypatch.setitem(EVENT_HANDLERS, ContactChoosing, begin_and_count)
    assert any(difference(seed) is not None for seed in range(5))
