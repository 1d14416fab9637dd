"""Facts of queues that entry rules read."""

from router.engine.commands.queue_facts import QUEUE_FACT_READERS
from router.policy.expressions import QUEUE_FACTS
from tests.support.builders import an_agent, ready
from tests.support.engine_worlds import comes, queued, with_rules
from tests.support.world import World


def test_rules_see_the_queues_as_they_are() -> None:
    world = World(with_rules("queues.support.waiting >= 2 && queues.support.oldest_wait_s > 5"))
    for name in ("c1", "c2"):
        assert queued(world, comes(name)).queue_id == "support"
    world.later(5)
    assert queued(world, comes("c3")).queue_id == "support"
    world.later(1)
    assert queued(world, comes("c4")).queue_id == "vip"


def test_rules_read_the_ready_agents_of_the_channel() -> None:
    world = World(with_rules("queues.support.agents_free == 0 && queues.support.agents_ready > 0"))
    assert queued(world, comes("c1")).default_queue_used
    world.done_all(an_agent("ada"), ready("ada"))
    assert queued(world, comes("c2")).rule == "rule0"
    world.done_all(an_agent("bob", channel_max={"voice": 0}), ready("bob"))
    assert queued(world, comes("c3")).rule == "rule0"
    world.done_all(an_agent("cy"), ready("cy"), an_agent("dee"), ready("dee"))
    world.done_all(an_agent("eve"), ready("eve"))
    assert queued(world, comes("c4")).default_queue_used


def test_every_fact_of_a_queue_can_be_queried() -> None:
    assert QUEUE_FACT_READERS.keys() == QUEUE_FACTS.keys()
    world = World(with_rules())
    for name, kind in QUEUE_FACTS.items():
        value = world.engine.queue_fact("support", "voice", name)
        assert value is None or type(value) is {"bool": bool, "int": int, "string": str}[kind]


def test_querying_a_queue_changes_nothing() -> None:
    world = World(with_rules())
    before = world.engine.digest()
    for name in QUEUE_FACTS:
        world.engine.queue_fact("vip", "chat", name)
    assert world.engine.digest() == before and world.engine.check_invariants() == []
