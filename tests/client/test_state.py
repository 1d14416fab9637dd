"""Local state of a client: events applied to agents, contacts and a workspace."""

from typing import Any

from router.client.state import CachedAgent, CachedCallback, CachedContact, ContactCache, WorkspaceCache
from router.model import events as ev
from router.model.policy import CallbackMode
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


def test_members_of_a_conference_are_kept_until_the_owner_is_alone() -> None:
    both = {"ada": OWNER, "bob": PARTICIPANT}
    joined = ev.ParticipantJoined(contact_id="c1", assignment_id="c1.2", agent_id="bob", members=both)
    left = ev.ParticipantLeft(
        contact_id="c1", assignment_id="c1.2", agent_id="bob", role=PARTICIPANT, reason="left", members={"ada": OWNER}
    )
    assert agent_after(offer(), accepted(), joined).assignments["c1.1"].members == both
    assert agent_after(offer(), accepted(), joined, left).assignments["c1.1"].members == {}


def test_an_assignment_in_wrap_up_is_not_a_member_of_the_conversation() -> None:
    both = {"ada": OWNER, "bob": PARTICIPANT}
    joined = ev.ParticipantJoined(contact_id="c1", assignment_id="c1.2", agent_id="bob", members=both)
    wrap_up = ev.WrapUpStarted(**work(), deadline_ms=900)
    assert agent_after(offer(), accepted(), wrap_up, joined).assignments["c1.1"].members == {}


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
