"""Monitor of a run on a supervisor connection: live statistics for the display, and verification of the event feed.

A supervisor receives every event of the workspace, so the sequence numbers must be consecutive. Every received event is added to
a hash; the recorded history is hashed in the same way afterwards, and the two hashes must be equal.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from router.client import SupervisorClient
from router.loadtest.execution import DayClock
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.policy import Policy
from router.protocol.frames import EventFrame, WelcomeFrame
from router.statistics.service_level import ServiceLevelCounts, service_level

RECENT_MAX: Final = 12


class EventFeedHash:
    """Hash over events with their numbers and times: feeds with equal hashes have the same events in the same order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, seq: int, at_ms: int, event: ev.Event) -> None:
        """Add one event to the hash."""
        self._hash.update(self._encode((seq, at_ms, event)))

    def hexdigest(self) -> str:
        """Return the hash as 32 hexadecimal digits."""
        return self._hash.hexdigest()


class FeedMonitor:
    """Subscriber to a supervisor connection; its statistics cover this run's contacts, in the time of the day."""

    def __init__(self, supervisor: SupervisorClient, *, tracker: ContactTracker, clock: DayClock, policy: Policy) -> None:
        self.supervisor = supervisor
        # Events after the welcome are still in the client's buffer.
        self.first_seq = supervisor.welcome.seq + 1
        self.last_seq = supervisor.welcome.seq
        self.gap_count = 0
        self.resync_count = 0
        """Number of times that the state was loaded again because more events were missed than the router keeps."""
        self.feed_hash = EventFeedHash()
        self.service_level_counts = ServiceLevelCounts()
        self.ended_count = self.lost_count = 0
        self.recent: deque[tuple[int, str]] = deque(maxlen=RECENT_MAX)
        """Latest events, each as the time of the day and a sentence."""
        self.last_event_at_s = asyncio.get_running_loop().time()
        """Time of the last event by the loop's clock, in seconds."""
        self.on_sentence: Callable[[int, str], None] | None = None
        """Callback for each new entry of ``recent``."""
        self._seq_changed = asyncio.Event()
        self._tracker = tracker
        self._clock = clock
        self._policy = policy
        self._queues: dict[str, str] = {}
        self._answered: set[str] = set()

    @property
    def service_level(self) -> float | None:
        """Service level of the run so far, by the router's own formula; None without contacts."""
        return service_level(self.service_level_counts)

    async def follow_events(self) -> None:
        """Process the feed until the task is cancelled."""
        async for frame in self.supervisor:
            if isinstance(frame, EventFrame):
                self._on_event(frame)
            elif isinstance(frame, WelcomeFrame):
                self.resync_count += 1
                self.last_seq = frame.seq
                self._seq_changed.set()

    async def wait_for_seq(self, seq: int) -> None:
        """Wait until the event with this sequence number has been received."""
        while self.last_seq < seq:
            self._seq_changed.clear()
            await self._seq_changed.wait()

    def _on_event(self, frame: EventFrame) -> None:
        self.gap_count += frame.seq != self.last_seq + 1
        self.last_seq = frame.seq
        self.feed_hash.add(frame.seq, frame.at_ms, frame.event)
        self.last_event_at_s = asyncio.get_running_loop().time()
        self._seq_changed.set()
        self._update_counts(frame.event)
        sentence = describe_event(frame.event)
        if sentence and self._clock.has_started:
            day_ms = self._clock.to_day_ms(frame.at_ms)
            self.recent.append((day_ms, sentence))
            if self.on_sentence is not None:
                self.on_sentence(day_ms, sentence)

    def _update_counts(self, event: ev.Event) -> None:
        if isinstance(event, ev.ContactQueued):
            if self._tracker.by_reference(event.reference) is not None:
                self._queues[event.contact_id] = event.queue_id
            return
        contact_id = getattr(event, "contact_id", "")
        queue_id = self._queues.get(contact_id)
        if queue_id is None:
            return
        level = self._policy.queues[queue_id].service_level if queue_id in self._policy.queues else None
        speed = self._clock.speed
        match event:
            case ev.OfferAccepted() | ev.ContactAssigned() if contact_id not in self._answered:
                self._answered.add(contact_id)
                threshold_ms = 1000 * (level.threshold_s if level else 20)
                self.service_level_counts.record_answer(round(event.waited_ms * speed), threshold_ms)
            case ev.ContactAbandoned():
                threshold_s, short_s = (level.threshold_s, level.short_abandon_s) if level else (20, 5)
                wait_ms = round(event.waited_ms * speed)
                self.service_level_counts.record_abandon(wait_ms, threshold_s * 1000, short_s * 1000)
            case ev.ContactCancelled() | ev.ContactExpired():
                self.lost_count += 1
            case ev.ContactEnded():
                self.ended_count += 1
                self._answered.discard(contact_id)
        if isinstance(event, ev.ContactEnded | ev.ContactAbandoned | ev.ContactCancelled | ev.ContactExpired):
            del self._queues[contact_id]


def describe_event(event: ev.Event) -> str:
    """Return a sentence that describes the event, or an empty string if it is not worth displaying."""
    match event:
        case ev.ContactQueued():
            return f"{event.channel} {_short_id(event.contact_id)} enters {event.queue_id}"
        case ev.OfferMade():
            return f"{_short_id(event.contact_id)} is offered to {event.agent_id}"
        case ev.OfferAccepted():
            return f"{event.agent_id} accepts {_short_id(event.contact_id)}"
        case ev.OfferDeclined():
            return f"{event.agent_id} declines {_short_id(event.contact_id)}"
        case ev.OfferExpired():
            return f"{event.agent_id} does not answer; {_short_id(event.contact_id)} keeps its place"
        case ev.ContactAbandoned():
            return f"the customer of {_short_id(event.contact_id)} abandons {event.queue_id}"
        case ev.ContactOverflowed():
            return f"{_short_id(event.contact_id)} overflows from {event.from_queue_id} to {event.queue_id}"
        case ev.ContactEnded():
            return f"{event.agent_id} ends {_short_id(event.contact_id)}"
        case ev.AssignmentCompleted():
            return f"{event.agent_id} completes {_short_id(event.contact_id)}"
        case ev.AgentStateChanged():
            reason = f" ({event.reason})" if event.reason else ""
            return f"{event.agent_id} is {event.state.replace('_', ' ')}{reason}"
    return ""


def _short_id(contact_id: str) -> str:
    """Return an id abbreviated to its last characters, enough to distinguish it on the screen."""
    return contact_id if len(contact_id) <= 10 else f"…{contact_id[-6:]}"
