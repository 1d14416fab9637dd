"""Worlds with a policy that has no findings of its own, and access to single findings."""

from typing import Any

from router.model import commands as c
from router.model.diagnosis import ADVICE, Diagnosis, Finding, FindingCode
from router.model.policy import EntryCondition, EntryRule, Policy
from tests.support.builders import a_policy
from tests.support.world import World


def plain(**changes: Any) -> Policy:
    """Return the usual policy without anything that would be found itself."""
    return a_policy(**({"skills": (), "default_queue": "support"} | changes))


PLAIN = plain()


def a_world(policy: Policy, *commands: c.Command) -> World:
    world = World(policy)
    world.done_all(*commands)
    return world


def diagnosis_of(policy: Policy, *commands: c.Command, at_ms: int | None = None) -> Diagnosis:
    return a_world(policy, *commands).engine.diagnose(at_ms=at_ms)


def the_finding(diagnosis: Diagnosis, code: FindingCode) -> Finding:
    (finding,) = (one for one in diagnosis.findings if one.code is code)
    assert finding.advice == ADVICE[code]
    return finding


def codes(diagnosis: Diagnosis) -> list[FindingCode]:
    return [one.code for one in diagnosis.findings]


def a_rule(name: str, queue: str = "support", **more: Any) -> EntryRule:
    when = EntryCondition(channel=more.pop("channel", None), attributes=more.pop("attributes", {}))
    return EntryRule(name=name, queue=queue, when=when, **more)
