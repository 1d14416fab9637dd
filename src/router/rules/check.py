"""Does a policy fit together? References, cycles and contradictions that the shapes of ``model/policy.py`` cannot say.

Pure and linear in the document's size: the core runs it once more before it publishes a policy, whoever sent it.
Problems carry paths; ``document.py`` adds lines and columns. What is odd but allowed is in ``advice.py``.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from router.model.errors import Problem
from router.model.policy import EntryRule, FactType, Policy, QueuePolicy, WhenFull
from router.rules.facts import fact_objection
from router.rules.limits import PROBLEM_COUNT_MAX
from router.rules.names import repeated, unknown
from router.rules.plans import plan_problems, plan_reference

_CYCLE_SHOWN_MAX: Final = 10


def check(policy: Policy) -> list[Problem]:
    """Everything that does not fit together, in the document's order; empty = the policy may be published."""
    return list(islice(_problems(policy), PROBLEM_COUNT_MAX))


def _problems(policy: Policy) -> Iterator[Problem]:
    yield from repeated("skills", policy.skills)
    yield from repeated("dispositions", policy.dispositions)
    yield from repeated("not_ready_reasons", policy.not_ready_reasons)
    yield from _channels(policy)
    yield from _facts(policy)
    skills = frozenset(policy.skills)
    for name, queue in policy.queues.items():
        yield from _queue(policy, f"queues.{name}", queue, skills)
    yield from _overflow_cycles(policy)
    yield from plan_problems(policy, skills)
    yield from repeated("entry", [rule.name for rule in policy.entry], below=".name")
    for index, rule in enumerate(policy.entry):
        yield from _entry_rule(policy, f"entry[{index}]", rule, skills)
    yield from _unreachable(policy)
    if policy.default_queue is not None and policy.default_queue not in policy.queues:
        yield unknown("default_queue", "queue", policy.default_queue, policy.queues)


def _channels(policy: Policy) -> Iterator[Problem]:
    for name, channel in policy.channels.items():
        yield from repeated(f"channels.{name}.blocks", channel.blocks)
        for index, blocked in enumerate(channel.blocks):
            if blocked not in policy.channels:
                yield unknown(
                    f"channels.{name}.blocks[{index}]", "channel", blocked, policy.channels
                )


def _facts(policy: Policy) -> Iterator[Problem]:
    for name, fact in policy.facts.items():
        path = f"facts.{name}.values"
        if fact.type is FactType.ENUM and not fact.values:
            yield Problem(path=path, message="an enum lists its values here")
        if fact.type is not FactType.ENUM and fact.values:
            yield Problem(path=path, message="only an enum lists values")
        yield from repeated(path, fact.values)


def _queue(
    policy: Policy, path: str, queue: QueuePolicy, skills: Collection[str]
) -> Iterator[Problem]:
    for skill in queue.requires:
        if skill not in skills:
            yield unknown(f"{path}.requires.{skill}", "skill", skill, policy.skills)
    for channel in queue.wrap_up_s:
        if channel not in policy.channels:
            yield unknown(f"{path}.wrap_up_s.{channel}", "channel", channel, policy.channels)
    yield from plan_reference(policy, path, queue.plan)
    target = queue.overflow_to
    if target is not None and target not in policy.queues:
        yield unknown(f"{path}.overflow_to", "queue", target, policy.queues)
    if queue.when_full is WhenFull.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="needed by when_full: overflow")


def _overflow_cycles(policy: Policy) -> Iterator[Problem]:
    """Every queue overflows to at most one other, so each cycle is met once by walking on until something known comes."""
    done: set[str] = set()
    for start in policy.queues:
        trail: dict[str, None] = {}
        name: str | None = start
        while name is not None and name in policy.queues and name not in done and name not in trail:
            trail[name] = None
            name = policy.queues[name].overflow_to
        done.update(trail)
        if name is not None and name in trail:
            cycle = list(trail)[list(trail).index(name) :]
            yield Problem(path=f"queues.{name}.overflow_to", message=_cycle_sentence(cycle))


def _cycle_sentence(cycle: list[str]) -> str:
    if len(cycle) == 1:
        return "a queue cannot overflow to itself"
    shown = cycle[:_CYCLE_SHOWN_MAX]
    dots = ["…"] if len(cycle) > _CYCLE_SHOWN_MAX else []
    return "overflow goes in a circle: " + " → ".join([*shown, *dots, cycle[0]])


def _entry_rule(
    policy: Policy, path: str, rule: EntryRule, skills: Collection[str]
) -> Iterator[Problem]:
    channel = rule.when.channel
    if channel is not None and channel not in policy.channels:
        yield unknown(f"{path}.when.channel", "channel", channel, policy.channels)
    for name, value in rule.when.attributes.items():
        here = f"{path}.when.attributes.{name}"
        fact = policy.facts.get(name)
        if fact is None:
            yield unknown(here, "fact", name, policy.facts)
        elif fact.of != "contact":
            yield Problem(path=here, message="a fact of agents; entry rules see those of contacts")
        elif (objection := fact_objection(fact, value)) is not None:
            yield Problem(path=here, message=objection)
    if rule.queue not in policy.queues:
        yield unknown(f"{path}.queue", "queue", rule.queue, policy.queues)
    yield from plan_reference(policy, path, rule.plan)
    for skill in rule.skills:
        if skill not in skills:
            yield unknown(f"{path}.skills.{skill}", "skill", skill, policy.skills)


def _unreachable(policy: Policy) -> Iterator[Problem]:
    """A rule that asks for all that an earlier one asks for, and maybe more, never decides."""
    earlier: list[tuple[str, frozenset[tuple[str, type, object]]]] = []
    for index, rule in enumerate(policy.entry):
        asked = _conditions(rule)
        before = next((name for name, weaker in earlier if weaker <= asked), None)
        if before is None:
            earlier.append((rule.name, asked))
        else:
            yield Problem(
                path=f"entry[{index}].when",
                message=f"never reached: the rule {before} before it matches all of this",
            )


def _conditions(rule: EntryRule) -> frozenset[tuple[str, type, object]]:
    lines: list[tuple[str, type, object]] = [
        (f"attributes.{name}", type(value), value) for name, value in rule.when.attributes.items()
    ]
    if rule.when.channel is not None:
        lines.append(("channel", str, rule.when.channel))
    return frozenset(lines)
