"""A policy document, as text, to a policy: the one way in for YAML and JSON.

All errors are found in one round, each with its path, line and column: those of form (``nodes.py``), of shape and range
(``shape.py``) and of cross-reference (``check.py``). No file is opened here; values are never repeated in a message.
"""

import msgspec

from router.model.errors import ExpressionProblem, PolicyInvalid, Problem
from router.model.policy import CalendarPolicy, EntryWhen, Policy, Selection
from router.rules.advice import advise
from router.rules.check import check
from router.rules.limits import PROBLEM_COUNT_MAX
from router.rules.nodes import Node, read_nodes
from router.rules.shape import Reading, read_policy

# Where one of these could not be read at all, every reference into it would look unknown.
_DECLARING = ("channels", "queues", "skills", "calendars", "facts")


def parse_policy(text: str | bytes) -> Policy:
    """The policy that a YAML or JSON document of at most 1 MiB holds. Raises PolicyInvalid with all its problems."""
    return parse_with_advice(text)[0]


def parse_with_advice(text: str | bytes) -> tuple[Policy, list[Problem]]:
    """The same, and beside the policy what is odd in it though allowed, at its line and column."""
    root, problems = read_nodes(text)
    reading = read_policy(root)
    problems = _first_of_each_place([*problems, *reading.problems])
    problems += _cross_references(reading, root, problems)
    if problems:
        problems.sort(key=lambda problem: (problem.line, problem.column))
        raise PolicyInvalid(problems[:PROBLEM_COUNT_MAX])
    return reading.policy, [_located(advice, root) for advice in advise(reading.policy)]


def _first_of_each_place(problems: list[Problem]) -> list[Problem]:
    """One refused value may offend twice (as an alias and as "nothing"); the first sentence says it."""
    return list({(p.line, p.column, p.path): p for p in reversed(problems)}.values())[::-1]


def _cross_references(reading: Reading, root: Node, known: list[Problem]) -> list[Problem]:
    """What ``check`` finds, without what follows only from problems that are known already."""
    broken = {problem.path for problem in known}
    if broken & {"", *_DECLARING} or len(known) >= PROBLEM_COUNT_MAX:
        return []
    policy = reading.policy
    if known:
        policy = _with_broken_calendars(_without_broken_facts(policy, root), root)
    checked = check(policy)
    if _broken_facts(policy, root):
        # An expression may ask for one of them: it is looked at again when they are right.
        checked = [found for found in checked if not isinstance(found, ExpressionProblem)]
    problems = [_located(_in_text(found, reading.kept), root) for found in checked]
    return [problem for problem in problems if not _is_below(problem.path, broken)]


def _in_text(problem: Problem, kept: dict[str, list[int]]) -> Problem:
    """The problem with its place in the text, where a list has lost the items before it."""
    for path, indices in kept.items():
        if problem.path.startswith(f"{path}["):
            index, _, rest = problem.path.removeprefix(f"{path}[").partition("]")
            return msgspec.structs.replace(problem, path=f"{path}[{indices[int(index)]}]{rest}")
    return problem


def _without_broken_facts(policy: Policy, root: Node) -> Policy:
    """Rules and selections do not ask for facts that were declared, but badly."""
    bad = _broken_facts(policy, root)
    for rule in policy.entry:
        if isinstance(rule.when, EntryWhen):
            for name in bad & rule.when.attributes.keys():
                del rule.when.attributes[name]
    for name, queue in policy.queues.items():
        if bad & {queue.weight_fact, *(step.fact for step in queue.order_by)}:
            policy.queues[name] = msgspec.structs.replace(
                queue, selection=Selection.LONGEST_IDLE, order_by=(), weight_fact=None
            )
    return policy


def _broken_facts(policy: Policy, root: Node) -> set[str]:
    assert isinstance(root.value, dict)
    facts = root.value.get("facts")
    declared = facts.value if facts is not None and isinstance(facts.value, dict) else {}
    return declared.keys() - policy.facts.keys()


def _with_broken_calendars(policy: Policy, root: Node) -> Policy:
    """Queues do not refer to nothing where a calendar was declared, but badly."""
    assert isinstance(root.value, dict)
    calendars = root.value.get("calendars")
    declared = calendars.value if calendars and isinstance(calendars.value, dict) else {}
    for name in declared.keys() - policy.calendars.keys():
        policy.calendars[name] = CalendarPolicy(zone="UTC")
    return policy


def _is_below(path: str, broken: set[str]) -> bool:
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for place in broken)


def _located(problem: Problem, root: Node) -> Problem:
    """The problem at the node that its path names, or at the nearest one above it."""
    node = root
    for step in problem.path.replace("[", ".[").split("."):
        below = _step(node, step)
        if below is None:
            break
        node = below
    if isinstance(problem, ExpressionProblem):
        line, column = node.place_of(problem.offset)
        return Problem(path=problem.path, message=problem.message, line=line, column=column)
    return node.problem(problem.path, problem.message)


def _step(node: Node, step: str) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(step)
    if isinstance(node.value, list) and step.startswith("["):
        index = int(step[1:-1])
        return node.value[index] if index < len(node.value) else None
    return None
