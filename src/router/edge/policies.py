"""API operations on the policy and the shadow policy: read, check, try and publish."""

import asyncio
from typing import Final

import msgspec
import yaml

from router.core.engine import Engine
from router.edge.call import Answer, Call
from router.edge.documents import PolicyChecked, PolicyReceipt
from router.edge.problems import ProblemRaised
from router.model.commands import PublishPolicy
from router.model.errors import PolicyInvalid, Problem
from router.model.policy import Policy
from router.rules.document import parse_with_advice
from router.rules.trial import SampleContact, Trial, sample_objection, try_rules

YAML_TYPE: Final = "application/yaml"
_OBJECTIONS: Final = {
    "channel": "unknown_channel",
    "attributes": "unknown_fact",
    "queues": "invalid_value",
}


async def get_policy(request: Call) -> Answer:
    """Get the policy in force as JSON or, with ``Accept: application/yaml``, as YAML; the ETag is its version."""
    answered = await request.ask(lambda engine: (engine.policy, engine.policy_version))
    policy, version = answered.value
    if policy is None:
        raise ProblemRaised("not_found", "no policy has been published")
    headers = {"ETag": f'"{version}"', "Vary": "Accept"}
    if "yaml" in (request.header("Accept") or ""):
        text = await asyncio.to_thread(_as_yaml, policy)
        return Answer(body=text, headers=headers, content_type=YAML_TYPE)
    return Answer(body=policy, headers=headers)


async def put_policy(request: Call) -> Answer:
    """Publish a policy. With ``If-Match``, only if that version is in force."""
    expected_version = _expected_version(request.header("If-Match"))
    drain_to = _drain_to(request.query.drain_to)
    policy, _ = await parsed(request.body)
    effected = await request.execute(
        PublishPolicy(policy=policy, expected_version=expected_version, drain_to=drain_to)
    )
    answered = await request.ask(lambda engine: engine.policy_version)
    version = int(effected.done.subject) if effected.done.subject.isdigit() else answered.value
    receipt = PolicyReceipt(
        version=version, gen=effected.gen, epoch=effected.epoch, seq=effected.done.seq
    )
    return Answer(body=receipt, headers={**effected.headers, "ETag": f'"{version}"'})


async def check_policy(request: Call) -> Answer:
    """Check whether a policy can be published and return advice on it; nothing changes."""
    policy, advice = await parsed(request.body)

    def evaluate(engine: Engine) -> dict[str, int]:
        before = engine.policy.queues if engine.policy is not None else {}
        views = (engine.queue(name) for name in before if name not in policy.queues)
        return {view.queue_id: view.waiting for view in views if view is not None and view.waiting}

    answered = await request.ask(evaluate)
    return Answer(body=PolicyChecked(advice=tuple(advice), removed_queues_waiting=answered.value))


async def list_rules(request: Call) -> Answer:
    """List the entry rules of the policy in force with the contacts each has matched or failed on."""
    answered = await request.ask(lambda engine: engine.rules())
    return Answer(body=answered.value)


async def try_policy(request: Call) -> Answer:
    """Apply the entry rules in force to a sample contact. Queue facts that are not given are the current ones."""
    sample: SampleContact = request.body

    def evaluate(engine: Engine) -> Trial | tuple[str, str] | None:
        policy = engine.policy
        if policy is None:
            return None
        return sample_objection(policy, sample) or try_rules(
            policy, sample, lambda queue_id, name: engine.queue_fact(queue_id, sample.channel, name)
        )

    tried = (await request.ask(evaluate)).value
    if tried is None:
        raise ProblemRaised("not_found", "no policy has been published")
    if isinstance(tried, Trial):
        return Answer(body=tried)
    field, reason = tried
    root = field.partition(".")[0]
    raise ProblemRaised(_OBJECTIONS[root], reason, field=field)


async def parsed(document: bytes) -> tuple[Policy, list[Problem]]:
    """Parse a policy document; return the policy and the advice on it. Raises ProblemRaised with all errors."""
    try:
        # A large document takes long to parse: do not block the event loop.
        return await asyncio.to_thread(parse_with_advice, document)
    except PolicyInvalid as error:
        raise ProblemRaised("policy_invalid", errors=error.problems) from None


def _expected_version(if_match: str | None) -> int | None:
    """Return the version in an ``If-Match`` header; None if any version may be replaced."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ProblemRaised("policy_version", "must be the ETag of a policy", field="If-Match")
    return int(text)


def _drain_to(text: str) -> dict[str, str]:
    targets: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        removed, colon, target = pair.partition(":")
        if not (removed and colon and target) or ":" in target or removed in targets:
            raise ProblemRaised(
                "invalid_value",
                "must be a list of `removed_queue:target_queue`, separated by commas",
                field="drain_to",
            )
        targets[removed] = target
    return targets


def _as_yaml(policy: Policy) -> bytes:
    plain = msgspec.to_builtins(policy)
    text: bytes = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, encoding="utf-8")
    return text
