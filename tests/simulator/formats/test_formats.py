"""Recorded logs: values read and derived, and errors with their location. All rows are invented."""

import gzip
from pathlib import Path

import pytest

from router.simulator.day import Shift, WorkloadInvalid
from router.simulator.formats import parse_log, parse_logs
from router.simulator.formats.bank import PRIORITY_CREDIT_S
from router.simulator.formats.recorded_log import (
    RecordedLog,
    day_from_log,
    derived_policy,
    shifts_of,
)

VANAD = """\
date_received,queue_name,agent_number,answered,consult,transfer,hangup
2020-01-06 09:00:00,7,11,2020-01-06 09:00:05,,,2020-01-06 09:02:05
2020-01-06 09:00:10,8,,,,,2020-01-06 09:00:40
2020-01-06 09:01:00,8,12,2020-01-06 09:01:00,2020-01-06 09:01:30,2020-01-06 09:01:40,2020-01-06 09:09:00
2020-01-06 09:03:00,7,,,,,2020-01-06 09:03:09
2020-01-06 09:30:00,8,11,2020-01-06 09:30:10,,,2020-01-06 09:31:10
"""
T0 = 1_578_301_200_000

BANK = """\
vru_line,call_id,customer_id,priority,type,date,vru_entry,vru_exit,vru_time,\
q_start,q_exit,q_time,outcome,ser_start,ser_exit,ser_time,server
A1,1,0,2,PS,2020-01-06,9:00:00,9:00:10,10,9:00:10,9:01:00,50,AGENT,9:00:59,9:03:59,180,S1
A1,2,0,0,NW,2020-01-06,9:00:20,9:00:30,10,0:00:00,0:00:00,0,AGENT,9:00:31,9:01:31,60,S1
A1,3,0,1,PS,2020-01-06,9:02:00,9:02:05,5,9:02:05,9:02:35,30,HANG,0:00:00,0:00:00,0,
A1,4,0,1,PS,2020-01-06,9:04:00,9:04:05,5,0:00:00,0:00:00,0,HANG,0:00:00,0:00:00,0,
A1,5,0,1,PS,2020-01-06,9:05:00,9:05:05,5,9:05:05,9:05:35,30,PHANTOM,9:05:35,9:05:36,1,S1
A1,6,0,0,PS,2020-01-06,23:59:00,23:59:20,20,0:00:00,0:00:00,0,AGENT,23:59:30,0:01:00,90,S2
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture
def vanad(tmp_path: Path) -> RecordedLog:
    return parse_log("vanad:" + write(tmp_path / "monday.csv", VANAD))


def test_an_answered_vanad_call_lasts_until_transfer_or_hangup_and_never_abandons(
    vanad: RecordedLog,
) -> None:
    first, _, third, *_ = vanad.contacts
    assert (first.at_ms, first.queue_id, first.handle_ms) == (T0, "q7", 120_000)
    assert first.patience_ms is None
    assert third.handle_ms == 40_000


def test_an_abandoned_call_has_its_wait_as_patience_and_the_handle_time_of_an_adjacent_call(
    vanad: RecordedLog,
) -> None:
    _, before, _, after, _ = vanad.contacts
    assert (before.patience_ms, before.handle_ms) == (30_000, 40_000)
    assert (after.patience_ms, after.handle_ms) == (9_000, 120_000)


def test_agents_have_the_skills_they_used_and_are_off_duty_in_long_gaps(vanad: RecordedLog) -> None:
    eleven, twelve = vanad.agents
    assert eleven.skills == {"s7": 1, "s8": 1}
    assert twelve.skills == {"s8": 1}
    assert eleven.shifts == (
        Shift(from_ms=T0 + 5_000, to_ms=T0 + 125_000),
        Shift(from_ms=T0 + 1_810_000, to_ms=T0 + 1_870_000),
    )


def test_the_derived_policy_requires_the_skill_of_the_queue(vanad: RecordedLog) -> None:
    policy = derived_policy(vanad)
    assert policy.queues["q7"].requires == {"s7": 1}
    assert policy.channels["voice"].auto_accept


def test_a_gap_of_exactly_ten_minutes_is_no_gap() -> None:
    assert shifts_of([(0, 1_000), (601_000, 602_000)]) == (Shift(from_ms=0, to_ms=602_000),)
    assert len(shifts_of([(0, 1_000), (601_001, 602_000)])) == 2


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (
            "2020-01-06 09:00:10,8",
            "yesterday,8",
            "day.csv:3, date_received: is not a date and time",
        ),
        (",8,12,", ",8,,", "day.csv:4, agent_number: is missing"),
        ("09:00:40\n", "08:00:40\n", "day.csv:3, hangup: is before"),
        ("hangup\n", "end\n", "day.csv:1: no column hangup"),
    ],
)
def test_an_invalid_vanad_row_is_reported_with_its_line(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    source = write(tmp_path / "day.csv", VANAD.replace(old, new, 1))
    with pytest.raises(WorkloadInvalid, match=place):
        parse_log(f"vanad:{source}")


def test_bank_calls_have_priority_credit_and_exclude_phantoms_and_menu_hangups(
    tmp_path: Path,
) -> None:
    packed = tmp_path / "jan.csv.gz"
    packed.write_bytes(gzip.compress(BANK.encode()))
    log = parse_log(f"bank:{packed}")
    assert [c.at_ms - T0 for c in log.contacts] == [10_000, 30_000, 125_000, 53_960_000]
    assert [c.priority_s for c in log.contacts] == [PRIORITY_CREDIT_S, 0, 0, 0]
    assert [c.queue_id for c in log.contacts] == ["ps", "nw", "ps", "ps"]
    assert [c.patience_ms for c in log.contacts] == [None, None, 30_000, None]
    assert [c.handle_ms for c in log.contacts] == [180_000, 60_000, 180_000, 90_000]
    assert [(a.agent_id, a.skills) for a in log.agents] == [
        ("S1", {"nw": 1, "ps": 1}),
        ("S2", {"ps": 1}),
    ]


CONTACTS_CSV = """\
arrival,queue,handle_s,patience_s,channel,skills,priority_s,priority_class,stream,contact_id
12.5,support,200,30.25,chat,english:3;billing,45,1,walk-in,first
3,sales,100,,,,,,,
"""
CONTACTS_JSONL = """\
{"arrival": 12.5, "queue": "support", "handle_s": 200, "patience_s": 30.25, "channel": "chat", \
"skills": {"english": 3, "billing": 1}, "priority_s": 45, "priority_class": 1, "stream": "walk-in", "contact_id": "first"}

{"arrival": 3, "queue": "sales", "handle_s": 100, "contact_id": "day.2"}
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
    text = (
        "arrival,queue,handle_s\n2020-01-06T09:00:00Z,calls,5\n2020-01-06T10:00:01+01:00,calls,5\n"
    )
    log = parse_log("contacts:" + write(tmp_path / "day.csv", text))
    assert [c.at_ms for c in log.contacts] == [T0, T0 + 1_000]
    text = "agent_id,shifts\nada,2020-01-06T09:00:00/2020-01-06T17:00:00\n"
    log = parse_log("agents:" + write(tmp_path / "team.csv", text))
    assert log.agents[0].shifts == (Shift(from_ms=T0, to_ms=T0 + 8 * 3_600_000),)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        (
            "contacts",
            "arrival,queue,handle_s\nsoon,calls,5\n",
            "file.csv:2, arrival: must be seconds or an ISO 8601 time",
        ),
        (
            "contacts",
            "arrival,queue,handle_s\n-5,calls,5\n",
            "file.csv:2, arrival: must be at least 0",
        ),
        ("contacts", "arrival,queue,handle_s\n5,calls,-5\n", "file.csv:2: .*handle_s"),
        ("contacts", "arrival,queue,handle_s,colour\n5,calls,5,red\n", "file.csv:2: .*colour"),
        ("contacts", "arrival,queue\n5,calls\n", "file.csv:1: no column handle_s"),
        (
            "contacts",
            "arrival,queue,handle_s,skills\n5,calls,5,a:b\n",
            "file.csv:2: levels must be NAME:NUMBER",
        ),
        ("agents", "agent_id,shifts\nada,9\n", "file.csv:2, shifts: a shift must be FROM-TO"),
        (
            "agents",
            "agent_id,shifts\nada,9-8\n",
            "file.csv:2, shifts: a shift must end after it begins",
        ),
        ("agents", "agent_id\nada\nada\n", "file.csv: an agent id occurs more than once"),
        ("agents", "agent_id,channel_max\nada,chat\n", "file.csv:2: levels must be NAME:NUMBER"),
    ],
)
def test_an_invalid_row_of_the_native_format_is_reported_with_its_line(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    with pytest.raises(WorkloadInvalid, match=place):
        parse_log(f"{name}:" + write(tmp_path / "file.csv", text))


def test_an_invalid_json_line_is_reported_with_its_line(tmp_path: Path) -> None:
    source = write(tmp_path / "file.jsonl", CONTACTS_JSONL + '{"arrival": 1}\n')
    with pytest.raises(WorkloadInvalid, match=r"file.jsonl:4: .*queue"):
        parse_log(f"contacts:{source}")


def test_a_source_must_have_a_known_format_and_an_existing_file(tmp_path: Path) -> None:
    for source in ("nonsense", "csv:x", "vanad:"):
        with pytest.raises(WorkloadInvalid, match="FORMAT:PATH"):
            parse_log(source)
    with pytest.raises(WorkloadInvalid, match="cannot be read"):
        parse_log(f"vanad:{tmp_path / 'nowhere.csv'}")
    (tmp_path / "x.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(WorkloadInvalid, match="cannot be read"):
        parse_log(f"bank:{tmp_path / 'x.csv.gz'}")


def test_contacts_and_agents_of_one_day_are_merged(tmp_path: Path) -> None:
    log = parse_logs(
        [
            "contacts:" + write(tmp_path / "day.csv", CONTACTS_CSV),
            "agents:" + write(tmp_path / "team.csv", AGENTS_CSV),
            "agents:" + write(tmp_path / "more.csv", "agent_id,skills\nada,english:7;german:1\n"),
        ]
    )
    assert [agent.agent_id for agent in log.agents] == ["ada", "bob"]
    assert log.agents[0].skills == {"english": 7, "billing": 2, "german": 1}
    assert len(log.agents[0].shifts) == 3
    day = day_from_log(log, policy=None, behaviour_seed=1)
    assert (day.start_ms, day.window_to_ms) == (0, 12_501)
    assert day.policy.skills == ("english", "billing", "german")


def test_a_day_requires_contacts_agents_and_unique_contact_ids(tmp_path: Path) -> None:
    contacts = "contacts:" + write(tmp_path / "day.csv", CONTACTS_CSV)
    agents = "agents:" + write(tmp_path / "team.csv", AGENTS_CSV)
    with pytest.raises(WorkloadInvalid, match="no agents"):
        day_from_log(parse_logs([contacts]), policy=None, behaviour_seed=1)
    with pytest.raises(WorkloadInvalid, match="no contacts"):
        day_from_log(parse_logs([agents]), policy=None, behaviour_seed=1)
    with pytest.raises(WorkloadInvalid, match="contact id more than once"):
        parse_logs([contacts, contacts])
