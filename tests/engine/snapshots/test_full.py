"""Tests of full snapshots: what they store, and what they refuse."""

import msgspec
import pytest

from router.engine.snapshots import full
from router.engine.state.agent import Agent
from router.engine.state.contact import Contact
from router.model import commands as c
from tests.support.builders import a_contact, an_agent, ready
from tests.support.world import World, a_world


def a_busy_world() -> World:
    """Return a centre with a waiting, an offered, an assigned and an ended contact."""
    world = a_world(None, an_agent(), an_agent("bob"), ready(), ready("bob"))
    world.done(a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    world.done_all(a_contact("c2"), a_contact("c3", skills={"english": 2}), a_contact("c4"))
    world.done(c.CancelContact(contact_id="c4"))
    return world


@pytest.mark.parametrize(("record", "first_derived"), [(Contact, "waiting_line"), (Agent, "offers")])
def test_derived_fields_are_the_last_ones_and_are_not_stored(record: type[msgspec.Struct], first_derived: str) -> None:
    names = record.__struct_fields__
    place = names.index(first_derived)
    assert set(names[place:]) == full.DERIVED_FIELDS[record]
    assert len(full.ROW_GETTERS[record](_an_instance(record))) == place


def _an_instance(record: type[msgspec.Struct]) -> object:
    state = a_busy_world().engine._state
    return state.contacts["c1"] if record is Contact else state.agents["ada"]


def test_a_loaded_state_gives_the_same_bytes_and_obeys_the_invariants() -> None:
    world = a_busy_world()
    state = world.engine._state
    data = full.dump(state)
    loaded = full.load(data)
    assert full.dump(loaded) == data
    assert loaded.counts == state.counts
    assert list(loaded.contacts) == list(state.contacts) == ["c1", "c2", "c3", "c4"]
    assert loaded.agents["ada"].assignments.keys() == {"c1.1"}
    assert loaded.agents["bob"].offers.keys() == {"c2.1"}
    assert loaded.timers.next_deadline_ms() == state.timers.next_deadline_ms()


def test_equal_names_are_shared_after_loading() -> None:
    loaded = full.load(full.dump(a_busy_world().engine._state))
    contacts = list(loaded.contacts.values())
    assert len({id(contact.queue_id) for contact in contacts}) == 1
    assert len({id(contact.channel) for contact in contacts}) == 1
    assert next(iter(loaded.offers.values())).queue_id is contacts[0].queue_id


def test_nothing_is_to_be_matched_after_loading() -> None:
    index = full.load(full.dump(a_busy_world().engine._state)).index
    assert not (index.agents.freed or index.agents.unavailable or index.contacts.to_match)


def test_a_snapshot_of_another_format_is_refused() -> None:
    rows = msgspec.msgpack.decode(full.dump(a_busy_world().engine._state))
    rows[0] = full.SNAPSHOT_FORMAT - 1
    with pytest.raises(ValueError, match=f"reads format {full.SNAPSHOT_FORMAT}"):
        full.load(msgspec.msgpack.encode(rows))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x93\x03\x01\x02", b"{}"])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        full.load(data)
