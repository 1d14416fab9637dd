"""Does a policy fit together? References, cycles and contradictions that the shapes of ``model/policy.py`` cannot say.

Pure and linear in the document's size: the core runs it once more before it publishes a policy, whoever sent it.
Problems carry paths; ``document.py`` adds lines and columns. What is odd but allowed is in ``advice.py``.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from router.model.errors import ExpressionProblem, Problem
from router.model.policy import (
    AtClosing,
    EntryRule,
    EntryWhen,
    FactType,
    Policy,
    QueuePolicy,
    Selection,
    WhenClosed,
    WhenFull,
    WhenNobody,
)
from router.rules.calendar import zone_of
from router.rules.check_calendars import calendar_problems
from router.rules.conditions import Conditions, conditions
from router.rules.cycles import interrupt_cycles
from router.rules.entry import rule_objection
from router.rules.facts import fact_objection
from router.rules.limits import EXPRESSIONS_MAX, PROBLEM_COUNT_MAX
from router.rules.names import repeated, unknown
from router.rules.personal import NAME_MESSAGE, VALUE_MESSAGE, looks_personal, sounds_personal
from router.rules.plans import plan_problems, plan_reference
from router.rules.qualification import agents_objection
from router.rules.tokens import ExpressionError

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
    yield from _too_many_expressions(policy)
    yield from calendar_problems(policy)
    skills = frozenset(policy.skills)
    for name, queue in policy.queues.items():
        yield from _queue(policy, f"queues.{name}", queue, skills)
    yield from _selections_of_steps(policy)
    yield from _overflow_cycles(policy)
    yield from plan_problems(policy, skills)
    yield from repeated("entry", [rule.name for rule in policy.entry], below=".name")
    for index, rule in enumerate(policy.entry):
        yield from _entry_rule(policy, f"entry[{index}]", rule, skills)
    yield from _unreachable(policy)
    if policy.default_queue is not None and policy.default_queue not in policy.queues:
        yield unknown("default_queue", "queue", policy.default_queue, policy.queues)
    if zone_of(policy.zone) is None:
        yield Problem(path="zone", message="no such time zone; names are like Europe/Berlin")


def _channels(policy: Policy) -> Iterator[Problem]:
    for name, channel in policy.channels.items():
        yield from repeated(f"channels.{name}.blocks", channel.blocks)
        for index, blocked in enumerate(channel.blocks):
            if blocked not in policy.channels:
                yield unknown(
                    f"channels.{name}.blocks[{index}]", "channel", blocked, policy.channels
                )
        yield from repeated(f"channels.{name}.interrupts", channel.interrupts)
        for index, interrupted in enumerate(channel.interrupts):
            if interrupted not in policy.channels:
                yield unknown(
                    f"channels.{name}.interrupts[{index}]", "channel", interrupted, policy.channels
                )
    yield from interrupt_cycles(policy)


def _facts(policy: Policy) -> Iterator[Problem]:
    for name, fact in policy.facts.items():
        path = f"facts.{name}.values"
        if fact.type is FactType.ENUM and not fact.values:
            yield Problem(path=path, message="an enum lists its values here")
        if fact.type is not FactType.ENUM and fact.values:
            yield Problem(path=path, message="only an enum lists values")
        yield from repeated(path, fact.values)
        if sounds_personal(name, fact):
            yield Problem(path=f"facts.{name}", message=NAME_MESSAGE)
        if not fact.non_personal:
            for index, value in enumerate(fact.values):
                if looks_personal(value):
                    yield Problem(path=f"{path}[{index}]", message=VALUE_MESSAGE)


def _too_many_expressions(policy: Policy) -> Iterator[Problem]:
    count = sum(isinstance(rule.when, str) for rule in policy.entry)
    count += sum(queue.agents_when is not None for queue in policy.queues.values())
    if count > EXPRESSIONS_MAX:
        yield Problem(path="entry", message=f"more than {EXPRESSIONS_MAX} expressions in a policy")


def _queue(
    policy: Policy, path: str, queue: QueuePolicy, skills: Collection[str]
) -> Iterator[Problem]:
    for skill in queue.requires:
        if skill not in skills:
            yield unknown(f"{path}.requires.{skill}", "skill", skill, policy.skills)
    for channel in queue.wrap_up_s:
        if channel not in policy.channels:
            yield unknown(f"{path}.wrap_up_s.{channel}", "channel", channel, policy.channels)
    if queue.callback is not None and queue.callback.channel not in (None, *policy.channels):
        here, channel = f"{path}.callback.channel", queue.callback.channel or ""
        yield unknown(here, "channel", channel, policy.channels)
    yield from plan_reference(policy, path, queue.plan)
    target = queue.overflow_to
    if target is not None and target not in policy.queues:
        yield unknown(f"{path}.overflow_to", "queue", target, policy.queues)
    if queue.when_full is WhenFull.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="needed by when_full: overflow")
    if queue.when_closed is WhenClosed.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="needed by when_closed: overflow")
    if queue.at_closing is AtClosing.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="needed by at_closing: overflow")
    if queue.when_nobody is WhenNobody.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="needed by when_nobody: overflow")
    if queue.hours is not None and queue.hours not in policy.calendars:
        yield unknown(f"{path}.hours", "calendar", queue.hours, policy.calendars)
    if queue.agents_when is not None:
        objection = agents_objection(queue.agents_when, policy)
        yield from _expression(f"{path}.agents_when", queue.agents_when, objection)
    yield from _selection(policy, path, queue)


def _selection(policy: Policy, path: str, queue: QueuePolicy) -> Iterator[Problem]:
    """The facts of agents that its selection goes by."""
    if queue.selection is Selection.BY_FACTS and not queue.order_by:
        yield Problem(path=f"{path}.order_by", message="needed by selection: by_facts")
    yield from repeated(f"{path}.order_by", [step.fact for step in queue.order_by], below=".fact")
    for index, step in enumerate(queue.order_by):
        yield from _agent_fact(
            policy, f"{path}.order_by[{index}].fact", step.fact, unordered=FactType.IDENT
        )
    if queue.weight_fact is not None:
        yield from _agent_fact(policy, f"{path}.weight_fact", queue.weight_fact)


def _selections_of_steps(policy: Policy) -> Iterator[Problem]:
    """A step puts its selection in place of the queue's; what it goes by is still the queue's."""
    if any(queue.order_by for queue in policy.queues.values()):
        return
    for name, plan in policy.plans.items():
        for index, step in enumerate(plan):
            if step.selection is Selection.BY_FACTS:
                yield Problem(
                    path=f"plans.{name}[{index}].selection", message="no queue has an order_by"
                )


def _agent_fact(
    policy: Policy, path: str, name: str, *, unordered: FactType | None = None
) -> Iterator[Problem]:
    """A fact of agents with an order or, where nothing is said about that, an ``int``."""
    fact = policy.facts.get(name)
    if fact is None:
        yield unknown(path, "fact", name, policy.facts)
    elif fact.of != "agent":
        yield Problem(path=path, message="a fact of contacts; agents are chosen by their own")
    elif unordered is None and fact.type is not FactType.INT:
        yield Problem(path=path, message="must be an int fact")
    elif fact.type is unordered:
        yield Problem(path=path, message=f"an {fact.type} fact has no order")


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
    if isinstance(rule.when, str):
        yield from _expression(f"{path}.when", rule.when, rule_objection(rule.when, policy))
    else:
        yield from _lines(policy, path, rule.when)
    if rule.queue not in policy.queues:
        yield unknown(f"{path}.queue", "queue", rule.queue, policy.queues)
    yield from plan_reference(policy, path, rule.plan)
    for skill in rule.skills:
        if skill not in skills:
            yield unknown(f"{path}.skills.{skill}", "skill", skill, policy.skills)


def _expression(path: str, text: str, objection: ExpressionError | None) -> Iterator[Problem]:
    if objection is not None:
        before = text[: objection.offset]
        yield ExpressionProblem(
            path=path,
            message=objection.message,
            offset=objection.offset,
            expression_line=before.count("\n") + 1,
            expression_column=len(before) - before.rfind("\n"),
        )


def _lines(policy: Policy, path: str, when: EntryWhen) -> Iterator[Problem]:
    channel = when.channel
    if channel is not None and channel not in policy.channels:
        yield unknown(f"{path}.when.channel", "channel", channel, policy.channels)
    for name, value in when.attributes.items():
        here = f"{path}.when.attributes.{name}"
        fact = policy.facts.get(name)
        if fact is None:
            yield unknown(here, "fact", name, policy.facts)
        elif fact.of != "contact":
            yield Problem(path=here, message="a fact of agents; entry rules see those of contacts")
        elif (objection := fact_objection(fact, value)) is not None:
            yield Problem(path=here, message=objection)


def _unreachable(policy: Policy) -> Iterator[Problem]:
    """A rule that asks for all that an earlier one asks for, and maybe more, never decides."""
    earlier: list[tuple[str, Conditions]] = []
    for index, rule in enumerate(policy.entry):
        asked = conditions(rule.when)
        before = next((name for name, weaker in earlier if weaker <= asked), None)
        if before is None:
            earlier.append((rule.name, asked))
        else:
            yield Problem(
                path=f"entry[{index}].when",
                message=f"never reached: the rule {before} before it matches all of this",
            )
