"""Translation of client frames into commands, and of results into the one ``ok`` or ``error`` reply of each frame.

The agent id in a command is always that of the credential, never one from the frame, so an agent can act only as themselves.
The expected wait is a query of the engine and gets its reply in the same form.
"""

from typing import Any

from router.engine.commands.transaction import unknown_contact
from router.engine.engine import Engine
from router.model.commands import Command, PlainCommand, Precondition
from router.model.errors import CommandQueueFull, JournalError, RouterError, Stopping
from router.model.forecasts import ExpectedWait
from router.model.results import Outcome, Refused
from router.protocol.frames import ErrorFrame, ExpectedWaitFrame, OkFrame, SubmitFrame
from router.protocol.session import error_frame
from router.runtime.writer import Writer
from router.server.api.guards import guarded
from router.server.api.idempotency import enqueue_command
from router.server.api.problems import problem_code
from router.server.api.request import QUEUE_FULL_DETAIL, TAGGED_WRITES
from router.server.auth.credentials import Credential

_BUSY_RETRY_MS = 200

_STOPPING_RETRY_MS = 1_000


def command_from_frame(frame: Any, credential: Credential) -> Command:
    """Return the command of a frame. The decoder of the endpoint has already rejected frames of other endpoints."""
    if type(frame) is SubmitFrame:
        return enqueue_command(credential, frame.contact, frame.idempotency_key)
    # The engine refuses the contact of another agent or gateway as unknown.
    command: PlainCommand = frame.to_command(
        agent_id=credential.subject if credential.role == "agent" else None,
        gateway_id=credential.subject if credential.role == "gateway" else None,
    )
    key, tag = frame.idempotency_key, frame.if_match
    if key or tag or type(command) in TAGGED_WRITES:
        condition = Precondition(if_match=(tag,)) if tag else None
        return guarded(credential, command, key=key or None, condition=condition)
    return command


def reply_to_frame(frame: Any, outcome: Outcome) -> OkFrame | ErrorFrame:
    """Return the reply to a frame whose command was executed or refused."""
    result = outcome.result
    if isinstance(result, Refused):
        return error_frame(
            problem_code(result.code),
            id=frame.id,
            detail=result.detail,
            field=field_in_frame(frame, result.field),
            state=result.state,
            allowed=result.allowed,
            seq=result.seq,
            opens_at_ms=result.opens_at_ms,
        )
    return OkFrame(
        id=frame.id,
        seq=result.seq,
        subject=result.subject,
        state=result.state,
        replayed=result.replayed,
        tag=result.tag,
        due_at_ms=result.due_at_ms,
    )


def field_in_frame(frame: Any, field: str | None) -> str | None:
    """Return the path of a field in the frame: the fields of a submit are below ``contact``."""
    if field is None or type(frame) is not SubmitFrame or field == "idempotency_key":
        return field
    return f"contact.{field}"


def fault_reply(id: str, error: RouterError) -> ErrorFrame:
    """Return the reply for a command that the writer could not execute."""
    if isinstance(error, CommandQueueFull):
        return error_frame("busy", id=id, detail=QUEUE_FULL_DETAIL, retry_after_ms=_BUSY_RETRY_MS)
    if isinstance(error, Stopping):
        return error_frame("stopping", id=id, retry_after_ms=_STOPPING_RETRY_MS)
    if isinstance(error, JournalError):
        return error_frame("journal_unavailable", id=id, retry_after_ms=_STOPPING_RETRY_MS)
    return error_frame("internal", id=id)


async def expected_wait_reply(writer: Writer, ask: ExpectedWaitFrame, credential: Credential) -> OkFrame | ErrorFrame:
    """Return the reply to an expected-wait request. Raises the exceptions of ``Writer.ask``."""
    # To a gateway, the contact of another gateway must look like one that does not exist.
    gateway_id = credential.subject if credential.role == "gateway" else None
    now_ms = writer.clock.now_ms()

    def query(engine: Engine) -> ExpectedWait | Refused:
        if ask.contact_id is None:
            assert ask.queue_id is not None
            return engine.expected_wait(
                ask.queue_id,
                channel=ask.channel,
                skills=ask.skills,
                priority_s=ask.priority_s,
                priority_class=ask.priority_class,
                at_ms=now_ms,
            )
        if not engine.may_see_contact(ask.contact_id, gateway_id=gateway_id):
            return unknown_contact()
        view = engine.contact(ask.contact_id)
        assert view is not None
        return view.expected_wait or ExpectedWait(reason="not_waiting")

    answered = await writer.query(credential.workspace, query)
    result = answered.value
    if isinstance(result, Refused):
        return error_frame(problem_code(result.code), id=ask.id, detail=result.detail, field=result.field)
    subject = ask.contact_id or ask.queue_id or ""
    return OkFrame(id=ask.id, seq=answered.seq, subject=subject, expected_wait=result)
