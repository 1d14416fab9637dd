"""Counters of callbacks.

**Reach rate** = connected / (connected + failed), over the attempts with a known outcome. The wait of a callback is in no service
level, ASA or abandonment rate, because no customer is on the line. When it ends with an agent or with the customer on the line, it
counts as ``called_back`` in the queue flow.
"""

from msgspec import Struct

from router.stats.ratio import ratio


class CallbackCounts(Struct, gc=False):
    """Contacts that became callbacks, and their attempts by outcome."""

    requested: int = 0
    dialled: int = 0
    """Started attempts."""
    connected: int = 0
    """Attempts that reached the customer, or a machine where the policy accepts that as completed."""
    failed: int = 0
    """Attempts that did not reach the customer."""
    given_up: int = 0
    """Expired callbacks: after the last attempt, or at the end of their time to live."""


def reach_rate(callbacks: CallbackCounts) -> float | None:
    """Return the share of attempts with an outcome that reached the customer; none without any."""
    return ratio(callbacks.connected, callbacks.connected + callbacks.failed)
