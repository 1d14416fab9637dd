"""Work of every query in slices: what one turn does is bounded, and does not grow with the centre.

Work is counted as calls of functions, of Python and of C, while the turn runs; the counts are the same in every run.
"""

import inspect
import sys
from collections.abc import Callable, Generator
from functools import cache
from types import FrameType
from typing import Any

import pytest

from router.engine.engine import Engine
from router.engine.queries.agent_lists import AgentOrder
from router.model import commands as c
from router.model.filters import AgentFilter, LiveContactFilter
from router.model.policy import EntryRule, FactPolicy, FactType, Policy
from router.model.results import Done
from router.model.states import ContactState
from router.server.ws.synchronization import VisibleState
from router.statistics.workspace import WorkspaceStats
from router.telemetry.workspace_metrics import LabelLimit, take_sample
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready

CALLS_MAX = 8_000
"""Calls in one turn: a millisecond or two."""
SMALL, LARGE = 1, 3
CUSTOMER_ID = f"c_{0:032x}"
_QUEUES = 60
MANY_CONDITIONS = AgentFilter(queue_id="q001", skill=("german", 2), channel="voice", is_available=True)


def the_policy(size: int) -> Policy:
    queues = {f"q{number:03}": a_queue(requires={"german": 1} if number % 2 else {}) for number in range(_QUEUES * size)}
    rules = tuple(EntryRule(name=f"r{number}", when=f'contact.tier == "t{number}"', queue="q001") for number in range(20))
    facts = {"tier": FactPolicy(type=FactType.ENUM, values=tuple(f"t{number}" for number in range(20)))}
    return a_policy(queues=queues, entry=rules, facts=facts, default_queue="q000", skills=("english", "german", "rare"))


class Centre:
    """A centre with agents, contacts that wait in many lines, contacts with agents, and ended contacts."""

    def __init__(self, size: int) -> None:
        self.engine, self.stats = Engine(), WorkspaceStats()
        self.do(published(the_policy(size)))
        for number in range(150 * size):
            self.do(an_agent(f"a{number:04}", skills={"english": 1 + number % 5, "german": 1 + number % 3}))
            self.do(ready(f"a{number:04}"))
        for number in range(1_200 * size):
            # Most wait for a skill that no agent has.
            skills = {"rare": 1 + number % 3} if number % 8 else {}
            queue_id = f"q{number % (_QUEUES * size):03}"
            self.do(a_contact(f"c{number:05}", queue_id=queue_id, skills=skills, gateway_id="large" if number % 3 else "other"))
        for number in range(0, 400 * size, 3):
            self.do(c.CancelContact(contact_id=f"c{number:05}"))
        for number in range(60 * size):
            contact = a_contact(f"r{number:05}", queue_id="q000", customer_id=CUSTOMER_ID)
            self.do(c.RequestContact(contact=contact, token_hash=number.to_bytes(32, "big"), ask=False))
        self.middle = f"c{600 * size + 1:05}"
        self.size = size

    def do(self, command: c.Command) -> None:
        """Execute a command and count its events; offers are accepted."""
        outcome = self.engine.handle(command, START_MS)
        assert isinstance(outcome.result, Done), outcome.result
        self.engine.list_new_contacts()  # As the writer does.
        for seq, event in enumerate(outcome.events, outcome.first_seq):
            self.stats.apply(event, seq, START_MS)


@cache
def a_centre(size: int) -> Centre:
    return Centre(size)


def pages_of(centre: Centre) -> Generator[None, None, None]:
    """Build the frames of a welcome; each is sent in a turn of its own."""
    query = centre.engine.live_contacts("large")
    contacts = yield from query
    for _ in VisibleState(contacts=contacts).take_pages():
        yield


def metrics(centre: Centre) -> Generator[None, None, Any]:
    return take_sample("main", centre.stats, START_MS, LabelLimit(10_000))


def snapshot(centre: Centre) -> Generator[None, None, None]:
    image = centre.stats.incremental_snapshot()
    while image.advance():
        yield


def queue_ids(centre: Centre) -> list[str]:
    policy = centre.engine.policy
    assert policy is not None
    return list(policy.queues)


QUERIES: dict[str, Callable[[Centre], Generator[None, None, Any]]] = {
    "list of contacts": lambda centre: centre.engine.contact_page(limit=500),
    "list of contacts of a state": lambda centre: centre.engine.contact_page(limit=500, state=ContactState.CANCELLED),
    "list of contacts that meet no filter": lambda centre: centre.engine.contact_page(limit=500, owner="none"),
    "list of agents": lambda centre: centre.engine.agent_page(limit=500),
    "list of agents with filters": lambda centre: centre.engine.agent_page(MANY_CONDITIONS, limit=500),
    "list of the least loaded agents": lambda centre: centre.engine.agent_page(order=AgentOrder.LOAD, limit=500),
    "list of agents who are no more": lambda centre: centre.engine.agent_page(AgentFilter(team="none"), AgentOrder.IDLE),
    "agents who meet a filter": lambda centre: centre.engine.matching_objects(MANY_CONDITIONS, limit=1_000),
    "contacts that meet a filter": lambda centre: centre.engine.matching_objects(LiveContactFilter(channel="voice"), limit=1_000),
    "contacts that wait in a queue": lambda centre: centre.engine.waiting_page("q001", limit=500),
    "contacts that wait in a queue of many lines": lambda centre: centre.engine.waiting_page("q000", limit=500),
    "welcome of a gateway": pages_of,
    "welcome of a supervisor": lambda centre: centre.engine.all_agents(),
    "state": lambda centre: centre.engine.workspace_in_slices(),
    "list of queues": lambda centre: centre.engine.queues(START_MS + 1),
    "waits of queues": lambda centre: centre.engine.queue_waits(START_MS + 1),
    "figures for alerts": lambda centre: centre.engine.alert_figures(queue_ids(centre), START_MS + 1),
    "why a contact waits": lambda centre: centre.engine.why_in_slices(centre.middle),
    "doctor": lambda centre: centre.engine.diagnose_in_slices(at_ms=START_MS + 1),
    "customers of live contacts": lambda centre: centre.engine.customers_of_live_contacts(),
    "connected clients": lambda centre: centre.engine.connected_clients(),
    "requests with tokens of customers": lambda centre: centre.engine.requests_with_token_of({CUSTOMER_ID}),
    "metrics": metrics,
    "snapshot of statistics": snapshot,
}


MEASURED = {
    "contact_page",
    "agent_page",
    "matching_objects",
    "waiting_page",
    "live_contacts",
    "all_agents",
    "workspace_in_slices",
    "queues",
    "queue_waits",
    "alert_figures",
    "why_in_slices",
    "diagnose_in_slices",
    "customers_of_live_contacts",
    "connected_clients",
    "requests_with_token_of",
    "requests",  # of at most a page of named contacts
}
"""The queries of the engine above."""


def calls_by_turn(query: Generator[None, None, Any]) -> list[int]:
    """Run a query to its end and return the number of calls in each turn."""
    turns: list[int] = []
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    is_over = False
    while not is_over:
        calls = 0
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            next(query)
        except StopIteration:
            is_over = True
        finally:
            sys.setprofile(before)
        turns.append(calls)
    return turns


@pytest.mark.parametrize("name", QUERIES)
def test_the_work_of_a_turn_does_not_grow_with_the_centre(name: str) -> None:
    small, large = (calls_by_turn(QUERIES[name](a_centre(size))) for size in (SMALL, LARGE))
    assert max(large) <= CALLS_MAX, (name, max(large))
    assert sum(large) > 15, f"{name} had nothing to do"
    # With three times as much of everything, a turn does as much as before, and there are more turns.
    assert max(large) <= 1.3 * max(small) + 600, (name, max(small), max(large))
    if max(small) > 600 and sum(large) > 2 * sum(small):
        assert len(large) > len(small), name


def test_a_new_query_in_slices_must_be_measured_here() -> None:
    found = {
        name
        for name, method in inspect.getmembers(Engine, inspect.isfunction)
        if str(inspect.signature(method).return_annotation).startswith(("Slices", "typing.Generator", "collections.abc.Generator"))
    }
    assert found == MEASURED
