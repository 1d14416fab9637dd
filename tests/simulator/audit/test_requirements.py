"""The audit's reading of plans: examples from the documentation, and agreement with the engine's on random plans."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.engine.state.plan_stages import RoutingCriteria, effective_plan, exclusive_agents, stage_requirement
from router.model.policy import ChannelPolicy, Policy, PreferredAgentKind, QueuePolicy, StepPolicy
from router.simulator.audit.requirements import combined_levels, plan_in_force, step_effect

SKILLS = ("english", "german", "spanish")
LEVELS = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 10), max_size=3)
AGENTS = ("ada", "bob", "cy")
STEPS = st.builds(
    StepPolicy,
    skills=st.none() | LEVELS,
    remove_skills=st.lists(st.sampled_from(SKILLS), max_size=2).map(tuple),
    lower_levels=LEVELS,
    keep_earlier_agents=st.booleans(),
    prefer=st.lists(st.sampled_from(PreferredAgentKind), max_size=2, unique=True).map(tuple),
    prefer_agents=st.lists(st.sampled_from(AGENTS), max_size=1).map(tuple),
    add_priority_s=st.integers(-60, 60),
    priority_class=st.integers(0, 3),
)


def test_the_higher_level_of_queue_and_contact_is_required() -> None:
    found = combined_levels({"english": 5, "german": 1}, {"english": 3, "spanish": 2})
    assert found == {"english": 5, "german": 1, "spanish": 2}


def test_a_step_keeps_the_requirements_before_it_as_alternatives() -> None:
    plan = (StepPolicy(duration_s=20), StepPolicy(skills={"german": 5}))
    effect = step_effect(QueuePolicy(), plan, 1, {"spanish": 3})
    assert effect.alternatives == ((("spanish", 3),), (("german", 5),))


def test_a_step_without_earlier_agents_has_its_own_requirement_only() -> None:
    plan = (
        StepPolicy(duration_s=20),
        StepPolicy(duration_s=20, skills={"german": 5}, keep_earlier_agents=False),
        StepPolicy(lower_levels={"german": 2}),
    )
    effects = [step_effect(QueuePolicy(), plan, step, {"spanish": 3}) for step in range(3)]
    assert effects[1].alternatives == ((("german", 5),),)
    assert effects[2].alternatives == ((("german", 5),), (("german", 2),))


@pytest.mark.parametrize(("own", "expected"), [(None, "queue"), ("own", "own"), ("removed", None)])
def test_the_contacts_own_plan_precedes_that_of_the_queue(own: str | None, expected: str) -> None:
    plans: dict[str, Any] = {"queue": (StepPolicy(add_priority_s=1),), "own": (StepPolicy(add_priority_s=2),)}
    policy = Policy(channels={"voice": ChannelPolicy()}, queues={"calls": QueuePolicy(plan="queue")}, plans=plans)
    assert plan_in_force(policy, "calls", own) == plans.get(expected, ())
    assert plan_in_force(policy, "calls", own) == effective_plan(policy, "calls", own)


def qualifies(alternatives: tuple[tuple[tuple[str, int], ...], ...], levels: dict[str, int]) -> bool:
    return any(all(levels.get(skill, 0) >= n for skill, n in one) for one in alternatives)


@given(
    requires=LEVELS,
    skills=LEVELS,
    plan=st.lists(STEPS, min_size=1, max_size=5).map(tuple),
    step=st.integers(0, 6),
    last=st.none() | st.sampled_from(AGENTS),
    named=st.lists(st.sampled_from(AGENTS), max_size=2).map(tuple),
    agents=st.lists(LEVELS, min_size=1, max_size=8),
)
def test_it_agrees_with_the_engine_on_any_plan(
    requires: dict[str, int],
    skills: dict[str, int],
    plan: tuple[StepPolicy, ...],
    step: int,
    last: str | None,
    named: tuple[str, ...],
    agents: list[dict[str, int]],
) -> None:
    queue = QueuePolicy(requires=requires)
    effect = step_effect(queue, plan, step, skills, named_agents=named, last_agent_id=last)
    stage = stage_requirement(queue, plan, step, skills)
    for levels in agents:
        expected = qualifies((stage.requirement, *stage.alternatives), levels)
        assert qualifies(effect.alternatives, levels) is expected
    assert (effect.added_priority_s, effect.priority_class) == (stage.added_priority_s, stage.priority_class)
    criteria = RoutingCriteria("calls", "voice", skills, step=step, preferred_agents=named, last_agent_id=last)
    engine_agents = exclusive_agents(plan, criteria)
    assert (effect.reserved_for is None) is (engine_agents is None)
    assert set(effect.reserved_for or ()) == set(engine_agents or ())
