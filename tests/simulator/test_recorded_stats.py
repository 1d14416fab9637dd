"""Figures of a recorded day: those of its events, and the same from a log that has no events."""

from pathlib import Path

import pytest
from msgspec import structs

from router.simulator.day import DayWindow, RecordedOutcome, WorkloadInvalid
from router.simulator.formats.journal import read_rows
from router.simulator.formats.native import to_csv
from router.simulator.formats.recorded_rows import AgentRow, ContactRow
from router.simulator.recorded_stats import RecordedDay, count_day
from router.simulator.run import SimulationSpec, first_day
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval
from tests.support.recorded_journal import simulated_records, staggered, write_journal

DAY = Path(__file__).parents[2] / "benchmarks/scenarios/what_if/day.yaml"
MORNING_MS = 1_773_129_600_000  # 2026-03-10T08:00:00Z
HOUR_MS = 3_600_000
CONTACTS = """\
arrival,queue,handle_s,patience_s,wait_s,agent_id,outcome
2026-03-10T08:00:00Z,calls,60,,10,ada,answered
2026-03-10T08:01:00Z,calls,90,,30,ada,answered
2026-03-10T08:02:00Z,calls,,25,,,abandoned
2026-03-10T08:03:00Z,calls,,,50,,expired
2026-03-10T10:05:00Z,calls,0,,0,ada,answered
2026-03-11T09:00:00Z,calls,60,,10,ada,answered
"""
AGENTS = "agent_id,shifts\nada,2026-03-10T08:00:00Z/2026-03-10T08:30:00Z;2026-03-10T10:00:00Z/2026-03-10T10:30:00Z\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of three hours of a simulated day."""
    day = staggered(first_day(SimulationSpec(workload=str(DAY)))[0])
    short = structs.replace(day, contacts=[contact for contact in day.contacts if contact.at_ms < 3 * HOUR_MS])
    return write_journal(tmp_path_factory.mktemp("recorded"), simulated_records(short.shifted(MORNING_MS)))


def native(tmp_path: Path, *, contacts: str = CONTACTS) -> list[str]:
    (tmp_path / "c.csv").write_text(contacts)
    (tmp_path / "a.csv").write_text(AGENTS)
    return [f"contacts:{tmp_path}/c.csv", f"agents:{tmp_path}/a.csv"]


def test_the_figures_of_a_journal_are_those_of_its_contacts(recorded: Path) -> None:
    day = count_day([f"journal:{recorded}"], DayWindow(), policy=None, interval=None)
    (total,) = day.rows[Dimension.WORKSPACE]
    rows = read_rows(str(recorded), DayWindow()).contacts
    answered = [row for row in rows if row.outcome is RecordedOutcome.ANSWERED]
    assert (total.submitted, total.answered) == (len(rows), len(answered))
    assert total.asa_ms == round(sum(row.wait_s or 0 for row in answered) * 1000 / len(answered))
    assert sum(row.submitted for row in day.intervals) == len(rows)
    assert {row.queue_id for row in day.rows[Dimension.QUEUE]} == {"english", "german"}


def test_a_log_without_events_has_the_same_figures(recorded: Path, tmp_path: Path) -> None:
    rows = read_rows(str(recorded), DayWindow())
    (tmp_path / "c.csv").write_bytes(b"".join(to_csv(rows.contacts, ContactRow)))
    (tmp_path / "a.csv").write_bytes(b"".join(to_csv(rows.agents, AgentRow)))
    window = DayWindow(MORNING_MS, MORNING_MS + 3 * HOUR_MS)
    sources = [f"contacts:{tmp_path}/c.csv", f"agents:{tmp_path}/a.csv"]
    journal = count_day([f"journal:{recorded}"], window, policy=None, interval=Interval.QUARTER)
    log = count_day(sources, window, policy=rows.policy, interval=Interval.QUARTER)
    names = ("submitted", "answered", "abandoned", "answered_within", "asa_ms", "handled", "talk_ms", "busy_ms", "idle_ms")

    def figures(day: RecordedDay) -> list[tuple[object, ...]]:
        return [tuple(getattr(row, name) for name in names) for row in [*day.intervals, *day.rows[Dimension.AGENT]]]

    assert figures(log) == figures(journal)
    assert log.is_derived
    assert not journal.is_derived


def test_figures_can_be_computed_by_hand(tmp_path: Path) -> None:
    day = count_day(native(tmp_path), DayWindow(to_ms=MORNING_MS + 16 * HOUR_MS), policy=None, interval=Interval.QUARTER)
    (total,) = day.rows[Dimension.WORKSPACE]
    assert (total.submitted, total.answered, total.abandoned, total.expired) == (5, 3, 1, 1)
    # Within 20 s: two of three answered and one who left after 25 s.
    assert total.service_level == 0.5
    assert (total.asa_ms, total.longest_wait_ms) == (13_333, 30_000)
    assert total.aht_ms == 50_000
    (ada,) = (row for row in day.rows[Dimension.AGENT] if row.agent_id == "ada")
    assert ada.busy_ms == 150_001
    assert ada.idle_ms == 2 * 30 * 60_000 - 150_001
    # Intervals between the two shifts are there, without values.
    assert [row.submitted for row in day.intervals] == [4, 0, 0, 0, 0, 0, 0, 0, 1, 0][: len(day.intervals)]
    assert day.intervals[5].occupancy is None


def test_without_a_window_the_day_is_that_of_the_last_arrival(tmp_path: Path) -> None:
    day = count_day(native(tmp_path), DayWindow(), policy=None, interval=None)
    assert day.rows[Dimension.WORKSPACE][0].submitted == 1
    assert day.from_ms == MORNING_MS + 16 * HOUR_MS


def test_a_window_that_is_too_long_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadInvalid, match="at most 7 days"):
        count_day(native(tmp_path), DayWindow(MORNING_MS - 9 * 24 * HOUR_MS), policy=None, interval=None)
    with pytest.raises(WorkloadInvalid, match="between --from and --to"):
        count_day(native(tmp_path), DayWindow(0, 1), policy=None, interval=None)
