"""API operations on the policy and the shadow policy: read, check, try and publish."""

import asyncio
from typing import Final

import msgspec
import yaml

from router.engine.engine import Engine
from router.model.commands import ANY_TAG, ClearShadowPolicy, PublishPolicy, SetShadowPolicy
from router.model.errors import PolicyInvalid, Problem
from router.model.policy import Policy
from router.policy.diff import change_counts, policy_diff
from router.policy.document.parsing import parse_policy_with_advice
from router.policy.entry_rules import EntryRuleTrial, SampleContact, sample_error
from router.policy.personal_data import is_personal_note
from router.server.api.bodies import PolicyCheckResult, PolicyReceipt, ShadowReceipt
from router.server.api.guards import entity_tags
from router.server.api.idempotency import replay_headers
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse, AppliedCommand

YAML_TYPE: Final = "application/yaml"

_OBJECTIONS: Final = {"channel": "unknown_channel", "attributes": "unknown_fact", "queues": "invalid_value"}


async def get_policy(request: ApiRequest) -> ApiResponse:
    """Get the active policy as JSON or, with ``Accept: application/yaml``, as YAML; the ETag is its version."""
    answered = await request.query_engine(lambda engine: (engine.policy, engine.policy_version))
    policy, version = answered.value
    if policy is None:
        raise ProblemError("not_found", "no policy has been published")
    headers = {"ETag": f'"{version}"', "Vary": "Accept"}
    known = request.header("If-None-Match")
    if known is not None and not {ANY_TAG, str(version)}.isdisjoint(entity_tags(known, "If-None-Match", weak=True)):
        return ApiResponse(status=304, body=b"", headers=headers)
    return await policy_response(request, policy, headers)


async def policy_response(request: ApiRequest, policy: Policy, headers: dict[str, str]) -> ApiResponse:
    """Return a policy in the form that the request accepts."""
    if "yaml" in (request.header("Accept") or ""):
        text = await asyncio.to_thread(_as_yaml, policy)
        return ApiResponse(body=text, headers=headers, content_type=YAML_TYPE)
    return ApiResponse(body=policy, headers=headers)


async def put_policy(request: ApiRequest) -> ApiResponse:
    """Publish a policy. Requires ``If-Match`` with the ETag of the policy that it replaces, or ``*``."""
    drain_to = drain_targets(request.query_params.drain_to)
    note = checked_note(request.query_params.note)
    policy, _ = await parse_policy(request.body)
    return await publish(
        request, policy, drain_to=drain_to, note=note, payload=msgspec.json.encode(sorted(drain_to.items())) + request.body
    )


def checked_note(note: str) -> str:
    """Return the note of a publication, which the journal keeps. Raises ProblemError for one with personal data."""
    if is_personal_note(note):
        detail = "must not hold personal data (an address, a telephone number, a card or an account): the journal keeps it"
        raise ProblemError("invalid_value", detail, field="note")
    return note


async def publish(
    request: ApiRequest, policy: Policy, *, drain_to: dict[str, str], note: str, payload: bytes, restores: int | None = None
) -> ApiResponse:
    """Publish a policy that has been checked, with what it changes. Raises ProblemError for a refusal."""
    active = (await request.query_engine(lambda engine: (engine.policy, engine.policy_version))).value
    before, compared_version = active
    changes = None if before is None else await asyncio.to_thread(lambda: change_counts(policy_diff(before, policy)))
    effected = await request.execute(
        PublishPolicy(
            policy=policy,
            drain_to=drain_to,
            is_checked=True,
            note=note,
            published_by=request.credential.actor,
            restores=restores,
            changes=changes,
            compared_version=compared_version,
        ),
        payload=payload + (note and f"\n{note}").encode(),
        is_condition_required=True,
    )
    version = int(effected.result.state)
    receipt = PolicyReceipt(
        version=version,
        history_id=effected.history_id,
        epoch=effected.epoch,
        seq=effected.result.seq,
        durability=effected.durability,
    )
    return ApiResponse(body=receipt, headers={**replay_headers(effected), "ETag": f'"{version}"'})


async def check_policy(request: ApiRequest) -> ApiResponse:
    """Check whether a policy can be published and return advice on it; nothing changes."""
    policy, advice = await parse_policy(request.body)

    def evaluate(engine: Engine) -> dict[str, int]:
        before = engine.policy.queues if engine.policy is not None else {}
        return {name: count for name in before if name not in policy.queues and (count := engine.waiting_count(name))}

    answered = await request.query_engine(evaluate)
    return ApiResponse(body=PolicyCheckResult(advice=tuple(advice), removed_queues_waiting=answered.value))


async def list_rules(request: ApiRequest) -> ApiResponse:
    """List the entry rules of the active policy with their match and failure counts."""
    answered = await request.query_engine(lambda engine: engine.rules())
    return ApiResponse(body=answered.value)


async def try_policy(request: ApiRequest) -> ApiResponse:
    """Apply the active entry rules to a sample contact. Queue facts that are not given are the current ones."""
    sample: SampleContact = request.body

    def evaluate(engine: Engine) -> EntryRuleTrial | tuple[str, str] | None:
        policy = engine.policy
        if policy is None:
            return None
        return sample_error(policy, sample) or engine.try_rules(sample)

    tried = (await request.query_engine(evaluate)).value
    if tried is None:
        raise ProblemError("not_found", "no policy has been published")
    if isinstance(tried, EntryRuleTrial):
        return ApiResponse(body=tried)
    field, reason = tried
    root = field.partition(".")[0]
    raise ProblemError(_OBJECTIONS[root], reason, field=field)


async def parse_policy(document: bytes) -> tuple[Policy, list[Problem]]:
    """Parse a policy document; return the policy and the advice on it. Raises ProblemError with all errors."""
    try:
        # A large document takes long to parse: do not block the event loop.
        return await asyncio.to_thread(parse_policy_with_advice, document)
    except PolicyInvalid as error:
        raise ProblemError("invalid_policy", errors=error.problems) from None


def drain_targets(text: str) -> dict[str, str]:
    """Return the queues that take the contacts of removed ones. Raises ProblemError."""
    targets: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        removed, colon, target = pair.partition(":")
        if not (removed and colon and target) or ":" in target or removed in targets:
            raise ProblemError(
                "invalid_value", "must be a list of `removed_queue:target_queue`, separated by commas", field="drain_to"
            )
        targets[removed] = target
    return targets


def _as_yaml(policy: Policy) -> bytes:
    plain = msgspec.to_builtins(policy)
    text: bytes = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, encoding="utf-8")
    return text


# A report includes everything durable at the time of the request, unless the shadow lags by more than this.
_CATCH_UP_S: Final = 2.0


async def put_shadow(request: ApiRequest) -> ApiResponse:
    """Set the shadow policy: it is evaluated in parallel without effect. Counting starts again."""
    policy, _ = await parse_policy(request.body)
    effected = await request.execute(SetShadowPolicy(policy=policy, is_checked=True), payload=request.body)
    # Contacts submitted after this response are seen by the shadow.
    await request.services.shadow_runner.wait_until_caught_up(request.workspace, timeout_s=_CATCH_UP_S)
    return _shadow_response(effected)


async def get_shadow(request: ApiRequest) -> ApiResponse:
    """Get the report of the shadow policy: what it evaluated and where its decisions differ."""
    shadows = request.services.shadow_runner
    await shadows.wait_until_caught_up(request.workspace, timeout_s=_CATCH_UP_S)
    seq = (await request.query_engine(lambda engine: engine.shadow_seq)).value
    report = shadows.report(request.workspace)
    if report is None:
        raise ProblemError("no_shadow_policy")
    return ApiResponse(body=report, headers={"ETag": f'"{seq}"'})


async def delete_shadow(request: ApiRequest) -> ApiResponse:
    """Clear the shadow policy and discard its report."""
    effected = await request.execute(ClearShadowPolicy())
    return _shadow_response(effected)


def _shadow_response(effected: AppliedCommand) -> ApiResponse:
    done = effected.result
    receipt = ShadowReceipt(
        state=done.state, history_id=effected.history_id, epoch=effected.epoch, seq=done.seq, durability=effected.durability
    )
    return ApiResponse(body=receipt, headers=replay_headers(effected))
