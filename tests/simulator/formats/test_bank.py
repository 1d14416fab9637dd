"""Bank call logs: values read and derived. All rows are invented."""

import gzip
from pathlib import Path

from router.simulator.formats import parse_log
from router.simulator.formats.bank import PRIORITY_CREDIT_S

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


def test_bank_calls_have_priority_credit_and_exclude_phantoms_and_menu_hangups(tmp_path: Path) -> None:
    packed = tmp_path / "jan.csv.gz"
    packed.write_bytes(gzip.compress(BANK.encode()))
    log = parse_log(f"bank:{packed}")
    assert [c.at_ms - T0 for c in log.contacts] == [10_000, 30_000, 125_000, 53_960_000]
    assert [c.priority_s for c in log.contacts] == [PRIORITY_CREDIT_S, 0, 0, 0]
    assert [c.queue_id for c in log.contacts] == ["ps", "nw", "ps", "ps"]
    assert [c.patience_ms for c in log.contacts] == [None, None, 30_000, None]
    assert [c.handle_ms for c in log.contacts] == [180_000, 60_000, 180_000, 90_000]
    assert [(a.agent_id, a.skills) for a in log.agents] == [("S1", {"nw": 1, "ps": 1}), ("S2", {"ps": 1})]


def test_a_wait_that_passes_midnight_is_complete(tmp_path: Path) -> None:
    day = tmp_path / "jan.csv"
    day.write_text(
        BANK
        + "A1,7,0,0,PS,2020-01-06,23:59:30,23:59:50,20,23:59:50,0:00:10,20,HANG,0:00:00,0:00:00,0,\n"
        + "A1,8,0,0,PS,2020-01-06,23:59:30,23:59:51,20,23:59:51,0:00:21,30,AGENT,0:00:21,0:00:51,30,S2\n"
    )
    *_, left, served = parse_log(f"bank:{day}").contacts
    assert (left.patience_ms, left.waited_ms) == (20_000, None)
    assert (served.patience_ms, served.waited_ms) == (None, 30_000)
