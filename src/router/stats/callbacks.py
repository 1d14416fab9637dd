"""Callbacks by what became of them.

**Reach rate** = connected / (connected + failed): of the attempts whose outcome is known, those that reached the customer. A
callback's wait is in no service level, ASA or abandonment rate: nobody was kept on the line, and nobody can hang up. When it ends
with an agent, or with the customer on the line, it counts as ``called_back`` in the flow (``flow.py``).
"""

from msgspec import Struct

from router.stats.ratio import ratio


class CallbackCounts(Struct, gc=False):
    """Contacts that became callbacks, attempts and their outcomes."""

    requested: int = 0
    dialled: int = 0
    """Attempts begun."""
    connected: int = 0
    """Attempts that reached the customer, or a machine where the policy takes that for done."""
    failed: int = 0
    """Attempts that did not."""
    given_up: int = 0
    """Callbacks that expired: after the last attempt, or because their time was over."""


def reach_rate(callbacks: CallbackCounts) -> float | None:
    """Of the attempts with an outcome, those that reached the customer."""
    return ratio(callbacks.connected, callbacks.connected + callbacks.failed)
