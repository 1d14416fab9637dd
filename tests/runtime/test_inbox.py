"""The inbox: bounded, fair, in order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.errors import InboxFull
from router.runtime.inbox import Inbox


def test_one_workspace_is_served_in_order() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(5):
        inbox.put("a", number)
    assert inbox.take(3) == [("a", 0), ("a", 1), ("a", 2)]
    assert inbox.take(9) == [("a", 3), ("a", 4)]
    assert inbox.pop() is None


def test_workspaces_take_turns_also_over_several_batches() -> None:
    """I39."""
    inbox: Inbox[int] = Inbox()
    for number in range(6):
        inbox.put("noisy", number)
    inbox.put("quiet", 0)
    inbox.put("calm", 0)
    assert [name for name, _ in inbox.take(2)] == ["noisy", "quiet"]
    assert [name for name, _ in inbox.take(2)] == ["calm", "noisy"]


def test_a_workspace_at_its_bound_is_full_and_others_are_not() -> None:
    inbox: Inbox[int] = Inbox(count_max=2)
    inbox.put("a", 1)
    inbox.put("a", 2)
    with pytest.raises(InboxFull):
        inbox.put("a", 3)
    inbox.put("b", 1)
    inbox.pop()
    inbox.put("a", 3)
    assert len(inbox) == 3


def test_all_together_have_a_bound_too() -> None:
    inbox: Inbox[int] = Inbox(count_max=2)
    for name in "abcd":
        inbox.put(name, 1)
        inbox.put(name, 2)
    with pytest.raises(InboxFull):
        inbox.put("e", 1)


def test_what_the_router_owes_itself_goes_beyond_the_bound() -> None:
    inbox: Inbox[int] = Inbox(count_max=1)
    for number in range(10):
        inbox.put("a", number, beyond_bound=True)
    assert list(inbox.drain()) == list(range(10))
    assert len(inbox) == 0


async def test_waiting_ends_with_the_first_item() -> None:
    inbox: Inbox[int] = Inbox()
    waiting = asyncio.create_task(inbox.wait(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put("a", 1)
    await waiting
    await inbox.wait(None)


async def test_waiting_ends_when_the_time_is_over_or_somebody_wakes_it() -> None:
    inbox: Inbox[int] = Inbox()
    await inbox.wait(0.001)
    await inbox.wait(0)
    waiting = asyncio.create_task(inbox.wait(None))
    await asyncio.sleep(0)
    inbox.wake()
    await waiting


@given(st.lists(st.sampled_from("abcde"), max_size=200), st.integers(1, 20))
def test_in_any_batch_nobody_gets_two_more_turns_than_one_who_waits_throughout(
    names: list[str], size: int
) -> None:
    inbox: Inbox[int] = Inbox()
    for number, name in enumerate(names):
        inbox.put(name, number)
    left = {name: names.count(name) for name in set(names)}
    served: list[int] = []
    while batch := inbox.take(size):
        turns = [name for name, _ in batch]
        for name, _ in batch:
            left[name] -= 1
        for waiting in (name for name, count in left.items() if count):
            assert all(turns.count(other) <= turns.count(waiting) + 1 for other in turns)
        served += [number for _, number in batch]
    assert sorted(served) == list(range(len(names)))
