"""Requirements of the steps of a plan, computed by hand."""

from router.engine.state.plan_stages import stage_requirement
from router.model.policy import QueuePolicy, StepPolicy


def needs(plan: tuple[StepPolicy, ...], step: int, **skills: int) -> object:
    stage = stage_requirement(QueuePolicy(requires={"english": 5}), plan, step, skills)
    return dict(stage.requirement), [dict(other) for other in stage.alternatives]


def test_steps_add_up_and_lowering_needs_no_alternative() -> None:
    plan = (
        StepPolicy(duration_s=1),
        StepPolicy(duration_s=1, lower_levels={"english": 3, "german": 2}),
        StepPolicy(remove_skills=("german",)),
    )
    assert needs(plan, 0, german=8) == ({"english": 5, "german": 8}, [])
    assert needs(plan, 1, german=8) == ({"english": 3, "german": 2}, [])
    assert needs(plan, 2, german=8) == ({"english": 3}, [])
    assert needs(plan, 7, german=8) == ({"english": 3}, []), "beyond the end: the last step"


def test_levels_lower_a_requirement_and_never_raise_it() -> None:
    plan = (StepPolicy(lower_levels={"english": 9, "loans": 4}),)
    assert needs(plan, 0) == ({"english": 5}, [])


def test_earlier_requirements_stay_as_alternatives_unless_a_step_drops_them() -> None:
    plan = (
        StepPolicy(duration_s=1),
        StepPolicy(duration_s=1, skills={"spanish": 3}),
        StepPolicy(duration_s=1, skills={"spanish": 3, "loans": 1}),
        StepPolicy(duration_s=1, skills={"loans": 9}, keep_earlier_agents=False),
        StepPolicy(remove_skills=("loans",)),
    )
    assert needs(plan, 1) == ({"spanish": 3}, [{"english": 5}])
    assert needs(plan, 2) == ({"loans": 1, "spanish": 3}, [{"english": 5}, {"spanish": 3}])
    assert needs(plan, 3) == ({"loans": 9}, [])
    assert needs(plan, 4) == ({}, [])
