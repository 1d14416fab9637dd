"""API operations that change many agents or contacts at once: a preview shows which, and the act changes exactly those.

A bulk act is a list of ordinary commands, one for each id, each with an idempotency key of its own that is derived from the key of
the request. So a repeat after a lost connection, a timeout or a crash carries out what is left, and answers what was done before
with the first results. With a filter, a command is refused in the step that would carry it out if its object no longer meets the
filter.
"""

import asyncio
import hashlib
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct, structs

from router.model.commands import (
    CancelContact,
    EndContact,
    PlainCommand,
    RequeueContact,
    SetAgentChannels,
    SetAgentState,
    TransferContact,
    UpdateAgent,
    UpdateContact,
)
from router.model.filters import AgentFilter, BulkPreview, BulkReceipt, BulkResult, LiveContactFilter, ObjectFilter
from router.model.states import AgentState, Code, ContactState, Name, SubjectId
from router.server.api.agent_lists import AgentChange, SkillLevel, skill_level
from router.server.api.bodies import ContactChange
from router.server.api.guards import guarded, idempotency_key
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.auth.credentials import OUT_OF_SCOPE

BULK_IDS_MAX: Final = 1_000
"""Most objects that one act changes; a preview lists as many."""
# Commands of one act that wait for the writer at a time, so that other clients' commands come in between.
_AT_ONCE: Final = 32


class BulkAgents(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions on agents, all of which must hold; they are those of `GET /v1/agents`."""

    state: AgentState | None = None
    """Only agents in this state."""
    reason: Code | None = None
    """Only agents whose state has this reason."""
    team: Name | None = None
    """Only agents of this team."""
    label: Name | None = None
    """Only agents with this label."""
    queue: Name | None = None
    """Only agents who serve this queue."""
    skill: SkillLevel | None = None
    """Only agents with this skill, for example ``english`` or ``english:5`` for at least this level."""
    channel: Name | None = None
    """Only agents who are not excluded from this channel by their record."""
    available: bool | None = None
    """True: only agents who could get an offer now, on `channel` or without it on any channel. False: only the others."""


class BulkContacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions on contacts that are not over, all of which must hold."""

    state: ContactState | None = None
    """Only contacts in this state; a final one meets nothing."""
    queue: Name | None = None
    """Only contacts of this queue."""
    channel: Name | None = None
    """Only contacts of this channel."""
    agent_id: SubjectId | None = None
    """Only contacts that this agent owns."""


class StateAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="set_state"):
    """Set the state of agents."""

    state: AgentState
    """New state."""
    reason: Code | None = None
    """Reason, one of the policy's ``not_ready_reasons`` if it lists any; omitted: none."""
    after_work: bool = False
    """True: the change takes effect when an agent has no open offers or assignments."""


class ChannelsAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="set_channels"):
    """Set the paused channels of agents."""

    paused: Annotated[tuple[Name, ...], Meta(max_length=32)]
    """Paused channels; an empty list: none."""


class AgentAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="change_agent"):
    """Change skills, queues, team, labels or other parts of the records of agents."""

    changes: AgentChange
    """Changes, as in `PATCH /v1/agents/{agent_id}`."""


class RequeueAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="requeue"):
    """Move contacts into a queue; they keep their waiting times."""

    queue_id: Name | None = None
    """Queue; omitted: the queue of each contact."""


class TransferAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="transfer"):
    """Transfer assigned contacts to a queue."""

    to_queue_id: Name
    """Target queue."""


class ContactAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="change_contact"):
    """Change priority, class, skills, attributes or preferred agents of contacts."""

    changes: ContactChange
    """Changes, as in `PATCH /v1/contacts/{contact_id}`."""


class CancelAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cancel"):
    """Cancel contacts that are not assigned yet."""

    reason: Code | None = None
    """Reason; omitted: ``cancelled``."""


class EndAct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="end"):
    """End contacts."""

    reason: Code | None = None
    """Reason; omitted: ``ended``."""


BulkAct: TypeAlias = StateAct | ChannelsAct | AgentAct | RequeueAct | TransferAct | ContactAct | CancelAct | EndAct

_ON_AGENTS: Final = (StateAct, ChannelsAct, AgentAct)


class BulkPreviewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects to be found: exactly one of both."""

    agents: BulkAgents | None = None
    """Agents who meet these conditions; `{}`: all."""
    contacts: BulkContacts | None = None
    """Contacts that are not over and meet these conditions; `{}`: all."""


class BulkRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do with which objects."""

    act: BulkAct
    """What to do with each of them."""
    ids: Annotated[tuple[SubjectId, ...], Meta(min_length=1, max_length=BULK_IDS_MAX)]
    """Ids of agents or contacts, as the act demands, at most 1,000; usually those of a preview."""
    agents: BulkAgents | None = None
    """Change only agents who still meet these conditions, usually those of the preview; omitted: whatever they are now."""
    contacts: BulkContacts | None = None
    """Change only contacts that still meet these conditions, usually those of the preview; omitted: whatever they are now."""


async def preview_bulk(request: ApiRequest) -> ApiResponse:
    """Count the agents or contacts that meet conditions, and list the first ids for a bulk act. Nothing is changed."""
    body: BulkPreviewRequest = request.body
    if (body.agents is None) == (body.contacts is None):
        raise ProblemError("invalid_value", "give exactly one of `agents` and `contacts`", field="agents")
    wanted = _filter(body.agents, body.contacts)
    assert wanted is not None
    if isinstance(wanted, AgentFilter):
        wanted = structs.replace(wanted, teams=request.scope.teams)
    else:
        wanted = structs.replace(wanted, queues=request.scope.queues)
    answered = await request.query_in_slices(lambda engine: engine.matching_objects(wanted, limit=BULK_IDS_MAX))
    found = answered.value
    return ApiResponse(
        body=BulkPreview(count=found.total, ids=found.ids, more=found.total > len(found.ids), as_of_seq=answered.seq)
    )


async def execute_bulk(request: ApiRequest) -> ApiResponse:
    """Change the agents or contacts with these ids, one command each. A repeat with the same key carries out what is left."""
    body: BulkRequest = request.body
    key = _key(request)
    wanted = _condition(body)
    if isinstance(body.act, AgentAct) and request.credential.scope is not None:
        raise ProblemError("forbidden", OUT_OF_SCOPE, field="act.type")
    if len(set(body.ids)) < len(body.ids):
        raise ProblemError("invalid_value", "an id is listed twice", field="ids")
    results: list[BulkResult] = []
    for start in range(0, len(body.ids), _AT_ONCE):
        ids = body.ids[start : start + _AT_ONCE]
        results += await asyncio.gather(*(_execute(request, body.act, one, key, wanted) for one in ids))
    applied = sum(one.applied for one in results)
    return ApiResponse(body=BulkReceipt(applied=applied, refused=len(results) - applied, results=tuple(results)))


def _key(request: ApiRequest) -> str:
    key = idempotency_key(request.header)
    if key is None:
        detail = "send a key of your own, and the same one again if the answer is lost: what was done is not done twice"
        raise ProblemError("precondition_required", detail, field="Idempotency-Key")
    if request.header("If-Match") is not None or request.header("If-None-Match") is not None:
        detail = "a bulk act has no entity tag: send `agents` or `contacts` to change only what still meets them"
        raise ProblemError("precondition_failed", detail, field="If-Match")
    return key


def _condition(body: BulkRequest) -> ObjectFilter | None:
    """Return the filter of the act. Raises ProblemError for conditions on the wrong kind of objects."""
    wrong = ("contacts", body.contacts) if isinstance(body.act, _ON_AGENTS) else ("agents", body.agents)
    if wrong[1] is not None:
        kinds = "agents" if isinstance(body.act, _ON_AGENTS) else "contacts"
        raise ProblemError("invalid_value", f"the act changes {kinds}: give their conditions, or none", field=wrong[0])
    return _filter(body.agents, body.contacts)


def _filter(agents: BulkAgents | None, contacts: BulkContacts | None) -> ObjectFilter | None:
    if agents is not None:
        return AgentFilter(
            state=agents.state,
            reason=agents.reason,
            team=agents.team,
            label=agents.label,
            queue_id=agents.queue,
            skill=skill_level(agents.skill, "agents.skill"),
            channel=agents.channel,
            is_available=agents.available,
        )
    if contacts is not None:
        return LiveContactFilter(
            state=contacts.state, queue_id=contacts.queue, channel=contacts.channel, agent_id=contacts.agent_id
        )
    return None


async def _execute(request: ApiRequest, act: BulkAct, object_id: str, key: str, wanted: ObjectFilter | None) -> BulkResult:
    """Execute the command for one object and return its result; a refusal or fault concerns this object alone."""
    command = _command(act, object_id)
    own_key = hashlib.sha256(f"bulk\n{key}\n{object_id}".encode()).hexdigest()
    guard = guarded(request.credential, command, key=own_key, wanted=wanted)
    try:
        done = await request.execute_guarded(guard)
    except ProblemError as error:
        problem = error.document
        return BulkResult(
            id=object_id,
            applied=False,
            state=problem.state,
            code=problem.code,
            detail=problem.detail,
            temporary=problem.temporary or problem.applied == "unknown",
        )
    return BulkResult(id=object_id, applied=True, replayed=done.replayed, state=done.state, seq=done.seq)


def _command(act: BulkAct, object_id: str) -> PlainCommand:
    match act:
        case StateAct():
            return SetAgentState(agent_id=object_id, state=act.state, reason=act.reason, after_work=act.after_work)
        case ChannelsAct():
            return SetAgentChannels(agent_id=object_id, paused=act.paused)
        case AgentAct():
            return UpdateAgent(agent_id=object_id, **_fields(act.changes))
        case RequeueAct():
            return RequeueContact(contact_id=object_id, queue_id=act.queue_id)
        case TransferAct():
            return TransferContact(contact_id=object_id, to_queue_id=act.to_queue_id)
        case ContactAct():
            return UpdateContact(contact_id=object_id, **_fields(act.changes))
        case CancelAct():
            return CancelContact(contact_id=object_id, reason=act.reason or "cancelled")
        case EndAct():
            return EndContact(contact_id=object_id, reason=act.reason or "ended")


def _fields(changes: AgentChange | ContactChange) -> dict[str, Any]:
    return {name: getattr(changes, name) for name in changes.__struct_fields__}
