"""The union of all events."""

from typing import get_args

import msgspec

from router.model import events
from router.model.events import Event, agent, alerts, channel, contact, goal, monitoring, workspace
from tests.support.structs import tags_of


def test_the_union_contains_every_event() -> None:
    tags = (
        tags_of(contact)
        | tags_of(channel)
        | tags_of(agent)
        | tags_of(goal)
        | tags_of(monitoring)
        | tags_of(workspace)
        | tags_of(alerts)
    )
    assert {struct.__name__: struct.__struct_config__.tag for struct in get_args(Event)} == tags
    assert len(set(tags.values())) == len(tags)


def test_the_package_exports_every_event() -> None:
    assert {struct.__name__ for struct in get_args(Event)} <= set(events.__all__)


def test_fields_at_their_default_are_omitted() -> None:
    event = contact.ContactPreferredAgentExpired(contact_id="c1", requirement="voice|support")
    assert msgspec.to_builtins(event) == {
        "type": "contact.preferred_agent_expired",
        "contact_id": "c1",
        "requirement": "voice|support",
    }


# Written in every journal as nothing at all: a default may never change.
DEFAULTS_THAT_SAY_SOMETHING = {
    ("ContactOverflowed", "reason"): "wait_max",
    ("ContactOverflowed", "overflow_count"): 1,
    ("ContactAbandoned", "reason"): "customer_left",
    ("OfferMade", "role"): "owner",
    ("OfferAccepted", "role"): "owner",
    ("OfferExpired", "reason"): "no_answer",
    ("CallbackConnected", "outcome"): "connected",
    ("QueueOpened", "reason"): "hours",
    ("QueueClosed", "reason"): "hours",
}


def test_a_field_that_is_left_out_means_none_of_it() -> None:
    found = {
        (struct.__name__, field.name): field.default
        for struct in (*get_args(Event), contact.OriginalRequest)
        for field in msgspec.structs.fields(struct)
        if field.default is not msgspec.NODEFAULT and field.default not in (0, "", None, ())
    }
    assert found == DEFAULTS_THAT_SAY_SOMETHING
