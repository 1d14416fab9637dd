"""A shadow beside a running writer: it follows, skips and restarts, and its errors do not affect routing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.engine.shadow import Shadow
from router.journal.memory import MemoryJournal
from router.journal.sqlite.journal import SqliteJournal
from router.model.commands import ClearShadowPolicy, Command, GuardedCommand, SetShadowPolicy, SubmitOrResume
from router.model.policy import Policy
from router.model.shadow import Difference, DifferenceKind, ShadowReport
from router.model.states import ResumeMode, WorkspaceId
from router.runtime.shadow_runner import ShadowRunner
from router.runtime.writer import Writer
from tests.support.builders import START_MS, a_contact, a_policy, a_policy_with_queue, an_agent, published, ready
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer


class RecordingObserver:
    """Records the notifications of the shadows."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.errors: list[Exception] = []
        self.missed = 0

    def on_difference(self, workspace: WorkspaceId, difference: Difference) -> None:
        self.differences.append(difference)

    def on_failure(self, workspace: WorkspaceId, error: Exception) -> None:
        self.errors.append(error)

    def on_events_skipped(self, workspace: WorkspaceId, events_missed: int) -> None:
        self.missed += events_missed


@asynccontextmanager
async def running_shadows(writer: Writer, observer: RecordingObserver, *, backlog_max: int = 1_000) -> AsyncIterator[ShadowRunner]:
    shadows = ShadowRunner(writer, observer=observer, backlog_max=backlog_max, restart_s=0.0)
    await shadows.start()
    task = asyncio.create_task(shadows.run())
    try:
        yield shadows
        assert not task.done(), "the task of the shadows has ended"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def report_of(shadows: ShadowRunner) -> ShadowReport:
    await shadows.wait_until_caught_up("main", timeout_s=10)
    report = shadows.report("main")
    assert report is not None
    return report


async def set_up(writer: Writer, live: Policy) -> None:
    await writer.add_workspace("main")
    await execute_done(writer, published(live))
    await execute_done(writer, an_agent())
    await execute_done(writer, ready())


NEEDS_GERMAN = a_policy_with_queue(requires={"german": 3})


async def test_a_shadow_can_be_set_replaced_and_cleared() -> None:
    observer = RecordingObserver()
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer, running_shadows(writer, observer) as shadows:
        await set_up(writer, a_policy())
        assert shadows.report("main") is None
        reply = await execute_done(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
        await report_of(shadows)
        await execute_done(writer, a_contact())
        report = await report_of(shadows)
        assert report.state == "active"
        assert report.policy_seq == reply.outcome.first_seq
        assert report.differences == {"not_eligible": 1, "requirement": 1}
        kinds = [one.kind for one in observer.differences]
        assert kinds == [DifferenceKind.REQUIREMENT, DifferenceKind.NOT_ELIGIBLE]
        await execute_done(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        await execute_done(writer, a_contact("c2"))
        report = await report_of(shadows)
        assert (report.differences, report.submits) == ({}, 1)
        await execute_done(writer, ClearShadowPolicy())
        assert shadows.report("main") is None


def resuming(contact_id: str) -> Command:
    return SubmitOrResume(contact=a_contact(contact_id), resume=ResumeMode.AUTO)


def resuming_once(contact_id: str) -> Command:
    return GuardedCommand(command=resuming(contact_id), client="g", dedupe_key=b"k")  # type: ignore[arg-type]


@pytest.mark.parametrize("submit", [a_contact, resuming, resuming_once])
async def test_refused_submits_are_processed_in_order(submit: Callable[[str], Command]) -> None:
    async with (
        running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer,
        running_shadows(writer, RecordingObserver()) as shadows,
    ):
        await set_up(writer, a_policy_with_queue(length_max=0))
        await execute_done(writer, SetShadowPolicy(policy=a_policy()))
        await execute_done(writer, a_contact())
        await report_of(shadows)
        await writer.execute("main", submit("c2"), actor="gateway:test")
        report = await report_of(shadows)
        assert report.differences == {"taken": 1}
        assert report.examples["taken"][0].why == ("queue_full",)


async def test_a_shadow_that_cannot_keep_up_skips_events_and_restarts() -> None:
    observer = RecordingObserver()
    async with (
        running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer,
        running_shadows(writer, observer, backlog_max=3) as shadows,
    ):
        await set_up(writer, a_policy())
        await execute_done(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
        await report_of(shadows)
        await execute_done(writer, a_contact())
        before = await report_of(shadows)
        commands = [a_contact(f"d{number}") for number in range(50)]
        await asyncio.gather(*(execute_done(writer, command) for command in commands))
        report = await report_of(shadows)
        assert report.state == "active" and report.restarts >= 1
        assert report.events_missed == observer.missed > 0
        assert report.as_of_seq == writer.publisher.last_seq("main")
        assert report.submits < 51 and report.since_seq == before.since_seq
        await execute_done(writer, a_contact("last"))
        after = await report_of(shadows)
        assert after.submits == report.submits + 1


async def test_an_error_in_a_shadow_stops_only_the_shadow() -> None:
    observer = RecordingObserver()

    def broken(*_: object, **__: object) -> list[Difference]:
        raise ValueError("out of step")

    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer, running_shadows(writer, observer) as shadows:
        await set_up(writer, a_policy())
        await execute_done(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        follower = shadows._shadows["main"]
        shadow = follower.shadow
        assert isinstance(shadow, Shadow)
        shadow.apply_record = broken  # type: ignore[method-assign]
        await execute_done(writer, a_contact())
        report = await report_of(shadows)
        assert (report.state, report.failure) == ("stopped", "ValueError")
        assert [str(error) for error in observer.errors] == ["out of step"]
        await execute_done(writer, a_contact("c2"))
        assert not follower.backlog, "a stopped shadow must not keep a backlog"
        # Setting the policy again restarts the shadow.
        await execute_done(writer, SetShadowPolicy(policy=a_policy()))
        await report_of(shadows)
        await execute_done(writer, a_contact("c3"))
        report = await report_of(shadows)
        assert (report.state, report.failure, report.submits) == ("active", None, 1)


async def test_the_shadow_policy_is_resumed_after_a_restart(tmp_path: Path) -> None:
    """Resume from the snapshot that an orderly stop leaves."""
    path = tmp_path / "journal.db"
    async with running_writer(SqliteJournal(path, reserved_bytes=0), clock=ManualClock(START_MS)) as writer:
        await set_up(writer, a_policy())
        reply = await execute_done(writer, SetShadowPolicy(policy=NEEDS_GERMAN))
    async with (
        running_writer(SqliteJournal(path, reserved_bytes=0), clock=ManualClock(START_MS)) as writer,
        running_shadows(writer, RecordingObserver()) as shadows,
    ):
        await report_of(shadows)
        await execute_done(writer, a_contact())
        report = await report_of(shadows)
        assert report.policy_seq == reply.outcome.first_seq
        assert report.differences == {"not_eligible": 1, "requirement": 1}
