"""One step: a command's events as they are decided. Each takes effect in the state at once, so the next decision sees it."""

from router.core.apply import HANDLERS
from router.core.state import Contact, RoutingState
from router.model.events import Event
from router.model.ids import QueueId
from router.model.outcome import Done
from router.model.refusals import RefusalCode, Refused
from router.model.states import ContactState


class Step:
    """What ``decide`` writes with."""

    __slots__ = ("at_ms", "events", "state")

    def __init__(self, state: RoutingState, at_ms: int) -> None:
        self.state = state
        self.at_ms = at_ms
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """It has happened."""
        state = self.state
        # `apply`, written out: this is the hottest line of the house. When the last event was, the engine notes once a step.
        state.seq += 1
        HANDLERS[type(event)](state, event)
        self.events.append(event)

    def wait_until_ms(self, queue_id: QueueId) -> int | None:
        """When a contact that enters this queue now has waited there long enough; none: never, or it is closed: not yet."""
        if self.state.hours and self.state.is_closed(queue_id):
            return None
        return self.full_wait_ms(queue_id)

    def full_wait_ms(self, queue_id: QueueId) -> int | None:
        """The end of a wait in this queue that begins now; none: without limit."""
        wait_max_s = self.state.queue_policy(queue_id).wait_max_s
        return None if wait_max_s is None else self.at_ms + 1000 * wait_max_s

    def wait_limit_ms(self, contact: Contact, queue_id: QueueId) -> int | None:
        """``wait_until_ms`` for this contact: a callback waits as long as it takes, for nobody is on the line."""
        if contact.nobody_on_the_line:
            return None
        return self.wait_until_ms(queue_id)

    def done(self, subject: str, state: str) -> Done:
        """The answer to a command that was carried out; its event is the last one so far."""
        return Done(subject, state, self.state.seq)


class ImagedStep(Step):
    """A step while a snapshot is made in pieces: that hears of every event first."""

    __slots__ = ()

    def emit(self, event: Event) -> None:
        """It is about to happen, and then has happened."""
        imaging = self.state.imaging
        if imaging is not None:
            imaging.before(event)
        super().emit(event)


def repeated(subject: str, state: str, seq: int) -> Done:
    """The answer to a command that changes nothing because it is so already."""
    return Done(subject=subject, state=state, seq=seq, replayed=True)


def unknown_contact() -> Refused:
    """No such contact here."""
    return Refused(code=RefusalCode.UNKNOWN_CONTACT, field="contact_id")


def unknown_agent(field: str = "agent_id") -> Refused:
    """No such agent here."""
    return Refused(code=RefusalCode.UNKNOWN_AGENT, field=field)


def unknown_queue(field: str = "queue_id") -> Refused:
    """No such queue in the policy."""
    return Refused(code=RefusalCode.UNKNOWN_QUEUE, field=field)


def wrong_state(state: ContactState, *allowed: str, detail: str = "") -> Refused:
    """The contact's state does not allow it."""
    return Refused(code=RefusalCode.CONTACT_STATE, state=str(state), allowed=allowed, detail=detail)
