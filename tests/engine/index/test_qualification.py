"""Tests of the qualification masks: lines and groups agree with ``AgentGroup.qualifies_for``, whatever comes and goes."""

from random import Random

import pytest

from router.engine.index.qualification import QualificationIndex
from router.engine.state.agent import Agent, AgentGroup, agent_group_key
from router.engine.state.contact import WaitingLine, requirement_key
from router.model.policy import ChannelPolicy, Policy
from tests.support.builders import a_policy, a_queue

SKILLS = ("english", "german", "billing")
POLICY = a_policy(queues={"support": a_queue(), "sales": a_queue(requires={"english": 2})}, skills=SKILLS)


def a_group(index: QualificationIndex, random: Random) -> AgentGroup | None:
    """Add a group of random skills, queues and channels; None if there is one already."""
    agent = Agent(
        agent_id="ada",
        skills={skill: random.randint(1, 3) for skill in SKILLS if random.random() < 0.5},
        queues=random.choice((None, ("support",), ("sales",))),
        channel_max=random.choice(({}, {"chat": 0}, {"voice": 0})),
    )
    key = agent_group_key(agent, index.conditions, {})
    if key in index.groups:
        return None
    group = AgentGroup(
        key, index=index.new_group_index(), channel_count=2, declared_skills=index.declared_skills, qualification=index.conditions
    )
    index.add_group(group)
    return group


def a_line(index: QualificationIndex, random: Random, policy: Policy) -> WaitingLine:
    """Add a line of a random requirement, sometimes reserved or awaiting an opening."""
    queue_id = random.choice(("support", "sales"))
    skills = {skill: random.randint(1, 3) for skill in SKILLS if random.random() < 0.3}
    requirement = requirement_key(policy.queues[queue_id], skills)
    alternatives = random.choice(((), ((("german", 1),),)))
    line = WaitingLine(
        (queue_id, random.choice(("voice", "chat")), requirement, random.choice((None, None, ("ada",))), alternatives, None, ()),
        index=index.new_line_index(),
        channel_index=0,
        queue=policy.queues[queue_id],
        channel_policy=ChannelPolicy(),
        waiting_for_opening=random.random() < 0.2,
    )
    index.add_line(line)
    return line


def check(index: QualificationIndex) -> None:
    for line in index.all_lines():
        assert index.lines_by_index[line.index] is line
        related = line.reserved_for is None or line.waiting_for_opening
        for group in index.groups.values():
            expected = related and group.qualifies_for(line)
            assert bool(group.line_mask & line.bit) == expected
            assert bool(line.group_mask & group.bit) == expected
        assert (line in index.reserved_lines.get("ada", ())) != related
    used = sum(line.bit for line in index.all_lines())
    assert all(not group.line_mask & ~used for group in index.groups.values())


@pytest.mark.parametrize("seed", range(10))
def test_masks_agree_with_the_slow_rule_after_every_change(seed: int) -> None:
    random, index = Random(seed), QualificationIndex()
    index.reset(POLICY)
    for _ in range(120):
        match random.randrange(6):
            case 0 | 1:
                a_group(index, random)
            case 2 | 3:
                a_line(index, random, POLICY)
            case 4 if index.groups:
                index.drop_group(random.choice(list(index.groups.values())))
            case 5 if index.all_lines():
                index.drop_line(random.choice(index.all_lines()))
        check(index)


def test_changed_skills_concern_the_groups_that_have_them() -> None:
    random, index = Random(1), QualificationIndex()
    index.reset(POLICY)
    for _ in range(40):
        a_group(index, random)
        a_line(index, random, POLICY)
    german = [group for group in index.groups.values() if "german" in group.skills]

    changed = index.set_declared_skills(frozenset(("english", "billing")))

    assert changed == german
    check(index)
    index.set_declared_skills(frozenset(SKILLS))
    check(index)


def test_a_resolved_mask_is_cached_until_a_group_is_dropped() -> None:
    random, index = Random(2), QualificationIndex()
    index.reset(POLICY)
    line = a_line(index, random, POLICY)
    groups = [group for _ in range(9) if (group := a_group(index, random)) is not None]
    mask = groups[0].bit | groups[1].bit
    assert index.open_groups(line, mask) == groups[:2]
    assert index.open_groups(line, mask) is index.open_groups(line, mask)
    index.drop_group(groups[0])
    assert index.open_groups(line, groups[1].bit) == [groups[1]]
