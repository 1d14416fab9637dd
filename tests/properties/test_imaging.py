"""A snapshot made in pieces while commands go on is, byte for byte, the one made at once when it was begun."""

from random import Random

import pytest

from router.core.engine import Engine
from router.core.imaging import Imaging
from tests.core.world import World
from tests.properties import workload
from tests.properties.test_retention import Forgetful


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk has tens of records: pieces of one or two of them, so that most of its events come in between."""
    monkeypatch.setattr("router.core.imaging._RECORDS", 2)
    monkeypatch.setattr("router.core.imaging._KEYS", 2)


class Images:
    """Images of one walk, each with the bytes that it has to become."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._image: Imaging | None = None
        self._wanted = b""
        self.whole = self.broken = 0

    def proceed(self, world: World) -> None:
        """A little further, or a new one."""
        image = self._image
        if image is None:
            if self._random.random() < 0.5:
                self._wanted = world.engine.snapshot()
                self._image = world.engine.image()
                assert self._image.seq == world.engine.seq
            return
        for _ in range(self._random.choice((0, 1, 1, 2, 5))):
            if image.proceed():
                continue
            self._image = None
            if image.broken:
                self.broken += 1
                return
            self.whole += 1
            assert b"".join(image.parts()) == self._wanted
            return

    def finish(self, world: World) -> None:
        """No walk ends with one under way."""
        while self._image is not None:
            self.proceed(world)


@pytest.mark.parametrize("draws_of", [workload.Workload, Forgetful])
def test_pieces_are_the_whole(draws_of: type[workload.Workload]) -> None:
    whole = broken = 0
    for seed in range(20):
        world, images, draws = World(), Images(seed), draws_of(seed + 9_000)
        for command in draws.opening():
            world.do(command)
        for _ in range(150):
            images.proceed(world)
            draws.pause(world)
            world.do(draws.next(world))
        images.finish(world)
        assert Engine.restore(world.engine.snapshot()).digest() == world.engine.digest()
        assert world.replayed().digest() == world.engine.digest()
        whole, broken = whole + images.whole, broken + images.broken
    assert whole > 50
    assert broken > 5
