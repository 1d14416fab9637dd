"""Route table of the HTTP API, the common source of the server's routes and the OpenAPI document.

``PERMISSIONS`` of ``auth/credentials.py`` lists the roles of each operation by its name, ``problems.py`` the meaning of each
problem code.
"""

from typing import Any, Final

from msgspec import Struct

from router.model.commands import CallbackFields
from router.model.diagnosis import Diagnosis
from router.model.policy import Policy
from router.model.shadow import ShadowReport
from router.model.views import AgentView, AgentWhy, AvailabilityView, ContactView, ContactWhy, RulesView
from router.policy.entry_rules import EntryRuleTrial, SampleContact
from router.protocol.frames import ContactFields
from router.server.api.agents import (
    accept_offer,
    complete_assignment,
    decline_offer,
    delete_agent,
    extend_wrap_up,
    get_agent,
    hold_assignment,
    list_agents,
    park_assignment,
    put_agent,
    set_agent_channels,
    set_agent_state,
    unhold_assignment,
    unpark_assignment,
)
from router.server.api.bodies import (
    AgentChannels,
    AgentList,
    AgentReceipt,
    AgentRecord,
    AgentsQuery,
    AgentStateChange,
    AssignmentReceipt,
    AssignTarget,
    AvailabilityQuery,
    CallbackClaim,
    CallbackMove,
    CallbackReport,
    Completion,
    ConsultTarget,
    ContactChange,
    ContactList,
    ContactReceipt,
    ContactsQuery,
    DigestDocument,
    EmptyBody,
    EmptyQuery,
    EventList,
    EventsQuery,
    ExpectedWaitDocument,
    ExpectedWaitQuery,
    HandOverTarget,
    HealthDocument,
    LeaveRequest,
    OfferReceipt,
    PolicyCheckResult,
    PolicyReceipt,
    PublishQuery,
    QueueList,
    QueueOverride,
    QueueReceipt,
    QueueStatus,
    ReasonBody,
    RequeueTarget,
    ShadowReceipt,
    StateDocument,
    StateQuery,
    TicketDocument,
    TransferTarget,
    WrapUpExtension,
)
from router.server.api.contacts import (
    abandon_contact,
    add_participant,
    assign_contact,
    cancel_consult,
    cancel_contact,
    cancel_transfer,
    claim_callback,
    complete_consult,
    end_contact,
    get_contact,
    hand_over_contact,
    leave_contact,
    list_contacts,
    move_callback,
    park_contact,
    report_callback,
    request_callback,
    requeue_contact,
    start_conference,
    start_consult,
    submit_contact,
    transfer_contact,
    unpark_contact,
    update_contact,
    why_agent,
    why_contact,
)
from router.server.api.policies import (
    check_policy,
    delete_shadow,
    get_policy,
    get_shadow,
    list_rules,
    put_policy,
    put_shadow,
    try_policy,
)
from router.server.api.queues import (
    close_queue,
    follow_queue_hours,
    get_availability,
    get_expected_wait,
    get_queue,
    list_queues,
    open_queue,
)
from router.server.api.request import Operation
from router.server.api.workspace import diagnose, get_digest, get_state, healthz, issue_ws_ticket, list_events, readyz

# Operations other than GET that execute no command.
_WITHOUT_COMMAND: Final = frozenset({"check_policy", "try_policy", "issue_ws_ticket"})


class Route(Struct, frozen=True, kw_only=True):
    """An operation of the API: path, handler, body and query types, and problem codes."""

    method: str
    path: str
    operation: Operation
    response_type: Any
    body_type: Any = None
    """Type of the request body; None: no body. A body whose fields all have defaults may be omitted."""
    query_type: Any = EmptyQuery
    status: int = 200
    tag: str
    problem_codes: tuple[str, ...] = ()
    """Problem codes of this operation besides those common to all operations."""
    is_policy_document: bool = False
    """Whether the body is a policy document in YAML or JSON, parsed by the policy parser, which reports all errors."""

    @property
    def name(self) -> str:
        """Operation name, used in permissions, metrics and the OpenAPI document."""
        return self.operation.__name__

    @property
    def is_guarded(self) -> bool:
        """Whether it executes a command, so that it honours idempotency keys and preconditions."""
        return self.method != "GET" and self.name not in _WITHOUT_COMMAND

    @property
    def summary(self) -> str:
        """First line of the operation's docstring."""
        return (self.operation.__doc__ or "").strip().split("\n")[0]


def _contact(action: str, operation: Operation, request: Any, *codes: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/contacts/{{contact_id}}/{action}",
        operation=operation,
        body_type=request,
        response_type=ContactReceipt,
        tag="contacts",
        problem_codes=("unknown_contact", "invalid_contact_state", *codes),
    )


def _assignment(action: str, operation: Operation, request: Any, *codes: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/assignments/{{assignment_id}}/{action}",
        operation=operation,
        body_type=request,
        response_type=AssignmentReceipt,
        tag="work",
        problem_codes=("unknown_assignment", "invalid_assignment_state", *codes),
    )


def _queue(action: str, operation: Operation, request: Any) -> Route:
    return Route(
        method="POST",
        path=f"/v1/queues/{{queue_id}}/{action}",
        operation=operation,
        body_type=request,
        response_type=QueueReceipt,
        tag="queues",
        problem_codes=("unknown_queue",),
    )


_CONTACTS: Final = (
    Route(
        method="POST",
        path="/v1/contacts",
        operation=submit_contact,
        body_type=ContactFields,
        response_type=ContactReceipt,
        status=201,
        tag="contacts",
        problem_codes=(
            "unknown_queue",
            "unknown_channel",
            "unknown_contact",
            "unknown_skill",
            "unknown_fact",
            "idempotency_key_reused",
            "invalid_contact_state",
            "queue_full",
            "queue_closed",
            "no_agents_ready",
            "no_matching_queue",
            "callback_not_offered",
            "invalid_callback_time",
        ),
    ),
    Route(
        method="GET",
        path="/v1/contacts",
        operation=list_contacts,
        response_type=ContactList,
        query_type=ContactsQuery,
        tag="contacts",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}",
        operation=get_contact,
        response_type=ContactView,
        tag="contacts",
        problem_codes=("unknown_contact",),
    ),
    Route(
        method="PATCH",
        path="/v1/contacts/{contact_id}",
        operation=update_contact,
        body_type=ContactChange,
        response_type=ContactReceipt,
        tag="contacts",
        problem_codes=("unknown_contact", "invalid_contact_state", "unknown_skill", "unknown_fact"),
    ),
    _contact("cancel", cancel_contact, ReasonBody),
    _contact("abandon", abandon_contact, EmptyBody),
    _contact("end", end_contact, ReasonBody, "not_owner"),
    _contact("park", park_contact, EmptyBody),
    _contact("unpark", unpark_contact, EmptyBody),
    _contact(
        "callback",
        request_callback,
        CallbackFields,
        "unknown_channel",
        "callback_not_offered",
        "invalid_callback_time",
        "callback_exists",
    ),
    _contact("callback/move", move_callback, CallbackMove, "invalid_callback_time"),
    _contact("callback/claim", claim_callback, CallbackClaim, "callback_claimed"),
    _contact("callback/result", report_callback, CallbackReport),
    _contact("requeue", requeue_contact, RequeueTarget, "unknown_queue"),
    _contact(
        "transfer",
        transfer_contact,
        TransferTarget,
        "not_owner",
        "unknown_queue",
        "unknown_agent",
        "agent_unavailable",
        "queue_closed",
        "queue_full",
        "no_agents_ready",
        "invalid_consult_state",
    ),
    _contact("transfer/cancel", cancel_transfer, EmptyBody, "not_owner"),
    _contact("assign", assign_contact, AssignTarget, "unknown_agent", "invalid_agent_state", "capacity_exceeded"),
    _contact(
        "consult",
        start_consult,
        ConsultTarget,
        "not_owner",
        "unknown_queue",
        "unknown_agent",
        "agent_unavailable",
        "invalid_consult_state",
        "participant_limit_exceeded",
    ),
    _contact("consult/complete", complete_consult, EmptyBody, "not_owner", "invalid_consult_state"),
    _contact("consult/cancel", cancel_consult, EmptyBody, "not_owner", "invalid_consult_state"),
    _contact("conference", start_conference, EmptyBody, "not_owner", "invalid_consult_state"),
    _contact("hand-over", hand_over_contact, HandOverTarget, "not_owner", "unknown_agent", "not_participant"),
    _contact("leave", leave_contact, LeaveRequest, "unknown_agent", "not_participant"),
    _contact(
        "participants",
        add_participant,
        AssignTarget,
        "unknown_agent",
        "invalid_agent_state",
        "capacity_exceeded",
        "participant_limit_exceeded",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why",
        operation=why_contact,
        response_type=ContactWhy,
        tag="contacts",
        problem_codes=("unknown_contact",),
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why/{agent_id}",
        operation=why_agent,
        response_type=AgentWhy,
        tag="contacts",
        problem_codes=("unknown_contact", "unknown_agent"),
    ),
)

_AGENTS: Final = (
    Route(method="GET", path="/v1/agents", operation=list_agents, response_type=AgentList, query_type=AgentsQuery, tag="agents"),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}",
        operation=put_agent,
        body_type=AgentRecord,
        response_type=AgentReceipt,
        tag="agents",
        problem_codes=("unknown_skill", "unknown_queue", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/agents/{agent_id}",
        operation=get_agent,
        response_type=AgentView,
        tag="agents",
        problem_codes=("unknown_agent",),
    ),
    Route(
        method="DELETE",
        path="/v1/agents/{agent_id}",
        operation=delete_agent,
        response_type=AgentReceipt,
        tag="agents",
        problem_codes=("unknown_agent", "agent_busy"),
    ),
    Route(
        method="POST",
        path="/v1/agents/{agent_id}/state",
        operation=set_agent_state,
        body_type=AgentStateChange,
        response_type=AgentReceipt,
        tag="agents",
        problem_codes=("unknown_agent", "invalid_agent_state", "agent_busy"),
    ),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}/channels",
        operation=set_agent_channels,
        body_type=AgentChannels,
        response_type=AgentReceipt,
        tag="agents",
        problem_codes=("unknown_agent", "unknown_channel"),
    ),
)

_WORK: Final = (
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/accept",
        operation=accept_offer,
        body_type=EmptyBody,
        response_type=OfferReceipt,
        tag="work",
        problem_codes=("unknown_offer", "offer_not_pending"),
    ),
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/decline",
        operation=decline_offer,
        body_type=ReasonBody,
        response_type=OfferReceipt,
        tag="work",
        problem_codes=("unknown_offer", "offer_not_pending"),
    ),
    _assignment("hold", hold_assignment, EmptyBody),
    _assignment("unhold", unhold_assignment, EmptyBody),
    _assignment("park", park_assignment, EmptyBody),
    _assignment("unpark", unpark_assignment, EmptyBody),
    _assignment("extend", extend_wrap_up, WrapUpExtension, "wrap_up_limit_exceeded"),
    _assignment("complete", complete_assignment, Completion),
)

_CENTRE: Final = (
    Route(method="GET", path="/v1/queues", operation=list_queues, response_type=QueueList, tag="queues"),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}",
        operation=get_queue,
        response_type=QueueStatus,
        tag="queues",
        problem_codes=("unknown_queue",),
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/availability",
        operation=get_availability,
        response_type=AvailabilityView,
        query_type=AvailabilityQuery,
        tag="queues",
        problem_codes=("unknown_queue", "unknown_channel", "unknown_skill"),
    ),
    _queue("open", open_queue, QueueOverride),
    _queue("close", close_queue, QueueOverride),
    _queue("follow-hours", follow_queue_hours, EmptyBody),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/expected-wait",
        operation=get_expected_wait,
        response_type=ExpectedWaitDocument,
        query_type=ExpectedWaitQuery,
        tag="queues",
        problem_codes=("unknown_queue", "unknown_channel", "unknown_skill", "no_matching_queue"),
    ),
    Route(method="GET", path="/v1/policy", operation=get_policy, response_type=Policy, tag="policy", problem_codes=("not_found",)),
    Route(
        method="PUT",
        path="/v1/policy",
        operation=put_policy,
        body_type=Policy,
        response_type=PolicyReceipt,
        query_type=PublishQuery,
        tag="policy",
        problem_codes=(
            "invalid_policy",
            "policy_version_conflict",
            "precondition_required",
            "drain_target_required",
            "channel_in_use",
            "unknown_queue",
            "unknown_skill",
        ),
        is_policy_document=True,
    ),
    Route(
        method="POST",
        path="/v1/policy/check",
        operation=check_policy,
        body_type=Policy,
        response_type=PolicyCheckResult,
        tag="policy",
        problem_codes=("invalid_policy",),
        is_policy_document=True,
    ),
    Route(
        method="PUT",
        path="/v1/shadow",
        operation=put_shadow,
        body_type=Policy,
        response_type=ShadowReceipt,
        tag="policy",
        problem_codes=("invalid_policy",),
        is_policy_document=True,
    ),
    Route(
        method="GET",
        path="/v1/shadow",
        operation=get_shadow,
        response_type=ShadowReport,
        tag="policy",
        problem_codes=("no_shadow_policy",),
    ),
    Route(
        method="DELETE",
        path="/v1/shadow",
        operation=delete_shadow,
        response_type=ShadowReceipt,
        tag="policy",
        problem_codes=("no_shadow_policy",),
    ),
    Route(method="GET", path="/v1/policy/rules", operation=list_rules, response_type=RulesView, tag="policy"),
    Route(
        method="POST",
        path="/v1/policy/try",
        operation=try_policy,
        body_type=SampleContact,
        response_type=EntryRuleTrial,
        tag="policy",
        problem_codes=("not_found", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/events",
        operation=list_events,
        response_type=EventList,
        query_type=EventsQuery,
        tag="history",
        problem_codes=("history_reset",),
    ),
    Route(
        method="GET",
        path="/v1/state",
        operation=get_state,
        response_type=StateDocument,
        query_type=StateQuery,
        tag="history",
        problem_codes=("event_not_reached",),
    ),
    Route(method="GET", path="/v1/digest", operation=get_digest, response_type=DigestDocument, tag="history"),
    Route(method="GET", path="/v1/doctor", operation=diagnose, response_type=Diagnosis, tag="doctor"),
    Route(
        method="POST",
        path="/v1/ws-ticket",
        operation=issue_ws_ticket,
        body_type=EmptyBody,
        response_type=TicketDocument,
        status=201,
        tag="sockets",
    ),
    Route(method="GET", path="/healthz", operation=healthz, response_type=HealthDocument, tag="health"),
    Route(
        method="GET",
        path="/readyz",
        operation=readyz,
        response_type=HealthDocument,
        tag="health",
        problem_codes=("not_ready", "stopping"),
    ),
)

ROUTES: Final[tuple[Route, ...]] = (*_CONTACTS, *_AGENTS, *_WORK, *_CENTRE)
