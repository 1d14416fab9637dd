"""Recorded logs: values read and derived, and errors with their location. All rows are invented."""

from pathlib import Path
from random import Random

import pytest

from router.simulator.day import Shift, WorkloadInvalid
from router.simulator.formats import parse_log, parse_logs
from router.simulator.formats.recorded_log import RecordedLog, day_from_log, shifts_of
from router.simulator.run import SimulationSpec, simulate

VANAD = """\
date_received,queue_name,agent_number,answered,consult,transfer,hangup
2020-01-06 09:00:00,7,11,2020-01-06 09:00:05,,,2020-01-06 09:02:05
2020-01-06 09:00:10,8,,,,,2020-01-06 09:00:40
2020-01-06 09:01:00,8,12,2020-01-06 09:01:00,2020-01-06 09:01:30,2020-01-06 09:01:40,2020-01-06 09:09:00
2020-01-06 09:03:00,7,,,,,2020-01-06 09:03:09
2020-01-06 09:30:00,8,11,2020-01-06 09:30:10,,,2020-01-06 09:31:10
"""


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture
def vanad(tmp_path: Path) -> RecordedLog:
    return parse_log("vanad:" + write(tmp_path / "monday.csv", VANAD))


def test_a_gap_of_exactly_ten_minutes_is_no_gap() -> None:
    assert shifts_of([(0, 1_000), (601_000, 602_000)]) == (Shift(from_ms=0, to_ms=602_000),)
    assert len(shifts_of([(0, 1_000), (601_001, 602_000)])) == 2


CONTACTS_CSV = """\
arrival,queue,handle_s,patience_s,channel,skills,priority_s,priority_class,stream,contact_id
12.5,support,200,30.25,chat,english:3;billing,45,1,walk-in,first
3,sales,100,,,,,,,
"""
AGENTS_CSV = """\
agent_id,group,skills,queues,units,channel_max,queue_ranks,attributes,shifts
ada,first-line,english:5;billing:2,support;sales,120,chat:2;voice:1,sales:1,years:-3;native:true;grade:7b,0-3600;5400-
bob,,,,,,,,
"""


def test_a_source_must_have_a_known_format_and_an_existing_file(tmp_path: Path) -> None:
    for source in ("nonsense", "tsv:x", "vanad:"):
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
    assert (day.start_ms, day.window_from_ms, day.window_to_ms) == (3_000, 3_000, 12_501)
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


# --- ids and order ---------------------------------------------------------------------------------------------------
BANK_HEADER = "priority,type,date,vru_exit,q_start,q_exit,outcome,ser_start,ser_exit,server\n"
VANAD_HEADER = "date_received,queue_name,agent_number,answered,transfer,hangup\n"
NATIVE_HEADER = "arrival,queue,handle_s,patience_s\n"


QUEUES = {"q7", "q8", "q9", "p7", "p8", "p9"}
SKILLS = ("s7", "s8", "s9", "p7", "p8", "p9")


def clock(second: int) -> str:
    return f"{9 + second // 3600}:{second // 60 % 60:02d}:{second % 60:02d}"


def many_rows(format_name: str) -> tuple[str, list[str]]:
    """Return the header and 120 rows in twelve seconds: ten calls in each, a third of them abandoned."""
    rng = Random(7)
    found = []
    for n in range(120):
        at_s, served = 5 * (n // 10), n % 3 > 0
        end_s, queue, agent = at_s + rng.randrange(1, 90), rng.choice("789"), rng.randrange(11, 16)
        done_s = end_s + rng.randrange(5, 200)
        match format_name:
            case "vanad":
                day = "2020-01-06 0"
                answer = f"{agent},{day}{clock(end_s)}" if served else ","
                last_s = done_s if served else end_s
                found.append(f"{day}{clock(at_s)},{queue},{answer},,{day}{clock(last_s)}\n")
            case "bank":
                service = f"AGENT,{clock(end_s)},{clock(done_s)},S{agent}"
                outcome = service if served else "HANG,0:00:00,0:00:00,"
                head = f"{rng.choice('012')},P{queue},2020-01-06,{clock(at_s)},{clock(at_s)}"
                found.append(f"{head},{clock(end_s)},{outcome}\n")
            case _:
                patience = "" if served else end_s - at_s
                found.append(f"{at_s},q{queue},{done_s - end_s},{patience}\n")
    headers = {"vanad": VANAD_HEADER, "bank": BANK_HEADER, "contacts": NATIVE_HEADER}
    return headers[format_name], found


@pytest.mark.parametrize("format_name", ["vanad", "bank", "contacts"])
def test_names_of_files_and_the_order_of_rows_change_nothing(tmp_path: Path, format_name: str) -> None:
    header, found = many_rows(format_name)
    agents = "agents:" + write(tmp_path / "team.csv", "agent_id\nada\nbob\ncy\n")
    policy = tmp_path / "policy.yaml"
    queues = ", ".join(f"{name}: {{selection: weighted_random}}" for name in sorted(QUEUES))
    policy.write_text(f"channels: {{voice: {{}}}}\nskills: [{', '.join(SKILLS)}]\nqueues: {{{queues}}}\n")
    reports = []
    for name, rows in (("one", found), ("two", found[::-1]), ("three", sorted(found))):
        log = f"{format_name}:" + write(tmp_path / f"{name}.csv", header + "".join(rows))
        reports.append(simulate(SimulationSpec(logs=(log, agents), policy=str(policy))))
    first = reports[0]
    assert first.contacts == 120
    assert min(first.answered, first.abandoned) > 10
    for other in reports[1:]:
        assert (other.digest, other.state_digest) == (first.digest, first.state_digest)
        assert other.queues == first.queues


def test_two_logs_may_be_given_in_any_order(tmp_path: Path) -> None:
    header, found = many_rows("contacts")
    early = "contacts:" + write(tmp_path / "early.csv", header + "".join(found[::2]))
    late = "contacts:" + write(tmp_path / "late.csv", header + "".join(found[1::2]))
    assert parse_logs([early, late]).contacts == parse_logs([late, early]).contacts


def test_contacts_of_one_second_come_in_the_order_of_their_recorded_waits(tmp_path: Path) -> None:
    text = "arrival,queue,handle_s,patience_s\n5,b,1,\n5,a,1,\n5,c,1,9\n5,d,1,3\n4,z,1,\n"
    log = parse_log("contacts:" + write(tmp_path / "day.csv", text))
    assert [(c.contact_id, c.queue_id) for c in log.contacts] == [
        ("contact.1", "z"),
        ("contact.2", "d"),
        ("contact.3", "c"),
        ("contact.4", "a"),
        ("contact.5", "b"),
    ]


# --- the bounds of a day --------------------------------------------------------------------------------------------
ISO_CONTACTS = """\
arrival,queue,handle_s
2020-01-06T09:00:00Z,calls,60
2020-01-06T09:04:00Z,calls,60
"""


def logs_of(tmp_path: Path, contacts: str, agents: str) -> tuple[str, str]:
    return ("contacts:" + write(tmp_path / "day.csv", contacts), "agents:" + write(tmp_path / "team.csv", agents))


@pytest.mark.parametrize(
    ("agents", "on_duty_s", "occupancy"),
    [
        ("agent_id\nada\n", 240.001, 60.001 / 240.001),
        ("agent_id,shifts\nada,2020-01-06T08:00:00Z/\n", 240.001, 60.001 / 240.001),
        ("agent_id,shifts\nada,2020-01-06T09:02:00Z/\n", 120.001, 60.001 / 120.001),
    ],
)
def test_the_bounds_of_a_day_are_those_of_its_arrivals(tmp_path: Path, agents: str, on_duty_s: float, occupancy: float) -> None:
    # Duty before the first arrival, since 1970 without shifts, is no time of the day.
    report = simulate(SimulationSpec(logs=logs_of(tmp_path, ISO_CONTACTS, agents)))
    assert report.window_s == 240.001
    assert report.agent_groups["agents"].on_duty_s == on_duty_s
    assert report.occupancy == pytest.approx(occupancy)
    assert report.audit.violations == ()


def test_a_shift_that_is_over_before_the_first_arrival_is_dropped(tmp_path: Path) -> None:
    agents = "agent_id,shifts\nada,2020-01-06T05:00:00Z/2020-01-06T09:00:00Z\nbob,\n"
    report = simulate(SimulationSpec(logs=logs_of(tmp_path, ISO_CONTACTS, agents)))
    assert report.load is not None
    assert (report.load.agents, report.load.contacts_min) == (1, 2)


def test_agents_whose_shifts_began_before_the_day_keep_their_idle_order(tmp_path: Path) -> None:
    agents = "agent_id,group,shifts\nada,late,50-\nbob,early,10-\n"
    contacts = "arrival,queue,handle_s\n100,calls,5\n300,calls,5\n301,calls,5\n"
    report = simulate(SimulationSpec(logs=logs_of(tmp_path, contacts, agents)))
    # The first contact is bob's, who has been idle for longer; the second is then ada's.
    answered = {name: group.answered for name, group in report.agent_groups.items()}
    assert answered == {"early": 2, "late": 1}


@pytest.mark.parametrize("shifts", ["0-28800", "2021-01-06T05:00:00Z/"])
def test_agents_who_are_never_on_duty_between_the_arrivals_are_refused(tmp_path: Path, shifts: str) -> None:
    logs = logs_of(tmp_path, ISO_CONTACTS, f"agent_id,shifts\nada,{shifts}\n")
    with pytest.raises(WorkloadInvalid, match="no agent is on duty"):
        simulate(SimulationSpec(logs=logs))
