"""The native log format: CSV and JSON lines, and errors with their location. All rows are invented."""

from pathlib import Path

import pytest

from router.simulator.day import Shift, WorkloadInvalid
from router.simulator.formats import parse_log

T0 = 1_578_301_200_000
CONTACTS_CSV = """\
arrival,queue,handle_s,patience_s,channel,skills,priority_s,priority_class,stream,contact_id
12.5,support,200,30.25,chat,english:3;billing,45,1,walk-in,first
3,sales,100,,,,,,,
"""
CONTACTS_JSONL = """\
{"arrival": 12.5, "queue": "support", "handle_s": 200, "patience_s": 30.25, "channel": "chat", \
"skills": {"english": 3, "billing": 1}, "priority_s": 45, "priority_class": 1, "stream": "walk-in", "contact_id": "first"}

{"arrival": 3, "queue": "sales", "handle_s": 100, "contact_id": "contact.1"}
"""
AGENTS_CSV = """\
agent_id,group,skills,queues,units,channel_max,queue_ranks,attributes,shifts
ada,first-line,english:5;billing:2,support;sales,120,chat:2;voice:1,sales:1,years:-3;native:true;grade:7b,0-3600;5400-
bob,,,,,,,,
"""
AGENTS_JSONL = """\
{"agent_id": "ada", "group": "first-line", "skills": {"english": 5, "billing": 2}, "queues": ["support", "sales"], \
"units": 120, "channel_max": {"chat": 2, "voice": 1}, "queue_ranks": {"sales": 1}, \
"attributes": {"years": -3, "native": true, "grade": "7b"}, "shifts": ["0-3600", "5400-"]}
{"agent_id": "bob"}
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_csv_and_json_lines_are_equivalent(tmp_path: Path) -> None:
    csv = parse_log("contacts:" + write(tmp_path / "day.csv", CONTACTS_CSV))
    lines = parse_log("contacts:" + write(tmp_path / "day.jsonl", CONTACTS_JSONL))
    assert csv.contacts == lines.contacts
    sales, support = csv.contacts
    assert (support.at_ms, support.handle_ms, support.patience_ms) == (12_500, 200_000, 30_250)
    assert support.skills == {"english": 3, "billing": 1}
    assert (sales.channel, sales.patience_ms) == ("voice", None)
    agents_csv = parse_log("agents:" + write(tmp_path / "team.csv", AGENTS_CSV))
    agents_lines = parse_log("agents:" + write(tmp_path / "team.jsonl", AGENTS_JSONL))
    assert agents_csv.agents == agents_lines.agents
    ada, bob = agents_csv.agents
    assert ada.shifts == (Shift(from_ms=0, to_ms=3_600_000), Shift(from_ms=5_400_000))
    assert ada.queues == ("support", "sales")
    assert ada.queue_ranks == {"sales": 1}
    assert ada.attributes == {"years": -3, "native": True, "grade": "7b"}
    assert ada.attributes["native"] is True
    assert bob.shifts == (Shift(from_ms=0),)
    assert bob.queues is None


def test_times_may_be_iso_8601(tmp_path: Path) -> None:
    text = "arrival,queue,handle_s\n2020-01-06T09:00:00Z,calls,5\n2020-01-06T10:00:01+01:00,calls,5\n"
    log = parse_log("contacts:" + write(tmp_path / "day.csv", text))
    assert [c.at_ms for c in log.contacts] == [T0, T0 + 1_000]
    text = "agent_id,shifts\nada,2020-01-06T09:00:00/2020-01-06T17:00:00\n"
    log = parse_log("agents:" + write(tmp_path / "team.csv", text))
    assert log.agents[0].shifts == (Shift(from_ms=T0, to_ms=T0 + 8 * 3_600_000),)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("contacts", "arrival,queue,handle_s\nsoon,calls,5\n", "file.csv:2, arrival: must be seconds or an ISO 8601 time"),
        ("contacts", "arrival,queue,handle_s\n-5,calls,5\n", "file.csv:2, arrival: must be at least 0"),
        ("contacts", "arrival,queue,handle_s\n5,calls,-5\n", "file.csv:2: .*handle_s"),
        ("contacts", "arrival,queue,handle_s,colour\n5,calls,5,red\n", "file.csv:2: .*colour"),
        ("contacts", "arrival,queue\n5,calls\n", "file.csv:1: no column handle_s"),
        ("contacts", "arrival,queue,handle_s,skills\n5,calls,5,a:b\n", "file.csv:2: levels must be NAME:NUMBER"),
        ("agents", "agent_id,shifts\nada,9\n", "file.csv:2, shifts: a shift must be FROM-TO"),
        ("agents", "agent_id,shifts\nada,9-8\n", "file.csv:2, shifts: a shift must end after it begins"),
        ("agents", "agent_id\nada\nada\n", "file.csv: an agent id occurs more than once"),
        ("agents", "agent_id,channel_max\nada,chat\n", "file.csv:2: levels must be NAME:NUMBER"),
    ],
)
def test_an_invalid_row_of_the_native_format_is_reported_with_its_line(tmp_path: Path, name: str, text: str, place: str) -> None:
    with pytest.raises(WorkloadInvalid, match=place):
        parse_log(f"{name}:" + write(tmp_path / "file.csv", text))


def test_an_invalid_json_line_is_reported_with_its_line(tmp_path: Path) -> None:
    source = write(tmp_path / "file.jsonl", CONTACTS_JSONL + '{"arrival": 1}\n')
    with pytest.raises(WorkloadInvalid, match=r"file.jsonl:4: .*handle_s"):
        parse_log(f"contacts:{source}")
