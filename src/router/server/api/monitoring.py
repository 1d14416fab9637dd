"""API operations of supervisors who join conversations, the reports of the gateways that connect them, and their routes."""

import math
from typing import Final

from msgspec import Struct

from router.model.commands import MonitorContact, ReportMonitor, StopMonitoring
from router.model.states import MonitorMode, MonitorOutcome, SubjectId
from router.runtime.clock import Clock
from router.server.api.bodies import ContactReceipt
from router.server.api.contacts import execute_on_contact, path_contact_id
from router.server.api.request import ApiRequest, ApiResponse, Operation
from router.server.api.route import Route
from router.server.auth.credentials import Authenticator, Credential


class MonitorTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mode in which a supervisor joins a conversation."""

    mode: MonitorMode
    """``listen``, ``whisper`` (heard by the agent only) or ``barge`` (in the conversation)."""


class MonitorEnd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervisor who leaves a conversation; the body may be omitted."""

    supervisor_id: SubjectId | None = None
    """Supervisor to remove; omitted: oneself."""


class MonitorReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Outcome of what ``contact.monitor_requested`` requested."""

    supervisor_id: SubjectId
    """Supervisor of the request."""
    mode: MonitorMode
    """Mode of the request that is answered; any for ``left``."""
    outcome: MonitorOutcome
    """Whether the supervisor is connected in that mode, or is connected no more."""


def credential_end_ms(authenticator: Authenticator, clock: Clock, credential: Credential) -> int:
    """Return when a credential expires on the router's clock, epoch milliseconds."""
    return clock.now_ms() + math.floor(authenticator.remaining_s(credential) * 1000)


async def monitor_contact(request: ApiRequest) -> ApiResponse:
    """Join a conversation (`listen`, `whisper`, `barge`), or change the mode; the gateway connects the supervisor.

    The answer does not wait for the gateway: `contact.monitor_joined` tells when it has. With the present mode, a request with
    a newer token lets the supervisor stay for longer.
    """
    services, credential = request.services, request.credential
    command = MonitorContact(
        contact_id=path_contact_id(request),
        supervisor_id=credential.subject,
        mode=request.body.mode,
        until_ms=credential_end_ms(services.authenticator, services.writer.clock, credential),
    )
    return await execute_on_contact(request, command)


async def stop_monitoring(request: ApiRequest) -> ApiResponse:
    """Leave a conversation that one has joined, or remove another supervisor from it. No effect if they have not joined.

    The gateway disconnects them when it hears `contact.monitor_left`.
    """
    contact_id = path_contact_id(request)
    return await execute_on_contact(request, StopMonitoring.by(request.credential.subject, contact_id, request.body.supervisor_id))


async def report_monitor(request: ApiRequest) -> ApiResponse:
    """Report the outcome of `contact.monitor_requested`, or that a supervisor is connected no more."""
    body = request.body
    command = ReportMonitor(
        contact_id=path_contact_id(request),
        supervisor_id=body.supervisor_id,
        mode=body.mode,
        outcome=body.outcome,
        gateway_id=request.gateway_id,
    )
    return await execute_on_contact(request, command)


def _route(action: str, operation: Operation, body_type: type[Struct], *codes: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/contacts/{{contact_id}}/{action}",
        operation=operation,
        body_type=body_type,
        response_type=ContactReceipt,
        tag="contacts",
        problem_codes=("unknown_contact", "invalid_contact_state", *codes),
    )


MONITORING_ROUTES: Final = (
    _route("monitor", monitor_contact, MonitorTarget, "monitoring_not_allowed", "monitor_limit_exceeded"),
    _route("monitor/leave", stop_monitoring, MonitorEnd),
    _route("monitor/result", report_monitor, MonitorReport),
)
