"""Statistics of small days computed by hand, and agreement with the statistics of a live router."""

from collections import Counter

import pytest
from msgspec.structs import replace

from router.model.commands import Command
from router.model.events import AssignmentCompleted, OfferAccepted
from router.model.events.contact import ContactAbandoned, ContactExpired, ContactQueued
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import Outcome
from router.simulator import workload
from router.simulator.day import Day, PlannedContact, Shift
from router.simulator.results.estimates import BatchSums, agent_load, ratios
from router.simulator.results.report import AuditResult, SimulationReport, build_report
from router.simulator.results.run_stats import RunStats, TimeIntegral
from router.simulator.simulation import Simulation
from router.simulator.workload import SMALL_CENTRE
from router.statistics.workspace import WorkspaceStats
from tests.support.simulated_days import EventRecorder, SimulatedRun, a_contact, a_day, an_agent


def report_of(day: Day) -> SimulationReport:
    simulated = SimulatedRun(day)
    return build_report(
        name="x",
        source=(),
        options={},
        sums=BatchSums().add_batches(simulated.stats, range(simulated.stats.batches)),
        samples=[],
        thresholds_s={20},
        agents=simulated.stats.agents_by_group,
        load=agent_load(simulated.stats),
        unfinished=simulated.simulation.unfinished,
        events=simulated.stats.events,
        digests=("", ""),
        audit=AuditResult(checks=0),
    )


def test_waits_service_level_and_occupancy_of_a_small_day() -> None:
    # ada: c1 0-60, c2 60-120 (waited 50), c4 120-180 (waited 5); c3 leaves after 30.
    day = a_day(
        a_contact("c1", 0), a_contact("c2", 10), a_contact("c3", 20, patience_ms=30_000), a_contact("c4", 115), window_to_ms=240_000
    )
    report = report_of(day)
    assert (report.contacts, report.answered, report.abandoned) == (4, 3, 1)
    assert report.mean_wait_answered_s == pytest.approx(55 / 3)
    assert report.mean_wait_all_s == pytest.approx(85 / 4)
    assert report.p_wait == 0.75
    assert (report.p50_wait_s, report.p90_wait_s) == (5, 50)
    assert report.service_level.value == 0.5
    assert report.service_level.exclude_early == 0.5
    assert report.occupancy == pytest.approx(180 / 240)
    assert report.mean_waiting == pytest.approx((50 + 30 + 5) / 240)
    assert report.mean_handle_s == 60


def test_a_short_abandon_does_not_count_against_the_service_level() -> None:
    day = a_day(a_contact("c1", 0), a_contact("c2", 10, patience_ms=4_000))
    report = report_of(day)
    assert report.service_level.value == 1.0
    assert report.service_level.of_offered == 0.5


def test_contacts_outside_the_window_are_served_but_not_counted() -> None:
    day = a_day(a_contact("c1", 0), a_contact("c2", 100), a_contact("c3", 200), window_from_ms=100_000, window_to_ms=200_000)
    simulated = SimulatedRun(day)
    sums = BatchSums().add_batches(simulated.stats, range(1))
    assert sums.total.contacts == 1
    assert sums.handling_ms == {"agents": 60_000}
    assert sums.on_duty_ms == {"agents": 100_000}


def test_wrap_up_and_work_after_the_shift_count_as_occupied() -> None:
    policy = Policy(channels={"voice": ChannelPolicy(auto_accept=True, wrap_up_s=30)}, queues={"calls": QueuePolicy()})
    ada = an_agent(shifts=(Shift(from_ms=0, to_ms=20_000),))
    simulated = SimulatedRun(a_day(a_contact("c1", 10), agents=(ada,), policy=policy, window_to_ms=200_000))
    sums = BatchSums().add_batches(simulated.stats, range(1))
    assert sums.handling_ms == {"agents": 90_000}
    assert sums.on_duty_ms == {"agents": 100_000}
    assert sums.total.counters.handling.wrap_up_ms == 30_000


def test_a_time_integral_is_split_at_batch_boundaries() -> None:
    area = TimeIntegral((100, 200, 300, 400))
    area.change(50, 2)
    area.change(150, 1)
    area.change(320, -3)
    area.change(500, 0)
    assert area.by_batch == [2 * 50 + 3 * 50, 3 * 100, 3 * 20]


def test_batches_add_up_to_the_whole() -> None:
    contacts = [a_contact(f"c{n}", 7 * n, handle_s=6.5) for n in range(300)]
    simulated = SimulatedRun(a_day(*contacts, batches=6, window_to_ms=2_100_000))
    whole = ratios(BatchSums().add_batches(simulated.stats, range(6)))
    parts = [ratios(BatchSums().add_batches(simulated.stats, (n,))) for n in range(6)]
    for name, (numerator, denominator) in whole.items():
        assert sum(part[name][0] for part in parts) == pytest.approx(numerator)
        assert sum(part[name][1] for part in parts) == pytest.approx(denominator)


def test_an_arrival_exactly_between_two_batches_counts_in_the_batch_that_begins() -> None:
    contacts = [a_contact(f"c{at_ms}", at_ms / 1000, handle_s=1) for at_ms in (0, 99_999, 100_000, 199_999, 200_000)]
    stats = SimulatedRun(a_day(*contacts, batches=2, window_to_ms=200_000)).stats
    by_batch = [sum(counts.contacts for (batch, _, _), counts in stats.counts.items() if batch == n) for n in range(2)]
    # The window ends before its end: the arrival at 200 s does not count.
    assert by_batch == [2, 2]


class LiveStatsListener:
    """Run listener with the statistics of a live router."""

    def __init__(self) -> None:
        self.stats = WorkspaceStats()

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Apply every event once and in order."""
        for n, event in enumerate(outcome.events):
            self.stats.apply(event, outcome.first_seq + n, outcome.at_ms)


def test_counts_agree_with_a_recount_from_the_events() -> None:
    day = workload.draw_day(workload.load_workload(SMALL_CENTRE), policy=None, seed=5, replication=0)
    stats, recorder = RunStats(day), EventRecorder()
    Simulation(day, listeners=(stats, recorder)).run()
    stats.close()
    queued: dict[str, tuple[str, int]] = {}
    waits: dict[str, list[int]] = {}
    lost: Counter[type] = Counter()
    open_work: dict[str, dict[str, int]] = {}
    busy_ms = 0
    for at_ms, event in recorder.events:
        match event:
            case ContactQueued():
                queued[event.contact_id] = (event.queue_id, at_ms)
            case OfferAccepted():
                queue_id, since_ms = queued[event.contact_id]
                waits.setdefault(queue_id, []).append(at_ms - since_ms)
                open_work.setdefault(event.agent_id, {})[event.offer_id] = at_ms
            case AssignmentCompleted():
                work = open_work[event.agent_id]
                since_ms = work.pop(event.assignment_id)
                # Simultaneous chats count once: the time since the first of them began, when the last one ends.
                if work:
                    first = min(work, key=lambda assignment_id: work[assignment_id])
                    work[first] = min(work[first], since_ms)
                else:
                    busy_ms += at_ms - since_ms
            case ContactAbandoned() | ContactExpired():
                lost[type(event)] += 1
    sums = BatchSums().add_batches(stats, range(1))
    assert {name: sorted(one.waits) for name, one in sums.queues.items()} == {name: sorted(found) for name, found in waits.items()}
    assert lost[ContactAbandoned] == sums.total.abandoned
    assert lost[ContactExpired] == sums.total.expired
    assert min(sums.total.abandoned, sums.total.declined, sums.total.missed) > 0
    # Work after the window does not count.
    assert 0 <= busy_ms - sum(sums.handling_ms.values()) < 16 * 600_000


def test_the_statistics_equal_those_of_a_live_workspace() -> None:
    def drawn() -> Day:
        return workload.draw_day(workload.load_workload(SMALL_CENTRE), policy=None, seed=5, replication=0)

    first = Simulation(drawn())
    first.run()
    # The window is the whole run, because the live statistics have no window.
    day = replace(drawn(), window_to_ms=first.engine.at_ms)
    run_stats, live = RunStats(day), LiveStatsListener()
    simulation = Simulation(day, listeners=(run_stats, live))
    simulation.run()
    run_stats.close()
    sums = BatchSums().add_batches(run_stats, range(1))
    view = live.stats.workspace_stats(simulation.engine.at_ms)
    assert view.contacts.service.answered == sums.total.answered > 900
    assert view.contacts.service.abandoned == sums.total.abandoned
    assert view.contacts.asa_ms == round(sum(sums.total.waits) / sums.total.answered)
    assert view.contacts.offers.expired == sums.total.missed
    assert view.contacts.offers.declined == sums.total.declined
    assert view.time.busy_ms == sum(sums.handling_ms.values())
    assert view.time.busy_ms + view.time.idle_ms == sum(sums.on_duty_ms.values())
