"""Advice on valid policies."""

import pytest

from router.model.policy import (
    AgentsPolicy,
    AttributeOrder,
    CallbackPolicy,
    ChannelPolicy,
    FactPolicy,
    FactType,
    Policy,
    QueuePolicy,
    RateCapPolicy,
    ServiceLevelPolicy,
    StepPolicy,
    WhenFull,
)
from router.policy.checks.advice import policy_advice
from router.policy.checks.consistency import policy_problems


def a_policy(**changes: object) -> Policy:
    parts: dict[str, object] = {
        "channels": {"voice": ChannelPolicy()},
        "queues": {"support": QueuePolicy()},
        "default_queue": "support",
    }
    return Policy(**{**parts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"agents": AgentsPolicy(units=50)}, "channels.voice.units"),
        ({"channels": {"voice": ChannelPolicy(wrap_up_s=700)}}, "channels.voice.wrap_up_s"),
        ({"queues": {"support": QueuePolicy(wait_max_s=10)}}, "queues.support.wait_max_s"),
        ({"queues": {"support": QueuePolicy(wait_max_s=20, offer_timeout_s=30)}}, "queues.support.wait_max_s"),
        ({"queues": {"support": QueuePolicy(wrap_up_s={"voice": 601})}}, "queues.support.wrap_up_s.voice"),
        ({"queues": {"support": QueuePolicy(overflow_to="b"), "b": QueuePolicy()}}, "queues.support.overflow_to"),
        (
            {"queues": {"support": QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=3))}},
            "queues.support.service_level.short_abandon_s",
        ),
        (
            {"queues": {"support": QueuePolicy(overflow_to="b", when_full=WhenFull.OVERFLOW), "b": QueuePolicy()}},
            "queues.support.when_full",
        ),
        (
            {"queues": {"support": QueuePolicy(callback=CallbackPolicy(attempts_max=2, retry_after_s=(60, 120)))}},
            "queues.support.callback.retry_after_s",
        ),
        (
            {"queues": {"support": QueuePolicy(callback=CallbackPolicy(retry_after_s=(600,), expires_after_s=900))}},
            "queues.support.callback.expires_after_s",
        ),
        ({"default_queue": None}, ""),
        (
            {"channels": {"voice": ChannelPolicy(blocks=("chat",), interrupts=("chat",)), "chat": ChannelPolicy()}},
            "channels.voice.blocks[0]",
        ),
        (
            {
                "channels": {"voice": ChannelPolicy(rate_cap=RateCapPolicy(contacts_max=5, window_s=60))},
                "agents": AgentsPolicy(rate_cap=RateCapPolicy(contacts_max=5, window_s=60)),
            },
            "channels.voice.rate_cap",
        ),
    ],
)
def test_an_unintended_value_is_advice_and_no_problem(changes: dict[str, object], path: str) -> None:
    policy = a_policy(**changes)
    assert policy_problems(policy) == []
    assert [advice.path for advice in policy_advice(policy)] == [path]


def test_keys_of_an_unused_selection_have_no_effect() -> None:
    queue = QueuePolicy(weight_fact="years", order_by=(AttributeOrder(fact="years"),))
    facts = {"years": FactPolicy(type=FactType.INT, applies_to="agent")}
    policy = a_policy(queues={"support": queue}, facts=facts)
    assert [(one.path, one.message) for one in policy_advice(policy)] == [
        ("queues.support.order_by", "without effect: no selection is by_attributes"),
        ("queues.support.weight_fact", "without effect: no selection is weighted_random"),
    ]


def test_a_step_after_the_maximum_wait_is_never_entered() -> None:
    plan = (StepPolicy(duration_s=60), StepPolicy(duration_s=60), StepPolicy())
    queue = QueuePolicy(plan="slow", wait_max_s=90)
    policy = a_policy(queues={"support": queue}, plans={"slow": plan})
    (advice,) = policy_advice(policy)
    assert advice.path == "queues.support.wait_max_s"
    assert "before step 2" in advice.message
