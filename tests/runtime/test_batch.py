"""The start of a commit: at once, or after the gap together with more commands."""

from router.runtime.command_queue import FULL_BATCH_COUNT, CommitPacer


class ManualTime:
    now_s = 100.0


def paced(gap_ms: int) -> tuple[CommitPacer, ManualTime]:
    time = ManualTime()
    return CommitPacer(gap_ms, now_s=lambda: time.now_s), time


def test_the_first_and_a_lone_commit_start_at_once() -> None:
    pacing, time = paced(4)
    assert pacing.delay_s(1) <= 0
    pacing.commit_started()
    time.now_s += 0.005
    assert pacing.delay_s(1) <= 0


def test_a_commit_soon_after_another_waits_for_the_rest_of_the_gap() -> None:
    pacing, time = paced(4)
    pacing.commit_started()
    time.now_s += 0.001
    assert round(pacing.delay_s(1), 6) == 0.003


def test_a_full_batch_is_committed_at_once() -> None:
    pacing, _ = paced(4)
    pacing.commit_started()
    assert pacing.delay_s(FULL_BATCH_COUNT - 1) > 0
    assert pacing.delay_s(FULL_BATCH_COUNT) <= 0


def test_without_a_gap_there_is_no_delay() -> None:
    pacing, _ = paced(0)
    pacing.commit_started()
    assert pacing.delay_s(0) <= 0
