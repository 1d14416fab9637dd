"""Ended contacts: entries keep their numbers while older ones are dropped, and nothing dropped is kept for long."""

import random

from router.engine.state.ended_contacts import EndedContacts


def test_entries_keep_their_numbers_while_older_ones_are_dropped() -> None:
    ended = EndedContacts([("a", 1), ("b", 2)])
    assert (ended.first, ended.end, len(ended), ended.oldest_ms) == (0, 2, 2, 1)
    ended.append("c", 3)
    assert ended.pop_oldest() == "a"
    assert (ended.first, ended.end, ended.oldest_ms) == (1, 3, 2)
    assert ended.between(0, 2) == [("b", 2)] and ended.between(2, 9) == [("c", 3)] and ended.between(0, 1) == []
    assert list(ended) == [("b", 2), ("c", 3)]
    assert [ended.pop_oldest(), ended.pop_oldest()] == ["b", "c"]
    assert not ended and ended.oldest_ms is None and list(ended) == [] and (ended.first, ended.end) == (3, 3)


def test_it_equals_a_plain_list_after_many_additions_and_drops() -> None:
    source, ended, entries, dropped = random.Random(7), EndedContacts(), list[tuple[str, int]](), 0
    for number in range(20_000):
        while source.random() < 0.6 and dropped < len(entries):
            assert ended.pop_oldest() == entries[dropped][0]
            dropped += 1
        entries.append((f"c{number}", number))
        ended.append(*entries[-1])
        assert (ended.first, ended.end, len(ended)) == (dropped, len(entries), len(entries) - dropped)
        if number % 500 == 0:
            start = source.randrange(len(entries))
            assert ended.between(start, start + 50) == entries[max(start, dropped) : start + 50]
    assert list(ended) == entries[dropped:]
    assert len(ended._entries) < 2 * len(ended) + 1_002
