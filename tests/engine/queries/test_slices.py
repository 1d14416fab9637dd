"""Queries in slices: bounded work in a turn, exact states, pages without gaps."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from router.engine.engine import Engine
from router.engine.queries import agent_lists, slices
from router.engine.queries.slices import ContactPage, Slices, run_to_end
from router.model import commands as c
from router.model.policy import Policy
from router.model.states import AgentState, ContactState
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, not_ready, published, ready


class Visits:
    """Counts the views that are built, and the largest number in one turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = self.in_turn = self.most_in_turn = 0
        for module, name in ((slices, "contact_view"), (slices, "agent_view"), (agent_lists, "agent_view")):
            monkeypatch.setattr(module, name, self._counting(getattr(module, name)))

    def _counting(self, view: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object) -> object:
            self.total += 1
            self.in_turn += 1
            self.most_in_turn = max(self.most_in_turn, self.in_turn)
            return view(*args)

        return counted

    def turns_of(self, query: Slices[object]) -> int:
        turns = 1
        self.in_turn = 0
        for turns in count(1):  # noqa: B007
            if next(query, self) is self:
                break
            self.in_turn = 0
        return turns


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Visits:
    return Visits(monkeypatch)


def centre(*, contacts: int = 0, agents: int = 0, policy: Policy | None = None) -> Engine:
    engine = Engine()
    engine.handle(published(policy or a_policy()), START_MS)
    for number in range(agents):
        engine.handle(an_agent(f"a{number:05}", skills={}), START_MS)
    for number in range(contacts):
        engine.handle(a_contact(f"c{number:06}", gateway_id="many"), START_MS)
    return engine


def answer(query: Slices[ContactPage]) -> ContactPage:
    return run_to_end(query)


def pages(engine: Engine, limit: int, **wanted: object) -> Iterator[ContactPage]:
    position: int | None = 0
    while position is not None:
        page = answer(engine.contact_page(after_seq=position, limit=limit, **wanted))  # type: ignore[arg-type]
        yield page
        position = page.next_position


@pytest.mark.parametrize("contacts", [1_000, 8_000])
def test_one_contact_of_many_costs_one_view(contacts: int, visits: Visits) -> None:
    engine = centre(contacts=contacts)
    engine.handle(a_contact("mine", gateway_id="few"), START_MS)
    answer(engine.contact_page(owner="few", limit=1))  # Lists the new contacts.
    visits.total = 0
    page = answer(engine.contact_page(owner="few", limit=1))
    assert [view.contact_id for view in page.contacts] == ["mine"] and page.next_position is None
    assert visits.total == 1
    assert answer(engine.contact_page(owner="unknown", limit=100)).contacts == []
    assert visits.total == 1
    assert list(run_to_end(engine.live_contacts("unknown"))) == []
    assert visits.total == 1


def test_a_long_page_is_built_in_turns(visits: Visits) -> None:
    engine = centre(contacts=2_000)
    turns = visits.turns_of(engine.contact_page(limit=500))
    assert turns >= 4 and visits.most_in_turn <= slices.TURN_COST // 12 + 1
    assert visits.total == 500


def test_pages_hold_every_contact_once_in_order_of_arrival() -> None:
    engine = centre(contacts=300)
    for number in range(0, 300, 3):
        engine.handle(c.CancelContact(contact_id=f"c{number:06}"), START_MS)
    found = [view.contact_id for page in pages(engine, 7, state=ContactState.QUEUED) for view in page.contacts]
    assert found == [f"c{number:06}" for number in range(300) if number % 3]


def test_a_page_of_a_sparse_filter_is_short_and_continued_by_its_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contacts of one gateway and those of one queue alternate, so that no column passes many at once."""
    monkeypatch.setattr(slices, "PAGE_COST_MAX", 300)
    monkeypatch.setattr(slices, "TURN_COST", 100)
    engine = centre(policy=a_policy(queues={"support": a_queue(), "sales": a_queue()}))
    for number in range(2_000):
        owner, queue_id = ("few", "sales") if number % 2 else ("many", "support")
        engine.handle(a_contact(f"c{number:06}", gateway_id=owner, queue_id=queue_id), START_MS)
    engine.handle(a_contact("hit", gateway_id="few", queue_id="support"), START_MS)
    found = list(pages(engine, 10, owner="few", queue_id="support"))
    assert len(found) > 3 and all(not page.contacts for page in found[:-1])
    assert [view.contact_id for view in found[-1].contacts] == ["hit"]


def test_agents_are_listed_by_ascending_id_however_they_registered(visits: Visits) -> None:
    engine = centre()
    for name in ("m", "a", "z", "b"):
        engine.handle(an_agent(name), START_MS)
    engine.handle(c.RemoveAgent(agent_id="b"), START_MS)
    assert [view.agent_id for view in engine.agents()] == ["a", "m", "z"]
    assert [view.agent_id for view in Engine.restore(engine.snapshot()).agents(after="a", limit=1)] == ["m"]
    visits.total = 0
    engine.agents(after="a", limit=1)
    assert visits.total == 1


def changing(engine: Engine) -> Iterator[None]:
    """Execute commands that change contacts and agents, one more at each step."""
    for number in count():
        contact, agent = f"c{number % 40:06}", f"a{number % 30:05}"
        for command in (
            ready(agent) if number % 2 else not_ready(agent),
            a_contact(f"new{number}", gateway_id="many" if number % 3 else "few"),
            c.AcceptOffer(offer_id=f"{contact}.1", agent_id=agent),
            c.UpdateContact(contact_id=contact, priority_s=number % 50),
            c.CancelContact(contact_id=f"c{900 - number:06}"),
            c.EndContact(contact_id=contact),
            an_agent(f"late{number}"),
        ):
            engine.handle(command, START_MS + number)
        yield


def interleaved(query: Slices[object], steps: Iterator[None], most: int) -> tuple[object, int]:
    """Run a query with commands between its turns, at most ``most`` times; return its answer and the number of turns."""
    turns = 0
    while True:
        try:
            next(query)
        except StopIteration as end:
            return end.value, turns
        turns += 1
        if turns <= most:
            next(steps)


def test_the_contacts_of_a_gateway_are_exact_as_of_the_last_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "TURN_COST", 150)
    engine = centre(contacts=1_000, agents=30, policy=a_policy(channels={"voice": a_channel(offer_timeout_s=600)}))
    found, turns = interleaved(engine.live_contacts("many"), changing(engine), 100)
    assert turns > 50
    position = {"position": None}
    fresh = {view.contact_id: view for view in run_to_end(engine.live_contacts("many"))}
    assert isinstance(found, slices.Views) and len(list(found)) == len(fresh)
    for view in found:
        assert without(view, position) == without(fresh[view.contact_id], position)
    assert not engine._state.observers


def without(view: object, fields: dict[str, None]) -> dict[str, object]:
    """Return the fields of a view without those that every other contact changes."""
    return {name: getattr(view, name) for name in view.__struct_fields__ if name not in fields}  # type: ignore[attr-defined]


def test_the_agents_are_exact_as_of_the_last_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "TURN_COST", 100)
    engine = centre(contacts=100, agents=400)
    found, turns = interleaved(engine.all_agents(), changing(engine), 100)
    assert turns > 40
    assert isinstance(found, slices.Views)
    assert {view.agent_id: view for view in found} == {view.agent_id: view for view in engine.agents(limit=10_000)}
    assert not engine._state.observers


def test_a_new_policy_begins_the_state_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "TURN_COST", 100)
    engine = centre(agents=50)
    query = engine.all_agents()
    next(query)
    engine.handle(published(a_policy(channels={"voice": a_channel(), "mail": a_channel()})), START_MS)
    for number in range(50):
        engine.handle(c.SetAgentState(agent_id=f"a{number:05}", state=AgentState.READY), START_MS)
    found = run_to_end(query)
    assert all(view.available_channels == ("voice", "mail") for view in found) and len(list(found)) == 50


def test_a_query_that_is_given_up_leaves_nothing_behind() -> None:
    engine = centre(agents=500)
    query = engine.all_agents()
    next(query)
    assert engine._state.observers
    query.close()
    assert not engine._state.observers
