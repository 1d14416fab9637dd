"""Steps: their limits, their stored form, and the memory of their ids."""

from typing import Any

import msgspec
import pytest

from router.context.identities import Identity
from router.context.journey import (
    AGE_MS_MAX,
    AHEAD_MS_MAX,
    ID_WINDOW_MS,
    IDS_MAX,
    STEP_BYTES_MAX,
    STEPS_MAX,
    Reference,
    Step,
    StepFields,
    StepInvalid,
    merge_steps,
    recent_ids,
    step_of,
)
from router.context.journey_codec import JourneyCodec, pack_step, unpack_step

NOW = 1_800_000_000_000
USER = Identity(type="app_user", value="u-1")


def fields(**changes: Any) -> StepFields:
    return StepFields(**{"type": "payment", "identity": USER, **changes})


def test_a_step_is_stored_as_it_was_sent() -> None:
    sent = fields(
        id="s-1",
        name="invoice",
        result="failed",
        channel="app",
        at_ms=NOW - 5,
        data={"amount": 12},
        refs=[Reference(kind="pdf", ref="x/1")],
    )
    step = step_of(sent, now_ms=NOW)
    assert step == Step(NOW - 5, "payment", "invoice", "failed", "app", {"amount": 12}, (("pdf", "x/1", None),), "s-1")
    assert unpack_step(pack_step(step)) == step


@pytest.mark.parametrize(
    ("sent", "code", "field"),
    [
        (fields(identity=None), "invalid_value", "customer_id"),
        (fields(customer_id="c_" + "0" * 32), "invalid_value", "customer_id"),
        (fields(data={f"k{n}": n for n in range(17)}), "step_too_large", "data"),
        (fields(data={"a": "x" * STEP_BYTES_MAX}), "step_too_large", "data"),
        (fields(data={"a": {"b": {"c": 1}}}), "invalid_value", "data"),
        (fields(data={"a": [[1]]}), "invalid_value", "data"),
    ],
)
def test_what_exceeds_a_limit_is_refused_by_field(sent: StepFields, code: str, field: str) -> None:
    with pytest.raises(StepInvalid) as caught:
        step_of(sent, now_ms=NOW)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_deep_data_is_refused_without_recursion_without_end() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(StepInvalid, match="nested"):
        step_of(fields(data={"a": deep}), now_ms=NOW)


def test_times_outside_the_window_are_dropped_or_set_to_now() -> None:
    assert step_of(fields(at_ms=NOW - AGE_MS_MAX - 1), now_ms=NOW) is None
    for at_ms, stored in [
        (NOW - AGE_MS_MAX, NOW - AGE_MS_MAX),
        (NOW + AHEAD_MS_MAX, NOW + AHEAD_MS_MAX),
        (NOW + AHEAD_MS_MAX + 1, NOW),
    ]:
        step = step_of(fields(at_ms=at_ms), now_ms=NOW)
        assert step is not None and step.at_ms == stored


@pytest.mark.parametrize("body", ['{"type": ""}', '{"type": "a b"}', '{"type": "x", "at_ms": -1}', '{"type": "x", "unknown": 1}'])
def test_the_decoder_refuses_what_the_type_does_not_allow(body: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=StepFields)


def test_a_journey_is_compressed_and_read_back() -> None:
    codec = JourneyCodec()
    steps = [
        Step(NOW + n, "payment", "invoice", "failed", "app", {"amount": n, "currency": "EUR"}, (), f"step-{n}") for n in range(20)
    ]
    packed = codec.pack(steps)
    assert codec.unpack(packed) == steps
    assert len(packed) < len(msgspec.msgpack.encode(steps)) / 2


@pytest.mark.parametrize("content", [b"", b"\x00abc", b"\x01abc", b"\xff"])
def test_a_damaged_journey_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="stored journey"):
        JourneyCodec().unpack(content)


def test_the_newest_steps_are_kept_in_order_of_their_time() -> None:
    kept = [Step(at_ms, "a") for at_ms in range(0, 2 * STEPS_MAX, 2)]
    added = [Step(at_ms, "b") for at_ms in range(1, 20, 2)]
    found = merge_steps(kept, added)
    assert len(found) == STEPS_MAX and [step.at_ms for step in found] == sorted(step.at_ms for step in found)
    assert found[-1].at_ms == 2 * STEPS_MAX - 2


def test_ids_are_remembered_for_a_day_and_bounded() -> None:
    steps = [Step(NOW - n, "a", id=f"s-{n}") for n in range(100)] + [Step(NOW - ID_WINDOW_MS, "a", id="old"), Step(NOW, "a")]
    found = recent_ids(steps, now_ms=NOW)
    assert len(found) == IDS_MAX and "old" not in found and "s-0" in found and "s-99" not in found
