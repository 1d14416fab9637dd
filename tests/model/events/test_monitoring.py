"""Serialization and permanent tags of the events of supervisors in conversations."""

import msgspec
import pytest

from router.model.events import Event, monitoring
from tests.support.structs import check_round_trip, check_unknown_field_is_ignored, tags_of

# Journals contain these tags: never change or remove one.
TAGS = {
    "ContactMonitorRequested": "contact.monitor_requested",
    "ContactMonitorJoined": "contact.monitor_joined",
    "ContactMonitorFailed": "contact.monitor_failed",
    "ContactMonitorRenewed": "contact.monitor_renewed",
    "ContactMonitorLeft": "contact.monitor_left",
}
EVENTS: list[type[msgspec.Struct]] = [getattr(monitoring, name) for name in TAGS]


def test_tags_are_permanent() -> None:
    assert tags_of(monitoring) == TAGS


@pytest.mark.parametrize("struct", EVENTS)
def test_an_event_survives_serialization(struct: type[msgspec.Struct]) -> None:
    check_round_trip(struct, Event)


@pytest.mark.parametrize("struct", EVENTS)
def test_an_older_version_ignores_a_newer_field(struct: type[msgspec.Struct]) -> None:
    check_unknown_field_is_ignored(struct, Event)
