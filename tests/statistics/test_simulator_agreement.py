"""Agreement of the live statistics with those of the simulator, on the same simulated day."""

from itertools import islice

import pytest

from router.engine.engine import Engine
from router.model.commands import (
    Command,
    CompleteAssignment,
    EndContact,
    EnqueueContact,
    ParkAssignment,
    PublishPolicy,
    PutAgent,
    SetAgentState,
    UnparkAssignment,
)
from router.model.results import Done, Outcome
from router.model.states import AgentState
from router.simulator.day import PlannedContact
from router.simulator.results.estimates import BatchSums, percentile
from router.simulator.results.run_stats import RunStats
from router.simulator.simulation import Simulation
from router.simulator.workload import Workload, derived_policy, draw_day
from router.simulator.yaml_documents import parse_document
from router.statistics.workspace import WorkspaceStats

WORKLOAD = """
name: agreement
duration_s: 14400
streams:
  calls:
    arrivals: {per_hour: 90}
    handle: {dist: exponential, mean_s: 100}
    patience: {dist: exponential, mean_s: 90}
  cards:
    arrivals: {per_hour: 40}
    handle: {dist: exponential, mean_s: 60}
agent_groups:
  team: {count: 3}
"""


class WorkspaceStatsListener:
    """Run listener that applies all events to the live statistics."""

    def __init__(self) -> None:
        self.meters = WorkspaceStats()

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        for seq, event in enumerate(outcome.events, outcome.first_seq):
            self.meters.apply(event, seq, outcome.at_ms)


def test_both_agree_on_parked_time() -> None:
    workload = parse_document(WORKLOAD, Workload, source="agreement")
    planned = draw_day(workload, policy=derived_policy(workload), seed=7, replication=0)
    first, second, third = islice(planned.contacts, 3)
    run_stats, live = RunStats(planned), WorkspaceStatsListener()
    engine, now_ms = Engine(), third.at_ms

    def do(command: Command, after_s: int = 0) -> None:
        nonlocal now_ms
        now_ms += 1000 * after_s
        outcome = engine.handle(command, now_ms)
        assert isinstance(outcome.result, Done), (command, outcome.result)
        run_stats.on_outcome(command, outcome)
        live.on_outcome(command, outcome)

    def submit(plan: PlannedContact) -> None:  # The derived policy accepts automatically.
        run_stats.on_arrival(plan)
        do(EnqueueContact(contact_id=plan.contact_id, channel=plan.channel, queue_id=plan.queue_id))

    def work(plan: PlannedContact) -> dict[str, str]:
        return {"assignment_id": f"{plan.contact_id}.1", "agent_id": "ada"}

    do(PublishPolicy(policy=planned.policy))
    do(PutAgent(agent_id="ada", skills=planned.agents[0].skills))
    do(SetAgentState(agent_id="ada", state=AgentState.READY))
    submit(first)
    do(ParkAssignment(**work(first)), after_s=20)
    submit(second)
    do(ParkAssignment(**work(second)), after_s=30)
    do(UnparkAssignment(**work(first)), after_s=50)
    do(EndContact(contact_id=first.contact_id), after_s=7)
    do(EndContact(contact_id=second.contact_id), after_s=100)
    submit(third)
    do(ParkAssignment(**work(third)), after_s=11)
    do(CompleteAssignment(**work(third)), after_s=60)
    run_stats.close()
    sums = BatchSums().add_batches(run_stats, range(run_stats.batches))
    whole = live.meters.workspace_stats(now_ms)
    handling = whole.contacts.handling
    assert sums.total.counters.handling.talk_ms == handling.talk_ms == (20 + 30 + 7 + 11) * 1000
    assert handling.parked_ms == (30 + 50 + 50 + 7 + 100 + 60) * 1000
    (busy,) = run_stats.handling.values()
    assert sum(busy.by_batch) == whole.time.busy_ms == (20 + 30 + 7 + 11) * 1000


def test_both_agree_on_a_generated_day() -> None:
    workload = parse_document(WORKLOAD, Workload, source="agreement")
    planned = draw_day(workload, policy=derived_policy(workload), seed=7, replication=0)
    run_stats, live = RunStats(planned), WorkspaceStatsListener()
    simulation = Simulation(planned, listeners=[run_stats, live])
    simulation.run()
    run_stats.close()
    sums = BatchSums().add_batches(run_stats, range(run_stats.batches))
    stats = live.meters
    whole = stats.workspace_stats(stats.at_ms)
    assert whole.counts.submitted > 300
    assert whole.counts.abandoned > 10
    assert whole.contacts.service == sums.total.service
    assert whole.contacts.asa_ms == round(sum(sums.total.waits) / sums.total.answered)
    assert whole.contacts.handling.talk_ms + whole.contacts.handling.wrap_up_ms == (
        sums.total.counters.handling.talk_ms + sums.total.counters.handling.wrap_up_ms
    )
    for queue_id, queue_counts in sums.queues.items():
        view = stats.queue_stats(queue_id, stats.at_ms)
        assert view is not None
        assert view.contacts.service == queue_counts.service
        assert view.waits.longest_ms == max(queue_counts.waits)
        exact_ms = percentile(sorted(queue_counts.waits), 0.95)
        assert exact_ms is not None and view.waits.p95_ms == pytest.approx(exact_ms, rel=0.27)
