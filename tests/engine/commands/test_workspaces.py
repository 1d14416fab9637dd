"""Workspaces that are created and removed: what their history remembers."""

from router.engine.engine import Engine
from router.engine.snapshots.full import load
from router.model import commands as c
from router.model.results import RefusalCode, Refused
from tests.support.builders import a_policy
from tests.support.world import World


def test_a_removed_workspace_is_known_as_removed_after_a_replay_and_from_a_snapshot() -> None:
    world = World()
    world.done(c.CreateWorkspace(policy=a_policy(), created_by="operator:olga"))
    assert world.engine.created is not None and not world.engine.is_removed
    world.later(5)
    world.done(c.RemoveWorkspace(removed_by="operator:olga"))
    replayed = Engine()
    for first_seq, at_ms, events in world.records:
        replayed.replay(events, first_seq, at_ms)
    for engine in (world.engine, Engine.restore(world.engine.snapshot()), replayed):
        assert engine.is_removed and engine.created is None
        created = load(engine.snapshot()).created
        assert created is not None and created.removed_at_ms == world.at_ms == created.created_at_ms + 5_000
    assert world.refused(c.RemoveWorkspace(removed_by="operator:olga")).code is RefusalCode.WORKSPACE_IN_USE
    assert world.refused(c.CreateWorkspace(policy=None, created_by="operator:olga")).code is RefusalCode.WORKSPACE_EXISTS


def test_nothing_is_done_in_a_removed_workspace_any_more() -> None:
    world = World()
    world.done(c.CreateWorkspace(policy=a_policy(), created_by="operator:olga"))
    world.done(c.RemoveWorkspace(removed_by="operator:olga"))
    last_seq = world.engine.seq
    put = c.PutAgent(agent_id="ann")
    commands: list[c.Command] = [
        put,
        c.GuardedCommand(command=put, dedupe_key=b"k", fingerprint=b"f"),
        c.PublishPolicy(policy=a_policy()),
        c.EnqueueContact(contact_id="c1", channel="voice", queue_id="support"),
    ]
    for engine in (world.engine, Engine.restore(world.engine.snapshot())):
        for command in commands:
            outcome = engine.handle(command, world.at_ms)
            assert isinstance(outcome.result, Refused) and outcome.result.code is RefusalCode.WORKSPACE_REMOVED, command
            assert not outcome.events
        assert engine.seq == last_seq
    world.done(c.AdvanceTime())
