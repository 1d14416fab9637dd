"""Handler of ``POST /v1/contacts``: passes a submit to the writer by a plain call, without a task.

A submit is the most frequent request, so its path is short: the writer calls ``PendingSubmit`` back with the durable result,
which sends the response. Under overload a submit is refused when its head has arrived, with a response that is rendered once
per second; the refusal is counted but not logged, because a log line would cost more than the refusal itself.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from msgspec import UnsetType

from router.model.commands import EnqueueContact
from router.model.errors import CommandQueueFull, JournalUnavailable, RouterError, Stopping
from router.model.results import Refused
from router.protocol.frames import ContactFields
from router.runtime.workspace import Reply
from router.server.api.admission import AdmissionControl
from router.server.api.guards import idempotency_key
from router.server.api.idempotency import add_customer, add_customer_in_memory, enqueue_command, submit_response, with_first_epoch
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import QUEUE_FULL_DETAIL, AppliedCommand, Services, new_request_id, problem_from_fault
from router.server.api.routes import ROUTES
from router.server.api.submit_customer import ReplyWhenStored
from router.server.auth.credentials import Credential
from router.server.http.application import HandlerResult, HttpApplication, HttpRequest
from router.server.http.handlers import OperationHandler, decode_json
from router.server.http.responses import CachedProblemResponse, HttpResponse

_OPERATION: Final = "submit_contact"
# Headers that change the response.
_RENDERED_APART: Final = frozenset({"origin", "x-request-id", "traceparent"})
# The value of `Retry-After`: a client that waits this long is not delayed further.
_PAUSE_S_MAX: Final = 1.0
_encode: Final = msgspec.json.Encoder().encode


class PendingSubmit:
    """A submit in flight; it is the reply object that the writer calls with the result."""

    __slots__ = ("_handler", "_request", "workspace")

    def __init__(self, handler: "SubmitHandler", request: HttpRequest, workspace: str) -> None:
        self._handler = handler
        self._request: HttpRequest | None = request
        self.workspace = workspace

    def done(self) -> bool:
        """Return whether the response was sent or the connection was lost."""
        return self._request is None

    def set_result(self, reply: Reply) -> None:
        """Handle the durable result of the command. Called by the writer; raises nothing."""
        request = self._request
        if request is None:
            return
        try:
            result = reply.outcome.result
            if isinstance(result, Refused):
                self.fail(problem_from_refusal(result))
                return
            applied = AppliedCommand(
                result=result, epoch=reply.epoch, history_id=reply.history_id, durability=self._handler.store_durability
            )
            if result.replayed:
                self._handler.load_first_result(self, applied)
            else:
                self.succeed(applied)
        except Exception as error:
            self.fail_unexpectedly(error)

    def set_exception(self, error: Exception) -> None:
        """Handle a failed command; the command may or may not have taken effect."""
        if isinstance(error, CommandQueueFull | Stopping | JournalUnavailable):
            self.fail(problem_from_fault(error))
        else:
            self.fail_unexpectedly(error)

    @property
    def age_s(self) -> float:
        """Time since the request started, in seconds."""
        request = self._request
        return 0.0 if request is None else (time.perf_counter_ns() - request.started_ns) / 1e9

    def succeed(self, applied: AppliedCommand) -> None:
        """Send the receipt."""
        if (request := self._end()) is not None:
            receipt = submit_response(applied)
            response = HttpResponse(status=receipt.status, body=_encode(receipt.body), headers=receipt.headers)
            self._handler.application.respond(request, response)

    def fail(self, raised: ProblemError) -> None:
        """Send a problem document."""
        if (request := self._end()) is not None:
            self._handler.application.fail(request, raised)

    def fail_unexpectedly(self, error: BaseException) -> None:
        """Log an unexpected error and send a problem document without details."""
        if (request := self._end()) is not None:
            self._handler.application.fail_unexpectedly(request, error)

    def abandon(self) -> None:
        """Drop the response because the connection was lost; the command is executed regardless."""
        if (request := self._end()) is not None:
            request.release_slot()

    def _end(self) -> HttpRequest | None:
        request, self._request = self._request, None
        if request is not None:
            request.pending = None
            self._handler.in_flight.pop(self, None)
        return request


class SubmitHandler(OperationHandler):
    """Handler of submits, with the submits in flight and their timeout."""

    def __init__(self, services: Services, admission: AdmissionControl, application: HttpApplication) -> None:
        [route] = (route for route in ROUTES if route.name == _OPERATION)
        super().__init__(services, admission, route)
        self.application = application
        self.admission = admission
        self._writer = services.writer
        self._journal = services.journal
        self._decode = msgspec.json.Decoder(ContactFields)
        self._busy = CachedProblemResponse(application.writer, ProblemError("busy", QUEUE_FULL_DETAIL))
        self._refused_busy = services.process_metrics.requests.labels(_OPERATION, "503")
        self._problems_busy = services.process_metrics.problems.labels("busy")
        settings = services.settings
        self.refusal_pause_s = min(settings.runtime.submit_wait_ms_max / 1000, _PAUSE_S_MAX)
        """Time in seconds for which the next submit of a connection is delayed after a refused one."""
        self._timeout_s = float(settings.server.answer_timeout_s)
        self.in_flight: dict[PendingSubmit, None] = {}
        """Submits in flight in the order of their start."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def store_durability(self) -> str | UnsetType:
        """Level of the store for receipts; unset with a journal in files."""
        return self._services.store_durability

    def check_load(self, request: HttpRequest, credential: Credential) -> bytes | None:
        """Refuse the submit if too many of the workspace are waiting."""
        if not self._writer.is_submit_refused(credential.workspace):
            return None
        request.delays_next_submit = True
        self._refused_busy.inc()
        self._problems_busy.inc()
        if request.keep_alive and _RENDERED_APART.isdisjoint(request.headers):
            return self._busy.encode(new_request_id())
        raise ProblemError("busy", QUEUE_FULL_DETAIL)

    def execute(self, request: HttpRequest) -> HandlerResult:
        """Submit the contact; the response is sent when the command is durable. Raises ProblemError."""
        credential = request.credential
        assert credential is not None
        headers = request.headers
        if request.query:
            self._query(request)
        if headers.get("content-type") == "application/json":
            fields = decode_json(request.body, self._decode)
        else:
            fields = self.decode_body(request)
        key = idempotency_key(request.header) if "idempotency-key" in headers else None
        if "if-match" in headers:
            raise ProblemError("precondition_failed", "a contact that is submitted has no entity tag yet", field="If-Match")
        command = enqueue_command(credential, fields, key)
        pending = request.pending = PendingSubmit(self, request, credential.workspace)
        self.in_flight[pending] = None
        if self._timer is None:
            self._start_timer(self._timeout_s)
        try:
            ready = add_customer_in_memory(self._services, credential.workspace, command, fields)
            if ready is None:
                self._start_task(pending.workspace, self._submit_with_customer(pending, credential, command, fields))
                return None
            submit, stored = ready
            reply = pending if stored is None else ReplyWhenStored(pending, stored)
            self._writer.submit(credential.workspace, submit, actor=credential.actor, reply=reply)
        except RouterError as error:
            request.delays_next_submit = True
            pending.set_exception(error)
        return None

    async def _submit_with_customer(
        self, pending: PendingSubmit, credential: Credential, command: EnqueueContact, fields: ContactFields
    ) -> None:
        """Submit a contact once its customer is known, or the deadline for that has passed."""
        try:
            submit, stored = await add_customer(self._services, credential.workspace, command, fields)
            reply = pending if stored is None else ReplyWhenStored(pending, stored)
            self._writer.submit(credential.workspace, submit, actor=credential.actor, reply=reply)
        except RouterError as error:
            pending.set_exception(error)
        except Exception as error:
            pending.fail_unexpectedly(error)

    def load_first_result(self, submit: PendingSubmit, applied: AppliedCommand) -> None:
        """Read the first result of a repeated submit from the journal, in a task."""
        self._start_task(submit.workspace, self._load_first_result(submit, applied))

    def _start_task(self, workspace: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        if (following := self._services.following) is not None:
            following.enter(workspace)
            task.add_done_callback(lambda _: following.leave(workspace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load_first_result(self, submit: PendingSubmit, applied: AppliedCommand) -> None:
        try:
            submit.succeed(await with_first_epoch(self._journal, submit.workspace, applied))
        except RouterError as error:
            submit.set_exception(error)
        except Exception as error:
            submit.fail_unexpectedly(error)

    # --- timeout ---------------------------------------------------------------------------------
    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check_timeouts)

    def _check_timeouts(self) -> None:
        """Fail the submits whose timeout has passed; one timer suffices, since all have the same timeout."""
        self._timer = None
        for submit in list(self.in_flight):
            remaining_s = self._timeout_s - submit.age_s
            if remaining_s > 0:
                self._start_timer(remaining_s)
                return
            submit.fail(ProblemError("answer_timeout"))
