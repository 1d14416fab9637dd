"""Goals of contacts: what customers come for, whether it was done, how easy it was, and when they come again for it.

Theory of operation. The goal of a contact is named by its submit, by its entry rule, by ``goals.default``, or later by the agent or
the gateway. The last report of its outcome counts. A disposition stands for an outcome only while no one has reported one; an agent
does not replace what the customer has answered. A goal is *counted* when its contact is over, the wrap-up of its last owner
included; ``Engine.handle`` calls ``count_goals`` at the end of every command. What changes afterwards is a late correction: the
event names the goal before, so that the statistics can move it. A step of the journey that is sent again is no report: it reports
only what was lost when the router stopped between the step and its report.

A contact repeats the newest earlier one of the same customer that an agent answered and that ended within ``repeat_within_s``
before the submit. Both know each other, and what a contact repeats is decided again when its goal changes. A conversation that is
resumed is one contact, and repeats nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from router.engine.commands.transaction import Transaction, already_done, may_see, unknown_contact
from router.engine.commands.validation import listed
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.goals import ended
from router.model.commands import EnqueueContact, ReportGoal, ReportGoalSteps
from router.model.events.goal import ContactGoal, GoalChanged
from router.model.policy import GoalPolicy, GoalsPolicy, Policy, RepeatOf
from router.model.results import CommandResult, Done, RefusalCode, Refused
from router.model.states import AgentId, ContactId, ContactState, GatewayId, GoalChange, GoalOutcome, GoalReporter

SCORES: Final[dict[str, int]] = {"ease": 7, "effort": 5, "satisfaction": 5}
"""Scores and their greatest values; the least is 1."""
_GIVEN: Final = ("goal", "outcome", *SCORES)
_NO_GOALS: Final = GoalsPolicy()
_ANY_GOAL: Final = GoalPolicy()
_OF_CUSTOMERS: Final = (GoalReporter.CUSTOMER, GoalReporter.GATEWAY)


def goals_policy(tx: Transaction) -> GoalsPolicy:
    """Return what the active policy says about goals."""
    return _NO_GOALS if tx.state.policy is None else tx.state.policy.goals


def goal_refusal(policy: Policy, goal: str, field: str = "goal") -> Refused | None:
    """Return the refusal of a goal that the policy does not have."""
    known = policy.goals.known
    if goal in known:
        return None
    detail = f"not one of the policy's goals: {listed(sorted(known))}" if known else "the policy has no goals: add goals.known"
    return Refused(code=RefusalCode.UNKNOWN_GOAL, field=field, detail=detail)


# --- the course of a contact ------------------------------------------------------------------------------------------
def begin_goal(tx: Transaction, contact_id: ContactId, wanted: EnqueueContact | None = None) -> None:
    """Name the goal of a contact that has entered a queue, or whose customer chooses, and find what it repeats.

    ``wanted``: the submit; None: an option was chosen, and the submit was there before.
    """
    state, policy = tx.state, goals_policy(tx)
    contact = state.contacts.get(contact_id)
    if not policy.known or contact is None:
        return
    goal = state.goals.get(contact_id)
    name, set_by = (None, None) if goal is None else (goal.goal, goal.set_by)
    if name is None and wanted is not None and wanted.goal is not None:
        name, set_by = wanted.goal, GoalReporter.GATEWAY if wanted.gateway_id else GoalReporter.SUPERVISOR
    is_queued = contact.state is not ContactState.CHOOSING
    if name is None and is_queued:
        name, set_by = _goal_by_policy(tx, contact)
    others = () if wanted is None else tuple(one for one in wanted.customer_ids if one != contact.customer_id)
    fresh = goal or replace(_new_goal(contact, tx.at_ms), customer_ids=tuple(dict.fromkeys(others)))
    found = replace(fresh, goal=name, set_by=set_by)
    continued = None if wanted is None else wanted.continues_contact_id
    earlier = _earlier(tx, contact_id, found, continued) if is_queued and found.repeats is None else None
    if name is not None or (not is_queued and found.customer_ids):
        changed = found if earlier is None else replace(found, repeats=earlier[0])
        if changed != goal:
            _emit(tx, contact_id, GoalChange.SET, set_by, changed, goal)
    if earlier is not None:
        _repeat(tx, earlier[0], contact_id)


def _goal_by_policy(tx: Transaction, contact: Contact) -> tuple[str | None, GoalReporter | None]:
    name = None if contact.entry_rule is None else tx.state.goals.of_rule.get(contact.entry_rule)
    if name is not None:
        return name, GoalReporter.RULE
    default = goals_policy(tx).default
    return default, None if default is None else GoalReporter.POLICY


def _new_goal(contact: Contact, at_ms: int) -> ContactGoal:
    """Return the goal of a contact of which nothing is known yet."""
    return ContactGoal(
        set_at_ms=at_ms, customer_id=contact.customer_id, gateway_id=contact.gateway_id, queued_at_ms=contact.queued_at_ms
    )


def adopt_goal(tx: Transaction, contact_id: ContactId, goal: ContactGoal | None) -> None:
    """Give a conversation that goes on the goal that its customer named when they came back, if it has none."""
    contact, own = tx.state.contacts.get(contact_id), tx.state.goals.get(contact_id)
    if goal is None or goal.goal is None or contact is None or (own is not None and own.goal is not None):
        return
    fresh = own or _new_goal(contact, tx.at_ms)
    _emit(tx, contact_id, GoalChange.SET, goal.set_by, replace(fresh, goal=goal.goal, set_by=goal.set_by), own)


def count_goals(tx: Transaction) -> None:
    """Count the goals of the contacts that are over now."""
    goals, policy = tx.state.goals, goals_policy(tx)
    for contact_id in tuple(goals.over):
        goal = goals.get(contact_id)
        assert goal is not None
        reported = _by_disposition(policy, goal, tx.at_ms)
        by = None if reported is goal else GoalReporter.DISPOSITION
        _emit(tx, contact_id, GoalChange.COUNTED, by, replace(reported, counted_at_ms=tx.at_ms), goal)


def correct_disposition(tx: Transaction, contact_id: ContactId, assignment_id: str, disposition: str) -> None:
    """Apply a disposition that is given after the assignment of the last owner was completed."""
    goal = tx.state.goals.get(contact_id)
    if goal is None or goal.assignment_id != assignment_id or goal.disposition == disposition:
        return
    changed = _by_disposition(goals_policy(tx), replace(goal, disposition=disposition), tx.at_ms)
    _emit(tx, contact_id, GoalChange.REPORTED, GoalReporter.DISPOSITION, changed, goal)


def _by_disposition(policy: GoalsPolicy, goal: ContactGoal, at_ms: int) -> ContactGoal:
    """Return the goal with the outcome that its disposition stands for, if there is one and no one has reported another."""
    if goal.disposition is None or goal.goal is None or goal.reported_by not in (None, GoalReporter.DISPOSITION):
        return goal
    own = policy.known.get(goal.goal, _ANY_GOAL).dispositions
    outcome = own.get(goal.disposition, policy.dispositions.get(goal.disposition))
    if outcome is None or outcome is goal.outcome:
        return goal
    return replace(goal, outcome=outcome, reported_by=GoalReporter.DISPOSITION, reported_at_ms=at_ms)


# --- repeats ----------------------------------------------------------------------------------------------------------
def _earlier(
    tx: Transaction, contact_id: ContactId, goal: ContactGoal, continued_id: ContactId | None = None
) -> tuple[ContactId, ContactGoal] | None:
    """Return the contact that this one repeats; of several, the one that ended last."""
    policy, goals = goals_policy(tx), tx.state.goals
    found: tuple[ContactId, ContactGoal] | None = None
    for other_id, other in _earlier_contacts(tx, goal, continued_id):
        if other_id == contact_id or not other.is_answered or other.ended_at_ms is None or other.goal is None:
            continue
        if other.goal != goal.goal and policy.repeat_of is RepeatOf.GOAL:
            continue
        own_s = policy.known.get(other.goal, _ANY_GOAL).repeat_within_s
        within_ms = 1000 * (policy.repeat_within_s if own_s is None else own_s)
        passed_ms = goal.queued_at_ms - other.ended_at_ms
        if not 0 <= passed_ms < within_ms:
            continue
        if found is None or (other.ended_at_ms, other_id) > (found[1].ended_at_ms or 0, found[0]):
            found = other_id, other
    assert found is None or found[0] in goals
    return found


def _earlier_contacts(
    tx: Transaction, goal: ContactGoal, continued_id: ContactId | None
) -> Iterator[tuple[ContactId, ContactGoal]]:
    goals = tx.state.goals
    if continued_id is not None and (continued := goals.get(continued_id)) is not None:
        yield continued_id, continued
    yield from goals.newest_of(_ids_of(goal))


def _repeat(tx: Transaction, earlier_id: ContactId, later_id: ContactId) -> None:
    """Note with a contact that its customer came again, unless they did so before."""
    earlier = tx.state.goals.get(earlier_id)
    if earlier is not None and earlier.repeated_by is None:
        _emit(tx, earlier_id, GoalChange.REPEATED, None, replace(earlier, repeated_by=later_id), earlier)


def _find_repeats_again(tx: Transaction, contact_id: ContactId) -> None:
    """Decide again what a contact repeats, and what later ones of its customer repeat, because its goal is another one."""
    goals = tx.state.goals
    goal = goals.get(contact_id)
    assert goal is not None
    _decide_again(tx, contact_id, goal)
    later = {} if goal.repeated_by is None else {goal.repeated_by: goals.get(goal.repeated_by)}
    later |= {name: other for name, other in goals.newest_of(_ids_of(goal)) if other.queued_at_ms >= goal.queued_at_ms}
    for name in sorted(later, key=lambda name: (0 if (one := later[name]) is None else one.queued_at_ms, name)):
        other = goals.get(name)
        if other is not None and name != contact_id:
            _decide_again(tx, name, other)


def _decide_again(tx: Transaction, contact_id: ContactId, goal: ContactGoal) -> None:
    """Decide again what a contact repeats; what it repeats now counts as long as it fits."""
    goals, contact = tx.state.goals, tx.state.contacts.get(contact_id)
    if contact is not None and contact.state is ContactState.CHOOSING:
        return
    earlier = _earlier(tx, contact_id, goal, goal.repeats)
    repeats = None if earlier is None else earlier[0]
    if repeats == goal.repeats:
        return
    _emit(tx, contact_id, GoalChange.REPEATED, None, replace(goal, repeats=repeats), goal)
    former = None if goal.repeats is None else goals.get(goal.repeats)
    if former is not None and former.repeated_by == contact_id:
        assert goal.repeats is not None
        others = [(one.queued_at_ms, name) for name, one in goals.newest_of(_ids_of(former)) if one.repeats == goal.repeats]
        first = min(others)[1] if others else None
        _emit(tx, goal.repeats, GoalChange.REPEATED, None, replace(former, repeated_by=first), former)
    if repeats is not None:
        _repeat(tx, repeats, contact_id)


def _ids_of(goal: ContactGoal) -> tuple[str, ...]:
    return () if goal.customer_id is None else (goal.customer_id, *goal.customer_ids)


def _emit(
    tx: Transaction,
    contact_id: ContactId,
    change: GoalChange,
    by: GoalReporter | None,
    goal: ContactGoal,
    before: ContactGoal | None,
) -> None:
    contact = tx.state.contacts.get(contact_id)
    is_counted = before is not None and before.counted_at_ms is not None
    tx.emit(
        GoalChanged(
            contact_id=contact_id,
            change=change,
            by=by,
            goal=goal,
            before=before if is_counted else None,
            gateway_id=goal.gateway_id if contact is None else contact.gateway_id,
            agent_id=goal.agent_id if contact is None else contact.agent_id,
        )
    )


# --- commands ---------------------------------------------------------------------------------------------------------
def _report_goal(tx: Transaction, command: ReportGoal) -> CommandResult:
    state = tx.state
    goal = goal_view(state, command.contact_id, agent_id=command.agent_id, gateway_id=command.gateway_id)
    if goal is None:
        return unknown_contact()
    by = _reporter(command)
    refused = _report_refusal(tx, command, goal, by)
    if refused is not None:
        return refused
    seq = state.seq
    if command.goal is not UNSET and command.goal != goal.goal:
        goal = _changed(tx, command, GoalChange.SET, by, replace(goal, goal=command.goal, set_by=by if command.goal else None))
        _find_repeats_again(tx, command.contact_id)
        goal = state.goals.get(command.contact_id) or goal
    if command.outcome is not UNSET:
        outcome = command.outcome or GoalOutcome.UNKNOWN
        reported_by = None if outcome is GoalOutcome.UNKNOWN else by
        # Who says the same again as someone before says nothing new; a disposition says less than a report.
        is_new = goal.reported_by is GoalReporter.DISPOSITION and reported_by is not None
        if outcome is not goal.outcome or is_new:
            changed = replace(goal, outcome=outcome, reported_by=reported_by, reported_at_ms=tx.at_ms)
            goal = _changed(tx, command, GoalChange.REPORTED, by, changed)
    scores = {name: value for name in SCORES if (value := getattr(command, name)) is not UNSET}
    if any(getattr(goal, name) != value for name, value in scores.items()):
        # As long as one score is the customer's, an agent replaces none of them.
        is_kept = goal.scored_by in _OF_CUSTOMERS and by not in _OF_CUSTOMERS and not scores.keys() >= _scored(goal)
        goal = replace(goal, **scores, scored_by=goal.scored_by if is_kept else by)
        if not _scored(goal):
            goal = replace(goal, scored_by=None)
        goal = _changed(tx, command, GoalChange.SCORED, by, goal)
    if state.seq == seq:
        return already_done(command.contact_id, goal.outcome, seq)
    return tx.done(command.contact_id, goal.outcome)


def _scored(goal: ContactGoal) -> set[str]:
    return {name for name in SCORES if getattr(goal, name) is not None}


def _changed(tx: Transaction, command: ReportGoal, change: GoalChange, by: GoalReporter, goal: ContactGoal) -> ContactGoal:
    before = tx.state.goals.get(command.contact_id)
    if before is None and goal.counted_at_ms is not None:
        # A contact without a goal was counted as one: nothing is taken back.
        before = replace(goal, goal=None, outcome=GoalOutcome.UNKNOWN, ease=None, effort=None, satisfaction=None)
    _emit(tx, command.contact_id, change, by, goal, before)
    return goal


def goal_view(
    state: RoutingState, contact_id: ContactId, *, agent_id: AgentId | None, gateway_id: GatewayId | None
) -> ContactGoal | None:
    """Return the goal of a contact; one without a goal is as if nothing were known. None: the client may not know the contact."""
    contact, goal = state.contacts.get(contact_id), state.goals.get(contact_id)
    if not _is_visible(state, contact, goal, agent_id=agent_id, gateway_id=gateway_id):
        return None
    if goal is None:
        assert contact is not None
        return _late_goal(state, contact)
    return goal


def _is_visible(
    state: RoutingState,
    contact: Contact | None,
    goal: ContactGoal | None,
    *,
    agent_id: AgentId | None,
    gateway_id: GatewayId | None,
) -> bool:
    """Return whether a client may know the contact, which may be forgotten while its goal is kept."""
    if contact is not None:
        return may_see(state, contact, agent_id=agent_id, gateway_id=gateway_id)
    if goal is None or (gateway_id is not None and gateway_id != goal.gateway_id):
        return False
    return agent_id is None or agent_id == goal.agent_id


def _late_goal(state: RoutingState, contact: Contact) -> ContactGoal:
    """Return the goal of a contact of which nothing is known yet, and which may be over already."""
    goal = _new_goal(contact, state.at_ms)
    if not contact.state.is_terminal:
        return goal
    goal = ended(goal, contact, contact.changed_at_ms)
    if contact.assignment_id in state.assignments:
        return goal
    disposition = dict(contact.dispositions).get(contact.assignment_id or "")
    return replace(goal, disposition=disposition, counted_at_ms=contact.changed_at_ms)


def _reporter(command: ReportGoal) -> GoalReporter:
    if command.is_customer:
        return GoalReporter.CUSTOMER
    if command.agent_id is not None:
        return GoalReporter.AGENT
    return GoalReporter.SUPERVISOR if command.gateway_id is None else GoalReporter.GATEWAY


def _report_refusal(tx: Transaction, command: ReportGoal, goal: ContactGoal, by: GoalReporter) -> Refused | None:
    given = [name for name in _GIVEN if getattr(command, name) is not UNSET]
    if not given:
        return Refused(code=RefusalCode.INVALID_VALUE, field="outcome", detail=f"give at least one of {', '.join(_GIVEN)}")
    policy = tx.state.policy
    if command.goal is not UNSET and command.goal is not None and command.goal != goal.goal:
        refused = None if policy is None else goal_refusal(policy, command.goal)
        if refused is not None:
            return refused
    for name, most in SCORES.items():
        value = getattr(command, name)
        if value is not UNSET and value is not None and not 1 <= value <= most:
            return Refused(code=RefusalCode.INVALID_VALUE, field=name, detail=f"must be 1 to {most}")
    has_goal = goal.goal is not None if command.goal is UNSET else command.goal is not None
    if command.outcome not in (UNSET, None) and not has_goal:
        detail = "the contact has no goal: give goal as well"
        return Refused(code=RefusalCode.INVALID_VALUE, field="outcome", detail=detail)
    if by is not GoalReporter.AGENT:
        return None
    if command.outcome not in (UNSET, goal.outcome) and goal.reported_by is GoalReporter.CUSTOMER:
        return _answered("outcome")
    for name in SCORES:
        if getattr(command, name) not in (UNSET, getattr(goal, name)) and goal.scored_by in _OF_CUSTOMERS:
            return _answered(name)
    return None


def _answered(field: str) -> Refused:
    detail = "the customer has answered: an agent does not replace the answer; a supervisor can"
    return Refused(code=RefusalCode.CUSTOMER_HAS_ANSWERED, field=field, detail=detail)


def _report_goal_steps(tx: Transaction, command: ReportGoalSteps) -> CommandResult:
    done: ContactId | None = None
    repeated = [(step, True) for step in command.repeated_steps]
    for (name, at_ms), is_repeated in (*repeated, *((step, False) for step in command.steps)):
        found = _reached_by(tx, command.customer_ids, name, at_ms)
        if found is None or (is_repeated and _is_reported_since(found[1], at_ms)):
            continue
        contact_id, goal = found
        changed = replace(goal, outcome=GoalOutcome.DONE, reported_by=GoalReporter.JOURNEY, reported_at_ms=tx.at_ms)
        _emit(tx, contact_id, GoalChange.REPORTED, GoalReporter.JOURNEY, changed, goal)
        done = contact_id
    if done is None:
        return already_done("journey", GoalOutcome.UNKNOWN, tx.state.seq)
    return Done(done, GoalOutcome.DONE, tx.state.seq)


def _is_reported_since(goal: ContactGoal, at_ms: int) -> bool:
    """Return whether a step that was sent before has reported the goal, or some other report came after it: both stay."""
    return goal.reported_by is not GoalReporter.DISPOSITION and goal.reported_at_ms is not None and goal.reported_at_ms >= at_ms


def _reached_by(tx: Transaction, customer_ids: Iterable[str], name: str, at_ms: int) -> tuple[ContactId, ContactGoal] | None:
    """Return the newest contact whose goal a step reports, unless it is done already."""
    within_ms = 1000 * goals_policy(tx).known.get(name, _ANY_GOAL).done_within_s
    fitting = [
        (goal.queued_at_ms, contact_id, goal)
        for contact_id, goal in tx.state.goals.newest_of(customer_ids)
        if goal.goal == name and goal.queued_at_ms <= at_ms and (goal.ended_at_ms is None or at_ms <= goal.ended_at_ms + within_ms)
    ]
    if not fitting:
        return None
    _, contact_id, goal = max(fitting, key=lambda one: one[:2])
    return None if goal.outcome is GoalOutcome.DONE else (contact_id, goal)


GOAL_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    ReportGoal: _report_goal,
    ReportGoalSteps: _report_goal_steps,
}
