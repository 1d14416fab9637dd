"""Error responses: problem documents (RFC 9457) with stable codes. They never repeat input.

``problem_types.py`` is the table of all codes; the ``error`` frames of the WebSockets use the same table.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from router.model.errors import Problem
from router.model.results import RefusalCode, Refused
from router.protocol.problem_types import PROBLEMS, type_uri

PROBLEM_CONTENT_TYPE: Final = "application/problem+json"


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457) with extension members for programs."""

    type: str
    """Reference to the explanation of the code on the router's page ``/docs/errors``."""
    title: str
    """Short text of the problem."""
    status: int
    """HTTP status."""
    code: str
    """Stable identifier of the problem; use it instead of the title."""
    detail: str = ""
    """Which limit or condition was not met, or what would be valid. Never repeats input."""
    action: str = ""
    """What to do about it."""
    request_id: str = ""
    """Id of the request in the router's log."""
    field: str | None = None
    """Path of the invalid field in the body (``skills.english``, ``preferred_agents[2]``), or name of the invalid parameter or
    header; null: none."""
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


# What the engine names by the fields of frames is a header over HTTP.
HEADER_FIELDS: Final = {"idempotency_key": "Idempotency-Key", "if_match": "If-Match", "if_none_match": "If-None-Match"}


class ProblemError(Exception):
    """Exception that ends a request with a problem document; the middleware turns it into the response.

    Without a ``detail`` the document has the meaning of the code.
    """

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
            type=type_uri(code),
            title=kind.title,
            status=kind.status,
            code=code,
            detail=detail or kind.meaning,
            action=kind.action,
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
        field=HEADER_FIELDS.get(refusal.field or "", refusal.field),
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
