"""CSV files of other systems, read by a mapping of their columns."""

import re
from pathlib import Path
from typing import Any

import pytest

from router.simulator.day import WorkloadInvalid
from router.simulator.formats import parse_log
from router.simulator.formats.recorded_log import RecordedLog

MAPPING = """\
delimiter: ";"
time: {format: "%d.%m.%Y %H:%M:%S", zone: Europe/Amsterdam}
durations: clock
columns:
  arrival: Start
  queue: Skill
  channel: Medium
  agent_id: Agent
  wait: Wait
  talk: Talk
  wrap_up: ACW
  outcome: Result
  attributes: {tier: Tier}
queues: {"Première ligne": support}
channels: {Phone: voice}
outcomes: {ABD: abandoned, ANS: answered, VM: expired}
"""
DAY = """\
Start;Skill;Medium;Agent;Wait;Talk;ACW;Result;Tier
29.03.2026 01:59:59;Première ligne;Phone;Ann Lee;0:00:12;0:03:20;00:30;ANS;Gold Plus
29.03.2026 03:00:01;Première ligne;Phone;;0:01:05;;;ABD;
30.03.2026 09:00:00;Sales & Co;Phone;Bob;0:00:00;1:00:00;;ANS;7
30.03.2026 09:10:00;Sales & Co;Chat;;0:02:00;;;VM;
"""


def read(tmp_path: Path, day: str = DAY, mapping: str = MAPPING) -> RecordedLog:
    (tmp_path / "day.csv").write_text(day)
    (tmp_path / "map.yaml").write_text(mapping)
    return parse_log(f"csv:{tmp_path}/day.csv#{tmp_path}/map.yaml")


def test_columns_times_zones_units_and_values_are_mapped(tmp_path: Path) -> None:
    log = read(tmp_path)
    ann, left, bob, voicemail = log.contacts
    # The clocks went forward between the two: two seconds of real time.
    assert left.at_ms - ann.at_ms == 2_000
    assert (ann.queue_id, ann.channel, ann.served_by) == ("support", "voice", "Ann_Lee")
    assert (ann.waited_ms, ann.handle_ms, ann.attributes) == (12_000, 200_000, {"tier": "Gold_Plus"})
    assert (left.patience_ms, left.handle_ms) == (65_000, 200_000)
    assert (bob.queue_id, bob.handle_ms, bob.attributes) == ("sales_co", 3_600_000, {"tier": 7})
    assert (voicemail.channel, voicemail.patience_ms, voicemail.waited_ms) == ("chat", None, 120_000)
    # On duty for talk and wrap-up.
    shift = log.agents[0].shifts[0]
    assert (shift.from_ms - ann.at_ms, shift.to_ms) == (12_000, ann.at_ms + 12_000 + 230_000)
    assert log.queue_skills == {"support": "support", "sales_co": "sales_co"}


def test_the_answer_may_be_a_time_and_the_outcome_is_derived(tmp_path: Path) -> None:
    mapping = "time: {format: epoch}\nqueue: calls\ncolumns: {arrival: a, answered: b, ended: c, agent_id: d}\n"
    log = read(tmp_path, "a,b,c,d\n100,110,170,ann\n120,,125.5,\n", mapping)
    served, left = log.contacts
    assert (served.queue_id, served.waited_ms, served.handle_ms, served.served_by) == ("calls", 10_000, 60_000, "ann")
    assert left.patience_ms == 5_500


def test_bad_rows_are_reported_by_line_and_bounded(tmp_path: Path) -> None:
    bad = "soon;Première ligne;Phone;;0:01:05;;;ABD;\n"
    log = read(tmp_path, DAY + bad + "30.03.2026 09:00:00;S;Phone;;0:00:01;;;LOST;\n")
    assert "2 of 6 rows cannot be read: line 6: Start: is not a time of the form" in log.notes[0]
    assert "line 7: Result: a value that outcomes of the mapping does not have" in log.notes[0]
    assert "LOST" not in log.notes[0]
    with pytest.raises(WorkloadInvalid, match=r"6 of 10 rows cannot be read.*at most 5 may be left out"):
        read(tmp_path, DAY + bad * 6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mapping": MAPPING.replace("Start", "Begin")}, r"day.csv:1: no column Begin"),
        ({"mapping": MAPPING.replace("Europe/Amsterdam", "Mars/Base")}, r"map.yaml: time.zone: is not an IANA time zone"),
        ({"mapping": MAPPING.replace("durations: clock", "durations: weeks")}, r"map.yaml:3: durations"),
        ({"mapping": MAPPING.replace("  wait: Wait", "  colour: Wait")}, r"map.yaml:\d+: columns"),
    ],
)
def test_errors_name_file_line_and_field(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(WorkloadInvalid, match=problem):
        read(tmp_path, **changes)


def test_the_mapping_of_the_documentation_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/analyse.md").read_text()
    (mapping,) = re.findall(r"^```yaml\n(delimiter.*?)^```$", page, re.DOTALL | re.MULTILINE)
    header = "Start;Skill;Medium;Id;Agent;Answered at;Ended at;ACW;Result;Code;Tier\n"
    row = "30.03.2026 09:00:00;First line;Phone;1;ann;30.03.2026 09:00:10;30.03.2026 09:01:10;0:00:05;ANS;sold;gold\n"
    (contact,) = read(tmp_path, header + row, mapping).contacts
    assert (contact.queue_id, contact.channel, contact.waited_ms, contact.handle_ms) == ("support", "voice", 10_000, 60_000)


def test_a_mapping_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(WorkloadInvalid, match="give csv:PATH#MAPPING"):
        parse_log(f"csv:{tmp_path}/day.csv")
