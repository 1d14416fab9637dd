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
    return own_place(contact, queue) + base_of(queue, due_after_ms)


def base_of(queue: QueuePolicy, due_after_ms: int = 0) -> int:
    """What the queue adds to the place of everybody in it: when it changes, nobody in a line changes places."""
    credit_ms = 1000 * queue.priority_s
    if queue.order is _NEWEST_FIRST:
        return -credit_ms << SEQ_BITS
    return due_after_ms - credit_ms << SEQ_BITS


def own_place(contact: Contact, queue: QueuePolicy) -> int:
    """The place among those of the same queue."""
    strict = contact.strict_class
    if queue.strict_class > strict:
        strict = queue.strict_class
    if contact.raised_class > strict:
        strict = contact.raised_class
    credit_ms = 1000 * (contact.priority_s + contact.raised_s)
    if queue.order is _NEWEST_FIRST:
        newest = _TIME_MASK - (contact.queued_at_ms + credit_ms + _TIME_OFFSET)
        place = newest << SEQ_BITS | _SEQ_MASK - contact.orig_seq
        return (_CLASS_MAX - strict) << _CLASS_SHIFT | _LIFO | place
    when = contact.queued_at_ms - credit_ms + _TIME_OFFSET
    return (_CLASS_MAX - strict) << _CLASS_SHIFT | when << SEQ_BITS | contact.orig_seq


def plain_place(queue: QueuePolicy) -> int:
    """What every contact of a ``fifo`` queue has in common that brings no priority or class of its own; 0: another order.

    Its own place is this and its submit, then its ``orig_seq`` in the last ``SEQ_BITS``.
    """
    if queue.order is _NEWEST_FIRST:
        return 0
    return (_CLASS_MAX - queue.strict_class << _CLASS_SHIFT - SEQ_BITS) + _TIME_OFFSET


def class_of(key: int) -> int:
    """The strict class of a place, smaller is served first."""
    return key >> _CLASS_SHIFT
