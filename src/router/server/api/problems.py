"""Error responses: problem documents (RFC 9457) with stable codes. They never repeat input.

``PROBLEMS`` is the table of all codes with status and title; the ``error`` frames of the WebSockets use the same table.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from router.model.errors import Problem
from router.model.results import RefusalCode, Refused

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:contact-router:problem:"


class ProblemType(Struct, frozen=True):
    """Meaning of a code: HTTP status, title, whether a retry may succeed and whether the command took effect."""

    status: int
    title: str
    temporary: bool = False
    applied: str = "no"
    """``no``, or ``unknown`` if the router cannot tell whether the command took effect."""


_K = ProblemType
PROBLEMS: Final[dict[str, ProblemType]] = {
    # Refusals by the engine.
    "unknown_contact": _K(404, "Contact not found"),
    "unknown_agent": _K(404, "Agent not found"),
    "unknown_queue": _K(404, "Queue not found"),
    "unknown_offer": _K(404, "Offer not found"),
    "unknown_assignment": _K(404, "Assignment not found"),
    "unknown_channel": _K(422, "Channel not in the policy"),
    "unknown_skill": _K(422, "Skill not in the policy"),
    "unknown_fact": _K(422, "Attribute not declared in the policy"),
    "invalid_value": _K(422, "Invalid value"),
    "offer_not_pending": _K(409, "The offer is no longer pending"),
    "invalid_contact_state": _K(409, "Not allowed in the contact's state"),
    "invalid_assignment_state": _K(409, "Not allowed in the assignment's state"),
    "invalid_agent_state": _K(409, "Not allowed in the agent's state"),
    "agent_busy": _K(409, "The agent has open assignments or offers"),
    "capacity_exceeded": _K(409, "The agent has no free capacity"),
    "not_owner": _K(409, "The agent is not the owner of the contact"),
    "agent_unavailable": _K(409, "The agent cannot take the contact now"),
    "invalid_consult_state": _K(409, "Not allowed in the consult's state"),
    "not_participant": _K(409, "The agent is not a participant of the conversation"),
    "participant_limit_exceeded": _K(409, "The channel allows no more participants"),
    "wrap_up_limit_exceeded": _K(409, "The wrap-up limit is reached"),
    "contact_exists": _K(409, "The contact already exists"),
    "idempotency_key_reused": _K(422, "The idempotency key was used with another payload"),
    "queue_full": _K(429, "The queue is full", temporary=True),
    "queue_closed": _K(409, "The queue is closed"),
    "no_agents_ready": _K(409, "No agents are ready"),
    "no_matching_queue": _K(422, "No queue given and no entry rule matches"),
    "callback_not_offered": _K(409, "The queue does not offer callbacks"),
    "invalid_callback_time": _K(422, "No callback can be scheduled for this time"),
    "callback_exists": _K(409, "The contact is already a callback with other terms"),
    "invalid_policy": _K(422, "The policy has errors"),
    "policy_version_conflict": _K(412, "The active policy has another version"),
    "precondition_failed": _K(412, "The object has changed since it was read"),
    "precondition_required": _K(428, "An entity tag is required"),
    "drain_target_required": _K(409, "Contacts are waiting in a removed queue"),
    "channel_in_use": _K(409, "A removed channel is in use"),
    "no_shadow_policy": _K(404, "No shadow policy is set"),
    # Errors of the server itself.
    "malformed": _K(400, "Malformed request"),
    "unauthenticated": _K(401, "Valid credential required"),
    "forbidden": _K(403, "Not permitted for this credential"),
    "origin_forbidden": _K(403, "Origin not allowed"),
    "not_found": _K(404, "Not found"),
    "method_not_allowed": _K(405, "Method not allowed"),
    "body_timeout": _K(408, "Request body timeout", temporary=True),
    "history_reset": _K(410, "The history does not contain this position"),
    "too_large": _K(413, "Request body too large"),
    "unsupported_media_type": _K(415, "Unsupported media type or encoding"),
    "expectation_failed": _K(417, "Expectation failed"),
    "upgrade_required": _K(426, "WebSocket upgrade required"),
    "rate_limited": _K(429, "Too many requests", temporary=True),
    "internal": _K(500, "Internal server error", applied="unknown"),
    "busy": _K(503, "Server overloaded", temporary=True),
    "stopping": _K(503, "The router is shutting down", temporary=True),
    "not_ready": _K(503, "The router is not ready", temporary=True),
    "event_not_reached": _K(503, "The event has not been reached", temporary=True),
    "answer_timeout": _K(503, "No result within the time limit", temporary=True, applied="unknown"),
    "journal_unavailable": _K(503, "Journal unavailable", temporary=True, applied="unknown"),
}


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457) with extension members for programs."""

    type: str
    """URN of the problem: ``urn:contact-router:problem:`` and the code."""
    title: str
    """Short text of the problem."""
    status: int
    """HTTP status."""
    code: str
    """Stable identifier of the problem; use it instead of the title."""
    detail: str = ""
    """Which limit or condition was not met; empty: the title says it. Never repeats input."""
    request_id: str = ""
    """Id of the request in the router's log."""
    field: str | None = None
    """Path of the invalid field, for example ``$.skills``; null: none."""
    applied: str = "no"
    """``no``: the command did not take effect. ``unknown``: it may have; check the state before repeating it."""
    temporary: bool = False
    """Whether the same request may succeed after ``Retry-After`` seconds."""
    retry_after_s: int | None = None
    """Seconds after which to try again; null: a retry does not help."""
    state: str | None = None
    """Present state of the object; null: the problem does not depend on it."""
    allowed: tuple[str, ...] = ()
    """States or commands that would be allowed."""
    seq: int | None = None
    """Sequence number of the event that led to the refusal; null: none."""
    opens_at_ms: int | None = None
    """Next opening time of a closed queue, epoch milliseconds; null: not known, or the queue is not closed."""
    errors: tuple[Problem, ...] = ()
    """All errors of a document such as a policy."""


# `applied` is part of every document, even with its default value.
_encode: Final = msgspec.json.Encoder().encode


# After these errors the rest of the request is unread or cannot be separated from the next one.
_CLOSING: Final = frozenset({"too_large", "body_timeout", "unsupported_media_type"})


class ProblemError(Exception):
    """Exception that ends a request with a problem document; the middleware turns it into the response."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(code)
        self.closes_connection = code in _CLOSING
        kind = PROBLEMS[code]
        if retry_after_s is None and kind.temporary:
            retry_after_s = 1
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)
        self.document = ProblemDocument(
            type=TYPE_PREFIX + code,
            title=kind.title,
            status=kind.status,
            code=code,
            detail=detail,
            applied=kind.applied,
            temporary=kind.temporary,
            retry_after_s=retry_after_s,
            **members,
        )


def problem_from_refusal(refusal: Refused) -> ProblemError:
    """Return the problem for a refusal of the engine."""
    return ProblemError(
        problem_code(refusal.code),
        refusal.detail,
        field=refusal.field,
        state=refusal.state,
        allowed=refusal.allowed,
        seq=refusal.seq,
        opens_at_ms=refusal.opens_at_ms,
    )


def problem_code(code: RefusalCode) -> str:
    """Return the code of a refusal as clients see it."""
    return code.name.lower()


def encode_problem(problem: ProblemDocument, request_id: str) -> bytes:
    """Encode a problem document as JSON with the id of its request."""
    members = msgspec.to_builtins(msgspec.structs.replace(problem, request_id=request_id))
    members["applied"] = problem.applied
    return _encode(members)
