"""API operations on the scheduled policy, which is published by itself at a time: set or replace, read, cancel."""

import asyncio
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from router.engine.engine import Engine
from router.model.commands import CancelScheduledPolicy, SchedulePolicy
from router.model.policy import Policy
from router.model.policy_versions import ChangeCounts, ScheduledPolicy
from router.model.results import Refused
from router.policy.diff import change_counts, policy_diff
from router.server.api.bodies import PolicyNote, PublishQuery, ShadowReceipt
from router.server.api.idempotency import replay_headers
from router.server.api.policies import checked_note, drain_targets, parse_policy
from router.server.api.problems import ProblemError, problem_code
from router.server.api.request import ApiRequest, ApiResponse, AppliedCommand
from router.server.api.route import Route

ANY_VERSION: Final = "any"


class ScheduleQuery(PublishQuery, frozen=True, kw_only=True):
    """When the policy is published, in place of which version, and the terms of the publication."""

    publish_at: Annotated[str, Meta(min_length=1, max_length=40)]
    """When, ISO 8601 with an offset from UTC: ``2026-12-01T06:00:00+01:00`` or ``2026-12-01T05:00:00Z``; at most 366 days ahead."""
    replaces: Annotated[
        str, Meta(pattern=r"^(any|[1-9][0-9]{0,14})?(?!\n)$", extra={"rule": "must be the number of a version, or `any`"})
    ] = ""
    """Version that must be active then, or ``any``; omitted: the one that is active now."""
    note: PolicyNote = ""
    """Why, for the list of versions: at most 500 characters without personal data."""


class ScheduleReceipt(ShadowReceipt, frozen=True, kw_only=True):
    """Receipt of scheduling a policy, or of cancelling that."""


class ScheduledPolicyView(Struct, frozen=True, kw_only=True):
    """The policy that is published by itself at a time, or that could not be then."""

    state: str
    """``scheduled``, or ``refused``: it was due, could not be published, and is not tried again."""
    publish_at_ms: int
    """When it is published, epoch milliseconds."""
    replaces: int | None
    """Version that must be active then; null: whichever is."""
    scheduled_at_ms: int
    """When it was scheduled, epoch milliseconds."""
    scheduled_by: str
    """Who scheduled it: ``admin:ann``."""
    note: str
    """Why, as its author wrote it; empty: there is no note."""
    drain_to: dict[str, str]
    """Queue for the contacts of each queue that it removes."""
    changes: ChangeCounts | None
    """How many paths it adds, removes and changes, compared with the version that was active when it was scheduled."""
    refused: str | None
    """Code of the refusal: at its time if the state is ``refused``, otherwise what it would be now; null: it would be published."""
    refused_because: str
    """Text of that refusal; empty: none."""
    refused_at_ms: int | None
    """When it was refused, epoch milliseconds; null: it was not."""
    policy: Policy
    """The complete policy."""


async def schedule_policy(request: ApiRequest) -> ApiResponse:
    """Schedule a policy, to be published by itself. To replace a scheduled one requires ``If-Match`` with its ETag, or ``*``."""
    query: ScheduleQuery = request.query_params
    publish_at_ms = _time_ms(query.publish_at)
    drain_to = drain_targets(query.drain_to)
    note = checked_note(query.note)
    policy, _ = await parse_policy(request.body)
    active, version = (await request.query_engine(lambda engine: (engine.policy, engine.policy_version))).value
    replaces = None if query.replaces == ANY_VERSION else int(query.replaces) if query.replaces else version
    changes = None if active is None else await asyncio.to_thread(lambda: change_counts(policy_diff(active, policy)))
    effected = await request.execute(
        SchedulePolicy(
            policy=policy,
            publish_at_ms=publish_at_ms,
            replaces=replaces,
            drain_to=drain_to,
            note=note,
            scheduled_by=request.credential.actor,
            changes=changes,
            is_checked=True,
        ),
        payload=msgspec.json.encode([publish_at_ms, query.replaces, note, sorted(drain_to.items())]) + request.body,
        is_condition_required=True,
    )
    return _receipt(effected)


async def get_scheduled_policy(request: ApiRequest) -> ApiResponse:
    """Get the scheduled policy: when it is published, whether it could be now, or why it was refused at its time."""

    def find(engine: Engine) -> tuple[ScheduledPolicy | None, Refused | None]:
        scheduled = engine.scheduled_policy
        if scheduled is None or scheduled.refused_at_ms is not None:
            return scheduled, None
        return scheduled, engine.schedule_refusal(scheduled)

    scheduled, refused = (await request.query_engine(find)).value
    if scheduled is None:
        raise ProblemError("no_scheduled_policy")
    was_refused = scheduled.refused_at_ms is not None
    view = ScheduledPolicyView(
        state="refused" if was_refused else "scheduled",
        publish_at_ms=scheduled.publish_at_ms,
        replaces=scheduled.replaces,
        scheduled_at_ms=scheduled.scheduled_at_ms,
        scheduled_by=scheduled.scheduled_by,
        note=scheduled.note,
        drain_to=scheduled.drain_to,
        changes=scheduled.changes,
        refused=scheduled.refused if was_refused else None if refused is None else problem_code(refused.code),
        refused_because=scheduled.refused_detail if was_refused else "" if refused is None else refused.detail,
        refused_at_ms=scheduled.refused_at_ms,
        policy=scheduled.policy,
    )
    return ApiResponse(body=view, headers={"ETag": f'"{scheduled.seq}"'})


async def cancel_scheduled_policy(request: ApiRequest) -> ApiResponse:
    """Cancel the scheduled policy, or forget one that was refused."""
    return _receipt(await request.execute(CancelScheduledPolicy()))


def _receipt(effected: AppliedCommand) -> ApiResponse:
    done = effected.result
    receipt = ScheduleReceipt(
        state=done.state, history_id=effected.history_id, epoch=effected.epoch, seq=done.seq, durability=effected.durability
    )
    tag = {"ETag": f'"{done.seq}"'} if done.state == "scheduled" else {}
    return ApiResponse(body=receipt, headers=replay_headers(effected) | tag)


def _time_ms(text: str) -> int:
    """Return a time as epoch milliseconds. Raises ProblemError unless it is ISO 8601 with an offset."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return int(time.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    detail = "must be a time with its offset from UTC, such as 2026-12-01T06:00:00+01:00 (a `+` is written `%2B` in a URL)"
    raise ProblemError("invalid_value", detail, field="publish_at")


_PATH: Final = "/v1/policy/scheduled"

POLICY_SCHEDULE_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="PUT",
        path=_PATH,
        operation=schedule_policy,
        body_type=Policy,
        response_type=ScheduleReceipt,
        query_type=ScheduleQuery,
        tag="policy",
        problem_codes=("invalid_policy", "policy_version_conflict", "precondition_required"),
        is_policy_document=True,
    ),
    Route(
        method="GET",
        path=_PATH,
        operation=get_scheduled_policy,
        response_type=ScheduledPolicyView,
        tag="policy",
        problem_codes=("no_scheduled_policy",),
    ),
    Route(
        method="DELETE",
        path=_PATH,
        operation=cancel_scheduled_policy,
        response_type=ScheduleReceipt,
        tag="policy",
        problem_codes=("no_scheduled_policy",),
    ),
)
