"""The worked examples of docs/reference/statistics.md: what happens on each day gives the figures that the page states."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.model.events import AgentStateChanged, ContactGoal, DispositionRecorded, GoalChanged, OfferAccepted, PolicyPublished
from router.model.states import AgentState, AssignmentRole, GoalChange, GoalOutcome
from router.policy.calendar import local_day_bounds
from router.statistics.history_queries import Dimension
from router.statistics.questions import Interval, StatisticsQuestion
from router.statistics.rows import COLUMNS, StatisticsRow
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import rows_of
from tests.support.event_history import POLICY, EventHistory, apply_all

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "statistics.md"
CASES = re.findall(r"### ([^\n]+)\n.*?```case\n(.*?)```", PAGE.read_text(), re.DOTALL)


class ExampleDay:
    """A day of the page, line by line."""

    def __init__(self, text: str) -> None:
        head, *self._lines = text.strip().split("\n")
        found = re.fullmatch(r"zone (\S+), (\S+)", head)
        assert found is not None, head
        self.zone, self.date = found[1], found[2]
        self.history = EventHistory(self.at("00:00:00"))
        self.history.events = []
        self.history.write(PolicyPublished(version=1, policy=msgspec.structs.replace(POLICY, zone=self.zone)))
        self._work: dict[tuple[str, str], str] = {}
        self._states: dict[str, AgentState] = {}
        self._owners: dict[str, str] = {}
        self._goals: dict[str, ContactGoal] = {}
        self._repeated: dict[str, str] = {}
        self.checked = 0

    def at(self, clock: str, date: str | None = None) -> int:
        hours, minutes, seconds = map(int, clock.split(":"))
        day = datetime.fromisoformat(date or self.date) + timedelta(days=hours // 24)
        wall = day.replace(hour=hours % 24, minute=minutes, second=seconds, tzinfo=ZoneInfo(self.zone))
        return round(wall.timestamp() * 1000)

    def play(self) -> None:
        events = [line for line in self._lines if line[0].isdigit()]
        for line in sorted(events, key=lambda line: line[:8]):
            clock, verb, *words = line.split()
            self.history.now_ms = self.at(clock)
            act: Callable[..., None] = getattr(self, f"_{verb}")
            act(*words)
        stats = WorkspaceStats(local_day_bounds)
        apply_all(stats, self.history.events, first_seq=1)
        for line in self._lines:
            if not line[0].isdigit():
                self._check(stats, line)
                self.checked += 1

    def _check(self, stats: WorkspaceStats, line: str) -> None:
        place, _, values = line.partition(": ")
        words = place.split()
        span = [words.pop(0), words.pop(0)] if words[0] in ("day", "interval") else ["total", ""]
        starts = {"day": ("00:00:00", span[1]), "interval": (f"{span[1]}:00", None)}
        start_ms = None if span[0] == "total" else self.at(*starts[span[0]])
        interval = {"day": Interval.DAY, "interval": Interval.QUARTER, "total": Interval.TOTAL}[span[0]]
        if words[0] == "length":
            (row,) = self._rows(stats, Dimension.WORKSPACE, interval)
            assert f"{(row.to_ms - row.from_ms) // 3_600_000} hours" == values
            return
        rows = [
            row
            for row in self._rows(stats, Dimension(words[0]), interval)
            if start_ms is None or row.from_ms == start_ms
            if len(words) == 1 or _subject(row) == words[1]
        ]
        assert len(rows) == 1, (line, rows)
        for pair in values.split(", "):
            name, value = pair.split()
            assert name in COLUMNS
            assert getattr(rows[0], name) == (None if value == "null" else pytest.approx(float(value), abs=5e-5)), (line, name)

    def _rows(self, stats: WorkspaceStats, by: Dimension, interval: Interval) -> list[StatisticsRow]:
        return rows_of(stats, StatisticsQuestion(by, interval, to_ms=self.history.now_ms + 1), self.history.now_ms)

    # --- what can happen ---------------------------------------------------------------------------------------------

    def _ready(self, agent: str) -> None:
        self._turn(agent, AgentState.READY)

    def _offline(self, agent: str) -> None:
        self._turn(agent, AgentState.OFFLINE)

    def _not_ready(self, agent: str, reason: str) -> None:
        self._turn(agent, AgentState.NOT_READY, reason)

    def _turn(self, agent: str, state: AgentState, reason: str | None = None) -> None:
        before = self._states.get(agent, AgentState.OFFLINE)
        self.history.write(AgentStateChanged(agent_id=agent, state=state, from_state=before, reason=reason))
        self._states[agent] = state

    def _submit(self, contact: str, queue: str) -> None:
        self.history.submit(contact, queue)

    def _answer(self, contact: str, agent: str) -> None:
        self._work[contact, agent] = self.history.answer(contact, agent)
        self._owners[contact] = agent

    def _abandon(self, contact: str) -> None:
        self.history.abandon(contact)

    def _overflow(self, contact: str, queue: str) -> None:
        self.history.overflow(contact, queue)

    def _move(self, contact: str, queue: str) -> None:
        self.history.requeue(contact, "supervisor", queue)

    def _transfer(self, contact: str, queue: str) -> None:
        self.history.requeue(contact, "transferred", queue, self._owners[contact])

    def _consult(self, contact: str, owner: str, agent: str) -> None:
        offer = self.history.offer(contact, agent, owner)
        self.history.write(
            OfferAccepted(
                offer_id=offer, contact_id=contact, agent_id=agent, waited_ms=0, from_agent_id=owner, role=AssignmentRole.CONSULT
            )
        )
        self._work[contact, agent] = offer

    def _hold(self, contact: str, agent: str) -> None:
        self.history.hold(self._work[contact, agent], agent)

    def _resume(self, contact: str, agent: str) -> None:
        self.history.resume(self._work[contact, agent], agent)

    def _wrap_up(self, contact: str, agent: str) -> None:
        self.history.wrap_up(self._work[contact, agent], agent)

    def _complete(self, contact: str, agent: str | None = None) -> None:
        agent = agent or self._owners[contact]
        self.history.complete(self._work[contact, agent], agent)

    def _dispose(self, contact: str, agent: str, disposition: str) -> None:
        work = self._work[contact, agent]
        self.history.write(DispositionRecorded(assignment_id=work, contact_id=contact, agent_id=agent, disposition=disposition))

    def _goal(self, contact: str, customer: str, goal: str, outcome: str) -> None:
        """A contact whose goal is known is over."""
        at_ms = self.history.now_ms
        self._change_goal(
            contact,
            ContactGoal(
                goal=goal,
                outcome=GoalOutcome(outcome),
                customer_id=customer,
                set_at_ms=at_ms,
                queued_at_ms=at_ms,
                queue_id=self.history.queue_of[contact],
                channel="voice",
                agent_id=self._owners.get(contact),
                is_answered=contact in self._owners,
                ended_at_ms=at_ms,
                counted_at_ms=at_ms,
                repeats=self._repeated.pop(contact, None),
            ),
        )

    def _outcome(self, contact: str, outcome: str) -> None:
        self._change_goal(contact, msgspec.structs.replace(self._goals[contact], outcome=GoalOutcome(outcome)))

    def _score(self, contact: str, name: str, value: str) -> None:
        self._change_goal(contact, msgspec.structs.replace(self._goals[contact], **{name: int(value)}))

    def _repeat(self, contact: str, earlier: str) -> None:
        self._repeated[contact] = earlier
        self._change_goal(earlier, msgspec.structs.replace(self._goals[earlier], repeated_by=contact))

    def _change_goal(self, contact: str, goal: ContactGoal) -> None:
        before, self._goals[contact] = self._goals.get(contact), goal
        self.history.write(GoalChanged(contact_id=contact, change=GoalChange.REPORTED, goal=goal, before=before))


def _subject(row: StatisticsRow) -> Any:
    if row.disposition is not None:
        return row.disposition or "(none)"
    return row.queue_id or row.agent_id or row.goal


@pytest.mark.parametrize(("title", "text"), CASES, ids=[title for title, _ in CASES])
def test_a_worked_example(title: str, text: str) -> None:
    day = ExampleDay(text)
    day.play()
    assert day.checked >= 1


def test_the_page_has_its_examples_and_lists_every_measure() -> None:
    assert len(CASES) == 11
    page = PAGE.read_text()
    beginnings = ("service_level", "mean_", "asa", "aht")
    measures = [name for name in COLUMNS if name.endswith("_rate") or name.startswith(beginnings)]
    measures += [name for name in COLUMNS if name.startswith(("goal_", "first_contact_")) or name.endswith(("_mean", "_share"))]
    for name in (*measures, "occupancy", "utilisation", "concurrency", "longest_wait_ms", "signed_in_ms"):
        assert f"`{name}`" in page, name
