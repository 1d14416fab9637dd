"""The log of live contacts: a walk sees the contacts of its beginning in their order, and drops what is over."""

import random

from router.model.events import ContactAbandoned, ContactQueued, PolicyPublished
from router.statistics.contact_log import ContactLog
from router.statistics.open_records import LiveContact
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import START_MS, a_policy


def a_contact() -> LiveContact:
    return LiveContact("support", "voice", 0)


def append(log: ContactLog, contact_id: str, record: LiveContact) -> None:
    log.ids.append(contact_id)
    log.records.append(record)


def test_a_walk_drops_what_is_over_and_keeps_what_is_live_in_its_order() -> None:
    live = {name: a_contact() for name in "abcd"}
    log = ContactLog(live)
    del live["b"]
    reused = live.pop("c")
    live["c"] = a_contact()
    append(log, "c", live["c"])
    slices = list(log.read(2))
    assert [[name for name, _ in taken] for taken in slices] == [["a", "b"], ["c", "d"], ["c"]]
    assert slices[1][0][1] is reused and slices[2][0][1] is live["c"]
    assert len(log.ids) == len(log.records) == 3 and [name for taken in log.read(9) for name, _ in taken] == [
        "a",
        "d",
        "c",
    ] == list(live)


def test_a_walk_that_is_closed_loses_nothing_wherever_it_was() -> None:
    for steps in range(5):
        live = {str(number): a_contact() for number in range(6)}
        log = ContactLog(live)
        del live["0"], live["4"]
        walk = log.read(2)
        for _ in range(min(steps, 3)):
            next(walk)
        live["new"] = a_contact()
        append(log, "new", live["new"])
        walk.close()
        assert [name for taken in log.read(3) for name, record in taken if live.get(name) is record] == list(live)
        assert len(log.ids) == len(log.records) == len(live)


def test_the_list_stays_small_where_nothing_walks() -> None:
    stats, source, live = WorkspaceStats(), random.Random(3), list[str]()
    stats.apply(PolicyPublished(version=1, policy=a_policy()), 1, START_MS)
    seq = 1
    for number in range(6_000):
        seq += 1
        name = f"c{number % 700}" if f"c{number % 700}" not in live else f"d{number}"
        live.append(name)
        stats.apply(
            ContactQueued(contact_id=name, channel="voice", queue_id="support", requirement="", policy_version=1), seq, START_MS
        )
        while len(live) > 50:
            seq += 1
            over = live.pop(source.randrange(len(live)))
            stats.apply(ContactAbandoned(contact_id=over, queue_id="support", waited_ms=1), seq, START_MS)
    assert list(stats._state.contacts) == live, "in order of the submit"
    assert len(stats._state.contact_log.ids) <= 2 * 51 + 2_001
    image = stats.incremental_snapshot()
    expected = stats.snapshot()
    while image.advance():
        pass
    assert b"".join(image.parts()) == expected
