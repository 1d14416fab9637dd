"""Monitor of a run: gaps in the feed, service level, and the sentences of the display."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.client import SupervisorClient
from router.loadtest.execution import DayClock
from router.loadtest.monitor import EventFeedHash, FeedMonitor, describe_event
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.states import AgentState
from router.protocol.frames import EventFrame, WelcomeFrame
from tests.loadtest.histories import POLICY, a_tracker, accept, end, offer, queued


class FakeSupervisor:
    """Supervisor client whose frames a test sets."""

    def __init__(self, frames: list[Any]) -> None:
        self.welcome = SimpleNamespace(seq=10)
        self._frames = frames

    async def __aiter__(self) -> AsyncIterator[Any]:
        for frame in self._frames:
            yield frame


def frames_of(*events: ev.Event, first_seq: int = 11) -> list[EventFrame]:
    return [EventFrame(seq=seq, at_ms=1_000 * seq, event=event) for seq, event in enumerate(events, first_seq)]


async def monitor_of(tracker: ContactTracker, frames: list[Any]) -> FeedMonitor:
    clock = DayClock(start_ms=0, speed=60)
    clock.start(router_now_ms=11_000)
    supervisor = cast(SupervisorClient, FakeSupervisor(frames))
    monitor = FeedMonitor(supervisor, tracker=tracker, clock=clock, policy=POLICY)
    await monitor.follow_events()
    return monitor


async def test_consecutive_events_are_no_gap_and_give_the_hash_of_the_history() -> None:
    tracker = a_tracker("c1")
    frames = frames_of(queued(tracker, "c1"), offer("c1"), accept("c1"), end("c1"))
    monitor = await monitor_of(tracker, frames)
    assert (monitor.first_seq, monitor.last_seq, monitor.gap_count) == (11, 14, 0)
    expected = EventFeedHash()
    for frame in frames:
        expected.add(frame.seq, frame.at_ms, frame.event)
    assert monitor.feed_hash.hexdigest() == expected.hexdigest()
    assert monitor.ended_count == 1


async def test_a_missing_event_is_a_gap() -> None:
    tracker = a_tracker("c1")
    frames = [*frames_of(queued(tracker, "c1")), *frames_of(offer("c1"), first_seq=13)]
    assert (await monitor_of(tracker, frames)).gap_count == 1


async def test_a_welcome_is_a_resync_from_its_number_on() -> None:
    tracker = a_tracker("c1")
    welcome = WelcomeFrame(
        role="supervisor", workspace="default", history_id="g", epoch=1, seq=50, at_ms=0, heartbeat_s=20, session_id="s"
    )
    monitor = await monitor_of(tracker, [welcome, *frames_of(offer("c1"), first_seq=51)])
    assert (monitor.resync_count, monitor.gap_count, monitor.last_seq) == (1, 0, 51)


@pytest.mark.parametrize(("waited_ms", "expected"), [(300, 1.0), (400, 0.0)])
async def test_the_service_level_counts_waits_in_the_time_of_the_day(waited_ms: int, expected: float) -> None:
    """The threshold is 20 s of the day, at 60 times real time a third of a second."""
    tracker = a_tracker("c1")
    accepted = ev.OfferAccepted(offer_id="c1.1", contact_id="c1", agent_id="ada", waited_ms=waited_ms)
    monitor = await monitor_of(tracker, frames_of(queued(tracker, "c1"), offer("c1"), accepted))
    assert monitor.service_level == expected


async def test_contacts_of_other_clients_do_not_count() -> None:
    tracker = a_tracker("c1")
    foreign = queued(a_tracker("c9"), "c9")
    monitor = await monitor_of(tracker, frames_of(foreign, offer("c9"), accept("c9"), end("c9")))
    assert monitor.service_level is None
    assert monitor.ended_count == 0


async def test_recent_events_have_their_time_of_the_day() -> None:
    tracker = a_tracker("c1")
    monitor = await monitor_of(tracker, frames_of(queued(tracker, "c1"), offer("c1")))
    assert list(monitor.recent) == [(0, "voice c1 enters calls"), (60_000, "c1 is offered to ada")]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (end("contact-0123456789"), "ada ends …456789"),
        (
            ev.AgentStateChanged(agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY, reason="rona"),
            "ada is not ready (rona)",
        ),
        (ev.AgentUpdated(agent_id="ada"), ""),
    ],
)
def test_an_event_is_described_in_a_sentence(event: ev.Event, sentence: str) -> None:
    assert describe_event(event) == sentence
