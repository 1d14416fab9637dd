"""Serialization and permanent tags of the events of workspaces."""

import msgspec
import pytest

from router.model.events import Event, workspace
from tests.support.structs import check_round_trip, check_unknown_field_is_ignored, tags_of

# Journals contain these tags: never change or remove one.
TAGS = {
    "QueueOpened": "queue.opened",
    "QueueClosed": "queue.closed",
    "PolicyPublished": "policy.published",
    "DayStarted": "workspace.day_started",
    "WorkspaceCreated": "workspace.created",
    "WorkspaceRemoved": "workspace.removed",
    "PolicyScheduled": "policy.scheduled",
    "PolicyScheduleCancelled": "policy.schedule_cancelled",
    "PolicyScheduleRefused": "policy.schedule_refused",
    "ShadowPolicySet": "policy.shadow_set",
    "ShadowPolicyCleared": "policy.shadow_cleared",
    "IdempotencyKeyRecorded": "idempotency_key.recorded",
}
EVENTS: list[type[msgspec.Struct]] = [getattr(workspace, name) for name in TAGS]


def test_tags_are_permanent() -> None:
    assert tags_of(workspace) == TAGS


@pytest.mark.parametrize("struct", EVENTS)
def test_an_event_survives_serialization(struct: type[msgspec.Struct]) -> None:
    check_round_trip(struct, Event)


@pytest.mark.parametrize("struct", EVENTS)
def test_an_older_version_ignores_a_newer_field(struct: type[msgspec.Struct]) -> None:
    check_unknown_field_is_ignored(struct, Event)
