"""Single HTTP requests to the router, for tools that need no WebSocket."""

from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from router.client.connection import describe_failure
from router.client.errors import ClientError, NotConnected

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class HttpRequestRefused(ClientError):
    """HTTP status other than 200."""


class _ProblemBody(Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""


async def request(url: str, path: str, *, token: str, method: str = "GET", document: bytes | None = None) -> bytes:
    """Send one HTTP request and return the body of the response.

    ``url`` is ``http(s)://host:port``, ``document`` an optional YAML or JSON request body. Redirects are not followed, the
    timeout is 60 s. Raises NotConnected or HttpRequestRefused.
    """
    headers = {"Authorization": f"Bearer {token}"}
    if document is not None:
        headers["Content-Type"] = "application/yaml"  # JSON is a subset of YAML.
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url.rstrip("/") + path, headers=headers, data=document, allow_redirects=False) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NotConnected(f"no router answers at {url}: {describe_failure(error.__cause__ or error)}") from error
    if response.status != 200:
        raise HttpRequestRefused(f"the router answered with status {describe_problem(response.status, body)}")
    return body


def describe_problem(status: int, body: bytes) -> str:
    """Return the status with the code and text of a problem document, or the status alone for any other body."""
    try:
        problem = msgspec.json.decode(body, type=_ProblemBody)
    except msgspec.DecodeError:
        return str(status)
    return f"{status} {problem.code}: {problem.detail or problem.title}"
