"""Local state of a client: events applied to agents, contacts and a workspace."""

from typing import Any

from router.client.contact_state import CachedCallback, CachedContact, ContactCache
from router.client.state import CachedAgent, WorkspaceCache
from router.model import events as ev
from router.model.policy import CallbackMode, CallbackQueuePosition, SuspensionEnd
from router.model.states import AgentState, AssignmentRole, AssignmentState, CallbackPhase, ContactState, Presence
from router.model.views import CallbackView

OWNER, PARTICIPANT = AssignmentRole.OWNER, AssignmentRole.PARTICIPANT


def offer(agent_id: str = "ada", **changes: Any) -> ev.OfferMade:
    defaults: dict[str, Any] = {
        "offer_id": "c1.1",
        "contact_id": "c1",
        "agent_id": agent_id,
        "channel": "voice",
        "queue_id": "support",
        "units": 100,
        "deadline_ms": 20_000,
        "requirement": "",
        "effective_priority_s": 0,
        "policy_version": 1,
        "reason": "longest_idle",
    }
    return ev.OfferMade(**(defaults | changes))


def accepted(agent_id: str = "ada", **changes: Any) -> ev.OfferAccepted:
    return ev.OfferAccepted(offer_id="c1.1", contact_id="c1", agent_id=agent_id, waited_ms=5, **changes)


def work(agent_id: str = "ada") -> dict[str, Any]:
    return {"assignment_id": "c1.1", "contact_id": "c1", "agent_id": agent_id}


def agent_after(*events: ev.Event) -> CachedAgent:
    agent = CachedAgent(agent_id="ada")
    for at_ms, event in enumerate(events, 1):
        agent.apply(event, at_ms)
    return agent


def queued(contact_id: str = "c1") -> ev.ContactQueued:
    return ev.ContactQueued(contact_id=contact_id, channel="voice", queue_id="support", requirement="", policy_version=1)


def contacts_after(*events: ev.Event) -> ContactCache:
    cache = ContactCache()
    for at_ms, event in enumerate(events, 1):
        cache.apply(event, at_ms)
    return cache


# --- agent ------------------------------------------------------------------------------------------
def test_an_accepted_offer_becomes_an_assignment_of_the_same_id() -> None:
    agent = agent_after(offer(), accepted())
    assert agent.offers == {}
    assignment = agent.assignments["c1.1"]
    assert (assignment.contact_id, assignment.state) == ("c1", AssignmentState.ACTIVE)
    assert assignment.started_at_ms == 2


def test_an_offer_of_another_agent_is_not_kept() -> None:
    assert agent_after(offer("bob"), accepted("bob")) == CachedAgent(agent_id="ada")


def test_a_declined_expired_or_rescinded_offer_is_removed() -> None:
    parts: dict[str, Any] = {"offer_id": "c1.1", "contact_id": "c1", "agent_id": "ada"}
    for end in (ev.OfferDeclined(**parts, reason="declined"), ev.OfferExpired(**parts), ev.OfferRescinded(**parts, reason="taken")):
        assert agent_after(offer(), end).offers == {}


def test_an_assignment_is_held_wrapped_up_and_completed() -> None:
    events: list[ev.Event] = [offer(), accepted(), ev.AssignmentHeld(**work())]
    assert agent_after(*events).assignments["c1.1"].state is AssignmentState.ON_HOLD
    events += [ev.AssignmentResumed(**work()), ev.WrapUpStarted(**work(), deadline_ms=900)]
    assignment = agent_after(*events).assignments["c1.1"]
    assert (assignment.state, assignment.wrap_up_deadline_ms) == (AssignmentState.WRAP_UP, 900)
    events.append(ev.AssignmentCompleted(**work(), reason="finished"))
    assert agent_after(*events).assignments == {}


def test_a_connected_desktop_and_a_state_change_are_applied() -> None:
    changed = ev.AgentStateChanged(agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY, reason="lunch")
    agent = agent_after(ev.DesktopConnected(agent_id="ada", session_id="s"), changed)
    assert (agent.state, agent.reason, agent.state_since_ms) == (AgentState.NOT_READY, "lunch", 2)
    assert agent.presence is Presence.ATTACHED


def test_an_agent_who_was_removed_and_registered_again_starts_afresh() -> None:
    """A desktop that was away meanwhile resumes over both events."""
    agent = agent_after(
        ev.AgentUpdated(agent_id="ada", skills={"english": 5}),
        ev.AgentStateChanged(agent_id="ada", from_state=AgentState.OFFLINE, state=AgentState.READY, reason=None),
        ev.AgentChannelsSet(agent_id="ada", paused=("chat",)),
        ev.AgentRemoved(agent_id="bob"),
    )
    assert (agent.state, agent.paused) == (AgentState.READY, ("chat",))
    agent.apply(ev.AgentRemoved(agent_id="ada"), 50)
    agent.apply(ev.AgentUpdated(agent_id="ada"), 60)
    agent.apply(ev.AgentUpdated(agent_id="ada", skills={"german": 1}), 70)
    assert agent == CachedAgent(agent_id="ada", state_since_ms=60, skills={"german": 1})


def test_members_of_a_conference_are_kept_until_the_owner_is_alone() -> None:
    both = {"ada": OWNER, "bob": PARTICIPANT}
    joined = ev.ParticipantJoined(contact_id="c1", assignment_id="c1.2", agent_id="bob", members=both)
    left = ev.ParticipantLeft(
        contact_id="c1", assignment_id="c1.2", agent_id="bob", role=PARTICIPANT, reason="left", members={"ada": OWNER}
    )
    assert agent_after(offer(), accepted(), joined).assignments["c1.1"].members == both
    assert agent_after(offer(), accepted(), joined, left).assignments["c1.1"].members == {}


def test_an_offer_or_assignment_that_is_taken_tells_the_members_to_the_others() -> None:
    both = {"ada": OWNER, "bob": PARTICIPANT}
    joins = accepted("bob", members=both)
    assert agent_after(offer(), accepted(), joins).assignments["c1.1"].members == both
    assigned = ev.ContactAssigned(
        contact_id="c1",
        assignment_id="c1.2",
        agent_id="bob",
        channel="voice",
        queue_id="support",
        units=100,
        waited_ms=0,
        members=both,
    )
    assert agent_after(offer(), accepted(), assigned).assignments["c1.1"].members == both


def test_an_assignment_in_wrap_up_is_not_a_member_of_the_conversation() -> None:
    both = {"ada": OWNER, "bob": PARTICIPANT}
    joined = ev.ParticipantJoined(contact_id="c1", assignment_id="c1.2", agent_id="bob", members=both)
    wrap_up = ev.WrapUpStarted(**work(), deadline_ms=900)
    assert agent_after(offer(), accepted(), wrap_up, joined).assignments["c1.1"].members == {}


def test_the_owner_sees_what_is_pending_until_it_is_answered() -> None:
    asked = offer("bob", offer_id="c1.2", from_agent_id="ada", reason="transfer", deadline_ms=900, callback_phase=None)
    pending = agent_after(offer(), accepted(), asked).assignments["c1.1"].pending_offer
    assert pending is not None
    assert (pending.offer_id, pending.agent_id, pending.kind, pending.made_at_ms, pending.deadline_ms) == (
        *("c1.2", "bob", "transfer"),
        *(3, 900),
    )
    parts: dict[str, Any] = {"offer_id": "c1.2", "contact_id": "c1", "agent_id": "bob", "from_agent_id": "ada"}
    for end in (ev.OfferDeclined(**parts, reason="no"), ev.OfferExpired(**parts), ev.OfferRescinded(**parts, reason="moved")):
        assert agent_after(offer(), accepted(), asked, end).assignments["c1.1"].pending_offer is None


def test_what_is_allowed_follows_the_state() -> None:
    events: list[ev.Event] = [offer(), accepted()]
    work_now = agent_after(*events).assignments["c1.1"]
    assert work_now.allowed == ("hold", "park", "suspend", "switch_channel", "end", "transfer", "consult", "complete")
    asked = offer("bob", offer_id="c1.2", from_agent_id="ada", reason="consult", role=AssignmentRole.CONSULT)
    assert agent_after(*events, asked).assignments["c1.1"].allowed == (
        "hold",
        "suspend",
        "end",
        "transfer_to_queue",
        "consult_cancel",
        "complete",
    )
    parked = ev.AssignmentParked(**work(), until_ms=99)
    assert "unpark" in agent_after(*events, parked).assignments["c1.1"].allowed
    wrap_up = ev.WrapUpStarted(**work(), deadline_ms=900)
    assert agent_after(*events, wrap_up).assignments["c1.1"].allowed == ("extend_wrap_up", "complete")


def test_a_contact_that_changes_is_changed_in_offers_and_conversations_but_not_in_wrap_up() -> None:
    changed = ev.ContactUpdated(contact_id="c1", requirement="", attributes={"tier": "gold"}, offered_to=("ada",))
    assert agent_after(offer(), changed).offers["c1.1"].attributes == {"tier": "gold"}
    assert agent_after(offer(), accepted(), changed).assignments["c1.1"].attributes == {"tier": "gold"}
    wrap_up = ev.WrapUpStarted(**work(), deadline_ms=900)
    assert agent_after(offer(), accepted(), wrap_up, changed).assignments["c1.1"].attributes == {}


def test_the_phase_of_a_callback_is_kept() -> None:
    made = offer(callback_phase=CallbackPhase.WAITING)
    dial = ev.CallbackDialRequested(
        contact_id="c1", attempt=1, mode=CallbackMode.AGENT_FIRST, channel="voice", deadline_ms=9, agent_id="ada"
    )
    connected = ev.CallbackConnected(contact_id="c1", attempt=1, queue_id="support", requirement="", agent_id="ada")
    assert agent_after(made).offers["c1.1"].callback_phase is CallbackPhase.WAITING
    steps: tuple[tuple[ev.Event, ...], ...] = ((), (dial,), (dial, connected))
    phases = [agent_after(made, accepted(), *events).assignments["c1.1"].callback_phase for events in steps]
    assert phases == [CallbackPhase.WAITING, CallbackPhase.DIALLING, CallbackPhase.CONNECTED]


def test_a_hold_of_a_consult_is_told_from_one_of_the_agent() -> None:
    for reason, expected in (("consult", True), (None, False)):
        held = agent_after(offer(), accepted(), ev.AssignmentHeld(**work(), reason=reason)).assignments["c1.1"]
        assert (held.state, held.held_for_consult) == (AssignmentState.ON_HOLD, expected)
    resumed = agent_after(
        offer(), accepted(), ev.AssignmentHeld(**work(), reason="consult"), ev.AssignmentResumed(**work())
    ).assignments["c1.1"]
    assert not resumed.held_for_consult


# --- contacts of a gateway --------------------------------------------------------------------------
def test_a_contact_follows_its_offer_and_its_owner() -> None:
    assert contacts_after(queued(), offer()).by_id["c1"].state is ContactState.OFFERED
    contact = contacts_after(queued(), offer(), accepted()).by_id["c1"]
    assert (contact.state, contact.agent_id) == (ContactState.ASSIGNED, "ada")


def test_a_consult_does_not_change_the_owner() -> None:
    consult = accepted("bob", role=AssignmentRole.CONSULT, members={"ada": OWNER})
    contact = contacts_after(queued(), offer(), accepted(), consult).by_id["c1"]
    assert contact.agent_id == "ada"


def test_participants_other_than_the_owner_are_listed() -> None:
    joined = ev.ParticipantJoined(contact_id="c1", assignment_id="c1.2", agent_id="bob", members={"ada": OWNER, "bob": PARTICIPANT})
    contact: CachedContact = contacts_after(queued(), offer(), accepted(), joined).by_id["c1"]
    assert contact.other_participants == {"bob": PARTICIPANT}


def test_a_callback_follows_its_events() -> None:
    asked = ev.CallbackRequested(
        contact_id="c1",
        queue_id="support",
        channel="out",
        requirement="",
        mode=CallbackMode.CUSTOMER_FIRST,
        queue_position=CallbackQueuePosition.KEEP,
    )
    scheduled = ev.CallbackScheduled(contact_id="c1", due_at_ms=50)
    due = ev.ContactRequeued(contact_id="c1", queue_id="support", requirement="", reason="callback_due", queued_seq=1)
    dial = ev.CallbackDialRequested(
        contact_id="c1", attempt=1, mode=CallbackMode.CUSTOMER_FIRST, channel="out", deadline_ms=90, for_agent_id="ada"
    )
    claimed = ev.CallbackClaimed(contact_id="c1", attempt=1, claimed_by="pod-1", until_ms=80)
    failed = ev.CallbackFailed(contact_id="c1", attempt=1, outcome="busy", due_at_ms=120)
    connected = ev.CallbackConnected(contact_id="c1", attempt=1, queue_id="support", requirement="")
    steps: list[ev.Event] = [queued(), asked]
    seen: list[Any] = []
    for event in (scheduled, due, dial, claimed, failed):
        steps.append(event)
        contact = contacts_after(*steps).by_id["c1"]
        assert contact.callback is not None
        one = contact.callback
        seen.append((contact.state, one.phase, one.due_at_ms, one.attempts, one.claimed_by, one.outcome))
    later = ContactState.CALLBACK_SCHEDULED
    assert seen == [
        (later, CallbackPhase.SCHEDULED, 50, 0, None, None),
        (ContactState.QUEUED, CallbackPhase.WAITING, None, 0, None, None),
        (later, CallbackPhase.DIALLING, 90, 1, None, None),
        (later, CallbackPhase.DIALLING, 90, 1, "pod-1", None),
        (later, CallbackPhase.RETRY, 120, 1, None, "busy"),
    ]
    contact = contacts_after(queued(), asked, dial, claimed, connected).by_id["c1"]
    assert contact.callback is not None
    assert (contact.state, contact.callback.phase) == (ContactState.QUEUED, CallbackPhase.CONNECTED)
    # A supervisor assigns it while it waits for its time: the wait is over.
    given = ev.ContactAssigned(contact_id="c1", assignment_id="c1.1", agent_id="ada", units=1, waited_ms=1)
    contact = contacts_after(queued(), asked, scheduled, given).by_id["c1"]
    assert contact.callback is not None
    assert (contact.assignment_id, contact.callback.phase, contact.callback.due_at_ms) == ("c1.1", CallbackPhase.WAITING, None)


def test_a_suspended_contact_has_no_owner_and_may_return_on_another_channel() -> None:
    suspended = ev.ContactSuspended(
        contact_id="c1",
        queue_id="support",
        resume_by_ms=900,
        at_expiry=SuspensionEnd.END,
        age_ms=1,
        assignment_id="c1.1",
        agent_id="ada",
    )
    contact = contacts_after(queued(), offer(), accepted(), suspended).by_id["c1"]
    assert (contact.state, contact.agent_id, contact.assignment_id) == (ContactState.SUSPENDED, None, None)
    resumed = ev.ContactResumed(
        contact_id="c1", queue_id="sales", requirement="", reason="resumed", queued_seq=1, channel="chat", reference="call-9"
    )
    contact = contacts_after(queued(), offer(), accepted(), suspended, resumed).by_id["c1"]
    assert (contact.state, contact.queue_id, contact.channel, contact.reference) == (ContactState.QUEUED, "sales", "chat", "call-9")


def test_a_contact_that_has_ended_is_removed() -> None:
    ended = ev.ContactEnded(**work(), reason="ended")
    cache = contacts_after(queued(), queued("c2"), offer(), accepted(), ended)
    assert list(cache.by_id) == ["c2"]


def test_events_of_unknown_contacts_are_ignored() -> None:
    assert contacts_after(accepted(), ev.ContactEnded(**work(), reason="ended")).by_id == {}


# --- workspace of a supervisor ----------------------------------------------------------------------
def test_agents_of_a_workspace_are_created_updated_and_removed() -> None:
    workspace = WorkspaceCache()
    workspace.apply(ev.AgentUpdated(agent_id="ada", skills={"english": 5}), 1)
    workspace.apply(offer(), 2)
    workspace.apply(offer("bob"), 3)
    assert list(workspace.agents) == ["ada"]
    assert workspace.agents["ada"].skills == {"english": 5}
    assert list(workspace.agents["ada"].offers) == ["c1.1"]
    workspace.apply(ev.AgentRemoved(agent_id="ada"), 4)
    assert workspace.agents == {}


def test_a_requeued_contact_has_no_owner() -> None:
    requeued = ev.ContactRequeued(contact_id="c1", queue_id="sales", requirement="", reason="supervisor", queued_seq=3)
    cache = contacts_after(queued(), offer(), accepted(), requeued)
    contact = cache.by_id["c1"]
    assert (contact.state, contact.queue_id, contact.agent_id) == (ContactState.QUEUED, "sales", None)


def test_a_callback_is_taken_over_from_a_view_by_name() -> None:
    view = CallbackView(
        mode=CallbackMode.AGENT_FIRST,
        phase=CallbackPhase.SCHEDULED,
        attempts=2,
        scheduled_at_ms=1_000,
        due_at_ms=2_000,
        expires_at_ms=3_000,
        outcome="busy",
    )
    callback = CachedCallback.from_view(view)
    assert (callback.mode, callback.attempts, callback.due_at_ms, callback.outcome) == (CallbackMode.AGENT_FIRST, 2, 2_000, "busy")
