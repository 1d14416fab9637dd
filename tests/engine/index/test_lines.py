"""Tests of the index of waiting lines: one line a requirement class, the order of heads, and which lines are kept."""

from collections.abc import Callable

import pytest

from router.engine.engine import Engine
from router.engine.index import lines as lines_module
from router.engine.index.lines import LineIndex
from router.engine.state.plan_stages import RoutingCriteria
from router.model import commands as c
from router.model.policy import AtClosing, PreferredAgentKind, QueueOrder, SkipIf, StepPolicy, WhenClosed
from router.model.results import Done
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world

QUEUES = {"support": a_queue(), "sales": a_queue(requires={"english": 2})}


def lines_of(world: World) -> LineIndex:
    return world.engine._state.index.lines


def head_order(world: World) -> list[str]:
    """Return the requirement of each non-empty line, in the total order of their heads."""
    index = world.engine._state.index
    lines = [index.qualification.lines_by_index[i] for _, i in index.lines.head_order]
    return [line.requirement_text for line in lines if line is not None]


def test_contacts_with_the_same_combined_requirement_share_a_line() -> None:
    world = a_world(a_policy(queues=QUEUES))
    world.done_all(
        a_contact("c1", queue_id="sales"),
        a_contact("c2", queue_id="sales", skills={"english": 1}),
        a_contact("c3", queue_id="sales", skills={"english": 3}),
        a_contact("c4", queue_id="support"),
    )
    contacts = world.engine._state.contacts
    assert contacts["c1"].waiting_line is contacts["c2"].waiting_line
    assert len(lines_of(world).by_key) == 3
    assert [len(lines) for lines in lines_of(world).by_queue.values()] == [2, 1]


def test_heads_are_ordered_across_lines() -> None:
    world = a_world(a_policy(queues=QUEUES))
    world.done(a_contact("c1"))
    world.later(1)
    world.done(a_contact("c2", queue_id="sales"))
    world.later(1)
    world.done(a_contact("c3", channel="chat", priority_s=10))
    chat, voice, sales = "chat/support", "voice/support", "voice/sales:english>=2"
    assert head_order(world) == [chat, voice, sales]

    world.done(c.CancelContact(contact_id="c1"))
    assert head_order(world) == [chat, sales]
    last_in_first_out = {name: a_queue(order=QueueOrder.LIFO) for name in QUEUES}
    world.done(c.PublishPolicy(policy=a_policy(queues=last_in_first_out)))
    assert head_order(world) == [chat, "voice/sales"]


def test_an_empty_line_is_kept_unless_it_is_reserved_or_awaits_an_opening() -> None:
    plans = {"named": (StepPolicy(duration_s=60, prefer_agents=("ada",), skip_if=SkipIf.NEVER), StepPolicy())}
    queues = {"support": a_queue(plan="named"), "sales": a_queue(at_closing=AtClosing.WAIT)}
    world = a_world(a_policy(queues=queues, plans=plans))
    world.done_all(a_contact("c1"), a_contact("c2", queue_id="sales"))
    world.done_all(c.SetQueueOpen(queue_id="sales", is_open=False))
    lines = lines_of(world)
    assert len(lines.by_key) + len(lines.awaiting_opening) == 3

    world.done_all(c.CancelContact(contact_id="c1"), c.CancelContact(contact_id="c2"))

    assert [line.requirement_text for line in lines.by_key.values()] == ["voice/sales"]
    assert not lines.awaiting_opening and not lines.occupied_bits and not lines.head_order


def test_looking_a_reserved_line_up_leaves_nothing_behind() -> None:
    world = a_world(a_policy(queues=QUEUES))
    lines = lines_of(world)
    criteria = RoutingCriteria("support", "voice", {}, reserved_agent_id="ada")
    line = lines.line_for_requirements(criteria)
    assert line.reserved_for == ("ada",)
    lines.drop_if_unused(line)
    assert not lines.by_key and not world.engine._state.index.qualification.reserved_lines


def test_a_plan_step_has_a_requirement_class_of_its_own() -> None:
    plans = {"easier": (StepPolicy(duration_s=5), StepPolicy(remove_skills=("english",)))}
    queues = {"sales": a_queue(requires={"english": 2}, plan="easier")}
    world = a_world(a_policy(queues=queues, plans=plans))
    world.done(a_contact("c1", queue_id="sales"))
    assert head_order(world) == ["voice/sales:english>=2"]
    world.later(5)
    assert head_order(world) == ["voice/sales"]


# A queue whose contacts wait for their named agents, and a closed one with the same plan.
NAMED = {"named": (StepPolicy(duration_s=60, prefer=(PreferredAgentKind.NAMED,), skip_if=SkipIf.NEVER), StepPolicy())}
NAMED_QUEUES = {name: a_queue(plan="named", cool_down_s=0, when_closed=WhenClosed.WAIT) for name in ("support", "closed")}
ANSWERED = (
    an_agent(),
    ready(),
    a_contact(preferred_agents=("ada",)),
    c.AcceptOffer(offer_id="c1.1", agent_id="ada"),
    an_agent("bob"),
    ready("bob"),
)


def carry_out(engine: Engine, *commands: c.Command) -> None:
    """Carry out commands that must succeed, without the checks of a world, which would take long for thousands."""
    for command in commands:
        answer = engine.handle(command, START_MS).result
        assert isinstance(answer, Done), (command, answer)


def prefer(number: int) -> c.UpdateContact:
    return c.UpdateContact(contact_id="c1", preferred_agents=(f"agent{number}",))


def submitted(number: int, queue_id: str = "support") -> tuple[c.Command, ...]:
    name = f"n{number}"
    return (a_contact(name, queue_id=queue_id, preferred_agents=(f"agent{number}",)), c.CancelContact(contact_id=name))


def in_a_closed_queue(number: int) -> tuple[c.Command, ...]:
    return submitted(number, "closed")


def updated(number: int) -> tuple[c.Command, ...]:
    return (prefer(number),)


def transferred(number: int) -> tuple[c.Command, ...]:
    offer_id = f"c1.{number + 2}"
    return (
        prefer(number),
        c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada"),
        c.DeclineOffer(offer_id=offer_id, agent_id="bob"),
    )


def consulted(number: int) -> tuple[c.Command, ...]:
    return (
        prefer(number),
        c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada"),
        c.CancelConsult(contact_id="c1", agent_id="ada"),
    )


@pytest.mark.parametrize(
    ("before", "commands"),
    [
        ((), submitted),
        ((), in_a_closed_queue),
        ((a_contact(),), updated),
        (ANSWERED, updated),
        (ANSWERED, transferred),
        (ANSWERED, consulted),
    ],
    ids=["submitted", "closed", "waiting", "assigned", "transferred", "consulted"],
)
def test_a_thousand_preferences_leave_no_lines_behind(
    before: tuple[c.Command, ...], commands: Callable[[int], tuple[c.Command, ...]]
) -> None:
    engine = Engine()
    carry_out(engine, published(a_policy(queues=NAMED_QUEUES, plans=NAMED)))
    carry_out(engine, c.SetQueueOpen(queue_id="closed", is_open=False), *before)
    for number in range(1_000):
        carry_out(engine, *commands(number))
    index = engine._state.index
    reserved = [line for line in index.qualification.all_lines() if line.reserved_for is not None]
    assert len(reserved) <= 1, "only that of the last preference"
    assert len(index.qualification.lines_by_index) < 10
    assert len(index.qualification.reserved_lines) == len([line for line in reserved if not line.waiting_for_opening])


def test_the_lines_of_contacts_that_do_not_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_EMPTY_LINES_MAX", 10)
    skills = [f"skill{number}" for number in range(40)]
    engine = Engine()
    carry_out(engine, published(a_policy(skills=tuple(skills), queues={"support": a_queue()})))
    carry_out(engine, an_agent(), ready(), a_contact())
    carry_out(engine, c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    for before, skill in zip([None, *skills], skills, strict=False):
        patch: dict[str, int | None] = {skill: 1} if before is None else {before: None, skill: 1}
        carry_out(engine, c.UpdateContact(contact_id="c1", skills=patch))
        carry_out(engine, a_contact(skill, skills={skill: 2}), c.CancelContact(contact_id=skill))
    assert len(engine._state.index.lines.by_key) <= 11
