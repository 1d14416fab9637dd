"""API operations on workspaces: list them, and create one while the router runs.

A workspace is created by one record of its own history, with its first policy: it is there with it or not at all. What an
interrupted creation leaves is an empty history, which the next attempt uses. Of several routers on one store, each finds it there
within some seconds, and accepts its tokens when it has read that record. They accept them until they have read the last one: what
comes in there while a workspace is being emptied refuses the removal, which is then repeated.
"""

from typing import Final

from msgspec import Struct

from router.engine.engine import Engine
from router.model.commands import CreateWorkspace, RemoveWorkspace
from router.model.policy import Policy
from router.model.policy_versions import WorkspaceCreation
from router.model.states import Name
from router.server.api.bodies import PolicyNote
from router.server.api.policies import checked_note, parse_policy
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse, Services, held_workspace
from router.server.api.route import Route
from router.server.api.workspace_removal import empty_workspace

WORKSPACES_MAX: Final = 100
"""Workspaces of a router, beyond which none is created."""
HISTORIES_MAX: Final = 1_000
"""Histories in the journal, those of removed workspaces included."""


class WorkspaceDocument(Struct, frozen=True, kw_only=True):
    """One workspace: a separate contact centre, with its own policy, agents, contacts and history."""

    name: str
    """Its name, as tokens have it in the claim ``workspace``."""
    is_in_settings: bool
    """Whether the settings name it; otherwise it was created over the API."""
    created_at_ms: int | None
    """When it was created over the API, epoch milliseconds; null: the settings name it."""
    created_by: str | None
    """Who created it; null: as above."""
    history_id: str
    policy_version: int
    """Version of its active policy; 0: none was published yet, and every contact is refused."""
    live_contacts: int
    """Number of contacts that are not over."""


class WorkspaceList(Struct, frozen=True, kw_only=True):
    """The workspaces by name."""

    workspaces: tuple[WorkspaceDocument, ...]
    """The workspaces."""


class RemovedWorkspace(Struct, frozen=True, kw_only=True):
    """A workspace that was removed."""

    name: str
    """Its name, which is not used again."""


class RemovalQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether live contacts prevent the removal."""

    force: bool = False
    """True: live contacts are ended. False: with live contacts the removal is refused."""


class NewWorkspace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name of a new workspace and its first policy."""

    name: Name
    """Name: a lower-case letter, then at most 63 of a-z, 0-9, ``_`` and ``-``. It cannot be changed."""
    policy: str = ""
    """First policy, the text of a document in YAML or JSON; empty: it is published later, and contacts are refused until then."""
    note: PolicyNote = ""
    """Note of that first version: at most 500 characters without personal data."""


async def list_workspaces(request: ApiRequest) -> ApiResponse:
    """List the workspaces whose tokens this router accepts."""
    names = sorted(request.services.authenticator.workspaces)
    return ApiResponse(body=WorkspaceList(workspaces=tuple([await _document(request, name) for name in names])))


async def create_workspace(request: ApiRequest) -> ApiResponse:
    """Create a workspace, with its first policy if there is one. It is durable and accepts tokens when the answer comes."""
    body: NewWorkspace = request.body
    services = request.services
    note = checked_note(body.note)
    if body.name in services.authenticator.workspaces:
        raise ProblemError("workspace_exists", field="name")
    policy: Policy | None = None
    if body.policy:
        policy, _ = await parse_policy(body.policy.encode())
    if len(services.authenticator.workspaces) >= WORKSPACES_MAX:
        raise ProblemError("no_more_workspaces", f"the router has as many workspaces as it may have: {WORKSPACES_MAX}")
    if _history_count(services) >= HISTORIES_MAX:
        detail = f"the journal holds as many histories as it may, those of removed workspaces included: {HISTORIES_MAX}"
        raise ProblemError("no_more_workspaces", detail)
    command = CreateWorkspace(policy=policy, created_by=request.credential.actor, note=note)
    await request.create_workspace(body.name, command)
    return ApiResponse(status=201, body=await _document(request, body.name))


def _history_count(services: Services) -> int:
    """Return the number of histories, also of those that this node does not follow at present."""
    unfollowed = () if services.following is None else services.following.unfollowed()
    return len({*services.writer.workspaces, *unfollowed})


async def remove_workspace(request: ApiRequest) -> ApiResponse:
    """Remove a workspace that was created over the API: its contacts and agents, its customers and its tokens."""
    name = request.path_params["workspace"]
    _check_present(request, name)
    # Erasing many customers may take longer than a workspace is followed without a use.
    async with held_workspace(request.services, name):
        return await _remove(request, name)


async def _remove(request: ApiRequest, name: str) -> ApiResponse:
    services = request.services
    document = await _document(request, name)
    if document.created_at_ms is None or document.is_in_settings:
        raise ProblemError("workspace_in_use", "the settings name it: take it out of them instead", field="workspace")
    if document.live_contacts and not request.query_params.force:
        detail = f"it has {document.live_contacts} live contacts; with `?force=true` they are ended"
        raise ProblemError("workspace_in_use", detail, field="workspace")
    # Another request may have begun to remove it meanwhile.
    _check_present(request, name)
    # Nothing new comes in from here on. If the removal fails or is interrupted, the workspace is open again and it can be repeated.
    services.removals.add(name)
    services.authenticator.remove_workspace(name)
    services.close_refused_sockets()
    try:
        await empty_workspace(request, name)
    except BaseException:
        services.authenticator.add_workspace(name)
        services.removals.discard(name)
        raise
    await request.remove_workspace(name, RemoveWorkspace(removed_by=request.credential.actor))
    return ApiResponse(body=RemovedWorkspace(name=name))


def _check_present(request: ApiRequest, name: str) -> None:
    if name in request.services.removals:
        raise ProblemError("workspace_in_use", "it is being removed already: wait until it is not listed", field="workspace")
    if name not in request.services.authenticator.workspaces:
        raise ProblemError("not_found", "there is no such workspace")


async def _document(request: ApiRequest, name: str) -> WorkspaceDocument:
    def read(engine: Engine) -> tuple[WorkspaceCreation | None, int, int]:
        return engine.created, engine.policy_version, engine.live_contact_count

    async with held_workspace(request.services, name):
        answered = await request.services.writer.query(name, read)
    created, policy_version, live_contacts = answered.value
    return WorkspaceDocument(
        name=name,
        is_in_settings=name in request.services.settings.all_workspaces(),
        created_at_ms=None if created is None else created.created_at_ms,
        created_by=None if created is None else created.created_by,
        history_id=answered.history_id,
        policy_version=policy_version,
        live_contacts=live_contacts,
    )


WORKSPACE_ROUTES: Final[tuple[Route, ...]] = (
    Route(method="GET", path="/v1/workspaces", operation=list_workspaces, response_type=WorkspaceList, tag="workspaces"),
    Route(
        method="POST",
        path="/v1/workspaces",
        operation=create_workspace,
        body_type=NewWorkspace,
        response_type=WorkspaceDocument,
        status=201,
        tag="workspaces",
        problem_codes=("workspace_exists", "no_more_workspaces", "invalid_policy"),
    ),
    Route(
        method="DELETE",
        path="/v1/workspaces/{workspace}",
        operation=remove_workspace,
        response_type=RemovedWorkspace,
        query_type=RemovalQuery,
        tag="workspaces",
        problem_codes=("not_found", "workspace_in_use", "context_unavailable"),
    ),
)
