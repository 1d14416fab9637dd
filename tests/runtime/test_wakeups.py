"""The wake-up schedule compared with a plain dict."""

from hypothesis import given
from hypothesis import strategies as st

from router.runtime.wakeups import WakeupSchedule

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 50)),
        st.tuples(st.just(""), st.integers(0, 50)),
    ),
    max_size=300,
)


@given(STEPS)
def test_schedule_agrees_with_a_plain_dict(steps: list[tuple[str, int | None]]) -> None:
    deadlines, plain = WakeupSchedule(), dict[str, int]()
    for name, value in steps:
        if name:
            deadlines.set(name, value)
            plain.pop(name, None)
            if value is not None:
                plain[name] = value
        else:
            assert value is not None
            due = sorted((at, name) for name, at in plain.items() if at <= value)[:2]
            assert deadlines.pop_due(value, 2) == [name for _, name in due]
            for _, name in due:
                del plain[name]
        assert deadlines.next_ms() == min(plain.values(), default=None)


def test_a_frequently_changed_deadline_does_not_grow_the_heap() -> None:
    deadlines = WakeupSchedule()
    for at_ms in range(10_000):
        deadlines.set("a", 1_000_000 - at_ms)
    assert len(deadlines._heap) < 100
    assert deadlines.pop_due(1_000_000, 5) == ["a"]
    assert deadlines.next_ms() is None
