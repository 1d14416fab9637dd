"""Tests of retention: ended contacts are dropped while their wrap-ups, offers and idempotency keys remain."""

import msgspec

from router.engine.engine import Engine
from router.model.policy import Policy, RetentionPolicy
from tests.properties import workload
from tests.support.world import World

STEPS = 150


class ShortRetentionWorkload(workload.Workload):
    """Draws policies that keep hardly any ended contacts."""

    def policy(self) -> Policy:
        kept = RetentionPolicy(
            ended_contacts_max=self._random.choice((0, 1, 3)), ended_contacts_s=self._random.choice((0, 5, 86_400))
        )
        return msgspec.structs.replace(super().policy(), retention=kept)


def test_dropping_ended_contacts_violates_no_invariant() -> None:
    """Check I30 and I41."""
    assert sum(_walk(seed) for seed in range(12)) > 100


def _walk(seed: int) -> int:
    """Return the number of contacts that have ended and been dropped."""
    world = World()
    draws = ShortRetentionWorkload(seed)
    for command in draws.opening():
        world.do(command)
    for _ in range(STEPS):
        draws.pause(world)
        world.do(draws.next(world))
    assert world.engine.check_invariants() == []
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == world.engine.digest()
    kept = [c for c in world.engine.contacts(limit=10_000) if c.state.is_terminal]
    assert len(kept) <= 3
    counts = world.engine.workspace().counts
    return counts.ended + counts.abandoned + counts.cancelled + counts.expired - len(kept)
