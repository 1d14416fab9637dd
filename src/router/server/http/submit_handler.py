"""Fast path for submits: from a parsed head to the response, without a task and without the HTTP library.

A submit is passed to the writer by a plain call; the writer calls ``Submit`` back with the durable result, which writes
the response to its connection. The checks and problem texts are those of the ordinary handlers, ordered by their cost:
credential, overload, body, rate. A request that fails for another reason than load is passed to the library path, which
produces the error response.
"""

import asyncio
import time
from typing import Final, Protocol

import msgspec
import structlog

from router.model.errors import CommandQueueFull, JournalUnavailable, RouterError, Stopping
from router.model.results import Refused
from router.protocol.frames import ContactFields
from router.runtime.writer import Reply
from router.server.api.admission import AdmissionControl
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import AppliedCommand, Services, new_request_id, problem_from_fault
from router.server.api.submission import enqueue_command, submit_response, with_first_epoch
from router.server.auth.permissions import is_permitted
from router.server.http.middleware import Middleware
from router.server.http.responses import CachedProblemResponse, ResponseWriter
from router.server.http.submit_parser import SubmitHead, SubmitHeadParser

_OPERATION: Final = "submit_contact"
# The value of `Retry-After`: a client that waits this long is not delayed further.
_PAUSE_S_MAX: Final = 1.0
_encode: Final = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class SubmitConnection(Protocol):
    """Connection on which a submit arrived."""

    def send_response(self, data: bytes) -> None:
        """Send the response to the submit in flight. Must not raise."""


class PendingSubmit:
    """A submit in flight; it is the reply object that the writer calls with the result."""

    __slots__ = ("_connection", "_head", "_started_ns", "_submits")

    def __init__(
        self, submits: "SubmitHandler", connection: SubmitConnection, head: SubmitHead
    ) -> None:
        self._submits = submits
        self._connection: SubmitConnection | None = connection
        self._head = head
        self._started_ns = time.perf_counter_ns()

    def done(self) -> bool:
        """Return whether the response was sent or the connection was lost."""
        return self._connection is None

    def set_result(self, reply: Reply) -> None:
        """Handle the durable result of the command. Called by the writer; raises nothing."""
        try:
            answer = reply.outcome.result
            if isinstance(answer, Refused):
                self.fail(problem_from_refusal(answer))
            elif answer.replayed:
                self._submits.load_first_result(
                    self,
                    AppliedCommand(result=answer, epoch=reply.epoch, history_id=reply.history_id),
                )
            else:
                self.succeed(
                    AppliedCommand(result=answer, epoch=reply.epoch, history_id=reply.history_id)
                )
        except Exception:
            self.fail_unexpectedly()

    def set_exception(self, error: Exception) -> None:
        """Handle a failed command; the command may or may not have taken effect."""
        if isinstance(error, CommandQueueFull | Stopping | JournalUnavailable):
            self.fail(problem_from_fault(error))
        else:
            self.fail_unexpectedly(error)

    @property
    def workspace(self) -> str:
        """Workspace of the submitting credential."""
        return self._head.credential.workspace

    @property
    def age_s(self) -> float:
        """Time since the submit was started, in seconds."""
        return (time.perf_counter_ns() - self._started_ns) / 1e9

    def succeed(self, effected: AppliedCommand) -> None:
        """Send the receipt."""
        if not self.done():
            answer = submit_response(effected)
            request_id = new_request_id()
            data = self._submits.response_writer.response(
                answer.status, _encode(answer.body), request_id, headers=answer.headers
            )
            self._end(data, answer.status, request_id)

    def fail(self, raised: ProblemError) -> None:
        """Send a problem document."""
        if not self.done():
            request_id = new_request_id()
            data = self._submits.problem_response(raised, request_id)
            self._end(data, raised.document.status, request_id)

    def fail_unexpectedly(self, error: BaseException | None = None) -> None:
        """Log an unexpected error and send a problem document without details."""
        _log.error(
            "a submit failed", action="request_failed", operation=_OPERATION, exc_info=error or True
        )
        self.fail(ProblemError("internal"))

    def abandon(self) -> None:
        """Drop the response because the connection was lost; the command is executed regardless."""
        if not self.done():
            self._connection = None
            self._submits.finish(self)

    def _end(self, data: bytes, status: int, request_id: str) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._submits.finish(self)
        duration_ns = time.perf_counter_ns() - self._started_ns
        try:
            self._submits.middleware.record_request(
                _OPERATION,
                "POST",
                status,
                actor=self._head.credential.actor,
                request_id=request_id,
                duration_ns=duration_ns,
            )
        finally:
            connection.send_response(data)


class SubmitHandler:
    """Shared state of the fast path: parser, admission control, submits in flight and their timeout."""

    def __init__(
        self, backend: Services, admission: AdmissionControl, entrance: Middleware
    ) -> None:
        self._backend = backend
        self._writer = backend.writer
        self._condition = backend.readiness
        self._reader = SubmitHeadParser(
            backend.authenticator.verify, backend.authenticator.is_expired
        )
        self._admission = admission
        self.middleware = entrance
        self.response_writer = ResponseWriter(
            vary_by_origin=bool(backend.settings.server.allowed_origins)
        )
        self._busy = CachedProblemResponse(self.response_writer, ProblemError("busy"))
        self._refused_busy = backend.process_metrics.requests.labels(_OPERATION, "503")
        self._problems_busy = backend.process_metrics.problems.labels("busy")
        self._decode = msgspec.json.Decoder(ContactFields).decode
        self._body_bytes_max = backend.settings.server.body_bytes_max
        self.refusal_pause_s = min(backend.settings.runtime.submit_wait_ms_max / 1000, _PAUSE_S_MAX)
        """Time in seconds for which a connection is not read after a refused submit."""
        self._answer_timeout_s = float(backend.settings.server.answer_timeout_s)
        self._in_flight: dict[PendingSubmit, None] = {}
        """Submits in flight in the order of their start."""
        self._timer: asyncio.TimerHandle | None = None
        self._lookups: set[asyncio.Task[None]] = set()

    def parse_head(self, lines: bytes) -> SubmitHead | None:
        """Parse the head of a permitted submit; None: pass the request to the library path."""
        if not self._condition.ready:
            return None
        head = self._reader.parse(lines)
        if head is None or head.body_length > self._body_bytes_max:
            return None
        return head if is_permitted(head.credential.role, _OPERATION) else None

    def overload_response(self, head: SubmitHead) -> bytes | None:
        """Return the response that refuses a submit under overload, before its body is read.

        None: the submit is admitted and holds a slot, to be used by ``begin`` or released by ``leave``.
        """
        if (
            self._writer.is_submit_refused(head.credential.workspace)
            or not self._admission.acquire_slot()
        ):
            return self._busy_response()
        return None

    def _busy_response(self) -> bytes:
        # Counted like any other response but not logged: writing a log line would cost more than the refusal itself.
        self._refused_busy.inc()
        self._problems_busy.inc()
        return self._busy.response(new_request_id())

    def release_slot(self) -> None:
        """Release a slot."""
        self._admission.release_slot()

    def start(
        self, connection: SubmitConnection, head: SubmitHead, body: bytes
    ) -> PendingSubmit | None:
        """Start an admitted submit, which releases its slot itself; its response may be sent before this returns.

        None: the body is invalid and the slot released; the library path reports the error.
        """
        try:
            fields = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._admission.release_slot()
            return None
        submit = PendingSubmit(self, connection, head)
        self._in_flight[submit] = None
        if self._timer is None:
            self._start_timer(self._answer_timeout_s)
        credential = head.credential
        try:
            self._admission.check_rate(credential.rate_limit_key)
            command = enqueue_command(credential, fields, head.idempotency_key)
            self._writer.submit(credential.workspace, command, actor=credential.actor, reply=submit)
        except ProblemError as raised:
            submit.fail(raised)
        except RouterError as error:
            submit.set_exception(error)
        return submit

    def body_timeout_response(self) -> bytes:
        """Release the slot of a submit whose body timed out and return the response."""
        self._admission.release_slot()
        raised, request_id = ProblemError("body_timeout"), new_request_id()
        data = self.problem_response(raised, request_id)
        self.middleware.record_request(
            _OPERATION,
            "POST",
            raised.document.status,
            actor="",
            request_id=request_id,
            duration_ns=0,
            is_response=False,
        )
        return data

    def problem_response(self, raised: ProblemError, request_id: str) -> bytes:
        """Count a problem and return its response."""
        self._backend.process_metrics.problems.labels(raised.document.code).inc()
        return self.response_writer.problem_response(raised, request_id)

    def finish(self, submit: PendingSubmit) -> None:
        """Remove a submit from those in flight and release its slot."""
        if self._in_flight.pop(submit, self) is None:
            self._admission.release_slot()

    def load_first_result(self, submit: PendingSubmit, effected: AppliedCommand) -> None:
        """Read the first result of a repeated submit from the journal, in a task."""
        task = asyncio.get_running_loop().create_task(self._look_up(submit, effected))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, submit: PendingSubmit, effected: AppliedCommand) -> None:
        try:
            journal = self._backend.journal
            submit.succeed(await with_first_epoch(journal, submit.workspace, effected))
        except RouterError as error:
            submit.set_exception(error)
        except Exception as error:
            submit.fail_unexpectedly(error)

    # --- timeout ----------------------------------------------------------------------------
    def _start_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check_timeouts)

    def _check_timeouts(self) -> None:
        """Fail the submits whose timeout has passed. A single timer suffices: all have the same timeout, in order of start."""
        self._timer = None
        for submit in list(self._in_flight):
            remaining_s = self._answer_timeout_s - submit.age_s
            if remaining_s > 0:
                self._start_timer(remaining_s)
                return
            submit.fail(ProblemError("answer_timeout"))
