"""Selection rules: fewest contacts today, weighted random and by attributes; and what is recorded of the selection."""

from collections import Counter
from typing import Any

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.policy import AttributeOrder, Direction, FactPolicy, FactType, Policy, QueuePolicy, Selection, StepPolicy
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    published,
    ready,
)
from tests.support.engine_worlds import (
    SELECTION_FACTS,
    accept,
    choosing,
    chosen,
    names,
    offers_of,
    serve,
    staffed,
    taker,
    with_agents,
)
from tests.support.world import World


def began(events: list[e.Event]) -> list[str]:
    return [one.day for one in events if isinstance(one, e.DayStarted)]


# --- fewest today -------------------------------------------------------------------------------------------
def test_an_assignment_by_a_supervisor_counts_like_an_accept() -> None:
    world = staffed(choosing(Selection.FEWEST_TODAY), an_agent("ada"), an_agent("bob"))
    world.done(a_contact("c1"))
    world.done(c.AssignContact(contact_id="c1", agent_id="bob"))
    world.done(c.CompleteAssignment(assignment_id="c1.2", agent_id="bob"))
    counts = [world.engine.agent(name).contacts_today for name in ("ada", "bob")]  # type: ignore[union-attr]
    assert counts == [0, 1]
    assert [serve(world, f"d{n}") for n in range(3)] == ["ada", "bob", "ada"]
    assert world.engine.agent("bob").contacts_today == 2  # type: ignore[union-attr]


def test_a_declined_offer_does_not_count() -> None:
    world = staffed(choosing(Selection.FEWEST_TODAY), an_agent("ada"))
    taker(world, "c1")
    world.done(c.DeclineOffer(offer_id="c1.1", agent_id="ada"))
    assert world.engine.agent("ada").contacts_today == 0  # type: ignore[union-attr]


def test_days_are_counted_only_while_a_selection_rule_needs_them() -> None:
    world = staffed(choosing(Selection.LONGEST_IDLE), an_agent())
    assert world.engine.next_deadline_ms() is None
    assert world.engine.agent("ada").contacts_today is None  # type: ignore[union-attr]
    today = published(choosing(Selection.FEWEST_TODAY))
    assert began(world.done(today)) == ["2026-01-05"]
    serve(world, "c1")
    assert began(world.done(published(choosing(Selection.FEWEST_TODAY)))) == []
    assert world.engine.agent("ada").contacts_today == 1  # type: ignore[union-attr]
    world.done(published(choosing(Selection.LONGEST_IDLE)))
    assert world.engine.next_deadline_ms() is None
    assert began(world.done(today)) == ["2026-01-05"]
    assert world.engine.agent("ada").contacts_today == 0  # type: ignore[union-attr]


def test_a_change_of_time_zone_starts_another_day() -> None:
    world = staffed(choosing(Selection.FEWEST_TODAY), an_agent())
    serve(world, "c1")
    abroad = choosing(Selection.FEWEST_TODAY, whole={"zone": "Pacific/Auckland"})
    assert began(world.done(published(abroad))) == ["2026-01-05"]
    assert world.engine.agent("ada").contacts_today == 0  # type: ignore[union-attr]
    assert world.engine.next_deadline_ms() == START_MS + 2 * 3_600_000


def test_after_an_outage_of_days_the_present_day_starts() -> None:
    world = staffed(choosing(Selection.FEWEST_TODAY), an_agent())
    world.jump(3 * 86_400)
    assert began(world.do(c.AdvanceTime()).events) == ["2026-01-08"]
    assert world.engine.next_deadline_ms() == START_MS + (3 * 24 + 15) * 3_600_000


def test_the_day_is_in_the_snapshot_and_in_the_journal() -> None:
    world = staffed(choosing(Selection.FEWEST_TODAY), an_agent())
    serve(world, "c1")
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == world.engine.digest() == world.replayed().digest()
    assert restored.next_deadline_ms() == world.engine.next_deadline_ms()
    assert restored.agent("ada").contacts_today == 1  # type: ignore[union-attr]


def test_days_in_berlin_may_have_23_or_25_hours() -> None:
    policy = choosing(Selection.FEWEST_TODAY, whole={"zone": "Europe/Berlin"})
    world = World(policy)
    # To the last second before the day on which clocks go forward, 29 March 2026, and back, 25 October.
    lengths: dict[str, int] = {}
    day, since_ms = "2026-01-05", world.at_ms
    while day < "2026-10-26":
        due_ms = world.engine.next_deadline_ms()
        assert due_ms is not None
        world.jump((due_ms - world.at_ms) / 1000)
        lengths[day] = (due_ms - since_ms) // 3_600_000
        (day,) = began(world.do(c.AdvanceTime()).events)
        since_ms = due_ms
    assert {d: n for d, n in lengths.items() if n != 24 and d != "2026-01-05"} == {"2026-03-29": 23, "2026-10-25": 25}
    assert len(lengths) == 294


# --- weighted random ----------------------------------------------------------------------------------------
def draws(count: int, seed: int, weights: dict[str, int]) -> Counter[str]:
    """Return how often each agent is drawn."""
    engine = Engine()
    policy = choosing(Selection.WEIGHTED_RANDOM, weight_fact="years", whole={"seed": seed}, cool_down_s=0)
    engine.handle(published(policy), START_MS)
    for agent_id, weight in weights.items():
        engine.handle(an_agent(agent_id, attributes={"years": weight}), START_MS)
        engine.handle(ready(agent_id), START_MS)
    found: Counter[str] = Counter()
    for n in range(count):
        (made,) = [one for one in engine.handle(a_contact(f"c{n}"), START_MS).events if isinstance(one, e.OfferMade)]
        found[made.agent_id] += 1
        engine.handle(c.AbandonContact(contact_id=f"c{n}"), START_MS)
    return found


# The 99.9th percentiles of chi-square with 3 degrees of freedom and with 1.
@pytest.mark.parametrize("seed", [0, 1, 2, 12_345])
@pytest.mark.parametrize(("weights", "limit"), [({"ada": 1, "bob": 2, "cy": 3, "dee": 4}, 16.27), ({"ada": 1, "bob": 1}, 10.83)])
def test_agents_are_drawn_in_proportion_to_their_weights(seed: int, weights: dict[str, int], limit: float) -> None:
    count = 4_000
    found = draws(count, seed, weights)
    whole = sum(weights.values())
    chi_square = sum((found[name] - count * weight / whole) ** 2 / (count * weight / whole) for name, weight in weights.items())
    assert chi_square < limit, found


def test_the_seed_determines_the_draws() -> None:
    weights = {"ada": 5, "bob": 5, "cy": 5}
    assert draws(60, 1, weights) == draws(60, 1, weights)
    assert draws(60, 1, weights) != draws(60, 2, weights)


@pytest.mark.parametrize(
    ("years", "weight"), [(None, 1), (-7, 1), (0, 1), (1, 1), (999, 999), (1_000, 1_000), (5_000, 1_000)]
)  # fmt: skip
def test_a_weight_is_at_least_one_and_at_most_a_thousand(years: int | None, weight: int) -> None:
    attributes = {} if years is None else {"years": years}
    policy = choosing(Selection.WEIGHTED_RANDOM, weight_fact="years")
    world = staffed(policy, an_agent("ada", attributes=attributes))
    taker(world, "c1")
    assert chosen(world, "c1").selection_inputs == {"weight": weight}


# --- by attributes ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ("years", "bob ada dee cy"),
        ("years:desc", "dee ada bob cy"),
        ("native", "ada bob cy dee"),
        ("native:desc", "bob ada cy dee"),
        ("grade", "cy ada bob dee"),
        ("grade:desc", "bob ada cy dee"),
        ("grade:desc years", "bob ada cy dee"),
    ],
)
def test_attributes_are_ordered_by_type_and_a_missing_one_sorts_last(order_by: str, expected: str) -> None:
    steps = tuple(
        AttributeOrder(fact=fact, direction=Direction(direction or "asc"))
        for fact, _, direction in (part.partition(":") for part in order_by.split())
    )
    world = staffed(
        choosing(Selection.BY_ATTRIBUTES, order_by=steps),
        an_agent("ada", attributes={"years": 5, "native": False, "grade": "senior"}),
        an_agent("bob", attributes={"years": -1, "native": True, "grade": "lead"}),
        an_agent("cy", attributes={"grade": "junior"}),
        an_agent("dee", attributes={"years": 2**53}),
    )
    assert [taker(world, f"c{n}") for n in range(4)] == expected.split()


def test_a_changed_attribute_counts_at_once() -> None:
    policy = choosing(Selection.BY_ATTRIBUTES, order_by=(AttributeOrder(fact="years"),))
    world = staffed(policy, an_agent("ada"), an_agent("bob", attributes={"years": 1}))
    world.done(an_agent("ada", attributes={"years": 0}))
    assert taker(world, "c1") == "ada"


def test_a_value_older_than_the_declaration_of_the_attribute_is_missing() -> None:
    order_by = (AttributeOrder(fact="years"),)
    policy = choosing(Selection.BY_ATTRIBUTES, order_by=order_by)
    world = staffed(policy, an_agent("ada", attributes={"years": 1}), an_agent("bob", attributes={"years": 0}))
    enum = FactPolicy(type=FactType.ENUM, values=("few", "many"), applies_to="agent")
    queues = {"support": a_queue(selection=Selection.BY_ATTRIBUTES, order_by=order_by)}
    world.done(published(a_policy(queues=queues, facts={"years": enum})))
    world.done(an_agent("cy", attributes={"years": "many"}))
    world.done(ready("cy"))
    assert [taker(world, f"c{n}") for n in range(3)] == ["cy", "ada", "bob"]
    assert chosen(world, "c1").selection_inputs == {}


# --- what is recorded ---------------------------------------------------------------------------------------


def test_a_queue_policy_without_the_newer_keys_is_unchanged() -> None:
    assert QueuePolicy().order == "fifo" and a_policy().cross_queue_order == "priority_and_age"
    assert a_policy().zone == "UTC"


def test_an_agent_offered_a_thousand_contacts_in_vain_is_in_the_idle_order_once() -> None:
    engine = Engine()
    engine.handle(published(), START_MS)
    for name in ("ada", "bob"):
        engine.handle(an_agent(name), START_MS)
        engine.handle(ready(name), START_MS)
    for n in range(1_000):
        engine.handle(a_contact(f"c{n}"), START_MS)
        engine.handle(a_contact(f"d{n}"), START_MS)
        engine.handle(c.AbandonContact(contact_id=f"c{n}"), START_MS)
        engine.handle(c.AbandonContact(contact_id=f"d{n}"), START_MS)
    orders = next(iter(engine._state.index.qualification.groups.values())).idle_orders
    assert all(one.entry_count < 100 for one in orders)
    assert [agent.agent_id for agent in orders[0]] == ["ada", "bob"]


def test_the_longest_idle_of_many_agent_groups_is_found() -> None:
    """With more than 16 agent groups an idle order over all agents is built; it includes those who were free before."""
    names = [f"a{n:02}" for n in range(20)]
    skills = tuple(f"s{n}" for n in range(20))
    world = World(a_policy(skills=skills))
    for n, name in enumerate(names):
        world.done_all(an_agent(name, skills={skills[n]: 1}), ready(name))
    world.done(a_contact("busy"))
    world.done(c.AcceptOffer(offer_id="busy.1", agent_id="a00"))
    made = []
    for n in range(19):
        events = world.done(a_contact(f"c{n}"))
        made += [one.agent_id for one in events if isinstance(one, e.OfferMade)]
    assert made == names[1:]


def test_a_plan_step_may_select_by_attributes_or_by_contacts_of_the_day() -> None:
    facts, day = Selection.BY_ATTRIBUTES, Selection.FEWEST_TODAY
    plan = (StepPolicy(duration_s=10, selection=facts), StepPolicy(selection=day))
    queue = a_queue(plan="two", order_by=(AttributeOrder(fact="years"),))
    world = staffed(
        a_policy(queues={"support": queue}, facts=SELECTION_FACTS, plans={"two": plan}),
        an_agent("ada", attributes={"years": 9}),
        an_agent("bob", attributes={"years": 1}),
    )
    assert world.engine.agent("ada").contacts_today == 0  # type: ignore[union-attr]
    assert serve(world, "c1") == "bob"
    assert world.engine.agent("bob").contacts_today == 1  # type: ignore[union-attr]
    world.done(published(a_policy(facts=SELECTION_FACTS)))
    assert world.engine.agent("bob").contacts_today is None  # type: ignore[union-attr]


@pytest.mark.parametrize("selection", [Selection.LONGEST_IDLE, Selection.ROUND_ROBIN])
def test_the_load_is_spread_evenly(selection: Selection) -> None:
    """Lesson C3."""
    world = with_agents(World(a_policy_with_queue(selection=selection)), names(4))
    served = dict.fromkeys(names(4), 0)
    for number in range(40):
        world.done(a_contact(f"c{number}"))
        (agent_id,) = offers_of(world, f"c{number}")
        accept(world, f"c{number}", agent_id)
        served[agent_id] += 1
        world.later(1)
        world.done(c.EndContact(contact_id=f"c{number}", agent_id=agent_id))
    assert set(served.values()) == {10}


def test_the_least_occupied_available_agent_gets_the_contact() -> None:
    """Lesson F6: selection by availability and workload."""
    world = with_agents(World(a_policy_with_queue(selection=Selection.LEAST_OCCUPIED)), ("ada", "bob", "cy"))
    world.done(not_ready("cy"))
    taken = []
    for number in range(4):
        world.done(a_contact(f"c{number}", channel="chat"))
        (agent_id,) = offers_of(world, f"c{number}")
        accept(world, f"c{number}", agent_id)
        taken.append(agent_id)
    assert sorted(taken) == ["ada", "ada", "bob", "bob"]


def two_rotations(**changes: Any) -> Policy:
    """Return a policy with two queues that rotate, and chats of which an agent takes any number."""
    rotating = a_queue(selection=Selection.ROUND_ROBIN)
    queues = {"support": rotating, "sales": rotating}
    channels = {"chat": a_channel(units=1, per_agent_max=100)}
    return a_policy(**{"queues": queues, "channels": channels, **changes})


def next_in(world: World, queue_id: str, contact_id: str) -> str:
    """Return the agent who is offered a new chat of the queue."""
    events = world.done(a_contact(contact_id, channel="chat", queue_id=queue_id))
    (made,) = [one for one in events if isinstance(one, e.OfferMade)]
    return made.agent_id


def test_round_robin_counts_the_offers_of_its_own_queue() -> None:
    world = staffed(two_rotations(), an_agent("ada"), an_agent("bob"))
    queues = ["support", "sales"] * 3
    found = [next_in(world, queue_id, f"c{n}") for n, queue_id in enumerate(queues)]
    # Counted over all queues, ada would get every contact of one queue and bob every one of the other.
    assert found == ["ada", "ada", "bob", "bob", "ada", "ada"]
    assert chosen(world, "c2").selection_inputs == {"last_offer_seq": 0}
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == world.engine.digest() == world.replayed().digest()
    again = restored.handle(a_contact("c9", channel="chat", queue_id="sales"), world.at_ms).events
    assert [one.agent_id for one in again if isinstance(one, e.OfferMade)] == ["bob"]


def test_round_robin_is_not_moved_by_the_offers_of_other_queues() -> None:
    queues = {"support": a_queue(selection=Selection.ROUND_ROBIN), "sales": a_queue(requires={"german": 1})}
    world = staffed(two_rotations(queues=queues), an_agent("ada", skills={"german": 1}), an_agent("bob"))
    found = []
    for number in range(4):
        found.append(next_in(world, "support", f"c{number}"))
        assert next_in(world, "sales", f"s{number}") == "ada"
    assert found == ["ada", "bob", "ada", "bob"]


def test_consults_of_a_queue_go_round_its_agents() -> None:
    world = staffed(two_rotations(), an_agent("ada", queues=("support",)))
    world.done(a_contact("c1", channel="chat"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    for name in ("bob", "cy"):
        world.done_all(an_agent(name, queues=("sales",)), ready(name))
    found = []
    for _ in range(4):
        events = world.done(c.StartConsult(contact_id="c1", to_queue_id="sales", agent_id="ada"))
        (made,) = [one for one in events if isinstance(one, e.OfferMade)]
        assert (made.queue_id, made.to_queue_id) == ("sales", "sales")
        found.append(made.agent_id)
        world.done(c.CancelConsult(contact_id="c1", agent_id="ada"))
    assert found == ["bob", "cy", "bob", "cy"]


def test_a_round_robin_of_a_step_counts_in_every_queue() -> None:
    plans = {"rotate": (StepPolicy(selection=Selection.ROUND_ROBIN),)}
    queues = {"support": a_queue(plan="rotate"), "sales": a_queue(plan="rotate")}
    world = staffed(two_rotations(queues=queues, plans=plans), an_agent("ada"), an_agent("bob"))
    order = ["support", "sales"] * 2
    found = [next_in(world, queue_id, f"c{n}") for n, queue_id in enumerate(order)]
    assert found == ["ada", "ada", "bob", "bob"]


def test_latest_offers_are_kept_only_where_a_round_robin_may_choose() -> None:
    world = staffed(two_rotations(), an_agent("ada"))
    next_in(world, "support", "c1")
    next_in(world, "sales", "c2")
    ada = world.engine._state.agents["ada"]
    assert sorted(ada.last_offer_seqs) == ["sales", "support"]
    rotating = a_queue(selection=Selection.ROUND_ROBIN)
    world.done(published(two_rotations(queues={"support": a_queue(), "sales": rotating})))
    assert sorted(ada.last_offer_seqs) == ["sales"]
    next_in(world, "support", "c3")
    assert sorted(ada.last_offer_seqs) == ["sales"]
