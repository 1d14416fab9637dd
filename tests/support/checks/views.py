"""Checks of the engine's views and of the answers of ``why`` against the reference model (I23, I41)."""

from router.model import events as e
from router.model.forecasts import ExpectedWait
from router.model.states import AssignmentRole, ContactState
from router.model.views import AssignmentView
from tests.support.checks.checker import EngineChecker, ability
from tests.support.reference.expected_wait import ahead, qualified, ready_for
from tests.support.reference.matcher import ReferenceModel
from tests.support.reference.records import RefContact


def compare_views(world: EngineChecker) -> None:
    """Check that the views show what the reference model knows (I41 and the answers of ``why``)."""
    engine, reference = world.engine, world.reference
    if reference.policy is None:
        return
    counts = engine.workspace().counts
    states = [contact.state for contact in reference.contacts.values()]
    assert counts.submitted == reference.submitted, "I41"
    assert counts.queued == states.count(ContactState.QUEUED), "I41"
    assert counts.offered == states.count(ContactState.OFFERED), "I41"
    assert counts.assigned == states.count(ContactState.ASSIGNED), "I41"
    assert counts.callback_scheduled == states.count(ContactState.CALLBACK_SCHEDULED), "I41"
    assert counts.suspended == states.count(ContactState.SUSPENDED), "I41"
    for state, count in reference.ended.items():
        assert getattr(counts, state.value) == count, "I41"
    for queue_id in reference.policy.queues:
        queue = engine.queue(queue_id)
        assert queue is not None and queue.waiting == world._queue_length(queue_id), "I41"
    for name, agent in reference.agents.items():
        view = engine.agent(name)
        assert view is not None
        assert (view.state, view.presence, view.next_state) == (agent.state, agent.presence, agent.next_state)
        capacity = (reference.units(agent), reference.units_used(agent))
        assert (view.units, view.units_used) == capacity, f"{view}: {reference.capacity_items(agent)}"
        assert view.queue_ranks == agent.queue_ranks
        assert (view.team, view.labels) == (agent.team, agent.labels)
        assert view.contacts_today == (None if reference.day is None else agent.contacts_today), "I41"
        assert {work.assignment_id for work in view.assignments} == {
            work.assignment_id for work in reference.open_assignments(agent)
        }
        for work in view.assignments:
            _compare_conversation(world, work)
        abilities = list(ability(reference, agent, engine.at_ms)[0])
        assert sorted(view.available_channels) == abilities, f"{view}, expected channels {abilities}"
    _compare_rules(world)
    _compare_waiting(world, engine.at_ms)
    _compare_callbacks(world)


def _compare_callbacks(world: EngineChecker) -> None:
    engine, reference = world.engine, world.reference
    called = [one.callback.for_agent_id for one in reference.contacts.values() if one.callback]
    named = [name for name in called if name is not None]
    assert len(named) == len(set(named)), "I22: two customers are dialled for one agent"
    for contact in reference.contacts.values():
        view = engine.contact(contact.contact_id)
        if view is None or contact.state.is_terminal:
            continue
        assert (view.callback is None) == (contact.callback is None)
        if view.callback is None or contact.callback is None:
            continue
        assert view.callback.due_at_ms == contact.callback.due_at_ms
        assert view.callback.attempts == contact.callback.attempts
        assert (view.callback.phase == "dialling") == contact.callback.dialling
        assert (view.callback.phase == "connected") == contact.callback.is_connected
        why = engine.why(contact.contact_id)
        if contact.state is ContactState.CALLBACK_SCHEDULED:
            assert why is not None and why.reason == f"callback_{view.callback.phase}"
            assert view.position is None and not why.eligible_now


def _compare_conversation(world: EngineChecker, work: AssignmentView) -> None:
    """Check that the contact's view and the agent's view of the conversation agree with the events."""
    reference = world.reference
    contact = reference.contacts[work.contact_id]
    roles = dict(contact.participants)
    if contact.owner_assignment_id is not None:
        roles[contact.owner_assignment_id] = AssignmentRole.OWNER
    expected = {reference.assignments[name].agent_id: role for name, role in roles.items()}
    if work.assignment_id in roles:
        assert work.role is roles[work.assignment_id]
        assert work.members == (expected if contact.participants else {})
    else:
        assert not work.members, "an agent that has left still lists members"
    view = world.engine.contact(work.contact_id)
    if view is not None and contact.owner_assignment_id is not None:
        assert view.assignment_id == contact.owner_assignment_id
        assert {one.assignment_id: one.role for one in view.participants} == contact.participants


def _compare_rules(world: EngineChecker) -> None:
    """Check that the rule counts are those of the events since the policy took effect."""
    queued: list[e.ContactQueued] = []
    for _, _, events in world.records:
        for event in events:
            if isinstance(event, e.PolicyPublished):
                queued = []
            elif isinstance(event, e.ContactQueued) and (event.rule or event.default_queue_used):
                queued.append(event)
    view = world.engine.rules()
    assert view.classified == len(queued)
    assert view.default_queue_count == sum(event.default_queue_used for event in queued)
    for rule in view.rules:
        assert rule.matched == sum(event.rule == rule.name for event in queued)
        assert rule.failed == sum(rule.name in event.failed_rules for event in queued)


def _compare_waiting(world: EngineChecker, at_ms: int) -> None:
    engine, reference = world.engine, world.reference
    waiting = [contact for contact in reference.contacts.values() if contact.state in (ContactState.QUEUED, ContactState.OFFERED)]
    in_line = reference.waiting_in_order()
    for contact in waiting:
        view, why = engine.contact(contact.contact_id), engine.why(contact.contact_id)
        assert view is not None and why is not None
        assert view.state is contact.state and view.queue_id == contact.queue_id
        assert (view.waiting_for_opening, view.overflow_count) == (contact.waiting_for_opening, contact.overflow_count)
        if contact.waiting_for_opening and contact.state is ContactState.QUEUED:
            assert why.reason == "queue_closed"
        if contact.state is ContactState.QUEUED:
            line = [other for other in in_line if other.queue_id == contact.queue_id]
            place = 1 + line.index(contact)
            assert view.position == place, f"I23: {view.position} in {line}"
            _compare_expected_wait(reference, contact, view.expected_wait)
            assert why.expected_wait == view.expected_wait
        for name, agent in reference.agents.items():
            one = engine.why_agent(contact.contact_id, name)
            assert one is not None
            could = contact in in_line and reference.is_eligible(agent, contact, at_ms)
            assert one.eligible_now == could, f"why says {one}, the reference model {could}"
            assert one.eligible_now == (not one.unmet_conditions)


def _compare_expected_wait(reference: ReferenceModel, contact: RefContact, found: ExpectedWait | None) -> None:
    assert found is not None
    if contact.waiting_for_opening:
        assert found.reason == "queue_closed" and found.p50_ms is None
    elif not qualified(reference, contact):
        assert found.reason == "no_agent_qualified"
    elif not ready_for(reference, contact):
        assert found.reason == "no_agent_ready"
    elif found.agents:
        assert found.reason is None and found.p50_ms is not None and found.p90_ms is not None
        half, most = found.interval_50, found.interval_90
        assert half is not None and most is not None
        assert 0 <= most.low_ms <= half.low_ms <= found.p50_ms <= half.high_ms <= most.high_ms
        assert half.high_ms <= found.p90_ms <= most.high_ms
        assert found.agents == len(ready_for(reference, contact))
        true = ahead(reference, contact)
        assert abs(found.ahead - true) < 0.01, f"{found.ahead} contacts ahead of {contact}, expected {true}"
