"""Conservation of contacts in a queue: each entry ends exactly once.

    entered = waiting + offered + callbacks + answered + called_back + abandoned + cancelled + expired
              + overflowed_out + moved_out

``entered`` counts waits: a contact is submitted to the queue, overflows to it, is moved to it, or waits again after an agent
had it. Over the whole workspace: submitted = queued + offered + assigned + callbacks + ended + abandoned + cancelled + expired.
"""

from msgspec import Struct


class Flow(Struct, gc=False):
    """Starts and ends of waits, except answers and abandons, which the service level counts."""

    submitted: int = 0
    entered: int = 0
    cancelled: int = 0
    expired: int = 0
    overflowed_in: int = 0
    overflowed_out: int = 0
    moved_in: int = 0
    moved_out: int = 0
    """Contacts moved while waiting, by a supervisor or because the queue was removed."""
    transferred_in: int = 0
    """Contacts transferred to the queue by an agent, out of an assignment."""
    requeued: int = 0
    """Contacts that wait again after an assignment: by a supervisor, a lost desktop or a failed callback attempt."""
    called_back: int = 0
    """Waits of callbacks that ended: an agent accepted, or the customer is on the line."""
