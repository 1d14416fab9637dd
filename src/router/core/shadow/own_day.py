"""Day counting of a shadow: the live day if the live policy counts in the same time zone, otherwise its own day.

The shadow's own day starts without an event: the time zone is evaluated here, as the engine does for the live day.
"""

from router.core.apply import HANDLERS
from router.core.apply.policies import count_from_here
from router.core.decide.days import counts_days
from router.core.state import RoutingState
from router.model.events import DayBegan
from router.model.policy import Policy
from router.rules.days import day_at


class OwnDay:
    """The current day of a shadow and its end."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self._state = state
        self._zone = policy.zone if counts_days(policy) else None
        self.is_live = False
        """Whether the live day is used."""

    def begin(self, live: Policy | None) -> None:
        """Take over the live state; its daily counts are kept only if they are of the same days."""
        self.follow(live)
        if self._zone is None:
            count_from_here(self._state, None, None)
        elif not self.is_live:
            self._begin_day(self._zone)

    def follow(self, live: Policy | None) -> None:
        """Choose between the live day and an own day under a new live policy."""
        zone = live.zone if live is not None and counts_days(live) else None
        self.is_live = zone is not None and zone == self._zone

    def ripen(self) -> None:
        """Start a new day if the shadow's own midnight has passed; called before anything of the next day is counted."""
        until_ms = self._state.day_until_ms
        if self._zone is None or self.is_live:
            return
        if until_ms is None or until_ms <= self._state.at_ms:
            self._begin_day(self._zone)

    def _begin_day(self, zone: str) -> None:
        day, until_ms = day_at(zone, self._state.at_ms)
        HANDLERS[DayBegan](self._state, DayBegan(day=day, until_ms=until_ms))
