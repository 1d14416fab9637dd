"""Translation of client frames into commands, and of results into the one ``ok`` or ``error`` reply of each frame.

The agent id in a command is always that of the credential, never one from the frame, so an agent can act only as themselves.
The expected wait is a query of the engine and gets its reply in the same form.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import structs

from router.engine.commands.transaction import unknown_contact
from router.engine.engine import Engine
from router.model.commands import Command, MonitorContact, PlainCommand, Precondition
from router.model.errors import CommandQueueFull, JournalError, RouterError, Stopping
from router.model.forecasts import ExpectedWait
from router.model.results import Outcome, RefusalCode, Refused
from router.protocol.frames import (
    AssignFrame,
    CancelFrame,
    EndFrame,
    ErrorFrame,
    ExpectedWaitFrame,
    MonitorFrame,
    OkFrame,
    RequeueFrame,
    SetAgentChannelsFrame,
    SetAgentStateFrame,
    StopMonitoringFrame,
    SubmitFrame,
    UpdateFrame,
    WatchCardFrame,
    WatchStatisticsFrame,
)
from router.protocol.session import error_frame
from router.runtime.writer import Writer
from router.server.api.guards import guarded
from router.server.api.idempotency import enqueue_command
from router.server.api.problems import problem_code
from router.server.api.request import QUEUE_FULL_DETAIL, TAGGED_WRITES
from router.server.auth.credentials import Credential
from router.server.customers.cards import WATCHED_MAX, TooManyWatched
from router.server.customers.live_customers import LiveCustomers

_BUSY_RETRY_MS = 200

SCOPED_FRAMES: Final[frozenset[type]] = frozenset(
    {
        *(UpdateFrame, CancelFrame, EndFrame, RequeueFrame, AssignFrame, MonitorFrame, StopMonitoringFrame),
        *(SetAgentStateFrame, SetAgentChannelsFrame, WatchStatisticsFrame),
    }
)
"""Frames that a supervisor with a scope may send: the engine, or the statistics, check the scope of what they name."""

_STOPPING_RETRY_MS = 1_000


def command_from_frame(frame: Any, credential: Credential, end_ms: Callable[[], int]) -> Command:
    """Return the command of a frame. The decoder of the endpoint has already rejected frames of other endpoints.

    ``end_ms`` returns when the credential expires.
    """
    if type(frame) is SubmitFrame:
        return enqueue_command(credential, frame.contact, frame.idempotency_key)
    # The engine refuses the contact of another agent or gateway as unknown.
    command: PlainCommand = frame.to_command(
        agent_id=credential.subject if credential.role == "agent" else None,
        gateway_id=credential.subject if credential.role == "gateway" else None,
        supervisor_id=credential.subject,
    )
    if type(command) is MonitorContact:
        command = structs.replace(command, until_ms=end_ms())
    key, tag = frame.idempotency_key, frame.if_match
    if key or tag or credential.scope is not None or type(command) in TAGGED_WRITES:
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


class WatchingSession(Protocol):
    """Connection of a supervisor."""

    session_id: str
    live: bool
    """Whether it is still connected; only then may it watch anything."""


async def watch_card_reply(
    writer: Writer, customers: LiveCustomers | None, ask: WatchCardFrame, credential: Credential, session: WatchingSession
) -> OkFrame | ErrorFrame:
    """Begin or end a watch of a card, which comes in a frame of its own. Raises the exceptions of ``Writer.query``."""
    if customers is None:
        return error_frame("context_unavailable", id=ask.id, detail="the customer context is switched off in the settings")
    workspace, contact_id = credential.workspace, ask.contact_id

    def query(engine: Engine) -> tuple[str | None, int] | Refused:
        view = engine.contact(contact_id) if engine.may_see_contact(contact_id) else None
        if view is None:
            return unknown_contact()
        if view.state.is_terminal and ask.watch:
            detail = "the contact is over: read its card with GET /v1/contacts/{id}/card"
            return Refused(code=RefusalCode.INVALID_CONTACT_STATE, field="contact_id", state=str(view.state), detail=detail)
        return engine.customer_of(contact_id)

    answered = await writer.query(workspace, query)
    found = answered.value
    if isinstance(found, Refused):
        return error_frame(problem_code(found.code), id=ask.id, detail=found.detail, field=found.field, state=found.state)
    if not ask.watch:
        customers.cards.unwatch(session.session_id, (workspace, contact_id))
    elif session.live:
        try:
            customers.watch_card(workspace, contact_id, found, session.session_id, credential.actor)
        except TooManyWatched:
            detail = f"at most {WATCHED_MAX} contacts are watched at a time: end one with watch: false"
            return error_frame("invalid_value", id=ask.id, detail=detail, field="contact_id")
    return OkFrame(id=ask.id, seq=answered.seq, subject=contact_id)


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
