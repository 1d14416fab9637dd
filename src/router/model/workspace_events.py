"""What happens to a workspace as a whole: queues open and close, policies come into force, days begin.

Words alone; what holds for every event (tags, fields) stands in ``events.py``.
"""

# msgspec copies an empty default for every struct; ruff knows that only of a class whose base it sees in the same file.
# ruff: noqa: RUF012

from router.model.event_struct import EventStruct
from router.model.ids import QueueId
from router.model.policy import Policy


class QueueOpened(EventStruct, frozen=True, kw_only=True, tag="queue.opened"):
    """The queue is open, and those who waited for that may be offered. Also said of an open queue, when ``until_ms`` changes.

    Reasons: ``hours``, ``supervisor``.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """When that changes, as far as is known; none: not within a year."""
    reason: str = "hours"
    wait_until_ms: int | None = None
    """When those who waited for the opening overflow or expire: their longest wait counts from here."""


class QueueClosed(EventStruct, frozen=True, kw_only=True, tag="queue.closed"):
    """The queue is closed. Also said of a closed queue, when ``until_ms`` or the reason changes.

    Reasons: ``hours``, ``holiday``, ``supervisor``. What becomes of those in line is said by events of their own.
    """

    queue_id: QueueId
    until_ms: int | None = None
    """When that changes, as far as is known; none: not within a year."""
    reason: str = "hours"
    holds: bool = False
    """Those in line are held back until the opening."""


class PolicyPublished(EventStruct, frozen=True, kw_only=True, tag="policy.published"):
    """This policy holds from here on."""

    version: int
    policy: Policy
    drain_to: dict[QueueId, QueueId] = {}
    """Where the contacts of removed queues belong from here on; those that wait are moved by events of their own."""


class DayBegan(EventStruct, frozen=True, kw_only=True, tag="workspace.day_began"):
    """A day of the workspace's zone begins, or its counting does: every agent has been given nothing today."""

    day: str
    """The local date, as ISO 8601 has it."""
    until_ms: int
    """When the next one begins."""


class ShadowPolicySet(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_set"):
    """This policy runs beside the one in force from here on: it decides nothing, its differences are counted."""

    policy: Policy


class ShadowPolicyCleared(EventStruct, frozen=True, kw_only=True, tag="policy.shadow_cleared"):
    """No policy runs beside the one in force any more."""
