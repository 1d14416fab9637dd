"""Counters of handle time.

**AHT** (average handle time) = (talk + hold + wrap-up) / handled, counted when an assignment is completed, for the queue of the
contact and for the agent. **Handled**: completed assignments; a contact that two agents had in turn is handled twice. Handle time
does not include ringing, nor **parked** time (waiting for the customer), which is counted separately. The work of agents beside the
owner (consulted agents, participants) is handle time of the queue, but only owners add to its handled count. For the agents
themselves it counts like any other assignment.
**Transfer rate** = assignments that ended in a transfer / handled.
Source: ICMI glossary (average handle time).
"""

from msgspec import Struct

from router.stats.ratio import ratio


class Handling(Struct, gc=False):
    """Completed assignments and their durations."""

    handled: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    transferred: int = 0
    """Assignments that ended in a transfer: to a queue, to an agent, after a consult or in a conference."""
    parked_ms: int = 0

    def add(self, talk_ms: int, hold_ms: int, wrap_up_ms: int, parked_ms: int = 0) -> None:
        """Count a completed assignment of an owner."""
        self.handled += 1
        self.assist(talk_ms, hold_ms, wrap_up_ms, parked_ms)

    def assist(self, talk_ms: int, hold_ms: int, wrap_up_ms: int, parked_ms: int = 0) -> None:
        """Add the time of a completed assignment beside the owner, without counting it as handled."""
        self.parked_ms += parked_ms
        self.talk_ms += talk_ms
        self.hold_ms += hold_ms
        self.wrap_up_ms += wrap_up_ms


def handle_time_ms(handling: Handling) -> int:
    """Return the total handle time: talk, hold and wrap-up."""
    return handling.talk_ms + handling.hold_ms + handling.wrap_up_ms


def aht_ms(handling: Handling) -> float | None:
    """Return the average handle time; none if nothing was handled."""
    return ratio(handle_time_ms(handling), handling.handled)


def transfer_rate(handling: Handling) -> float | None:
    """Return the share of handled contacts that were transferred; none if nothing was handled."""
    return ratio(handling.transferred, handling.handled)
