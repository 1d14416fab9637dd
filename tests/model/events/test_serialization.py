"""Commands and events as bytes: there and back, and the tags and numbers that stand in journals for ever."""

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from router.model import commands, events
from router.model.commands import CallbackFields, Command
from router.model.events import Event
from router.model.events import agent as agent_events
from router.model.events import contact as contact_events
from router.model.events import workspace as workspace_events
from router.model.policy import CallbackMode, Policy
from router.model.results import RefusalCode
from tests.support.builders import a_policy

COMMANDS: tuple[type[msgspec.Struct], ...] = get_args(Command)
EVENTS: tuple[type[msgspec.Struct], ...] = get_args(Event)

COMMAND_TAGS = {
    "EnqueueContact": "contact.enqueue",
    "UpdateContact": "contact.update",
    "CancelContact": "contact.cancel",
    "AbandonContact": "contact.abandon",
    "EndContact": "contact.end",
    "RequeueContact": "contact.requeue",
    "TransferContact": "contact.transfer",
    "AssignContact": "contact.assign",
    "RequestCallback": "callback.request",
    "ReportCallback": "callback.report",
    "StartConsult": "consult.start",
    "CompleteConsult": "consult.complete",
    "CancelConsult": "consult.cancel",
    "JoinConsult": "consult.join",
    "LeaveContact": "contact.leave",
    "HandOverContact": "contact.hand_over",
    "AddParticipant": "participant.add",
    "AcceptOffer": "offer.accept",
    "DeclineOffer": "offer.decline",
    "HoldAssignment": "assignment.hold",
    "ResumeAssignment": "assignment.resume",
    "ParkAssignment": "assignment.park",
    "UnparkAssignment": "assignment.unpark",
    "ParkContact": "contact.park",
    "UnparkContact": "contact.unpark",
    "ExtendWrapUp": "assignment.extend_wrap_up",
    "CompleteAssignment": "assignment.complete",
    "PutAgent": "agent.put",
    "RemoveAgent": "agent.remove",
    "SetAgentState": "agent.set_state",
    "SetAgentChannels": "agent.set_channels",
    "ConnectDesktop": "agent.connect_desktop",
    "LoseDesktop": "agent.lose_desktop",
    "PublishPolicy": "policy.publish",
    "SetShadowPolicy": "policy.set_shadow",
    "ClearShadowPolicy": "policy.clear_shadow",
    "SetQueueOpen": "queue.set_open",
    "AdvanceTime": "time.advance",
}
EVENT_TAGS = {
    "ContactQueued": "contact.queued",
    "ContactUpdated": "contact.updated",
    "ContactRequeued": "contact.requeued",
    "ContactOverflowed": "contact.overflowed",
    "ContactPreferredAgentExpired": "contact.preferred_agent_expired",
    "ContactStepEntered": "contact.step_entered",
    "ContactAssigned": "contact.assigned",
    "ContactAbandoned": "contact.abandoned",
    "ContactCancelled": "contact.cancelled",
    "ContactExpired": "contact.expired",
    "ContactEnded": "contact.ended",
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
    "CallbackRequested": "callback.requested",
    "CallbackScheduled": "callback.scheduled",
    "CallbackDialRequested": "callback.dial_requested",
    "CallbackConnected": "callback.connected",
    "CallbackFailed": "callback.failed",
    "AgentUpdated": "agent.updated",
    "AgentRemoved": "agent.removed",
    "AgentStateChanged": "agent.state_changed",
    "AgentNextStateSet": "agent.next_state_set",
    "AgentChannelsSet": "agent.channels_set",
    "DesktopConnected": "agent.desktop_connected",
    "DesktopLost": "agent.desktop_lost",
    "QueueOpened": "queue.opened",
    "QueueClosed": "queue.closed",
    "PolicyPublished": "policy.published",
    "DayStarted": "workspace.day_started",
    "ShadowPolicySet": "policy.shadow_set",
    "ShadowPolicyCleared": "policy.shadow_cleared",
}
# Numbered once, never reused: add at the end of a group, remove nothing.
REFUSALS = {
    "UNKNOWN_CONTACT": 1,
    "UNKNOWN_AGENT": 2,
    "UNKNOWN_QUEUE": 3,
    "UNKNOWN_CHANNEL": 4,
    "UNKNOWN_SKILL": 5,
    "UNKNOWN_OFFER": 6,
    "UNKNOWN_ASSIGNMENT": 7,
    "UNKNOWN_FACT": 8,
    "INVALID_VALUE": 9,
    "OFFER_NOT_PENDING": 20,
    "INVALID_CONTACT_STATE": 21,
    "INVALID_ASSIGNMENT_STATE": 22,
    "INVALID_AGENT_STATE": 23,
    "AGENT_BUSY": 24,
    "CAPACITY_EXCEEDED": 25,
    "NOT_OWNER": 26,
    "AGENT_UNAVAILABLE": 27,
    "WRAP_UP_LIMIT_EXCEEDED": 28,
    "INVALID_CONSULT_STATE": 29,
    "NOT_PARTICIPANT": 31,
    "PARTICIPANT_LIMIT_EXCEEDED": 33,
    "CONTACT_EXISTS": 40,
    "IDEMPOTENCY_KEY_REUSED": 41,
    "QUEUE_FULL": 42,
    "NO_MATCHING_QUEUE": 43,
    "QUEUE_CLOSED": 44,
    "NO_AGENTS_READY": 45,
    "CALLBACK_NOT_OFFERED": 46,
    "INVALID_CALLBACK_TIME": 47,
    "CALLBACK_EXISTS": 48,
    "INVALID_POLICY": 60,
    "POLICY_VERSION_CONFLICT": 61,
    "DRAIN_TARGET_REQUIRED": 62,
    "CHANNEL_IN_USE": 63,
    "NO_SHADOW_POLICY": 64,
}


def a_value(kind: Any, name: str) -> Any:
    """Some value of an annotated type, never its default."""
    options = get_args(kind)
    if kind is Policy:
        return a_policy()
    if kind is CallbackFields:
        return CallbackFields(mode=CallbackMode.CUSTOMER_FIRST, channel="voice", at_ms=7)
    if type(None) in options or msgspec.UnsetType in options:
        chosen = next(one for one in options if one not in (type(None), msgspec.UnsetType))
        if isinstance(chosen, type) and issubclass(chosen, msgspec.Struct):
            return a_full_one(chosen)
        return a_value(chosen, name)
    origin = getattr(kind, "__origin__", None)
    if origin is dict:
        return {"tier": a_value(options[1], name)}
    if origin is tuple:
        return ("support", "sales")
    if hasattr(kind, "__members__"):
        return list(kind)[-1]
    if bool in options:
        return "gold"
    values: dict[Any, Any] = {str: f"some-{name}", int: 7, bool: True, bytes: b"\x00key"}
    return values[kind]


def a_full_one(struct: type[msgspec.Struct]) -> msgspec.Struct:
    """An instance with every field set to something that is not its default."""
    hints = get_type_hints(struct)
    return struct(**{name: a_value(hints[name], name) for name in struct.__struct_fields__})


def a_bare_one(struct: type[msgspec.Struct]) -> msgspec.Struct:
    """An instance with nothing set but what must be."""
    hints = get_type_hints(struct)
    required = [one.name for one in msgspec.structs.fields(struct) if one.required]
    return struct(**{name: a_value(hints[name], name) for name in required})


@pytest.mark.parametrize("make", [a_full_one, a_bare_one])
@pytest.mark.parametrize("struct", [*COMMANDS, *EVENTS], ids=lambda struct: struct.__name__)
def test_there_and_back(struct: type[msgspec.Struct], make: Any) -> None:
    thing = make(struct)
    union: Any = Command if struct in COMMANDS else Event
    as_json = msgspec.json.decode(msgspec.json.encode(thing), type=union)
    as_msgpack = msgspec.msgpack.decode(msgspec.msgpack.encode(thing), type=union)
    assert type(as_json) is type(as_msgpack) is struct
    assert as_json == as_msgpack == thing
    with pytest.raises(AttributeError):
        setattr(thing, (thing.__struct_fields__ or ("anything",))[0], None)


@pytest.mark.parametrize(
    ("structs", "golden"),
    [(COMMANDS, COMMAND_TAGS), (EVENTS, EVENT_TAGS)],
    ids=["commands", "events"],
)
def test_tags_are_for_ever(
    structs: tuple[type[msgspec.Struct], ...], golden: dict[str, str]
) -> None:
    found = {struct.__name__: struct.__struct_config__.tag for struct in structs}
    assert found == golden
    assert len(set(golden.values())) == len(golden)


@pytest.mark.parametrize(
    ("modules", "union"),
    [
        ((commands,), COMMANDS),
        ((events, contact_events, agent_events, workspace_events), EVENTS),
    ],
    ids=["commands", "events"],
)
def test_everything_that_has_a_tag_is_in_the_union(
    modules: tuple[Any, ...], union: tuple[type[msgspec.Struct], ...]
) -> None:
    found = {
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type)
        and issubclass(one, msgspec.Struct)
        and one.__module__ == module.__name__
        and one is not workspace_events.EventStruct
        and not one.__name__.startswith("_")
        and one.__struct_config__.tag is not None
    }
    assert found == set(union)


def test_refusal_numbers_are_for_ever() -> None:
    found = {code.name: code.value for code in RefusalCode}
    assert found == REFUSALS
    assert len(RefusalCode.__members__) == len(set(found.values())), "two names for one number"


@pytest.mark.parametrize("struct", EVENTS, ids=lambda struct: struct.__name__)
def test_a_newer_field_does_not_frighten_an_older_reader(struct: type[msgspec.Struct]) -> None:
    """Journals are read by later versions and, after a step back, by earlier ones."""
    document = msgspec.to_builtins(a_full_one(struct), builtin_types=(bytes,)) | {"later": 1}
    data = msgspec.msgpack.encode(document)
    assert type(msgspec.msgpack.decode(data, type=Event)) is struct


def test_defaults_are_left_out_of_the_journal() -> None:
    made = events.ContactPreferredAgentExpired(contact_id="c1", requirement="voice|support")
    assert msgspec.to_builtins(made) == {
        "type": "contact.preferred_agent_expired",
        "contact_id": "c1",
        "requirement": "voice|support",
    }
