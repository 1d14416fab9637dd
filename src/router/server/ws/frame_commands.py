"""Translation of client frames into commands, and of results into the one ``ok`` or ``error`` reply of each frame.

The agent id in a command is always that of the credential, never one from the frame, so an agent can act only as themselves.

Expected wait over a WebSocket: an engine query with one ``ok`` or ``error`` reply.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.engine import Engine
from router.model.commands import (
    AbandonContact,
    AcceptOffer,
    AddParticipant,
    AssignContact,
    CallbackFields,
    CancelConsult,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteConsult,
    DeclineOffer,
    EndContact,
    ExtendWrapUp,
    HandOverContact,
    HoldAssignment,
    JoinConsult,
    LeaveContact,
    ParkAssignment,
    ParkContact,
    ReportCallback,
    RequestCallback,
    RequeueContact,
    ResumeAssignment,
    SetAgentChannels,
    SetAgentState,
    StartConsult,
    TransferContact,
    UnparkAssignment,
    UnparkContact,
    UpdateContact,
)
from router.model.errors import CommandQueueFull, JournalError, RouterError, Stopping
from router.model.forecasts import ExpectedWait
from router.model.results import Outcome, Refused
from router.protocol import frames
from router.protocol.frames import ErrorFrame, ExpectedWaitFrame, OkFrame
from router.runtime.writer import Writer
from router.server.api.problems import PROBLEMS, problem_code
from router.server.api.request import is_hidden_from_agent
from router.server.api.submission import enqueue_command
from router.server.auth.credentials import Credential

_BUSY_RETRY_MS = 200

_STOPPING_RETRY_MS = 1_000


def command_from_frame(frame: Any, credential: Credential) -> Command:
    """Return the command of a frame. The decoder of the endpoint has already rejected frames of other endpoints."""
    if credential.role == "agent":
        return AGENT_COMMANDS[type(frame)](frame, credential.subject)
    if type(frame) is frames.SubmitFrame:
        return enqueue_command(credential, frame.contact, frame.idempotency_key)
    # To a gateway, the contact of another gateway must look like one that does not exist.
    gateway_id = credential.subject if credential.role == "gateway" else None
    return OTHER_COMMANDS[type(frame)](frame, gateway_id)


# Commands of desktop frames, by frame type; the second argument is the agent id.
AGENT_COMMANDS: Final[dict[type, Callable[[Any, str], Command]]] = {
    frames.AcceptFrame: lambda frame, agent_id: AcceptOffer(
        offer_id=frame.offer_id, agent_id=agent_id
    ),
    frames.DeclineFrame: lambda frame, agent_id: DeclineOffer(
        offer_id=frame.offer_id, agent_id=agent_id, reason=frame.reason
    ),
    frames.SetStateFrame: lambda frame, agent_id: SetAgentState(
        agent_id=agent_id, state=frame.state, reason=frame.reason, after_work=frame.after_work
    ),
    frames.EndFrame: lambda frame, agent_id: EndContact(
        contact_id=frame.contact_id, agent_id=agent_id, reason=frame.reason
    ),
    frames.CompleteFrame: lambda frame, agent_id: CompleteAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id, disposition=frame.disposition
    ),
    frames.HoldFrame: lambda frame, agent_id: HoldAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.UnholdFrame: lambda frame, agent_id: ResumeAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.ParkFrame: lambda frame, agent_id: ParkAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.UnparkFrame: lambda frame, agent_id: UnparkAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.SetChannelsFrame: lambda frame, agent_id: SetAgentChannels(
        agent_id=agent_id, paused=frame.paused
    ),
    frames.ExtendWrapUpFrame: lambda frame, agent_id: ExtendWrapUp(
        assignment_id=frame.assignment_id, agent_id=agent_id, extend_s=frame.extend_s
    ),
    frames.TransferFrame: lambda frame, agent_id: TransferContact(
        contact_id=frame.contact_id,
        to_queue_id=frame.to_queue_id,
        to_agent_id=frame.to_agent_id,
        agent_id=agent_id,
        wait_s=frame.wait_s,
        return_to_sender_s=frame.return_to_sender_s,
    ),
    frames.ConsultFrame: lambda frame, agent_id: StartConsult(
        contact_id=frame.contact_id,
        to_queue_id=frame.to_queue_id,
        to_agent_id=frame.to_agent_id,
        agent_id=agent_id,
    ),
    frames.CompleteConsultFrame: lambda frame, agent_id: CompleteConsult(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.CancelConsultFrame: lambda frame, agent_id: CancelConsult(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.ConferenceFrame: lambda frame, agent_id: JoinConsult(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.LeaveFrame: lambda frame, agent_id: LeaveContact(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.HandOverFrame: lambda frame, agent_id: HandOverContact(
        contact_id=frame.contact_id, to_agent_id=frame.to_agent_id, agent_id=agent_id
    ),
}

# Commands of gateway and supervisor frames; the second argument is the gateway id, None for supervisors.
OTHER_COMMANDS: Final[dict[type, Callable[[Any, str | None], Command]]] = {
    frames.UpdateFrame: lambda frame, gateway_id: UpdateContact(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        priority_s=frame.priority_s,
        priority_class=frame.priority_class,
        skills=frame.skills,
        attributes=frame.attributes,
        preferred_agents=frame.preferred_agents,
    ),
    frames.CancelFrame: lambda frame, gateway_id: CancelContact(
        contact_id=frame.contact_id, gateway_id=gateway_id, reason=frame.reason
    ),
    frames.AbandonFrame: lambda frame, gateway_id: AbandonContact(
        contact_id=frame.contact_id, gateway_id=gateway_id
    ),
    frames.EndFrame: lambda frame, gateway_id: EndContact(
        contact_id=frame.contact_id, gateway_id=gateway_id, reason=frame.reason
    ),
    frames.ParkContactFrame: lambda frame, gateway_id: ParkContact(
        contact_id=frame.contact_id, gateway_id=gateway_id
    ),
    frames.UnparkContactFrame: lambda frame, gateway_id: UnparkContact(
        contact_id=frame.contact_id, gateway_id=gateway_id
    ),
    frames.SetAgentChannelsFrame: lambda frame, _: SetAgentChannels(
        agent_id=frame.agent_id, paused=frame.paused
    ),
    frames.CallbackFrame: lambda frame, gateway_id: RequestCallback(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        callback=CallbackFields(mode=frame.mode, channel=frame.channel, at_ms=frame.at_ms),
    ),
    frames.CallbackResultFrame: lambda frame, gateway_id: ReportCallback(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        outcome=frame.outcome,
        attempt=frame.attempt,
    ),
    frames.RequeueFrame: lambda frame, _: RequeueContact(
        contact_id=frame.contact_id, queue_id=frame.queue_id
    ),
    frames.AssignFrame: lambda frame, _: AssignContact(
        contact_id=frame.contact_id, agent_id=frame.agent_id
    ),
    frames.AddParticipantFrame: lambda frame, _: AddParticipant(
        contact_id=frame.contact_id, agent_id=frame.agent_id
    ),
    frames.RemoveParticipantFrame: lambda frame, _: LeaveContact(
        contact_id=frame.contact_id, agent_id=frame.agent_id, reason="removed"
    ),
    frames.SetAgentStateFrame: lambda frame, _: SetAgentState(
        agent_id=frame.agent_id,
        state=frame.state,
        reason=frame.reason,
        after_work=frame.after_work,
    ),
}

_FRAMES_WITH_TARGET: Final = frozenset(
    {frames.ExpectedWaitFrame, frames.TransferFrame, frames.ConsultFrame}
)


def has_one_target(frame: Any) -> bool:
    """Return whether a frame names exactly one target: queue or agent, or queue or contact for an expected wait."""
    kind = type(frame)
    if kind not in _FRAMES_WITH_TARGET:
        return True
    if kind is frames.ExpectedWaitFrame:
        return (frame.contact_id is None) != (frame.queue_id is None)
    return (frame.to_queue_id is None) != (frame.to_agent_id is None)


def reply_to_frame(frame: Any, outcome: Outcome) -> OkFrame | ErrorFrame:
    """Return the reply to a frame whose command was executed or refused."""
    result = outcome.result
    if isinstance(result, Refused):
        resource = _RESOURCES.get(type(frame))
        if resource is not None and is_hidden_from_agent(result):
            # To an agent, the work of another agent must look like work that does not exist.
            return problem_reply(f"unknown_{resource}", frame.id)
        return problem_reply(
            problem_code(result.code),
            frame.id,
            detail=result.detail,
            field=result.field,
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
    )


# Kind of resource that a desktop frame names.
_RESOURCES: Final[dict[type, str]] = {
    frames.AcceptFrame: "offer",
    frames.DeclineFrame: "offer",
    frames.HoldFrame: "assignment",
    frames.UnholdFrame: "assignment",
    frames.ParkFrame: "assignment",
    frames.UnparkFrame: "assignment",
    frames.ExtendWrapUpFrame: "assignment",
    frames.CompleteFrame: "assignment",
    frames.EndFrame: "contact",
    frames.TransferFrame: "contact",
    frames.ConsultFrame: "contact",
    frames.CompleteConsultFrame: "contact",
    frames.CancelConsultFrame: "contact",
    frames.ConferenceFrame: "contact",
    frames.LeaveFrame: "contact",
    frames.HandOverFrame: "contact",
}


def fault_reply(id: str, error: RouterError) -> ErrorFrame:
    """Return the reply for a command that the writer could not execute."""
    if isinstance(error, CommandQueueFull):
        return problem_reply("busy", id, retry_after_ms=_BUSY_RETRY_MS)
    if isinstance(error, Stopping):
        return problem_reply("stopping", id, retry_after_ms=_STOPPING_RETRY_MS)
    if isinstance(error, JournalError):
        return problem_reply("journal_unavailable", id, retry_after_ms=_STOPPING_RETRY_MS)
    return problem_reply("internal", id)


def problem_reply(code: str, id: str | None, **members: Any) -> ErrorFrame:
    """Return an ``error`` frame with the code and title of the problem table."""
    kind = PROBLEMS[code]
    return ErrorFrame(
        code=code,
        title=kind.title,
        id=id,
        temporary=kind.temporary,
        applied=kind.applied,
        **members,
    )


async def expected_wait_reply(
    writer: Writer, ask: ExpectedWaitFrame, credential: Credential
) -> OkFrame | ErrorFrame:
    """Return the reply to an expected-wait request. Raises the exceptions of ``Writer.ask``."""
    # To a gateway, the contact of another gateway must look like one that does not exist.
    gateway_id = credential.subject if credential.role == "gateway" else None
    now_ms = writer.clock.now_ms()

    def query(engine: Engine) -> ExpectedWait | Refused | None:
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
        view = engine.contact(ask.contact_id)
        if view is None or (gateway_id is not None and view.gateway_id != gateway_id):
            return None
        return view.expected_wait or ExpectedWait(reason="not_waiting")

    answered = await writer.query(credential.workspace, query)
    result = answered.value
    if result is None:
        return problem_reply("unknown_contact", ask.id, field="contact_id")
    if isinstance(result, Refused):
        return problem_reply(
            problem_code(result.code), ask.id, detail=result.detail, field=result.field
        )
    subject = ask.contact_id or ask.queue_id or ""
    return OkFrame(id=ask.id, seq=answered.seq, subject=subject, expected_wait=result)
