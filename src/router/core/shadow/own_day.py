"""The day by which a shadow counts: reality's where the live policy counts in the same zone, its own otherwise.

Its own begins without an event: what the zone says is asked here, as ``decide`` asks it for the live one.
"""

from router.core.apply import HANDLERS
from router.core.apply.policies import count_from_here
from router.core.decide.days import counts_days
from router.core.state import RoutingState
from router.model.events import DayBegan
from router.model.policy import Policy
from router.rules.days import day_at


class OwnDay:
    """Whose day it is, and when the next one begins."""

    def __init__(self, state: RoutingState, policy: Policy) -> None:
        self._state = state
        self._zone = policy.zone if counts_days(policy) else None
        self.is_live = False
        """Whether reality's day is the one that counts here."""

    def begin(self, live: Policy | None) -> None:
        """Take the live state over: its counts are the shadow's only if they are of the same days."""
        self.follow(live)
        if self._zone is None:
            count_from_here(self._state, None, None)
        elif not self.is_live:
            self._begin_day(self._zone)

    def follow(self, live: Policy | None) -> None:
        """Another live policy: reality's day begins or ends to be the shadow's."""
        zone = live.zone if live is not None and counts_days(live) else None
        self.is_live = zone is not None and zone == self._zone

    def ripen(self) -> None:
        """Its own midnight may be over. Nothing that happens then is counted before."""
        until_ms = self._state.day_until_ms
        if self._zone is None or self.is_live:
            return
        if until_ms is None or until_ms <= self._state.at_ms:
            self._begin_day(self._zone)

    def _begin_day(self, zone: str) -> None:
        day, until_ms = day_at(zone, self._state.at_ms)
        HANDLERS[DayBegan](self._state, DayBegan(day=day, until_ms=until_ms))
