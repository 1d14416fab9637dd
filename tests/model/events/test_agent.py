"""Serialization and permanent tags of the events of agents."""

import msgspec
import pytest

from router.model.events import Event, agent
from tests.support.structs import check_round_trip, check_unknown_field_is_ignored, tags_of

# Journals contain these tags: never change or remove one.
TAGS = {
    "OfferMade": "offer.made",
    "OfferAccepted": "offer.accepted",
    "OfferDeclined": "offer.declined",
    "OfferExpired": "offer.expired",
    "OfferRescinded": "offer.rescinded",
    "ParticipantAdded": "participant.added",
    "ParticipantJoined": "participant.joined",
    "ParticipantLeft": "participant.left",
    "ContactHandedOver": "contact.handed_over",
    "AssignmentHeld": "assignment.held",
    "AssignmentResumed": "assignment.resumed",
    "AssignmentParked": "assignment.parked",
    "AssignmentUnparked": "assignment.unparked",
    "WrapUpStarted": "assignment.wrap_up_started",
    "WrapUpExtended": "assignment.wrap_up_extended",
    "AssignmentCompleted": "assignment.completed",
    "DispositionRecorded": "assignment.disposition_recorded",
    "AgentUpdated": "agent.updated",
    "AgentRemoved": "agent.removed",
    "AgentStateChanged": "agent.state_changed",
    "AgentNextStateSet": "agent.next_state_set",
    "AgentChannelsSet": "agent.channels_set",
    "DesktopConnected": "agent.desktop_connected",
    "DesktopLost": "agent.desktop_lost",
}
EVENTS: list[type[msgspec.Struct]] = [getattr(agent, name) for name in TAGS]


def test_tags_are_permanent() -> None:
    assert tags_of(agent) == TAGS


@pytest.mark.parametrize("struct", EVENTS)
def test_an_event_survives_serialization(struct: type[msgspec.Struct]) -> None:
    check_round_trip(struct, Event)


@pytest.mark.parametrize("struct", EVENTS)
def test_an_older_version_ignores_a_newer_field(struct: type[msgspec.Struct]) -> None:
    check_unknown_field_is_ignored(struct, Event)
