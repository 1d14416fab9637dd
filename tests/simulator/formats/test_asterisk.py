"""The queue log of Asterisk: one contact for each call that entered a queue, agents by membership and pauses."""

from pathlib import Path

import pytest

from router.simulator.day import Shift, WorkloadInvalid
from router.simulator.formats import parse_log
from router.simulator.run import SimulationSpec, simulate

T = 1_773_129_600
QUEUE_LOG = f"""\
{T - 60}|NONE|NONE|NONE|QUEUESTART|
{T - 30}|MANAGER|Support Desk|SIP/100|ADDMEMBER|
{T - 30}|MANAGER|Support Desk|SIP/200|ADDMEMBER|PAUSED
{T}|{T}.1|Support Desk|NONE|ENTERQUEUE||+31612345678|1
{T + 2}|{T}.1|Support Desk|SIP/100|CONNECT|2|{T}.2|2
{T + 5}|{T + 5}.3|Support Desk|NONE|ENTERQUEUE||5551234|1
{T + 40}|{T + 5}.3|Support Desk|NONE|ABANDON|1|1|35
{T + 60}|MANAGER|Support Desk|SIP/200|UNPAUSE|
{T + 62}|{T}.1|Support Desk|SIP/100|COMPLETECALLER|2|60|1
{T + 70}|{T + 70}.5|Support Desk|NONE|ENTERQUEUE||5551234|1
{T + 80}|{T + 70}.5|Support Desk|SIP/200|RINGNOANSWER|8000
{T + 80}|{T + 70}.5|Support Desk|SIP/200|RINGNOANSWER|0
{T + 90}|{T + 70}.5|Support Desk|NONE|EXITWITHTIMEOUT|1|1|20
{T + 92}|{T + 70}.5|sales|NONE|ENTERQUEUE||5551234|1
{T + 95}.250|{T + 70}.5|sales|Local/300@agents/n|CONNECT|3|{T}.9|1
{T + 125}|{T + 70}.5|sales|Local/300@agents/n|BLINDTRANSFER|600|internal|3|30|1
{T + 130}|{T + 70}.5|Support Desk|NONE|ENTERQUEUE||5551234|1
{T + 150}|{T + 70}.5|Support Desk|NONE|EXITWITHKEY|1|1|1|20
{T + 200}|MANAGER|NONE|SIP/100|PAUSEALL|
{T + 300}|MANAGER|NONE|SIP/100|UNPAUSEALL|
{T + 400}|MANAGER|Support Desk|SIP/100|REMOVEMEMBER|
{T + 410}|x.9|sales|SIP/200|COMPLETEAGENT|1|2|1
"""


def read(tmp_path: Path, text: str) -> "object":
    (tmp_path / "queue_log").write_text(text)
    return f"asterisk:{tmp_path / 'queue_log'}"


def test_each_call_that_entered_a_queue_is_a_contact(tmp_path: Path) -> None:
    log = parse_log(str(read(tmp_path, QUEUE_LOG)))
    served, left, moved, back = log.contacts
    assert (served.queue_id, served.waited_ms, served.handle_ms, served.served_by) == ("support_desk", 2_000, 60_000, "SIP_100")
    assert (left.patience_ms, left.waited_ms, left.handle_ms) == (35_000, None, 60_000)
    # It left one queue by a timeout and entered another one: one wait of 25.25 s.
    assert (moved.queue_id, moved.waited_ms, moved.handle_ms) == ("support_desk", 25_250, 29_750)
    assert moved.served_by == "Local_300@agents_n"
    assert (back.patience_ms, back.waited_ms) == (None, 20_000), "one who pressed a key was not impatient for all that is known"
    assert len({contact.contact_id for contact in log.contacts}) == 4
    assert "31612345678" not in repr(log), "numbers of callers are not read"
    assert log.notes == ("1 events of calls that had entered a queue before the log began: left out",)


def test_shifts_are_memberships_without_pauses(tmp_path: Path) -> None:
    local, first, second = parse_log(str(read(tmp_path, QUEUE_LOG))).agents
    ms = T * 1000
    assert first.shifts == (Shift(from_ms=ms - 30_000, to_ms=ms + 200_000), Shift(from_ms=ms + 300_000, to_ms=ms + 400_000))
    assert second.shifts == (Shift(from_ms=ms + 60_000),)
    assert second.behaviour.no_answer_share == 1
    assert local.shifts == (Shift(from_ms=ms + 95_250, to_ms=ms + 125_000),), "known by its work alone"
    assert (first.skills, local.skills) == ({"support_desk": 1}, {"sales": 1})


def test_the_day_can_be_simulated(tmp_path: Path) -> None:
    report = simulate(SimulationSpec(logs=(str(read(tmp_path, QUEUE_LOG)),)))
    assert report.contacts == 4
    assert not report.audit.violations


def test_a_few_bad_lines_are_reported_and_many_are_refused(tmp_path: Path) -> None:
    few = parse_log(str(read(tmp_path, QUEUE_LOG + "soon|x|support|NONE|ENTERQUEUE\n|\n")))
    assert "2 of 24 rows cannot be read: line 23: the time is not a number; line 24: has 2 fields" in few.notes[0]
    assert len(few.contacts) == 4
    with pytest.raises(WorkloadInvalid, match=r"6 of 28 rows cannot be read: line 23: .*and 1 more \(at most 5 may be left out\)"):
        parse_log(str(read(tmp_path, QUEUE_LOG + "soon|x|support|NONE|ENTERQUEUE\n" * 6)))
