"""Checks of calendars and plans, and of names anywhere in a policy. Messages never repeat an undeclared name.

Calendars: time zone, holidays, dates and time spans. Plans: references to skills and queues, durations of steps, and cycles of
moves between queues.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from difflib import get_close_matches
from typing import Final

from router.model.errors import ExpressionProblem, Problem
from router.model.policy import CalendarPolicy, Policy, QueuePolicy, StepPolicy
from router.policy.calendar import holiday_table, load_zone, span_minutes
from router.policy.expression_tokens import ExpressionError

# Suggestions compare with every declared name, so they are made for short lists only.
_SUGGESTION_NAMES_MAX: Final = 500


def duplicate_names(path: str, names: Iterable[str], *, suffix: str = "") -> Iterator[Problem]:
    """Yield a problem for each repeated name of a list."""
    seen = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Problem(path=f"{path}[{index}]{suffix}", message="duplicate entry")
        seen.add(name)


def unknown_name(path: str, noun: str, name: str, declared: Collection[str]) -> Problem:
    """Return the problem of an undeclared name, with the most similar declared one as a suggestion."""
    close = get_close_matches(name, declared, n=1) if len(declared) <= _SUGGESTION_NAMES_MAX else []
    hint = f"; there is {close[0]}" if close else ""
    return Problem(path=path, message=f"no such {noun} is declared{hint}")


def expression_problem(path: str, text: str, error: ExpressionError | None) -> Iterator[Problem]:
    """Yield the problem of an expression that has an error, with its line and column in the expression."""
    if error is not None:
        before = text[: error.offset]
        yield ExpressionProblem(
            path=path,
            message=error.message,
            offset=error.offset,
            expression_line=before.count("\n") + 1,
            expression_column=len(before) - before.rfind("\n"),
        )


def calendar_problems(policy: Policy) -> Iterator[Problem]:
    """Yield the problems of all calendars, in the document's order."""
    for name, calendar in policy.calendars.items():
        yield from _calendar_problems(f"calendars.{name}", calendar)


def _calendar_problems(path: str, calendar: CalendarPolicy) -> Iterator[Problem]:
    if load_zone(calendar.zone) is None:
        yield Problem(path=f"{path}.zone", message="no such IANA time zone")
    for day in calendar.week.__struct_fields__:
        yield from _span_problems(f"{path}.week.{day}", getattr(calendar.week, day))
    if calendar.holidays is not None:
        try:
            holiday_table(calendar.holidays)
        except ValueError:
            yield Problem(path=f"{path}.holidays", message="no public holidays are known for this country and subdivision")
    elif calendar.holiday_hours:
        yield Problem(path=f"{path}.holiday_hours", message="requires holidays")
    yield from _span_problems(f"{path}.holiday_hours", calendar.holiday_hours)
    for day, spans in calendar.dates.items():
        try:
            date.fromisoformat(day)
        except ValueError:
            yield Problem(path=f"{path}.dates.{day}", message="no such date")
        yield from _span_problems(f"{path}.dates.{day}", spans)


def _span_problems(path: str, spans: tuple[str, ...]) -> Iterator[Problem]:
    last = -1
    for index, span in enumerate(spans):
        start, end = span_minutes(span)
        span_path = f"{path}[{index}]"
        if span[:5] == span[6:]:
            yield Problem(path=span_path, message="an empty span; the whole day is 00:00-24:00")
        elif start < last:
            yield Problem(path=span_path, message="begins before the end of the span before it")
        last = max(last, end)


RESERVED_OPTIONS: Final = ("now", "callback", "later")
"""Options of requests that are no channels."""


def request_problems(policy: Policy) -> Iterator[Problem]:
    """Yield the problems of the options of requests."""
    requests = policy.requests
    yield from duplicate_names("requests.channels", requests.channels)
    for index, name in enumerate(requests.channels):
        path = f"requests.channels[{index}]"
        if name not in policy.channels:
            yield unknown_name(path, "channel", name, policy.channels)
        elif name in RESERVED_OPTIONS:
            yield Problem(path=path, message="options are named " + ", ".join(RESERVED_OPTIONS) + ": give the channel another name")
    options = ["now", *requests.channels]
    if requests.callback is not None:
        options.append("callback")
        if all(queue.callback is None for queue in policy.queues.values()):
            yield Problem(path="requests.callback", message="no queue offers callbacks: add callback to a queue, or omit this")
    if requests.later:
        options.append("later")
    if requests.default_option not in options:
        yield Problem(path="requests.default_option", message="must be one of the options: " + ", ".join(options))
    if requests.agent_name is not None:
        fact = policy.facts.get(requests.agent_name)
        if fact is None or fact.applies_to != "agent":
            yield Problem(path="requests.agent_name", message="must be a declared attribute of agents (facts, applies_to: agent)")


def goal_problems(policy: Policy) -> Iterator[Problem]:
    """Yield the problems of the goals, and of the entry rules that name one."""
    goals = policy.goals
    lists = [("goals.dispositions", goals.dispositions)]
    for name, goal in goals.known.items():
        path = f"goals.known.{name}"
        lists.append((f"{path}.dispositions", goal.dispositions))
        for field in ("done_within_s", "repeat_within_s"):
            yield from _within_kept(policy, f"{path}.{field}", getattr(goal, field))
    yield from _within_kept(policy, "goals.repeat_within_s", goals.repeat_within_s)
    codes = {code for queue in policy.queues.values() for code in queue.dispositions or ()} | set(policy.dispositions)
    has_any = not policy.dispositions and any(queue.dispositions is None for queue in policy.queues.values())
    for path, dispositions in lists:
        for code in dispositions:
            if not has_any and code not in codes:
                yield unknown_name(f"{path}.{code}", "disposition", code, sorted(codes))
    if goals.default is not None and goals.default not in goals.known:
        yield unknown_name("goals.default", "goal", goals.default, goals.known)
    for index, rule in enumerate(policy.entry):
        if rule.goal is not None and rule.goal not in goals.known:
            yield unknown_name(f"entry[{index}].goal", "goal", rule.goal, goals.known)


def _within_kept(policy: Policy, path: str, duration_s: int | None) -> Iterator[Problem]:
    if duration_s is not None and duration_s > policy.goals.kept_s and policy.goals.known:
        yield Problem(path=path, message=f"must be at most goals.kept_s, which is {policy.goals.kept_s}: goals are kept no longer")


def plan_problems(policy: Policy, skills: Collection[str]) -> Iterator[Problem]:
    """Yield the problems of all plans in the document's order, cycles last."""
    for name, plan in policy.plans.items():
        for number, step in enumerate(plan):
            path = f"plans.{name}[{number}]"
            yield from _plan_step(policy, path, step, skills)
            yield from _step_duration(path, step, is_last=number + 1 == len(plan))
            if number + 1 == len(plan) and (step.prefer or step.prefer_agents):
                yield Problem(
                    path=f"{path}.prefer",
                    message="not allowed in the last step, which must be open to all qualified agents: add a step after it",
                )
            if step.queue is not None and not number:
                yield Problem(path=f"{path}.queue", message="not allowed in the first step")
    yield from _plan_cycles(policy)


def plan_reference_problems(policy: Policy, path: str, name: str | None) -> Iterator[Problem]:
    """Yield a problem if the plan that a queue or entry rule names is not declared."""
    if name is not None and name not in policy.plans:
        yield unknown_name(f"{path}.plan", "plan", name, policy.plans)


def _plan_step(policy: Policy, path: str, step: StepPolicy, skills: Collection[str]) -> Iterator[Problem]:
    named = [(f"{path}.skills.{skill}", skill) for skill in step.skills or {}]
    named += [(f"{path}.remove_skills[{i}]", skill) for i, skill in enumerate(step.remove_skills)]
    named += [(f"{path}.lower_levels.{skill}", skill) for skill in step.lower_levels]
    for skill_path, skill in named:
        if skill not in skills:
            yield unknown_name(skill_path, "skill", skill, policy.skills)
    yield from duplicate_names(f"{path}.prefer", step.prefer)
    yield from duplicate_names(f"{path}.prefer_agents", step.prefer_agents)
    if step.queue is not None and step.queue not in policy.queues:
        yield unknown_name(f"{path}.queue", "queue", step.queue, policy.queues)


def _step_duration(path: str, step: StepPolicy, *, is_last: bool) -> Iterator[Problem]:
    if is_last and step.duration_s is not None:
        yield Problem(
            path=f"{path}.duration_s",
            message="not allowed in the last step, which has no end: omit it, or add a step after it ({} changes nothing)",
        )
    if not is_last and step.duration_s is None:
        yield Problem(path=f"{path}.duration_s", message="required: without it the steps after this one are never reached")


def move_targets(policy: Policy, queue: QueuePolicy) -> list[str]:
    """Return the queues to which contacts of a queue may move while they wait."""
    steps = policy.plans.get(queue.plan, ()) if queue.plan is not None else ()
    targets = [step.queue for step in steps if step.queue is not None]
    return [*targets, queue.overflow_to] if queue.overflow_to is not None else targets


def _plan_cycles(policy: Policy) -> Iterator[Problem]:
    """Yield the queues whose plans and overflows lead back to them; cycles of overflows alone are checked elsewhere."""
    if not any(step.queue for plan in policy.plans.values() for step in plan):
        return
    for name, queue in policy.queues.items():
        if queue.plan is None or all(to == queue.overflow_to for to in move_targets(policy, queue)):
            continue
        seen: set[str] = set()
        pending = move_targets(policy, queue)
        while pending:
            target = pending.pop()
            if target not in seen and target in policy.queues:
                seen.add(target)
                pending += move_targets(policy, policy.queues[target])
        if name in seen:
            yield Problem(path=f"queues.{name}.plan", message="its steps and overflows lead back to this queue")
