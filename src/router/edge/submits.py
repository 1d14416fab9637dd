"""Plain submits (``plain.py``) from their head to their answer: a call in, a call out, as on a socket.

The same checks in the same words as in ``operations.py``, but in the order of what they cost: who asks, whether too many wait,
then the body, then the rate. What fails here for a reason that is not load is left to the library, which says it.
"""

import asyncio
import time
from typing import Final, Protocol

import msgspec
import structlog

from router.edge.admission import Admission
from router.edge.answers import Answers, SameProblem
from router.edge.backend import Backend
from router.edge.call import Effected, fault
from router.edge.contacts import as_first_answered, submitted
from router.edge.entrance import Entrance, new_request_id
from router.edge.idempotency import enqueue_command
from router.edge.permissions import may
from router.edge.plain import PlainHead, PlainReader
from router.edge.problems import ProblemRaised, refused
from router.model.errors import InboxFull, JournalUnavailable, RouterError, Stopping
from router.model.refusals import Refused
from router.runtime.writer import Reply
from router.wire.frames import ContactFields

_OPERATION: Final = "submit_contact"
# What `Retry-After` says: who has waited for that long has done as he was told.
_PAUSE_S_MAX: Final = 1.0
_encode: Final = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class Asking(Protocol):
    """The connection that a submit came by."""

    def answer(self, data: bytes) -> None:
        """The answer to the submit that is under way. Raises nothing."""


class Submit:
    """One that is under way; the writer tells it what became of it."""

    __slots__ = ("_began_ns", "_connection", "_head", "_submits")

    def __init__(self, submits: "Submits", connection: Asking, head: PlainHead) -> None:
        self._submits = submits
        self._connection: Asking | None = connection
        self._head = head
        self._began_ns = time.perf_counter_ns()

    def done(self) -> bool:
        """It has its answer, or nobody wants one any more."""
        return self._connection is None

    def set_result(self, reply: Reply) -> None:
        """Durable."""
        try:
            answer = reply.outcome.answer
            if isinstance(answer, Refused):
                self.fail(refused(answer))
            elif answer.replayed:
                self._submits.look_up(self, Effected(done=answer, epoch=reply.epoch, gen=reply.gen))
            else:
                self.succeed(Effected(done=answer, epoch=reply.epoch, gen=reply.gen))
        except Exception:
            self.broke()

    def set_exception(self, error: Exception) -> None:
        """Not durable, or nobody knows."""
        if isinstance(error, InboxFull | Stopping | JournalUnavailable):
            self.fail(fault(error))
        else:
            self.broke(error)

    @property
    def workspace(self) -> str:
        """Whose contact it is."""
        return self._head.credential.workspace

    @property
    def age_s(self) -> float:
        """How long it has been under way."""
        return (time.perf_counter_ns() - self._began_ns) / 1e9

    def succeed(self, effected: Effected) -> None:
        """The receipt."""
        if not self.done():
            answer = submitted(effected)
            request_id = new_request_id()
            data = self._submits.answers.answer(
                answer.status, _encode(answer.body), request_id, headers=answer.headers
            )
            self._end(data, answer.status, request_id)

    def fail(self, raised: ProblemRaised) -> None:
        """A problem document."""
        if not self.done():
            request_id = new_request_id()
            data = self._submits.problem(raised, request_id)
            self._end(data, raised.document.status, request_id)

    def broke(self, error: BaseException | None = None) -> None:
        """The last line of defence: the client learns that it failed, the log learns the rest."""
        _log.error(
            "a submit failed", action="request_failed", operation=_OPERATION, exc_info=error or True
        )
        self.fail(ProblemRaised("internal"))

    def abandon(self) -> None:
        """The client has gone. What was asked is done even so."""
        if not self.done():
            self._connection = None
            self._submits.over(self)

    def _end(self, data: bytes, status: int, request_id: str) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None
        self._submits.over(self)
        took_ns = time.perf_counter_ns() - self._began_ns
        try:
            self._submits.entrance.note(
                _OPERATION,
                "POST",
                status,
                actor=self._head.credential.actor,
                request_id=request_id,
                took_ns=took_ns,
            )
        finally:
            connection.answer(data)


class Submits:
    """What all connections share that submit."""

    def __init__(self, backend: Backend, admission: Admission, entrance: Entrance) -> None:
        self._backend = backend
        self._writer = backend.writer
        self._condition = backend.condition
        self._reader = PlainReader(backend.authenticator.verify, backend.authenticator.is_expired)
        self._admission = admission
        self.entrance = entrance
        self.answers = Answers(varies=bool(backend.settings.edge.allowed_origins))
        self._busy = SameProblem(self.answers, ProblemRaised("busy"))
        self._refused_busy = backend.process.requests.labels(_OPERATION, "503")
        self._problems_busy = backend.process.problems.labels("busy")
        self._decode = msgspec.json.Decoder(ContactFields).decode
        self._body_bytes_max = backend.settings.edge.body_bytes_max
        self.pause_s = min(backend.settings.runtime.submit_wait_ms_max / 1000, _PAUSE_S_MAX)
        """So long a connection has to let pass between a submit that is refused and the next one."""
        self._answer_timeout_s = float(backend.settings.edge.answer_timeout_s)
        self._under_way: dict[Submit, None] = {}
        """In the order in which they began."""
        self._alarm: asyncio.TimerHandle | None = None
        self._lookups: set[asyncio.Task[None]] = set()

    def read(self, lines: bytes) -> PlainHead | None:
        """The head of a plain submit that may be made; None: the library says what is to be said."""
        if not self._condition.ready:
            return None
        head = self._reader.read(lines)
        if head is None or head.length > self._body_bytes_max:
            return None
        return head if may(head.credential.role, _OPERATION) else None

    def refusal(self, head: PlainHead) -> bytes | None:
        """The answer where it is not let in, before its body is there or looked at.

        None: it is let in, and has a place among the requests in work: for ``begin``, or to be given back by ``leave``.
        """
        if self._writer.refuses_submit(head.credential.workspace) or not self._admission.enter():
            return self._say_busy()
        return None

    def _say_busy(self) -> bytes:
        # Counted like any other answer, but not logged: a line for each would cost more than all the rest.
        self._refused_busy.inc()
        self._problems_busy.inc()
        return self._busy.answer(new_request_id())

    def leave(self) -> None:
        """A place is free again."""
        self._admission.leave()

    def begin(self, connection: Asking, head: PlainHead, body: bytes) -> Submit | None:
        """Carry out a submit that has its place, and gives it back itself; it may have its answer when this returns.

        None: the body is not right, and the library has to say how.
        """
        try:
            fields = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._admission.leave()
            return None
        submit = Submit(self, connection, head)
        self._under_way[submit] = None
        if self._alarm is None:
            self._watch(self._answer_timeout_s)
        credential = head.credential
        try:
            self._admission.admit(credential.key)
            command = enqueue_command(credential, fields, head.idempotency_key)
            self._writer.submit(credential.workspace, command, actor=credential.actor, reply=submit)
        except ProblemRaised as raised:
            submit.fail(raised)
        except RouterError as error:
            submit.set_exception(error)
        return submit

    def body_is_late(self) -> bytes:
        """The answer where a body has not come in time. The place is free again."""
        self._admission.leave()
        raised, request_id = ProblemRaised("body_timeout"), new_request_id()
        data = self.problem(raised, request_id)
        self.entrance.note(
            _OPERATION,
            "POST",
            raised.document.status,
            actor="",
            request_id=request_id,
            took_ns=0,
            is_answer=False,
        )
        return data

    def problem(self, raised: ProblemRaised, request_id: str) -> bytes:
        """A problem's answer; counted."""
        self._backend.process.problems.labels(raised.document.code).inc()
        return self.answers.problem(raised, request_id)

    def over(self, submit: Submit) -> None:
        """It is not under way any more."""
        if self._under_way.pop(submit, self) is None:
            self._admission.leave()

    def look_up(self, submit: Submit, effected: Effected) -> None:
        """A repeat: the first answer is in the journal."""
        task = asyncio.get_running_loop().create_task(self._look_up(submit, effected))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, submit: Submit, effected: Effected) -> None:
        try:
            journal = self._backend.journal
            submit.succeed(await as_first_answered(journal, submit.workspace, effected))
        except RouterError as error:
            submit.set_exception(error)
        except Exception as error:
            submit.broke(error)

    # --- nobody waits for ever ---------------------------------------------------------------
    def _watch(self, delay_s: float) -> None:
        self._alarm = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        """One alarm for all: they have begun in this order, and all may take as long."""
        self._alarm = None
        for submit in list(self._under_way):
            left_s = self._answer_timeout_s - submit.age_s
            if left_s > 0:
                self._watch(left_s)
                return
            submit.fail(ProblemRaised("answer_timeout"))
