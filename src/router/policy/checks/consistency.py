"""Consistency of a policy: references, cycles and contradictions that the types of ``model/policy`` cannot express.

The engine runs the checks again before it publishes a policy. They are pure and linear in the size of the policy, except for
entry rules (quadratic in their number). Problems carry paths; parsing a document adds lines and columns. ``advice`` covers what
is valid but probably not intended.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from router.model.errors import PROBLEM_COUNT_MAX, Problem
from router.model.policy import (
    AtClosing,
    AtNoAgents,
    EntryCondition,
    EntryRule,
    FactType,
    Policy,
    QueuePolicy,
    WhenClosed,
    WhenFull,
    WhenNoAgentsReady,
)
from router.policy.calendar import load_zone
from router.policy.checks.agent_choice import selection_problems, step_condition_problems, step_selection_problems
from router.policy.checks.alerts import alert_problems
from router.policy.checks.sections import (
    calendar_problems,
    duplicate_names,
    expression_problem,
    goal_problems,
    plan_problems,
    plan_reference_problems,
    request_problems,
    unknown_name,
)
from router.policy.customer_facts import derivation_problems
from router.policy.entry_rules import RuleConditions, entry_expression_error, rule_conditions
from router.policy.facts import PERSONAL_NAME_MESSAGE, PERSONAL_VALUE_MESSAGE, agents_when_error, fact_value_error, is_personal_name
from router.policy.personal_data import is_personal_value
from router.policy.rule_costs import (
    AGENT_CONDITIONS_COST_MAX,
    CUSTOMER_CONDITIONS_COST_MAX,
    ENTRY_RULES_COST_MAX,
    agent_conditions_over_budget,
    customer_conditions_cost,
    entry_rules_over_budget,
)

# Expressions in one policy, of entry rules and queues together.
EXPRESSIONS_MAX: Final = 200
_CYCLE_SHOWN_MAX: Final = 10


def policy_problems(policy: Policy) -> list[Problem]:
    """Return all problems in the document's order; a policy without problems may be published."""
    return list(islice(_problems(policy), PROBLEM_COUNT_MAX))


def _problems(policy: Policy) -> Iterator[Problem]:
    yield from duplicate_names("skills", policy.skills)
    yield from duplicate_names("dispositions", policy.dispositions)
    yield from duplicate_names("not_ready_reasons", policy.not_ready_reasons)
    yield from _channels(policy)
    yield from _facts(policy)
    yield from _too_many_expressions(policy)
    yield from _rule_costs(policy)
    yield from calendar_problems(policy)
    skills = frozenset(policy.skills)
    for name, queue in policy.queues.items():
        yield from _queue(policy, f"queues.{name}", queue, skills)
    yield from step_selection_problems(policy)
    yield from _overflow_cycles(policy)
    yield from plan_problems(policy, skills)
    for name, plan in policy.plans.items():
        yield from step_condition_problems(policy, name, plan)
    yield from duplicate_names("entry", [rule.name for rule in policy.entry], suffix=".name")
    for index, rule in enumerate(policy.entry):
        yield from _entry_rule(policy, f"entry[{index}]", rule, skills)
    yield from _unreachable_rules(policy)
    if policy.default_queue is not None and policy.default_queue not in policy.queues:
        yield unknown_name("default_queue", "queue", policy.default_queue, policy.queues)
    yield from request_problems(policy)
    yield from alert_problems(policy)
    yield from goal_problems(policy)
    if load_zone(policy.zone) is None:
        yield Problem(path="zone", message="no such time zone; names are like Europe/Berlin")


def _channels(policy: Policy) -> Iterator[Problem]:
    for name, channel in policy.channels.items():
        yield from duplicate_names(f"channels.{name}.blocks", channel.blocks)
        for index, blocked in enumerate(channel.blocks):
            if blocked not in policy.channels:
                yield unknown_name(f"channels.{name}.blocks[{index}]", "channel", blocked, policy.channels)
        yield from duplicate_names(f"channels.{name}.offer_channels", channel.offer_channels)
        for index, offered in enumerate(channel.offer_channels):
            if offered not in policy.channels:
                yield unknown_name(f"channels.{name}.offer_channels[{index}]", "channel", offered, policy.channels)
        yield from duplicate_names(f"channels.{name}.interrupts", channel.interrupts)
        for index, interrupted in enumerate(channel.interrupts):
            if interrupted not in policy.channels:
                yield unknown_name(f"channels.{name}.interrupts[{index}]", "channel", interrupted, policy.channels)
    yield from interrupt_cycles(policy)


def _facts(policy: Policy) -> Iterator[Problem]:
    for name, fact in policy.facts.items():
        path = f"facts.{name}.values"
        if fact.type is FactType.ENUM and not fact.values:
            yield Problem(path=path, message="required for an enum: list its values")
        if fact.type is not FactType.ENUM and fact.values:
            yield Problem(path=path, message="allowed for an enum only")
        yield from duplicate_names(path, fact.values)
        if is_personal_name(name, fact):
            yield Problem(path=f"facts.{name}", message=PERSONAL_NAME_MESSAGE)
        if not fact.non_personal:
            for index, value in enumerate(fact.values):
                if is_personal_value(value):
                    yield Problem(path=f"{path}[{index}]", message=PERSONAL_VALUE_MESSAGE)
        yield from derivation_problems(f"facts.{name}", fact)


def _too_many_expressions(policy: Policy) -> Iterator[Problem]:
    count = sum(isinstance(rule.when, str) for rule in policy.entry)
    count += sum(queue.agents_when is not None for queue in policy.queues.values())
    count += sum(key.when is not None for queue in policy.queues.values() for key in queue.order_by)
    count += sum(step.when is not None for plan in policy.plans.values() for step in plan)
    if count > EXPRESSIONS_MAX:
        yield Problem(path="entry", message=f"more than {EXPRESSIONS_MAX} expressions in the policy")


def _rule_costs(policy: Policy) -> Iterator[Problem]:
    """Check that all entry rules for one contact, and all conditions for one agent, stay within their budgets."""
    for index, rule, cost in entry_rules_over_budget(policy):
        yield Problem(
            path=f"entry[{index}].when",
            message=f"too expensive: the entry rules up to {rule.name} cost {cost:,} units for one contact, more than "
            f"{ENTRY_RULES_COST_MAX:,}; shorten its patterns and the lists of its macros, or use fewer facts of queues",
        )
    for queue_id, cost in agent_conditions_over_budget(policy):
        yield Problem(
            path=f"queues.{queue_id}.agents_when",
            message=f"too expensive: the agents_when conditions up to this one cost {cost:,} units for one agent, more than "
            f"{AGENT_CONDITIONS_COST_MAX:,}; shorten its patterns and the lists of its macros, and tell fewer customers apart",
        )
    cost = customer_conditions_cost(policy)
    if cost > CUSTOMER_CONDITIONS_COST_MAX:
        yield Problem(
            path="plans",
            message=f"too expensive: the when conditions of plans and of order_by cost {cost:,} units for one customer, more than "
            f"{CUSTOMER_CONDITIONS_COST_MAX:,}; shorten their patterns and the lists of their macros",
        )


def _queue(policy: Policy, path: str, queue: QueuePolicy, skills: Collection[str]) -> Iterator[Problem]:
    for skill in queue.requires:
        if skill not in skills:
            yield unknown_name(f"{path}.requires.{skill}", "skill", skill, policy.skills)
    for channel in queue.wrap_up_s:
        if channel not in policy.channels:
            yield unknown_name(f"{path}.wrap_up_s.{channel}", "channel", channel, policy.channels)
    if queue.callback is not None and queue.callback.channel not in (None, *policy.channels):
        here, channel = f"{path}.callback.channel", queue.callback.channel or ""
        yield unknown_name(here, "channel", channel, policy.channels)
    yield from plan_reference_problems(policy, path, queue.plan)
    yield from duplicate_names(f"{path}.clocks_while_closed", queue.clocks_while_closed)
    yield from duplicate_names(f"{path}.dispositions", queue.dispositions or ())
    target = queue.overflow_to
    if target is not None and target not in policy.queues:
        yield unknown_name(f"{path}.overflow_to", "queue", target, policy.queues)
    if queue.when_full is WhenFull.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="required by when_full: overflow")
    if queue.when_closed is WhenClosed.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="required by when_closed: overflow")
    if queue.at_closing is AtClosing.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="required by at_closing: overflow")
    if queue.when_no_agents_ready is WhenNoAgentsReady.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="required by when_no_agents_ready: overflow")
    if queue.no_agents_for_s is not None and queue.at_no_agents is AtNoAgents.OVERFLOW and target is None:
        yield Problem(path=f"{path}.overflow_to", message="required by no_agents_for_s with at_no_agents: overflow")
    if queue.hours is not None and queue.hours not in policy.calendars:
        yield unknown_name(f"{path}.hours", "calendar", queue.hours, policy.calendars)
    if queue.agents_when is not None:
        error = agents_when_error(queue.agents_when, policy)
        yield from expression_problem(f"{path}.agents_when", queue.agents_when, error)
    yield from selection_problems(policy, path, queue)


def _overflow_cycles(policy: Policy) -> Iterator[Problem]:
    """Yield one problem for each cycle of overflows. Each queue has at most one target, so a linear walk finds them all."""
    done: set[str] = set()
    for start in policy.queues:
        walked: dict[str, None] = {}
        name: str | None = start
        while name in policy.queues and name not in done and name not in walked:
            walked[name] = None
            name = policy.queues[name].overflow_to
        done.update(walked)
        if name is not None and name in walked:
            cycle = list(walked)[list(walked).index(name) :]
            message = f"cycle of overflows: {_cycle_text(cycle)}"
            if len(cycle) == 1:
                message = "a queue cannot overflow to itself"
            yield Problem(path=f"queues.{name}.overflow_to", message=message)


def _cycle_text(cycle: list[str]) -> str:
    ellipsis = ["…"] if len(cycle) > _CYCLE_SHOWN_MAX else []
    return " → ".join([*cycle[:_CYCLE_SHOWN_MAX], *ellipsis, cycle[0]])


def _entry_rule(policy: Policy, path: str, rule: EntryRule, skills: Collection[str]) -> Iterator[Problem]:
    if isinstance(rule.when, str):
        yield from expression_problem(f"{path}.when", rule.when, entry_expression_error(rule.when, policy))
    else:
        yield from _condition_problems(policy, path, rule.when)
    if rule.queue not in policy.queues:
        yield unknown_name(f"{path}.queue", "queue", rule.queue, policy.queues)
    yield from plan_reference_problems(policy, path, rule.plan)
    for skill in rule.skills:
        if skill not in skills:
            yield unknown_name(f"{path}.skills.{skill}", "skill", skill, policy.skills)
    for number, offered in enumerate(rule.offer_channels or ()):
        if offered not in policy.channels:
            yield unknown_name(f"{path}.offer_channels[{number}]", "channel", offered, policy.channels)


def _condition_problems(policy: Policy, path: str, when: EntryCondition) -> Iterator[Problem]:
    channel = when.channel
    if channel is not None and channel not in policy.channels:
        yield unknown_name(f"{path}.when.channel", "channel", channel, policy.channels)
    for key, of, conditions in (("attributes", "contact", when.attributes), ("customer", "customer", when.customer)):
        for name, value in conditions.items():
            here = f"{path}.when.{key}.{name}"
            fact = policy.facts.get(name)
            if fact is None:
                yield unknown_name(here, "fact", name, policy.facts)
            elif fact.applies_to != of:
                yield Problem(path=here, message=f"a fact of {fact.applies_to}s; {key} can name facts of {of}s only")
            elif (error := fact_value_error(fact, value)) is not None:
                yield Problem(path=here, message=error)


def _unreachable_rules(policy: Policy) -> Iterator[Problem]:
    """Yield the entry rules whose conditions include all conditions of an earlier rule: they never decide."""
    earlier: list[tuple[str, RuleConditions]] = []
    for index, rule in enumerate(policy.entry):
        conditions = rule_conditions(rule.when)
        before = next((name for name, required in earlier if required <= conditions), None)
        if before is None:
            earlier.append((rule.name, conditions))
        else:
            yield Problem(
                path=f"entry[{index}].when",
                message=f"never reached: the earlier rule {before} matches every contact that this rule matches",
            )


def interrupt_cycles(policy: Policy) -> Iterator[Problem]:
    """Yield a problem for each back edge of a depth-first walk along ``interrupts``, self-interruption included."""
    done: set[str] = set()
    for start in policy.channels:
        if start not in done:
            yield from _walk_interrupts(policy, start, done)


def _walk_interrupts(policy: Policy, start: str, done: set[str]) -> Iterator[Problem]:
    """Walk depth first without recursion; ``walked`` is the path from the start to the current channel."""
    walked = [start]
    pending = [iter(policy.channels[start].interrupts)]
    while walked:
        target = next(pending[-1], None)
        if target is None:
            done.add(walked.pop())
            pending.pop()
        elif target in walked:
            cycle = walked[walked.index(target) :]
            index = policy.channels[walked[-1]].interrupts.index(target)
            message = f"cycle of interruptions: {_cycle_text(cycle)}"
            if len(cycle) == 1:
                message = "a channel cannot interrupt itself"
            yield Problem(path=f"channels.{walked[-1]}.interrupts[{index}]", message=message)
        elif target in policy.channels and target not in done:
            walked.append(target)
            pending.append(iter(policy.channels[target].interrupts))
