"""API operations on lists of agents, with their filters and orders, and changes of an agent's record by a merge patch."""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from router.engine.commands.transaction import unknown_agent
from router.engine.queries.agent_lists import AgentOrder, OrderPosition
from router.model.commands import UpdateAgent
from router.model.filters import AgentFilter
from router.model.policy import AttributesPatch, SkillsPatch
from router.model.states import AgentState, Code, Name
from router.model.views import AgentView
from router.server.api.agents import agent_in_scope
from router.server.api.bodies import AgentReceipt, Labels
from router.server.api.idempotency import replay_headers
from router.server.api.problems import ProblemError, problem_from_refusal
from router.server.api.request import ApiRequest, ApiResponse

SkillLevel: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,63}(:[0-9]{1,2})?(?!\n)$",
        extra={"rule": "must be `skill` or `skill:level`, with a level of 1 to 10"},
    ),
]


class AgentChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to an agent's record, as a merge patch (RFC 7396): omitted fields stay as they are, null removes."""

    skills: SkillsPatch | UnsetType | None = UNSET
    """Skills: those named are set or, with null, removed; others are unchanged. Null: none."""
    queues: Annotated[tuple[Name, ...], Meta(max_length=1_000)] | UnsetType | None = UNSET
    """Queues that the agent serves; null: every queue whose required skills the agent has. Omitted: unchanged."""
    units: Annotated[int, Meta(ge=0, le=100_000)] | UnsetType | None = UNSET
    """Capacity in capacity units; null: the default of the policy. Omitted: unchanged."""
    channel_max: Annotated[dict[Name, Annotated[int, Meta(ge=0, le=1_000)] | None], Meta(max_length=32)] | UnsetType | None = UNSET
    """Maximum number of concurrent contacts by channel: those named are set or, with null, removed. Null: none."""
    attributes: AttributesPatch | UnsetType | None = UNSET
    """Attributes: those named are set or, with null, removed; others are unchanged. Null: none."""
    queue_ranks: Annotated[dict[Name, Annotated[int, Meta(ge=1, le=9)] | None], Meta(max_length=1_000)] | UnsetType | None = UNSET
    """Ranks of queues: those named are set or, with null, removed; others are unchanged. Null: none."""
    team: Name | UnsetType | None = UNSET
    """New team; null: none. Omitted: unchanged."""
    labels: Labels | UnsetType | None = UNSET
    """New labels, all of them; null: none. Omitted: unchanged."""
    add_labels: Labels = ()
    """Labels to be added to the others."""
    remove_labels: Labels = ()
    """Labels to be removed from the others, before those of ``add_labels`` are added."""


class AgentsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filter, order and page of an agent list. An agent must meet all conditions."""

    state: AgentState | None = None
    """Only agents in this state."""
    reason: Code | None = None
    """Only agents whose state has this reason."""
    team: Name | None = None
    """Only agents of this team."""
    label: Name | None = None
    """Only agents with this label."""
    queue: Name | None = None
    """Only agents who serve this queue: it is among their `queues`, or these are not set, and they have the skills that the queue
    requires."""
    skill: SkillLevel | None = None
    """Only agents with this skill, for example ``english`` or ``english:5`` for at least this level."""
    channel: Name | None = None
    """Only agents who are not excluded from this channel by their record."""
    available: bool | None = None
    """True: only agents who could get an offer now, on `channel` or without it on any channel. False: only the others."""
    sort: AgentOrder = AgentOrder.ID
    """Order of the list; a minus reverses it."""
    cursor: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9._:@|-]{1,192}(?!\n)$",
                extra={"rule": "must be the `next_cursor` of an earlier page with the same `sort`"},
            ),
        ]
        | None
    ) = None
    """``next_cursor`` of the previous page; omitted: the first page."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of agents in the page."""


class AgentList(Struct, frozen=True, kw_only=True):
    """Page of agents in the order that was asked for."""

    agents: tuple[AgentView, ...]
    """Agents of the page. A page with filters may be short and still have a next one."""
    as_of_seq: int
    next_cursor: str | None = None
    """Cursor of the next page; null on the last page."""


async def list_agents(request: ApiRequest) -> ApiResponse:
    """List agents by id, or filtered and sorted by state, idle time or load, one page at a time."""
    query = request.query_params
    limit = min(query.limit, request.services.settings.server.page_size_max)
    wanted, after = structs.replace(_filter(query), teams=request.scope.teams), _position(query)
    answered = await request.query_in_slices(lambda engine: engine.agent_page(wanted, query.sort, after=after, limit=limit))
    page = answered.value
    visible = tuple(agent_in_scope(request.scope, view) for view in page.agents)
    agents = await request.services.references.agents(request.workspace, visible)
    return ApiResponse(body=AgentList(agents=agents, as_of_seq=answered.seq, next_cursor=_cursor(query.sort, page.next_position)))


async def update_agent(request: ApiRequest) -> ApiResponse:
    """Change skills, queues, team, labels or other parts of an agent's record, and leave the rest as it is."""
    agent_id, change = request.path_params["agent_id"], request.body
    if request.agent_id is not None:
        raise problem_from_refusal(unknown_agent())
    effected = await request.execute(
        UpdateAgent(
            agent_id=agent_id,
            skills=change.skills,
            queues=change.queues,
            units=change.units,
            channel_max=change.channel_max,
            attributes=change.attributes,
            queue_ranks=change.queue_ranks,
            team=change.team,
            labels=change.labels,
            add_labels=change.add_labels,
            remove_labels=change.remove_labels,
        )
    )
    done = effected.result
    body = AgentReceipt(
        agent_id=done.subject,
        state=done.state,
        history_id=effected.history_id,
        epoch=effected.epoch,
        seq=done.seq,
        durability=effected.durability,
    )
    return ApiResponse(body=body, headers=replay_headers(effected))


def skill_level(text: str | None, field: str) -> tuple[str, int] | None:
    """Return skill and level of ``skill:level``; the default level is 1. Raises ProblemError for a level out of range."""
    if text is None:
        return None
    name, _, level = text.partition(":")
    if not 1 <= int(level or "1") <= 10:
        raise ProblemError("invalid_value", "must be `skill` or `skill:level`, with a level of 1 to 10", field=field)
    return name, int(level or "1")


def _filter(query: AgentsQuery) -> AgentFilter:
    return AgentFilter(
        state=query.state,
        reason=query.reason,
        team=query.team,
        label=query.label,
        queue_id=query.queue,
        skill=skill_level(query.skill, "skill"),
        channel=query.channel,
        is_available=query.available,
    )


def _cursor(order: AgentOrder, position: OrderPosition | None) -> str | None:
    """Return the cursor of a position: the agent's id, after the order and the value that it compares unless it is that of ids."""
    if position is None:
        return None
    return position[1] if order is AgentOrder.ID else f"{order}:{position[0]}:{position[1]}"


def _position(query: AgentsQuery) -> OrderPosition | None:
    """Return the position of the cursor. Raises ProblemError for the cursor of another order."""
    if query.cursor is None:
        return None
    if query.sort is AgentOrder.ID:
        return 0, query.cursor
    order, _, rest = query.cursor.partition(":")
    value, _, agent_id = rest.partition(":")
    is_number = value.removeprefix("-").isdecimal() and len(value) <= 20
    if order != str(query.sort) or not is_number or not agent_id:
        detail = "it belongs to another order: send the `next_cursor` of an earlier page with the same `sort`"
        raise ProblemError("invalid_value", detail, field="cursor")
    return int(value), agent_id
