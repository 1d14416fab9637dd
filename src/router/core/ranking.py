"""Which contact goes first: one total order, as one integer a contact.

From the most significant end: strict class (higher first), order of the queue (``fifo`` before ``lifo``), time, ``orig_seq``. In a
``fifo`` queue the time is the submit less the credit of its priority, where due dates count with the queue's threshold on top, and
smaller goes first; in a ``lifo`` queue the submit and the credit, and larger goes first. All of it is constant, so waiting
never changes the order of two contacts.

Due dates: J. R. Jackson, "Scheduling a production line to minimize maximum tardiness", 1955.
"""

from typing import Final

from router.core.state import Contact
from router.model.policy import QueueOrder, QueuePolicy

_CLASS_MAX: Final = 9
# Room for a credit of days before the year 1970 and for times until far beyond 2100.
_TIME_OFFSET: Final = 1 << 50
SEQ_BITS: Final = 52
_TIME_BITS: Final = 54
_SEQ_MASK: Final = (1 << SEQ_BITS) - 1
_TIME_MASK: Final = (1 << _TIME_BITS) - 1
_CLASS_SHIFT: Final = SEQ_BITS + _TIME_BITS + 1
_NEWEST_FIRST: Final = QueueOrder.LIFO
_LIFO: Final = 1 << (SEQ_BITS + _TIME_BITS)


def rank_key(contact: Contact, queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """The contact's place: smaller is served first. Unique within a workspace, never 0.

    ``due_after_ms``: the time within which contacts of this queue are to be answered, where due dates are compared.
    """
    base, place = base_of(queue, due_after_ms), own_place(contact, queue)
    return base - place if queue.order is _NEWEST_FIRST else base + place


def base_of(queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """What the queue makes of everybody's own place: it is added to this, or (``lifo``) subtracted from it.

    So nobody in a line changes places when it becomes another one, and a line is turned round by being read from its other end.
    """
    strict, credit_ms = _CLASS_MAX - queue.strict_class << _CLASS_SHIFT, 1000 * queue.priority_s
    if queue.order is _NEWEST_FIRST:
        return strict + _LIFO + (_TIME_MASK - _TIME_OFFSET - credit_ms << SEQ_BITS) + _SEQ_MASK
    return strict + (_TIME_OFFSET + due_after_ms - credit_ms << SEQ_BITS)


def own_place(contact: Contact, queue: QueuePolicy) -> int:
    """The place among those of the same queue, later is larger. Never 0.

    Of a contact without a rank of its own it is its submit and its ``orig_seq`` in the last ``SEQ_BITS``, whatever the queue's
    order and class.
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
    """Whether it brings a priority or a class of its own, or its plan has given it one."""
    return bool(
        contact.priority_s or contact.strict_class or contact.raised_s or contact.raised_class
    )


def class_of(key: int) -> int:
    """The strict class of a place, smaller is served first."""
    return key >> _CLASS_SHIFT
