"""Idempotency keys: their order and chunks, and the walk of a snapshot over them. Sharing between clients: ``test_guarded.py``."""

import random

import pytest

from router.engine.engine import Engine
from router.engine.state.idempotency import IdempotencyKeys, IdempotencyRecord, chunk_of
from router.model import commands as c
from router.model.policy import RetentionPolicy
from router.model.results import Done
from router.model.states import AgentState
from tests.support.builders import START_MS, a_policy, an_agent, published


def named(number: int) -> bytes:
    return number.to_bytes(4, "big")


def a_record(client: str, number: int) -> IdempotencyRecord:
    return IdempotencyRecord(b"f", f"c{number}", number, START_MS + number, client=client)


def numbers_in_chunks(keys: IdempotencyKeys) -> list[int]:
    return [number for place in keys.chunk_numbers() for number, _ in keys.chunk(place)]


def test_keys_stay_in_order_while_old_ones_are_dropped_anywhere() -> None:
    draw, keys = random.Random(1), IdempotencyKeys()
    expected: list[tuple[bytes, str]] = []
    for number in range(4_000):
        client = draw.choice(("flood", "flood", "flood", "quiet"))
        keys.store(named(number), a_record(client, number), oldest_ms=0, count_max=1_500)
        expected.append((named(number), client))
        while len(expected) > 1_500:
            own = [one for one in expected if one[1] == client]
            names = {one for _, one in expected}
            expected.remove(own[0] if len(own) * len(names) > len(expected) else expected[0])
        if number % 500 == 499:
            assert [(key, record.client) for key, record in keys.items()] == expected
    assert numbers_in_chunks(keys) == sorted(numbers_in_chunks(keys)) and len(keys) == len(expected) == 1_500
    for key, client in expected:
        assert keys[key].client == client and keys.get(key) is keys[key]
    assert keys.get(named(0)) is None


def test_a_chunk_frees_the_memory_of_dropped_keys() -> None:
    """A client that keeps a few old keys among very many of another one must not keep the places of those."""
    keys = IdempotencyKeys()
    for number in range(45_000):
        client = "quiet" if number < 20_000 and number % 500 == 0 else "flood"
        keys.store(named(number), a_record(client, number), oldest_ms=0, count_max=20_000)
    assert keys.count_of("quiet") == 40 and numbers_in_chunks(keys)[:3] == [0, 500, 1_000]
    places = sum(len(chunk._keys) for chunk in keys._chunks.values())
    assert len(keys) <= places <= 2 * len(keys)
    assert len(keys._chunks[0]._keys) <= 4, "two keys are left of 512"
    assert all(chunk.count for chunk in keys._chunks.values())
    assert chunk_of(511) == 0 and chunk_of(512) == 1


def test_keys_beyond_their_time_are_dropped_two_at_a_time() -> None:
    keys = IdempotencyKeys((named(number), a_record("pbx", number)) for number in range(5))
    keys.store(named(5), a_record("pbx", 5), oldest_ms=START_MS + 3, count_max=1_000)
    assert [key for key, _ in keys.items()] == [named(number) for number in (2, 3, 4, 5)]
    assert [number for number, _ in keys.may_drop("pbx")] == [2, 3, 2, 3]
    assert keys.may_drop("other") == [(2, named(2)), (3, named(3))]


@pytest.mark.parametrize("advances_before", [0, 1, 3])
def test_a_snapshot_in_pieces_has_the_keys_of_its_start(advances_before: int) -> None:
    engine = Engine()
    engine.handle(published(a_policy(retention=RetentionPolicy(idempotency_keys_max=3_000))), START_MS)
    engine.handle(an_agent(), START_MS)
    draw, sent = random.Random(2), 0

    def send() -> None:
        nonlocal sent
        sent += 1
        state = AgentState.READY if sent % 2 else AgentState.NOT_READY
        client = draw.choice(("eve", "eve", "bob"))
        plain = c.SetAgentState(agent_id="ada", state=state)
        command = c.GuardedCommand(command=plain, client=client, dedupe_key=named(sent), fingerprint=b"f")
        assert isinstance(engine.handle(command, START_MS + sent).result, Done)

    for _ in range(4_000):
        send()
    expected = engine.snapshot()
    snapshot = engine.incremental_snapshot()
    for _ in range(advances_before):
        snapshot.advance()
    for _ in range(2_500):
        send()
    while snapshot.advance():
        send()
    assert b"".join(snapshot.parts()) == expected
    assert Engine.restore(engine.snapshot()).snapshot() == engine.snapshot()
