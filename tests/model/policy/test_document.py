"""Types and ranges of a policy document."""

from typing import Any

import msgspec
import pytest

from router.model.policy import Policy

MINIMAL: dict[str, Any] = {"channels": {"voice": {}}, "queues": {"support": {}}}


def with_(path: str, value: Any) -> dict[str, Any]:
    """Return a valid document with the value at a dotted path replaced."""
    document: dict[str, Any] = {"channels": {"voice": {}}, "queues": {"support": {}}}
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return document


def test_a_channel_and_a_queue_make_a_policy() -> None:
    policy = msgspec.convert(MINIMAL, Policy)
    assert policy.queues["support"].cool_down_s == 30
    assert policy.channels["voice"].units == 100
    assert msgspec.convert(msgspec.to_builtins(policy), Policy) == policy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("channels", {}),
        ("queues", {}),
        ("channels.voice.units", -1),
        ("channels.voice.per_agent_max", 0),
        ("channels.voice.offer_timeout_s", 0),
        ("channels.voice.lost_desktop", "forget"),
        ("channels.voice.per_agent_maximum", 1),
        ("channels.Voice", {}),
        ("queues.support.broadcast", 0),
        ("queues.support.broadcast", 101),
        ("queues.support.selection", "random"),
        ("queues.support.priority_class", 10),
        ("queues.support.priority_s", 86_401),
        ("queues.support.requires", {"english": 11}),
        ("queues.support.requires", {"english": 0}),
        ("queues.support.wait_max_s", 0),
        ("queues.support.length_max", -1),
        ("queues.support.service_level.target", 1.1),
        ("queues.support.cool_down", 30),
        ("queues.support.rona.not_ready", "yes"),
        ("skills", ["English"]),
        ("agents.units", -1),
        ("retention.idempotency_s", 3_600),
        ("default_queue", "Support"),
        ("quues", {}),
    ],
)
def test_a_value_out_of_range_or_an_unknown_key_is_refused(path: str, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(with_(path, value), Policy)
