"""The flow of contacts through a queue: whoever comes in goes out, once.

    entered = waiting + offered + callbacks + answered + called_back + abandoned + cancelled + expired
              + overflowed_out + moved_out

``entered`` counts waits: a contact that is submitted here, overflows to here, is moved here, or comes back to waiting after an
agent had it. Over the whole workspace: submitted = queued + offered + assigned + ended + abandoned + cancelled + expired.
"""

from msgspec import Struct


class Flow(Struct, gc=False):
    """Ways into and out of waiting, besides the answer and the abandon (``service_level.py``)."""

    submitted: int = 0
    entered: int = 0
    cancelled: int = 0
    expired: int = 0
    overflowed_in: int = 0
    overflowed_out: int = 0
    moved_in: int = 0
    moved_out: int = 0
    """While waiting, by a supervisor or because the queue was removed."""
    transferred_in: int = 0
    """By an agent, out of an assignment."""
    requeued: int = 0
    """Out of an assignment by a supervisor, after a lost desktop, or because a callback's customer was not reached."""
    called_back: int = 0
    """A callback's wait that ended: an agent has taken it, or the customer is on the line."""
