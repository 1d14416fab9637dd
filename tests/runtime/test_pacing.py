"""When a commit begins: at once, or a moment later with others."""

from router.runtime.pacing import ENOUGH, Pacing


class Hand:
    now_s = 100.0


def paced(gap_ms: int) -> tuple[Pacing, Hand]:
    hand = Hand()
    return Pacing(gap_ms, now_s=lambda: hand.now_s), hand


def test_the_first_and_the_lone_one_begin_at_once() -> None:
    pacing, hand = paced(4)
    assert pacing.delay_s(1) <= 0
    pacing.begin()
    hand.now_s += 0.005
    assert pacing.delay_s(1) <= 0


def test_one_that_comes_soon_after_waits_for_the_rest_of_the_gap() -> None:
    pacing, hand = paced(4)
    pacing.begin()
    hand.now_s += 0.001
    assert round(pacing.delay_s(1), 6) == 0.003


def test_where_enough_wait_nobody_waits_for_more() -> None:
    pacing, _ = paced(4)
    pacing.begin()
    assert pacing.delay_s(ENOUGH - 1) > 0
    assert pacing.delay_s(ENOUGH) <= 0


def test_no_gap_is_no_wait() -> None:
    pacing, _ = paced(0)
    pacing.begin()
    assert pacing.delay_s(0) <= 0
