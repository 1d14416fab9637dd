"""Examples of request bodies for the OpenAPI document, by the type of the body. A test decodes each of them."""

from typing import Any, Final

from router.model.commands import CallbackFields
from router.model.policy import Policy
from router.policy.entry_rules import SampleContact
from router.protocol.frames import ContactFields
from router.server.api.bodies import (
    AgentChannels,
    AgentRecord,
    AgentStateChange,
    AssignTarget,
    CallbackReport,
    Completion,
    ContactChange,
    EmptyBody,
    HandOverTarget,
    LeaveRequest,
    QueueOverride,
    ReasonBody,
    RequeueTarget,
    TransferTarget,
    WrapUpExtension,
)

BODY_EXAMPLES: Final[dict[type, dict[str, Any]]] = {
    AgentChannels: {"paused": ["chat"]},
    AgentRecord: {
        "skills": {"english": 8, "billing": 5},
        "queues": ["support"],
        "units": 100,
        "channel_max": {"chat": 2},
        "queue_ranks": {"support": 1},
    },
    AgentStateChange: {"state": "not_ready", "reason": "lunch", "after_work": True},
    AssignTarget: {"agent_id": "ada"},
    CallbackFields: {"mode": "agent_first", "channel": "voice", "at_ms": 1_767_607_200_000},
    CallbackReport: {"outcome": "no_answer", "attempt": 1},
    Completion: {"disposition": "solved"},
    ContactChange: {"priority_s": 60, "skills": {"billing": 3}},
    ContactFields: {
        "channel": "voice",
        "queue_id": "support",
        "skills": {"english": 3},
        "priority_s": 30,
        "attributes": {"tier": "gold"},
        "reference": "call-4711",
    },
    EmptyBody: {},
    HandOverTarget: {"to_agent_id": "grace"},
    LeaveRequest: {"agent_id": "grace"},
    Policy: {
        "skills": ["english", "billing"],
        "channels": {"voice": {"wrap_up_s": 20}, "chat": {"units": 30, "per_agent_max": 3}},
        "queues": {
            "support": {"requires": {"english": 3}, "wait_max_s": 600, "overflow_to": "general"},
            "general": {},
        },
    },
    QueueOverride: {"duration_s": 3_600},
    ReasonBody: {"reason": "duplicate"},
    RequeueTarget: {"queue_id": "support"},
    SampleContact: {
        "channel": "voice",
        "attributes": {"tier": "gold"},
        "queues": {"support": {"waiting": 21}},
    },
    TransferTarget: {"to_agent_id": "grace", "wait_s": 120, "return_to_sender_s": 60},
    WrapUpExtension: {"extend_s": 60},
}
