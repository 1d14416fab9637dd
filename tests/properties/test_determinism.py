"""Determinism (I30): same input, same bytes, in another process, after a replay or a restore, and however commands are grouped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.engine.engine import Engine
from router.model import commands as c
from tests.properties.workload import Workload, run
from tests.support.checks.views import compare_views
from tests.support.world import World

ROOT = Path(__file__).parents[2]


def digest_in_another_process(hash_seed: str, steps: int) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    result = subprocess.run(
        [sys.executable, "-m", "tests.properties.workload", "7", str(steps)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    outputs = {digest_in_another_process(seed, 400) for seed in ("0", "1", "4242")}
    assert len(outputs) == 1, outputs


def test_matching_leaves_no_deadline_that_is_due() -> None:
    """A walk that found a reservation which ended while contacts were matched, in a queue without ready agents."""
    world = run(1_174, 60)
    due_ms = world.engine.next_deadline_ms()
    assert due_ms is None or due_ms > world.at_ms
    assert world.replayed().digest() == world.engine.digest()


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_and_the_tail_are_the_whole(seed: int) -> None:
    world = run(seed, 150)
    snapshot, seq = world.engine.snapshot(), world.engine.seq
    assert snapshot == Engine.restore(snapshot).snapshot(), "the same state gives the same bytes"
    workload = Workload(seed + 1_000)
    for _ in range(150):
        workload.pause(world)
        world.do(workload.next(world))
    assert world.replayed(snapshot, seq).digest() == world.engine.digest()
    assert world.replayed().digest() == world.engine.digest()


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_engine_continues_in_the_same_way(seed: int) -> None:
    """A restored engine equals the original in everything it does afterwards, timers included."""
    world = run(seed, 100)
    twins = {"restored": Engine.restore(world.engine.snapshot()), "replayed": world.replayed()}
    workload = Workload(seed + 2_000)
    for _ in range(100):
        workload.pause(world)
        for name, twin in twins.items():
            # ``pause`` may have fired timers; the twins get the same times.
            twins[name] = catch_up(twin, world)
        outcome = world.do(workload.next(world))
        for name, twin in twins.items():
            twin_outcome = twin.handle(world.commands[-1][1], world.at_ms)
            assert twin_outcome == outcome, name
            assert twin.digest() == world.engine.digest(), name
            assert twin.next_deadline_ms() == world.engine.next_deadline_ms(), name


def catch_up(twin: Engine, world: World) -> Engine:
    """Give the twin the commands that the engine has received since the twin's last event."""
    for first_seq, at_ms, events in world.records:
        if first_seq > twin.seq:
            assert twin.handle(c.AdvanceTime(), at_ms).events == events
    return twin


@pytest.mark.parametrize("seed", range(4))
def test_due_timers_fire_before_a_command_as_if_time_had_advanced_first(seed: int) -> None:
    world = run(seed, 50)
    workload = Workload(seed + 3_000)
    for _ in range(250):
        workload.pause(world)
        command = workload.next(world)
        other = Engine.restore(world.engine.snapshot())
        first = other.handle(c.AdvanceTime(), world.at_ms)
        second = other.handle(command, world.at_ms)
        outcome = world.do(command)
        assert outcome.events == first.events + second.events
        assert outcome.result == second.result
        assert other.digest() == world.engine.digest()


@pytest.mark.parametrize("seed", range(6))
def test_a_long_walk_violates_no_invariant(seed: int) -> None:
    world = World()
    workload = Workload(seed + 4_000)
    for command in workload.opening():
        world.do(command)
    for step in range(250):
        workload.pause(world)
        world.do(workload.next(world))
        if step % 5 == 0:
            compare_views(world)
    compare_views(world)


WALKS = int(os.environ.get("ROUTER_WALKS", "25"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10_000, 10_000 + WALKS))
def test_many_long_walks_violate_no_invariant(seed: int) -> None:
    compare_views(run(seed, 300))
