"""The OpenAPI 3.1 document, generated from the route table, the structs and the problem table.

Each request body has an example, by its type. The examples name what both policies of the package declare, the one that
``router init`` writes and that of ``router demo``; a test sends each of them to a router with either policy.
"""

from typing import Any, Final

import msgspec

from router import __version__
from router.context.customers import ProfileChange
from router.context.identities import Identity
from router.context.journey import StepFields
from router.model.commands import CallbackFields
from router.model.events import Event
from router.model.policy import Policy
from router.policy.entry_rules import SampleContact
from router.protocol.frames import ContactFields
from router.protocol.problem_types import PROBLEMS
from router.protocol.schemas import FIELD_TEXTS, markdown, schemas_of
from router.server.api.agent_lists import AgentChange
from router.server.api.bodies import (
    AgentChannels,
    AgentRecord,
    AgentStateChange,
    AssignTarget,
    CallbackClaim,
    CallbackMove,
    CallbackReport,
    ChannelReport,
    ChannelTarget,
    Completion,
    ConsultTarget,
    ContactChange,
    EmptyBody,
    EmptyQuery,
    EventEnvelope,
    HandOverTarget,
    LeaveRequest,
    QueueOverride,
    ReasonBody,
    RequeueTarget,
    Resumption,
    SuspensionTerms,
    TransferTarget,
    WrapUpExtension,
)
from router.server.api.bulk import BulkPreviewRequest, BulkRequest
from router.server.api.contact_cards import NoteRequest
from router.server.api.customer_batches import CustomerBatch, CustomerFields
from router.server.api.customers import CustomerSearch, MergeRequest, ResolveRequest
from router.server.api.goals import CustomerAnswer, GoalReport
from router.server.api.journeys import JourneyBatch
from router.server.api.monitoring import MonitorEnd, MonitorReport, MonitorTarget
from router.server.api.policy_versions import PolicyRollback
from router.server.api.problems import PROBLEM_CONTENT_TYPE, ProblemDocument
from router.server.api.requests import OptionChoice, RequestChannel, RequestFields, RequestResumption
from router.server.api.route import Route
from router.server.api.routes import ROUTES
from router.server.api.verification import VerifyRequest
from router.server.api.workspaces import NewWorkspace
from router.server.auth.credentials import PERMISSIONS, PUBLIC_OPERATIONS

BODY_EXAMPLES: Final[dict[type, dict[str, Any]]] = {
    CustomerBatch: {
        "customers": [
            {
                "identities": [{"type": "external:crm", "value": "4711", "assurance": "verified"}],
                "profile": {"name": "Bo Smith", "tier": "gold"},
            }
        ]
    },
    CustomerSearch: {"name": "ann mill"},
    Identity: {"type": "email", "value": "ann.miller@example.com", "assurance": "asserted"},
    JourneyBatch: {
        "steps": [
            {
                "id": "step-1",
                "identity": {"type": "app_user", "value": "user-7", "assurance": "verified"},
                "type": "payment",
                "name": "invoice",
                "result": "failed",
                "channel": "app",
                "data": {"amount_cents": 4_900},
            }
        ]
    },
    # Without a goal, which only the policy can name.
    GoalReport: {"ease": 6, "satisfaction": 5},
    CustomerAnswer: {"ease": 6, "satisfaction": 5},
    MergeRequest: {"from": "c_0123456789abcdef0123456789abcdef", "reason": "agent_confirmed"},
    ProfileChange: {"name": "Ann Miller", "tier": "gold", "time_zone": "Europe/Berlin"},
    VerifyRequest: {"identity": {"type": "app_user", "value": "user-7"}, "method": "security_questions"},
    ResolveRequest: {
        "identities": [
            {"type": "app_user", "value": "user-7", "assurance": "verified"},
            {"type": "phone", "value": "+491511234567"},
        ]
    },
    RequestFields: {
        "channel": "voice",
        "queue_id": "general",
        "customer": {"identities": [{"type": "app_user", "value": "user-7", "assurance": "verified"}]},
        "choose": "ask",
    },
    OptionChoice: {"option": "now"},
    NewWorkspace: {"name": "branch", "policy": "channels: {voice: {}}\nqueues: {general: {}}\n", "note": "branch office"},
    PolicyRollback: {"version": 1, "note": "the new overflow sent too much to billing"},
    RequestChannel: {"channel": "chat"},
    RequestResumption: {"channel": "voice"},
    AgentChannels: {"paused": ["chat"]},
    AgentRecord: {
        "skills": {"english": 8, "german": 5},
        "queues": ["general"],
        "units": 100,
        "channel_max": {"chat": 2},
        "queue_ranks": {"general": 1},
        "team": "blue",
        "labels": ["evening"],
    },
    BulkPreviewRequest: {"agents": {"state": "not_ready", "team": "blue"}},
    BulkRequest: {"act": {"type": "set_state", "state": "offline"}, "ids": ["ada"]},
    AgentChange: {"skills": {"german": 6}, "team": "blue", "labels": ["evening", "trainee"]},
    AgentStateChange: {"state": "not_ready", "reason": "lunch", "after_work": True},
    AssignTarget: {"agent_id": "ada"},
    CallbackFields: {"mode": "agent_first", "channel": "voice"},
    CallbackClaim: {"claimant": "pod-1", "lease_s": 20},
    CallbackMove: {},
    SuspensionTerms: {},
    ChannelTarget: {"channel": "voice", "reference": "call-9", "if_unable": "queue"},
    ChannelReport: {"outcome": "connected"},
    MonitorTarget: {"mode": "whisper"},
    MonitorEnd: {},
    MonitorReport: {"supervisor_id": "sue", "mode": "whisper", "outcome": "joined"},
    Resumption: {"channel": "voice", "reference": "call-9"},
    CallbackReport: {"outcome": "no_answer", "attempt": 1},
    Completion: {"disposition": "resolved"},
    ContactChange: {"priority_s": 60, "skills": {"english": 3}},
    ContactFields: {
        "channel": "voice",
        "queue_id": "general",
        "skills": {"english": 3},
        "priority_s": 30,
        "attributes": {"tier": "premium"},
        "reference": "call-4711",
    },
    ConsultTarget: {"to_agent_id": "grace"},
    EmptyBody: {},
    HandOverTarget: {"to_agent_id": "grace"},
    LeaveRequest: {"agent_id": "grace"},
    NoteRequest: {"text": "Asked for the papers to be sent again."},
    Policy: {
        "skills": ["english", "german"],
        "channels": {"voice": {"wrap_up_s": 20}, "chat": {"units": 30, "per_agent_max": 3}},
        "facts": {"tier": {"type": "enum", "values": ["standard", "premium"]}},
        "queues": {
            "general": {"requires": {"english": 3}, "callback": {"channel": "voice"}},
            "general_german": {"requires": {"german": 3}, "wait_max_s": 600, "overflow_to": "general"},
        },
        "default_queue": "general",
    },
    QueueOverride: {"duration_s": 3_600},
    ReasonBody: {"reason": "duplicate"},
    RequeueTarget: {"queue_id": "general"},
    SampleContact: {"channel": "voice", "attributes": {"tier": "premium"}, "queues": {"general": {"waiting": 21}}},
    TransferTarget: {"to_agent_id": "grace"},
    WrapUpExtension: {"extend_s": 60},
}

# Path parameters that a reader can know before having sent anything; the ids of contacts, offers and assignments are answers.
_PATH_EXAMPLES: Final = {"agent_id": "ada", "queue_id": "general", "version": "1"}

_TEMPLATE: Final = "#/components/schemas/{name}"

_COMMON: Final = ("unauthenticated", "forbidden", "malformed", "invalid_value", "rate_limited")

_UNAVAILABLE: Final = ("busy", "stopping", "not_ready", "answer_timeout", "journal_unavailable")

_WITH_BODY: Final = ("body_timeout", "too_large", "unsupported_media_type", "expectation_failed")

_REQUEST_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Idempotency-Key": {
        "description": "A retry with the same key returns the first result and changes nothing, for at least 24 hours. "
        "The same key with another request is refused (`idempotency_key_reused`).",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    },
    "If-Match": {
        "description": "Entity tags, one of which the object must have; `*`: any. Otherwise the request is refused: "
        "`precondition_failed`, of the policy `policy_version_conflict`.",
        "schema": {"type": "string", "maxLength": 1000},
    },
    "If-None-Match": {
        "description": "`*`: only if the object does not exist yet. Entity tags: only if it has none of them.",
        "schema": {"type": "string", "maxLength": 1000},
    },
}

_REPLAYED: Final = {
    "description": "`true`: the command had taken effect before; this request changed nothing.",
    "schema": {"type": "string", "enum": ["true"]},
}

_ETAG: Final = {"description": "Entity tag; it changes only with what clients can write.", "schema": {"type": "string"}}
# Operations whose successful answer has an entity tag.
_TAGGED: Final = frozenset(
    {
        *("get_policy", "put_policy", "get_shadow", "put_shadow", "get_contact", "update_contact", "get_queue", "open_queue"),
        *("get_policy_version", "rollback_policy", "schedule_policy", "get_scheduled_policy"),
        *("close_queue", "follow_queue_hours", "get_agent", "put_agent", "set_agent_channels"),
    }
)


def openapi_document() -> dict[str, Any]:
    """Return the document as plain data."""
    kinds = _kinds()
    refs, components = schemas_of(kinds, _TEMPLATE)
    schemas = dict(zip(kinds, refs, strict=True))
    components["EventList"]["properties"]["events"]["items"] = {"allOf": [schemas[EventEnvelope], schemas[Event]]}
    # A faulty step is rejected alone, so the body's type says less than the document.
    components["JourneyBatch"]["properties"]["steps"]["items"] = schemas[StepFields]
    components["CustomerBatch"]["properties"]["customers"]["items"] = schemas[CustomerFields]
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Contact Router",
            "version": __version__,
            "summary": "HTTP API of the Contact Router routing engine.",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in ROUTES)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


_DESCRIPTION: Final = """\
A response to a command is sent once the command is durable. `history_id`, `epoch` and `seq` give its position in the history:
`seq` numbers the events of a workspace without gaps, `epoch` counts process starts, `history_id` identifies the history.

Errors are problem documents (RFC 9457). Use `code` in programs; `applied` states whether the command took effect
(`no` or `unknown`); `temporary` and `Retry-After` state whether and when to retry.

Points in time are epoch milliseconds: fields named `*_at_ms`, `*_until_ms`, `*_since_ms` and `deadline_ms`. Other fields that end
in `_ms` or `_s` are durations. A value that does not exist is `null` or absent.

Ids match `[A-Za-z0-9._:-]{1,128}`. If a JSON object has a key twice, the last value is used."""


def _kinds() -> list[Any]:
    found: dict[Any, None] = {ProblemDocument: None, EventEnvelope: None, Event: None, StepFields: None, CustomerFields: None}
    for route in ROUTES:
        found[route.response_type] = None
        if route.body_type is not None:
            found[route.body_type] = None
    return list(found)


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    public = route.name in PUBLIC_OPERATIONS
    roles = sorted(PERMISSIONS.get(route.name, ()))
    operation: dict[str, Any] = {
        "operationId": route.name,
        # Viewers show a summary as plain text, and only a description as Markdown.
        "summary": markdown(route.summary).rstrip(".").replace("`", ""),
        "description": "No credential required." if public else f"Roles: {', '.join(roles)}.",
        "tags": [route.tag],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_headers(route)],
        "responses": _responses(route, schemas, public=public),
        "x-roles": roles,
    }
    if public:
        operation["security"] = []
    if route.body_type is not None:
        operation["requestBody"] = _request_body(route, schemas[route.body_type])
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}
    return [
        {"name": name, "in": "path", "required": True, "description": FIELD_TEXTS[name], "schema": schema}
        | ({"example": _PATH_EXAMPLES[name]} if name in _PATH_EXAMPLES else {})
        for name in names
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query_type is EmptyQuery:
        return []
    _, components = schemas_of([route.query_type], _TEMPLATE)
    found = []
    enums = {name: schema for name, schema in components.items() if name != route.query_type.__name__}
    for name, schema in components[route.query_type.__name__]["properties"].items():
        options = [one for one in schema.pop("anyOf", schema.get("allOf", [schema])) if one.get("type") != "null"]
        plain = dict(options[0])
        text = schema.get("description", "")
        reference = plain.pop("$ref", None)
        if reference is not None:
            plain = dict(enums[reference.rsplit("/", 1)[1]])
        plain.pop("description", None)
        if schema.get("default") is not None:
            plain["default"] = schema["default"]
        plain.pop("title", None)
        parameter = {"name": name, "in": "query", "required": False}
        found.append({**parameter, "description": text, "schema": plain})
    return found


def _headers(route: Route) -> list[dict[str, Any]]:
    if not route.is_guarded:
        return []
    names = ("Idempotency-Key",) if route.name in ("submit_contact", "execute_bulk") else tuple(_REQUEST_HEADERS)
    required = route.name == "execute_bulk"
    return [{"name": name, "in": "header", "required": required, **_REQUEST_HEADERS[name]} for name in names]


def _request_body(route: Route, schema: dict[str, Any]) -> dict[str, Any]:
    fields = msgspec.structs.fields(route.body_type)
    types = ["application/json"]
    if route.is_policy_document:
        types.append("application/yaml")
    elif route.method == "PATCH":
        types.append("application/merge-patch+json")
    return {
        "required": route.is_policy_document or any(field.required for field in fields),
        "content": {name: {"schema": schema, "example": BODY_EXAMPLES[route.body_type]} for name in types},
    }


_TABLES: Final = frozenset({"get_statistics", "list_records"})
"""Operations that also answer with CSV or NDJSON."""


def _responses(route: Route, schemas: dict[Any, Any], *, public: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": schemas[route.response_type]}}
    success: dict[str, Any] = {"description": _summary_of(route.response_type), "content": content}
    headers: dict[str, Any] = {}
    if route.method != "GET" and route.response_type.__name__.endswith("Receipt"):
        headers["Idempotency-Replayed"] = _REPLAYED
    if route.name in _TAGGED:
        headers["ETag"] = _ETAG
    if route.response_type is Policy:
        content["application/yaml"] = {"schema": schemas[route.response_type]}
    if route.name in _TABLES:
        content["text/csv"] = {"schema": {"type": "string"}}
        content["application/x-ndjson"] = {"schema": {"type": "string"}}
    if headers:
        success["headers"] = headers
    codes = list(route.problem_codes)
    if not public:
        codes += [*_COMMON, *_UNAVAILABLE]
    if "{" in route.path:
        codes.append("not_found")
    if route.is_guarded:
        codes += ["idempotency_key_reused", "precondition_failed"]
    if route.body_type is not None:
        codes += _WITH_BODY
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    answers = {str(status): success for status in (route.status, route.other_status) if status is not None}
    for status, names in sorted(by_status.items()):
        answers[str(status)] = _problem(names, schemas[ProblemDocument])
    return answers


def _problem(codes: list[str], schema: dict[str, Any]) -> dict[str, Any]:
    lines = [f"`{code}`: {PROBLEMS[code].title}." for code in sorted(codes)]
    answer: dict[str, Any] = {"description": "\n".join(lines), "content": {PROBLEM_CONTENT_TYPE: {"schema": schema}}}
    if any(PROBLEMS[code].temporary for code in codes):
        answer["headers"] = {
            "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 1}}
        }
    return answer


def _summary_of(kind: Any) -> str:
    return markdown((kind.__doc__ or "").strip().split("\n")[0])
