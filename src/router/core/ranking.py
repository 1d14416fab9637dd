"""Which contact goes first: one total order, as one integer a contact.

From the most significant end: strict class (higher first), queued time less the credit of its priority (earlier first),
``orig_seq`` (smaller first). The credit is constant, so waiting never changes the order of two contacts.
"""

from typing import Final

from router.core.state import Contact
from router.model.policy import QueuePolicy

_CLASS_MAX: Final = 9
# Room for a credit of days before the year 1970 and for times until far beyond 2100.
_TIME_OFFSET: Final = 1 << 50
_SEQ_BITS: Final = 52
_TIME_BITS: Final = 54


def rank_key(contact: Contact, queue: QueuePolicy) -> int:
    """The contact's place: smaller is served first. Unique within a workspace, never 0."""
    strict = max(contact.strict_class, queue.strict_class, contact.raised_class)
    credit_s = contact.priority_s + queue.priority_s + contact.raised_s
    when = contact.queued_at_ms - 1000 * credit_s + _TIME_OFFSET
    return (((_CLASS_MAX - strict) << _TIME_BITS | when) << _SEQ_BITS) | contact.orig_seq
