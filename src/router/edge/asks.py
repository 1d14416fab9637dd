"""Translation of client frames into commands, and of results into the one ``ok`` or ``error`` reply of each frame.

The agent id in a command is always that of the credential, never one from the frame, so an agent can act only as themselves.
"""

from collections.abc import Callable
from typing import Any, Final

from router.edge.auth import Credential
from router.edge.call import is_none_of_his
from router.edge.idempotency import enqueue_command
from router.edge.problems import PROBLEMS, code_of
from router.model.callbacks import CallbackFields
from router.model.commands import (
    AbandonContact,
    AcceptOffer,
    AddParticipant,
    AssignContact,
    CancelConsult,
    CancelContact,
    Command,
    CompleteAssignment,
    CompleteConsult,
    DeclineOffer,
    EndContact,
    ExtendWrapUp,
    HandOver,
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
from router.model.errors import InboxFull, JournalError, RouterError, Stopping
from router.model.outcome import Outcome
from router.model.refusals import Refused
from router.wire import frames
from router.wire.frames import ErrorFrame, Ok

_BUSY_RETRY_MS = 200
_STOPPING_RETRY_MS = 1_000


def command_of(frame: Any, credential: Credential) -> Command:
    """Return the command of a frame. The decoder of the endpoint has already rejected frames of other endpoints."""
    if credential.role == "agent":
        return AGENT_COMMANDS[type(frame)](frame, credential.subject)
    if type(frame) is frames.Submit:
        return enqueue_command(credential, frame.contact, frame.idempotency_key)
    # To a gateway, the contact of another gateway must look like one that does not exist.
    gateway_id = credential.subject if credential.role == "gateway" else None
    return OTHER_COMMANDS[type(frame)](frame, gateway_id)


# Commands of desktop frames, by frame type; the second argument is the agent id.
AGENT_COMMANDS: Final[dict[type, Callable[[Any, str], Command]]] = {
    frames.Accept: lambda frame, agent_id: AcceptOffer(offer_id=frame.offer_id, agent_id=agent_id),
    frames.Decline: lambda frame, agent_id: DeclineOffer(
        offer_id=frame.offer_id, agent_id=agent_id, reason=frame.reason
    ),
    frames.SetState: lambda frame, agent_id: SetAgentState(
        agent_id=agent_id, state=frame.state, reason=frame.reason, after_work=frame.after_work
    ),
    frames.End: lambda frame, agent_id: EndContact(
        contact_id=frame.contact_id, agent_id=agent_id, reason=frame.reason
    ),
    frames.Complete: lambda frame, agent_id: CompleteAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id, disposition=frame.disposition
    ),
    frames.Hold: lambda frame, agent_id: HoldAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.Unhold: lambda frame, agent_id: ResumeAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.Park: lambda frame, agent_id: ParkAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.Unpark: lambda frame, agent_id: UnparkAssignment(
        assignment_id=frame.assignment_id, agent_id=agent_id
    ),
    frames.SetChannels: lambda frame, agent_id: SetAgentChannels(
        agent_id=agent_id, paused=frame.paused
    ),
    frames.ExtendWrapUpFrame: lambda frame, agent_id: ExtendWrapUp(
        assignment_id=frame.assignment_id, agent_id=agent_id, extend_s=frame.extend_s
    ),
    frames.Transfer: lambda frame, agent_id: TransferContact(
        contact_id=frame.contact_id,
        to_queue_id=frame.to_queue_id,
        to_agent_id=frame.to_agent_id,
        agent_id=agent_id,
        wait_s=frame.wait_s,
        back_s=frame.back_s,
    ),
    frames.Consult: lambda frame, agent_id: StartConsult(
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
    frames.Conference: lambda frame, agent_id: JoinConsult(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.Leave: lambda frame, agent_id: LeaveContact(
        contact_id=frame.contact_id, agent_id=agent_id
    ),
    frames.HandOverFrame: lambda frame, agent_id: HandOver(
        contact_id=frame.contact_id, to_agent_id=frame.to_agent_id, agent_id=agent_id
    ),
}

# Commands of gateway and supervisor frames; the second argument is the gateway id, None for supervisors.
OTHER_COMMANDS: Final[dict[type, Callable[[Any, str | None], Command]]] = {
    frames.Update: lambda frame, gateway_id: UpdateContact(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        priority_s=frame.priority_s,
        strict_class=frame.strict_class,
        skills=frame.skills,
        attributes=frame.attributes,
        preferred_agents=frame.preferred_agents,
    ),
    frames.Cancel: lambda frame, gateway_id: CancelContact(
        contact_id=frame.contact_id, gateway_id=gateway_id, reason=frame.reason
    ),
    frames.Abandon: lambda frame, gateway_id: AbandonContact(
        contact_id=frame.contact_id, gateway_id=gateway_id
    ),
    frames.End: lambda frame, gateway_id: EndContact(
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
    frames.Callback: lambda frame, gateway_id: RequestCallback(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        callback=CallbackFields(mode=frame.mode, channel=frame.channel, at_ms=frame.at_ms),
    ),
    frames.CallbackResult: lambda frame, gateway_id: ReportCallback(
        contact_id=frame.contact_id,
        gateway_id=gateway_id,
        outcome=frame.outcome,
        attempt=frame.attempt,
    ),
    frames.Requeue: lambda frame, _: RequeueContact(
        contact_id=frame.contact_id, queue_id=frame.queue_id
    ),
    frames.Assign: lambda frame, _: AssignContact(
        contact_id=frame.contact_id, agent_id=frame.agent_id
    ),
    frames.AddParticipantFrame: lambda frame, _: AddParticipant(
        contact_id=frame.contact_id, agent_id=frame.agent_id
    ),
    frames.RemoveParticipant: lambda frame, _: LeaveContact(
        contact_id=frame.contact_id, agent_id=frame.agent_id, reason="removed"
    ),
    frames.SetAgentStateFrame: lambda frame, _: SetAgentState(
        agent_id=frame.agent_id,
        state=frame.state,
        reason=frame.reason,
        after_work=frame.after_work,
    ),
}


_FRAMES_WITH_TARGET: Final = frozenset({frames.AskExpectedWait, frames.Transfer, frames.Consult})


def names_one_target(frame: Any) -> bool:
    """Return whether a frame names exactly one target: queue or agent, or queue or contact for an expected wait."""
    kind = type(frame)
    if kind not in _FRAMES_WITH_TARGET:
        return True
    if kind is frames.AskExpectedWait:
        return (frame.contact_id is None) != (frame.queue_id is None)
    return (frame.to_queue_id is None) != (frame.to_agent_id is None)


def answer_of(frame: Any, outcome: Outcome) -> Ok | ErrorFrame:
    """Return the reply to a frame whose command was executed or refused."""
    result = outcome.answer
    if isinstance(result, Refused):
        resource = _RESOURCES.get(type(frame))
        if resource is not None and is_none_of_his(result):
            # To an agent, the work of another agent must look like work that does not exist.
            return problem_frame(f"unknown_{resource}", frame.id)
        return problem_frame(
            code_of(result.code),
            frame.id,
            detail=result.detail,
            field=result.field,
            state=result.state,
            allowed=result.allowed,
            seq=result.seq,
            opens_at_ms=result.opens_at_ms,
        )
    return Ok(
        id=frame.id,
        seq=result.seq,
        subject=result.subject,
        state=result.state,
        replayed=result.replayed,
    )


# Kind of resource that a desktop frame names.
_RESOURCES: Final[dict[type, str]] = {
    frames.Accept: "offer",
    frames.Decline: "offer",
    frames.Hold: "assignment",
    frames.Unhold: "assignment",
    frames.Park: "assignment",
    frames.Unpark: "assignment",
    frames.ExtendWrapUpFrame: "assignment",
    frames.Complete: "assignment",
    frames.End: "contact",
    frames.Transfer: "contact",
    frames.Consult: "contact",
    frames.CompleteConsultFrame: "contact",
    frames.CancelConsultFrame: "contact",
    frames.Conference: "contact",
    frames.Leave: "contact",
    frames.HandOverFrame: "contact",
}


def fault_frame(id: str, error: RouterError) -> ErrorFrame:
    """Return the reply for a command that the writer could not execute."""
    if isinstance(error, InboxFull):
        return problem_frame("busy", id, retry_after_ms=_BUSY_RETRY_MS)
    if isinstance(error, Stopping):
        return problem_frame("stopping", id, retry_after_ms=_STOPPING_RETRY_MS)
    if isinstance(error, JournalError):
        return problem_frame("journal_unavailable", id, retry_after_ms=_STOPPING_RETRY_MS)
    return problem_frame("internal", id)


def problem_frame(code: str, id: str | None, **members: Any) -> ErrorFrame:
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
