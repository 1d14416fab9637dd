"""Views: read-only answers of the API, built from the records of the state.

Each function copies what a client may see of one record into a struct of ``router.model.views``. Lists use the short form; a
single contact or queue also gets its expected wait, which is too expensive to compute for every row of a list.
"""

from copy import copy

from msgspec import UNSET, structs

from router.engine.index.routing_index import RoutingIndex
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.clocks import TimerKind, is_clock_stopped, waited_ms
from router.engine.state.contact import Contact
from router.engine.state.contact_parts import CallbackState, MonitorState
from router.engine.state.plan_stages import contact_requirement, exclusive_agents_of
from router.engine.state.records import Assignment, Offer, format_requirement
from router.engine.state.workspace import agent_taking_over, conversation_roles, operations_on
from router.engine.wait.estimate import expected_wait, queue_expected_wait
from router.model.events.monitoring import MonitorView
from router.model.forecasts import forecast_accuracy
from router.model.states import AgentId, AssignmentRole, AssignmentState, ContactState, MonitorMode, SupervisorId
from router.model.views import (
    AgentView,
    AssignmentView,
    CallbackView,
    ContactView,
    OfferView,
    ParticipantView,
    PendingOfferView,
    QueueView,
    RulesView,
    RuleView,
    SuspensionView,
    SwitchView,
)


def offer_view(state: RoutingState, offer: Offer) -> OfferView:
    """Return the view of a pending offer, with the attributes of its contact."""
    contact = state.contacts[offer.contact_id]
    return OfferView(
        offer_id=offer.offer_id,
        contact_id=offer.contact_id,
        agent_id=offer.agent_id,
        channel=offer.channel,
        queue_id=offer.queue_id,
        made_at_ms=offer.made_at_ms,
        deadline_ms=offer.deadline_ms,
        waited_ms=offer.waited_ms,
        units=offer.units,
        reason=offer.reason,
        attributes=contact.attributes,
        reference=contact.reference,
        from_agent_id=offer.from_agent_id,
        role=offer.role,
        callback_phase=None if contact.callback is None else contact.callback.phase,
        interrupted=state.index.agents.is_interrupted(offer.agent_id, offer.channel),
        match_trigger=offer.match_trigger,
        other_candidates=offer.other_candidates,
        selection_inputs=offer.selection_inputs or {},
    )


def assignment_view(state: RoutingState, assignment: Assignment) -> AssignmentView:
    """Return the view of an assignment, with the attributes of its contact while the contact is kept."""
    contact = state.contacts.get(assignment.contact_id)
    is_over = assignment.final_attributes is not None
    live = None if is_over or assignment.state is AssignmentState.WRAP_UP else contact
    owned = live if live is not None and live.assignment_id == assignment.assignment_id else None
    passes_to = None if owned is None else agent_taking_over(state, owned)
    held_channel = assignment.held_channel
    if owned is not None and owned.switch is not None and passes_to is not None:
        held_channel = owned.switch.channel
    interrupted = assignment.holds_capacity and state.index.agents.is_interrupted(assignment.agent_id, assignment.channel)
    return AssignmentView(
        assignment_id=assignment.assignment_id,
        contact_id=assignment.contact_id,
        agent_id=assignment.agent_id,
        state=assignment.state,
        channel=assignment.channel,
        queue_id=assignment.queue_id,
        started_at_ms=assignment.started_at_ms,
        units=assignment.units if assignment.holds_capacity and not interrupted else 0,
        interrupted=interrupted,
        parked_until_ms=assignment.parked_until_ms,
        wrap_up_deadline_ms=assignment.wrap_up_deadline_ms,
        wrap_up_started_at_ms=assignment.wrap_up_started_at_ms,
        attributes=assignment.final_attributes or {} if is_over or contact is None else contact.attributes,
        reference=assignment.final_reference if is_over or contact is None else contact.reference,
        held_for_consult=assignment.held_for_consult and assignment.state is AssignmentState.ON_HOLD,
        held_channel=held_channel,
        passes_to=passes_to,
        pending_offer=None if owned is None else pending_offer_view(state, owned),
        callback_phase=None if live is None or live.callback is None else live.callback.phase,
        role=assignment.role,
        members=_members(state, assignment, contact),
        monitors={} if live is None else _monitors_shown(live, assignment),
        allowed=operations_on(state, assignment),
        reason=assignment.reason,
        match_trigger=assignment.match_trigger,
        other_candidates=assignment.other_candidates,
        selection_inputs=assignment.selection_inputs or {},
    )


def pending_offer_view(state: RoutingState, contact: Contact) -> PendingOfferView | None:
    """Return the transfer or consult of an assigned contact that is not answered yet; it has at most one."""
    for offer_id in contact.pending_offer_ids:
        offer = state.offers[offer_id]
        return PendingOfferView(
            offer_id=offer_id,
            agent_id=offer.agent_id,
            kind=offer.reason,
            made_at_ms=offer.made_at_ms,
            deadline_ms=offer.deadline_ms,
            to_queue_id=offer.to_queue_id,
        )
    return None


def _members(state: RoutingState, assignment: Assignment, contact: Contact | None) -> dict[AgentId, AssignmentRole]:
    """Return the agents of the conversation that this assignment is part of, by role.

    Empty if the owner is alone, or if this agent has left the conversation.
    """
    if contact is None or not contact.participant_assignment_ids:
        return {}
    takes_part = assignment.assignment_id in (contact.assignment_id, *contact.participant_assignment_ids)
    return conversation_roles(state, contact) if takes_part else {}


def _participants(state: RoutingState, contact: Contact) -> tuple[ParticipantView, ...]:
    assignments = [state.assignments[name] for name in contact.participant_assignment_ids]
    return tuple(
        ParticipantView(
            agent_id=assignment.agent_id,
            assignment_id=assignment.assignment_id,
            role=assignment.role,
            since_ms=assignment.started_at_ms,
        )
        for assignment in assignments
    )


def _deadline(state: RoutingState, contact: Contact, timer: TimerKind, at_ms: int | None) -> int | None:
    """Return the deadline of a clock; None while it stands still."""
    return None if contact.waiting_for_opening and is_clock_stopped(state, contact, timer) else at_ms


def contact_view(state: RoutingState, contact: Contact) -> ContactView:
    """Return the view of a live or ended contact, without its expected wait."""
    return ContactView(
        contact_id=contact.contact_id,
        state=contact.state,
        channel=contact.channel,
        queue_id=contact.queue_id,
        requirement=_requirement_text(state, contact),
        queued_at_ms=contact.queued_at_ms,
        changed_at_ms=contact.changed_at_ms,
        queued_seq=contact.queued_seq,
        priority_s=contact.priority_s,
        priority_class=contact.priority_class,
        skills=contact.skills,
        attributes=contact.attributes,
        customer_facts=contact.customer_facts,
        customer_id=contact.customer_id,
        reference=contact.reference,
        gateway_id=contact.gateway_id,
        position=queue_position(state, contact),
        agent_id=contact.agent_id,
        assignment_id=contact.assignment_id,
        participants=_participants(state, contact),
        offers=tuple(offer_view(state, state.offers[o]) for o in contact.pending_offer_ids),
        offers_made=contact.offers_made,
        ttl_at_ms=_deadline(state, contact, TimerKind.TTL, contact.ttl_at_ms),
        wait_until_ms=_deadline(state, contact, TimerKind.WAIT, contact.wait_until_ms),
        overflow_count=contact.overflow_count,
        waiting_for_opening=contact.waiting_for_opening,
        preferred_agent_id=contact.preferred_agent_id,
        parked=_is_parked(state, contact),
        plan=plan_name(state, contact),
        step=contact.step if plan_name(state, contact) else None,
        step_until_ms=_deadline(state, contact, TimerKind.STEP, contact.step_until_ms),
        preferred_agents=contact.preferred_agents,
        last_agent_id=contact.last_agent_id,
        reason=contact.reason,
        ended_by=contact.ended_by,
        rule=contact.entry_rule,
        failed_rules=contact.failed_rules,
        callback=None if contact.callback is None else _callback_view(state, contact, contact.callback),
        suspension=_suspension_view(contact),
        switch=_switch_view(state, contact),
        monitors=tuple(_monitor_view(monitor) for monitor in contact.monitors),
    )


def _is_parked(state: RoutingState, contact: Contact) -> bool:
    if contact.state is not ContactState.ASSIGNED or contact.assignment_id is None:
        return False
    return state.assignments[contact.assignment_id].state is AssignmentState.PARKED


def _callback_view(state: RoutingState, contact: Contact, callback: CallbackState) -> CallbackView:
    return CallbackView(
        mode=callback.mode,
        phase=callback.phase,
        attempts=callback.attempts,
        scheduled_at_ms=callback.scheduled_at_ms,
        due_at_ms=callback.due_at_ms,
        expires_at_ms=_deadline(state, contact, TimerKind.TTL, callback.expires_at_ms),
        outcome=callback.outcome,
        claimed_by=callback.claimed_by,
        claimed_until_ms=callback.claimed_until_ms,
    )


def _suspension_view(contact: Contact) -> SuspensionView | None:
    suspension = contact.suspension
    if suspension is None or contact.state is not ContactState.SUSPENDED:
        return None
    return SuspensionView(
        suspended_at_ms=suspension.suspended_at_ms,
        resume_by_ms=suspension.resume_by_ms,
        at_expiry=suspension.at_expiry,
        age_ms=suspension.age_ms,
    )


def _switch_view(state: RoutingState, contact: Contact) -> SwitchView | None:
    switch = contact.switch
    if switch is None:
        return None
    waits = switch.deadline_ms is None
    return SwitchView(
        channel=switch.channel,
        deadline_ms=switch.deadline_ms,
        if_unable=switch.if_unable if waits else None,
        to_agent_id=agent_taking_over(state, contact),
    )


def _monitor_view(monitor: MonitorState) -> MonitorView:
    return MonitorView(**{name: getattr(monitor, name) for name in MonitorView.__struct_fields__})


def _monitors_shown(contact: Contact, assignment: Assignment) -> dict[SupervisorId, MonitorMode]:
    """Return the supervisors in the conversation that its owner sees; empty for any other agent."""
    return {
        one.supervisor_id: one.mode
        for one in contact.monitors
        if one.assignment_id == assignment.assignment_id and not one.is_hidden and one.mode is not None
    }


def contact_detail_view(state: RoutingState, contact: Contact) -> ContactView:
    """Return the view of a single contact, with its expected wait while it is queued or offered."""
    view = contact_view(state, contact)
    if contact.state is ContactState.QUEUED or contact.state is ContactState.OFFERED:
        view = structs.replace(view, expected_wait=expected_wait(state, contact))
    return view


def _requirement_text(state: RoutingState, contact: Contact) -> str:
    if state.policy is None:
        return format_requirement(contact.queue_id, contact.channel, ())
    customers = state.index.qualification.conditions.customers
    requirement, alternatives = contact_requirement(state.policy, contact, customers)
    reserved_for = exclusive_agents_of(state.policy, contact, customers)
    return format_requirement(contact.queue_id, contact.channel, requirement, reserved_for, alternatives)


def plan_name(state: RoutingState, contact: Contact) -> str | None:
    """Return the plan that the contact follows: its own, or that of its queue."""
    name = contact.plan or state.queue_policy(contact.queue_id).plan
    return name if state.policy is not None and name in state.policy.plans else None


def queue_position(state: RoutingState, contact: Contact) -> int | None:
    """Return the contact's position among all that wait in its queue, 1 = next; none if it does not wait."""
    if not contact.order_key or contact.waiting_line is None:
        return None
    place = contact.waiting_line.rank_of(contact)
    lines = state.index.lines.by_queue.get(contact.queue_id, ())
    ahead = sum(line.count_ahead(place) for line in lines)
    return ahead + 1


def agent_view(state: RoutingState, agent: Agent) -> AgentView:
    """Return the view of an agent, with the offers and assignments that use capacity."""
    return AgentView(
        agent_id=agent.agent_id,
        state=agent.state,
        presence=agent.presence,
        units=agent.capacity.units,
        units_used=agent.capacity.units_used,
        available_channels=tuple(c.name for c in state.index.channels.by_index if agent.open_channel_bits & c.bit),
        skills=agent.skills,
        queues=agent.queues,
        channel_max=agent.channel_max,
        paused=agent.paused,
        attributes=agent.attributes,
        reason=agent.reason,
        state_since_ms=agent.state_since_ms,
        idle_since_ms=agent.idle_since_ms,
        return_at_ms=agent.return_at_ms,
        next_state=agent.next_state,
        next_reason=agent.next_reason,
        offers=tuple(offer_view(state, offer) for offer in agent.offers.values()),
        assignments=tuple(assignment_view(state, work) for work in agent.assignments.values()),
        queue_ranks=agent.queue_ranks,
        contacts_today=None if state.day is None else agent.contacts_today,
        team=agent.team,
        labels=agent.labels,
    )


def queue_view(state: RoutingState, queue_id: str, now_ms: int | None = None) -> QueueView:
    """Return the figures of a queue at ``now_ms``, at the newest event if it is not given.

    The time counts for the oldest contact: while its clock stands still, ``oldest_queued_at_ms`` advances with the time.
    Agents are counted by agent group, so the cost grows with the number of free agents, not with the number of all agents.
    """
    tally = state.queue_counts(queue_id)
    lines = state.index.lines.by_queue.get(queue_id, [])
    now_ms = state.at_ms if now_ms is None else max(now_ms, state.at_ms)
    heads = [now_ms - waited_ms(state, first, now_ms) for line in lines if (first := line.earliest_contact()) is not None]
    index = state.index
    qualified = 0
    by_channel: dict[int, int] = {}
    for line in lines:
        qualified |= line.group_mask
        i = line.channel_index
        by_channel[i] = by_channel.get(i, 0) | line.group_mask & index.agents.open_group_bits[i]
    hours = state.hours.get(queue_id)
    return QueueView(
        queue_id=queue_id,
        is_open=hours is None or hours.is_open,
        changes_at_ms=None if hours is None else hours.changes_at_ms,
        closed_reason=None if hours is None or hours.is_open else hours.reason,
        waiting=tally[ContactState.QUEUED],
        offered=tally[ContactState.OFFERED],
        assigned=tally[ContactState.ASSIGNED],
        oldest_queued_at_ms=min(heads, default=None),
        agents_ready=sum(group.ready_count for group in index.qualification.groups_in(qualified)),
        agents_available=_count_available_agents(index, by_channel),
        callbacks=tally[ContactState.CALLBACK_SCHEDULED],
        suspended=tally[ContactState.SUSPENDED],
    )


def queue_detail_view(state: RoutingState, queue_id: str, now_ms: int | None = None) -> QueueView:
    """Return the view of a queue at ``now_ms``, with the expected wait of a new contact and the accuracy of earlier forecasts."""
    counts = state.wait_statistics.forecast_counts.get(queue_id)
    return structs.replace(
        queue_view(state, queue_id, now_ms),
        expected_wait=queue_expected_wait(state, queue_id),
        forecasts=None if counts is None else forecast_accuracy(copy(counts)),
    )


def _count_available_agents(index: RoutingIndex, by_channel: dict[int, int]) -> int:
    """Return how many agents can take an item of one of these channels; each agent counts once."""
    if len(by_channel) == 1:
        ((i, mask),) = by_channel.items()
        return sum(len(group.idle_orders[i]) for group in index.qualification.groups_in(mask))
    names = {
        agent.agent_id
        for i, mask in by_channel.items()
        for group in index.qualification.groups_in(mask)
        for agent in group.idle_orders[i]
    }
    return len(names)


def rules_view(state: RoutingState) -> RulesView:
    """Return the entry rules of the active policy, with how often each matched or failed under it."""
    counts = state.rule_counts
    entry = state.policy.entry if state.policy else ()
    return RulesView(
        as_of_seq=state.seq,
        policy_version=state.policy_version,
        since_ms=counts.since_ms,
        classified=counts.classified,
        default_queue_count=counts.by_default,
        rules=tuple(
            RuleView(
                name=rule.name,
                matched=counts.matched.get(rule.name, 0),
                failed=counts.failed.get(rule.name, 0),
                over_budget=counts.over_budget_count(rule.name) or UNSET,
            )
            for rule in entry
        ),
    )
