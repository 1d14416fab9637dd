"""Single HTTP requests to the router, for tools that need no WebSocket."""

from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from router.client.connection import describe_failure
from router.client.errors import ClientError, NotConnected
from router.model.errors import Problem

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class _ProblemBody(Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""
    field: str = ""
    errors: tuple[Problem, ...] = ()


class HttpRequestRefused(ClientError):
    """HTTP status other than those of a success."""

    def __init__(self, status: int, body: bytes, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"the router answered with status {describe_problem(status, body)}")
        problem = _decode_problem(body)
        self.status = status
        self.code = problem.code
        """Code of the problem; empty: the body is no problem document."""
        self.problems = problem.errors
        """All errors of the document that was sent."""
        self.retry_after_s = retry_after_s
        """Seconds after which the router wants to be asked again; None: it has not said."""


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """A successful answer."""

    body: bytes
    headers: Mapping[str, str]
    """Header fields; the names are case-insensitive."""


async def request(url: str, path: str, *, token: str, method: str = "GET", document: bytes | None = None) -> bytes:
    """Send one HTTP request and return the body of the answer. Raises NotConnected or HttpRequestRefused."""
    return (await exchange(url, path, token=token, method=method, document=document)).body


async def exchange(
    url: str, path: str, *, token: str, method: str = "GET", document: bytes | None = None, headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """Send one HTTP request and return the answer.

    ``url`` is ``http(s)://host:port``, ``document`` an optional YAML or JSON request body. Redirects are not followed, the
    timeout is 60 s. Raises NotConnected or HttpRequestRefused.
    """
    sent = {"Authorization": f"Bearer {token}", **(headers or {})}
    if document is not None:
        sent.setdefault("Content-Type", "application/yaml")  # JSON is a subset of YAML.
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url.rstrip("/") + path, headers=sent, data=document, allow_redirects=False) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NotConnected(f"no router answers at {url}: {describe_failure(error.__cause__ or error)}") from error
    if not 200 <= response.status < 300:
        after = response.headers.get("Retry-After", "")
        raise HttpRequestRefused(response.status, body, retry_after_s=float(after) if after.isdecimal() else None)
    return HttpAnswer(body=body, headers=response.headers)


def describe_problem(status: int, body: bytes) -> str:
    """Return the status with the code, field and text of a problem document, or the status alone for any other body."""
    problem = _decode_problem(body)
    if not problem.code and not problem.title:
        return str(status)
    field = f"{problem.field}: " if problem.field and problem.detail else ""
    return f"{status} {problem.code}: {field}{problem.detail or problem.title}"


def _decode_problem(body: bytes) -> _ProblemBody:
    try:
        return msgspec.json.decode(body, type=_ProblemBody)
    except msgspec.DecodeError:
        return _ProblemBody()
