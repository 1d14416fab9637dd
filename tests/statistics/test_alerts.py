"""Alerts in virtual time: raised and cleared at the right second, once, and no more while they are quiet."""

from collections.abc import Iterator

import pytest
from msgspec import structs

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model.commands import AbandonContact, Command, EnqueueContact, PublishPolicy, PutAgent, RemoveAgent, SetAgentState
from router.model.events import AgentUpdated, AlertCleared, AlertRaised, Event
from router.model.policy import COUNTED_MEASURES, SAMPLED_MEASURES, AlertBy, AlertPeriod
from router.model.results import Done
from router.model.states import AgentState
from router.policy.calendar import local_day_bounds
from router.policy.document.parsing import parse_policy
from router.runtime.alert_runner import alert_inputs
from router.simulator.alerts import AlertTrial
from router.statistics.alert_rows import SubjectRows
from router.statistics.alerts import AlertEvaluator, PresentFigures, _of_row
from router.statistics.changed_rows import ChangedRows
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period, StatisticsQuestion
from router.statistics.rows import COLUMNS, StatisticsRow
from router.statistics.workspace import WorkspaceStats
from tests.engine.queries.test_work_in_a_turn import calls_by_turn
from tests.statistics.test_workspace import rows_of
from tests.support.event_history import RandomHistory, apply_all

START_MS = 1_781_042_400_000
POLICY = """\
channels: {{voice: {{}}, chat: {{}}}}
queues: {{sales: {{}}, support: {{}}}}
alerts:
{alerts}
"""


class Centre:
    """An engine, its statistics and the evaluation of its alerts, second by second."""

    def __init__(self, *alerts: str) -> None:
        self.engine = Engine()
        self.now_ms = START_MS
        self.seen: list[tuple[int, Event]] = []
        self.count = 0
        self.reports: list[Command] = []
        self.publish(*alerts)

    def publish(self, *alerts: str) -> None:
        policy = parse_policy(POLICY.format(alerts="\n".join(f"  {alert}" for alert in alerts) or "  {}").encode())
        if not self.engine.policy:
            self.trial = AlertTrial(self.engine, policy)
        self.do(PublishPolicy(policy=policy))

    def do(self, command: Command) -> None:
        outcome = self.engine.handle(command, self.now_ms)
        assert isinstance(outcome.result, Done), outcome.result
        WorkspaceStatsOf(self.trial).apply(outcome)
        self.seen += [(self.second, event) for event in outcome.events if isinstance(event, AlertRaised | AlertCleared)]

    @property
    def second(self) -> int:
        return (self.now_ms - START_MS) // 1000

    def submit(self, count: int = 1, queue_id: str = "sales", channel: str = "voice") -> list[str]:
        made = []
        for _ in range(count):
            self.count += 1
            made.append(f"c{self.count}")
            self.do(EnqueueContact(contact_id=made[-1], channel=channel, queue_id=queue_id))
        return made

    def abandon(self, *contact_ids: str) -> None:
        for contact_id in contact_ids:
            self.do(AbandonContact(contact_id=contact_id))

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ms += 1000
            command = self.trial.evaluate(self.now_ms)
            if command is not None:
                self.reports.append(command)
                self.do(command)

    def restart(self) -> None:
        """Restore engine and statistics from snapshots, and forget what the evaluation remembers."""
        policy = self.engine.policy
        assert policy is not None
        self.engine = Engine.restore(self.engine.snapshot())
        stats = self.trial.stats.snapshot()
        self.trial = AlertTrial(self.engine, policy)
        self.trial.stats = WorkspaceStats.restore(stats, local_day_bounds)

    def told(self) -> list[str]:
        """Return what was raised (+) and cleared (-), with the second."""
        found = []
        for second, event in self.seen:
            assert isinstance(event, AlertRaised | AlertCleared)
            subject = event.queue_id or event.channel or event.agent_id or event.team or "*"
            mark = "+" if isinstance(event, AlertRaised) else f"-{event.reason} "
            found.append(f"{second}: {mark}{event.alert} {subject}")
        return found


class WorkspaceStatsOf:
    """The statistics of a trial, without its notes."""

    def __init__(self, trial: AlertTrial) -> None:
        self._stats = trial.stats

    def apply(self, outcome: object) -> None:
        for number, event in enumerate(outcome.events):  # type: ignore[attr-defined]
            self._stats.apply(event, outcome.first_seq + number, outcome.at_ms)  # type: ignore[attr-defined]


def test_an_alert_is_cleared_at_its_own_threshold_only() -> None:
    centre = Centre("full: {measure: waiting, above: 2, clear: 0}")
    first, second, third = centre.submit(3)
    centre.wait(1)
    centre.abandon(first)
    centre.wait(5)
    centre.submit()  # Beyond the threshold again: it is raised already.
    centre.wait(5)
    centre.abandon(second, third)
    centre.wait(5)
    centre.abandon("c4")
    centre.wait(3)
    assert centre.told() == ["1: +full sales", "17: -recovered full sales"]
    raised = centre.seen[0][1]
    assert isinstance(raised, AlertRaised)
    assert (raised.value, raised.threshold, raised.since_ms) == (3, 2, START_MS + 1000)


def test_a_measure_must_be_beyond_its_threshold_without_a_break() -> None:
    centre = Centre("full: {measure: waiting, above: 0, for_s: 10}")
    (first,) = centre.submit()
    centre.wait(10)  # Seen from second 1 on: nine seconds.
    centre.abandon(first)
    centre.wait(1)
    centre.submit()
    centre.wait(10)
    assert centre.told() == []
    centre.wait(1)
    assert centre.told() == ["22: +full sales"]


def test_an_alert_is_quiet_after_it_was_raised() -> None:
    centre = Centre("full: {measure: waiting, above: 0, quiet_s: 60}")
    for _ in range(4):
        (waiting,) = centre.submit()
        centre.wait(1)
        centre.abandon(waiting)
        centre.wait(9)
    assert centre.told() == ["1: +full sales", "2: -recovered full sales"]
    centre.submit()
    assert len(centre.reports) == 2, "nothing is reported while the alert is quiet"
    centre.do(centre.reports[0])
    assert len(centre.told()) == 2, "the engine looks by itself whether it is"
    centre.wait(40)
    assert centre.told()[2:] == ["61: +full sales"]


def test_restart_and_another_leader_neither_repeat_nor_forget_an_alert() -> None:
    centre = Centre("full: {measure: waiting, above: 0, quiet_s: 60}")
    (waiting,) = centre.submit()
    centre.wait(1)
    centre.restart()
    centre.wait(5)
    assert centre.told() == ["1: +full sales"]
    centre.abandon(waiting)
    centre.wait(1)
    centre.restart()
    centre.submit()
    centre.wait(54)
    assert centre.told() == ["1: +full sales", "7: -recovered full sales", "61: +full sales"]


def test_few_samples_raise_and_clear_nothing() -> None:
    centre = Centre("gone: {measure: abandonment_rate, above: 0.5, clear: 0.1, samples_min: 3}")
    for seconds in (10, 10, 40):
        centre.abandon(*centre.submit())
        centre.wait(seconds)
    # The third abandon is seen with the next second; 16 minutes after the first minute some have left the window, then all.
    assert centre.told() == ["21: +gone sales"]
    centre.wait(17 * 60)
    assert centre.told()[1:] == ["960: -no_data gone sales"]


@pytest.mark.parametrize("period", ["today", "last_15m"])
def test_what_is_counted_first_in_a_minute_is_seen_at_once(period: str) -> None:
    centre = Centre(
        f"gone: {{measure: abandoned, above: 0, period: {period}}}", f"two: {{measure: abandoned, above: 1, period: {period}}}"
    )
    for second in (65, 130):
        centre.wait(second - centre.second)
        centre.abandon(*centre.submit())
        centre.wait(1)
    assert centre.told() == ["66: +gone sales", "131: +two sales"]


def test_below_a_threshold_by_agent_team_and_workspace() -> None:
    centre = Centre(
        "team: {measure: agents_ready, by: team, below: 1}",
        "all: {measure: agents_ready, by: workspace, below: 2, clear: 2}",
        "idle: {measure: idle_ms, by: agent, above: 50000, only: [ada, cal]}",
    )
    for name, team in (("ada", "north"), ("bob", "north"), ("cal", "south")):
        centre.do(PutAgent(agent_id=name, team=team))
        centre.do(SetAgentState(agent_id=name, state=AgentState.READY))
    centre.wait(30)
    centre.do(SetAgentState(agent_id="cal", state=AgentState.NOT_READY))
    centre.wait(1)
    centre.do(SetAgentState(agent_id="ada", state=AgentState.OFFLINE))
    centre.wait(1)
    assert centre.told() == ["31: +team south", "32: +all *"]
    centre.do(SetAgentState(agent_id="ada", state=AgentState.READY))
    centre.wait(2)
    centre.do(RemoveAgent(agent_id="cal"))
    centre.wait(1)
    assert centre.told()[2:] == ["33: -recovered all *", "35: -no_data team south"]
    centre.wait(60)
    # Ada was idle for 59 s of the first minute; what only time changes is seen with the next one.
    assert centre.told()[4:] == ["60: +idle ada"]


def test_a_policy_clears_what_it_changes_and_keeps_the_rest() -> None:
    full, long = (
        "full: {measure: waiting, above: 0, quiet_s: 600}",
        "long: {measure: longest_waiting_ms, above: 1000, by: workspace}",
    )
    centre = Centre(full, long)
    centre.submit(2)
    centre.wait(2)
    assert centre.told() == ["1: +full sales", "2: +long *"]
    centre.publish(full.replace("above: 0", "above: 1"), long)
    centre.wait(3)
    # The changed alert is another one: its quiet period is that of the former.
    assert centre.told()[2:] == ["2: -policy full sales", "3: +full sales"]
    centre.publish(long)
    centre.wait(3)
    assert centre.told()[4:] == ["5: -policy full sales"]


def test_a_report_of_another_policy_or_of_what_is_raised_changes_nothing() -> None:
    centre = Centre("full: {measure: waiting, above: 0}")
    centre.submit()
    centre.now_ms += 1000
    command = centre.trial.evaluate(centre.now_ms)
    assert command is not None
    centre.do(command)
    centre.do(command)
    assert centre.told() == ["1: +full sales"]
    centre.publish("full: {measure: waiting, above: 0}", "other: {measure: waiting, above: 5}")
    centre.abandon("c1")
    centre.do(command)
    assert centre.told() == ["1: +full sales"]


def _rows(seed: int) -> Iterator[tuple[AlertBy, AlertPeriod, StatisticsRow, StatisticsRow]]:
    centre = RandomHistory(seed)
    for agent_id in ("ada", "bob"):
        centre.history.write(AgentUpdated(agent_id=agent_id, team="north"))
    for _ in range(250):
        centre.step()
    stats = centre.history.workspace_stats()
    now_ms = centre.history.now_ms + 1_700
    for by in AlertBy:
        for period in AlertPeriod:
            question = StatisticsQuestion(Dimension(by.value), period=Period(period.value))
            for row in rows_of(stats, question, now_ms):
                subject = row.queue_id or row.channel or row.agent_id or row.team or ""
                rows = SubjectRows(stats._state, by, Period(period.value), now_ms, has_time=True)
                list(rows.prepare())
                steps = rows.row(subject)
                try:
                    while True:
                        next(steps)
                except StopIteration as done:
                    yield by, period, row, done.value


@pytest.mark.parametrize("seed", range(3))
def test_the_row_of_a_subject_is_that_of_the_statistics(seed: int) -> None:
    kinds = set()
    for by, period, expected, found in _rows(seed):
        kinds.add((by, period))
        for name in COLUMNS:
            if name not in ("not_ready_by_reason_ms", "corrections", "corrected_at_ms"):
                assert getattr(found, name) == getattr(expected, name), (by, period, name)
    assert len(kinds) >= 16


NOTHING = {one.name: one.default for one in structs.fields(StatisticsRow) if one.name.startswith(("sub", "ans", "hand", "offers_"))}


def counted(row: StatisticsRow) -> list[object]:
    """Return what time alone does not change."""
    names = ("busy_ms", "idle_ms", "not_ready_ms", "signed_in_ms", "occupancy", "utilisation", "concurrency")
    return [getattr(row, name) for name in COLUMNS if name not in names and "state" not in name and "reason" not in name]


@pytest.mark.parametrize("by", [Dimension.QUEUE, Dimension.AGENT])
@pytest.mark.parametrize("seed", range(3))
def test_changed_rows_are_those_that_events_have_changed(seed: int, by: Dimension) -> None:
    """A reader who reads changed rows alone has what one has who reads all rows, but for what only time changes."""
    centre = RandomHistory(seed)
    stats = WorkspaceStats(local_day_bounds)
    seq, kept, reads = 0, dict[str, StatisticsRow](), 0
    changed, question = ChangedRows(by, Period.TODAY), StatisticsQuestion(by, period=Period.TODAY)
    for _ in range(150):
        centre.step()
        apply_all(stats, centre.history.events[seq:], first_seq=seq + 1)
        seq = len(centre.history.events)
        now_ms = centre.history.now_ms
        is_partial = stats.are_changes_known(changed, now_ms)
        if is_partial:
            rows = run_to_end(stats.changed_rows(changed, now_ms))
        else:
            run_to_end(stats.note_rows(changed, now_ms))
            rows, kept = rows_of(stats, question, now_ms), {}
        reads += is_partial
        kept |= {row.queue_id or row.agent_id or "": row for row in rows}
        for row in rows_of(stats, question, now_ms):
            last = kept.get(row.queue_id or row.agent_id or "")
            # A subject of which nothing but time was counted so far may have no row yet.
            assert counted(last or structs.replace(row, **NOTHING)) == counted(row)
    assert reads > 100


def test_every_measure_is_a_column_of_the_statistics() -> None:
    assert set(SAMPLED_MEASURES) | set(COUNTED_MEASURES) <= set(COLUMNS)
    assert not set(SAMPLED_MEASURES) & set(COUNTED_MEASURES)
    # Every share and mean of a row can be watched, and has samples.
    row = StatisticsRow(from_ms=0, to_ms=1)
    shares = {one.name for one in structs.fields(StatisticsRow) if one.type in (float | None, int | None)} - {"corrected_at_ms"}
    assert shares <= set(SAMPLED_MEASURES)
    assert {_of_row(name, row) for name in SAMPLED_MEASURES} == {(None, 0)}


@pytest.mark.parametrize("by", ["workspace", "team"])
def test_a_step_of_an_evaluation_is_short_however_many_agents_there_are(by: str) -> None:
    """A row over many agents is added up in steps; several rows do not share more than one."""
    centre = Centre(f"idle: {{measure: occupancy, by: {by}, below: -1}}")
    for number in range(1_500):
        centre.do(PutAgent(agent_id=f"a{number}", team=f"t{number % 25}"))
        centre.do(SetAgentState(agent_id=f"a{number}", state=AgentState.READY))
    centre.now_ms += 90_000
    policy, version, known, agents_ready = alert_inputs(centre.engine)
    assert policy is not None
    present = PresentFigures((), agents_ready)
    turns = calls_by_turn(centre.trial.stats.alert_readings(AlertEvaluator(), policy, version, known, present, centre.now_ms))
    assert sum(turns) > 15_000, "all agents were added up"
    assert max(turns) < 4_500, "a step is at most about half a millisecond"
