"""Decoding of request bodies and queries into typed structs.

Invalid input becomes a problem that names the field and repeats none of the input. If a JSON object has a key twice, the
last value is used, as in most JSON implementations.
"""

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from router.edge.problems import ProblemRaised
from router.wire.codec import safe_text

T = TypeVar("T")

JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})
YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
)


async def read_body(request: web.Request, *, bytes_max: int, timeout_s: float) -> bytes:
    """Read the whole body. Raises ProblemRaised if it exceeds ``bytes_max`` or takes longer than ``timeout_s``."""
    # Refused unread: a small compressed body could expand to a huge one.
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ProblemRaised("unsupported_media_type", "Content-Encoding is not supported")
    if request.content_length is not None and request.content_length > bytes_max:
        raise ProblemRaised("too_large", f"the limit is {bytes_max} bytes")
    if request.headers.get(hdrs.EXPECT) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.content.is_eof():
            # Most bodies have arrived completely with the head: no timeout needed.
            return await request.read()
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise ProblemRaised(
            "body_timeout", f"the body must arrive within {timeout_s:g} s"
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise ProblemRaised("too_large", f"the limit is {bytes_max} bytes") from None
    except web.RequestPayloadError:
        raise ProblemRaised("malformed", "invalid framing of the body") from None


def require_type(request: web.Request, allowed: frozenset[str]) -> str:
    """Return the media type of the body. Raises ProblemRaised if it is not an allowed one in UTF-8."""
    media_type = request.content_type
    charset = request.charset
    if media_type not in allowed or (charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise ProblemRaised(
            "unsupported_media_type", "Content-Type must be " + " or ".join(sorted(allowed))
        )
    return media_type


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON body. Raises ProblemRaised: 400 if it is not JSON, 422 if it does not match the type."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProblemRaised("malformed", "the body is not well-formed JSON") from None
    except RecursionError:
        raise ProblemRaised("malformed", "the body is nested too deeply") from None


def decode_query(request: web.Request, kind: type[T]) -> T:
    """Decode the query string. Raises ProblemRaised."""
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in values:
            raise ProblemRaised("malformed", "a query parameter occurs twice")
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


_MESSAGE_AND_PATH: Final = re.compile(r"^(.*?)(?: - at (?:`key` in )?`(\$[^`]*)`)?$", re.DOTALL)


def invalid(error: msgspec.ValidationError) -> ProblemRaised:
    """Return the problem for a validation error: with the path of the field, without the input."""
    match = _MESSAGE_AND_PATH.match(safe_text(error))
    assert match is not None
    return ProblemRaised("invalid_value", match.group(1), field=match.group(2) or "$")
