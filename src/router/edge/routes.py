"""The HTTP API as one table. The server's routes and the OpenAPI document are both made from it.

Who may do what stands in ``permissions.py`` under the operation's name; what a code means, in ``problems.py``.
"""

from typing import Any, Final

from msgspec import Struct

from router.edge import (
    access,
    agents,
    callbacks,
    contacts,
    conversations,
    doctor,
    history,
    policies,
    queues,
    shadow,
)
from router.edge.call import Operation
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
    """One operation of the API."""

    method: str
    path: str
    operation: Operation
    response: Any
    request: Any = None
    """The body's struct; none: no body. A struct whose fields all have defaults may be left out."""
    query: Any = NoQuery
    status: int = 200
    tag: str
    codes: tuple[str, ...] = ()
    """Problems that belong to this operation, beside those that any may have."""
    request_headers: tuple[str, ...] = ()
    is_policy_document: bool = False
    """The body is a policy, as YAML or JSON, and is read by the policy's own reader, which finds all errors at once."""

    @property
    def name(self) -> str:
        """The operation's name: in permissions, metrics and the OpenAPI document."""
        return self.operation.__name__

    @property
    def summary(self) -> str:
        """One line for people."""
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
        operation=contacts.submit_contact,
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
        operation=contacts.list_contacts,
        response=ContactList,
        query=ContactsQuery,
        tag="contacts",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}",
        operation=contacts.get_contact,
        response=ContactView,
        tag="contacts",
        codes=("unknown_contact",),
    ),
    Route(
        method="PATCH",
        path="/v1/contacts/{contact_id}",
        operation=contacts.update_contact,
        request=ContactChange,
        response=ContactReceipt,
        tag="contacts",
        codes=("unknown_contact", "contact_state", "unknown_skill", "unknown_fact"),
    ),
    _contact("cancel", contacts.cancel_contact, Reason),
    _contact("abandon", contacts.abandon_contact, Nothing),
    _contact("end", contacts.end_contact, Reason, "not_owner"),
    _contact("park", contacts.park_contact, Nothing),
    _contact("unpark", contacts.unpark_contact, Nothing),
    _contact(
        "callback",
        callbacks.request_callback,
        CallbackFields,
        "unknown_channel",
        "callback_not_offered",
        "callback_time",
        "callback_exists",
    ),
    _contact("callback/result", callbacks.report_callback, CallbackResult),
    _contact("requeue", contacts.requeue_contact, RequeueTarget, "unknown_queue"),
    _contact(
        "transfer",
        contacts.transfer_contact,
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
        contacts.assign_contact,
        AssignTarget,
        "unknown_agent",
        "agent_state",
        "capacity_exceeded",
    ),
    _contact(
        "consult",
        conversations.start_consult,
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
        conversations.complete_consult,
        Nothing,
        "not_owner",
        "consult_state",
    ),
    _contact("consult/cancel", conversations.cancel_consult, Nothing, "not_owner", "consult_state"),
    _contact("conference", conversations.start_conference, Nothing, "not_owner", "consult_state"),
    _contact(
        "hand-over",
        conversations.hand_over_contact,
        HandOverTarget,
        "not_owner",
        "unknown_agent",
        "not_participant",
    ),
    _contact("leave", conversations.leave_contact, LeaveTarget, "unknown_agent", "not_participant"),
    _contact(
        "participants",
        conversations.add_participant,
        AssignTarget,
        "unknown_agent",
        "agent_state",
        "capacity_exceeded",
        "participants_limit",
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why",
        operation=contacts.why_contact,
        response=ContactWhy,
        tag="contacts",
        codes=("unknown_contact",),
    ),
    Route(
        method="GET",
        path="/v1/contacts/{contact_id}/why/{agent_id}",
        operation=contacts.why_agent,
        response=AgentWhy,
        tag="contacts",
        codes=("unknown_contact", "unknown_agent"),
    ),
)

_AGENTS: Final = (
    Route(
        method="GET",
        path="/v1/agents",
        operation=agents.list_agents,
        response=AgentList,
        query=AgentsQuery,
        tag="agents",
    ),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}",
        operation=agents.put_agent,
        request=AgentRecord,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_skill", "unknown_queue", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/agents/{agent_id}",
        operation=agents.get_agent,
        response=AgentView,
        tag="agents",
        codes=("unknown_agent",),
    ),
    Route(
        method="DELETE",
        path="/v1/agents/{agent_id}",
        operation=agents.delete_agent,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_agent", "agent_busy"),
    ),
    Route(
        method="POST",
        path="/v1/agents/{agent_id}/state",
        operation=agents.set_agent_state,
        request=AgentStateChange,
        response=AgentReceipt,
        tag="agents",
        codes=("unknown_agent", "agent_state", "agent_busy"),
    ),
    Route(
        method="PUT",
        path="/v1/agents/{agent_id}/channels",
        operation=agents.set_agent_channels,
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
        operation=agents.accept_offer,
        request=Nothing,
        response=OfferReceipt,
        tag="work",
        codes=("unknown_offer", "offer_gone"),
    ),
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/decline",
        operation=agents.decline_offer,
        request=Reason,
        response=OfferReceipt,
        tag="work",
        codes=("unknown_offer", "offer_gone"),
    ),
    _assignment("hold", agents.hold_assignment, Nothing),
    _assignment("unhold", agents.unhold_assignment, Nothing),
    _assignment("park", agents.park_assignment, Nothing),
    _assignment("unpark", agents.unpark_assignment, Nothing),
    _assignment("extend", agents.extend_wrap_up, WrapUpExtension, "wrap_up_limit"),
    _assignment("complete", agents.complete_assignment, Completion),
)

_CENTRE: Final = (
    Route(
        method="GET",
        path="/v1/queues",
        operation=queues.list_queues,
        response=QueueList,
        tag="queues",
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}",
        operation=queues.get_queue,
        response=QueueStatus,
        tag="queues",
        codes=("unknown_queue",),
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/availability",
        operation=queues.get_availability,
        response=AvailabilityView,
        query=AvailabilityQuery,
        tag="queues",
        codes=("unknown_queue", "unknown_channel", "unknown_skill"),
    ),
    _queue("open", queues.open_queue, QueueTurn),
    _queue("close", queues.close_queue, QueueTurn),
    _queue("follow-hours", queues.follow_queue_hours, Nothing),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/expected-wait",
        operation=queues.get_expected_wait,
        response=ExpectedWaitDocument,
        query=ExpectedWaitQuery,
        tag="queues",
        codes=("unknown_queue", "unknown_channel", "unknown_skill", "no_queue"),
    ),
    Route(
        method="GET",
        path="/v1/policy",
        operation=policies.get_policy,
        response=Policy,
        tag="policy",
        codes=("not_found",),
    ),
    Route(
        method="PUT",
        path="/v1/policy",
        operation=policies.put_policy,
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
        operation=policies.check_policy,
        request=Policy,
        response=PolicyChecked,
        tag="policy",
        codes=("policy_invalid",),
        is_policy_document=True,
    ),
    Route(
        method="PUT",
        path="/v1/shadow",
        operation=shadow.put_shadow,
        request=Policy,
        response=ShadowReceipt,
        tag="policy",
        codes=("policy_invalid",),
        is_policy_document=True,
    ),
    Route(
        method="GET",
        path="/v1/shadow",
        operation=shadow.get_shadow,
        response=ShadowReport,
        tag="policy",
        codes=("no_shadow",),
    ),
    Route(
        method="DELETE",
        path="/v1/shadow",
        operation=shadow.delete_shadow,
        response=ShadowReceipt,
        tag="policy",
        codes=("no_shadow",),
    ),
    Route(
        method="GET",
        path="/v1/policy/rules",
        operation=policies.list_rules,
        response=RulesView,
        tag="policy",
    ),
    Route(
        method="POST",
        path="/v1/policy/try",
        operation=policies.try_policy,
        request=SampleContact,
        response=Trial,
        tag="policy",
        codes=("not_found", "unknown_channel", "unknown_fact"),
    ),
    Route(
        method="GET",
        path="/v1/events",
        operation=history.list_events,
        response=EventList,
        query=EventsQuery,
        tag="history",
        codes=("history_reset",),
    ),
    Route(
        method="GET",
        path="/v1/state",
        operation=history.get_state,
        response=StateDocument,
        query=StateQuery,
        tag="history",
        codes=("not_yet",),
    ),
    Route(
        method="GET",
        path="/v1/digest",
        operation=history.get_digest,
        response=DigestDocument,
        tag="history",
    ),
    Route(
        method="GET",
        path="/v1/doctor",
        operation=doctor.diagnose,
        response=Diagnosis,
        tag="doctor",
    ),
    Route(
        method="POST",
        path="/v1/ws-ticket",
        operation=access.issue_ws_ticket,
        request=Nothing,
        response=TicketDocument,
        status=201,
        tag="sockets",
    ),
    Route(
        method="GET",
        path="/healthz",
        operation=access.healthz,
        response=HealthDocument,
        tag="health",
    ),
    Route(
        method="GET",
        path="/readyz",
        operation=access.readyz,
        response=HealthDocument,
        tag="health",
        codes=("not_ready", "stopping"),
    ),
)

ROUTES: Final[tuple[Route, ...]] = (*_CONTACTS, *_AGENTS, *_WORK, *_CENTRE)
