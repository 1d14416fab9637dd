"""A Monday of 60 queues and 800 agents with a failure at ten: a supervisor who sees only the HTTP API brings a queue back.

Real HTTP requests to a real router in virtual time, 6,000 calls: this takes some seconds, as no smaller centre shows it. The run
without a supervisor shows that the queue does not come back by itself. The page of the documentation has what the runs print.
``MONDAY=whole`` runs a day of ten hours.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import uvloop

from benchmarks.monday import run_monday
from benchmarks.monday.centre import FAILING, monday_centre
from benchmarks.monday.day import MINUTE_MS, WINDOW, target_of
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "how-to" / "supervisor-program.md"
WATCH = REPOSITORY / "benchmarks" / "monday" / "watch_router.py"
POLICY = """\
channels: {voice: {auto_accept: true}}
skills: [cards, first_level]
queues:
  cards: {requires: {cards: 3}, service_level: {threshold_s: 0, short_abandon_s: 0}}
"""
TIMES = run_monday.WHOLE_DAY if os.environ.get("MONDAY") == "whole" else run_monday.MORNING


@pytest.mark.timeout(3_600 if TIMES is run_monday.WHOLE_DAY else 600)
def test_a_supervisor_with_the_api_brings_a_failing_queue_back_and_without_them_it_stays_away() -> None:
    centre = monday_centre()
    assert (len(centre.queues), len(centre.agents)) == (60, 800)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        without = runner.run(run_monday.run(centre, TIMES, is_supervised=False))
        supervised = runner.run(run_monday.run(centre, TIMES, is_supervised=True))
    report = "\n".join(run_monday.report(centre, TIMES, without, supervised))
    print(report)

    target = target_of(FAILING)
    window_ms = WINDOW * MINUTE_MS
    for course in (without, supervised):
        assert (course.readings.service_level(FAILING, TIMES.fails_ms) or 0.0) >= target, "before the failure all is well"
    for at_ms in range(TIMES.fails_ms + window_ms, TIMES.repaired_ms + 1, MINUTE_MS):
        assert (without.readings.service_level(FAILING, at_ms) or 0.0) < target, "it does not come back by itself"
    assert without.log == []

    back_ms = supervised.back_at_ms(TIMES)
    assert back_ms is not None and back_ms <= TIMES.fails_ms + run_monday.BACK_WITHIN_MS
    assert (supervised.readings.service_level(FAILING, TIMES.to_ms) or 0.0) >= target, "it also stays when all is put back"
    others = [course.total(centre, TIMES, of_failing_team=False).service_level or 0.0 for course in (without, supervised)]
    assert others[1] > 0.9 and others[0] - others[1] < 0.05, "not at the expense of the other teams"
    assert re.search(r"policy \d+ is policy 2 again", "\n".join(supervised.log))
    assert sum("go back to their teams" in line for line in supervised.log) >= 1

    if TIMES is run_monday.MORNING:
        assert f"```text\n{report}\n```" in PAGE.read_text(), "print it with benchmarks/monday/run_monday.py"


async def test_the_program_helps_a_queue_of_a_running_router(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    environment = {f"{role.upper()}_TOKEN": router.token(role, "eve", "default") for role in ("supervisor", "admin")}
    options = ("--url", router.url, "--fallback-skill", "first_level", "--interval-s", "0", "--looks", "2")
    async with Api(router) as admin:
        for agent_id in ("ben", "cy"):
            await admin.ok("PUT", f"/v1/agents/{agent_id}", {"team": "loans"})
            await admin.ok("POST", f"/v1/agents/{agent_id}/state", {"state": "ready"})
        first, *_ = [await admin.submit(queue_id="cards") for _ in range(6)]
        await admin.ok("POST", f"/v1/contacts/{first['contact_id']}/abandon")
        program = await asyncio.create_subprocess_exec(
            sys.executable, WATCH, *options, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
        )
        printed = (await program.communicate())[0].decode()
        assert program.returncode == 0
        (helper,) = (await admin.ok("GET", "/v1/agents?label=helps_cards"))["agents"]
        assert helper["skills"] == {"cards": 5} and len(helper["assignments"]) == 1
        newest = (await admin.ok("GET", "/v1/policy/versions?limit=1"))["versions"][0]
        assert (newest["version"], newest["note"], newest["published_by"]) == (2, "cards fails", "admin:eve")
    assert [line[6:] for line in printed.splitlines()] == [
        "cards fails: 0% in time in the last five minutes, 5 wait, 0 agents ready, 0 away",
        "cards: 1 agents of loans help",
        "cards: policy 2: after 5 s all agents with first_level may take its calls",
    ]
