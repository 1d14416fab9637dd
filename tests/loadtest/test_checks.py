"""Every check passes for a correct history and fails for the error that it detects."""

from types import SimpleNamespace
from typing import cast

from msgspec import structs

from router.loadtest.checks import RunCheck, check_agents, check_contacts, check_feed, check_offers
from router.loadtest.http_api import RecordedEvent
from router.loadtest.monitor import EventFeedHash, FeedMonitor
from router.model.states import ContactState
from router.simulator.day import PlannedAgent
from tests.loadtest.histories import POLICY, a_tracker, accept, completed, end, ended, life, offer, queued, recorded


def failed(checks: list[RunCheck]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def test_a_correct_history_passes_all_checks() -> None:
    tracker = a_tracker("c1", "c2")
    ended(tracker, "c1", "c2")
    history = recorded(*life(tracker, "c1"), *life(tracker, "c2"))
    agents = (PlannedAgent(agent_id="ada"),)
    checks = [*check_contacts(tracker, history), check_agents(agents, POLICY, history), check_offers(history)]
    assert failed(checks) == []


def test_an_acknowledged_contact_that_is_not_recorded_is_detected() -> None:
    tracker = a_tracker("c1", "c2")
    ended(tracker, "c1", "c2")
    assert "every acknowledged contact was recorded once" in failed(list(check_contacts(tracker, recorded(*life(tracker, "c1")))))


def test_a_contact_recorded_twice_is_detected() -> None:
    tracker = a_tracker("c1")
    ended(tracker, "c1")
    history = recorded(queued(tracker, "c1"), *life(tracker, "c1"))
    assert "every acknowledged contact was recorded once" in failed(list(check_contacts(tracker, history)))


def test_two_ends_and_a_missing_end_are_detected() -> None:
    tracker = a_tracker("c1")
    ended(tracker, "c1")
    name = "every contact is in exactly one terminal state"
    twice = recorded(*life(tracker, "c1"), end("c1"))
    never = recorded(queued(tracker, "c1"), offer("c1"), accept("c1"))
    assert name in failed(list(check_contacts(tracker, twice)))
    assert name in failed(list(check_contacts(tracker, never)))


def test_a_different_terminal_state_at_the_gateway_is_detected() -> None:
    tracker = a_tracker("c1")
    ended(tracker, "c1", state=ContactState.ABANDONED)
    assert failed(list(check_contacts(tracker, recorded(*life(tracker, "c1"))))) == [
        "the gateway received the end that is recorded"
    ]


def test_two_calls_at_once_are_detected() -> None:
    tracker = a_tracker("c1", "c2")
    history = recorded(queued(tracker, "c1"), queued(tracker, "c2"), accept("c1"), accept("c2"), end("c1"), end("c2"))
    check = check_agents((), POLICY, history)
    assert not check.holds
    assert "voice 2" in check.detail
    assert check_agents((), POLICY, recorded(*life(tracker, "c1"), *life(tracker, "c2"))).holds


def test_simultaneous_chats_are_allowed_up_to_the_limit_of_channel_and_agent() -> None:
    tracker = a_tracker("c1", "c2", channel="chat")
    history = recorded(queued(tracker, "c1"), queued(tracker, "c2"), accept("c1"), accept("c2"))
    assert check_agents((), POLICY, history).holds
    strict = PlannedAgent(agent_id="ada", channel_max={"chat": 1})
    assert not check_agents((strict,), POLICY, history).holds


def test_an_offer_without_end_and_an_assignment_without_completion_are_detected() -> None:
    tracker = a_tracker("c1")
    assert not check_offers(recorded(queued(tracker, "c1"), offer("c1"))).holds
    assert not check_offers(recorded(queued(tracker, "c1"), offer("c1"), accept("c1"))).holds
    twice = recorded(*life(tracker, "c1"), completed("c1"))
    assert not check_offers(twice).holds


def a_monitor(history: list[RecordedEvent], **changes: int) -> FeedMonitor:
    """Return a monitor that heard all of a history."""
    heard = EventFeedHash()
    for one in history:
        heard.add(one.seq, one.at_ms, one.event)
    seen = {"first_seq": history[0].seq, "last_seq": history[-1].seq, "gap_count": 0, "resync_count": 0}
    return cast(FeedMonitor, SimpleNamespace(feed_hash=heard, **(seen | changes)))


def test_a_feed_that_equals_a_history_without_gap_passes() -> None:
    tracker = a_tracker("c1")
    history = recorded(*life(tracker, "c1"), first_seq=5)
    found = list(check_feed(a_monitor(history), history))
    assert (failed(found), len(found)) == ([], 3)
    # Events after the end of the run are in the history alone.
    longer = recorded(*life(tracker, "c1"), end("c1"), first_seq=5)
    assert failed(list(check_feed(a_monitor(history), longer))) == []


def test_gaps_and_decreases_of_a_history_and_gaps_of_a_feed_are_detected() -> None:
    tracker = a_tracker("c1")
    history = recorded(*life(tracker, "c1"))
    whole = "the recorded history has no gap and its times never decrease"
    equal = "the live feed equals the recorded history"
    monitor = a_monitor(history)
    assert failed(list(check_feed(monitor, [*history[:2], *history[3:]]))) == [whole, equal]
    assert failed(list(check_feed(monitor, history[:-1]))) == [whole, equal]
    back = [*history[:2], structs.replace(history[2], at_ms=history[1].at_ms - 1), *history[3:]]
    assert failed(list(check_feed(monitor, back))) == [whole, equal]
    same_time = [*history[:2], structs.replace(history[2], at_ms=history[1].at_ms), *history[3:]]
    assert failed(list(check_feed(a_monitor(same_time), same_time))) == []
    assert failed(list(check_feed(a_monitor(history, gap_count=1), history))) == ["the live feed has no gap"]
    # After the state was loaded again, the feed is not the whole history.
    assert failed(list(check_feed(a_monitor(history, resync_count=1), history[:]))) == []
    assert len(list(check_feed(a_monitor(history, resync_count=1), history))) == 2
