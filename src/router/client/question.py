"""One question over HTTP, for tools that need no socket: asked once, answered whole or not at all."""

from typing import Final

import aiohttp
import msgspec
from msgspec import Struct

from router.client.errors import ClientError, NotConnected

_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class QuestionRefused(ClientError):
    """The router answered with a problem."""


class _Problem(Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""


async def ask(
    url: str, path: str, *, token: str, method: str = "GET", document: bytes | None = None
) -> bytes:
    """The answer's body. ``url``: ``http(s)://host:port``; ``document``: YAML or JSON to send.

    Raises NotConnected or QuestionRefused.
    """
    headers = {"Authorization": f"Bearer {token}"}
    if document is not None:
        headers["Content-Type"] = "application/yaml"  # JSON is YAML, too.
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(
                method,
                url.rstrip("/") + path,
                headers=headers,
                data=document,
                allow_redirects=False,
            ) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NotConnected(f"no router answers at {url}: {type(error).__name__}") from None
    if response.status != 200:
        raise QuestionRefused(f"the router answered with {said(response.status, body)}")
    return body


def said(status: int, body: bytes) -> str:
    """What a refused request was told, in a few words."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        return f"status {status}"
    return f"{status} {problem.code}: {problem.detail or problem.title}"
