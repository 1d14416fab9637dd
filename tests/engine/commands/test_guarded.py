"""Guarded commands: idempotency keys and preconditions, checked in the step that carries the command out."""

from typing import Any

import pytest

from router.engine.commands.guarded import agent_tag, contact_tag, queue_tag
from router.engine.engine import Engine
from router.engine.snapshots.full import load
from router.engine.state.idempotency import IdempotencyKeys, IdempotencyRecord
from router.model import commands as c
from router.model import events as e
from router.model.policy import RetentionPolicy
from router.model.results import Done, RefusalCode
from tests.support.builders import START_MS, a_contact, a_policy, an_agent, published, ready
from tests.support.engine_worlds import kinds
from tests.support.world import World, a_world


def once(command: c.PlainCommand, key: bytes = b"k", fingerprint: bytes = b"f", **more: Any) -> c.GuardedCommand:
    return c.GuardedCommand(command=command, dedupe_key=key, fingerprint=fingerprint, client="supervisor:eve", **more)


def given(command: c.PlainCommand, **condition: Any) -> c.GuardedCommand:
    return c.GuardedCommand(command=command, precondition=c.Precondition(**condition))


def answer_of(world: World, command: c.Command) -> Done:
    answer = world.do(command).result
    assert isinstance(answer, Done), answer
    return answer


# --- keys ----------------------------------------------------------------------------------------------------------------
def test_a_repeat_gets_the_first_answer_whatever_has_happened_since() -> None:
    """I3."""
    world = a_world(None, an_agent(), a_contact())
    requeue = once(c.RequeueContact(contact_id="c1"))
    first = world.do(requeue)
    assert kinds(first.events) == ["IdempotencyKeyRecorded"], "nothing to change, but the key is recorded"
    world.done_all(ready(), c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    again = world.do(requeue)
    assert isinstance(first.result, Done) and isinstance(again.result, Done)
    assert not again.events and again.result.replayed
    assert (again.result.subject, again.result.state, again.result.seq) == ("c1", "queued", first.result.seq)
    view = world.engine.contact("c1")
    assert view is not None and view.agent_id == "ada"


def test_a_key_is_used_for_one_command_only() -> None:
    world = a_world(None, a_contact())
    world.done(once(c.CancelContact(contact_id="c1")))
    assert world.refused(once(c.CancelContact(contact_id="c1"), fingerprint=b"g")).code is RefusalCode.IDEMPOTENCY_KEY_REUSED
    submit = a_contact("c2", dedupe_key=b"k", fingerprint=b"f")
    assert world.refused(a_contact("c3", dedupe_key=b"k", fingerprint=b"g")).code is RefusalCode.IDEMPOTENCY_KEY_REUSED
    assert isinstance(world.do(submit).result, Done)


def test_a_refused_command_leaves_no_key() -> None:
    world = a_world(None, a_contact())
    unpark = once(c.UnparkContact(contact_id="c1"))
    assert world.refused(unpark).code is RefusalCode.INVALID_CONTACT_STATE
    assert world.refused(unpark).code is RefusalCode.INVALID_CONTACT_STATE
    assert len(world.engine._state.idempotency) == 0


def test_keys_survive_replay_and_snapshots() -> None:
    world = a_world(None, a_contact())
    update = once(c.UpdateContact(contact_id="c1", priority_s=5))
    first = answer_of(world, update)
    for engine in (world.replayed(), Engine.restore(world.engine.snapshot())):
        outcome = engine.handle(update, world.at_ms)
        assert isinstance(outcome.result, Done) and outcome.result.replayed and outcome.result.seq == first.seq
        assert engine.handle(once(update.command, fingerprint=b"g"), world.at_ms).events == []


def test_an_incremental_snapshot_has_the_keys_of_its_start() -> None:
    world = a_world(a_policy(retention=RetentionPolicy(idempotency_keys_max=1_000)))
    for number in range(1_000):
        world.engine.handle(once(an_agent(f"a{number}"), key=number.to_bytes(2, "big")), world.at_ms)
    expected = world.engine.snapshot()
    piecewise = world.engine.incremental_snapshot()
    for number in range(1_000, 1_020):
        world.engine.handle(once(ready("a1"), key=number.to_bytes(2, "big")), world.at_ms)
        piecewise.advance()
    while piecewise.advance():
        pass
    assert b"".join(piecewise.parts()) == expected


# --- the bound on keys ---------------------------------------------------------------------------------------------------
def a_record(client: str, at_ms: int = START_MS) -> IdempotencyRecord:
    return IdempotencyRecord(b"f", "s", 1, at_ms, client=client)


def stored(keys: IdempotencyKeys, client: str, *names: str, count_max: int) -> None:
    for name in names:
        keys.store(name.encode(), a_record(client), oldest_ms=0, count_max=count_max)


def test_beyond_the_bound_a_client_with_more_than_its_share_replaces_its_own_keys() -> None:
    keys = IdempotencyKeys()
    stored(keys, "quiet", "q1", "q2", count_max=6)
    stored(keys, "flood", *(f"f{n}" for n in range(100)), count_max=6)
    assert [key for key, _ in keys.items()] == [b"q1", b"q2", b"f96", b"f97", b"f98", b"f99"]
    assert (keys.count_of("quiet"), keys.count_of("flood")) == (2, 4)
    stored(keys, "quiet", "q3", count_max=6)
    assert [key for key, _ in keys.items()] == [b"q2", b"f96", b"f97", b"f98", b"f99", b"q3"]


def test_the_only_client_replaces_its_oldest_key() -> None:
    keys = IdempotencyKeys()
    stored(keys, "one", *"abcde", count_max=3)
    assert [key for key, _ in keys.items()] == [b"c", b"d", b"e"]


def test_a_smaller_bound_is_reached_step_by_step() -> None:
    keys = IdempotencyKeys([(bytes([n]), a_record("one")) for n in range(10)])
    stored(keys, "one", "x", count_max=3)
    assert len(keys) == 9
    for name in "abcdefghij":
        stored(keys, "one", name, count_max=3)
    assert len(keys) == 3


def test_the_bound_of_the_policy_holds_for_submits_and_for_other_commands() -> None:
    engine = Engine()
    engine.handle(published(a_policy(retention=RetentionPolicy(idempotency_keys_max=1_000))), START_MS)
    for number in range(1_100):
        key = number.to_bytes(2, "big")
        command: c.Command = once(an_agent(), key=key) if number % 2 else a_contact(f"c{number}", dedupe_key=key, gateway_id="pbx")
        assert isinstance(engine.handle(command, START_MS).result, Done)
    assert len(engine._state.idempotency) == 1_000
    # The first key was replaced: the submit is a new one, which the contact's id of the first refuses.
    first = engine.handle(a_contact("c0", dedupe_key=b"\0\0", gateway_id="pbx"), START_MS).result
    assert not isinstance(first, Done) and first.code is RefusalCode.CONTACT_EXISTS
    restored = load(engine.snapshot()).idempotency
    assert list(restored.items()) == list(engine._state.idempotency.items())
    assert restored.count_of("pbx") == engine._state.idempotency.count_of("pbx") == 500


# --- preconditions -------------------------------------------------------------------------------------------------------
def test_a_tag_changes_with_what_clients_write_and_with_nothing_else() -> None:
    world = a_world(None, an_agent(), a_contact())
    state = world.engine._state
    contact, agent = state.contacts["c1"], state.agents["ada"]
    tags = (contact_tag(contact), agent_tag(agent), queue_tag(state, "support"))
    world.done_all(ready(), c.AcceptOffer(offer_id="c1.1", agent_id="ada"), c.EndContact(contact_id="c1"))
    assert (contact_tag(contact), agent_tag(agent), queue_tag(state, "support")) == tags
    world.done_all(c.SetQueueOpen(queue_id="support", is_open=False), c.SetAgentChannels(agent_id="ada", paused=("chat",)))
    assert agent_tag(agent) != tags[1] and queue_tag(state, "support") != tags[2]


@pytest.mark.parametrize(
    ("change", "is_new"),
    [
        ({"priority_s": 1}, True),
        ({"priority_class": 1}, True),
        ({"skills": {"english": 1}}, True),
        ({"preferred_agents": ("bob",)}, True),
        ({"priority_s": 0}, False),
    ],
)
def test_the_tag_of_a_contact_covers_each_field(change: dict[str, Any], is_new: bool) -> None:
    world = a_world(None, a_contact())
    contact = world.engine._state.contacts["c1"]
    before = contact_tag(contact)
    answer = answer_of(world, given(c.UpdateContact(contact_id="c1", **change), if_match=(before,)))
    assert (contact_tag(contact) != before) is is_new
    assert answer.tag == contact_tag(contact)


def test_the_contact_of_another_gateway_is_unknown_whatever_the_tag() -> None:
    world = a_world(None, a_contact(gateway_id="web"))
    for tag in ("*", "x", contact_tag(world.engine._state.contacts["c1"])):
        refused = world.refused(given(c.CancelContact(contact_id="c1", gateway_id="other"), if_match=(tag,)))
        assert refused == world.refused(given(c.CancelContact(contact_id="none", gateway_id="other"), if_match=(tag,)))
        assert refused.code is RefusalCode.UNKNOWN_CONTACT


def test_a_guard_that_is_required_is_enforced_only_where_something_is_replaced() -> None:
    world = World()
    first = given(published(), is_required=True)
    assert [type(event) for event in world.done(first)] == [e.PolicyPublished]
    refused = world.refused(first)
    assert (refused.code, refused.field, refused.state) == (RefusalCode.PRECONDITION_REQUIRED, "if_match", "1")
    assert world.refused(given(published(), if_match=("2",))).code is RefusalCode.POLICY_VERSION_CONFLICT
    world.done(given(published(), if_match=("1",), is_required=True))
    world.done(given(published(), if_match=("*",), is_required=True))
    assert world.engine.policy_version == 3
