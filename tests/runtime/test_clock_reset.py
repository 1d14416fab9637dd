"""A journal that was written with a wrong clock: refused at the start, and moved back to the present by the operator."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.app.restorable_stats import RestorableStats
from router.engine.engine import Engine
from router.engine.snapshots.shift import shift_snapshot
from router.journal.sqlite.journal import SqliteJournal
from router.model import commands as c
from router.model.errors import ClockImplausible
from router.model.policy import AtNoAgents, SuspensionPolicy
from router.model.results import Done
from router.policy.document.parsing import parse_policy
from router.runtime.clock_reset import check_clock, reset_clock
from router.runtime.offline import verify_journal_file
from router.runtime.writer import Writer
from router.settings import RuntimeSettings
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.manual_clock import ManualClock
from tests.support.world import World

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


class TestCheck:
    def check(self, wall_ms: int, newest_ms: int) -> None:
        check_clock(RuntimeSettings(), wall_ms=wall_ms, newest_ms=newest_ms)

    def test_usual_clocks_are_accepted(self) -> None:
        for newest_ms in (0, NOW_MS, NOW_MS - 300 * DAY_MS, NOW_MS + 3_599_000):
            self.check(NOW_MS, newest_ms)

    def test_a_journal_that_is_ahead_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(ClockImplausible, match=r"1 days 2 hours ahead.*router journal reset-clock"):
            self.check(NOW_MS, NOW_MS + DAY_MS + 2 * 3_600_000)

    def test_a_clock_far_after_the_journal_is_refused(self) -> None:
        with pytest.raises(ClockImplausible, match=r"400 days 0 hours after.*clock_behind_days_max"):
            self.check(NOW_MS + 400 * DAY_MS, NOW_MS)

    def test_a_clock_that_was_never_set_is_refused(self) -> None:
        with pytest.raises(ClockImplausible, match="before 2024"):
            self.check(0, 0)


def epoch_times(value: Any, near_ms: int) -> Iterator[int]:
    """Iterate over all integers that can only be points in time near one: nothing else in a state is as large."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from epoch_times(key, near_ms)
            yield from epoch_times(item, near_ms)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from epoch_times(item, near_ms)
    elif isinstance(value, int) and abs(value - near_ms) < 400 * DAY_MS:
        yield value


POLICY = b"""
channels: {voice: {wrap_up_s: 60, offer_timeout_s: 60}}
calendars:
  office: {zone: Europe/Zurich, week: {thu: ["08:00-18:00"], fri: ["08:00-18:00"], sat: ["08:00-18:00"]}}
queues:
  support: {cool_down_s: 30, hours: office, selection: fewest_today, callback: {channel: voice}}
"""


def a_busy_engine(at_ms: int) -> Engine:
    """An engine with waiting, ringing, taken, wrapped-up and ended contacts, a callback at an agreed time, and opening hours."""
    engine = Engine()
    times = iter(range(at_ms, at_ms + 1_000_000, 1_000))

    def do(command: c.Command) -> None:
        result = engine.handle(command, next(times)).result
        assert isinstance(result, Done), (command, result)

    do(published(parse_policy(POLICY)))
    do(a_contact("callback", callback=c.CallbackFields(at_ms=at_ms + DAY_MS // 4)))
    for name in ("ada", "bob", "cy"):
        do(an_agent(name))
        do(ready(name))
    for number in range(6):
        do(a_contact(f"c{number}", ttl_s=3_600, dedupe_key=bytes(15) + bytes([number]), fingerprint=bytes(16)))
    for count, agent in enumerate(engine.agents()):
        [offer] = agent.offers
        if count:
            do(c.AcceptOffer(offer_id=offer.offer_id, agent_id=agent.agent_id))
        if count == 2:
            do(c.EndContact(contact_id=offer.contact_id))
    do(c.CancelContact(contact_id="c5"))
    return engine


class TestShift:
    def test_no_time_is_left_behind(self) -> None:
        engine = a_busy_engine(NOW_MS)
        before = engine.snapshot()
        after = shift_snapshot(before, -DAY_MS)
        old, new = (list(epoch_times(msgspec.msgpack.decode(data), engine.at_ms)) for data in (before, after))
        assert len(old) == len(new) > 20
        left = [at for at in new if at > NOW_MS - DAY_MS // 2]
        # The agreed time of the callback and what follows from it, and the next change of the opening hours.
        agreed_ms = NOW_MS + DAY_MS // 4
        callback, expiry = [agreed_ms] * 2, [agreed_ms + DAY_MS] * 2
        assert sorted(left) == sorted([*callback, *expiry, NOW_MS + 9 * 3_600_000]), "a point in time was not shifted"

    def test_durations_stay_and_the_state_is_consistent(self) -> None:
        engine = a_busy_engine(NOW_MS)
        shifted = Engine.restore(shift_snapshot(engine.snapshot(), -DAY_MS))
        assert shifted.check_invariants() == []
        assert shifted.at_ms == engine.at_ms - DAY_MS
        for contact in engine.contacts():
            moved = shifted.contact(contact.contact_id)
            assert moved is not None and moved.queued_at_ms == contact.queued_at_ms - DAY_MS
        assert Engine.restore(shift_snapshot(shifted.snapshot(), DAY_MS)).at_ms == engine.at_ms


def suspended(terms: c.SuspendContact) -> Engine:
    """An engine with a suspended contact in a queue that has had no ready agent for a second."""
    world = World()
    world.later((NOW_MS - world.at_ms) / 1000)
    queue = a_queue(
        suspension=SuspensionPolicy(resume_within_s=7_200, warn_before_s=600), no_agents_for_s=60, at_no_agents=AtNoAgents.EXPIRE
    )
    world.done_all(published(a_policy(queues={"support": queue})), a_contact("c1"), terms)
    world.later(1)
    return world.engine


@pytest.mark.parametrize(("named_ms", "moved_ms"), [(None, DAY_MS), (NOW_MS + DAY_MS, 0)])
def test_the_end_of_a_suspension_moves_unless_it_was_agreed(named_ms: int | None, moved_ms: int) -> None:
    engine = suspended(c.SuspendContact(contact_id="c1", resume_by_ms=named_ms))
    shifted = Engine.restore(shift_snapshot(engine.snapshot(), -DAY_MS))
    before, after = engine.contact("c1"), shifted.contact("c1")
    assert before is not None and before.suspension is not None and after is not None and after.suspension is not None
    assert after.suspension.suspended_at_ms == before.suspension.suspended_at_ms - DAY_MS
    assert after.suspension.resume_by_ms == before.suspension.resume_by_ms - moved_ms
    assert after.suspension.age_ms == before.suspension.age_ms
    old, new = (one._state.contacts["c1"].suspension for one in (engine, shifted))
    assert old is not None and old.warning_ms is not None and new is not None
    assert new.warning_ms == old.warning_ms - moved_ms


def test_the_time_without_agents_goes_on_after_a_shift() -> None:
    engine = suspended(c.SuspendContact(contact_id="c1"))
    shifted = Engine.restore(shift_snapshot(engine.snapshot(), -DAY_MS))
    assert engine.next_deadline_ms() == NOW_MS + 60_000
    assert shifted.next_deadline_ms() == NOW_MS + 60_000 - DAY_MS


class Site:
    """A journal written with a clock that is a day ahead."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "var" / "journal.db"

    async def work(self, clock: ManualClock, contacts: list[str]) -> tuple[int, str]:
        """Run a writer, submit contacts and return the last event and the history id."""
        writer = Writer(SqliteJournal(self.path, reserved_bytes=0), clock=clock, new_stats=lambda _: RestorableStats())
        if not await writer.recover():
            await writer.add_workspace("main")
        task = asyncio.create_task(writer.run())
        if writer.newest_ms == 0:
            await writer.execute("main", published(a_policy()), actor="admin:test")
            await writer.execute("main", an_agent(), actor="admin:test")
        for name in contacts:
            clock.advance(1_000)
            await writer.execute("main", a_contact(name), actor="gateway:test")
        seq = (await writer.query("main", lambda engine: engine.seq)).value
        history_id = writer.history_id("main")
        await writer.stop()
        await task
        return seq, history_id

    async def reset(self, now_ms: int, backup: str = "backup") -> list[Any]:
        journal = SqliteJournal(self.path, reserved_bytes=0)
        directory = self.directory / backup
        new_stats = lambda _: RestorableStats()  # noqa: E731
        return await reset_clock(journal, backup=directory, companions=(), now_ms=now_ms, new_stats=new_stats)


async def test_a_journal_that_is_a_day_ahead_is_moved_back(tmp_path: Path) -> None:
    site = Site(tmp_path)
    seq, old_history = await site.work(ManualClock(NOW_MS + DAY_MS), ["c1", "c2"])
    now_ms = NOW_MS + 60_000
    [reset] = await site.reset(now_ms)
    assert (reset.seq, round(reset.ahead_ms / DAY_MS)) == (seq, 1)
    assert (await verify_journal_file(site.path)).ok
    assert (await verify_journal_file(tmp_path / "backup" / "journal.db")).ok
    clock = ManualClock(now_ms)
    new_seq, new_history = await site.work(clock, ["c3"])
    assert (new_seq, new_history != old_history) == (seq + 1, True)
    assert clock.now_ms() == now_ms + 1_000
    report = await verify_journal_file(site.path)
    assert report.ok, report
    journal = SqliteJournal(site.path, reserved_bytes=0)
    (history,) = await journal.open()
    [record] = list(journal.replay("main", after_seq=seq))
    assert (record.at_ms, record.epoch) == (now_ms + 1_000, 2)
    assert history.snapshot is not None
    engine = Engine.restore(history.snapshot.engine_state)
    assert [contact.contact_id for contact in engine.contacts()] == ["c1", "c2", "c3"]
    await journal.close()


async def test_nothing_is_done_where_no_workspace_is_ahead(tmp_path: Path) -> None:
    site = Site(tmp_path)
    _, history_id = await site.work(ManualClock(NOW_MS), ["c1"])
    assert await site.reset(NOW_MS + 60_000) == []
    assert not (tmp_path / "backup").exists()
    assert (await site.work(ManualClock(NOW_MS + 60_000), []))[1] == history_id


def test_every_time_field_of_the_state_follows_the_naming_rule() -> None:
    """A new field that holds a point in time under another name would not be moved."""
    source = Path(__file__).parents[2] / "src/router/engine/state"
    fields = [
        name
        for path in source.glob("*.py")
        for name in re.findall(r"^    (\w+_ms): int(?: \| None)?(?: =.*)?$", path.read_text(), re.MULTILINE)
    ]
    durations = {name for name in fields if not re.search(r"(?:^|_)(?:at|since|until|start|deadline)_ms$", name)}
    known = {"waited_ms", "return_to_sender_ms", "handling_ms", "ring_ms", "total_wait_ms", "mean_ms", "closed_ms"}
    known |= {"age_ms", "ttl_left_ms"}
    # Points in time that move with the clock only where no client has named them: tested above.
    named = {"resume_by_ms", "warning_ms"}
    assert durations - known == named
