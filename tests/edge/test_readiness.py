"""Desktops are read from in turn: what came is passed on, an end is left to the loop, and none of many shuts the others out."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from router.edge.readiness import Readiness

MANY = 400
PATIENCE_S = 10


class Desk:
    """One that is read from."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.heard = b""
        self.ended = 0
        self.on_data: Callable[[], None] = lambda: None

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.on_data()

    def leave_to_the_loop(self) -> None:
        self.ended += 1


@pytest.fixture
async def readiness() -> AsyncIterator[Readiness]:
    made = Readiness()
    yield made
    made.close()


@pytest.fixture
def desks(readiness: Readiness) -> Iterator[list[Desk]]:
    made = [Desk() for _ in range(MANY)]
    for desk in made:
        readiness.add(desk.near.fileno(), desk)
    yield made
    for desk in made:
        readiness.remove(desk.near.fileno())
        desk.near.close()
        desk.far.close()


async def until(true: Callable[[], bool]) -> int:
    """The turns that it took."""
    turns = 0
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0)
            turns += 1
    return turns


async def test_what_came_is_passed_on_and_so_is_what_comes_later(desks: list[Desk]) -> None:
    for desk in desks:
        desk.far.send(b"a")
    await until(lambda: all(desk.heard == b"a" for desk in desks))
    desks[7].far.send(b"b")
    await until(lambda: desks[7].heard == b"ab")
    assert all(desk.ended == 0 for desk in desks)


async def test_many_ends_are_spread_over_turns_and_do_not_hold_up_who_speaks(
    desks: list[Desk],
) -> None:
    speaker = desks[-1]
    for desk in desks[:-1]:
        desk.far.close()
    speaker.far.send(b"a")
    await until(lambda: speaker.heard == b"a")
    assert sum(desk.ended for desk in desks) < MANY / 4
    turns = await until(lambda: all(desk.ended for desk in desks[:-1]))
    assert turns > 5
    assert [desk.ended for desk in desks] == [1] * (MANY - 1) + [0]


async def test_last_words_are_left_to_the_loop_with_the_end(desks: list[Desk]) -> None:
    desks[0].far.send(b"bye")
    desks[0].far.close()
    await until(lambda: desks[0].ended == 1)
    assert desks[0].heard == b""
    assert desks[0].near.recv(10) == b"bye"


async def test_who_is_removed_is_read_no_more_even_by_another_of_the_same_turn(
    readiness: Readiness, desks: list[Desk]
) -> None:
    first, second = desks[:2]
    for one, other in ((first, second), (second, first)):
        one.on_data = lambda other=other: readiness.remove(other.near.fileno())  # type: ignore[misc]
        one.far.send(b"a")
    await until(lambda: bool(first.heard or second.heard))
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted((first.heard, second.heard)) == [b"", b"a"]
    silent = first if not first.heard else second
    silent.on_data = lambda: None
    readiness.add(silent.near.fileno(), silent)
    await until(lambda: silent.heard == b"a")


async def test_at_the_end_everybody_is_left_to_the_loop_once(
    readiness: Readiness, desks: list[Desk]
) -> None:
    desks[0].far.close()
    await asyncio.sleep(0)
    readiness.close()
    readiness.remove(desks[1].near.fileno())
    for _ in range(5):
        await asyncio.sleep(0)
    assert [desk.ended for desk in desks] == [1] * MANY
