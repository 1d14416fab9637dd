"""From a client's frame to a command, and from its outcome to the one ``ok`` or ``error`` that the frame gets.

What an agent asks is asked in his own name: the id in the command is that of the credential, never one from the frame.
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


def command_of(ask: Any, credential: Credential) -> Command:
    """The command of a frame. Which frames a socket understands is settled before: by the decoder of its door."""
    if credential.role == "agent":
        return _AGENTS[type(ask)](ask, credential.subject)
    if type(ask) is frames.Submit:
        return enqueue_command(credential, ask.contact, ask.idempotency_key)
    # Another gateway's contact is as unknown to a gateway as none.
    gateway_id = credential.subject if credential.role == "gateway" else None
    return _OTHERS[type(ask)](ask, gateway_id)


# A frame of a desktop and the agent whose it is.
_AGENTS: Final[dict[type, Callable[[Any, str], Command]]] = {
    frames.Accept: lambda ask, agent_id: AcceptOffer(offer_id=ask.offer_id, agent_id=agent_id),
    frames.Decline: lambda ask, agent_id: DeclineOffer(
        offer_id=ask.offer_id, agent_id=agent_id, reason=ask.reason
    ),
    frames.SetState: lambda ask, agent_id: SetAgentState(
        agent_id=agent_id, state=ask.state, reason=ask.reason, after_work=ask.after_work
    ),
    frames.End: lambda ask, agent_id: EndContact(
        contact_id=ask.contact_id, agent_id=agent_id, reason=ask.reason
    ),
    frames.Complete: lambda ask, agent_id: CompleteAssignment(
        assignment_id=ask.assignment_id, agent_id=agent_id, disposition=ask.disposition
    ),
    frames.Hold: lambda ask, agent_id: HoldAssignment(
        assignment_id=ask.assignment_id, agent_id=agent_id
    ),
    frames.Unhold: lambda ask, agent_id: ResumeAssignment(
        assignment_id=ask.assignment_id, agent_id=agent_id
    ),
    frames.Park: lambda ask, agent_id: ParkAssignment(
        assignment_id=ask.assignment_id, agent_id=agent_id
    ),
    frames.Unpark: lambda ask, agent_id: UnparkAssignment(
        assignment_id=ask.assignment_id, agent_id=agent_id
    ),
    frames.SetChannels: lambda ask, agent_id: SetAgentChannels(
        agent_id=agent_id, paused=ask.paused
    ),
    frames.ExtendWrapUpFrame: lambda ask, agent_id: ExtendWrapUp(
        assignment_id=ask.assignment_id, agent_id=agent_id, extend_s=ask.extend_s
    ),
    frames.Transfer: lambda ask, agent_id: TransferContact(
        contact_id=ask.contact_id,
        to_queue_id=ask.to_queue_id,
        to_agent_id=ask.to_agent_id,
        agent_id=agent_id,
        wait_s=ask.wait_s,
        back_s=ask.back_s,
    ),
    frames.Consult: lambda ask, agent_id: StartConsult(
        contact_id=ask.contact_id,
        to_queue_id=ask.to_queue_id,
        to_agent_id=ask.to_agent_id,
        agent_id=agent_id,
    ),
    frames.CompleteConsultFrame: lambda ask, agent_id: CompleteConsult(
        contact_id=ask.contact_id, agent_id=agent_id
    ),
    frames.CancelConsultFrame: lambda ask, agent_id: CancelConsult(
        contact_id=ask.contact_id, agent_id=agent_id
    ),
    frames.Conference: lambda ask, agent_id: JoinConsult(
        contact_id=ask.contact_id, agent_id=agent_id
    ),
    frames.Leave: lambda ask, agent_id: LeaveContact(contact_id=ask.contact_id, agent_id=agent_id),
    frames.HandOverFrame: lambda ask, agent_id: HandOver(
        contact_id=ask.contact_id, to_agent_id=ask.to_agent_id, agent_id=agent_id
    ),
}

# A frame of a gateway and its id, or of a supervisor and none.
_OTHERS: Final[dict[type, Callable[[Any, str | None], Command]]] = {
    frames.Update: lambda ask, gateway_id: UpdateContact(
        contact_id=ask.contact_id,
        gateway_id=gateway_id,
        priority_s=ask.priority_s,
        strict_class=ask.strict_class,
        skills=ask.skills,
        attributes=ask.attributes,
        preferred_agents=ask.preferred_agents,
    ),
    frames.Cancel: lambda ask, gateway_id: CancelContact(
        contact_id=ask.contact_id, gateway_id=gateway_id, reason=ask.reason
    ),
    frames.Abandon: lambda ask, gateway_id: AbandonContact(
        contact_id=ask.contact_id, gateway_id=gateway_id
    ),
    frames.End: lambda ask, gateway_id: EndContact(
        contact_id=ask.contact_id, gateway_id=gateway_id, reason=ask.reason
    ),
    frames.ParkContactFrame: lambda ask, gateway_id: ParkContact(
        contact_id=ask.contact_id, gateway_id=gateway_id
    ),
    frames.UnparkContactFrame: lambda ask, gateway_id: UnparkContact(
        contact_id=ask.contact_id, gateway_id=gateway_id
    ),
    frames.SetAgentChannelsFrame: lambda ask, _: SetAgentChannels(
        agent_id=ask.agent_id, paused=ask.paused
    ),
    frames.Callback: lambda ask, gateway_id: RequestCallback(
        contact_id=ask.contact_id,
        gateway_id=gateway_id,
        callback=CallbackFields(mode=ask.mode, channel=ask.channel, at_ms=ask.at_ms),
    ),
    frames.CallbackResult: lambda ask, gateway_id: ReportCallback(
        contact_id=ask.contact_id,
        gateway_id=gateway_id,
        outcome=ask.outcome,
        attempt=ask.attempt,
    ),
    frames.Requeue: lambda ask, _: RequeueContact(contact_id=ask.contact_id, queue_id=ask.queue_id),
    frames.Assign: lambda ask, _: AssignContact(contact_id=ask.contact_id, agent_id=ask.agent_id),
    frames.AddParticipantFrame: lambda ask, _: AddParticipant(
        contact_id=ask.contact_id, agent_id=ask.agent_id
    ),
    frames.RemoveParticipant: lambda ask, _: LeaveContact(
        contact_id=ask.contact_id, agent_id=ask.agent_id, reason="removed"
    ),
    frames.SetAgentStateFrame: lambda ask, _: SetAgentState(
        agent_id=ask.agent_id,
        state=ask.state,
        reason=ask.reason,
        after_work=ask.after_work,
    ),
}


_WITH_A_TARGET: Final = frozenset({frames.AskExpectedWait, frames.Transfer, frames.Consult})


def names_one_target(ask: Any) -> bool:
    """A transfer or a consult goes to a queue or to an agent, not to both or neither; a question is about one thing."""
    kind = type(ask)
    if kind not in _WITH_A_TARGET:
        return True
    if kind is frames.AskExpectedWait:
        return (ask.contact_id is None) != (ask.queue_id is None)
    return (ask.to_queue_id is None) != (ask.to_agent_id is None)


def answer_of(ask: Any, outcome: Outcome) -> Ok | ErrorFrame:
    """The one answer to a frame."""
    answer = outcome.answer
    if isinstance(answer, Refused):
        noun = _NOUNS.get(type(ask))
        if noun is not None and is_none_of_his(answer):
            # Another agent's work looks to an agent like work that does not exist.
            return problem_frame(f"unknown_{noun}", ask.id)
        return problem_frame(
            code_of(answer.code),
            ask.id,
            detail=answer.detail,
            field=answer.field,
            state=answer.state,
            allowed=answer.allowed,
            seq=answer.seq,
            opens_at_ms=answer.opens_at_ms,
        )
    return Ok(
        id=ask.id,
        seq=answer.seq,
        subject=answer.subject,
        state=answer.state,
        replayed=answer.replayed,
    )


# What a desktop's frame is about.
_NOUNS: Final[dict[type, str]] = {
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
    """The answer where the router itself could not carry the command out."""
    if isinstance(error, InboxFull):
        return problem_frame("busy", id, retry_after_ms=_BUSY_RETRY_MS)
    if isinstance(error, Stopping):
        return problem_frame("stopping", id, retry_after_ms=_STOPPING_RETRY_MS)
    if isinstance(error, JournalError):
        return problem_frame("journal_unavailable", id, retry_after_ms=_STOPPING_RETRY_MS)
    return problem_frame("internal", id)


def problem_frame(code: str, id: str | None, **members: Any) -> ErrorFrame:
    """An ``error`` with the code and title that HTTP has for it, too."""
    kind = PROBLEMS[code]
    return ErrorFrame(
        code=code,
        title=kind.title,
        id=id,
        temporary=kind.temporary,
        applied=kind.applied,
        **members,
    )
