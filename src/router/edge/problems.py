"""Errors at the door: problem documents (RFC 9457) with stable codes. They never repeat what was sent.

``PROBLEMS`` is the table of all codes; the sockets' ``error`` frames use the same codes and titles.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from router.model.errors import Problem
from router.model.refusals import RefusalCode, Refused

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:contact-router:problem:"


class ProblemKind(Struct, frozen=True):
    """What a code means: its status, its title, whether the same request may succeed a little later."""

    status: int
    title: str
    temporary: bool = False
    applied: str = "no"
    """``no``, or ``unknown`` where the router cannot tell whether the command took effect."""


_K = ProblemKind
PROBLEMS: Final[dict[str, ProblemKind]] = {
    # Refusals: facts that stand in the way, from the core.
    "unknown_contact": _K(404, "No such contact"),
    "unknown_agent": _K(404, "No such agent"),
    "unknown_queue": _K(404, "No such queue"),
    "unknown_offer": _K(404, "No such offer"),
    "unknown_assignment": _K(404, "No such assignment"),
    "unknown_channel": _K(422, "The policy has no such channel"),
    "unknown_skill": _K(422, "The policy has no such skill"),
    "unknown_fact": _K(422, "The policy declares no such fact"),
    "invalid_value": _K(422, "A value is not allowed"),
    "offer_gone": _K(409, "The offer has ended"),
    "contact_state": _K(409, "The contact's state does not allow it"),
    "assignment_state": _K(409, "The assignment's state does not allow it"),
    "agent_state": _K(409, "The agent's state does not allow it"),
    "agent_busy": _K(409, "The agent has work in hand"),
    "capacity_exceeded": _K(409, "The agent's capacity does not allow it"),
    "not_owner": _K(409, "The contact belongs to another agent"),
    "agent_unavailable": _K(409, "The agent cannot take it now"),
    "consult_state": _K(409, "The consult's state does not allow it"),
    "not_participant": _K(409, "The agent is not in the conversation"),
    "participants_limit": _K(409, "The conversation has as many agents as the channel allows"),
    "wrap_up_limit": _K(409, "The longest wrap-up is reached"),
    "contact_exists": _K(409, "The contact exists already"),
    "key_reused": _K(422, "The idempotency key was used for another payload"),
    "queue_full": _K(429, "The queue is full", temporary=True),
    "queue_closed": _K(409, "The queue is closed"),
    "nobody_there": _K(409, "Nobody is there to take it"),
    "no_queue": _K(422, "No queue named and none found for it"),
    "callback_not_offered": _K(409, "The queue offers no callbacks"),
    "callback_time": _K(422, "The time is not one that a callback can be agreed for"),
    "callback_exists": _K(409, "It is a callback already, on other terms"),
    "policy_invalid": _K(422, "The policy has errors"),
    "policy_version": _K(412, "The policy has another version"),
    "drain_required": _K(409, "A removed queue has contacts waiting"),
    "channel_in_use": _K(409, "A removed channel is in use"),
    "no_shadow": _K(404, "No shadow policy is set"),
    # The door's own.
    "malformed": _K(400, "The request is not well-formed"),
    "unauthenticated": _K(401, "A valid credential is needed"),
    "forbidden": _K(403, "The credential does not allow it"),
    "origin_forbidden": _K(403, "The page's origin is not allowed"),
    "not_found": _K(404, "Nothing is here"),
    "method_not_allowed": _K(405, "The method is not allowed here"),
    "body_timeout": _K(408, "The body did not arrive in time", temporary=True),
    "history_reset": _K(410, "The history does not hold this position"),
    "too_large": _K(413, "The body is too large"),
    "unsupported_media_type": _K(415, "The body's type or encoding is not supported"),
    "expectation_failed": _K(417, "The expectation cannot be met"),
    "upgrade_required": _K(426, "A WebSocket is needed here"),
    "rate_limited": _K(429, "Too many requests", temporary=True),
    "internal": _K(500, "The router failed", applied="unknown"),
    "busy": _K(503, "Too much work at once", temporary=True),
    "stopping": _K(503, "The router is about to stop", temporary=True),
    "not_ready": _K(503, "The router is not ready", temporary=True),
    "not_yet": _K(503, "That event has not happened yet", temporary=True),
    "answer_timeout": _K(503, "No answer in time", temporary=True, applied="unknown"),
    "journal_unavailable": _K(503, "The journal is unavailable", temporary=True, applied="unknown"),
}


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error document (RFC 9457) with the members that programs go by."""

    type: str
    title: str
    status: int
    code: str
    """Stable: programs go by this."""
    detail: str = ""
    request_id: str = ""
    field: str | None = None
    """The offending field, as a path (``$.skills``)."""
    applied: str = "no"
    """``no``: nothing has happened. ``unknown``: ask before you repeat."""
    temporary: bool = False
    """True: the same request may succeed after ``Retry-After`` seconds."""
    retry_after_s: int | None = None
    state: str | None = None
    allowed: tuple[str, ...] = ()
    seq: int | None = None
    """The event that decided otherwise."""
    opens_at_ms: int | None = None
    """Of a closed queue: when it opens, as far as is known."""
    errors: tuple[Problem, ...] = ()


# `applied` is a promise and stands in every document, default or not.
_encode: Final = msgspec.json.Encoder().encode


# After these the rest of the request is unread or cannot be told from the next one.
_CLOSING: Final = frozenset({"too_large", "body_timeout", "unsupported_media_type"})


class ProblemRaised(Exception):
    """Ends a request with a problem document. Raised at the door alone; the outermost layer turns it into the answer."""

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
        self.closes = code in _CLOSING
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


def refused(refusal: Refused) -> ProblemRaised:
    """A refusal of the core as a problem."""
    return ProblemRaised(
        code_of(refusal.code),
        refusal.detail,
        field=refusal.field,
        state=refusal.state,
        allowed=refusal.allowed,
        seq=refusal.seq,
        opens_at_ms=refusal.opens_at_ms,
    )


def code_of(code: RefusalCode) -> str:
    """The stable code on the wire."""
    return code.name.lower()


def problem_bytes(problem: ProblemDocument, request_id: str) -> bytes:
    """The document as bytes."""
    members = msgspec.to_builtins(msgspec.structs.replace(problem, request_id=request_id))
    members["applied"] = problem.applied
    return _encode(members)
