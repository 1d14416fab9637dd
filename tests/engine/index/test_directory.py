"""Directory of contacts: every filter finds exactly the contacts in the records, and a search visits few others."""

import random
from itertools import product

import pytest

from router.engine.engine import Engine
from router.engine.index import directory
from router.engine.index.directory import ContactFilter
from router.engine.routing_state import RoutingState
from router.model import commands as c
from router.model.policy import RetentionPolicy
from router.model.states import ContactState
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready

OWNERS = ("web", "sms", "mail")
QUEUES = ("support", "sales")


def state_of(engine: Engine) -> RoutingState:
    return engine._state


def found(state: RoutingState, wanted: ContactFilter, after_seq: int = 0) -> list[str]:
    steps = state.index.directory.search(wanted, after_seq)
    return [contact.contact_id for _, contact in steps if contact is not None]


def expected(state: RoutingState, wanted: ContactFilter, after_seq: int = 0) -> list[str]:
    return [
        contact.contact_id
        for contact in state.contacts.values()
        if contact.queued_seq > after_seq
        and wanted.owner in (None, contact.gateway_id)
        and wanted.queue_id in (None, contact.queue_id)
        and wanted.state in (None, contact.state)
    ]


def every_filter() -> list[ContactFilter]:
    states = (None, ContactState.QUEUED, ContactState.OFFERED, ContactState.ASSIGNED, ContactState.CANCELLED, ContactState.ENDED)
    return [ContactFilter(*some) for some in product((None, *OWNERS, "unknown"), (None, *QUEUES, "gone"), states)]


def check(engine: Engine, randomly: random.Random) -> None:
    state = state_of(engine)
    while not state.index.directory.catch_up(7):
        pass
    after_seq = randomly.choice((0, randomly.randrange(engine.seq + 1)))
    for wanted in every_filter():
        assert found(state, wanted, after_seq) == expected(state, wanted, after_seq), wanted


def play(engine: Engine, randomly: random.Random, number: int) -> None:
    """Execute one random command; refusals do not matter."""
    live = [contact.contact_id for contact in state_of(engine).contacts.values() if not contact.state.is_terminal]
    some = randomly.choice(live) if live else "none"
    commands: list[c.Command] = [
        a_contact(f"c{number}", gateway_id=randomly.choice(OWNERS), queue_id=randomly.choice(QUEUES)),
        a_contact(f"c{number}", gateway_id="web", queue_id="support"),
        c.CancelContact(contact_id=some),
        c.RequeueContact(contact_id=some, queue_id=randomly.choice(QUEUES)),
        c.AcceptOffer(offer_id=f"{some}.1", agent_id="ada"),
        c.EndContact(contact_id=some),
    ]
    engine.handle(randomly.choice(commands), START_MS + number)


@pytest.mark.parametrize("seed", range(6))
def test_every_filter_finds_the_contacts_in_the_records(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while contacts arrive, change and are forgotten, with chunks so short that many are emptied and rebuilt."""
    monkeypatch.setattr(directory, "_SLOT_BITS", 3)
    monkeypatch.setattr(directory, "_CHUNK_LENGTH", 8)
    monkeypatch.setattr(directory, "_PLACE_MASK", 7)
    monkeypatch.setattr(directory, "_SPARSE_LENGTH", 4)
    randomly = random.Random(seed)
    engine = Engine()
    policy = a_policy(queues={name: a_queue() for name in QUEUES}, retention=RetentionPolicy(ended_contacts_max=20))
    engine.handle(published(policy), START_MS)
    engine.handle(an_agent(), START_MS)
    engine.handle(ready(), START_MS)
    for number in range(400):
        play(engine, randomly, number)
        if number % 9 == 0:
            check(engine, randomly)
    check(engine, randomly)
    check(Engine.restore(engine.snapshot()), randomly)


def many(count: int, *, owned_every: int) -> RoutingState:
    engine = Engine()
    engine.handle(published(a_policy()), START_MS)
    for number in range(count):
        owner = "few" if number % owned_every == 0 else "many"
        engine.handle(a_contact(f"c{number}", gateway_id=owner), START_MS)
    state = state_of(engine)
    state.index.directory.catch_up(count)
    return state


@pytest.mark.parametrize("count", [4_000, 16_000])
def test_a_search_visits_what_it_finds_and_one_step_for_each_chunk(count: int) -> None:
    state = many(count, owned_every=1_000)
    chunks = -(-count // 1_024)
    for wanted, hits in (
        (ContactFilter(owner="unknown"), 0),
        (ContactFilter(owner="few"), count // 1_000),
        (ContactFilter(state=ContactState.ASSIGNED), 0),
        (ContactFilter(queue_id="sales"), 0),
        (ContactFilter("few", "support", ContactState.QUEUED), count // 1_000),
    ):
        steps = list(state.index.directory.search(wanted, 0))
        assert sum(contact is not None for _, contact in steps) == hits
        assert len(steps) <= 2 * hits + chunks


def test_a_contact_that_arrives_costs_nothing_until_the_first_query() -> None:
    engine = Engine()
    engine.handle(published(a_policy()), START_MS)
    engine.handle(a_contact("c1"), START_MS)
    contact = state_of(engine).contacts["c1"]
    assert contact.slot == 0
    assert [view.contact_id for view in engine.contacts()] == ["c1"] and contact.slot
    engine.handle(a_contact("c2"), START_MS)
    assert [view.contact_id for view in engine.contacts()] == ["c1", "c2"]
