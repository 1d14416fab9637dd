"""A shadow beside a running writer: it follows, skips and restarts, and its errors do not affect routing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from router.core.shadow import Shadow
from router.journal.memory import MemoryJournal
from router.journal.sqlite import SqliteJournal
from router.model.commands import ClearShadowPolicy, SetShadowPolicy
from router.model.ids import WorkspaceId
from router.model.policy import Policy
from router.model.shadow import Difference, DifferenceKind, ShadowReport
from router.runtime.shadowing import Shadowing
from router.runtime.writer import Writer
from tests.builders import (
    START_MS,
    a_contact,
    a_policy,
    a_policy_with_queue,
    an_agent,
    published,
    ready,
)
from tests.integration.hand_clock import HandClock
from tests.integration.house import a_writer, do


class Told:
    """Records the notifications of the shadows."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.errors: list[Exception] = []
        self.missed = 0

    def differs(self, workspace: WorkspaceId, difference: Difference) -> None:
        self.differences.append(difference)

    def failed(self, workspace: WorkspaceId, error: Exception) -> None:
        self.errors.append(error)

    def lagged(self, workspace: WorkspaceId, events_missed: int) -> None:
        self.missed += events_missed


@asynccontextmanager
async def shadowing(
    writer: Writer, observer: Told, *, backlog_max: int = 1_000
) -> AsyncIterator[Shadowing]:
    shadows = Shadowing(writer, watcher=observer, backlog_max=backlog_max, restart_s=0.0)
    await shadows.begin()
    task = asyncio.create_task(shadows.run())
    try:
        yield shadows
        assert not task.done(), "the task of the shadows has ended"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def report_of(shadows: Shadowing) -> ShadowReport:
    await shadows.caught_up("main", timeout_s=10)
    report = shadows.report("main")
    assert report is not None
    return report


async def set_up(writer: Writer, live: Policy) -> None:
    await writer.add_workspace("main")
    await do(writer, published(live))
    await do(writer, an_agent())
    await do(writer, ready())


NEEDS_GERMAN = a_policy_with_queue(requires={"german": 3})


async def test_a_shadow_can_be_set_replaced_and_cleared() -> None:
    observer = Told()
    async with (
        a_writer(MemoryJournal(), clock=HandClock(START_MS)) as writer,
        shadowing(writer, observer) as shadows,
    ):
        await set_up(writer, a_policy())
        assert shadows.report("main") is None
        reply = await do(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
        await report_of(shadows)
        await do(writer, a_contact())
        report = await report_of(shadows)
        assert report.state == "following"
        assert report.policy_seq == reply.outcome.first_seq
        assert report.differences == {"not_eligible": 1, "requirement": 1}
        kinds = [one.kind for one in observer.differences]
        assert kinds == [DifferenceKind.REQUIREMENT, DifferenceKind.NOT_ELIGIBLE]
        await do(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        await do(writer, a_contact("c2"))
        report = await report_of(shadows)
        assert (report.differences, report.submits) == ({}, 1)
        await do(writer, ClearShadowPolicy())
        assert shadows.report("main") is None


async def test_refused_submits_are_processed_in_order() -> None:
    async with (
        a_writer(MemoryJournal(), clock=HandClock(START_MS)) as writer,
        shadowing(writer, Told()) as shadows,
    ):
        await set_up(writer, a_policy_with_queue(length_max=0))
        await do(writer, SetShadowPolicy(policy=a_policy()))
        await do(writer, a_contact())
        await report_of(shadows)
        await writer.execute("main", a_contact("c2"), actor="gateway:test")
        report = await report_of(shadows)
        assert report.differences == {"taken": 1}
        assert report.examples["taken"][0].why == ("queue_full",)


async def test_a_shadow_that_cannot_keep_up_skips_events_and_restarts() -> None:
    observer = Told()
    async with (
        a_writer(MemoryJournal(), clock=HandClock(START_MS)) as writer,
        shadowing(writer, observer, backlog_max=3) as shadows,
    ):
        await set_up(writer, a_policy())
        await do(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
        await report_of(shadows)
        await do(writer, a_contact())
        before = await report_of(shadows)
        commands = [a_contact(f"d{number}") for number in range(50)]
        await asyncio.gather(*(do(writer, command) for command in commands))
        report = await report_of(shadows)
        assert report.state == "following" and report.restarts >= 1
        assert report.events_missed == observer.missed > 0
        assert report.as_of_seq == writer.publisher.last_seq("main")
        assert report.submits < 51 and report.since_seq == before.since_seq
        await do(writer, a_contact("last"))
        after = await report_of(shadows)
        assert after.submits == report.submits + 1


async def test_an_error_in_a_shadow_stops_only_the_shadow() -> None:
    observer = Told()

    def broken(*_: object, **__: object) -> list[Difference]:
        raise ValueError("out of step")

    async with (
        a_writer(MemoryJournal(), clock=HandClock(START_MS)) as writer,
        shadowing(writer, observer) as shadows,
    ):
        await set_up(writer, a_policy())
        await do(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        follower = shadows._followers["main"]
        shadow = follower.shadow
        assert isinstance(shadow, Shadow)
        shadow.follow = broken  # type: ignore[method-assign]
        await do(writer, a_contact())
        report = await report_of(shadows)
        assert (report.state, report.failure) == ("stopped", "ValueError")
        assert [str(error) for error in observer.errors] == ["out of step"]
        await do(writer, a_contact("c2"))
        assert not follower.backlog, "a stopped shadow must not keep a backlog"
        # Setting the policy again restarts the shadow.
        await do(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        await do(writer, a_contact("c3"))
        report = await report_of(shadows)
        assert (report.state, report.failure, report.submits) == ("following", None, 1)


async def test_the_shadow_policy_is_resumed_after_a_restart(tmp_path: Path) -> None:
    """Resume from the snapshot that an orderly stop leaves."""
    path = tmp_path / "journal.db"
    async with a_writer(SqliteJournal(path, ballast_bytes=0), clock=HandClock(START_MS)) as writer:
        await set_up(writer, a_policy())
        reply = await do(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
    async with (
        a_writer(SqliteJournal(path, ballast_bytes=0), clock=HandClock(START_MS)) as writer,
        shadowing(writer, Told()) as shadows,
    ):
        await report_of(shadows)
        await do(writer, a_contact())
        report = await report_of(shadows)
        assert report.policy_seq == reply.outcome.first_seq
        assert report.differences == {"not_eligible": 1, "requirement": 1}
