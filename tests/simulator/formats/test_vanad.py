"""VANAD call logs: values read and derived, and errors with their location. All rows are invented."""

from pathlib import Path

import pytest

from router.simulator.day import Shift, WorkloadInvalid
from router.simulator.formats import parse_log
from router.simulator.formats.recorded_log import RecordedLog, derived_policy

VANAD = """\
date_received,queue_name,agent_number,answered,consult,transfer,hangup
2020-01-06 09:00:00,7,11,2020-01-06 09:00:05,,,2020-01-06 09:02:05
2020-01-06 09:00:10,8,,,,,2020-01-06 09:00:40
2020-01-06 09:01:00,8,12,2020-01-06 09:01:00,2020-01-06 09:01:30,2020-01-06 09:01:40,2020-01-06 09:09:00
2020-01-06 09:03:00,7,,,,,2020-01-06 09:03:09
2020-01-06 09:30:00,8,11,2020-01-06 09:30:10,,,2020-01-06 09:31:10
"""
T0 = 1_578_301_200_000


@pytest.fixture
def vanad(tmp_path: Path) -> RecordedLog:
    return parse_log("vanad:" + write(tmp_path / "monday.csv", VANAD))


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_an_answered_vanad_call_lasts_until_transfer_or_hangup_and_never_abandons(vanad: RecordedLog) -> None:
    first, _, third, *_ = vanad.contacts
    assert (first.at_ms, first.queue_id, first.handle_ms) == (T0, "q7", 120_000)
    assert first.patience_ms is None
    assert third.handle_ms == 40_000


def test_an_abandoned_call_has_its_wait_as_patience_and_the_handle_time_of_an_adjacent_call(vanad: RecordedLog) -> None:
    _, before, _, after, _ = vanad.contacts
    assert (before.patience_ms, before.handle_ms) == (30_000, 40_000)
    assert (after.patience_ms, after.handle_ms) == (9_000, 120_000)


def test_agents_have_the_skills_they_used_and_are_off_duty_in_long_gaps(vanad: RecordedLog) -> None:
    eleven, twelve = vanad.agents
    assert eleven.skills == {"s7": 1, "s8": 1}
    assert twelve.skills == {"s8": 1}
    assert eleven.shifts == (Shift(from_ms=T0 + 5_000, to_ms=T0 + 125_000), Shift(from_ms=T0 + 1_810_000, to_ms=T0 + 1_870_000))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("2020-01-06 09:00:10,8", "yesterday,8", "day.csv:3, date_received: is not a date and time"),
        (",8,12,", ",8,,", "day.csv:4, agent_number: is missing"),
        ("09:00:40\n", "08:00:40\n", "day.csv:3, hangup: is before"),
        ("hangup\n", "end\n", "day.csv:1: no column hangup"),
    ],
)
def test_an_invalid_vanad_row_is_reported_with_its_line(tmp_path: Path, old: str, new: str, place: str) -> None:
    source = write(tmp_path / "day.csv", VANAD.replace(old, new, 1))
    with pytest.raises(WorkloadInvalid, match=place):
        parse_log(f"vanad:{source}")


def test_the_derived_policy_requires_the_skill_of_the_queue(vanad: RecordedLog) -> None:
    policy = derived_policy(vanad)
    assert policy.queues["q7"].requires == {"s7": 1}
    assert policy.channels["voice"].auto_accept
