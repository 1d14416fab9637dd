"""Scheduled policies in virtual time: published at their millisecond, or refused then by the checks of a publication."""

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.diagnosis import FindingCode
from router.model.policy import Policy
from router.model.policy_versions import ChangeCounts
from router.model.results import RefusalCode
from tests.support.builders import a_contact, a_policy, a_queue
from tests.support.world import World

LATER = a_policy(queues={"support": a_queue(), "sales": a_queue(), "vip": a_queue()})
SMALLER = a_policy(queues={"support": a_queue()})


def schedule(world: World, policy: Policy = LATER, *, in_ms: int = 60_000, **fields: object) -> c.SchedulePolicy:
    given: dict[str, object] = {"replaces": world.engine.policy_version, **fields}
    return c.SchedulePolicy(policy=policy, publish_at_ms=world.at_ms + in_ms, **given)  # type: ignore[arg-type]


def a_world() -> World:
    return World(a_policy(queues={"support": a_queue(), "sales": a_queue()}))


def findings(world: World) -> list[FindingCode]:
    return [one.code for one in world.engine.diagnose().findings if one.code.value.startswith("scheduled")]


def test_a_scheduled_policy_becomes_active_at_its_time() -> None:
    world = a_world()
    counts = ChangeCounts(added=1)
    world.done(schedule(world, note="winter", scheduled_by="admin:ann", changes=counts))
    # A snapshot and a replay have the same timer.
    again = Engine.restore(world.engine.snapshot())
    assert again.next_deadline_ms() == world.engine.next_deadline_ms() == world.at_ms + 60_000
    assert world.later(59.999) == []
    [published] = world.later(0.001)
    assert isinstance(published, e.PolicyPublished)
    assert (published.version, published.note, published.published_by) == (2, "winter", "admin:ann")
    assert (published.changes, published.is_scheduled) == (counts, True)
    assert world.engine.policy == LATER and world.engine.scheduled_policy is None
    assert world.engine.policy_versions()[-1].is_scheduled
    assert world.later(1000) == [] and findings(world) == []


def test_it_is_refused_if_another_version_is_active_then() -> None:
    world = a_world()
    world.done(schedule(world))
    assert findings(world) == []
    world.done(c.PublishPolicy(policy=a_policy(queues={"support": a_queue(), "sales": a_queue()}, skills=("english",))))
    assert findings(world) == [FindingCode.SCHEDULED_POLICY_OUTDATED]
    [refused] = world.later(60)
    assert isinstance(refused, e.PolicyScheduleRefused) and refused.refused == "policy_version_conflict"
    assert world.engine.policy_version == 2 and findings(world) == [FindingCode.SCHEDULED_POLICY_REFUSED]
    # It stays, is not tried again, and is restored as it is.
    assert world.later(10000) == []
    again = Engine.restore(world.engine.snapshot())
    assert again.scheduled_policy == world.engine.scheduled_policy and again.next_deadline_ms() is None
    world.done(c.CancelScheduledPolicy())
    assert findings(world) == [] and world.engine.scheduled_policy is None
    assert world.refused(c.CancelScheduledPolicy()).code is RefusalCode.NO_SCHEDULED_POLICY


def test_it_may_replace_any_version_and_its_changes_are_then_not_counted() -> None:
    world = a_world()
    world.done(schedule(world, replaces=None, changes=ChangeCounts(added=1)))
    world.done(c.PublishPolicy(policy=a_policy(queues={"support": a_queue(), "sales": a_queue()}, skills=("english",))))
    [published] = world.later(60)
    assert isinstance(published, e.PolicyPublished) and (published.version, published.changes) == (3, None)


def test_contacts_are_moved_or_refuse_it_at_its_time() -> None:
    for drain_to in ({}, {"sales": "support"}):
        world = a_world()
        world.done(schedule(world, SMALLER, drain_to=drain_to))
        assert findings(world) == []
        world.done(a_contact("c1", queue_id="sales"))
        assert findings(world) == ([] if drain_to else [FindingCode.SCHEDULED_POLICY_OUTDATED])
        first, *_ = world.later(60)
        if drain_to:
            assert isinstance(first, e.PolicyPublished)
            contact = world.engine.contact("c1")
            assert contact is not None and contact.queue_id == "support"
        else:
            assert isinstance(first, e.PolicyScheduleRefused) and first.refused == "drain_target_required"


def test_a_policy_that_is_no_longer_valid_is_refused_at_its_time() -> None:
    """As if an earlier version of the router had accepted it."""
    world = a_world()
    bad = a_policy(queues={"support": a_queue(overflow_to="nowhere"), "sales": a_queue()})
    world.done(schedule(world, bad, is_checked=True))
    [refused] = world.later(60)
    assert isinstance(refused, e.PolicyScheduleRefused) and refused.refused == "invalid_policy"
    assert refused.detail == "policy: queues.support.overflow_to: no such queue is declared"
    assert world.engine.policy_version == 1 and findings(world) == [FindingCode.SCHEDULED_POLICY_REFUSED]


def test_a_later_schedule_replaces_an_earlier_one() -> None:
    world = a_world()
    world.done(schedule(world, SMALLER, in_ms=1_000))
    world.done(schedule(world, in_ms=2_000))
    assert world.later(1.999) == []
    [published] = world.later(0.001)
    assert isinstance(published, e.PolicyPublished) and published.policy == LATER


def test_times_and_versions_are_checked() -> None:
    world = a_world()
    for in_ms in (0, -1, 366 * 86_400_000 + 1):
        answer = world.refused(schedule(world, in_ms=in_ms))
        assert (answer.code, answer.field) == (RefusalCode.INVALID_VALUE, "publish_at")
    answer = world.refused(schedule(world, replaces=7))
    assert (answer.code, answer.field) == (RefusalCode.POLICY_VERSION_CONFLICT, "replaces")
    bad = a_policy(queues={"support": a_queue(overflow_to="nowhere")})
    answer = world.refused(schedule(world, bad))
    assert answer.code is RefusalCode.INVALID_POLICY
    assert world.engine.scheduled_policy is None
