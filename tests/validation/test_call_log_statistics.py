"""Statistics over HTTP, compared with those that a second program computes from the rows of a call log.

The log is replayed with the commands of a live router, at its times: each call is submitted, assigned to the agent who answered
it and ended, or abandoned. Then every figure that a call log determines is compared, by workspace, queue and agent, in each
interval. The generated night (with midnight and the change of the clocks) is always compared; the recorded days in
``make test-long``.
"""

import os
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from router.model.commands import (
    AbandonContact,
    AssignContact,
    Command,
    EndContact,
    EnqueueContact,
    PublishPolicy,
    PutAgent,
    SetAgentState,
)
from router.model.policy import AgentsPolicy, ChannelPolicy, Policy, QueuePolicy, ServiceLevelPolicy
from router.model.states import AgentState
from tests.support.in_process_api import OperatedRouter, operated_router
from tests.support.manual_clock import ManualClock
from tests.validation.call_log_statistics import Call, duties, read_calls, statistics
from tests.validation.recorded_days import VANAD, needs_data

ZONE: Final = "Europe/Amsterdam"
NIGHT: Final = Path(__file__).with_name("generated_night.csv")
DAYS: Final = ("2014-03-10", "2014-06-25")


def policy_of(calls: list[Call], threshold_s: int, short_abandon_s: int) -> Policy:
    """Return a policy in which an agent may have any number of calls, as a log may have overlapping ones."""
    level = ServiceLevelPolicy(threshold_s=threshold_s, short_abandon_s=short_abandon_s)
    return Policy(
        zone=ZONE,
        channels={"voice": ChannelPolicy(units=1, per_agent_max=100, wrap_up_s=0)},
        queues={f"q{name}": QueuePolicy(service_level=level) for name in sorted({call.queue for call in calls})},
        agents=AgentsPolicy(units=100),
    )


def commands_of(calls: list[Call]) -> list[tuple[int, Command]]:
    """Return the commands of a day in order; agents serve no queue, so that the router assigns nothing by itself."""
    found: list[tuple[int, int, Command]] = []
    for agent, duty in duties(calls).items():
        found.append((duty.start, 0, SetAgentState(agent_id=f"a{agent}", state=AgentState.READY)))
        found.append((duty.end, 6, SetAgentState(agent_id=f"a{agent}", state=AgentState.OFFLINE)))
    for number, call in enumerate(calls):
        contact_id = f"c{number}"
        found.append((call.arrived, 1, EnqueueContact(contact_id=contact_id, channel="voice", queue_id=f"q{call.queue}")))
        if call.answered is None:
            found.append((call.left, 3, AbandonContact(contact_id=contact_id)))
        else:
            found.append((call.answered, 4, AssignContact(contact_id=contact_id, agent_id=f"a{call.agent}")))
            found.append((call.left, 5 if call.left == call.answered else 2, EndContact(contact_id=contact_id)))
    return [(at_ms, command) for at_ms, _, command in sorted(found, key=lambda one: one[:2])]


async def replay(api: OperatedRouter, clock: ManualClock, calls: list[Call], policy: Policy) -> None:
    await api.router.do(PublishPolicy(policy=policy))
    for agent in duties(calls):
        await api.router.do(PutAgent(agent_id=f"a{agent}", queues=()))
    for at_ms, command in commands_of(calls):
        clock.advance(at_ms - clock.now_ms())
        await api.router.do(command)


async def compare(api: OperatedRouter, calls: list[Call], *, threshold_s: int, short_abandon_s: int) -> int:
    """Compare every row; return how many figures are equal."""
    equal = 0
    limits = {"threshold_ms": 1000 * threshold_s, "short_ms": 1000 * short_abandon_s}
    for by, prefix in (("workspace", ""), ("queue", "q"), ("agent", "a")):
        for interval in ("15m", "30m", "60m", "day"):
            expected = statistics(calls, by, interval, ZoneInfo(ZONE), **limits)
            answer = await api.get(f"/v1/statistics?by={by}&interval={interval}&from_ms=1")
            found: dict[tuple[str, int], dict[str, Any]] = {}
            for row in answer["rows"]:
                subject = (row["queue_id"] or row["agent_id"] or "").removeprefix(prefix)
                if any(row[name] for name in next(iter(expected.values()))):
                    found[subject, row["from_ms"]] = row
            assert found.keys() == expected.keys(), (by, interval)
            for key, figures in expected.items():
                for name, value in figures.items():
                    assert found[key][name] == pytest.approx(value), (by, interval, key, name)
                    equal += 1
    return equal


async def replay_and_compare(tmp_path: Path, log: Path, threshold_s: int, short_abandon_s: int) -> int:
    calls = read_calls(log, ZoneInfo(ZONE))
    clock = ManualClock(min(call.arrived for call in calls) - 60_000)
    async with operated_router(tmp_path, clock=clock, agents=0) as api:
        await replay(api, clock, calls, policy_of(calls, threshold_s, short_abandon_s))
        return await compare(api, calls, threshold_s=threshold_s, short_abandon_s=short_abandon_s)


@pytest.mark.parametrize(("threshold_s", "short_abandon_s"), [(20, 5), (8, 3)])  # Many calls waited for exactly 8 s.
async def test_the_generated_night_has_the_figures_of_the_second_program(
    tmp_path: Path, threshold_s: int, short_abandon_s: int
) -> None:
    assert await replay_and_compare(tmp_path, NIGHT, threshold_s, short_abandon_s) > 5_000


@needs_data
@pytest.mark.parametrize("day", DAYS)
@pytest.mark.skipif(os.environ.get("RECORDED_STATISTICS") != "whole", reason="a minute each: RECORDED_STATISTICS=whole")
async def test_a_recorded_day_has_the_figures_of_the_second_program(tmp_path: Path, day: str) -> None:
    assert await replay_and_compare(tmp_path, VANAD / f"{day}.csv", 20, 5) > 50_000
