"""Reports of steps about goals: the steps are stored by then, so a busy router waits instead of failing the request."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.model.commands import ReportGoalSteps
from router.server.api import journeys
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest

REPORT = ReportGoalSteps(customer_ids=("c_ann",), steps=(("refund", 1),))


class BusyRouter:
    """A request whose commands are not executed a number of times."""

    def __init__(self, *codes: str, answer_timeout_s: float = 600) -> None:
        self.codes = list(codes)
        self.executed: list[Any] = []
        self.services = SimpleNamespace(settings=SimpleNamespace(server=SimpleNamespace(answer_timeout_s=answer_timeout_s)))

    async def execute_unguarded(self, command: Any) -> None:
        if self.codes:
            raise ProblemError(self.codes.pop(0))
        self.executed.append(command)

    async def report(self) -> None:
        await journeys._report(cast(ApiRequest, self), REPORT)


async def test_a_report_waits_while_too_many_commands_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journeys, "_PAUSE_S", 0)
    router = BusyRouter("busy", "not_ready", "busy")
    await router.report()
    assert router.executed == [REPORT]


@pytest.mark.parametrize(
    ("code", "answer_timeout_s"), [("busy", 0), ("journal_unavailable", 600), ("answer_timeout", 600), ("stopping", 600)]
)
async def test_a_report_fails_when_the_time_is_over_or_it_may_have_been_executed(code: str, answer_timeout_s: float) -> None:
    router = BusyRouter(code, answer_timeout_s=answer_timeout_s)
    with pytest.raises(ProblemError, match=code):
        await router.report()
    assert router.executed == []
