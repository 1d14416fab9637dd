"""Scaling of a policy's durations to another speed."""

import pytest

from router.loadtest.scaling import AUTO_ACCEPT_TIMEOUT_S, WRAP_UP_MARGIN_S, PolicyScaling, is_auto_accepted, wrap_up_ms
from router.model.policy import ChannelPolicy, EntryRule, Policy, QueuePolicy, RonaPolicy


def policy_of(channel: ChannelPolicy | None = None, **queue: object) -> Policy:
    return Policy(
        channels={"voice": channel or ChannelPolicy()},
        queues={"calls": QueuePolicy(**queue)},  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("value_s", "speed", "expected_s"), [(90, 45, 2), (90, 60, 2), (-90, 60, -2), (29, 60, 0), (120, 60, 2), (10, 0.5, 20)]
)
def test_durations_are_divided_by_the_speed_and_rounded_half_away_from_zero(value_s: int, speed: float, expected_s: int) -> None:
    assert PolicyScaling(speed).scale_seconds("queues.calls.priority_s", value_s) == expected_s


def test_each_rounded_duration_is_noted_once_with_its_effect() -> None:
    scaling = PolicyScaling(60)
    scaling.scale_seconds("queues.a.priority_s", 120)
    assert scaling.rounding_notes() == ()
    scaling.scale_seconds("queues.a.priority_s", 90)
    scaling.scale_seconds("queues.a.priority_s", 90)
    scaling.scale_seconds("queues.b.priority_s", 90)
    (note,) = scaling.rounding_notes()
    assert "priority_s of 2 places: 90 s" in note
    assert "120 s of the day" in note


def test_a_timeout_never_becomes_zero() -> None:
    published = PolicyScaling(600).scale_policy(policy_of(ChannelPolicy(offer_timeout_s=15), wait_max_s=30))
    assert published.channels["voice"].offer_timeout_s == 1
    assert published.queues["calls"].wait_max_s == 1


def test_automatic_accepts_of_the_policy_are_sent_by_the_driver() -> None:
    day = policy_of(ChannelPolicy(auto_accept=True, offer_timeout_s=5))
    published = PolicyScaling(60).scale_policy(day)
    assert not published.channels["voice"].auto_accept
    assert published.channels["voice"].offer_timeout_s == AUTO_ACCEPT_TIMEOUT_S
    assert is_auto_accepted(day, queue_id="calls", channel="voice")
    assert not is_auto_accepted(published, queue_id="calls", channel="voice")


def test_auto_accept_of_a_queue_overrides_its_channel() -> None:
    day = policy_of(ChannelPolicy(auto_accept=True, offer_timeout_s=120), auto_accept=False)
    assert not is_auto_accepted(day, queue_id="calls", channel="voice")
    # The channel's timeout is extended, the queue keeps the scaled one.
    assert PolicyScaling(60).scale_policy(day).queues["calls"].offer_timeout_s == 2


def test_the_published_wrap_up_is_an_upper_bound_with_a_margin() -> None:
    day = policy_of(ChannelPolicy(wrap_up_s=20), wrap_up_s={"voice": 90})
    published = PolicyScaling(60).scale_policy(day)
    assert published.channels["voice"].wrap_up_s == 1 + WRAP_UP_MARGIN_S
    assert published.queues["calls"].wrap_up_s == {"voice": 2 + WRAP_UP_MARGIN_S}
    assert published.channels["voice"].wrap_up_max_s >= 2 + WRAP_UP_MARGIN_S
    assert wrap_up_ms(day, queue_id="calls", channel="voice") == 90_000
    assert wrap_up_ms(day, queue_id="elsewhere", channel="voice") == 20_000


def test_a_wrap_up_of_zero_stays_zero() -> None:
    assert PolicyScaling(60).scale_policy(policy_of()).channels["voice"].wrap_up_s == 0


def test_priorities_cool_downs_and_returns_are_scaled_but_the_network_grace_period_is_not() -> None:
    day = Policy(
        channels={"voice": ChannelPolicy()},
        queues={"calls": QueuePolicy(priority_s=600, cool_down_s=300, rona=RonaPolicy(return_after_s=120))},
        entry=(EntryRule(name="all", queue="calls", priority_s=180),),
    )
    published = PolicyScaling(60).scale_policy(day)
    queue = published.queues["calls"]
    assert (queue.priority_s, queue.cool_down_s, queue.rona.return_after_s) == (10, 5, 2)
    assert published.entry[0].priority_s == 3
    assert published.agents == day.agents
