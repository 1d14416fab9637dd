"""Conversion of bodies from format 1: every event of the golden journal, there and back."""

import sqlite3
from contextlib import closing
from typing import Any, Final

import msgspec
import pytest

from router.journal.format_1 import Shape, to_format_1, to_format_2
from router.journal.records import Record, decode_envelope, encode_body
from router.model import events as e
from router.model.events import Event
from tests.support.golden_journal import extract

OLD_KEY = "when_nobody"  # plain-words: a key of format 1
OLD_VALUE = "nobody_free"  # plain-words: a value of format 1


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the plain bodies of the golden journal."""
    path = extract(tmp_path_factory.mktemp("golden"))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT envelope FROM record WHERE workspace > 0")
        return [msgspec.msgpack.decode(decode_envelope(data).body) for (data,) in rows]


# Events that were added after format 1.
ADDED: Final = frozenset(
    {
        e.AlertCleared,
        e.AlertRaised,
        e.CallbackClaimed,
        e.ContactChannelFailed,
        e.ContactChannelRequested,
        e.ContactChannelSwitched,
        e.ContactChoosing,
        e.ContactGatewayChanged,
        e.ContactMonitorFailed,
        e.ContactMonitorJoined,
        e.ContactMonitorLeft,
        e.ContactMonitorRenewed,
        e.ContactMonitorRequested,
        e.ContactResumeDue,
        e.ContactResumed,
        e.ContactSuspended,
        e.CustomerPresenceChanged,
        e.CustomerTokenChanged,
        e.DispositionRecorded,
        e.GoalChanged,
        e.IdempotencyKeyRecorded,
        e.PolicyScheduled,
        e.WorkspaceCreated,
        e.WorkspaceRemoved,
        e.PolicyScheduleCancelled,
        e.PolicyScheduleRefused,
    }
)


def test_the_golden_journal_has_every_event(bodies: list[dict[str, Any]]) -> None:
    converted = {event["type"] for body in bodies for event in to_format_2(body)["events"]}
    assert converted == {kind.__struct_config__.tag for kind in Event.__args__ if kind not in ADDED}


def test_every_body_is_a_record_of_format_2(bodies: list[dict[str, Any]]) -> None:
    for body in bodies:
        record = msgspec.convert(to_format_2(body), Record)
        assert len(record.events) == len(body["events"])


def test_every_body_is_restored_exactly(bodies: list[dict[str, Any]]) -> None:
    for body in bodies:
        record = msgspec.convert(to_format_2(body), Record)
        assert to_format_1(msgspec.msgpack.decode(encode_body(record))) == body


def test_converting_keeps_the_order_of_fields(bodies: list[dict[str, Any]]) -> None:
    for body in bodies:
        record = to_format_2(body)
        again = msgspec.msgpack.decode(encode_body(msgspec.convert(record, Record)))
        assert list(record) == list(again)
        assert [list(event) for event in record["events"]] == [list(event) for event in again["events"]]


def test_free_names_are_not_renamed() -> None:
    event = {
        "type": "contact.queued",
        "contact_id": "req",
        "req": "voice/cfg",
        "skills": {"hops": 3, "cfg": 1},
        "attributes": {"asked": "strict_class", "req": True},
        "asked": {"queue_id": "req", "skills": {"strict_class": 2}, "strict_class": 4},
    }
    (converted,) = to_format_2({"events": [event]})["events"]
    assert converted == {
        "type": "contact.queued",
        "contact_id": "req",
        "requirement": "voice/cfg",
        "skills": {"hops": 3, "cfg": 1},
        "attributes": {"asked": "strict_class", "req": True},
        "original_request": {"queue_id": "req", "skills": {"strict_class": 2}, "priority_class": 4},
    }


def test_policies_are_converted_along_their_structure() -> None:
    policy = {
        "channels": {"cap": {"units": 1, "cap": {"most": 2, "per_s": 60}, "unpark_away": "keep"}},
        "queues": {"cfg": {OLD_KEY: "wait", "selection": "by_facts"}},
        "plans": {"levels": [{"for_s": 5, "levels": {"for_s": 1}, "skip_if": OLD_VALUE}]},
        "facts": {"of": {"of": "agent"}},
        "entry": [{"name": "cap", "strict_class": 1, "when": "fact('of') == 'cap'"}],
        "across_queues": "risk",
    }
    event = {"type": "policy.published", "version": 1, "policy": policy}
    (converted,) = to_format_2({"events": [event]})["events"]
    assert converted["policy"] == {
        "channels": {"cap": {"units": 1, "rate_cap": {"contacts_max": 2, "window_s": 60}, "unpark_when_not_ready": "keep"}},
        "queues": {"cfg": {"when_no_agents_ready": "wait", "selection": "by_attributes"}},
        "plans": {"levels": [{"duration_s": 5, "lower_levels": {"for_s": 1}, "skip_if": "no_agent_free"}]},
        "facts": {"of": {"applies_to": "agent"}},
        "entry": [{"name": "cap", "priority_class": 1, "when": "fact('of') == 'cap'"}],
        "cross_queue_order": "service_level_risk",
    }
    assert to_format_1({"events": [converted]}) == {"events": [event]}


def test_missing_objects_stay_missing() -> None:
    shape = Shape(one={"inner": Shape(fields={"a": "b"})}, values={"state": {"x": "y"}})
    assert shape.convert({"inner": None, "state": None}) == {"inner": None, "state": None}
    assert shape.convert({"inner": "text", "state": "z"}) == {"inner": "text", "state": "z"}


@pytest.mark.parametrize("body", [{}, {"events": 7}, {"events": [7]}, {"events": [{}]}])
def test_bodies_that_are_no_records_are_rejected(body: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        to_format_2(body)
