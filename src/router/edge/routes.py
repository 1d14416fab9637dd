"""Route table of the HTTP API, the common source of the server's routes and the OpenAPI document.

``permissions.py`` lists the roles of each operation by its name, ``problems.py`` the meaning of each problem code.
"""

from typing import Any, Final

from msgspec import Struct

from router.edge.access import healthz, issue_ws_ticket, readyz
from router.edge.agents import (
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
from router.edge.call import Operation
from router.edge.callbacks import report_callback, request_callback
from router.edge.contacts import (
    abandon_contact,
    assign_contact,
    cancel_contact,
    end_contact,
    get_contact,
    list_contacts,
    park_contact,
    requeue_contact,
    submit_contact,
    transfer_contact,
    unpark_contact,
    update_contact,
    why_agent,
    why_contact,
)
from router.edge.conversations import (
    add_participant,
    cancel_consult,
    complete_consult,
    hand_over_contact,
    leave_contact,
    start_conference,
    start_consult,
)
from router.edge.doctor import diagnose
from router.edge.documents import (
    AgentChannels,
    AgentList,
    AgentReceipt,
    AgentRecord,
    AgentsQuery,
    AgentStateChange,
    AssignmentReceipt,
    AssignTarget,
    AvailabilityQuery,
    CallbackResult,
    Completion,
    ContactChange,
    ContactList,
    ContactReceipt,
    ContactsQuery,
    DigestDocument,
    EventList,
    EventsQuery,
    ExpectedWaitDocument,
    ExpectedWaitQuery,
    HandOverTarget,
    HealthDocument,
    LeaveTarget,
    NoQuery,
    Nothing,
    OfferReceipt,
    PolicyChecked,
    PolicyReceipt,
    PublishQuery,
    QueueList,
    QueueReceipt,
    QueueStatus,
    QueueTurn,
    Reason,
    RequeueTarget,
    ShadowReceipt,
    StateDocument,
    StateQuery,
    TicketDocument,
    TransferTarget,
    WrapUpExtension,
)
from router.edge.history import get_digest, get_state, list_events
from router.edge.policies import check_policy, get_policy, list_rules, put_policy, try_policy
from router.edge.queues import (
    close_queue,
    follow_queue_hours,
    get_availability,
    get_expected_wait,
    get_queue,
    list_queues,
    open_queue,
)
from router.edge.shadow import delete_shadow, get_shadow, put_shadow
from router.model.callbacks import CallbackFields
from router.model.diagnosis import Diagnosis
from router.model.policy import Policy
from router.model.shadow import ShadowReport
from router.model.views import (
    AgentView,
    AgentWhy,
    AvailabilityView,
    ContactView,
    ContactWhy,
    RulesView,
)
from router.rules.trial import SampleContact, Trial
from router.wire.frames import ContactFields


class Route(Struct, frozen=True, kw_only=True):
    """An operation of the API: path, handler, body and query types, and problem codes."""

    method: str
    path: str
    operation: Operation
    response: Any
    request: Any = None
    """Type of the request body; None: no body. A body whose fields all have defaults may be omitted."""
    query: Any = NoQuery
    status: int = 200
    tag: str
    codes: tuple[str, ...] = ()
    """Problem codes of this operation besides those common to all operations."""
    request_headers: tuple[str, ...] = ()
    is_policy_document: bool = False
    """Whether the body is a policy document in YAML or JSON, parsed by the policy parser, which reports all errors."""

    @property
    def name(self) -> str:
        """Operation name, used in permissions, metrics and the OpenAPI document."""
        return self.operation.__name__

    @property
    def summary(self) -> str:
        """First line of the operation's docstring."""
        return (self.operation.__doc__ or "").strip().split("\n")[0]


def _contact(action: str, operation: Operation, request: Any, *codes: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/contacts/{{contact_id}}/{action}",
        operation=operation,
        request=request,
        response=ContactReceipt,
        tag="contacts",
        codes=("unknown_contact", "contact_state", *codes),
    )


def _assignment(action: str, operation: Operation, request: Any, *codes: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/assignments/{{assignment_id}}/{action}",
        operation=operation,
        request=request,
        response=AssignmentReceipt,
        tag="work",
        codes=("unknown_assignment", "assignment_state", *codes),
    )


def _queue(action: str, operation: Operation, request: Any) -> Route:
    return Route(
        method="POST",
        path=f"/v1/queues/{{queue_id}}/{action}",
        operation=operation,
        request=request,
        response=QueueReceipt,
        tag="queues",
        codes=("unknown_queue",),
    )


_CONTACTS: Final = (
    Route(
        method="POST",
        path="/v1/contacts",
        operation=submit_contact,
        request=ContactFields,
        response=ContactReceipt,
        status=201,
        tag="contacts",
        codes=(
            "unknown_queue",
            "unknown_channel",
            "unknown_skill",
            "unknown_fact",
            "key_reused",
            "queue_full",
            "queue_closed",
            "nobody_there",
            "no_queue",
            "callback_not_offered",
            "callback_time",
        ),
        request_headers=("Idempotency-Key",),
    ),
    Route(
        method="GET",
        path="/v1/contacts",
        operation=list_contacts,
        response=ContactList,
        query=ContactsQuery,
        tag="contacts",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}",
        operation=get_contact,
        response=ContactView,
        tag="contacts",
        codes=("unknown_contact",),
    ),
    Route(
        method="PATCH",
        path="/v1/contacts/{contact_id}",
        operation=update_contact,
        request=ContactChange,
        response=ContactReceipt,
        tag="contacts",
        codes=("unknown_contact", "contact_state", "unknown_skill", "unknown_fact"),
    ),
    _contact("cancel", cancel_contact, Reason),
    _contact("abandon", abandon_contact, Nothing),
    _contact("end", end_contact, Reason, "not_owner"),
    _contact("park", park_contact, Nothing),
    _contact("unpark", unpark_contact, Nothing),
    _contact(
        "callback",
        request_callback,
        CallbackFields,
        "unknown_channel",
        "callback_not_offered",
        "callback_time",
        "callback_exists",
    ),
    _contact("callback/result", report_callback, CallbackResult),
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
        "consult_state",
    ),
    _contact(
        "assign",
        assign_contact,
        AssignTarget,
        "unknown_agent",
        "agent_state",
        "capacity_exceeded",
    ),
    _contact(
        "consult",
        start_consult,
        TransferTarget,
        "not_owner",
        "unknown_queue",
        "unknown_agent",
        "agent_unavailable",
        "consult_state",
        "participants_limit",
    ),
    _contact(
        "consult/complete",
        complete_consult,
        Nothing,
        "not_owner",
        "consult_state",
    ),
    _contact("consult/cancel", cancel_consult, Nothing, "not_owner", "consult_state"),
    _contact("conference", start_conference, Nothing, "not_owner", "consult_state"),
    _contact(
        "hand-over",
        hand_over_contact,
        HandOverTarget,
        "not_owner",
        "unknown_agent",
        "not_participant",
    ),
    _contact("leave", leave_contact, LeaveTarget, "unknown_agent", "not_participant"),
    _contact(
        "participants",
        add_participant,
        AssignTarget,
        "unknown_agent",
        "agent_state",
        "capacity_exceeded",
        "participants_limit",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why",
        operation=why_contact,
        response=ContactWhy,
        tag="contacts",
        codes=("unknown_contact",),
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why/{agent_id}",
        operation=why_agent,
        response=AgentWhy,
        tag="contacts",
        codes=("unknown_contact", "unknown_agent"),
    ),
)

_AGENTS: Final = (
    Route(
        method="GET",
        path="/v1/agents",
        operation=list_agents,
        response=AgentList,
        query=AgentsQuery,
        tag="agents",
    ),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}",
        operation=put_agent,
        request=AgentRecord,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_skill", "unknown_queue", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/agents/{agent_id}",
        operation=get_agent,
        response=AgentView,
        tag="agents",
        codes=("unknown_agent",),
    ),
    Route(
        method="DELETE",
        path="/v1/agents/{agent_id}",
        operation=delete_agent,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_agent", "agent_busy"),
    ),
    Route(
        method="POST",
        path="/v1/agents/{agent_id}/state",
        operation=set_agent_state,
        request=AgentStateChange,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_agent", "agent_state", "agent_busy"),
    ),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}/channels",
        operation=set_agent_channels,
        request=AgentChannels,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_agent", "unknown_channel"),
    ),
)

_WORK: Final = (
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/accept",
        operation=accept_offer,
        request=Nothing,
        response=OfferReceipt,
        tag="work",
        codes=("unknown_offer", "offer_gone"),
    ),
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/decline",
        operation=decline_offer,
        request=Reason,
        response=OfferReceipt,
        tag="work",
        codes=("unknown_offer", "offer_gone"),
    ),
    _assignment("hold", hold_assignment, Nothing),
    _assignment("unhold", unhold_assignment, Nothing),
    _assignment("park", park_assignment, Nothing),
    _assignment("unpark", unpark_assignment, Nothing),
    _assignment("extend", extend_wrap_up, WrapUpExtension, "wrap_up_limit"),
    _assignment("complete", complete_assignment, Completion),
)

_CENTRE: Final = (
    Route(
        method="GET",
        path="/v1/queues",
        operation=list_queues,
        response=QueueList,
        tag="queues",
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}",
        operation=get_queue,
        response=QueueStatus,
        tag="queues",
        codes=("unknown_queue",),
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/availability",
        operation=get_availability,
        response=AvailabilityView,
        query=AvailabilityQuery,
        tag="queues",
        codes=("unknown_queue", "unknown_channel", "unknown_skill"),
    ),
    _queue("open", open_queue, QueueTurn),
    _queue("close", close_queue, QueueTurn),
    _queue("follow-hours", follow_queue_hours, Nothing),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/expected-wait",
        operation=get_expected_wait,
        response=ExpectedWaitDocument,
        query=ExpectedWaitQuery,
        tag="queues",
        codes=("unknown_queue", "unknown_channel", "unknown_skill", "no_queue"),
    ),
    Route(
        method="GET",
        path="/v1/policy",
        operation=get_policy,
        response=Policy,
        tag="policy",
        codes=("not_found",),
    ),
    Route(
        method="PUT",
        path="/v1/policy",
        operation=put_policy,
        request=Policy,
        response=PolicyReceipt,
        query=PublishQuery,
        tag="policy",
        codes=(
            "policy_invalid",
            "policy_version",
            "drain_required",
            "channel_in_use",
            "unknown_queue",
            "unknown_skill",
        ),
        request_headers=("If-Match",),
        is_policy_document=True,
    ),
    Route(
        method="POST",
        path="/v1/policy/check",
        operation=check_policy,
        request=Policy,
        response=PolicyChecked,
        tag="policy",
        codes=("policy_invalid",),
        is_policy_document=True,
    ),
    Route(
        method="PUT",
        path="/v1/shadow",
        operation=put_shadow,
        request=Policy,
        response=ShadowReceipt,
        tag="policy",
        codes=("policy_invalid",),
        is_policy_document=True,
    ),
    Route(
        method="GET",
        path="/v1/shadow",
        operation=get_shadow,
        response=ShadowReport,
        tag="policy",
        codes=("no_shadow",),
    ),
    Route(
        method="DELETE",
        path="/v1/shadow",
        operation=delete_shadow,
        response=ShadowReceipt,
        tag="policy",
        codes=("no_shadow",),
    ),
    Route(
        method="GET",
        path="/v1/policy/rules",
        operation=list_rules,
        response=RulesView,
        tag="policy",
    ),
    Route(
        method="POST",
        path="/v1/policy/try",
        operation=try_policy,
        request=SampleContact,
        response=Trial,
        tag="policy",
        codes=("not_found", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/events",
        operation=list_events,
        response=EventList,
        query=EventsQuery,
        tag="history",
        codes=("history_reset",),
    ),
    Route(
        method="GET",
        path="/v1/state",
        operation=get_state,
        response=StateDocument,
        query=StateQuery,
        tag="history",
        codes=("not_yet",),
    ),
    Route(
        method="GET",
        path="/v1/digest",
        operation=get_digest,
        response=DigestDocument,
        tag="history",
    ),
    Route(
        method="GET",
        path="/v1/doctor",
        operation=diagnose,
        response=Diagnosis,
        tag="doctor",
    ),
    Route(
        method="POST",
        path="/v1/ws-ticket",
        operation=issue_ws_ticket,
        request=Nothing,
        response=TicketDocument,
        status=201,
        tag="sockets",
    ),
    Route(
        method="GET",
        path="/healthz",
        operation=healthz,
        response=HealthDocument,
        tag="health",
    ),
    Route(
        method="GET",
        path="/readyz",
        operation=readyz,
        response=HealthDocument,
        tag="health",
        codes=("not_ready", "stopping"),
    ),
)

ROUTES: Final[tuple[Route, ...]] = (*_CONTACTS, *_AGENTS, *_WORK, *_CENTRE)
