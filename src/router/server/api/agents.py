"""API operations on agents: records, state and, for desktops without a WebSocket, offers and assignments.

An agent can reach only their own record and work.
"""

from msgspec import structs

from router.engine.commands.transaction import unknown_agent
from router.model.commands import (
    AcceptOffer,
    CompleteAssignment,
    DeclineOffer,
    ExtendWrapUp,
    HoldAssignment,
    ParkAssignment,
    PlainCommand,
    PutAgent,
    RemoveAgent,
    ResumeAssignment,
    SetAgentChannels,
    SetAgentState,
    UnparkAssignment,
)
from router.model.filters import SupervisorScope
from router.model.views import AgentView
from router.server.api.bodies import AgentReceipt, AssignmentReceipt, OfferReceipt
from router.server.api.idempotency import replay_headers
from router.server.api.problems import problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse, AppliedCommand


async def put_agent(request: ApiRequest) -> ApiResponse:
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
            team=record.team,
            labels=record.labels,
        ),
    )


async def get_agent(request: ApiRequest) -> ApiResponse:
    """Get an agent with the assignments and offers that use capacity."""
    agent_id = _permitted_agent_id(request)
    answered = await request.query_engine(lambda engine: (engine.agent(agent_id), engine.agent_tag(agent_id)))
    view, tag = answered.value
    if view is None or not request.scope.has_team(view.team):
        raise problem_from_refusal(unknown_agent())
    view = agent_in_scope(request.scope, view)
    [view] = await request.services.references.agents(request.workspace, (view,))
    return ApiResponse(body=view, headers={"ETag": f'"{tag}"'})


def agent_in_scope(scope: SupervisorScope, view: AgentView) -> AgentView:
    """Return the view of an agent without the work of queues that are out of the scope."""
    if scope.queues is None:
        return view
    return structs.replace(
        view,
        offers=tuple(one for one in view.offers if scope.has_queue(one.queue_id)),
        assignments=tuple(one for one in view.assignments if scope.has_queue(one.queue_id)),
    )


async def delete_agent(request: ApiRequest) -> ApiResponse:
    """Remove an agent who has no offers and assignments."""
    return await _agent(request, RemoveAgent(agent_id=_permitted_agent_id(request)))


async def set_agent_state(request: ApiRequest) -> ApiResponse:
    """Set an agent ready, not ready or offline."""
    change = request.body
    return await _agent(
        request,
        SetAgentState(
            agent_id=_permitted_agent_id(request), state=change.state, reason=change.reason, after_work=change.after_work
        ),
    )


async def set_agent_channels(request: ApiRequest) -> ApiResponse:
    """Set the paused channels, on which the agent gets no new offers. The agent state is unchanged."""
    return await _agent(request, SetAgentChannels(agent_id=_permitted_agent_id(request), paused=request.body.paused))


async def accept_offer(request: ApiRequest) -> ApiResponse:
    """Accept an offer. A repeat of a successful accept returns the first result."""
    return await _offer(request, AcceptOffer(offer_id=request.path_params["offer_id"], agent_id=request.credential.subject))


async def decline_offer(request: ApiRequest) -> ApiResponse:
    """Decline an offer."""
    return await _offer(
        request,
        DeclineOffer(
            offer_id=request.path_params["offer_id"], agent_id=request.credential.subject, reason=request.body.reason or "declined"
        ),
    )


async def hold_assignment(request: ApiRequest) -> ApiResponse:
    """Put the customer on hold."""
    return await _assignment(request, HoldAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject))


async def unhold_assignment(request: ApiRequest) -> ApiResponse:
    """Take the customer off hold."""
    return await _assignment(request, ResumeAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject))


async def park_assignment(request: ApiRequest) -> ApiResponse:
    """Park a conversation that waits for the customer; it uses no capacity until unparked."""
    return await _assignment(request, ParkAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject))


async def unpark_assignment(request: ApiRequest) -> ApiResponse:
    """Resume a parked conversation."""
    return await _assignment(request, UnparkAssignment(assignment_id=_assignment_id(request), agent_id=request.credential.subject))


async def extend_wrap_up(request: ApiRequest) -> ApiResponse:
    """Extend the wrap-up time."""
    return await _assignment(
        request,
        ExtendWrapUp(assignment_id=_assignment_id(request), agent_id=request.credential.subject, extend_s=request.body.extend_s),
    )


async def complete_assignment(request: ApiRequest) -> ApiResponse:
    """Complete an assignment with a disposition; a supervisor may do so for the agent."""
    return await _assignment(
        request,
        CompleteAssignment(assignment_id=_assignment_id(request), agent_id=request.agent_id, disposition=request.body.disposition),
    )


def _permitted_agent_id(request: ApiRequest) -> str:
    """Return the agent id of the path. Raises ProblemError if an agent names another agent."""
    agent_id = request.path_params["agent_id"]
    if request.agent_id is not None and request.agent_id != agent_id:
        raise problem_from_refusal(unknown_agent())
    return agent_id


def _assignment_id(request: ApiRequest) -> str:
    return request.path_params["assignment_id"]


async def _agent(request: ApiRequest, command: PlainCommand) -> ApiResponse:
    effected = await request.execute(command)
    return _answer(effected, AgentReceipt, "agent_id")


async def _offer(request: ApiRequest, command: PlainCommand) -> ApiResponse:
    effected = await request.execute(command)
    return _answer(effected, OfferReceipt, "offer_id")


async def _assignment(request: ApiRequest, command: PlainCommand) -> ApiResponse:
    effected = await request.execute(command)
    return _answer(effected, AssignmentReceipt, "assignment_id")


def _answer(
    effected: AppliedCommand, receipt: type[AgentReceipt] | type[OfferReceipt] | type[AssignmentReceipt], id_field: str
) -> ApiResponse:
    done = effected.result
    members: dict[str, str] = {id_field: done.subject}
    body = receipt(
        state=done.state,
        history_id=effected.history_id,
        epoch=effected.epoch,
        seq=done.seq,
        durability=effected.durability,
        **members,
    )
    return ApiResponse(body=body, headers=replay_headers(effected))
