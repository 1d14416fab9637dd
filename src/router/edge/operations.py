"""From a row of the route table to a handler: health checks first, then credential, permission, rate, body, operation."""

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
    """The handlers of all routes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._limits = backend.settings.edge
        self._admission = Admission(backend.settings.edge)

    def add_to(self, app: web.Application) -> None:
        """Put every row of the table into the application."""
        for route in ROUTES:
            app.router.add_route(
                route.method,
                route.path,
                self._public(route) if route.name in PUBLIC else self._guarded(route),
                expect_handler=_expect,
            )

    def _public(self, route: Route) -> Handler:
        """Health checks: no credential, no slot, so they are answered however full the house is."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request[OPERATION] = route.name
            call = Call(
                self._backend,
                None,
                path={},
                query=None,
                body=None,
                headers=request.headers.get,
            )
            return _as_response(await route.operation(call))

        return handle

    def _guarded(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            request[OPERATION] = route.name
            with self._admission.slot():
                credential = self._authenticate(request)
                request[ACTOR] = credential.actor
                self._admission.admit(credential.key)
                if not may(credential.role, route.name):
                    raise ProblemRaised("forbidden")
                if not self._backend.condition.ready:
                    raise ProblemRaised("not_ready")
                if route.name == _SUBMIT:
                    # Under overload a refusal has to be cheap: before the body is looked at.
                    self._admit_submit(credential.workspace)
                call = Call(
                    self._backend,
                    credential,
                    path=_path(request),
                    query=decode_query(request, route.query),
                    body=await self._body(request, route),
                    headers=request.headers.get,
                )
                return _as_response(await route.operation(call))

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
            self._admission.count_failure()
            raise ProblemRaised(
                "unauthenticated", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
            ) from None

    async def _body(self, request: web.Request, route: Route) -> Any:
        body = await read_body(
            request,
            bytes_max=self._limits.body_bytes_max,
            timeout_s=self._limits.body_timeout_s,
        )
        if route.request is None:
            if body:
                raise ProblemRaised("malformed", "no body is expected")
            return None
        if route.is_policy_document:
            require_type(request, JSON_TYPES | YAML_TYPES)
            return body
        if not body and not _required(route.request):
            return route.request()
        require_type(request, JSON_TYPES if route.method == "PATCH" else _JSON_ONLY)
        return decode_json(body, route.request)


def _required(kind: Any) -> bool:
    return any(field.required for field in msgspec.structs.fields(kind))


def _path(request: web.Request) -> dict[str, str]:
    """The ids in the path. One that cannot be an id is the id of nothing."""
    for value in request.match_info.values():
        try:
            msgspec.convert(value, Ident)
        except msgspec.ValidationError:
            raise ProblemRaised("not_found") from None
    return dict(request.match_info)


def _as_response(answer: Answer) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    return web.Response(
        body=body, status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


async def _expect(_request: web.Request) -> None:
    """``100 Continue`` is sent when the body is wanted: after the credential, not before."""
