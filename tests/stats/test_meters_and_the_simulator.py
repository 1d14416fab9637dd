"""Two books about the same simulated day, kept by different code: the meters' and the simulator's own."""

import pytest

from router.model.commands import Command
from router.model.outcome import Outcome
from router.simulator.day import PlannedContact
from router.simulator.documents import parse
from router.simulator.figures import Sums, percentile
from router.simulator.meter import Meter
from router.simulator.workload import Workload, day, derived_policy
from router.simulator.world import World
from router.stats.meters import Meters

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


class Metered:
    """Feeds what the engine writes to the meters."""

    def __init__(self) -> None:
        self.meters = Meters()

    def arrived(self, plan: PlannedContact) -> None:
        """Of no interest: the meters only hear events."""

    def record(self, command: Command, outcome: Outcome) -> None:
        for seq, event in enumerate(outcome.events, outcome.first_seq):
            self.meters.fold(event, seq, outcome.at_ms)


def test_the_meters_agree_with_the_simulators_books() -> None:
    workload = parse(WORKLOAD, Workload, source="agreement")
    planned = day(workload, policy=derived_policy(workload), seed=7, replication=0)
    own, heard = Meter(planned), Metered()
    world = World(planned, listeners=[own, heard])
    world.run()
    own.close()
    sums = Sums().take(own, range(own.batches))
    meters = heard.meters
    whole = meters.workspace_figures(meters.at_ms)
    assert whole.counts.submitted > 300
    assert whole.counts.abandoned > 10
    assert whole.contacts.service == sums.total.service
    assert whole.contacts.asa_ms == round(sums.total.wait_answered_ms / sums.total.answered)
    assert whole.contacts.handling.talk_ms + whole.contacts.handling.wrap_up_ms == (
        sums.total.handle_ms + sums.total.wrap_up_ms
    )
    for queue_id, theirs in sums.queues.items():
        figures = meters.queue_figures(queue_id, meters.at_ms)
        assert figures is not None
        assert figures.contacts.service == theirs.service
        assert figures.waits.longest_ms == max(theirs.waits)
        exact_ms = percentile(sorted(theirs.waits), 0.95)
        assert exact_ms is not None and figures.waits.p95_ms == pytest.approx(exact_ms, rel=0.27)
