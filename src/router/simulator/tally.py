"""Accumulators of a run: sums over contacts, and time integrals of step functions."""

from array import array
from typing import Final

from router.stats.service_level import ServiceLevelCounts


class Tally:
    """Sums over the contacts of one stream and queue in one batch. Waits are in milliseconds."""

    __slots__ = (
        "answered_by_agent", "answered_by_group", "blocked", "called_back", "cancelled", "contacts", "declined", "expired",
        "handle_ms", "missed", "service", "wait_all_ms", "wait_answered_ms", "waited", "waits", "wrap_up_ms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.contacts = self.blocked = self.expired = self.cancelled = 0
        self.declined = self.missed = 0
        self.called_back = 0
        """Contacts served by a callback that an agent accepted before the customer was called."""
        self.service = ServiceLevelCounts()
        self.waited = 0
        """Admitted contacts that were not answered in the millisecond of their arrival."""
        self.wait_answered_ms = self.wait_all_ms = 0
        self.handle_ms = self.wrap_up_ms = 0
        self.waits = array("q")
        """Waits of the answered contacts."""
        self.answered_by_group: dict[str, int] = {}
        self.answered_by_agent: dict[str, int] = {}

    @property
    def answered(self) -> int:
        """The number of contacts that an agent accepted."""
        return self.service.answered

    @property
    def abandoned(self) -> int:
        """The number of customers who left before an answer."""
        return self.service.abandoned

    def add(self, other: "Tally") -> None:
        """Add the sums and waits of other counts."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ServiceLevelCounts.__struct_fields__:
            mine, theirs = getattr(self.service, name), getattr(other.service, name)
            setattr(self.service, name, mine + theirs)
        self.waits.extend(other.waits)
        for group, count in other.answered_by_group.items():
            self.answered_by_group[group] = self.answered_by_group.get(group, 0) + count
        for agent_id, count in other.answered_by_agent.items():
            self.answered_by_agent[agent_id] = self.answered_by_agent.get(agent_id, 0) + count


_SUMS: Final = tuple(
    n
    for n in Tally.__slots__
    if n not in ("waits", "answered_by_agent", "answered_by_group", "service")
)


class Area:
    """Time integral of a step function, by batch, in units of its value times milliseconds."""

    __slots__ = ("_at_ms", "_cuts", "by_batch", "height")

    def __init__(self, cuts: tuple[int, ...]) -> None:
        self._cuts = cuts
        self._at_ms = cuts[0]
        self.height = 0
        self.by_batch = [0] * (len(cuts) - 1)

    def step(self, at_ms: int, change: int) -> None:
        """Change the value of the function at a point in time."""
        if at_ms > self._at_ms:
            if self.height:
                self._fill(at_ms)
            self._at_ms = at_ms
        self.height += change

    def _fill(self, to_ms: int) -> None:
        cuts, start = self._cuts, self._at_ms
        width = cuts[1] - cuts[0]
        batch = (start - cuts[0]) // width
        while batch < len(self.by_batch) and start < to_ms:
            end = min(to_ms, cuts[batch + 1])
            self.by_batch[batch] += self.height * (end - start)
            start, batch = end, batch + 1
