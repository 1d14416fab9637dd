"""API operations on the published versions of the policy: list, read, compare, and restore an earlier one."""

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from router.engine.engine import Engine
from router.engine.state.policy_history import decode_content
from router.model.errors import Problem
from router.model.policy import Policy
from router.model.policy_versions import ChangeCounts, PublishedPolicy
from router.model.results import Refused
from router.model.states import Name
from router.policy.checks.consistency import policy_problems
from router.policy.diff import DocumentChange, change_counts, policy_diff
from router.server.api.bodies import PolicyNote, PolicyReceipt
from router.server.api.policies import checked_note, policy_response, publish
from router.server.api.problems import ProblemError, problem_code
from router.server.api.request import ApiRequest, ApiResponse
from router.server.api.route import Route

_VERSION_MAX: Final = 2**53
_Version = Annotated[int, Meta(ge=1, le=_VERSION_MAX)]


class PolicyVersion(Struct, frozen=True, kw_only=True):
    """One published version of the policy."""

    version: int
    """Its number: 1, 2, 3…"""
    is_active: bool
    """Whether it is the active one."""
    published_at_ms: int | None
    """When it was published, epoch milliseconds; null: an earlier release of the router published it and did not keep that."""
    published_by: str | None
    """Who published it: ``admin:ann``, ``router:seed`` for the initial policy, …; null: not recorded."""
    note: str
    """Why, as its author wrote it; empty: there is no note."""
    restores: int | None
    """Version whose content it restored; null: it was no rollback."""
    changes: ChangeCounts | None
    """How many paths of the document it added, removed and changed; null: not counted."""
    seq: int | None
    """Sequence number of its event; null: not known."""
    is_scheduled: bool
    """Whether it was scheduled and then published by itself."""
    is_kept: bool
    """Whether its content can still be read, compared and restored."""


class PolicyVersionList(Struct, frozen=True, kw_only=True):
    """The published versions of the policy, newest first: the last 100, with the contents of the last 50 up to 4 MiB."""

    versions: tuple[PolicyVersion, ...]
    """The versions."""
    as_of_seq: int


class VersionsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of the list."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    """Maximum number of versions, newest first."""


class DiffQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two versions to compare."""

    before: _Version
    """Version from which the differences go."""
    after: _Version | None = None
    """Version to which they go; omitted: the active one."""


class PolicyDiff(Struct, frozen=True, kw_only=True):
    """Differences between two versions. Omitted keys count as their defaults."""

    before: int
    """Number of the first version."""
    after: int
    """Number of the second version."""
    counts: ChangeCounts
    """Number of differences by kind."""
    changes: tuple[DocumentChange, ...]
    """The differences by path, in the order of the document; values are JSON texts."""


class RollbackPreview(Struct, frozen=True, kw_only=True):
    """What restoring a version would do now. Nothing is changed by the preview."""

    version: int
    """Version that would be restored."""
    active_version: int
    """Active version, which the changes start from."""
    counts: ChangeCounts
    """Number of changes by kind."""
    changes: tuple[DocumentChange, ...]
    """Changes to the active policy."""
    removed_queues_contacts: dict[str, int]
    """Live contacts of the queues that the version does not have; ``drain_to`` is required for each of these queues."""
    problems: tuple[Problem, ...]
    """Why this release of the router would not publish the content any more; empty: it would."""
    refused: str | None
    """Code of the refusal if it were restored now without ``drain_to``; null: it would become active."""
    refused_because: str
    """Reason of that refusal; empty: none."""


class PolicyRollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Version to be restored."""

    version: _Version
    """Version whose content becomes active again, as a new version."""
    note: PolicyNote = ""
    """Why: at most 500 characters without personal data."""
    drain_to: Annotated[dict[Name, Name], Meta(max_length=1_000)] = {}
    """Queue for the live contacts of each queue that the version does not have."""


async def list_policy_versions(request: ApiRequest) -> ApiResponse:
    """List the published versions of the policy, newest first: who published them, when, why, and how much they changed."""
    limit: int = request.query_params.limit

    def newest(engine: Engine) -> tuple[int, list[PublishedPolicy]]:
        return engine.policy_version, engine.policy_versions()[: -limit - 1 : -1]

    answered = await request.query_engine(newest)
    active, found = answered.value
    return ApiResponse(
        body=PolicyVersionList(versions=tuple(_version_view(entry, active) for entry in found), as_of_seq=answered.seq)
    )


def _version_view(entry: PublishedPolicy, active: int) -> PolicyVersion:
    return PolicyVersion(
        version=entry.version,
        is_active=entry.version == active,
        published_at_ms=entry.published_at_ms or None,
        published_by=entry.published_by or None,
        note=entry.note,
        restores=entry.restores,
        changes=entry.changes,
        seq=entry.seq or None,
        is_scheduled=entry.is_scheduled,
        is_kept=entry.content is not None,
    )


async def get_policy_version(request: ApiRequest) -> ApiResponse:
    """Get the content of a published version as JSON or, with ``Accept: application/yaml``, as YAML."""
    version = _path_version(request)
    policy = await _content_of(request, version)
    return await policy_response(request, policy, {"ETag": f'"{version}"', "Vary": "Accept"})


async def diff_policy_versions(request: ApiRequest) -> ApiResponse:
    """Compare two published versions of the policy, or one with the active policy."""
    before, after = request.query_params.before, request.query_params.after
    if after is None:
        after = await _active_version(request)
    first, second = await _content_of(request, before, "before"), await _content_of(request, after, "after")
    changes = await asyncio.to_thread(policy_diff, first, second)
    return ApiResponse(body=PolicyDiff(before=before, after=after, counts=change_counts(changes), changes=tuple(changes)))


async def preview_rollback(request: ApiRequest) -> ApiResponse:
    """Tell what restoring a published version would change now, and whether it would be refused."""
    version = _path_version(request)
    policy = await _content_of(request, version)

    def effects(engine: Engine) -> tuple[Policy | None, int, dict[str, int], Refused | None]:
        refused = engine.publication_refusal(policy, {})
        return engine.policy, engine.policy_version, engine.contacts_of_removed_queues(policy), refused

    active, active_version, contacts, refused = (await request.query_engine(effects)).value
    assert active is not None, "a version was published"
    changes, problems = await asyncio.to_thread(lambda: (policy_diff(active, policy), policy_problems(policy)))
    code = "invalid_policy" if problems else None if refused is None else problem_code(refused.code)
    preview = RollbackPreview(
        version=version,
        active_version=active_version,
        counts=change_counts(changes),
        changes=tuple(changes),
        removed_queues_contacts=contacts,
        problems=tuple(problems),
        refused=code,
        refused_because=refused.detail if refused is not None and not problems else "",
    )
    return ApiResponse(body=preview)


async def rollback_policy(request: ApiRequest) -> ApiResponse:
    """Publish the content of an earlier version again. Requires ``If-Match`` with the ETag of the active policy, or ``*``."""
    body: PolicyRollback = request.body
    note = checked_note(body.note)
    policy = await _content_of(request, body.version, "version")
    problems = await asyncio.to_thread(policy_problems, policy)
    if problems:
        detail = "this release of the router does not accept the content of that version any more"
        raise ProblemError("invalid_policy", detail, field="version", errors=tuple(problems))
    return await publish(
        request,
        policy,
        drain_to=body.drain_to,
        note=note,
        restores=body.version,
        payload=msgspec.json.encode(["rollback", body.version, sorted(body.drain_to.items())]),
    )


def _path_version(request: ApiRequest) -> int:
    text: str = request.path_params["version"]
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_VERSION_MAX))):
        raise ProblemError("not_found", "versions of the policy are numbers: 1, 2, 3…")
    return int(text)


async def _active_version(request: ApiRequest) -> int:
    version = (await request.query_engine(lambda engine: engine.policy_version)).value
    if not version:
        raise ProblemError("not_found", "no policy has been published")
    return version


async def _content_of(request: ApiRequest, version: int, field: str | None = None) -> Policy:
    """Return the content of a version. Raises ProblemError (not_found), which names the field that asked for it."""

    def find(engine: Engine) -> tuple[int, Policy | None, PublishedPolicy | None]:
        active = engine.policy if engine.policy_version == version else None
        return engine.policy_version, active, engine.policy_version_record(version)

    last, active, entry = (await request.query_engine(find)).value
    if active is not None:
        return active
    if entry is None or entry.content is None:
        never = version > last or version < 1
        detail = "there is no such version" if never else "that version is no longer kept: see `GET /v1/policy/versions`"
        raise ProblemError("not_found", detail, field=field)
    return await asyncio.to_thread(decode_content, entry.content)


_PUBLICATION_PROBLEMS: Final = (
    *("invalid_policy", "policy_version_conflict", "precondition_required", "drain_target_required", "channel_in_use"),
    *("unknown_queue", "not_found"),
)

POLICY_VERSION_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/v1/policy/versions",
        operation=list_policy_versions,
        response_type=PolicyVersionList,
        query_type=VersionsQuery,
        tag="policy",
    ),
    Route(
        method="GET",
        path="/v1/policy/versions/{version}",
        operation=get_policy_version,
        response_type=Policy,
        tag="policy",
        problem_codes=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/policy/versions/{version}/preview",
        operation=preview_rollback,
        response_type=RollbackPreview,
        tag="policy",
        problem_codes=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/policy/diff",
        operation=diff_policy_versions,
        response_type=PolicyDiff,
        query_type=DiffQuery,
        tag="policy",
        problem_codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/policy/rollback",
        operation=rollback_policy,
        body_type=PolicyRollback,
        response_type=PolicyReceipt,
        tag="policy",
        problem_codes=_PUBLICATION_PROBLEMS,
    ),
)
