"""Agents over HTTP: their records, their state and, for desktops without a socket, their work. An agent reaches himself alone."""

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


async def put_agent(call: Call) -> Answer:
    """Create an agent or replace his record."""
    record = call.body
    return await _agent(
        call,
        PutAgent(
            agent_id=_own(call),
            skills=record.skills,
            queues=record.queues,
            units=record.units,
            channel_max=record.channel_max,
            attributes=record.attributes,
            queue_ranks=record.queue_ranks,
        ),
    )


async def get_agent(call: Call) -> Answer:
    """One agent, with the items that use his capacity."""
    agent_id = _own(call)
    answered = await call.ask(lambda engine: engine.agent(agent_id))
    if answered.value is None:
        raise ProblemRaised("unknown_agent")
    return Answer(body=answered.value)


async def delete_agent(call: Call) -> Answer:
    """Remove an agent who has no work in hand."""
    return await _agent(call, RemoveAgent(agent_id=_own(call)))


async def list_agents(call: Call) -> Answer:
    """A page of agents by ascending id."""
    query = call.query
    limit = min(query.limit, call.backend.settings.edge.page_count_max)

    def question(engine: Engine) -> list[AgentView]:
        return engine.agents(after=query.cursor or "", limit=limit + 1)

    answered = await call.ask(question)
    page = answered.value[:limit]
    cursor = page[-1].agent_id if len(answered.value) > limit else None
    return Answer(body=AgentList(agents=tuple(page), as_of_seq=answered.seq, next_cursor=cursor))


async def set_agent_state(call: Call) -> Answer:
    """Go ready, not ready or offline."""
    change = call.body
    return await _agent(
        call,
        SetAgentState(
            agent_id=_own(call),
            state=change.state,
            reason=change.reason,
            after_work=change.after_work,
        ),
    )


async def set_agent_channels(call: Call) -> Answer:
    """Take nothing new of these channels, and of all others as before; the state stays as it is."""
    return await _agent(call, SetAgentChannels(agent_id=_own(call), paused=call.body.paused))


async def accept_offer(call: Call) -> Answer:
    """Take the offered contact. Repeating a won accept gets the first answer."""
    return await _offer(
        call, AcceptOffer(offer_id=call.path["offer_id"], agent_id=call.credential.subject)
    )


async def decline_offer(call: Call) -> Answer:
    """Do not take it."""
    return await _offer(
        call,
        DeclineOffer(
            offer_id=call.path["offer_id"],
            agent_id=call.credential.subject,
            reason=call.body.reason or "declined",
        ),
    )


async def hold_assignment(call: Call) -> Answer:
    """Customer on hold."""
    return await _assignment(
        call, HoldAssignment(assignment_id=_assignment_id(call), agent_id=call.credential.subject)
    )


async def unhold_assignment(call: Call) -> Answer:
    """Customer off hold."""
    return await _assignment(
        call,
        ResumeAssignment(assignment_id=_assignment_id(call), agent_id=call.credential.subject),
    )


async def park_assignment(call: Call) -> Answer:
    """The customer is waited for; his conversation uses no capacity meanwhile."""
    return await _assignment(
        call, ParkAssignment(assignment_id=_assignment_id(call), agent_id=call.credential.subject)
    )


async def unpark_assignment(call: Call) -> Answer:
    """Go on with a parked conversation."""
    return await _assignment(
        call,
        UnparkAssignment(assignment_id=_assignment_id(call), agent_id=call.credential.subject),
    )


async def extend_wrap_up(call: Call) -> Answer:
    """More time for wrap-up."""
    return await _assignment(
        call,
        ExtendWrapUp(
            assignment_id=_assignment_id(call),
            agent_id=call.credential.subject,
            extend_s=call.body.extend_s,
        ),
    )


async def complete_assignment(call: Call) -> Answer:
    """Done, with a disposition; a supervisor may do it for the agent."""
    return await _assignment(
        call,
        CompleteAssignment(
            assignment_id=_assignment_id(call),
            agent_id=call.agent_id,
            disposition=call.body.disposition,
        ),
    )


def _own(call: Call) -> str:
    """The agent that the path names. For an agent, everybody but himself is unknown."""
    agent_id = call.path["agent_id"]
    if call.agent_id is not None and call.agent_id != agent_id:
        raise ProblemRaised("unknown_agent")
    return agent_id


def _assignment_id(call: Call) -> str:
    return call.path["assignment_id"]


async def _agent(call: Call, command: Command) -> Answer:
    effected = await call.execute(command, noun="agent")
    return _answer(effected, AgentReceipt, "agent_id")


async def _offer(call: Call, command: Command) -> Answer:
    effected = await call.execute(command, noun="offer")
    return _answer(effected, OfferReceipt, "offer_id")


async def _assignment(call: Call, command: Command) -> Answer:
    effected = await call.execute(command, noun="assignment")
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
