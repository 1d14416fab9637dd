"""Overflow: how often a contact may move on, and what becomes of it then."""

from typing import Any

from router.model import events as e
from router.model.diagnosis import FindingCode
from router.model.policy import CalendarPolicy, Policy, QueuePolicy, WhenClosed
from router.model.results import RefusalCode
from tests.support.builders import a_contact, a_policy, published
from tests.support.world import a_world


def chain(overflow_count_max: int, **first: Any) -> Policy:
    """Return a policy with the overflow chain a → b → c → d, in which all queues but the last are closed."""
    names = ("a", "b", "c", "d")
    queues = {
        name: QueuePolicy(hours="never", when_closed=WhenClosed.OVERFLOW, overflow_to=names[place + 1])
        for place, name in enumerate(names[:3])
    }
    return a_policy(
        queues={**queues, "d": QueuePolicy()},
        calendars={"never": CalendarPolicy(zone="UTC")},
        overflow_count_max=overflow_count_max,
    )


def test_a_submit_is_refused_beyond_the_overflow_limit() -> None:
    world = a_world(chain(3))
    (queued,) = world.done(a_contact("c1", queue_id="a"))
    assert isinstance(queued, e.ContactQueued)
    assert (queued.queue_id, queued.overflow_count) == ("d", 3)
    world.done(published(chain(2)))
    assert world.refused(a_contact("c2", queue_id="a")).code is RefusalCode.QUEUE_CLOSED


def test_a_contact_at_the_overflow_limit_stays_and_the_view_says_so() -> None:
    queues = {
        "a": QueuePolicy(wait_max_s=10, overflow_to="b"),
        "b": QueuePolicy(wait_max_s=10, overflow_to="d"),
        "d": QueuePolicy(),
    }
    world = a_world(a_policy(queues=queues, overflow_count_max=1), a_contact("c1", queue_id="a"))
    world.later(60)
    view, why = world.engine.contact("c1"), world.engine.why("c1")
    assert view is not None and (view.queue_id, view.overflow_count, view.wait_until_ms) == ("b", 1, None)
    assert why is not None and why.overflow_impossible
    codes = [one.code for one in world.engine.diagnose(thorough=True).findings]
    assert FindingCode.CONTACTS_OVERFLOW_LIMIT in codes
