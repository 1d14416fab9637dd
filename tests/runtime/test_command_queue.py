"""The command queue: bounded, fair, in order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model.errors import CommandQueueFull
from router.runtime.command_queue import OVERLOAD_SUBMIT_COUNT, SUBMIT_SHARE, CommandQueue


def test_items_of_one_workspace_are_served_in_order() -> None:
    command_queue: CommandQueue[int] = CommandQueue()
    for number in range(5):
        command_queue.put("a", number)
    assert command_queue.pop_many(3) == [("a", 0), ("a", 1), ("a", 2)]
    assert command_queue.pop_many(9) == [("a", 3), ("a", 4)]
    assert command_queue.pop() is None


def test_round_robin_continues_across_batches() -> None:
    """I39."""
    command_queue: CommandQueue[int] = CommandQueue()
    for number in range(6):
        command_queue.put("noisy", number)
    command_queue.put("quiet", 0)
    command_queue.put("calm", 0)
    assert [name for name, _ in command_queue.pop_many(2)] == ["noisy", "quiet"]
    assert [name for name, _ in command_queue.pop_many(2)] == ["calm", "noisy"]


def test_a_workspace_at_its_limit_does_not_block_others() -> None:
    command_queue: CommandQueue[int] = CommandQueue(count_max=2)
    command_queue.put("a", 1)
    command_queue.put("a", 2)
    with pytest.raises(CommandQueueFull):
        command_queue.put("a", 3)
    command_queue.put("b", 1)
    command_queue.pop()
    command_queue.put("a", 3)
    assert len(command_queue) == 3


def test_all_workspaces_together_have_a_limit() -> None:
    command_queue: CommandQueue[int] = CommandQueue(count_max=2)
    for name in "abcd":
        command_queue.put(name, 1)
        command_queue.put(name, 2)
    with pytest.raises(CommandQueueFull):
        command_queue.put("e", 1)


def test_internal_commands_ignore_the_limit() -> None:
    command_queue: CommandQueue[int] = CommandQueue(count_max=1)
    for number in range(10):
        command_queue.put("a", number, ignore_limit=True)
    assert list(command_queue.drain()) == list(range(10))
    assert len(command_queue) == 0


async def test_wait_returns_with_the_first_item() -> None:
    command_queue: CommandQueue[int] = CommandQueue()
    waiting = asyncio.create_task(command_queue.wait(None))
    await asyncio.sleep(0)
    assert not waiting.done()
    command_queue.put("a", 1)
    await waiting
    await command_queue.wait(None)


async def test_wait_returns_at_the_timeout_or_when_woken() -> None:
    command_queue: CommandQueue[int] = CommandQueue()
    await command_queue.wait(0.001)
    await command_queue.wait(0)
    waiting = asyncio.create_task(command_queue.wait(None))
    await asyncio.sleep(0)
    command_queue.wake()
    await waiting


@given(st.lists(st.sampled_from("abcde"), max_size=200), st.integers(1, 20))
def test_in_any_batch_no_workspace_is_served_two_more_times_than_one_that_waits_throughout(names: list[str], size: int) -> None:
    command_queue: CommandQueue[int] = CommandQueue()
    for number, name in enumerate(names):
        command_queue.put(name, number)
    left = {name: names.count(name) for name in set(names)}
    served: list[int] = []
    while batch := command_queue.pop_many(size):
        turns = [name for name, _ in batch]
        for name, _ in batch:
            left[name] -= 1
        for waiting in (name for name, count in left.items() if count):
            assert all(turns.count(other) <= turns.count(waiting) + 1 for other in turns)
        served += [number for _, number in batch]
    assert sorted(served) == list(range(len(names)))


def submits(**limits: int) -> tuple[CommandQueue[str], list[float]]:
    """Return a queue in which items starting with ``s`` are submits, and its manual clock."""
    now_s = [10.0]
    command_queue = CommandQueue[str](is_submit=lambda item: item.startswith("s"), now_s=lambda: now_s[0], **limits)
    return command_queue, now_s


def test_without_overload_submits_and_other_items_are_served_in_order() -> None:
    command_queue, _ = submits()
    for item in ("s0", "o0", "s1", "o1", "o2"):
        command_queue.put("a", item)
    assert [item for _, item in command_queue.pop_many(9)] == ["s0", "o0", "s1", "o1", "o2"]


def test_under_overload_other_items_go_first_and_submits_keep_a_share() -> None:
    command_queue, _ = submits()
    for number in range(OVERLOAD_SUBMIT_COUNT + 1):
        command_queue.put("a", f"s{number}")
    for number in range(9):
        command_queue.put("a", f"o{number}")
    taken = [item for _, item in command_queue.pop_many(9)]
    # After the second submit the workspace is no longer overloaded, so arrival order applies again.
    assert taken == ["o0", "o1", "o2", "s0", "o3", "o4", "o5", "s1", "s2"]


def test_submits_are_refused_when_many_are_queued_and_the_oldest_waits_too_long() -> None:
    command_queue, now_s = submits(submit_wait_ms_max=50)
    for number in range(OVERLOAD_SUBMIT_COUNT + 5):
        command_queue.put("a", f"s{number}")
    now_s[0] += 0.051
    with pytest.raises(CommandQueueFull):
        command_queue.put("a", "s")
    with pytest.raises(CommandQueueFull):
        command_queue.admit_submit("a")
    assert command_queue.refused_submits == 2
    command_queue.put("a", "o")
    command_queue.put("b", "s")
    command_queue.admit_submit("b")
    assert len(command_queue) == OVERLOAD_SUBMIT_COUNT + 7


def test_a_few_submits_are_admitted_however_long_the_oldest_waits() -> None:
    command_queue, now_s = submits(submit_wait_ms_max=50)
    command_queue.put("a", "s0")
    now_s[0] += 60
    for number in range(1, OVERLOAD_SUBMIT_COUNT):
        command_queue.put("a", f"s{number}")
    assert command_queue.refused_submits == 0


def test_submits_are_admitted_again_when_the_oldest_has_waited_less() -> None:
    command_queue, now_s = submits(submit_wait_ms_max=50)
    command_queue.put("a", "s")
    now_s[0] += 0.06
    for number in range(OVERLOAD_SUBMIT_COUNT - 1):
        command_queue.put("a", f"s{number}")
    with pytest.raises(CommandQueueFull):
        command_queue.put("a", "s")
    command_queue.pop()
    for _ in range(9):
        command_queue.put("a", "s")


def test_submits_can_fill_half_of_the_queue() -> None:
    command_queue, _ = submits(count_max=6)
    for number in range(3):
        command_queue.put("a", f"s{number}")
    with pytest.raises(CommandQueueFull):
        command_queue.put("a", "s")
    for number in range(3):
        command_queue.put("a", f"o{number}")
    with pytest.raises(CommandQueueFull):
        command_queue.put("a", "o")


@given(st.lists(st.sampled_from(["put s", "put o", "pop"]), max_size=200), st.integers(0, 200))
def test_each_kind_keeps_its_order_and_neither_starves(steps: list[str], many: int) -> None:
    command_queue, _ = submits()
    put, passed = 0, 0
    taken: list[str] = []
    left = {"s": 0, "o": 0}
    for step in ["put s"] * many + steps:
        if step == "pop":
            popped = command_queue.pop()
            if popped is None:
                assert left == {"s": 0, "o": 0}
                continue
            kind = popped[1][0]
            # Under overload a submit is bypassed by a limited number of items in a row.
            passed = passed + 1 if kind == "o" and left["s"] >= OVERLOAD_SUBMIT_COUNT else 0
            assert passed < SUBMIT_SHARE
            left[kind] -= 1
            taken.append(popped[1])
        else:
            put += 1
            left[step[-1]] += 1
            command_queue.put("a", f"{step[-1]}{put:04d}")
    taken += command_queue.drain()
    assert len(taken) == put
    for kind in "so":
        of_kind = [item for item in taken if item[0] == kind]
        assert of_kind == sorted(of_kind)
