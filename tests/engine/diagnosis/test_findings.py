"""Findings of the doctor: names as text."""

import pytest

from router.engine.diagnosis.findings import IDS_MAX, describe_unmet, list_names
from router.model.views import UnmetCondition


@pytest.mark.parametrize(("count", "is_shortened"), [(1, False), (IDS_MAX, False), (IDS_MAX + 1, True)])
def test_only_a_list_beyond_the_limit_is_shortened(count: int, is_shortened: bool) -> None:
    names = [f"a{n}" for n in range(count)]
    shown = list_names(names)
    assert shown.removesuffix(" …").split(", ") == names[:IDS_MAX]
    assert shown.endswith(" …") is is_shortened


CONDITIONS = {
    "queue": (UnmetCondition(code="queue"), "no agent serves the queue", "the queue"),
    "attributes": (
        UnmetCondition(code="attributes"),
        "no agent's attributes meet agents_when of the queue",
        "attributes that meet agents_when of the queue",
    ),
    "skill": (UnmetCondition(code="skill", skill="loans"), "no agent has the skill loans", "the skill loans"),
    "level": (
        UnmetCondition(code="level", skill="loans", needs=5, has=3),
        "no agent has loans 5, the highest level is 3",
        "loans 5 (has 3)",
    ),
    "capacity": (
        UnmetCondition(code="capacity", needs=100, has=60),
        "one item uses 100 units, but no agent has more than 60",
        "100 units (has 60)",
    ),
    "channel": (UnmetCondition(code="channel", channel="chat"), "the channel chat is disabled for all agents", "the channel chat"),
    "channels": (UnmetCondition(code="channel"), "every channel is disabled for all agents", "every channel"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_an_unmet_condition_is_a_sentence(name: str) -> None:
    condition, by_all, by_some = CONDITIONS[name]
    assert describe_unmet([condition]) == by_all
    assert describe_unmet([condition], 1) == f"1 agent lacks {by_some}"
    assert describe_unmet([condition, CONDITIONS["queue"][0]], 1_200) == f"1,200 agents lack {by_some} and the queue"
    assert describe_unmet([CONDITIONS["queue"][0], condition]) == f"no agent serves the queue; {by_all}"


def test_without_agents_no_condition_is_named() -> None:
    assert describe_unmet([]) == "there are no agents"
