"""Small records for tests, all different, that use every width of the envelope fields."""

from router.journal.port import Snapshot
from router.journal.records import Record
from router.model.events import AgentUpdated, ContactQueued, Event, PolicyPublished
from router.model.policy import ChannelPolicy, Policy, QueuePolicy


def a_contact_queued(number: int) -> ContactQueued:
    """Return an event with text, numbers and bytes."""
    return ContactQueued(
        contact_id=f"c{number}",
        channel="voice",
        queue_id="support",
        requirement="voice|support|english:5",
        policy_version=1,
        skills={"english": 5},
        attributes={"vip": number % 2 == 0, "tier": number, "city": "Örebro"},
        dedupe_key=number.to_bytes(16),
    )


def a_policy_published() -> PolicyPublished:
    """Return the largest event type, which contains floats."""
    policy = Policy(channels={"voice": ChannelPolicy()}, queues={"support": QueuePolicy()})
    return PolicyPublished(version=1, policy=policy)


def a_record(first_seq: int, *, events: int = 1, epoch: int = 1, actor: str = "gateway:web", at_ms: int | None = None) -> Record:
    """Return a record whose contact ids are its sequence numbers."""
    numbered: list[Event] = [a_contact_queued(first_seq + n) for n in range(events)]
    return Record(
        epoch=epoch,
        first_seq=first_seq,
        at_ms=1_700_000_000_000 + first_seq if at_ms is None else at_ms,
        actor=actor,
        cause="contact.enqueue",
        events=tuple(numbered),
    )


def records(count: int, *, first_seq: int = 1, epoch: int = 1) -> list[Record]:
    """Return a history whose records have one to three events."""
    made = []
    for number in range(count):
        made.append(a_record(first_seq, events=1 + number % 3, epoch=epoch))
        first_seq = made[-1].last_seq + 1
    return made


def an_agent_updated(agent_id: str) -> AgentUpdated:
    """Return an event of another type."""
    return AgentUpdated(agent_id=agent_id, skills={"english": 3}, queues=("support",))


def a_snapshot(seq: int, *, core: bytes = b"core", meters: bytes = b"meters") -> Snapshot:
    """Return a snapshot after the event ``seq``."""
    return Snapshot(seq=seq, at_ms=1_700_000_000_000 + seq, engine_state=core, stats_state=meters)
