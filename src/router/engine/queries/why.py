"""Explain why a contact waits, and why an agent does or does not get it.

The answers come from ``eligibility.py``, the slow reading of the rules to which the tests hold the indexes. The cost of
explaining a contact grows with the number of all agents, so it is computed on request only, and in slices.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from msgspec import structs

from router.engine.events.changed_records import ChangedRecords
from router.engine.matching.eligibility import unmet_conditions, unmet_qualification
from router.engine.queries.slices import Slices, WorkMeter, read_until_unchanged
from router.engine.queries.views import contact_view
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind, is_clock_stopped
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import effective_plan, routing_criteria
from router.engine.state.records import SelectionRecord, selection_record
from router.engine.wait.estimate import expected_wait
from router.model.states import AgentId, ContactId, ContactState
from router.model.views import AgentWhy, ChosenAgent, ContactWhy, StepWhy, UnmetCondition

_AGENTS_SHOWN_MAX = 100
# Costs of examining an agent and of adding the result, in units of ``slices``.
_AGENT_COST = 20
_ANSWER_COST = 2


def explain_agent(state: RoutingState, contact: Contact, agent: Agent) -> AgentWhy:
    """Return the conditions that keep this agent from this contact; none means that the agent could take it now."""
    found = unmet_conditions(state, agent, contact, state.at_ms)
    if not contact.order_key:
        found.append(UnmetCondition(code="not_waiting"))
    return AgentWhy(
        contact_id=contact.contact_id,
        agent_id=agent.agent_id,
        as_of_seq=state.seq,
        eligible_now=not found,
        unmet_conditions=tuple(found),
    )


def explain_contact(state: RoutingState, contact_id: ContactId) -> Slices[ContactWhy | None]:
    """Return why the contact is in its present state, which agents qualify for it, and what changes next without a command.

    None if the contact is unknown. The answer is as of the event in ``as_of_seq``: agents that change while others are examined
    are examined again, and a change of the contact begins the examination again.
    """
    with ChangedRecords(state) as changes:
        while True:
            changes.is_everything = False
            contact = state.contacts.get(contact_id)
            if contact is None:
                return None
            if contact.state.is_terminal:
                return _explain_ended(state, contact)
            changes.take_contacts()
            answers = yield from read_until_unchanged(
                state, list(state.index.agent_ids), changes, changes.take_agents, partial(_examine_agent, state, contact)
            )
            if answers is not None and contact_id not in changes.take_contacts():
                break
        explained, at_ms = _explain_live(state, contact), state.at_ms
    return (yield from _with_agents(explained, dict(answers.items()), at_ms))


def _examine_agent(state: RoutingState, contact: Contact, agent_id: AgentId) -> tuple[tuple[AgentWhy, bool] | None, int]:
    agent = state.agents.get(agent_id)
    if agent is None:
        return None, 1
    return (explain_agent(state, contact, agent), not unmet_qualification(state, agent, contact)), _AGENT_COST


def _explain_ended(state: RoutingState, contact: Contact) -> ContactWhy:
    return ContactWhy(
        contact_id=contact.contact_id,
        as_of_seq=state.seq,
        state=contact.state,
        reason=contact.reason or str(contact.state),
        requirement=contact_view(state, contact).requirement,
        chosen=() if contact.selection is None else (_chosen_agent(contact.selection),),
        rule=contact.entry_rule,
        failed_rules=contact.failed_rules,
    )


def _explain_live(state: RoutingState, contact: Contact) -> ContactWhy:
    """Return everything that does not depend on single agents; the next change is that of the contact itself."""
    view = contact_view(state, contact)
    change = min((deadline for deadline in _deadlines(state, contact) if deadline[0] > state.at_ms), default=(None, None))
    return ContactWhy(
        contact_id=contact.contact_id,
        as_of_seq=state.seq,
        state=contact.state,
        reason=_reason(contact),
        requirement=view.requirement,
        position=view.position,
        expected_wait=expected_wait(state, contact) if _is_waiting(contact) else None,
        next_change_at_ms=change[0],
        next_change=change[1],
        chosen=tuple(_selection_records(state, contact)),
        overflow_impossible=_is_overflow_impossible(state, contact),
        step=_explain_step(state, contact, contact.step),
        next_step=_explain_next_step(state, contact),
        rule=contact.entry_rule,
        failed_rules=contact.failed_rules,
    )


def _with_agents(why: ContactWhy, answers: dict[AgentId, tuple[AgentWhy, bool]], at_ms: int) -> Slices[ContactWhy]:
    """Add the examined agents. They are as of one event already, so the state may change between the turns."""
    meter = WorkMeter()
    qualified: list[AgentWhy] = []
    unqualified: list[AgentWhy] = []
    counts: Counter[str] = Counter()
    changes = [] if why.next_change_at_ms is None else [(why.next_change_at_ms, why.next_change or "")]
    for agent_id in sorted(answers):
        answer, is_qualified = answers[agent_id]
        if not is_qualified:
            unqualified.append(answer)
        else:
            qualified.append(answer)
            counts.update({condition.code for condition in answer.unmet_conditions})
            changes.extend(
                (condition.until_ms, condition.code)
                for condition in answer.unmet_conditions
                if condition.until_ms is not None and condition.until_ms > at_ms and condition.code != "closed"
            )
        if meter.add(_ANSWER_COST):
            yield
    change = min(changes, default=(None, None))
    return structs.replace(
        why,
        reason="no_agent_qualified" if why.reason == "waiting_for_agent" and not qualified else why.reason,
        eligible_now=tuple(answer.agent_id for answer in qualified if answer.eligible_now),
        qualified=len(qualified),
        unmet_conditions=dict(sorted(counts.items())),
        agents=tuple((qualified + unqualified)[:_AGENTS_SHOWN_MAX]),
        next_change_at_ms=change[0],
        next_change=change[1],
    )


def _selection_records(state: RoutingState, contact: Contact) -> Iterator[ChosenAgent]:
    """Yield the agents who have the contact or an offer of it, each with the rule by which the agent was selected."""
    assignment = state.assignments.get(contact.assignment_id or "")
    if assignment is not None:
        yield _chosen_agent(selection_record(assignment))
    for offer_id in contact.pending_offer_ids:
        offer = state.offers[offer_id]
        yield ChosenAgent(
            agent_id=offer.agent_id,
            reason=offer.reason,
            at_ms=offer.made_at_ms,
            match_trigger=offer.match_trigger,
            other_candidates=offer.other_candidates,
            selection_inputs=offer.selection_inputs or {},
        )


def _chosen_agent(record: SelectionRecord) -> ChosenAgent:
    return ChosenAgent(
        agent_id=record.agent_id,
        reason=record.reason,
        at_ms=record.at_ms,
        match_trigger=record.match_trigger,
        other_candidates=record.other_candidates,
        selection_inputs=record.selection_inputs or {},
    )


def _is_waiting(contact: Contact) -> bool:
    return contact.state is ContactState.QUEUED or contact.state is ContactState.OFFERED


def _reason(contact: Contact) -> str:
    if contact.state is ContactState.CALLBACK_SCHEDULED and contact.callback is not None:
        return f"callback_{contact.callback.phase}"
    if contact.state is not ContactState.QUEUED:
        return str(contact.state)
    return "queue_closed" if contact.waiting_for_opening else "waiting_for_agent"


def _is_overflow_impossible(state: RoutingState, contact: Contact) -> bool:
    if contact.state is not ContactState.QUEUED or not is_overflow_limit_reached(state, contact):
        return False
    return state.queue_policy(contact.queue_id).overflow_to is not None


def is_overflow_limit_reached(state: RoutingState, contact: Contact) -> bool:
    """Return whether the contact has overflowed as often as the policy allows."""
    return state.policy is not None and contact.overflow_count >= state.policy.overflow_count_max


def _deadlines(state: RoutingState, contact: Contact) -> list[tuple[int, str]]:
    """Return the points in time at which a deadline of the contact itself changes something, each with its kind."""
    deadlines: list[tuple[int, str]] = []
    stands_still = partial(is_clock_stopped, state, contact)
    hours = state.hours.get(contact.queue_id) if contact.waiting_for_opening else None
    if hours is not None and hours.changes_at_ms is not None:
        deadlines.append((hours.changes_at_ms, "opening"))
    if contact.state is not ContactState.ASSIGNED and contact.ttl_at_ms is not None and not stands_still(TimerKind.TTL):
        deadlines.append((contact.ttl_at_ms, "callback_expired" if contact.callback else "ttl"))
    if contact.state is ContactState.QUEUED and contact.wait_until_ms is not None and not stands_still(TimerKind.WAIT):
        overflow = state.queue_policy(contact.queue_id).overflow_to
        deadlines.append((contact.wait_until_ms, "overflow" if overflow else "wait_max"))
    if contact.state is ContactState.SUSPENDED and contact.suspension is not None:
        suspension = contact.suspension
        deadlines.append((suspension.due_ms, "resume_by" if suspension.warning_ms is None else "resume_due"))
    if contact.request is not None and contact.request.choose_until_ms is not None:
        deadlines.append((contact.request.choose_until_ms, "default_option"))
    if contact.request is not None and contact.request.leave_until_ms is not None and contact.waits_live:
        deadlines.append((contact.request.leave_until_ms, "customer_away"))
    if contact.switch is not None and contact.switch.deadline_ms is not None:
        deadlines.append((contact.switch.deadline_ms, "channel"))
    if contact.callback is not None and contact.callback.due_at_ms is not None:
        deadlines.append((contact.callback.due_at_ms, "callback"))
    if contact.preferred_until_ms is not None and not stands_still(TimerKind.PREFERRED):
        deadlines.append((contact.preferred_until_ms, "preferred"))
    if contact.awaits_offers and contact.step_until_ms is not None and not stands_still(TimerKind.STEP):
        deadlines.append((contact.step_until_ms, "step"))
    deadlines += [(state.offers[offer_id].deadline_ms, "offer_timeout") for offer_id in contact.pending_offer_ids]
    return deadlines


def _explain_step(state: RoutingState, contact: Contact, number: int) -> StepWhy | None:
    """Return the requirement of a step of the contact's plan and how many agents meet it; none if there is no such step."""
    policy = state.policy
    if policy is None or contact.state in (ContactState.ASSIGNED, ContactState.SUSPENDED):
        return None
    plan = effective_plan(policy, contact.queue_id, contact.plan)
    if not plan:
        return None
    index = state.index
    left_out = index.lines.inapplicable_steps(routing_criteria(contact))
    moves_to = None if number in left_out else plan[min(number, len(plan) - 1)].queue
    criteria = routing_criteria(contact)._replace(step=number, queue_id=moves_to or contact.queue_id)
    line = index.lines.line_for_requirements(criteria)
    if line.reserved_for is None:
        groups = index.qualification.groups_in(line.group_mask)
        qualified, ready = (sum(group.agent_count for group in groups), sum(group.ready_count for group in groups))
    else:
        agents = list(index.contacts.reserved_agents(line, line.reserved_for))
        qualified, ready = len(agents), sum(agent.is_counted_ready for agent in agents)
    index.lines.drop_if_unused(line)
    is_present = number == contact.step
    return StepWhy(
        step=number,
        requirement=line.requirement_text,
        qualified=qualified,
        ready=ready,
        until_ms=contact.step_until_ms if is_present and not is_clock_stopped(state, contact, TimerKind.STEP) else None,
        priority_s=index.lines.plan_stage(criteria).added_priority_s,
    )


def _explain_next_step(state: RoutingState, contact: Contact) -> StepWhy | None:
    if contact.step_until_ms is None or state.policy is None:
        return None
    plan = effective_plan(state.policy, contact.queue_id, contact.plan)
    if contact.step + 1 >= len(plan):
        return None
    following = state.index.lines.first_applicable(routing_criteria(contact)._replace(step=contact.step + 1))
    return _explain_step(state, contact, following.step)
