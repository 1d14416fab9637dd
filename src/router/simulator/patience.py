"""Patience of customers who were served in a recorded day, which the log does not contain, and what they do instead of waiting.

Theory. A log has the patience of customers who abandoned: the time to the abandonment. Of a customer who was served it shows only
that the patience exceeds the wait: the observation is *censored*. Unlimited patience for these customers, as if nothing were known
beyond the wait, makes every policy look good that lets them wait for longer than they did: they never leave. The Kaplan–Meier
estimator uses both kinds of observation. With ``d`` abandonments after a time ``t`` and ``n`` customers who waited at least that
long, the share of customers with a patience above ``t`` is the product of ``1 - d / n`` over all such times up to ``t``. A served
customer then gets a random patience from this distribution, given that it exceeds the wait.

The estimate ends at the longest wait ``e`` in the log, at a share ``s`` above zero if some customers waited longer than all who
abandoned. Beyond it the share falls exponentially, as ``s ** (t / e)``, which continues the mean hazard up to ``e``. Customers of a
queue have a distribution of their own if at least ``OWN_CURVE_ABANDONS_MIN`` of them abandoned, else that of the whole log.

The estimator assumes that waits and patience are independent within a queue, and that customers are alike in all queues that share
a distribution. Sources: E. L. Kaplan, P. Meier, *Nonparametric Estimation from Incomplete Observations* (1958); for the tail B. W.
Brown, M. Hollander, R. M. Korwar, *Nonparametric Tests of Independence for Censored Data* (1974); for call centres L. Brown et al.,
*Statistical Analysis of a Telephone Call Center* (2005).

A log does not tell either who would have accepted to be called back, or would call again after abandoning, under a policy that
differs from that of the day. Both are assumptions that the user of the simulator makes (``CustomerRequests``): the share of
customers who request a callback once they have waited for some time, where the policy allows it, and the share of those who abandon
who call again, once, after an exponential time.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from math import log
from random import Random
from typing import Final

from msgspec import Struct, structs

from router.model.policy import Policy
from router.simulator.day import PlannedCallback, PlannedContact

OWN_CURVE_ABANDONS_MIN: Final = 30
"""Abandonments of a queue from which on its own estimate is used: their number then has a relative standard error below a fifth."""


class PatienceSource(StrEnum):
    """Patience of the customers who were served in a log."""

    RECORDED = "recorded"
    """As in the log, which contains none: unlimited."""
    ESTIMATED = "estimated"
    """Drawn from the log's own patience, given that it exceeds the recorded wait."""


class CustomerRequests(Struct, frozen=True, kw_only=True):
    """What the customers of a log do instead of waiting, as assumed for a run."""

    callback_share: float = 0.0
    """Share of the customers who request a callback where the policy allows it."""
    callback_after_ms: int = 60_000
    """Wait after which they request it."""
    redial_share: float = 0.0
    """Share of the customers who call again, once, after they have abandoned."""
    redial_mean_ms: int = 300_000
    """Mean of the exponential time until they do."""

    def apply(self, contacts: Sequence[PlannedContact], callbacks: Random, redials: Random) -> tuple[PlannedContact, ...]:
        """Return the contacts with drawn requests; what a log states itself is kept.

        Every contact takes the same number of draws, so that a larger share adds customers to those of a smaller one.
        """
        planned = PlannedCallback(after_ms=self.callback_after_ms)
        found = []
        for contact in contacts:
            is_asking, is_redialing = callbacks.random() < self.callback_share, redials.random() < self.redial_share
            redial_ms = round(-log(1.0 - redials.random()) * self.redial_mean_ms)
            found.append(
                structs.replace(
                    contact,
                    callback=contact.callback or (planned if is_asking else None),
                    redial_after_ms=redial_ms if contact.redial_after_ms is None and is_redialing else contact.redial_after_ms,
                )
            )
        return tuple(found)


class PatienceCurve:
    """Kaplan–Meier estimate: the share of customers whose patience exceeds a time."""

    def __init__(self, patience_ms: Sequence[int], waited_ms: Sequence[int]) -> None:
        """Estimate from the patience of those who abandoned and the waits of those who were served."""
        left, served = Counter(patience_ms), sorted(waited_ms)
        self._times_ms = sorted(left)
        self._shares: list[float] = []
        self._end_ms = max([*patience_ms, *waited_ms], default=0)
        share, still_waiting = 1.0, len(patience_ms)
        for time_ms in self._times_ms:
            # Customers who were served after exactly this wait were still waiting at this time.
            at_risk = still_waiting + len(served) - bisect_left(served, time_ms)
            share *= 1.0 - left[time_ms] / at_risk
            still_waiting -= left[time_ms]
            self._shares.append(share)

    def share_beyond(self, time_ms: int) -> float:
        """Return the share of customers with a longer patience."""
        index = bisect_right(self._times_ms, time_ms)
        share = self._shares[index - 1] if index else 1.0
        return share if time_ms <= self._end_ms else float(share ** (time_ms / self._end_ms))

    def draw_beyond(self, wait_ms: int, rng: Random) -> int | None:
        """Draw a patience that exceeds a wait; none: unknown, because no customer abandoned after any wait."""
        # One minus a number in [0, 1) is never zero, so that the logarithm below exists.
        wanted = (1.0 - rng.random()) * self.share_beyond(wait_ms)
        if not self._times_ms or self._end_ms == 0:
            return None
        index = bisect_left(self._shares, -wanted, key=lambda share: -share)
        index = max(index, bisect_right(self._times_ms, wait_ms))
        if index < len(self._times_ms):
            return self._times_ms[index]
        beyond_ms = round(self._end_ms * log(wanted) / log(self._shares[-1]))
        return max(wait_ms + 1, beyond_ms)


def estimate_patience(contacts: Sequence[PlannedContact], rng: Random) -> tuple[PlannedContact, ...]:
    """Return the contacts with a drawn patience for those who were served after a known wait, in the same order."""
    whole = _curve(contacts)
    by_queue: dict[str | None, list[PlannedContact]] = {}
    for contact in contacts:
        by_queue.setdefault(contact.queue_id, []).append(contact)
    curves = {queue_id: _curve(own) for queue_id, own in by_queue.items() if _is_enough(own)}
    return tuple(
        contact
        if contact.patience_ms is not None or contact.waited_ms is None
        else structs.replace(contact, patience_ms=curves.get(contact.queue_id, whole).draw_beyond(contact.waited_ms, rng))
        for contact in contacts
    )


def patience_notes(before: Sequence[PlannedContact], after: Sequence[PlannedContact]) -> list[str]:
    """Return notes on how many served customers have a drawn and how many an unlimited patience."""
    unlimited = sum(contact.patience_ms is None for contact in after)
    drawn = sum(contact.patience_ms is None for contact in before) - unlimited
    notes = []
    if drawn:
        notes.append(f"patience of {drawn:,} served customers: drawn from the log (Kaplan–Meier), given that it exceeds their wait")
    if unlimited:
        notes.append(f"patience of {unlimited:,} customers who did not abandon in the log: unlimited, so that they never leave")
    return notes


def callback_notes(policy: Policy, contacts: Iterable[PlannedContact]) -> list[str]:
    """Return a note if customers request callbacks and no queue of the policy offers them."""
    asking = sum(contact.callback is not None for contact in contacts)
    if not asking or any(queue.callback is not None for queue in policy.queues.values()):
        return []
    return [f"{asking:,} customers request a callback in vain: no queue of the policy offers callbacks"]


def _curve(contacts: Iterable[PlannedContact]) -> PatienceCurve:
    known = list(contacts)
    return PatienceCurve(
        [c.patience_ms for c in known if c.patience_ms is not None],
        [c.waited_ms for c in known if c.patience_ms is None and c.waited_ms is not None],
    )


def _is_enough(contacts: Iterable[PlannedContact]) -> bool:
    return sum(c.patience_ms is not None for c in contacts) >= OWN_CURVE_ABANDONS_MIN
