"""Total order of waiting contacts: one integer a contact, smaller is served first.

From the most significant end the integer holds: priority class (higher class first), order of the queue (``fifo`` before
``lifo``), time, ``orig_seq``. In a ``fifo`` queue the time is the submit time minus the priority credit, plus the threshold of
the queue's service level where due dates are compared; earlier is served first. In a ``lifo`` queue it is the submit time plus
the credit; later is served first. Every part is constant while a contact waits, so waiting never changes the order of two
contacts.

Due dates: J. R. Jackson, "Scheduling a production line to minimize maximum tardiness", 1955.
"""

from typing import Final

from router.core.state import Contact
from router.model.policy import QueueOrder, QueuePolicy

_CLASS_MAX: Final = 9
# Leaves space for a credit of days before the year 1970, and for times far beyond 2100.
_TIME_OFFSET: Final = 1 << 50
SEQ_BITS: Final = 52
_TIME_BITS: Final = 54
_SEQ_MASK: Final = (1 << SEQ_BITS) - 1
_TIME_MASK: Final = (1 << _TIME_BITS) - 1
_CLASS_SHIFT: Final = SEQ_BITS + _TIME_BITS + 1
_NEWEST_FIRST: Final = QueueOrder.LIFO
_LIFO: Final = 1 << (SEQ_BITS + _TIME_BITS)


def rank_key(contact: Contact, queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """Return the contact's rank in the total order. Unique within a workspace, never 0.

    ``due_after_ms`` is the answer time promised by the queue, where due dates are compared; 0 elsewhere.
    """
    base, place = base_of(queue, due_after_ms), own_place(contact, queue)
    return base - place if queue.order is _NEWEST_FIRST else base + place


def base_of(queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """Return the queue's part of the rank, to which the order key is added (``lifo``: from which it is subtracted).

    Kept apart from the order key so that a changed queue moves its lines without touching their contacts.
    """
    strict, credit_ms = _CLASS_MAX - queue.strict_class << _CLASS_SHIFT, 1000 * queue.priority_s
    if queue.order is _NEWEST_FIRST:
        return strict + _LIFO + (_TIME_MASK - _TIME_OFFSET - credit_ms << SEQ_BITS) + _SEQ_MASK
    return strict + (_TIME_OFFSET + due_after_ms - credit_ms << SEQ_BITS)


def own_place(contact: Contact, queue: QueuePolicy) -> int:
    """Return the sort key among contacts of the same queue, later is larger. Never 0.

    Without a priority or class of its own, a contact's key is its submit time and, in the last ``SEQ_BITS``, its ``orig_seq``,
    whatever the queue's order and class.
    """
    place = contact.queued_at_ms << SEQ_BITS | contact.orig_seq
    if not has_own_rank(contact):
        return place
    ahead = 1000 * (contact.priority_s + contact.raised_s) << SEQ_BITS
    above = max(contact.strict_class, contact.raised_class) - queue.strict_class
    if above > 0:
        ahead += above << _CLASS_SHIFT
    return place + ahead if queue.order is _NEWEST_FIRST else place - ahead


def has_own_rank(contact: Contact) -> bool:
    """Return whether the contact or its plan sets a priority or class."""
    return bool(
        contact.priority_s or contact.strict_class or contact.raised_s or contact.raised_class
    )


def class_of(key: int) -> int:
    """Return the inverted priority class of a rank: 0 is the highest class."""
    return key >> _CLASS_SHIFT
