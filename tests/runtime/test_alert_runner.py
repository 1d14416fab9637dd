"""Evaluation of alerts beside a running writer: workspaces that go meanwhile, and errors, concern no other workspace."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from router.journal.memory import MemoryJournal
from router.model.errors import CommandQueueFull, JournalUnavailable, Stopping
from router.model.policy import AlertPolicy
from router.model.states import WorkspaceId
from router.runtime.alert_runner import AlertRunner
from router.runtime.writer import Writer
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import START_MS, a_contact, a_policy, published
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer

FULL = AlertPolicy(measure="waiting", above=0)
WORKSPACES = ("a", "b", "c")


class Centre:
    """Three workspaces with a contact that waits, and the evaluation of their alerts."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.failures: list[tuple[WorkspaceId, Exception]] = []
        self.errors: dict[WorkspaceId, Exception] = {}
        self.runner = AlertRunner(writer, self._stats_of, lambda workspace, error: self.failures.append((workspace, error)))

    def _stats_of(self, workspace: WorkspaceId) -> WorkspaceStats:
        self.writer.stats(workspace)  # Raises KeyError for an unknown workspace.
        if (error := self.errors.get(workspace)) is not None:
            raise error
        return WorkspaceStats()

    async def evaluate(self, count: int = 1) -> None:
        for _ in range(count):
            await self.runner.evaluate_all()

    async def leave(self, workspace: WorkspaceId) -> None:
        await self.writer.follow(workspace)
        assert await self.writer.forget(workspace, lambda _engine: None, lambda: False)

    async def raised(self) -> list[WorkspaceId]:
        """Return the workspaces that are still there and in which the alert is raised."""
        found = []
        for workspace in self.writer.workspaces:
            alerts = (await self.writer.query(workspace, lambda engine: dict(engine.alerts))).value
            found += [workspace] if any(one.is_raised for one in alerts.values()) else []
        return found


@asynccontextmanager
async def a_centre() -> AsyncIterator[Centre]:
    async with running_writer(MemoryJournal(), clock=ManualClock(START_MS)) as writer:
        for workspace in WORKSPACES:
            await writer.add_workspace(workspace)
            await execute_done(writer, published(a_policy(alerts={"full": FULL})), workspace=workspace)
            await execute_done(writer, a_contact(), workspace=workspace)
        yield Centre(writer)


def after(call: Callable[..., Any], workspace: WorkspaceId, then: Callable[[], Any]) -> Callable[..., Any]:
    """Wrap a method of the writer: do something once, after its first call for a workspace."""
    done: list[WorkspaceId] = []

    async def wrapped(name: WorkspaceId, *arguments: Any, **more: Any) -> Any:
        found = await call(name, *arguments, **more)
        if name == workspace and not done:
            done.append(name)
            await then()
        return found

    return wrapped


# What the evaluation waits for when workspace b goes: another workspace, and each step of b itself.
MOMENTS = [("a", "query"), ("b", "query"), ("b", "query_in_slices")]


@pytest.mark.parametrize(("waits_for", "method"), MOMENTS)
async def test_a_workspace_that_is_left_meanwhile_ends_nothing(
    waits_for: WorkspaceId, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_centre() as centre:
        call = getattr(centre.writer, method)
        monkeypatch.setattr(centre.writer, method, after(call, waits_for, lambda: centre.leave("b")))
        await centre.evaluate()
        assert not centre.writer.has_workspace("b")
        assert await centre.raised() == ["a", "c"]
        await centre.evaluate()
        assert centre.failures == []
        assert "b" not in centre.runner._evaluators


@pytest.mark.parametrize(("waits_for", "method"), MOMENTS)
async def test_a_workspace_that_another_node_leads_meanwhile_is_not_reported_here(
    waits_for: WorkspaceId, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_centre() as centre:
        call = getattr(centre.writer, method)
        monkeypatch.setattr(centre.writer, method, after(call, waits_for, lambda: centre.writer.follow("b")))
        await centre.evaluate()
        assert await centre.raised() == ["a", "c"]
        await centre.evaluate()
        assert centre.failures == []
        assert "b" not in centre.runner._evaluators


@pytest.mark.parametrize("error", [ValueError("broken"), KeyError("b"), JournalUnavailable("no store")])
async def test_an_error_concerns_one_workspace_and_is_reported_at_times(error: Exception) -> None:
    async with a_centre() as centre:
        centre.errors["b"] = error
        await centre.evaluate()
        assert centre.failures == [("b", error)]
        assert await centre.raised() == ["a", "c"]
        await centre.evaluate(59)
        assert len(centre.failures) == 1, "not with each evaluation"
        await centre.evaluate()
        assert len(centre.failures) == 2
        del centre.errors["b"]
        await centre.evaluate()
        assert await centre.raised() == ["a", "b", "c"], "the next evaluation starts from nothing"
        centre.errors["b"] = error
        await centre.evaluate()
        assert len(centre.failures) == 3, "a new error after a success is reported at once"


async def test_overload_is_no_failure_and_the_end_of_the_router_ends_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.runtime.alert_runner.EVALUATION_MS", 0)
    async with a_centre() as centre:
        centre.errors["b"] = CommandQueueFull("too many")
        await centre.evaluate()
        assert centre.failures == []
        assert await centre.raised() == ["a", "c"]
        centre.errors["b"] = Stopping("the router is stopping")
        with pytest.raises(Stopping):
            await centre.evaluate()
        await centre.runner.run()
        assert centre.failures == []
