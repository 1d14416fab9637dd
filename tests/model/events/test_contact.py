"""Serialization and permanent tags of the events of contacts."""

import msgspec
import pytest

from router.model.events import Event, contact
from tests.support.structs import check_round_trip, check_unknown_field_is_ignored, tags_of

# Journals contain these tags: never change or remove one.
TAGS = {
    "ContactQueued": "contact.queued",
    "ContactUpdated": "contact.updated",
    "ContactRequeued": "contact.requeued",
    "ContactSuspended": "contact.suspended",
    "ContactResumed": "contact.resumed",
    "ContactResumeDue": "contact.resume_due",
    "ContactOverflowed": "contact.overflowed",
    "ContactPreferredAgentExpired": "contact.preferred_agent_expired",
    "ContactStepEntered": "contact.step_entered",
    "ContactAssigned": "contact.assigned",
    "ContactAbandoned": "contact.abandoned",
    "ContactCancelled": "contact.cancelled",
    "ContactExpired": "contact.expired",
    "ContactEnded": "contact.ended",
    "CallbackRequested": "callback.requested",
    "CallbackScheduled": "callback.scheduled",
    "CallbackDialRequested": "callback.dial_requested",
    "ContactChoosing": "contact.choosing",
    "CustomerTokenChanged": "request.token_changed",
    "CustomerPresenceChanged": "request.presence_changed",
    "CallbackClaimed": "callback.claimed",
    "CallbackConnected": "callback.connected",
    "CallbackFailed": "callback.failed",
}
EVENTS: list[type[msgspec.Struct]] = [getattr(contact, name) for name in TAGS]


def test_tags_are_permanent() -> None:
    assert tags_of(contact) == TAGS


@pytest.mark.parametrize("struct", EVENTS)
def test_an_event_survives_serialization(struct: type[msgspec.Struct]) -> None:
    check_round_trip(struct, Event)


@pytest.mark.parametrize("struct", EVENTS)
def test_an_older_version_ignores_a_newer_field(struct: type[msgspec.Struct]) -> None:
    check_unknown_field_is_ignored(struct, Event)
