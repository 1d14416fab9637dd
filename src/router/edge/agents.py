"""API operations on agents: records, state and, for desktops without a WebSocket, offers and assignments.

An agent can reach only their own record and work.
"""

from router.core.engine import Engine
from router.edge.call import Answer, Call, Effected
from router.edge.documents import AgentList, AgentReceipt, AssignmentReceipt, OfferReceipt
from router.edge.problems import ProblemRaised
from router.model.commands import (
    AcceptOffer,
    Command,
    CompleteAssignment,
    DeclineOffer,
    ExtendWrapUp,
    HoldAssignment,
    ParkAssignment,
    PutAgent,
    RemoveAgent,
    ResumeAssignment,
    SetAgentChannels,
    SetAgentState,
    UnparkAssignment,
)
from router.model.views import AgentView


async def put_agent(request: Call) -> Answer:
    """Create an agent or replace the agent's record."""
    record = request.body
    return await _agent(
        request,
        PutAgent(
            agent_id=_permitted_agent_id(request),
            skills=record.skills,
            queues=record.queues,
            units=record.units,
            channel_max=record.channel_max,
            attributes=record.attributes,
            queue_ranks=record.queue_ranks,
        ),
    )


async def get_agent(request: Call) -> Answer:
    """Get an agent with the assignments and offers that use capacity."""
    agent_id = _permitted_agent_id(request)
    answered = await request.ask(lambda engine: engine.agent(agent_id))
    if answered.value is None:
        raise ProblemRaised("unknown_agent")
    return Answer(body=answered.value)


async def delete_agent(request: Call) -> Answer:
    """Remove an agent who has no offers and assignments."""
    return await _agent(request, RemoveAgent(agent_id=_permitted_agent_id(request)))


async def list_agents(request: Call) -> Answer:
    """List agents by ascending id, one page at a time."""
    query = request.query
    limit = min(query.limit, request.backend.settings.edge.page_count_max)

    def query_page(engine: Engine) -> list[AgentView]:
        return engine.agents(after=query.cursor or "", limit=limit + 1)

    answered = await request.ask(query_page)
    page = answered.value[:limit]
    cursor = page[-1].agent_id if len(answered.value) > limit else None
    return Answer(body=AgentList(agents=tuple(page), as_of_seq=answered.seq, next_cursor=cursor))


async def set_agent_state(request: Call) -> Answer:
    """Set an agent ready, not ready or offline."""
    change = request.body
    return await _agent(
        request,
        SetAgentState(
            agent_id=_permitted_agent_id(request),
            state=change.state,
            reason=change.reason,
            after_work=change.after_work,
        ),
    )


async def set_agent_channels(request: Call) -> Answer:
    """Pause channels: no new offers on them. The list replaces the previous one; the agent's state stays."""
    return await _agent(
        request, SetAgentChannels(agent_id=_permitted_agent_id(request), paused=request.body.paused)
    )


async def accept_offer(request: Call) -> Answer:
    """Accept an offer. A repeat of a successful accept returns the first result."""
    return await _offer(
        request, AcceptOffer(offer_id=request.path["offer_id"], agent_id=request.credential.subject)
    )


async def decline_offer(request: Call) -> Answer:
    """Decline an offer."""
    return await _offer(
        request,
        DeclineOffer(
            offer_id=request.path["offer_id"],
            agent_id=request.credential.subject,
            reason=request.body.reason or "declined",
        ),
    )


async def hold_assignment(request: Call) -> Answer:
    """Put the customer on hold."""
    return await _assignment(
        request,
        HoldAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject),
    )


async def unhold_assignment(request: Call) -> Answer:
    """Take the customer off hold."""
    return await _assignment(
        request,
        ResumeAssignment(
            assignment_id=_assignment_id(request), agent_id=request.credential.subject
        ),
    )


async def park_assignment(request: Call) -> Answer:
    """Park a conversation that waits for the customer; it uses no capacity until unparked."""
    return await _assignment(
        request,
        ParkAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject),
    )


async def unpark_assignment(request: Call) -> Answer:
    """Resume a parked conversation."""
    return await _assignment(
        request,
        UnparkAssignment(
            assignment_id=_assignment_id(request), agent_id=request.credential.subject
        ),
    )


async def extend_wrap_up(request: Call) -> Answer:
    """Extend the wrap-up time."""
    return await _assignment(
        request,
        ExtendWrapUp(
            assignment_id=_assignment_id(request),
            agent_id=request.credential.subject,
            extend_s=request.body.extend_s,
        ),
    )


async def complete_assignment(request: Call) -> Answer:
    """Complete an assignment with a disposition; a supervisor may do so for the agent."""
    return await _assignment(
        request,
        CompleteAssignment(
            assignment_id=_assignment_id(request),
            agent_id=request.agent_id,
            disposition=request.body.disposition,
        ),
    )


def _permitted_agent_id(request: Call) -> str:
    """Return the agent id of the path. Raises ProblemRaised if an agent names another agent."""
    agent_id = request.path["agent_id"]
    if request.agent_id is not None and request.agent_id != agent_id:
        raise ProblemRaised("unknown_agent")
    return agent_id


def _assignment_id(request: Call) -> str:
    return request.path["assignment_id"]


async def _agent(request: Call, command: Command) -> Answer:
    effected = await request.execute(command, noun="agent")
    return _answer(effected, AgentReceipt, "agent_id")


async def _offer(request: Call, command: Command) -> Answer:
    effected = await request.execute(command, noun="offer")
    return _answer(effected, OfferReceipt, "offer_id")


async def _assignment(request: Call, command: Command) -> Answer:
    effected = await request.execute(command, noun="assignment")
    return _answer(effected, AssignmentReceipt, "assignment_id")


def _answer(
    effected: Effected,
    receipt: type[AgentReceipt] | type[OfferReceipt] | type[AssignmentReceipt],
    id_field: str,
) -> Answer:
    done = effected.done
    members: dict[str, str] = {id_field: done.subject}
    body = receipt(
        state=done.state, gen=effected.gen, epoch=effected.epoch, seq=done.seq, **members
    )
    return Answer(body=body, headers=effected.headers)
