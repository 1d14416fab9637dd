"""Request handlers of the API, generated from the route table, and decoding of bodies and queries.

A handler checks the head of a request in this order: credential, permission, readiness, overload (submits only), rate, declared
size and encoding of the body. Cheap checks come before expensive ones, and a request that is refused here has cost no decoding.
When the body is complete, the request counts as one in execution; path, query and body are decoded into typed structs and the
operation runs. The probes skip all checks, so they respond even under overload.

Invalid input becomes a problem that names the field and what would be valid, and repeats no value of the input. If a JSON
object has a key twice, the last value is used, as in most JSON implementations.
"""

import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from router import invalid_input
from router.invalid_input import InvalidInput, NotWellFormed, convert_texts
from router.model.errors import is_harmless_name
from router.model.states import SubjectId
from router.server.api.admission import FAILURE_PAUSE_S, AdmissionControl
from router.server.api.problems import ProblemError
from router.server.api.request import NOT_FOLLOWED_DETAIL, ApiRequest, ApiResponse, Services, follow_first
from router.server.api.route import Route
from router.server.api.routes import ROUTES
from router.server.auth.credentials import (
    OUT_OF_SCOPE,
    PUBLIC_OPERATIONS,
    SCOPED_OPERATIONS,
    AuthFailed,
    Credential,
    Role,
    TokenNotFollowed,
    is_permitted,
)
from router.server.http.application import HandlerResult, HttpRequest, HttpRouter
from router.server.http.responses import HttpResponse

T = TypeVar("T")

JSON_TYPES: Final = frozenset({"application/json", "application/merge-patch+json"})
YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
_JSON_ONLY: Final = frozenset({"application/json"})
_QUERY_PARAMETERS_MAX: Final = 100
# RFC 9110, sections 5.6.2 and 8.3.1.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = rf'[ \t]*;[ \t]*({_TOKEN})=({_TOKEN}|"[^"\\]*")'
_media_type: Final = re.compile(rf"({_TOKEN}/{_TOKEN})((?:{_PARAMETER})*)").fullmatch
_parameters: Final = re.compile(_PARAMETER).findall
_encode: Final = msgspec.json.Encoder().encode


class ProbeHandler:
    """Handler of a public operation: no credential and no slot."""

    def __init__(self, services: Services, route: Route) -> None:
        self.operation = route.name
        self._services = services
        self._route = route

    def check(self, request: HttpRequest) -> bytes | None:
        """Accept every request."""
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Run the operation."""
        return self._run(request)

    async def _run(self, request: HttpRequest) -> HttpResponse:
        api_request = ApiRequest(self._services, None, path_params={}, query_params=None, body=None, header=request.header)
        return as_http_response(await self._route.operation(api_request))


class OperationHandler:
    """Handler of an operation that needs a credential."""

    def __init__(self, services: Services, admission: AdmissionControl, route: Route) -> None:
        self.operation = route.name
        self._services = services
        self._admission = admission
        self._route = route
        self._body_bytes_max = services.settings.server.body_bytes_max
        self._decoder = None if route.body_type is None else msgspec.json.Decoder(route.body_type)
        self._is_body_required = route.body_type is not None and any(
            field.required for field in msgspec.structs.fields(route.body_type)
        )
        self._empty_query = _empty_query(route)

    def check(self, request: HttpRequest) -> bytes | None:
        """Check everything that the head decides. Raises ProblemError."""
        admission = self._admission
        credential = request.credential
        if credential is None or self._services.authenticator.is_expired(credential):
            credential = self._authenticate(request)
        usage = request.usage = admission.usage(credential)
        if not is_permitted(credential.role, self.operation):
            admission.check_rate(usage)
            raise ProblemError("forbidden")
        if credential.scope is not None and self.operation not in SCOPED_OPERATIONS:
            admission.check_rate(usage)
            raise ProblemError("forbidden", OUT_OF_SCOPE)
        if not self._services.readiness.ready:
            raise ProblemError("not_ready")
        if (refusal := self.check_load(request, credential)) is not None:
            return refusal
        admission.check_rate(usage)
        headers = request.headers
        if credential.role is Role.CUSTOMER:
            admission.check_customer_address(admission.addresses.of(request.connection.peer, headers))
        # Refused unread: a small compressed body could expand to a huge one.
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError("unsupported_media_type", "Content-Encoding is not supported")
        length = headers.get("content-length")
        if length is not None and int(length) > self._body_bytes_max:
            raise ProblemError("too_large", f"the limit is {self._body_bytes_max} bytes")
        return None

    def check_load(self, request: HttpRequest, credential: Credential) -> bytes | None:
        """Refuse the request under overload; by default none is refused."""
        return None

    def _authenticate(self, request: HttpRequest) -> Credential:
        value = request.headers.get("authorization", "")
        request.credential = None
        try:
            if not value:
                raise AuthFailed("header")
            scheme, _, token = value.partition(" ")
            if scheme != "Bearer" and scheme.lower() != "bearer":
                raise AuthFailed("scheme")
            credential = self._services.authenticator.verify(token.strip())
        except TokenNotFollowed as unknown:
            raise begin_to_follow(self._services, request, unknown) from None
        except AuthFailed as failed:
            self._services.auth_failures.record(str(failed))
            count_failed_login(self._services, request)
            raise _unauthenticated() from None
        request.credential = credential
        return credential

    def begin(self, request: HttpRequest) -> None:
        """Count a complete request as one in execution, until it is answered. Raises ProblemError at a limit."""
        usage = request.usage
        assert usage is not None
        self._admission.begin(usage)
        request.admission = self._admission

    def handle(self, request: HttpRequest) -> HandlerResult:
        """Run the operation, of a workspace that this node follows. Raises ProblemError."""
        self.begin(request)
        following, credential = self._services.following, request.credential
        if following is None or credential is None or following.note_use(credential.workspace):
            return self.execute(request)
        return self._execute_later(request, credential)

    async def _execute_later(self, request: HttpRequest, credential: Credential) -> HttpResponse | None:
        """Run the operation once this node follows the workspace."""
        await follow_first(self._services, credential.workspace)
        if self._services.authenticator.is_expired(credential):
            raise _unauthenticated()  # The workspace was removed while this node did not follow it.
        result = self.execute(request)
        return result if result is None or isinstance(result, HttpResponse) else await result

    def execute(self, request: HttpRequest) -> HandlerResult:
        """Decode the request and run the operation. Raises ProblemError."""
        api_request = ApiRequest(
            self._services,
            request.credential,
            path_params=_valid_path_params(request),
            query_params=self._query(request),
            body=self.decode_body(request),
            header=request.header,
            release=request.release_slot,
            on_lost=request.on_lost,
        )
        return self._run(api_request)

    async def _run(self, api_request: ApiRequest) -> HttpResponse:
        following = self._services.following
        if following is None:
            return as_http_response(await self._route.operation(api_request))
        workspace = api_request.workspace
        following.enter(workspace)
        try:
            return as_http_response(await self._route.operation(api_request))
        finally:
            following.leave(workspace)

    def _query(self, request: HttpRequest) -> Any:
        if not request.query and self._empty_query is not None:
            return self._empty_query
        return decode_query(request.query, self._route.query_type)

    def decode_body(self, request: HttpRequest) -> Any:
        """Return the decoded body. Raises ProblemError."""
        body, decoder = request.body, self._decoder
        if decoder is None:
            if body:
                raise ProblemError("malformed", "this operation has no request body")
            return None
        if self._route.is_policy_document:
            require_media_type(request, JSON_TYPES | YAML_TYPES)
            return body
        if not body and not self._is_body_required:
            return self._route.body_type()
        require_media_type(request, JSON_TYPES if self._route.method == "PATCH" else _JSON_ONLY)
        return decode_json(body, decoder)


def _unauthenticated() -> ProblemError:
    return ProblemError("unauthenticated", headers={"WWW-Authenticate": "Bearer"})


def begin_to_follow(services: Services, request: HttpRequest, unknown: TokenNotFollowed) -> ProblemError:
    """Begin to follow the workspaces of which the token of a customer may be; return what the client is told meanwhile.

    It counts as an invalid credential, as it may be made up. Raises ProblemError above the rate of failures of the address.
    """
    count_failed_login(services, request)
    if services.following is not None:
        for workspace in unknown.workspaces:
            services.following.begin_soon(workspace)
    return ProblemError("not_ready", NOT_FOLLOWED_DETAIL, retry_after_s=1)


def count_failed_login(services: Services, request: HttpRequest) -> None:
    """Count an invalid credential of a request. Raises ProblemError above the rate of failures of the client's address."""
    admission = services.admission
    try:
        admission.count_failed_login(admission.addresses.of(request.connection.peer, request.headers))
    except ProblemError:
        request.pause_s = FAILURE_PAUSE_S
        raise


def add_api_routes(
    router: HttpRouter, services: Services, admission: AdmissionControl, replaced: dict[str, OperationHandler]
) -> None:
    """Add every route of the API. ``replaced``: handlers of their own, by operation."""
    for route in ROUTES:
        handler: ProbeHandler | OperationHandler
        if route.name in PUBLIC_OPERATIONS:
            handler = ProbeHandler(services, route)
        else:
            handler = replaced.get(route.name) or OperationHandler(services, admission, route)
        router.add(route.method, route.path, handler)


def as_http_response(response: ApiResponse) -> HttpResponse:
    """Return the HTTP response of an operation's response."""
    body = response.body if isinstance(response.body, bytes) else _encode(response.body)
    return HttpResponse(status=response.status, body=body, content_type=response.content_type, headers=response.headers)


def _empty_query(route: Route) -> Any:
    """Return the decoded empty query; None if the route requires parameters."""
    try:
        return msgspec.convert({}, route.query_type)
    except msgspec.ValidationError:
        return None


def _valid_path_params(request: HttpRequest) -> dict[str, str]:
    """Return the path parameters. Raises ProblemError (not_found) if one is not a valid id."""
    for value in request.path_params.values():
        try:
            msgspec.convert(value, SubjectId)
        except msgspec.ValidationError:
            raise ProblemError("not_found") from None
    return dict(request.path_params)


def require_media_type(request: HttpRequest, allowed: frozenset[str]) -> None:
    """Check that the body has one of the media types, in UTF-8. Raises ProblemError."""
    content_type = request.headers.get("content-type", "")
    if content_type in allowed:
        return
    match = _media_type(content_type)
    if match is not None and match[1].lower() in allowed:
        parameters = [(name.lower(), value.strip('"').lower()) for name, value in _parameters(match[2])]
        charsets = [value for name, value in parameters if name == "charset"]
        if charsets in ([], ["utf-8"], ["utf8"]):
            return
    raise ProblemError("unsupported_media_type", "Content-Type must be " + " or ".join(sorted(allowed)))


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a JSON body. Raises ProblemError: 400 if it is not JSON, 422 if it does not match the type."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return invalid_input.decode_json(body, decoder)
    except InvalidInput as invalid:
        raise problem_from_input(invalid) from None
    except NotWellFormed as error:
        detail = f"the body is {error}" if body else "a JSON body is required"
        raise ProblemError("malformed", detail) from None


def decode_query(query: str, kind: type[T]) -> T:
    """Decode a query string. Raises ProblemError."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_PARAMETERS_MAX)
    except ValueError:
        raise ProblemError("malformed", f"at most {_QUERY_PARAMETERS_MAX} query parameters are allowed") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ProblemError(
            "malformed", "a query parameter occurs twice; give each once", field=twice if is_harmless_name(twice) else None
        )
    try:
        return convert_texts(values, kind)
    except InvalidInput as invalid:
        raise problem_from_input(invalid) from None


def problem_from_input(invalid: InvalidInput) -> ProblemError:
    """Return the problem for invalid input: the first field and its rule; with several errors, all of them."""
    errors = invalid.problems if len(invalid.problems) > 1 else ()
    detail = invalid.detail if invalid.field else f"the body {invalid.detail}"
    return ProblemError("invalid_value", detail, field=invalid.field or None, errors=errors)
