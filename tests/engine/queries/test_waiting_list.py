"""The list of waiting contacts: the order in which they are served, over all lines of a queue, page by page."""

import random

import pytest

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model import commands as c
from router.model.policy import QueueOrder
from router.model.results import Done
from router.model.views import WaitingView
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready


def do(engine: Engine, command: c.Command, at_ms: int = START_MS) -> None:
    assert isinstance(engine.handle(command, at_ms).result, Done)


def a_centre(order: QueueOrder) -> Engine:
    """Return a queue with many lines, in which contacts of all priorities and classes have arrived and left."""
    engine, chance = Engine(), random.Random(7)
    do(engine, published(a_policy(queues={"support": a_queue(order=order), "sales": a_queue()}, skills=("english", "german"))))
    for number in range(200):
        skills = {name: chance.randint(1, 3) for name in ("english", "german") if chance.random() < 0.6}
        fields = {"priority_s": chance.choice((0, 0, 30, -5)), "priority_class": chance.choice((0, 0, 0, 2))}
        queue_id = "sales" if number % 10 == 0 else "support"
        do(engine, a_contact(f"c{number:03}", queue_id=queue_id, skills=skills, **fields), START_MS + 10 * number)
    for number in range(0, 200, 7):
        do(engine, c.CancelContact(contact_id=f"c{number:03}"), START_MS + 3_000)
    return engine


def pages(engine: Engine, limit: int) -> list[WaitingView]:
    found: list[WaitingView] = []
    rank: int | None = 0
    while rank is not None:
        rows, rank = run_to_end(engine.waiting_page("support", after_rank=rank, limit=limit, at_ms=START_MS + 60_000))
        found += rows
    return found


@pytest.mark.parametrize("order", QueueOrder)
@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_the_list_is_in_the_order_of_the_positions(order: QueueOrder, limit: int) -> None:
    engine = a_centre(order)
    views = [view for view in engine.contacts(queue_id="support", limit=1_000) if view.position is not None]
    expected = sorted(views, key=lambda view: view.position or 0)
    found = pages(engine, limit)
    assert [(row.contact_id, row.position) for row in found] == [(view.contact_id, view.position) for view in expected]
    assert len(found) > 100 and {row.expected_wait.reason for row in found} == {"no_agent_qualified"}
    assert all(row.waited_ms == START_MS + 60_000 - row.queued_at_ms for row in found)


def test_contacts_that_leave_between_two_turns_are_passed_over_and_none_is_listed_twice() -> None:
    engine = a_centre(QueueOrder.FIFO)
    before = pages(engine, 1_000)
    query = engine.waiting_page("support", limit=1_000)
    next(query)
    for row in before[90:130:2]:
        do(engine, c.CancelContact(contact_id=row.contact_id), START_MS + 5_000)
    moved = before[132].contact_id
    do(engine, c.UpdateContact(contact_id=moved, skills={"german": 9}), START_MS + 5_000)
    rows: list[str] = []
    try:
        while True:
            next(query)
    except StopIteration as end:
        rows = [row.contact_id for row in end.value.contacts]
    assert len(rows) == len(set(rows)) and not {row.contact_id for row in before[90:130:2]} & set(rows)
    assert {row.contact_id for row in before[91:130:2]} <= set(rows)


def test_a_contact_that_an_agent_could_take_expects_no_wait_and_reservations_are_shown() -> None:
    engine = Engine()
    do(engine, published(a_policy()))
    do(engine, an_agent("ada"))
    do(engine, ready("ada"))
    do(engine, a_contact("rings"))
    do(engine, a_contact("waits"), START_MS + 1_000)
    rows, _ = run_to_end(engine.waiting_page("support", at_ms=START_MS + 9_000))
    [row] = rows
    assert (row.contact_id, row.position, row.waited_ms, row.expected_wait.agents) == ("waits", 1, 8_000, 1)
    assert row.expected_wait.p50_ms is not None and row.expected_wait.p50_ms > 0
