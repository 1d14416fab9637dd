"""Goals: contacts by the outcome of what their customers came for, repeats, and scores.

A contact with a goal counts when it is over, the wrap-up of its last owner included, for the queue and channel in which it ended,
for its last owner, for the owner's disposition and for its goal. What changes later is taken out of the span in which it counts and
added to it again: a late correction.

**Goal completion** = done / (done + partly + not done): of the contacts whose outcome is known.

**Repeat rate** = repeats / goals. **First contacts**: contacts with a goal whose customer is known, that an agent answered and that
repeat no other one. A first contact is *unresolved* when its customer came again within the time of the policy, or its outcome is
partly or not done; it is *done* when that was reported and its customer did not come again.

**First contact resolution** = (first contacts - unresolved) / first contacts. **Reported** first contact resolution = done /
(done + unresolved): of the first contacts of which something is known.

**Ease share** (customer effort score, CES 2.0: the share that found it easy) = scores of 5 to 7 / scores. **Satisfaction share**
(CSAT) = scores of 4 and 5 / scores. Source: Dixon, Freeman, Toman, "Stop trying to delight your customers", 2010, and its later
form with seven degrees.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from router.model.events.goal import ContactGoal, GoalChanged
from router.model.states import GoalOutcome
from router.statistics.history import History
from router.statistics.metrics import CORRECTED_AT_MS, CORRECTIONS, agent_key, disposition_key, goal_key, queue_key
from router.statistics.service_level import ratio

EASY_FROM: Final = 5
SATISFIED_FROM: Final = 4
_FIRST_NUMBER: Final = 120


class GoalCounts(Struct, gc=False):
    """Contacts with a goal that are over, by what became of it, and scores. The order of the fields never changes."""

    goals: int = 0
    """Contacts with a goal."""
    goals_done: int = 0
    """Contacts whose goal is done."""
    goals_partly: int = 0
    """Contacts whose goal is done in part."""
    goals_not_done: int = 0
    """Contacts whose goal is not done."""
    repeats: int = 0
    """Contacts that repeat an earlier one."""
    repeated: int = 0
    """Contacts after which the customer came again."""
    first_contacts: int = 0
    """Answered contacts of known customers that repeat no other one."""
    first_contacts_done: int = 0
    """First contacts whose goal is done and whose customer did not come again."""
    first_contacts_unresolved: int = 0
    """First contacts whose customer came again, or whose goal is not done."""
    ease_scores: int = 0
    """Contacts with a score of ease."""
    ease_sum: int = 0
    """Sum of these scores."""
    ease_easy: int = 0
    """Scores of ease from 5 on."""
    effort_scores: int = 0
    """Contacts with a score of effort."""
    effort_sum: int = 0
    """Sum of these scores."""
    satisfaction_scores: int = 0
    """Contacts with a score of satisfaction."""
    satisfaction_sum: int = 0
    """Sum of these scores."""
    satisfied: int = 0
    """Scores of satisfaction from 4 on."""


_NUMBERS: Final = {name: _FIRST_NUMBER + place for place, name in enumerate(GoalCounts.__struct_fields__)}
_OUTCOMES: Final = {GoalOutcome.DONE: "goals_done", GoalOutcome.PARTLY: "goals_partly", GoalOutcome.NOT_DONE: "goals_not_done"}


def goal_completion(counts: GoalCounts) -> float | None:
    """Return the share of goals with a known outcome that are done; none without any."""
    return ratio(counts.goals_done, counts.goals_done + counts.goals_partly + counts.goals_not_done)


def repeat_rate(counts: GoalCounts) -> float | None:
    """Return the share of contacts with a goal that repeat an earlier one; none without any."""
    return ratio(counts.repeats, counts.goals)


def first_contact_resolution(counts: GoalCounts) -> float | None:
    """Return the share of first contacts that are not known as unresolved; none without any."""
    return ratio(counts.first_contacts - counts.first_contacts_unresolved, counts.first_contacts)


def first_contact_resolution_reported(counts: GoalCounts) -> float | None:
    """Return the share of first contacts of which something is known that are done; none without any."""
    return ratio(counts.first_contacts_done, counts.first_contacts_done + counts.first_contacts_unresolved)


def counts_of(cell: Mapping[int, int]) -> GoalCounts:
    """Return the goals of a cell."""
    return GoalCounts(**{name: cell.get(number, 0) for name, number in _NUMBERS.items()})


def contribution(goal: ContactGoal) -> dict[int, int]:
    """Return what a contact counts, by number of the counter."""
    found: dict[str, int] = {}
    if goal.goal is not None:
        found["goals"] = 1
        outcome = _OUTCOMES.get(goal.outcome)
        if outcome is not None:
            found[outcome] = 1
        found["repeats"] = int(goal.repeats is not None)
        found["repeated"] = int(goal.repeated_by is not None)
        if goal.is_answered and goal.customer_id is not None and goal.repeats is None:
            found["first_contacts"] = 1
            is_open = goal.repeated_by is not None or goal.outcome in (GoalOutcome.PARTLY, GoalOutcome.NOT_DONE)
            found["first_contacts_unresolved"] = int(is_open)
            found["first_contacts_done"] = int(not is_open and goal.outcome is GoalOutcome.DONE)
    if goal.ease is not None:
        found |= {"ease_scores": 1, "ease_sum": goal.ease, "ease_easy": int(goal.ease >= EASY_FROM)}
    if goal.effort is not None:
        found |= {"effort_scores": 1, "effort_sum": goal.effort}
    if goal.satisfaction is not None:
        found |= {"satisfaction_scores": 1, "satisfaction_sum": goal.satisfaction}
        found["satisfied"] = int(goal.satisfaction >= SATISFIED_FROM)
    return {_NUMBERS[name]: value for name, value in found.items() if value}


def record_goal(history: History, event: GoalChanged, at_ms: int) -> None:
    """Count the goal of a contact that is over, in place of what was counted for it before."""
    goal, before = event.goal, event.before
    if goal.counted_at_ms is None:
        return
    changes: dict[str, dict[int, int]] = {}
    for one, sign in ((before, -1), (goal, 1)):
        if one is None:
            continue
        counted = contribution(one)
        for key in _keys(one):
            cell = changes.setdefault(key, {})
            for number, value in counted.items():
                cell[number] = cell.get(number, 0) + sign * value
    correction = {} if before is None else {CORRECTIONS: 1, CORRECTED_AT_MS: at_ms}
    for key, cell in changes.items():
        changed = {number: value for number, value in cell.items() if value}
        if changed:
            history.add(goal.counted_at_ms, key, (*changed.items(), *correction.items()))


def _keys(goal: ContactGoal) -> Iterator[str]:
    """Yield the keys of the cells in which a contact counts."""
    yield queue_key(goal.queue_id, goal.channel)
    if goal.agent_id is not None:
        yield agent_key(goal.agent_id)
        yield disposition_key(goal.queue_id, goal.disposition)
    if goal.goal is not None:
        yield goal_key(goal.queue_id, goal.channel, goal.goal)
