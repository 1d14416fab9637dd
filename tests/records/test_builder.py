"""The building of records: what is written when, and what is kept of a contact that is over."""

import pytest

from router.journal.records import Record
from router.model.commands import AcceptOffer, CompleteAssignment, EndContact
from router.records.builder import RecordBuilder
from tests.support.builders import a_channel, a_contact, a_policy, an_agent, ready
from tests.support.world import World, a_world


class Centre:
    """A contact that ada has ended and wraps up, and the builder of its record."""

    def __init__(self) -> None:
        policy = a_policy(channels={"voice": a_channel(wrap_up_s=60)})
        self.world: World = a_world(policy, an_agent(), ready(), a_contact())
        self.world.done_all(AcceptOffer(offer_id="c1.1", agent_id="ada"), EndContact(contact_id="c1"))
        self.builder = RecordBuilder({}, {})
        self._applied = 0
        self.apply()

    def apply(self) -> None:
        """Apply what has happened since the last call."""
        for first_seq, at_ms, events in self.world.records[self._applied :]:
            self.builder.apply(Record(first_seq=first_seq, at_ms=at_ms, epoch=1, actor="test", cause="test", events=tuple(events)))
        self._applied = len(self.world.records)

    def finish(self) -> None:
        """End the wrap-up."""
        self.world.done(CompleteAssignment(assignment_id="c1.1", disposition="sale"))
        self.apply()

    def taken(self, *, unfinished: bool = False) -> list[tuple[str | None, bool, bool]]:
        """Return of each record that is taken: the disposition, whether it is finished, whether it is new."""
        records = self.builder.take_changes(unfinished=unfinished).records
        return [(one.record.assignments[0].disposition, bool(one.record.completed_at_ms), one.is_new) for one in records]


def test_a_record_in_its_wrap_up_is_written_for_a_reader_and_again_at_its_end() -> None:
    centre = Centre()
    assert centre.taken() == [] and centre.builder.finished_count == 0
    assert centre.taken(unfinished=True) == [(None, False, True)]
    centre.finish()
    assert centre.builder.finished_count == 1
    assert centre.taken() == [("sale", True, False)]
    assert centre.taken(unfinished=True) == [] and centre.builder.finished_count == 0


def test_a_record_that_no_reader_needed_is_written_once() -> None:
    centre = Centre()
    assert centre.taken() == []
    centre.finish()
    assert centre.taken() == [("sale", True, True)]


def test_a_record_in_its_wrap_up_is_there_after_a_restart() -> None:
    centre = Centre()
    opened = {key: value for key, value in centre.builder.take_opened().items() if value is not None}
    assert list(opened) == ["c1"]
    centre.builder = RecordBuilder(opened, {})
    assert centre.taken() == []
    assert centre.taken(unfinished=True) == [(None, False, True)]
    centre.finish()
    assert centre.taken() == [("sale", True, False)]
    assert centre.builder.take_opened() == {"c1": None}


def test_a_contact_that_begins_and_ends_between_two_checkpoints_leaves_nothing_in_them() -> None:
    centre = Centre()
    centre.finish()
    centre.taken()
    assert centre.builder.take_opened() == {}
    assert (centre.builder._active, centre.builder._opened, centre.builder._changed) == ({}, {}, {})


def test_many_contacts_are_not_kept_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.records.builder.DECODED_MAX", 0)
    world = a_world(a_policy(), a_contact("c1"), a_contact("c2"))
    builder = RecordBuilder({}, {})
    for first_seq, at_ms, events in world.records:
        builder.apply(Record(first_seq=first_seq, at_ms=at_ms, epoch=1, actor="test", cause="test", events=tuple(events)))
        builder.limit_decoded()
        assert builder._active == {}
    opened = builder.take_opened()
    assert list(opened) == ["c1", "c2"] and None not in opened.values()
    assert builder.take_opened() == {}
