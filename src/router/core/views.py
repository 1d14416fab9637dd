"""Views: read-only answers of the API, built from the records of the state.

Each function copies what a client may see of one record into a struct of ``router.model.views``. Lists use the short form; a
single contact or queue also gets its expected wait, which is too expensive to compute for every row of a list.
"""

from copy import copy

from msgspec import structs

from router.core.expected import expected_wait, queue_expected_wait
from router.core.index import Index
from router.core.lines import req_text
from router.core.members import members
from router.core.plans import kept_for, requirement_of
from router.core.state import Agent, Assignment, Callback, Contact, Offer, RoutingState
from router.model.forecasts import accuracy_of
from router.model.ids import AgentId
from router.model.states import AgentState, AssignmentRole, AssignmentState, ContactState
from router.model.views import (
    AgentView,
    AssignmentView,
    CallbackView,
    ContactView,
    Counts,
    OfferView,
    ParticipantView,
    QueueView,
    RulesView,
    RuleView,
    WorkspaceView,
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
        interrupted=state.index.is_interrupted(offer.agent_id, offer.channel),
        turn=offer.turn,
        others=offer.others,
        values=offer.values or {},
    )


def assignment_view(state: RoutingState, work: Assignment) -> AssignmentView:
    """Return the view of an assignment, with the attributes of its contact while the contact is kept."""
    contact = state.contacts.get(work.contact_id)
    interrupted = work.holds and state.index.is_interrupted(work.agent_id, work.channel)
    return AssignmentView(
        assignment_id=work.assignment_id,
        contact_id=work.contact_id,
        agent_id=work.agent_id,
        state=work.state,
        channel=work.channel,
        queue_id=work.queue_id,
        started_at_ms=work.started_at_ms,
        units=work.units if work.holds and not interrupted else 0,
        interrupted=interrupted,
        parked_until_ms=work.parked_until_ms,
        wrap_up_deadline_ms=work.wrap_up_deadline_ms,
        attributes={} if contact is None else contact.attributes,
        reference=None if contact is None else contact.reference,
        role=work.role,
        members=_members(state, work, contact),
        reason=work.reason,
        turn=work.turn,
        others=work.others,
        values=work.values or {},
    )


def _members(
    state: RoutingState, work: Assignment, contact: Contact | None
) -> dict[AgentId, AssignmentRole]:
    """Return the agents of the conversation that this assignment is part of, by role.

    Empty if the owner is alone, or if this agent has left the conversation.
    """
    if contact is None or not contact.parties:
        return {}
    is_in_it = work.assignment_id in (contact.assignment_id, *contact.parties)
    return members(state, contact) if is_in_it else {}


def _participants(state: RoutingState, contact: Contact) -> tuple[ParticipantView, ...]:
    works = [state.assignments[name] for name in contact.parties]
    return tuple(
        ParticipantView(
            agent_id=work.agent_id,
            assignment_id=work.assignment_id,
            role=work.role,
            since_ms=work.started_at_ms,
        )
        for work in works
    )


def contact_view(state: RoutingState, contact: Contact) -> ContactView:
    """Return the view of a live or ended contact, without its expected wait."""
    return ContactView(
        contact_id=contact.contact_id,
        state=contact.state,
        channel=contact.channel,
        queue_id=contact.queue_id,
        req=_req(state, contact),
        queued_at_ms=contact.queued_at_ms,
        changed_at_ms=contact.changed_at_ms,
        orig_seq=contact.orig_seq,
        priority_s=contact.priority_s,
        strict_class=contact.strict_class,
        skills=contact.skills,
        attributes=contact.attributes,
        reference=contact.reference,
        gateway_id=contact.gateway_id,
        position=position(state, contact),
        agent_id=contact.agent_id,
        assignment_id=contact.assignment_id,
        participants=_participants(state, contact),
        offers=tuple(offer_view(state, state.offers[o]) for o in contact.offers),
        offers_made=contact.offers_made,
        ttl_at_ms=contact.ttl_at_ms,
        wait_until_ms=contact.wait_until_ms,
        hops=contact.hops,
        held=contact.held,
        preferred_agent_id=contact.preferred_agent_id,
        parked=_is_parked(state, contact),
        plan=plan_name(state, contact),
        step=contact.step if plan_name(state, contact) else None,
        step_until_ms=contact.step_until_ms,
        preferred_agents=contact.preferred_agents,
        last_agent_id=contact.last_agent_id,
        reason=contact.reason,
        rule=contact.rule,
        failed_rules=contact.failed_rules,
        callback=None if contact.callback is None else callback_view(contact.callback),
    )


def _is_parked(state: RoutingState, contact: Contact) -> bool:
    if contact.state is not ContactState.ASSIGNED or contact.assignment_id is None:
        return False
    return state.assignments[contact.assignment_id].state is AssignmentState.PARKED


def callback_view(callback: Callback) -> CallbackView:
    """Return the callback part of a contact's view."""
    return CallbackView(
        mode=callback.mode,
        phase=callback.phase,
        attempts=callback.attempts,
        scheduled_at_ms=callback.scheduled_at_ms,
        due_at_ms=callback.due_at_ms,
        expires_at_ms=callback.expires_at_ms,
        outcome=callback.outcome,
    )


def one_contact_view(state: RoutingState, contact: Contact) -> ContactView:
    """Return the view of a single contact, with its expected wait while it is queued or offered."""
    view = contact_view(state, contact)
    if contact.state is ContactState.QUEUED or contact.state is ContactState.OFFERED:
        view = structs.replace(view, expected_wait=expected_wait(state, contact))
    return view


def _req(state: RoutingState, contact: Contact) -> str:
    if state.policy is None:
        return req_text(contact.queue_id, contact.channel, ())
    needs, also = requirement_of(state.policy, contact)
    only = kept_for(state.policy, contact)
    return req_text(contact.queue_id, contact.channel, needs, only, also)


def plan_name(state: RoutingState, contact: Contact) -> str | None:
    """Return the plan that the contact follows: its own, or that of its queue."""
    name = contact.plan or state.queue_policy(contact.queue_id).plan
    return name if state.policy is not None and name in state.policy.plans else None


def position(state: RoutingState, contact: Contact) -> int | None:
    """Return the contact's position among all that wait in its queue, 1 = next; none if it does not wait."""
    if not contact.key or contact.line is None:
        return None
    place = contact.line.place_of(contact)
    lines = state.index.queue_lines.get(contact.queue_id, ())
    ahead = sum(line.before(place) for line in lines)
    return ahead + 1


def agent_view(state: RoutingState, agent: Agent) -> AgentView:
    """Return the view of an agent, with the offers and assignments that use capacity."""
    return AgentView(
        agent_id=agent.agent_id,
        state=agent.state,
        presence=agent.presence,
        units=agent.hands.units,
        units_used=agent.hands.units_used,
        can_take=tuple(c.name for c in state.index.channel_list if agent.room & c.bit),
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
    )


def queue_view(state: RoutingState, queue_id: str) -> QueueView:
    """Return the current figures of a queue.

    Agents are counted by agent group, so the cost grows with the number of free agents, not with the number of all agents.
    """
    tally = state.tally(queue_id)
    lines = state.index.queue_lines.get(queue_id, [])
    heads = [first.queued_at_ms for line in lines if (first := line.first_come()) is not None]
    index = state.index
    qualified = 0
    by_channel: dict[int, int] = {}
    for line in lines:
        qualified |= line.profile_mask
        i = line.channel_index
        by_channel[i] = by_channel.get(i, 0) | line.profile_mask & index.open_profiles[i]
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
        agents_ready=sum(profile.ready for profile in index.profiles_in(qualified)),
        agents_available=_available(index, by_channel),
        callbacks=tally[ContactState.CALLBACK_SCHEDULED],
    )


def one_queue_view(state: RoutingState, queue_id: str) -> QueueView:
    """Return the view of a single queue, with the expected wait of a new contact and the accuracy of earlier forecasts."""
    counts = state.learned.counts.get(queue_id)
    return structs.replace(
        queue_view(state, queue_id),
        expected_wait=queue_expected_wait(state, queue_id),
        forecasts=None if counts is None else accuracy_of(copy(counts)),
    )


def _available(index: Index, by_channel: dict[int, int]) -> int:
    """Return how many agents can take an item of one of these channels; each agent counts once."""
    if len(by_channel) == 1:
        ((i, mask),) = by_channel.items()
        return sum(len(profile.idle[i]) for profile in index.profiles_in(mask))
    names = {
        agent.agent_id
        for i, mask in by_channel.items()
        for profile in index.profiles_in(mask)
        for agent in profile.idle[i]
    }
    return len(names)


def workspace_view(state: RoutingState) -> WorkspaceView:
    """Return the totals of the workspace and the view of every queue."""
    counts = state.counts
    by_state = dict.fromkeys((str(s) for s in AgentState), 0)
    for agent in state.agents.values():
        by_state[agent.state] += 1
    return WorkspaceView(
        as_of_seq=state.seq,
        at_ms=state.at_ms,
        policy_version=state.policy_version,
        counts=Counts(submitted=state.submitted, **{str(s): counts[s] for s in ContactState}),
        agents=len(state.agents),
        agents_by_state=by_state,
        offers_pending=len(state.offers),
        assignments_open=len(state.assignments),
        queues=tuple(queue_view(state, q) for q in (state.policy.queues if state.policy else ())),
    )


def rules_view(state: RoutingState) -> RulesView:
    """Return the entry rules of the policy in force, with how often each matched or failed under it."""
    counts = state.rule_counts
    entry = state.policy.entry if state.policy else ()
    return RulesView(
        as_of_seq=state.seq,
        policy_version=state.policy_version,
        since_ms=counts.since_ms,
        classified=counts.classified,
        by_default=counts.by_default,
        rules=tuple(
            RuleView(
                name=rule.name,
                matched=counts.matched.get(rule.name, 0),
                failed=counts.failed.get(rule.name, 0),
            )
            for rule in entry
        ),
    )
