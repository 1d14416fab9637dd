"""The supervisor's view of a run: live figures for the board, and whether the feed of events has no gap.

A supervisor hears every event of the workspace, so the numbers must follow each other. What was heard goes into a hash as it
comes; the recorded history is hashed the same way afterwards, and the two must be equal.
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
    """A hash over numbered events. Two feeds with the same hash told the same, in the same order, at the same times."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.msgpack.Encoder().encode

    def add(self, seq: int, at_ms: int, event: ev.Event) -> None:
        """One more."""
        self._hash.update(self._encode((seq, at_ms, event)))

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()


class Watch:
    """Listens to a supervisor's connection. Figures are of this run's contacts, in the day's time."""

    def __init__(
        self, supervisor: SupervisorClient, *, book: DayBook, clock: DayClock, policy: Policy
    ) -> None:
        self.supervisor = supervisor
        # What has come since the welcome waits to be read.
        self.first_seq = supervisor.welcome.seq + 1
        self.last_seq = supervisor.welcome.seq
        self.gaps = 0
        self.restarts = 0
        """Times that the feed began anew, because more was missed than is kept for those who come back."""
        self.hash = FeedHash()
        self.service = ServiceLevelCounts()
        self.ended = self.lost = 0
        self.recent: deque[tuple[int, str]] = deque(maxlen=RECENT_MAX)
        """What happened last: time of the day and a sentence."""
        self.heard_at_s = asyncio.get_running_loop().time()
        """When something was heard last, on the loop's clock."""
        self.tell: Callable[[int, str], None] | None = None
        """Hears the same at once."""
        self._news = asyncio.Event()
        self._book = book
        self._clock = clock
        self._policy = policy
        self._queues: dict[str, str] = {}
        self._answered: set[str] = set()

    @property
    def service_level(self) -> float | None:
        """So far, by the house's formula."""
        return service_level(self.service)

    async def hear(self) -> None:
        """Follow the feed, for ever."""
        async for frame in self.supervisor:
            if isinstance(frame, EventFrame):
                self._take(frame)
            elif isinstance(frame, Welcome):
                self.restarts += 1
                self.last_seq = frame.seq
                self._news.set()

    async def hear_up_to(self, seq: int) -> None:
        """Wait until that event has been heard."""
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
    """What happened, for people; empty where it is of no interest to them."""
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
            return f"the customer of {_short(event.contact_id)} leaves {event.queue_id}"
        case ev.ContactOverflowed():
            return (
                f"{_short(event.contact_id)} goes on from {event.from_queue_id} to {event.queue_id}"
            )
        case ev.ContactEnded():
            return f"{event.agent_id} ends {_short(event.contact_id)}"
        case ev.AssignmentCompleted():
            return f"{event.agent_id} is done with {_short(event.contact_id)}"
        case ev.AgentStateChanged():
            reason = f" ({event.reason})" if event.reason else ""
            return f"{event.agent_id} is {event.state.replace('_', ' ')}{reason}"
    return ""


def _short(contact_id: str) -> str:
    """Enough of an id to tell it from its neighbours on a screen."""
    return contact_id if len(contact_id) <= 10 else f"…{contact_id[-6:]}"
