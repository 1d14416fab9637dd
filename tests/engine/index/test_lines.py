"""Tests of the index of waiting lines: one line a requirement class, the order of heads, and which lines are kept."""

from router.engine.index.lines import LineIndex
from router.engine.state.plan_stages import RoutingCriteria
from router.model import commands as c
from router.model.policy import AtClosing, QueueOrder, SkipIf, StepPolicy
from tests.support.builders import a_contact, a_policy, a_queue
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
    plans = {
        "named": (
            StepPolicy(duration_s=60, prefer_agents=("ada",), skip_if=SkipIf.NEVER),
            StepPolicy(),
        )
    }
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
