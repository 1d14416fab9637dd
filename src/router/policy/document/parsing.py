"""Parsing of policy documents in YAML or JSON.

One pass reports all errors with path, line and column. It has three stages: syntax (a tree of nodes with positions), types
and ranges (conversion of the tree to a ``Policy``), and references (``router.policy.checks``). Each stage continues with the
parts that the stage before could read, and errors that only follow from an earlier one are suppressed: a reference into a
section that could not be read is not reported as undeclared.

Messages never repeat a value of the document. No file is opened.
"""

import msgspec

from router.model.errors import PROBLEM_COUNT_MAX, ExpressionProblem, PolicyInvalid, Problem
from router.model.policy import CalendarPolicy, EntryCondition, Policy, Selection
from router.policy.checks.advice import policy_advice
from router.policy.checks.consistency import policy_problems
from router.policy.document.conversion import ConversionResult, convert_policy
from router.policy.document.nodes import Node, parse_nodes

# If one of these sections could not be read, every reference into it would appear to be undeclared.
_DECLARING = ("channels", "queues", "skills", "calendars", "facts")


def parse_policy(text: str | bytes) -> Policy:
    """Parse a YAML or JSON document of at most 1 MiB.

    Raises:
        PolicyInvalid: The document has errors; the exception lists all of them.
    """
    return parse_policy_with_advice(text)[0]


def parse_policy_with_advice(text: str | bytes) -> tuple[Policy, list[Problem]]:
    """Parse a document and return the policy together with advice, with lines and columns.

    Raises:
        PolicyInvalid: The document has errors; the exception lists all of them.
    """
    root, problems = parse_nodes(text)
    result = convert_policy(root)
    problems = _first_per_position([*problems, *result.problems])
    problems += _cross_references(result, root, problems)
    if problems:
        problems.sort(key=lambda problem: (problem.line, problem.column))
        raise PolicyInvalid(problems[:PROBLEM_COUNT_MAX])
    return result.policy, [_with_position(advice, root) for advice in policy_advice(result.policy)]


def _first_per_position(problems: list[Problem]) -> list[Problem]:
    """Keep the first problem of each position: one value may cause two (an alias is also read as null)."""
    return list({(p.line, p.column, p.path): p for p in reversed(problems)}.values())[::-1]


def _cross_references(result: ConversionResult, root: Node, known: list[Problem]) -> list[Problem]:
    """Return the problems of the consistency checks, without those that only follow from known problems."""
    invalid_paths = {problem.path for problem in known}
    if invalid_paths & {"", *_DECLARING} or len(known) >= PROBLEM_COUNT_MAX:
        return []
    policy = result.policy
    if known:
        policy = _with_default_calendars(_without_invalid_facts(policy, root), root)
    checked = policy_problems(policy)
    if _invalid_facts(policy, root):
        # Expressions may refer to facts that could not be read; they are checked once those are valid.
        checked = [problem for problem in checked if not isinstance(problem, ExpressionProblem)]
    problems = [_with_position(_with_document_index(problem, result.kept_indexes), root) for problem in checked]
    return [problem for problem in problems if not _is_below(problem.path, invalid_paths)]


def _with_document_index(problem: Problem, kept: dict[str, list[int]]) -> Problem:
    """Correct the index in a problem's path where items before it in the list could not be read."""
    for path, indices in kept.items():
        if problem.path.startswith(f"{path}["):
            index, _, rest = problem.path.removeprefix(f"{path}[").partition("]")
            return msgspec.structs.replace(problem, path=f"{path}[{indices[int(index)]}]{rest}")
    return problem


def _without_invalid_facts(policy: Policy, root: Node) -> Policy:
    """Remove references to facts whose declaration could not be read."""
    invalid = _invalid_facts(policy, root)
    for rule in policy.entry:
        if isinstance(rule.when, EntryCondition):
            for conditions in (rule.when.attributes, rule.when.customer):
                for name in invalid & conditions.keys():
                    del conditions[name]
    for name, queue in policy.queues.items():
        used = {queue.weight_fact, *(step.fact for step in queue.order_by), *(step.same_as for step in queue.order_by)}
        if invalid & used:
            policy.queues[name] = msgspec.structs.replace(queue, selection=Selection.LONGEST_IDLE, order_by=(), weight_fact=None)
    return policy


def _invalid_facts(policy: Policy, root: Node) -> set[str]:
    assert isinstance(root.value, dict)
    facts = root.value.get("facts")
    declared = facts.value if facts is not None and isinstance(facts.value, dict) else {}
    return declared.keys() - policy.facts.keys()


def _with_default_calendars(policy: Policy, root: Node) -> Policy:
    """Add a default calendar for each calendar whose declaration could not be read, so that references to it are valid."""
    assert isinstance(root.value, dict)
    calendars = root.value.get("calendars")
    declared = calendars.value if calendars and isinstance(calendars.value, dict) else {}
    for name in declared.keys() - policy.calendars.keys():
        policy.calendars[name] = CalendarPolicy(zone="UTC")
    return policy


def _is_below(path: str, invalid_paths: set[str]) -> bool:
    return any(path == other or path.startswith((f"{other}.", f"{other}[")) for other in invalid_paths)


def _with_position(problem: Problem, root: Node) -> Problem:
    """Add the position of the node at the problem's path, or of the nearest node above it."""
    node = root
    for step in problem.path.replace("[", ".[").split("."):
        below = _child_node(node, step)
        if below is None:
            break
        node = below
    if isinstance(problem, ExpressionProblem):
        line, column = node.position_of(problem.offset)
        return Problem(path=problem.path, message=problem.message, line=line, column=column)
    return node.problem(problem.path, problem.message)


def _child_node(node: Node, step: str) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(step)
    if isinstance(node.value, list) and step.startswith("["):
        index = int(step[1:-1])
        return node.value[index] if index < len(node.value) else None
    return None
