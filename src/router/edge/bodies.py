"""Bodies and queries into typed structs; what does not fit becomes a problem that names the place and repeats nothing.

A JSON object that names a key twice counts its last value, as most readers of JSON do.
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
    """The whole body, within its limits of size and time. Raises ProblemRaised."""
    # Encodings are refused unread: a small body could unfold into a huge one.
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ProblemRaised("unsupported_media_type", "a body must not be encoded")
    if request.content_length is not None and request.content_length > bytes_max:
        raise ProblemRaised("too_large", f"at most {bytes_max} bytes")
    if request.headers.get(hdrs.EXPECT) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.content.is_eof():
            # All of it came with the head, as nearly all bodies do: there is nothing to wait for.
            return await request.read()
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise ProblemRaised("body_timeout", f"within {timeout_s:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise ProblemRaised("too_large", f"at most {bytes_max} bytes") from None
    except web.RequestPayloadError:
        raise ProblemRaised("malformed", "the body's framing is broken") from None


def require_type(request: web.Request, allowed: frozenset[str]) -> str:
    """The body's media type, one of the allowed ones. Raises ProblemRaised."""
    media_type = request.content_type
    charset = request.charset
    if media_type not in allowed or (charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise ProblemRaised("unsupported_media_type", "expected " + " or ".join(sorted(allowed)))
    return media_type


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A JSON document as a struct. Raises ProblemRaised: 400 where it is no JSON, 422 where it does not fit."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProblemRaised("malformed", "the body is not well-formed JSON") from None
    except RecursionError:
        raise ProblemRaised("malformed", "the body is nested too deeply") from None


def decode_query(request: web.Request, kind: type[T]) -> T:
    """The query as a struct. Raises ProblemRaised."""
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in values:
            raise ProblemRaised("malformed", "a query parameter is given twice")
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


_PLACE: Final = re.compile(r"^(.*?)(?: - at (?:`key` in )?`(\$[^`]*)`)?$", re.DOTALL)


def invalid(error: msgspec.ValidationError) -> ProblemRaised:
    """A validation error as a problem, with the place but without a word of what was sent."""
    found = _PLACE.match(safe_text(error))
    assert found is not None
    return ProblemRaised("invalid_value", found.group(1), field=found.group(2) or "$")
