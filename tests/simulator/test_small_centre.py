"""Days of the example centre with fixed seeds: declines, missed offers, overflow, two channels. Keep every seed that once failed.

Holds I7–I22 (the auditor), I30 (replay and snapshot) and I41 (conservation) over whole days.
"""

import pytest

from router.engine.engine import Engine
from router.model.commands import Command
from router.model.results import Outcome
from router.simulator import workload
from router.simulator.audit.auditor import Auditor
from router.simulator.day import PlannedContact
from router.simulator.simulation import Simulation
from router.simulator.workload import SMALL_CENTRE

SEEDS = (1, 2, 3, 20_140_310, 20_140_625)


class OutcomeRecorder:
    """Run listener that keeps all outcomes, and a snapshot from the middle of the day."""

    def __init__(self) -> None:
        self.records: list[Outcome] = []
        self.engine: Engine | None = None
        self.snapshot = b""
        self.snapshot_after = 0

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Keep the outcome."""
        if outcome.events:
            self.records.append(outcome)
        if len(self.records) == 1_500 and not self.snapshot:
            assert self.engine is not None
            self.snapshot, self.snapshot_after = self.engine.snapshot(), len(self.records)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_passes_the_audit_and_can_be_replayed(seed: int) -> None:
    day = workload.draw_day(workload.load_workload(SMALL_CENTRE), policy=None, seed=seed, replication=0)
    journal, auditor = OutcomeRecorder(), Auditor()
    simulation = Simulation(day, listeners=(journal, auditor))
    journal.engine = simulation.engine
    simulation.run()
    auditor.close(simulation.unfinished)
    assert auditor.violations == []
    assert simulation.unfinished == 0
    assert simulation.engine.check_invariants() == []
    counts = simulation.engine.workspace().counts
    assert counts.submitted == counts.ended + counts.abandoned + counts.expired + counts.cancelled

    replayed = Engine()
    for record in journal.records:
        replayed.replay(record.events, record.first_seq, record.at_ms)
    assert replayed.digest() == simulation.engine.digest()
    assert journal.snapshot
    restored = Engine.restore(journal.snapshot)
    for record in journal.records[journal.snapshot_after :]:
        restored.replay(record.events, record.first_seq, record.at_ms)
    assert restored.digest() == simulation.engine.digest()
