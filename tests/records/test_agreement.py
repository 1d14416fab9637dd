"""Agreement of the records with the statistics: random commands, and sums over records that must equal the counters.

The builder is encoded and continued as after a restart every few records of the journal.
"""

from random import Random

import msgspec
import pytest

from router.journal.records import Record
from router.model.commands import AbandonContact, CancelContact
from router.model.events import ContactQueued
from router.records.builder import RecordBuilder
from router.records.handlers import OpenContact
from router.records.record import ContactRecord
from router.statistics.counters import sum_counters
from router.statistics.workspace import WorkspaceStats
from tests.properties.workload import Workload
from tests.support.world import World


class RecordedCentre:
    """Statistics and records of the same events."""

    def __init__(self) -> None:
        self.stats = WorkspaceStats()
        self.builder = RecordBuilder({}, {})
        self.opened: dict[str, bytes] = {}
        self.closed: dict[str, ContactRecord] = {}

    def apply(self, record: Record) -> None:
        for seq, event in enumerate(record.events, record.first_seq):
            self.stats.apply(event, seq, record.at_ms)
        self.builder.apply(record)

    def restart(self) -> None:
        """Continue with what a checkpoint would have."""
        for changed in self.builder.take_changes(unfinished=False).records:
            assert changed.is_new and changed.record.completed_at_ms is not None
            stored = msgspec.json.decode(msgspec.json.encode(changed.record), type=ContactRecord)
            self.closed[changed.record.contact_id] = stored
        for contact_id, encoded in self.builder.take_opened().items():
            if encoded is None:
                del self.opened[contact_id]
            else:
                self.opened[contact_id] = encoded
        self.builder = RecordBuilder(dict(self.opened), self.builder.targets)

    def check(self) -> None:
        self.restart()
        self.stats._state.flush()
        snapshot = self.stats._state.snapshot
        counted = sum_counters(snapshot.channels.values())
        records = [*self.closed.values(), *(msgspec.msgpack.decode(one, type=OpenContact).record for one in self.opened.values())]
        assert {one.contact_id for one in records if not one.state} == set(snapshot.contacts)
        assert not any(one.omitted for one in records)
        waits = [wait for record in records for wait in record.waits]
        outcomes = [wait.outcome for wait in waits]
        service = counted.service
        assert outcomes.count("answered") == service.answered
        assert sum(wait.service_level_met is True for wait in waits) == service.answered_within
        assert outcomes.count("abandoned") == service.abandoned
        short = [wait for wait in waits if wait.outcome == "abandoned" and wait.service_level_met is None]
        assert len(short) == service.abandoned_short
        assert sum(wait.wait_ms for wait in waits if wait.outcome == "answered") == counted.waits.answered_ms
        assert sum(wait.wait_ms for wait in waits if wait.outcome == "abandoned") == counted.waits.abandoned_ms
        assert outcomes.count("cancelled") == counted.flow.cancelled
        assert outcomes.count("expired") == counted.flow.expired
        done = [work for record in records for work in record.assignments if work.ended_at_ms is not None]
        for name in ("talk_ms", "hold_ms", "wrap_up_ms", "parked_ms"):
            assert sum(getattr(work, name) for work in done) == getattr(counted.handling, name), name
        offers = [offer.outcome for record in records for offer in record.offers]
        made = counted.offers
        assert len(offers) == made.made and offers.count("pending") == len(snapshot.offers)
        assert offers.count("accepted") == made.accepted and offers.count("declined") == made.declined
        assert offers.count("expired") == made.expired and offers.count("rescinded") == made.rescinded
        kinds = [one.kind for record in records for one in record.transfers]
        assert sum(kind in ("queue", "agent", "consult", "hand_over") for kind in kinds) == counted.handling.transferred
        attempts = [one for record in records if record.callback is not None for one in record.callback.attempts]
        assert len(attempts) <= counted.callbacks.dialled


def _day(seed: int, steps: int) -> World:
    """Return a day of random commands, in which customers also leave and gateways withdraw contacts."""
    world, workload, random = World(), Workload(seed), Random(seed)
    for command in workload.opening():
        world.do(command)
    for number in range(steps):
        workload.pause(world)
        world.do(workload.next(world))
        events = world.records[-1][2] if world.records else []
        newest = next((one for one in events if isinstance(one, ContactQueued)), None)
        if number % 4 == 0 and newest is not None:
            world.jump(random.choice((0.0, 2.0, 30.0)))
            world.do(random.choice((AbandonContact, CancelContact))(contact_id=newest.contact_id))
    return world


@pytest.mark.parametrize("seed", (4, 7, 8))
def test_sums_over_records_are_the_counters_of_the_statistics(seed: int) -> None:
    world, centre = _day(seed, 1200), RecordedCentre()
    for count, (first_seq, at_ms, events) in enumerate(world.records):
        record = Record(first_seq=first_seq, at_ms=at_ms, epoch=1, actor="test", cause="test", events=tuple(events))
        centre.apply(record)
        if count % 20 == 0:
            centre.check()
    centre.check()
    ends = {record.state for record in centre.closed.values()}
    assert ends == {"ended", "abandoned", "cancelled", "expired"}
    waits = [wait for record in centre.closed.values() for wait in record.waits]
    assert {True, False, None} <= {wait.service_level_met for wait in waits}
