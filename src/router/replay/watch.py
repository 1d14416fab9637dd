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
from router.model import events as ev
from router.model.policy import Policy
from router.replay.book import DayBook
from router.replay.day_clock import DayClock
from router.stats.service_level import ServiceLevelCounts, service_level
from router.wire.frames import EventFrame, Welcome

RECENT_MAX: Final = 12


class FeedHash:
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


class Watch:
    """Subscriber to a supervisor connection; its statistics cover this run's contacts, in the time of the day."""

    def __init__(
        self, supervisor: SupervisorClient, *, book: DayBook, clock: DayClock, policy: Policy
    ) -> None:
        self.supervisor = supervisor
        # Events after the welcome are still in the client's buffer.
        self.first_seq = supervisor.welcome.seq + 1
        self.last_seq = supervisor.welcome.seq
        self.gaps = 0
        self.restarts = 0
        """Number of times that the state was loaded again because more events were missed than the router keeps."""
        self.hash = FeedHash()
        self.service = ServiceLevelCounts()
        self.ended = self.lost = 0
        self.recent: deque[tuple[int, str]] = deque(maxlen=RECENT_MAX)
        """Latest events, each as the time of the day and a sentence."""
        self.heard_at_s = asyncio.get_running_loop().time()
        """Time of the last event by the loop's clock, in seconds."""
        self.tell: Callable[[int, str], None] | None = None
        """Callback for each new entry of ``recent``."""
        self._news = asyncio.Event()
        self._book = book
        self._clock = clock
        self._policy = policy
        self._queues: dict[str, str] = {}
        self._answered: set[str] = set()

    @property
    def service_level(self) -> float | None:
        """Service level of the run so far, by the router's own formula; None without contacts."""
        return service_level(self.service)

    async def hear(self) -> None:
        """Process the feed until the task is cancelled."""
        async for frame in self.supervisor:
            if isinstance(frame, EventFrame):
                self._take(frame)
            elif isinstance(frame, Welcome):
                self.restarts += 1
                self.last_seq = frame.seq
                self._news.set()

    async def hear_up_to(self, seq: int) -> None:
        """Wait until the event with this sequence number has been received."""
        while self.last_seq < seq:
            self._news.clear()
            await self._news.wait()

    def _take(self, frame: EventFrame) -> None:
        self.gaps += frame.seq != self.last_seq + 1
        self.last_seq = frame.seq
        self.hash.add(frame.seq, frame.at_ms, frame.event)
        self.heard_at_s = asyncio.get_running_loop().time()
        self._news.set()
        self._count(frame.event)
        sentence = sentence_of(frame.event)
        if sentence and self._clock.has_started:
            day_ms = self._clock.of_event_ms(frame.at_ms)
            self.recent.append((day_ms, sentence))
            if self.tell is not None:
                self.tell(day_ms, sentence)

    def _count(self, event: ev.Event) -> None:
        if isinstance(event, ev.ContactQueued):
            if self._book.by_reference(event.reference) is not None:
                self._queues[event.contact_id] = event.queue_id
            return
        contact_id = getattr(event, "contact_id", "")
        queue_id = self._queues.get(contact_id)
        if queue_id is None:
            return
        level = (
            self._policy.queues[queue_id].service_level if queue_id in self._policy.queues else None
        )
        speed = self._clock.speed
        match event:
            case ev.OfferAccepted() | ev.ContactAssigned() if contact_id not in self._answered:
                self._answered.add(contact_id)
                threshold_ms = 1000 * (level.threshold_s if level else 20)
                self.service.answer(round(event.waited_ms * speed), threshold_ms)
            case ev.ContactAbandoned():
                threshold_s, short_s = (
                    (level.threshold_s, level.short_abandon_s) if level else (20, 5)
                )
                wait_ms = round(event.waited_ms * speed)
                self.service.abandon(wait_ms, threshold_s * 1000, short_s * 1000)
            case ev.ContactCancelled() | ev.ContactExpired():
                self.lost += 1
            case ev.ContactEnded():
                self.ended += 1
                self._answered.discard(contact_id)
        if isinstance(
            event, ev.ContactEnded | ev.ContactAbandoned | ev.ContactCancelled | ev.ContactExpired
        ):
            del self._queues[contact_id]


def sentence_of(event: ev.Event) -> str:
    """Return a sentence that describes the event, or an empty string if it is not worth displaying."""
    match event:
        case ev.ContactQueued():
            return f"{event.channel} {_short(event.contact_id)} enters {event.queue_id}"
        case ev.OfferMade():
            return f"{_short(event.contact_id)} is offered to {event.agent_id}"
        case ev.OfferAccepted():
            return f"{event.agent_id} accepts {_short(event.contact_id)}"
        case ev.OfferDeclined():
            return f"{event.agent_id} declines {_short(event.contact_id)}"
        case ev.OfferExpired():
            return f"{event.agent_id} does not answer; {_short(event.contact_id)} keeps its place"
        case ev.ContactAbandoned():
            return f"the customer of {_short(event.contact_id)} abandons {event.queue_id}"
        case ev.ContactOverflowed():
            return f"{_short(event.contact_id)} overflows from {event.from_queue_id} to {event.queue_id}"
        case ev.ContactEnded():
            return f"{event.agent_id} ends {_short(event.contact_id)}"
        case ev.AssignmentCompleted():
            return f"{event.agent_id} completes {_short(event.contact_id)}"
        case ev.AgentStateChanged():
            reason = f" ({event.reason})" if event.reason else ""
            return f"{event.agent_id} is {event.state.replace('_', ' ')}{reason}"
    return ""


def _short(contact_id: str) -> str:
    """Return an id abbreviated to its last characters, enough to distinguish it on the screen."""
    return contact_id if len(contact_id) <= 10 else f"…{contact_id[-6:]}"
