"""Request handlers generated from the route table.

A handler checks in this order: free slot, credential, rate, permission, readiness, overload (submits only), query and body;
then it runs the operation. Cheap checks come before expensive ones. The probes skip all of them.

Decoding of request bodies and queries into typed structs.

Invalid input becomes a problem that names the field and repeats none of the input. If a JSON object has a key twice, the
last value is used, as in most JSON implementations.
"""

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from router.model.errors import CommandQueueFull
from router.model.ids import Ident
from router.protocol.codec import redacted_error
from router.server.api.admission import AdmissionControl
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse, Services
from router.server.api.routes import ROUTES, Route
from router.server.auth.credentials import AuthFailed, Credential
from router.server.auth.permissions import PUBLIC_OPERATIONS, is_permitted
from router.server.http.middleware import ACTOR, OPERATION, Handler

_encode: Final = msgspec.json.Encoder().encode

_JSON_ONLY: Final = frozenset({"application/json"})

_SUBMIT: Final = "submit_contact"


class ApiHandlers:
    """Handlers of all routes of the API."""

    def __init__(self, backend: Services) -> None:
        self._backend = backend
        self._limits = backend.settings.server
        self.admission = AdmissionControl(backend.settings.server)

    def add_to(self, app: web.Application) -> None:
        """Register every route with the application."""
        for route in ROUTES:
            app.router.add_route(
                route.method,
                route.path,
                self._public_handler(route)
                if route.name in PUBLIC_OPERATIONS
                else self._authenticated_handler(route),
                expect_handler=_expect,
            )

    def _public_handler(self, route: Route) -> Handler:
        """Return the handler of a probe: no credential and no slot, so it responds even under overload."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request[OPERATION] = route.name
            api_request = ApiRequest(
                self._backend,
                None,
                path_params={},
                query_params=None,
                body=None,
                header=request.headers.get,
            )
            return _as_response(await route.operation(api_request))

        return handle

    def _authenticated_handler(self, route: Route) -> Handler:
        decoder = _body_decoder(route)
        empty_query = _empty_query(route)

        async def handle(request: web.Request) -> web.StreamResponse:
            request[OPERATION] = route.name
            with self.admission.slot():
                credential = self._authenticate(request)
                request[ACTOR] = credential.actor
                self.admission.check_rate(credential.rate_limit_key)
                if not is_permitted(credential.role, route.name):
                    raise ProblemError("forbidden")
                if not self._backend.readiness.ready:
                    raise ProblemError("not_ready")
                if route.name == _SUBMIT:
                    # Under overload a refusal must be cheap: refuse before the body is decoded.
                    self._admit_submit(credential.workspace)
                api_request = ApiRequest(
                    self._backend,
                    credential,
                    path_params=_path_params(request),
                    query_params=empty_query
                    if empty_query is not None and not request.query_string
                    else decode_query(request, route.query_type),
                    body=await self._body(request, route, decoder),
                    header=request.headers.get,
                )
                return _as_response(await route.operation(api_request))

        return handle

    def _admit_submit(self, workspace: str) -> None:
        try:
            self._backend.writer.admit_submit(workspace)
        except CommandQueueFull:
            raise ProblemError("busy") from None

    def _authenticate(self, request: web.Request) -> Credential:
        values = request.headers.getall(hdrs.AUTHORIZATION, [])
        try:
            if len(values) != 1:
                raise AuthFailed("header")
            scheme, _, token = values[0].partition(" ")
            if scheme.lower() != "bearer":
                raise AuthFailed("scheme")
            return self._backend.authenticator.verify(token.strip())
        except AuthFailed as failed:
            self._backend.process_metrics.auth_failures.labels(str(failed)).inc()
            self.admission.count_failed_login()
            raise ProblemError(
                "unauthenticated", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
            ) from None

    async def _body(
        self, request: web.Request, route: Route, decoder: "msgspec.json.Decoder[Any] | None"
    ) -> Any:
        body = await read_body(
            request,
            bytes_max=self._limits.body_bytes_max,
            timeout_s=self._limits.body_timeout_s,
        )
        if decoder is None:
            if body:
                raise ProblemError("malformed", "this operation has no request body")
            return None
        if route.is_policy_document:
            require_media_type(request, JSON_TYPES | YAML_TYPES)
            return body
        if not body and not _is_body_required(route.body_type):
            return route.body_type()
        require_media_type(request, JSON_TYPES if route.method == "PATCH" else _JSON_ONLY)
        return decode_json(body, decoder)


def _body_decoder(route: Route) -> "msgspec.json.Decoder[Any] | None":
    """Return the decoder of the route's request bodies; None if it has none."""
    return None if route.body_type is None else msgspec.json.Decoder(route.body_type)


def _empty_query(route: Route) -> Any:
    """Return the decoded empty query; None if the route requires parameters."""
    try:
        return msgspec.convert({}, route.query_type)
    except msgspec.ValidationError:
        return None


def _is_body_required(kind: Any) -> bool:
    return any(field.required for field in msgspec.structs.fields(kind))


def _path_params(request: web.Request) -> dict[str, str]:
    """Return the path parameters. Raises ProblemRaised (not_found) if one is not a valid id."""
    params = request.match_info
    if not params:
        return {}
    for value in params.values():
        try:
            msgspec.convert(value, Ident)
        except msgspec.ValidationError:
            raise ProblemError("not_found") from None
    return dict(params)


def _as_response(answer: ApiResponse) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    return web.Response(
        body=body, status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


async def _expect(_request: web.Request) -> None:
    """Defer ``100 Continue`` to the handler, which sends it after checking the credential."""


T = TypeVar("T")

JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})

YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
)


async def read_body(request: web.Request, *, bytes_max: int, timeout_s: float) -> bytes:
    """Read the whole body. Raises ProblemRaised if it exceeds ``bytes_max`` or takes longer than ``timeout_s``."""
    # Refused unread: a small compressed body could expand to a huge one.
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        raise ProblemError("unsupported_media_type", "Content-Encoding is not supported")
    if request.content_length is not None and request.content_length > bytes_max:
        raise ProblemError("too_large", f"the limit is {bytes_max} bytes")
    if request.headers.get(hdrs.EXPECT) and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.content.is_eof():
            # Most bodies have arrived completely with the head: no timeout needed.
            return await request.read()
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise ProblemError("body_timeout", f"the body must arrive within {timeout_s:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise ProblemError("too_large", f"the limit is {bytes_max} bytes") from None
    except web.RequestPayloadError:
        raise ProblemError("malformed", "invalid framing of the body") from None


def require_media_type(request: web.Request, allowed: frozenset[str]) -> str:
    """Return the media type of the body. Raises ProblemRaised if it is not an allowed one in UTF-8."""
    media_type = request.content_type
    charset = request.charset
    if media_type not in allowed or (charset or "utf-8").lower() not in {"utf-8", "utf8"}:
        raise ProblemError(
            "unsupported_media_type", "Content-Type must be " + " or ".join(sorted(allowed))
        )
    return media_type


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON body. Raises ProblemRaised: 400 if it is not JSON, 422 if it does not match the type."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise problem_from_validation(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProblemError("malformed", "the body is not well-formed JSON") from None
    except RecursionError:
        raise ProblemError("malformed", "the body is nested too deeply") from None


def decode_query(request: web.Request, kind: type[T]) -> T:
    """Decode the query string. Raises ProblemRaised."""
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in values:
            raise ProblemError("malformed", "a query parameter occurs twice")
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise problem_from_validation(error) from None


_MESSAGE_AND_PATH: Final = re.compile(r"^(.*?)(?: - at (?:`key` in )?`(\$[^`]*)`)?$", re.DOTALL)


def problem_from_validation(error: msgspec.ValidationError) -> ProblemError:
    """Return the problem for a validation error: with the path of the field, without the input."""
    match = _MESSAGE_AND_PATH.match(redacted_error(error))
    assert match is not None
    return ProblemError("invalid_value", match.group(1), field=match.group(2) or "$")
