"""Request handlers generated from the route table.

A handler checks in this order: free slot, credential, rate, permission, readiness, overload (submits only), query and body;
then it runs the operation. Cheap checks come before expensive ones. The probes skip all of them.
"""

from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from router.edge.admission import Admission
from router.edge.auth import AuthFailed, Credential
from router.edge.backend import Backend
from router.edge.bodies import (
    JSON_TYPES,
    YAML_TYPES,
    decode_json,
    decode_query,
    read_body,
    require_type,
)
from router.edge.call import Answer, Call
from router.edge.entrance import ACTOR, OPERATION, Handler
from router.edge.permissions import PUBLIC, may
from router.edge.problems import ProblemRaised
from router.edge.routes import ROUTES, Route
from router.model.errors import InboxFull
from router.model.ids import Ident

_encode: Final = msgspec.json.Encoder().encode
_JSON_ONLY: Final = frozenset({"application/json"})
_SUBMIT: Final = "submit_contact"


class Operations:
    """Handlers of all routes of the API."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._limits = backend.settings.edge
        self.admission = Admission(backend.settings.edge)

    def add_to(self, app: web.Application) -> None:
        """Register every route with the application."""
        for route in ROUTES:
            app.router.add_route(
                route.method,
                route.path,
                self._public_handler(route)
                if route.name in PUBLIC
                else self._authenticated_handler(route),
                expect_handler=_expect,
            )

    def _public_handler(self, route: Route) -> Handler:
        """Return the handler of a probe: no credential and no slot, so it responds even under overload."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request[OPERATION] = route.name
            api_request = Call(
                self._backend,
                None,
                path={},
                query=None,
                body=None,
                headers=request.headers.get,
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
                self.admission.admit(credential.key)
                if not may(credential.role, route.name):
                    raise ProblemRaised("forbidden")
                if not self._backend.condition.ready:
                    raise ProblemRaised("not_ready")
                if route.name == _SUBMIT:
                    # Under overload a refusal must be cheap: refuse before the body is decoded.
                    self._admit_submit(credential.workspace)
                api_request = Call(
                    self._backend,
                    credential,
                    path=_path_params(request),
                    query=empty_query
                    if empty_query is not None and not request.query_string
                    else decode_query(request, route.query),
                    body=await self._body(request, route, decoder),
                    headers=request.headers.get,
                )
                return _as_response(await route.operation(api_request))

        return handle

    def _admit_submit(self, workspace: str) -> None:
        try:
            self._backend.writer.admit_submit(workspace)
        except InboxFull:
            raise ProblemRaised("busy") from None

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
            self._backend.process.auth_failures.labels(str(failed)).inc()
            self.admission.count_failure()
            raise ProblemRaised(
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
                raise ProblemRaised("malformed", "this operation has no request body")
            return None
        if route.is_policy_document:
            require_type(request, JSON_TYPES | YAML_TYPES)
            return body
        if not body and not _is_body_required(route.request):
            return route.request()
        require_type(request, JSON_TYPES if route.method == "PATCH" else _JSON_ONLY)
        return decode_json(body, decoder)


def _body_decoder(route: Route) -> "msgspec.json.Decoder[Any] | None":
    """Return the decoder of the route's request bodies; None if it has none."""
    return None if route.request is None else msgspec.json.Decoder(route.request)


def _empty_query(route: Route) -> Any:
    """Return the decoded empty query; None if the route requires parameters."""
    try:
        return msgspec.convert({}, route.query)
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
            raise ProblemRaised("not_found") from None
    return dict(params)


def _as_response(answer: Answer) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    return web.Response(
        body=body, status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


async def _expect(_request: web.Request) -> None:
    """Defer ``100 Continue`` to the handler, which sends it after checking the credential."""
