"""The policy over HTTP: read it, try a document, put one in force as a whole."""

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


async def get_policy(call: Call) -> Answer:
    """The policy in force, as JSON or (``Accept: application/yaml``) as YAML; its version is the ETag."""
    answered = await call.ask(lambda engine: (engine.policy, engine.policy_version))
    policy, version = answered.value
    if policy is None:
        raise ProblemRaised("not_found", "no policy has been published")
    headers = {"ETag": f'"{version}"', "Vary": "Accept"}
    if "yaml" in (call.header("Accept") or ""):
        text = await asyncio.to_thread(_as_yaml, policy)
        return Answer(body=text, headers=headers, content_type=YAML_TYPE)
    return Answer(body=policy, headers=headers)


async def put_policy(call: Call) -> Answer:
    """Put a document in force. ``If-Match`` names the version that it replaces."""
    expected_version = _expected_version(call.header("If-Match"))
    drain_to = _drain_to(call.query.drain_to)
    policy, _ = await parsed(call.body)
    effected = await call.execute(
        PublishPolicy(policy=policy, expected_version=expected_version, drain_to=drain_to)
    )
    answered = await call.ask(lambda engine: engine.policy_version)
    version = int(effected.done.subject) if effected.done.subject.isdigit() else answered.value
    receipt = PolicyReceipt(
        version=version, gen=effected.gen, epoch=effected.epoch, seq=effected.done.seq
    )
    return Answer(body=receipt, headers={**effected.headers, "ETag": f'"{version}"'})


async def check_policy(call: Call) -> Answer:
    """Whether a document could be published, and what is odd in it; nothing changes."""
    policy, advice = await parsed(call.body)

    def question(engine: Engine) -> dict[str, int]:
        before = engine.policy.queues if engine.policy is not None else {}
        views = (engine.queue(name) for name in before if name not in policy.queues)
        return {view.queue_id: view.waiting for view in views if view is not None and view.waiting}

    answered = await call.ask(question)
    return Answer(body=PolicyChecked(advice=tuple(advice), removed_queues_waiting=answered.value))


async def list_rules(call: Call) -> Answer:
    """The entry rules of the policy in force, and how many contacts each has decided for or failed for."""
    answered = await call.ask(lambda engine: engine.rules())
    return Answer(body=answered.value)


async def try_policy(call: Call) -> Answer:
    """What the entry rules in force would make of a contact; facts of queues that are not given are those of now."""
    sample: SampleContact = call.body

    def question(engine: Engine) -> Trial | tuple[str, str] | None:
        policy = engine.policy
        if policy is None:
            return None
        return sample_objection(policy, sample) or try_rules(
            policy, sample, lambda queue_id, name: engine.queue_fact(queue_id, sample.channel, name)
        )

    tried = (await call.ask(question)).value
    if tried is None:
        raise ProblemRaised("not_found", "no policy has been published")
    if isinstance(tried, Trial):
        return Answer(body=tried)
    field, reason = tried
    root = field.partition(".")[0]
    raise ProblemRaised(_OBJECTIONS[root], reason, field=field)


async def parsed(document: bytes) -> tuple[Policy, list[Problem]]:
    """A policy document and what is odd in it. Raises ProblemRaised with all its errors."""
    try:
        # A large document takes a while to read: not on the loop.
        return await asyncio.to_thread(parse_with_advice, document)
    except PolicyInvalid as error:
        raise ProblemRaised("policy_invalid", errors=error.problems) from None


def _expected_version(if_match: str | None) -> int | None:
    """The version in an ``If-Match`` header; none: whatever is there is replaced."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ProblemRaised("policy_version", "not an ETag of a policy", field="If-Match")
    return int(text)


def _drain_to(text: str) -> dict[str, str]:
    targets: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        removed, colon, target = pair.partition(":")
        if not (removed and colon and target) or ":" in target or removed in targets:
            raise ProblemRaised("invalid_value", "expected `removed:target`", field="drain_to")
        targets[removed] = target
    return targets


def _as_yaml(policy: Policy) -> bytes:
    plain = msgspec.to_builtins(policy)
    text: bytes = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, encoding="utf-8")
    return text
