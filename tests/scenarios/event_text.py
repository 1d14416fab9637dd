"""Event lines of scenarios: one line of text per event, and which events a scenario may leave out."""

from router.model import commands as c
from router.model import events as e
from router.model.states import AssignmentRole
from tests.scenarios.grammar import clock
from tests.support.builders import START_MS


def with_reason(sentence: str, reason: str | None) -> str:
    """Return the text with the reason in brackets, if there is one."""
    return f"{sentence} ({reason})" if reason else sentence


class EventDescriber:
    """Describes the events of one scenario; remembers in which queue each contact was queued, and when."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.start_ms = start_ms
        self._queued: dict[str, tuple[int, str]] = {}

    def time_of(self, at_ms: int) -> str:
        """Return an epoch time as the scenario writes it."""
        return clock((at_ms - self.start_ms) // 1000)

    def describe(self, event: e.Event, at_ms: int) -> str | None:
        """Return the event as one line; none for events that scenarios do not show."""
        match event:
            case e.OfferMade():
                consult = "consult on" if event.role is AssignmentRole.CONSULT else "offer"
                until = self.time_of(event.deadline_ms)
                return f"{consult} {event.contact_id} to {event.agent_id} until {until}"
            case e.OfferAccepted(role=AssignmentRole.CONSULT):
                return f"{event.agent_id} advises {event.from_agent_id} on {event.contact_id}"
            case e.OfferAccepted() | e.ContactAssigned():
                taken = f", taken from {event.from_agent_id}" if event.from_agent_id else ""
                return f"contact {event.contact_id} assigned to {event.agent_id}{taken}"
            case e.OfferDeclined():
                return f"offer {event.contact_id} to {event.agent_id} declined"
            case e.OfferExpired():
                return f"offer {event.contact_id} to {event.agent_id} expired"
            case e.OfferRescinded():
                text = f"offer {event.contact_id} to {event.agent_id} rescinded"
                return with_reason(text, event.reason)
            case e.PolicyPublished():
                return "policy published"
            case e.DayStarted():
                return f"{event.day} starts"
            case e.QueueOpened() | e.QueueClosed():
                return self._of_queue(event)
            case _:
                return self._of_contact(event, at_ms) or self._of_agent(event)

    def _of_queue(self, event: e.QueueOpened | e.QueueClosed) -> str:
        is_open = isinstance(event, e.QueueOpened)
        text = f"queue {event.queue_id} {'open' if is_open else 'closed'}"
        if event.until_ms is not None:
            text = f"{text} until {self.time_of(event.until_ms)}"
        return text if event.reason == "hours" else f"{text} ({event.reason})"

    def _of_contact(self, event: e.Event, at_ms: int) -> str | None:
        match event:
            case e.ContactQueued():
                self._queued[event.contact_id] = at_ms, event.queue_id
                return f"contact {event.contact_id} queued in {event.queue_id}"
            case e.ContactRequeued():
                queued_at_ms, queue_id = self._queued[event.contact_id]
                queued_at_ms = event.queued_at_ms or queued_at_ms
                self._queued[event.contact_id] = queued_at_ms, event.queue_id
                if event.reason == "overflow_impossible":
                    duration_s = (at_ms - queued_at_ms) // 1000
                    return f"contact {event.contact_id} stays in {queue_id}, waiting {duration_s}s"
                where = "" if queue_id == event.queue_id else f" in {event.queue_id}"
                kept = ""
                if event.preferred_agent_id is not None and event.preferred_until_ms is not None:
                    until = self.time_of(event.preferred_until_ms)
                    kept = f", reserved for {event.preferred_agent_id} until {until}"
                waiting = f"waiting {(at_ms - queued_at_ms) // 1000}s"
                return f"contact {event.contact_id} queued{where}, {waiting}{kept}"
            case e.ContactHandedOver():
                text = f"contact {event.contact_id} passes from {event.from_agent_id}"
                return with_reason(f"{text} to {event.agent_id}", event.reason)
            case e.ParticipantAdded() | e.ParticipantJoined():
                return f"{event.agent_id} takes part in {event.contact_id}"
            case e.ParticipantLeft():
                return with_reason(f"{event.agent_id} leaves {event.contact_id}", event.reason)
            case e.ContactOverflowed():
                queued_at_ms, _ = self._queued[event.contact_id]
                self._queued[event.contact_id] = queued_at_ms, event.queue_id
                way = f"from {event.from_queue_id} to {event.queue_id}"
                text = f"contact {event.contact_id} overflows {way}"
                return with_reason(text, event.reason) if event.reason == "closed" else text
            case e.ContactStepEntered():
                over_ms = event.step_until_ms
                ends = "" if over_ms is None else f" until {self.time_of(over_ms)}"
                return f"contact {event.contact_id} in step {event.step}{ends}"
            case e.ContactPreferredAgentExpired():
                return f"contact {event.contact_id} open to all agents"
            case (
                e.CallbackRequested()
                | e.CallbackScheduled()
                | e.CallbackDialRequested()
                | e.CallbackConnected()
                | e.CallbackFailed()
            ):
                return self._of_callback(event)
            case e.ContactUpdated():
                return f"contact {event.contact_id} changed"
            case e.ContactAbandoned():
                return f"contact {event.contact_id} abandoned after {event.waited_ms // 1000}s"
            case e.ContactCancelled():
                return f"contact {event.contact_id} cancelled after {event.waited_ms // 1000}s"
            case e.ContactExpired():
                waited = f"after {event.waited_ms // 1000}s"
                return with_reason(f"contact {event.contact_id} expired {waited}", event.reason)
            case e.ContactEnded():
                return with_reason(f"contact {event.contact_id} ended", event.reason)
            case _:
                return None

    def _of_callback(self, event: e.Event) -> str | None:
        match event:
            case e.CallbackRequested():
                return f"contact {event.contact_id} becomes a callback ({event.mode})"
            case e.CallbackScheduled():
                return f"contact {event.contact_id} is to be called at {self.time_of(event.due_at_ms)}"
            case e.CallbackDialRequested():
                agent_id = event.agent_id or event.for_agent_id
                until = self.time_of(event.deadline_ms)
                return f"customer of {event.contact_id} called for {agent_id} until {until}"
            case e.CallbackConnected():
                return with_reason(f"customer of {event.contact_id} reached", event.outcome)
            case e.CallbackFailed():
                again = event.due_at_ms
                then = "for the last time" if again is None else f"again at {self.time_of(again)}"
                return f"customer of {event.contact_id} not reached ({event.outcome}), {then}"
            case _:
                return None

    def _of_agent(self, event: e.Event) -> str | None:
        match event:
            case e.AssignmentHeld():
                return f"contact {event.contact_id} on hold"
            case e.AssignmentResumed():
                return f"contact {event.contact_id} off hold"
            case e.AssignmentParked():
                ends_ms = event.until_ms
                text = f"contact {event.contact_id} parked"
                return text if ends_ms is None else f"{text} until {self.time_of(ends_ms)}"
            case e.AssignmentUnparked():
                return f"contact {event.contact_id} no longer parked"
            case e.AgentChannelsSet():
                paused = ", ".join(event.paused) or "nothing"
                return f"agent {event.agent_id} pauses {paused}"
            case e.WrapUpStarted():
                until = self.time_of(event.deadline_ms)
                return f"{event.agent_id} wraps up {event.contact_id} until {until}"
            case e.WrapUpExtended():
                until = self.time_of(event.deadline_ms)
                return f"{event.agent_id} wraps up {event.contact_id} until {until}"
            case e.AssignmentCompleted():
                return with_reason(f"{event.agent_id} is done with {event.contact_id}", event.reason)
            case e.AgentStateChanged():
                text = with_reason(f"agent {event.agent_id} {event.state}", event.reason)
                back = event.return_at_ms
                return text if back is None else f"{text}, back at {self.time_of(back)}"
            case e.AgentNextStateSet() if event.state is not None:
                return with_reason(f"agent {event.agent_id} next {event.state}", event.reason)
            case e.AgentNextStateSet():
                return f"agent {event.agent_id} next state dropped"
            case e.DesktopLost():
                return f"desktop of {event.agent_id} lost until {self.time_of(event.grace_until_ms)}"
            case _:
                return None


def is_implied(event: e.Event, command: c.Command | None) -> bool:
    """Return whether the event says no more than the command's own line, so that a scenario may leave it out."""
    match command, event:
        case (
            (None, _)
            | (c.PublishPolicy(), e.PolicyPublished())
            | (c.PublishPolicy(), e.QueueOpened())
            | (c.SetQueueOpen(is_open=True), e.QueueOpened())
            | (c.SetQueueOpen(is_open=False), e.QueueClosed())
            | (c.AcceptOffer(), e.OfferAccepted())
            | (c.DeclineOffer(), e.OfferDeclined())
            | (c.AssignContact(), e.ContactAssigned())
            | (c.UpdateContact(), e.ContactUpdated())
            | (c.HoldAssignment(), e.AssignmentHeld())
            | (c.ResumeAssignment(), e.AssignmentResumed())
            | (c.ParkAssignment() | c.ParkContact(), e.AssignmentParked())
            | (c.UnparkAssignment() | c.UnparkContact(), e.AssignmentUnparked())
            | (c.SetAgentChannels(), e.AgentChannelsSet())
            | (c.LoseDesktop(), e.DesktopLost())
            | (c.RequestCallback(), e.CallbackRequested() | e.CallbackScheduled())
            | (c.ReportCallback(), e.CallbackConnected())
            | (c.JoinConsult() | c.AddParticipant(), e.ParticipantJoined() | e.ParticipantAdded())
            | (c.LeaveContact(), e.ParticipantLeft())
            | (c.CompleteConsult() | c.HandOverContact(), e.ContactHandedOver())
        ):
            return command is not None
        case c.EnqueueContact(queue_id=queue_id), e.ContactQueued():
            return event.queue_id == queue_id
        case c.SetAgentState(), e.AgentStateChanged():
            return event.agent_id == command.agent_id and event.state is command.state
        case c.SetAgentState(after_work=True), e.AgentNextStateSet():
            return True
        case _:
            return False
