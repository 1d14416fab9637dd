"""Statistics of callbacks: their waits are neither answered nor abandoned, and each has an end that is counted."""

from typing import Any

from router.model.events import (
    CallbackConnected,
    CallbackDialRequested,
    CallbackFailed,
    CallbackRequested,
    CallbackScheduled,
    ContactChannelFailed,
    ContactChannelSwitched,
    ContactResumed,
    ContactSuspended,
)
from router.model.policy import CallbackMode, CallbackQueuePosition, SuspensionEnd
from router.statistics.counters import CallbackCounts, reach_rate
from router.statistics.state import QueueCounters
from router.statistics.workspace import WorkspaceStats
from tests.statistics.test_workspace import assert_flow_is_conserved, queue_of
from tests.support.event_history import SECOND, EventHistory, apply_all


class CallbackHistory(EventHistory):
    """Event history with callbacks."""

    def ask(self, contact_id: str = "c1", mode: CallbackMode = CallbackMode.AGENT_FIRST) -> None:
        self.channel_of[contact_id] = "chat"
        self.write(
            CallbackRequested(
                contact_id=contact_id,
                queue_id=self.queue_of[contact_id],
                channel="chat",
                requirement="",
                mode=mode,
                queue_position=CallbackQueuePosition.KEEP,
            )
        )

    def due(self, attempt: int = 1, agent_id: str | None = None) -> None:
        self.write(
            CallbackDialRequested(
                contact_id="c1",
                attempt=attempt,
                mode=CallbackMode.AGENT_FIRST,
                channel="chat",
                deadline_ms=0,
                agent_id=agent_id,
                for_agent_id=None if agent_id else "ada",
            )
        )

    def reached(self, agent_id: str | None = None, queue_id: str = "a") -> None:
        self.queue_of["c1"] = queue_id
        self.write(CallbackConnected(contact_id="c1", attempt=1, queue_id=queue_id, requirement="", agent_id=agent_id))

    def missed(self, agent_id: str | None = None, *, last: bool = False) -> None:
        self.write(
            CallbackFailed(
                contact_id="c1", attempt=1, outcome="busy", agent_id=agent_id, due_at_ms=None if last else self.now_ms + 60 * SECOND
            )
        )


def test_an_agent_first_wait_ends_as_called_back_and_the_talk_is_handle_time() -> None:
    day = CallbackHistory()
    day.agent()
    day.submit("c1")
    day.after(10).ask()
    assignment_id = day.after(300).answer("c1")
    day.due(agent_id="ada")
    day.after(10).reached(agent_id="ada")
    day.after(50).end(assignment_id)
    day.complete(assignment_id)
    queue = queue_of(day)
    assert (queue.contacts.service.answered, queue.contacts.service.abandoned) == (0, 0)
    assert queue.contacts.asa_ms is None
    assert queue.contacts.flow.called_back == 1
    assert queue.contacts.reach_rate == 1.0
    assert queue.contacts.handling.talk_ms == 60 * SECOND
    assert_flow_is_conserved(queue)


def test_a_failed_agent_first_attempt_starts_a_new_wait_until_the_callback_expires() -> None:
    day = CallbackHistory()
    day.agent()
    day.submit("c1")
    day.ask()
    assignment_id = day.answer("c1")
    day.due(agent_id="ada")
    day.after(30).missed(agent_id="ada")
    day.complete(assignment_id)
    waiting = queue_of(day)
    assert (waiting.callbacks, waiting.assigned, waiting.contacts.flow.entered) == (1, 0, 2)
    assert_flow_is_conserved(waiting)
    day.after(60).requeue("c1", "callback_due")
    assignment_id = day.answer("c1")
    day.due(2, agent_id="ada")
    day.missed(agent_id="ada", last=True)
    day.expire("c1")
    day.complete(assignment_id)
    queue = queue_of(day)
    assert queue.contacts.callbacks == CallbackCounts(requested=1, dialled=2, connected=0, failed=2, given_up=1)
    assert (queue.contacts.flow.called_back, queue.contacts.flow.expired) == (2, 1)
    assert_flow_is_conserved(queue)


def test_a_customer_first_wait_on_the_line_counts_like_any_other() -> None:
    day = CallbackHistory()
    day.agent()
    day.submit("c1")
    day.ask(mode=CallbackMode.CUSTOMER_FIRST)
    day.after(600).due()
    assert queue_of(day).callbacks == 1
    day.after(10).reached()
    assert (queue_of(day).waiting, queue_of(day).callbacks) == (1, 0)
    day.after(5).answer("c1")
    queue = queue_of(day)
    assert queue.contacts.asa_ms == 5 * SECOND
    assert queue.contacts.service_level == 1.0
    assert (queue.contacts.flow.called_back, queue.contacts.flow.entered) == (1, 2)
    assert_flow_is_conserved(queue)


def test_a_callback_of_a_removed_queue_returns_to_the_target_queue() -> None:
    day = CallbackHistory()
    day.submit("c1")
    day.ask(mode=CallbackMode.CUSTOMER_FIRST)
    day.due()
    day.reached(queue_id="b")
    assert (queue_of(day, "a").waiting, queue_of(day, "b").waiting) == (0, 1)
    assert_flow_is_conserved(queue_of(day, "a"))
    assert_flow_is_conserved(queue_of(day, "b"))


def test_a_callback_for_later_is_not_waiting() -> None:
    day = CallbackHistory()
    day.submit("c1")
    day.ask()
    day.write(CallbackScheduled(contact_id="c1", due_at_ms=day.now_ms + 60 * SECOND))
    queue = queue_of(day.after(60))
    assert (queue.waiting, queue.callbacks, queue.mean_waiting) == (0, 1, 0)
    whole = day.workspace_stats().counts()
    assert (whole.submitted, whole.callback_scheduled) == (1, 1)
    day.cancel("c1")
    assert_flow_is_conserved(queue_of(day))


def test_a_snapshot_older_than_callbacks_can_be_restored() -> None:
    assert QueueCounters(contacts_by_state=[1, 2, 3]).contacts_by_state == [1, 2, 3, 0, 0]
    day = CallbackHistory()
    day.submit("c1")
    stats = WorkspaceStats.restore(day.workspace_stats().snapshot())
    day.ask()
    apply_all(stats, day.events[-1:], first_seq=len(day.events))
    view = stats.queue_stats("a", day.now_ms)
    assert view is not None
    assert view.contacts.callbacks.requested == 1


def test_the_reach_rate_is_none_without_outcomes() -> None:
    assert reach_rate(CallbackCounts(requested=3, dialled=1)) is None
    assert reach_rate(CallbackCounts(connected=1, failed=3)) == 0.25


class ContinuedHistory(EventHistory):
    """A history of contacts that are suspended, resumed and switched."""

    def suspend(self, contact_id: str, **fields: Any) -> None:
        self.write(
            ContactSuspended(
                contact_id=contact_id,
                queue_id=self.queue_of[contact_id],
                resume_by_ms=0,
                at_expiry=SuspensionEnd.END,
                age_ms=0,
                **fields,
            )
        )

    def resume(self, contact_id: str, channel: str = "voice") -> None:
        self.write(
            ContactResumed(
                contact_id=contact_id, queue_id="a", requirement="", reason="resumed", queued_seq=1, channel=channel, reference=None
            )
        )


def test_the_time_in_suspension_is_no_part_of_the_wait() -> None:
    day = ContinuedHistory()
    day.agent()
    day.submit("c1")
    day.after(12).suspend("c1")
    queue = queue_of(day.after(86_400))
    assert (queue.waiting, queue.suspended, queue.contacts.service.abandoned) == (0, 1, 0)
    day.resume("c1")
    day.after(5)
    day.accept(day.offer("c1"))
    queue = queue_of(day)
    assert (queue.suspended, queue.contacts.asa_ms) == (0, 17_000)
    assert (queue.contacts.service.answered, queue.contacts.service.answered_within) == (1, 1)
    assert_flow_is_conserved(queue)


def test_a_suspended_contact_that_ends_has_waited_until_its_suspension() -> None:
    day = ContinuedHistory()
    day.submit("c1")
    day.after(12).suspend("c1")
    day.after(86_400).cancel("c1")
    queue = queue_of(day)
    assert (queue.suspended, queue.contacts.flow.cancelled) == (0, 1)
    assert_flow_is_conserved(queue)


def test_a_contact_that_an_agent_had_begins_a_new_wait_when_it_is_resumed() -> None:
    day = ContinuedHistory()
    day.agent()
    day.submit("c1")
    day.accept(offer := day.offer("c1"))
    day.suspend("c1", assignment_id=offer, agent_id="ada")
    day.after(86_400).resume("c1", channel="chat")
    queue = queue_of(day)
    assert (queue.contacts.flow.requeued, queue.waiting) == (1, 1)
    assert_flow_is_conserved(queue)
    assert queue.channels["chat"].flow.moved_in == 1


def test_switches_are_counted_for_the_channel_that_was_wanted() -> None:
    day = ContinuedHistory()
    day.submit("c1")
    day.write(ContactChannelSwitched(contact_id="c1", queue_id="a", from_channel="voice", channel="chat", requirement="", units=30))
    for reason in ("failed", "timeout", "cancelled", "replaced"):
        day.write(ContactChannelFailed(contact_id="c1", channel="voice", reason=reason))
    queue = queue_of(day)
    voice, chat = queue.channels["voice"].switches, queue.channels["chat"].switches
    assert (chat.switched, voice.failed, voice.timed_out, voice.cancelled) == (1, 1, 1, 2)
    assert_flow_is_conserved(queue)
