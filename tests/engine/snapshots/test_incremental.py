"""Tests of incremental snapshots: byte for byte, the result is the full snapshot of the moment when it began."""

from random import Random

import pytest

from router.engine.engine import Engine
from router.engine.snapshots.incremental import IncrementalSnapshot
from tests.properties import workload
from tests.properties.test_retention import ShortRetentionWorkload
from tests.support.world import World


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use pieces of one or two records, since a walk has only tens: most events then fall between two pieces."""
    monkeypatch.setattr("router.engine.snapshots.incremental._RECORDS", 2)
    monkeypatch.setattr("router.engine.snapshots.incremental._KEYS", 2)


class SnapshotsUnderWay:
    """Snapshots of one walk, each with the bytes that it must produce."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._image: IncrementalSnapshot | None = None
        self._wanted = b""
        self.whole = self.broken = 0

    def advance(self, world: World) -> None:
        """Advance the current snapshot, or begin one."""
        image = self._image
        if image is None:
            if self._random.random() < 0.5:
                self._wanted = world.engine.snapshot()
                self._image = world.engine.incremental_snapshot()
                assert self._image.seq == world.engine.seq
            return
        for _ in range(self._random.choice((0, 1, 1, 2, 5))):
            if image.advance():
                continue
            self._image = None
            if image.is_cancelled:
                self.broken += 1
                return
            self.whole += 1
            assert b"".join(image.parts()) == self._wanted
            return

    def finish(self, world: World) -> None:
        """Complete the snapshot in progress at the end of a walk."""
        while self._image is not None:
            self.advance(world)


@pytest.mark.parametrize("draws_of", [workload.Workload, ShortRetentionWorkload])
def test_an_incremental_snapshot_equals_the_full_one(draws_of: type[workload.Workload]) -> None:
    whole = broken = 0
    for seed in range(10):
        world, images, draws = World(), SnapshotsUnderWay(seed), draws_of(seed + 9_000)
        for command in draws.opening():
            world.do(command)
        for _ in range(150):
            images.advance(world)
            draws.pause(world)
            world.do(draws.next(world))
        images.finish(world)
        assert Engine.restore(world.engine.snapshot()).digest() == world.engine.digest()
        assert world.replayed().digest() == world.engine.digest()
        whole, broken = whole + images.whole, broken + images.broken
    assert whole > 25
    assert broken > 2
