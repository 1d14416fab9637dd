"""A journal as a recorded day: the same day is simulated from it, and its rows say what happened."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from router.engine.engine import Engine
from router.journal.port import Snapshot
from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalUnavailable
from router.model.events import Event
from router.model.events.agent import (
    AgentStateChanged,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentHeld,
    AssignmentParked,
    AssignmentResumed,
    AssignmentUnparked,
    OfferAccepted,
    OfferExpired,
    OfferMade,
    WrapUpStarted,
)
from router.model.events.contact import (
    CallbackConnected,
    CallbackRequested,
    ContactAbandoned,
    ContactEnded,
    ContactExpired,
    ContactQueued,
    ContactRequeued,
    OriginalRequest,
)
from router.model.events.workspace import PolicyPublished
from router.model.policy import CallbackMode, CallbackQueuePosition
from router.model.states import AgentState
from router.simulator.day import DayWindow, RecordedOutcome, WorkloadInvalid
from router.simulator.formats import parse_logs
from router.simulator.formats.journal import read_rows
from router.simulator.formats.journal_day import JournalDay
from router.simulator.formats.native import to_csv, to_json_lines
from router.simulator.formats.recorded_rows import AgentRow, ContactRow, time_ms
from router.simulator.run import SimulationSpec, first_day, simulate
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import a_policy
from tests.support.recorded_journal import records_of, simulated_records, staggered, write_journal

DAY = Path(__file__).parents[3] / "benchmarks/scenarios/what_if/day.yaml"
MORNING_MS = 1_773_129_600_000  # 2026-03-10T08:00:00Z
S = 1_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a simulated day of two languages."""
    day = staggered(first_day(SimulationSpec(workload=str(DAY)))[0]).shifted(MORNING_MS)
    return write_journal(tmp_path_factory.mktemp("recorded"), simulated_records(day))


def test_a_simulation_of_the_recorded_day_takes_the_same_decisions(recorded: Path) -> None:
    again = simulate(SimulationSpec(logs=(f"journal:{recorded}",)))
    contacts = read_rows(str(recorded), DayWindow()).contacts
    answered = [row for row in contacts if row.outcome is RecordedOutcome.ANSWERED]
    abandoned = [row for row in contacts if row.outcome is RecordedOutcome.ABANDONED]
    assert (again.contacts, again.answered, again.abandoned) == (len(contacts), len(answered), len(abandoned)) == (1512, 1395, 117)
    assert again.mean_wait_answered_s == pytest.approx(sum(row.wait_s or 0 for row in answered) / len(answered), abs=1e-9)
    assert again.options["policy"] == "recorded"
    assert not again.audit.violations


@pytest.mark.parametrize("encoding", ["csv", "jsonl"])
def test_exported_rows_are_read_back_to_the_same_day(recorded: Path, tmp_path: Path, encoding: str) -> None:
    rows = read_rows(str(recorded), DayWindow())
    for name, many, type_ in (("contacts", rows.contacts, ContactRow), ("agents", rows.agents, AgentRow)):
        lines = to_csv(many, type_) if encoding == "csv" else to_json_lines(many)
        (tmp_path / f"{name}.{encoding}").write_bytes(b"".join(lines))
    original = parse_logs([f"journal:{recorded}"])
    again = parse_logs([f"contacts:{tmp_path}/contacts.{encoding}", f"agents:{tmp_path}/agents.{encoding}"])
    assert again.contacts == original.contacts
    assert again.agents == original.agents


def test_a_window_leaves_out_what_arrived_before_and_after_it(recorded: Path) -> None:
    hour = DayWindow(MORNING_MS + 3_600 * S, MORNING_MS + 7_200 * S)
    whole, part = read_rows(str(recorded), DayWindow()), read_rows(str(recorded), hour)
    assert [row.contact_id for row in part.contacts] == [
        row.contact_id for row in whole.contacts if "2026-03-10T09:00" <= str(row.arrival) < "2026-03-10T10:00"
    ]
    by_id = {row.contact_id: row for row in whole.contacts}
    assert all(row == by_id[row.contact_id] for row in part.contacts), "work after the end of the window counts too"
    assert any("already there at the beginning" in note for note in part.notes)
    with pytest.raises(WorkloadInvalid, match="between --from and --to"):
        parse_logs([f"journal:{recorded}"], DayWindow(0, 1))


def test_texts_that_look_like_numbers_survive_the_export(tmp_path: Path) -> None:
    row = ContactRow(arrival=1.5, handle_s=2, attributes={"code": "007", "vip": True, "n": -3}, customer_facts={"x": "a:b;c"})
    (tmp_path / "day.csv").write_bytes(b"".join(to_csv([row], ContactRow)))
    (contact,) = parse_logs([f"contacts:{tmp_path}/day.csv"]).contacts
    assert contact.attributes == {"code": "007", "vip": True, "n": -3}
    assert contact.attributes["vip"] is True
    assert contact.customer_facts == {"x": "a:b;c"}


# --- workspaces and stores ------------------------------------------------------------------------------------------


def test_a_workspace_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = write_journal(tmp_path, history(), workspaces=("default", "other"))
    with pytest.raises(JournalUnavailable, match=r"several workspaces: name one \(workspaces: default, other\)"):
        read_rows(str(path), DayWindow())
    assert read_rows(f"{path}#other", DayWindow()).workspace == "other"
    with pytest.raises(JournalUnavailable, match="no such workspace"):
        read_rows(f"{path}#third", DayWindow())


def test_a_store_is_refused_with_the_command_that_makes_a_file_of_it() -> None:
    for source in ("redis://h:1", "journal:rediss://h:1"):
        with pytest.raises(WorkloadInvalid, match="router journal export --store redis"):
            parse_logs([source])


async def archived_journal(directory: Path, records: list[Record], *, at: int) -> Path:
    """Write a journal whose first ``at`` records are in an archive, with two snapshots after them."""
    path = directory / "journal.db"
    journal, engine, stats = SqliteJournal(path, reserved_bytes=0), Engine(), WorkspaceStats()
    await journal.open()
    await journal.create_workspace("default")
    for number, record in enumerate(records, start=1):
        await journal.append([("default", record)])
        engine.replay(record.events, record.first_seq, record.at_ms)
        for place, event in enumerate(record.events):
            stats.apply(event, record.first_seq + place, record.at_ms)
        if number in (at, at + 1):
            snapshot = Snapshot(
                seq=record.last_seq, at_ms=record.at_ms, engine_state=engine.snapshot(), stats_state=stats.snapshot()
            )
            await journal.save_snapshot("default", snapshot)
    assert await journal.archive(directory / "archive", before_ms=records[-1].at_ms + 1) is not None
    await journal.close()
    return path


def test_a_journal_without_its_beginning_is_read_from_its_snapshot(tmp_path: Path) -> None:
    day = staggered(first_day(SimulationSpec(workload=str(DAY)))[0])
    short = structs.replace(day, contacts=[contact for contact in day.contacts if contact.at_ms < 600_000])
    records = simulated_records(short.shifted(MORNING_MS))
    at = len(records) // 2
    path = asyncio.run(archived_journal(tmp_path, records, at=at))
    rest, all_rows = read_rows(str(path), DayWindow()), rows_of(records)
    from_ms = records[at].at_ms
    assert rest.contacts == [row for row in all_rows.contact_rows() if time_ms("", "", row.arrival) >= from_ms]
    assert [(row.agent_id, row.skills) for row in rest.agents] == [(row.agent_id, row.skills) for row in all_rows.agent_rows()]
    assert rest.policy == all_rows.policy()
    early = read_rows(str(tmp_path / "archive" / "archive.db"), DayWindow())
    ids = [row.contact_id for row in all_rows.contact_rows()]
    assert early.contacts
    assert [row.contact_id for row in early.contacts] == ids[: len(early.contacts)]


# --- what the events say --------------------------------------------------------------------------------------------


def queued(contact_id: str, **changes: object) -> ContactQueued:
    fields = {"contact_id": contact_id, "channel": "voice", "queue_id": "support", "requirement": "-", "policy_version": 1}
    return ContactQueued(**(fields | changes))  # type: ignore[arg-type]


def offer(contact_id: str, n: int = 1) -> OfferMade:
    return OfferMade(
        offer_id=f"{contact_id}.{n}", contact_id=contact_id, agent_id="ada", channel="voice", queue_id="support", units=100,
        deadline_ms=0, requirement="-", effective_priority_s=0, policy_version=1, reason="longest_idle",
    )  # fmt: skip


def accepted(contact_id: str, n: int = 1) -> OfferAccepted:
    return OfferAccepted(offer_id=f"{contact_id}.{n}", contact_id=contact_id, agent_id="ada", waited_ms=0)


def ada(state: AgentState, reason: str | None = None) -> AgentStateChanged:
    return AgentStateChanged(agent_id="ada", state=state, from_state=AgentState.OFFLINE, reason=reason)


def history() -> list[Record]:
    of: dict[str, Any] = {"contact_id": "c1", "agent_id": "ada", "assignment_id": "c1.2"}
    return records_of(
        (0, PolicyPublished(version=1, policy=a_policy())),
        (0, AgentUpdated(agent_id="ada", skills={"english": 3})),
        (1 * S, ada(AgentState.READY)),
        (10 * S, queued("c1", rule="r", original_request=OriginalRequest(priority_s=7), attributes={"tier": "gold"}, priority_s=9)),
        (10 * S, offer("c1")),
        (30 * S, OfferExpired(offer_id="c1.1", contact_id="c1", agent_id="ada")),
        (30 * S, ada(AgentState.NOT_READY, "rona")),
        (90 * S, ada(AgentState.READY)),
        (90 * S, offer("c1", 2)),
        (94 * S, accepted("c1", 2)),
        (100 * S, AssignmentHeld(**of)),
        (110 * S, AssignmentResumed(**of)),
        (120 * S, AssignmentParked(**of)),
        (500 * S, AssignmentUnparked(**of)),
        (510 * S, ContactEnded(contact_id="c1", assignment_id="c1.2", agent_id="ada", reason="completed")),
        (510 * S, WrapUpStarted(**of, deadline_ms=0)),
        (525 * S, AssignmentCompleted(**of, reason="finished", disposition="sold")),
        (600 * S, queued("c2")),
        (640 * S, ContactAbandoned(contact_id="c2", queue_id="support", waited_ms=40 * S)),
        (700 * S, queued("c3")),
        (750 * S, ContactExpired(contact_id="c3", queue_id="support", waited_ms=50 * S, reason="wait_max")),
        (800 * S, ada(AgentState.NOT_READY, "break")),
        (900 * S, queued("c4")),
    )


def rows_of(records: list[Record], window: DayWindow = DayWindow()) -> JournalDay:  # noqa: B008
    day = JournalDay(window)
    day.apply_all(records)
    return day


def test_a_row_has_the_request_and_what_became_of_it() -> None:
    first, left, expired, waiting = rows_of(history()).contact_rows()
    assert (first.queue, first.entered_queue, first.rule) == (None, "support", "r"), "the entry rules decide again"
    assert (first.priority_s, first.attributes) == (7, {"tier": "gold"}), "as requested, not as the rule changed it"
    assert (first.wait_s, first.handle_s, first.hold_s, first.wrap_up_s) == (84, 36, 10, 15)
    assert (first.agent_id, first.missed_offers, first.disposition) == ("ada", 1, "sold")
    assert (left.patience_s, left.wait_s, left.handle_s, left.outcome) == (40, None, None, RecordedOutcome.ABANDONED)
    assert (expired.patience_s, expired.wait_s, expired.outcome) == (None, 50, RecordedOutcome.EXPIRED), "willing to wait longer"
    assert (waiting.patience_s, waiting.wait_s, waiting.outcome) == (None, 0, RecordedOutcome.OPEN)


def test_shifts_go_on_after_a_missed_offer_and_end_at_a_break() -> None:
    (row,) = rows_of(history()).agent_rows()
    assert row.shifts == ("1970-01-01T00:00:01.000Z/1970-01-01T00:13:20.000Z",)
    assert (row.answer_s, row.no_answer_share, row.decline_share, row.ready_again_s) == (4, 0.5, 0, 60)


def test_a_long_time_after_a_missed_offer_is_no_duty() -> None:
    records = records_of(
        (0, AgentUpdated(agent_id="ada")),
        (1 * S, ada(AgentState.READY)),
        (30 * S, ada(AgentState.NOT_READY, "rona")),
        (3_600 * S, ada(AgentState.READY)),
    )
    (row,) = rows_of(records).agent_rows()
    assert row.shifts == ("1970-01-01T00:00:01.000Z/1970-01-01T00:00:30.000Z", "1970-01-01T01:00:00.000Z/")


def test_a_callback_counts_from_the_moment_the_customer_is_on_the_line() -> None:
    request = CallbackRequested(
        contact_id="c1", queue_id="support", channel="voice", requirement="-", mode=CallbackMode.AGENT_FIRST,
        queue_position=CallbackQueuePosition.KEEP,
    )  # fmt: skip
    records = records_of(
        (0, queued("c1")),
        (25 * S, request),
        (100 * S, accepted("c1")),
        (130 * S, CallbackConnected(contact_id="c1", attempt=1, queue_id="support", requirement="-", agent_id="ada")),
        (190 * S, ContactEnded(contact_id="c1", assignment_id="c1.1", agent_id="ada", reason="completed")),
    )
    (row,) = rows_of(records).contact_rows()
    assert (row.callback_after_s, row.callback_mode, row.handle_s) == (25, CallbackMode.AGENT_FIRST, 60)
    assert (row.outcome, row.wait_s, row.agent_id) == (RecordedOutcome.CALLED_BACK, 25, "ada")


def test_a_customer_who_leaves_after_asking_for_a_callback_shows_no_patience() -> None:
    request = CallbackRequested(
        contact_id="c1", queue_id="support", channel="voice", requirement="-", mode=CallbackMode.CUSTOMER_FIRST,
        queue_position=CallbackQueuePosition.KEEP,
    )  # fmt: skip
    records = records_of(
        (0, queued("c1")),
        (25 * S, request),
        (100 * S, CallbackConnected(contact_id="c1", attempt=1, queue_id="support", requirement="-")),
        (130 * S, ContactAbandoned(contact_id="c1", queue_id="support", waited_ms=30 * S)),
    )
    (row,) = rows_of(records).contact_rows()
    assert (row.outcome, row.patience_s, row.wait_s) == (RecordedOutcome.ABANDONED, None, 25)


def test_a_contact_that_comes_back_to_the_queue_is_one_of_its_first_answer() -> None:
    back = ContactRequeued(contact_id="c1", queue_id="sales", requirement="-", reason="transferred", queued_seq=1)
    records = records_of(
        (0, queued("c1")),
        (10 * S, accepted("c1")),
        (40 * S, back),
        (100 * S, ContactAbandoned(contact_id="c1", queue_id="sales", waited_ms=60 * S)),
    )
    (row,) = rows_of(records).contact_rows()
    assert (row.outcome, row.wait_s, row.handle_s, row.patience_s) == (RecordedOutcome.ANSWERED, 10, 30, None)
    assert (row.transfers, row.last_queue) == (1, "sales")


def test_the_policy_is_that_of_most_contacts() -> None:
    timed: list[tuple[int, Event]] = [(0, PolicyPublished(version=1, policy=a_policy())), (1, queued("a"))]
    timed += [(2, PolicyPublished(version=2, policy=a_policy(default_queue="support")))]
    timed += [(3 + n, queued(f"b{n}", policy_version=2)) for n in range(2)]
    day = rows_of(records_of(*timed))
    policy = day.policy()
    assert policy is not None
    assert policy.default_queue == "support"
    assert "version 2 is used, that of 2 of 3 contacts" in day.notes()[0]
