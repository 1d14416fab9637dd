"""Agreement of the statistics with the engine: hypothesis runs random commands, and both are compared after every step."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from router.statistics.workspace import WorkspaceStats
from tests.properties.test_machine import ContactCentre


class EngineWithStats(ContactCentre):
    """State machine of the engine tests, with statistics of all events."""

    def __init__(self) -> None:
        super().__init__()
        self.stats = WorkspaceStats()
        self.applied_records = 0

    @invariant()
    def the_statistics_agree_with_the_engine(self) -> None:
        engine = self.world.engine
        for first_seq, at_ms, events in self.world.records[self.applied_records :]:
            for seq, event in enumerate(events, first_seq):
                self.stats.apply(event, seq, at_ms)
        self.applied_records = len(self.world.records)
        view = engine.workspace()
        assert self.stats.seq == engine.seq
        assert self.stats.counts() == view.counts
        for queue in view.queues:
            queue_view = self.stats.queue_stats(queue.queue_id, self.world.at_ms)
            assert queue_view is not None
            assert (queue_view.waiting, queue_view.offered, queue_view.assigned) == (queue.waiting, queue.offered, queue.assigned)
            flow, service = queue_view.contacts.flow, queue_view.contacts.service
            gone = service.answered + service.abandoned + flow.cancelled + flow.expired
            gone += flow.called_back + queue_view.callbacks + queue.suspended
            assert flow.entered == (queue.waiting + queue.offered + gone + flow.overflowed_out + flow.moved_out)
        snapshot = self.stats._state.snapshot
        assert len(snapshot.offers) == view.offers_pending
        assert len(snapshot.assignments) == view.assignments_open
        self.stats = WorkspaceStats.restore(self.stats.snapshot())

    def a_replay_gives_the_same_state(self) -> None:
        """Skip; checked by the engine tests, and slow."""

    def the_views_agree_with_the_log(self) -> None:
        """Skip; checked by the engine tests."""


TestEngineWithStats = EngineWithStats.TestCase
TestEngineWithStats.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=tuple(HealthCheck)
)
