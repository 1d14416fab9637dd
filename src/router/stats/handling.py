"""Handling: how long contacts keep agents at work.

**AHT** (average handle time) = (talk + hold + wrap-up) / handled, counted when the assignment is completed, for the queue that the
contact came from and for the agent who had it. **Handled**: completed assignments; a contact that two agents had after one another
is handled twice. Ringing is no handle time. The work of those who are in a conversation beside its owner (consulted, participants)
is handle time for the queue, but no contact more: for a queue only owners handle. For the agent himself it is work like any other.
**Transfer rate** = assignments given away by a transfer / handled.
Source: ICMI's glossary (average handle time).
"""

from msgspec import Struct

from router.stats.ratio import ratio


class Handling(Struct, gc=False):
    """Completed assignments and the time they took."""

    handled: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    transferred: int = 0
    """Assignments that ended because the owner passed the contact on: to a queue, to an agent, after a consult, in a conference."""

    def add(self, talk_ms: int, hold_ms: int, wrap_up_ms: int) -> None:
        """One assignment is completed."""
        self.handled += 1
        self.assist(talk_ms, hold_ms, wrap_up_ms)

    def assist(self, talk_ms: int, hold_ms: int, wrap_up_ms: int) -> None:
        """Work beside the owner is completed: time, but no contact more."""
        self.talk_ms += talk_ms
        self.hold_ms += hold_ms
        self.wrap_up_ms += wrap_up_ms


def handle_time_ms(handling: Handling) -> int:
    """The whole of it."""
    return handling.talk_ms + handling.hold_ms + handling.wrap_up_ms


def aht_ms(handling: Handling) -> float | None:
    """Average handle time."""
    return ratio(handle_time_ms(handling), handling.handled)


def transfer_rate(handling: Handling) -> float | None:
    """The share of handled contacts that were passed on."""
    return ratio(handling.transferred, handling.handled)
