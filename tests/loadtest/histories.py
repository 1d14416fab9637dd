"""Handwritten histories for the checks: submitted contacts, and the events that a router would have recorded."""

from router.loadtest.http_api import RecordedEvent
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import ContactState
from router.simulator.day import PlannedContact

POLICY = Policy(channels={"voice": ChannelPolicy(), "chat": ChannelPolicy(per_agent_max=2)}, queues={"calls": QueuePolicy()})


def a_tracker(*contact_ids: str, channel: str = "voice") -> ContactTracker:
    """Return a tracker of contacts that were submitted and accepted."""
    plans = [
        PlannedContact(contact_id=f"plan-{n}", at_ms=n, queue_id="calls", handle_ms=1000, channel=channel)
        for n, _ in enumerate(contact_ids)
    ]
    tracker = ContactTracker(plans)
    for contact, contact_id in zip(tracker.contacts, contact_ids, strict=True):
        tracker.record_submit(contact, at_s=0.0, lateness_s=0.0)
        tracker.record_contact_id(contact, contact_id)
    return tracker


def ended(tracker: ContactTracker, *contact_ids: str, state: ContactState = ContactState.ENDED) -> None:
    """Record the terminal state published to the gateway."""
    for contact_id in contact_ids:
        contact = tracker.by_contact_id(contact_id)
        assert contact is not None
        tracker.record_end(contact, state)


def recorded(*events: ev.Event, first_seq: int = 1) -> list[RecordedEvent]:
    """Return the events as a recorded history, one millisecond apart."""
    return [RecordedEvent(seq, 1000 + seq, event) for seq, event in enumerate(events, first_seq)]


def queued(tracker: ContactTracker, contact_id: str) -> ev.ContactQueued:
    """Return the event of the contact's admission."""
    contact = tracker.by_contact_id(contact_id)
    assert contact is not None
    return ev.ContactQueued(
        contact_id=contact_id,
        channel=contact.plan.channel,
        queue_id="calls",
        requirement="",
        policy_version=1,
        reference=contact.reference,
    )


def life(tracker: ContactTracker, contact_id: str, agent_id: str = "ada") -> list[ev.Event]:
    """Return all events from the submit to the completed assignment."""
    return [
        queued(tracker, contact_id),
        offer(contact_id, agent_id),
        accept(contact_id, agent_id),
        end(contact_id, agent_id),
        completed(contact_id, agent_id),
    ]


def offer(contact_id: str, agent_id: str = "ada") -> ev.OfferMade:
    """Return the contact's first offer."""
    return ev.OfferMade(
        offer_id=f"{contact_id}.1",
        contact_id=contact_id,
        agent_id=agent_id,
        channel="voice",
        queue_id="calls",
        units=100,
        deadline_ms=99_000,
        requirement="",
        effective_priority_s=0,
        policy_version=1,
        reason="longest_idle",
    )


def accept(contact_id: str, agent_id: str = "ada") -> ev.OfferAccepted:
    """Return the accept of the contact's first offer."""
    return ev.OfferAccepted(offer_id=f"{contact_id}.1", contact_id=contact_id, agent_id=agent_id, waited_ms=0)


def end(contact_id: str, agent_id: str = "ada") -> ev.ContactEnded:
    """Return the end of the conversation."""
    return ev.ContactEnded(contact_id=contact_id, assignment_id=f"{contact_id}.1", agent_id=agent_id, reason="ended")


def completed(contact_id: str, agent_id: str = "ada") -> ev.AssignmentCompleted:
    """Return the completion of the assignment."""
    return ev.AssignmentCompleted(assignment_id=f"{contact_id}.1", contact_id=contact_id, agent_id=agent_id, reason="finished")
