"""Load tests over real sockets, compared with the simulation of the same day."""

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest

from router.loadtest.execution import LoadTestFailed
from router.loadtest.main import normalize_url, run_loadtest, running_router
from router.loadtest.router_process import RouterSubprocess
from router.model.errors import SettingsInvalid
from router.settings import Settings
from router.simulator.run import SimulationSpec, simulate
from tests.support.router_process import RouterProcess
from tests.validation.recorded_days import VANAD

SMALL: Final = Path(__file__).with_name("small_day.yaml")
NOTHING: Final = Settings()
OTHER_POLICY: Final = "{channels: {voice: {}}, queues: {elsewhere: {}}}"


def read(path: Path) -> dict[str, Any]:
    report = msgspec.json.decode(path.read_bytes())
    assert isinstance(report, dict)
    return report


def assert_near(report: dict[str, Any], simulated: dict[str, Any], *, contacts: float) -> None:
    """Compare counts within a share of all contacts, and times within the scaled latency of a few milliseconds."""
    allowed = max(3, contacts * simulated["contacts"])
    for name in ("answered", "abandoned"):
        assert abs(report[name] - simulated[name]) <= allowed, name
    for name in ("contacts", "blocked", "expired", "cancelled", "unfinished"):
        assert report[name] == simulated[name], name
    wait_s = simulated["mean_wait_answered_s"]
    assert abs(report["mean_wait_answered_s"] - wait_s) <= max(4.0, 0.25 * wait_s)
    assert report["mean_handle_s"] == pytest.approx(simulated["mean_handle_s"], rel=0.1, abs=2)
    assert report["occupancy"] == pytest.approx(simulated["occupancy"], abs=0.06)


def simulated(**spec: Any) -> dict[str, Any]:
    found = msgspec.to_builtins(simulate(SimulationSpec(**spec)))
    assert isinstance(found, dict)
    return found


class StandInRouter:
    """A router whose process ends when it is told to."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()

    async def __aenter__(self) -> "StandInRouter":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def wait_for_exit(self) -> None:
        await self.ends.wait()
        raise LoadTestFailed("the router exited with 1")


async def test_a_run_ends_without_its_router_and_fails_with_it() -> None:
    router = StandInRouter()
    async with asyncio.timeout(5):
        async with running_router(cast(RouterSubprocess, router)) as running:
            assert running is cast(Any, router)
        with pytest.raises(ExceptionGroup) as failed:
            async with running_router(cast(RouterSubprocess, router)):
                router.ends.set()
                await asyncio.sleep(5)
    assert failed.group_contains(LoadTestFailed, match="exited with 1")


@pytest.mark.slow
def test_a_small_day_matches_the_simulation_and_passes_every_check(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    code = run_loadtest(settings=NOTHING, workload=SMALL, wrap_up_s=10, speed=30, json_path=target)
    report = read(target)
    assert [check for check in report["run"]["checks"] if not check["holds"]] == []
    assert code == 0
    assert report["passed"]
    ended = sum(report[name] for name in ("answered", "abandoned", "expired", "cancelled"))
    assert ended == report["contacts"] > 60
    assert_near(report, simulated(workload=str(SMALL), wrap_up_s=10), contacts=0.06)
    assert report["run"]["desktops"] == 11
    latency = report["run"]["latency"]
    assert latency["samples"] > 10
    assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert report["audit"]["violations"] == []


STRANDED: Final = """\
name: stranded
duration_s: 60
streams:
  calls: {arrivals: {every_s: 10}, handle: {dist: constant, value_s: 15}}
  stranded: {arrivals: {every_s: 15}, handle: {dist: constant, value_s: 15}, skills: {welsh: 1}}
agent_groups:
  desk: {count: 3, skills: {english: 1}}
policy:
  channels: {voice: {auto_accept: true, wrap_up_s: 10}}
  skills: [english, welsh]
  queues:
    calls: {}
    stranded: {length_max: 2}
"""


@pytest.mark.slow
def test_a_full_queue_blocks_and_contacts_without_agents_stay_unfinished(tmp_path: Path) -> None:
    workload, target = tmp_path / "stranded.yaml", tmp_path / "report.json"
    workload.write_text(STRANDED)
    code = run_loadtest(settings=NOTHING, workload=workload, speed=30, json_path=target)
    report, expected = read(target), simulated(workload=str(workload))
    assert code == 0, report["run"]["checks"]
    for name in ("contacts", "answered", "abandoned", "blocked", "cancelled", "unfinished"):
        assert report[name] == expected[name], name
    assert (report["answered"], report["blocked"], report["unfinished"]) == (5, 1, 2)
    # With three agents no contact of ``calls`` has to wait, and the latency of an offer does not count as a wait.
    assert report["queues"]["calls"]["p_wait"] == 0


@pytest.mark.slow
@pytest.mark.skipif(not VANAD.is_dir(), reason="no recorded days: set CONTACT_ROUTER_DATA")
def test_the_first_hour_of_a_recorded_day_matches_the_simulation(tmp_path: Path) -> None:
    lines = (VANAD / "2014-03-10.csv").read_text().splitlines()
    morning = [lines[0], *(line for line in lines[1:] if "08:00" <= line[11:16] < "09:00")]
    slice_of_day = tmp_path / "morning.csv"
    slice_of_day.write_text("\n".join(morning) + "\n")
    target, log = tmp_path / "report.json", f"vanad:{slice_of_day}"
    code = run_loadtest(settings=NOTHING, logs=(log,), wrap_up_s=20, speed=180, json_path=target)
    report = read(target)
    assert [check for check in report["run"]["checks"] if not check["holds"]] == []
    assert code == 0
    assert_near(report, simulated(logs=(log,), wrap_up_s=20), contacts=0.04)


@pytest.mark.slow
def test_a_running_router_keeps_its_policy_unless_publish_is_given(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router", policy=OTHER_POLICY)
    router.start()
    try:
        with pytest.raises(LoadTestFailed, match="--publish"):
            run_loadtest(settings=router.settings, workload=SMALL, speed=100, url=router.url)
        target = tmp_path / "report.json"
        code = run_loadtest(
            settings=router.settings,
            workload=SMALL,
            speed=100,
            url=router.url.replace("http", "ws"),
            json_path=target,
            publish=True,
        )
        report = read(target)
        assert code == 0, report["run"]["checks"]
        assert report["contacts"] == report["answered"] + report["abandoned"]
        # The same day again: the policy is active already, and the history begins before this run.
        again = run_loadtest(settings=router.settings, workload=SMALL, speed=100, url=router.url, json_path=target)
        assert again == 0, read(target)["run"]["checks"]
    finally:
        router.kill()


@pytest.mark.slow
def test_killing_and_restarting_the_router_loses_and_duplicates_nothing(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    router = RouterProcess(tmp_path / "router", policy=None, server__port=port)
    router.start()
    target = tmp_path / "report.json"

    def crash() -> None:
        router.kill()
        router.start()

    crashes = [threading.Timer(after_s, crash) for after_s in (3, 8)]
    for timer in crashes:
        timer.start()
    try:
        code = run_loadtest(settings=router.settings, workload=SMALL, wrap_up_s=10, speed=20, url=router.url, json_path=target)
    finally:
        for timer in crashes:
            timer.join()
        router.kill()
    report = read(target)
    assert code == 0, report["run"]["checks"]
    assert report["run"]["connections_lost"] >= 11  # The kill really happened during the day.
    assert report["contacts"] == report["answered"] + report["abandoned"] > 60


def test_an_unreachable_router_is_reported(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "router")
    router.start()
    settings, url = router.settings, router.url
    router.stop()
    with pytest.raises(LoadTestFailed, match="no router answers"):
        run_loadtest(settings=settings, workload=SMALL, speed=100, url=url)


@pytest.mark.parametrize(
    ("given", "normalized"), [("http://host:1/", "http://host:1"), ("ws://host:1", "http://host:1"), ("wss://host", "https://host")]
)
def test_websocket_urls_and_final_slashes_are_normalized(given: str, normalized: str) -> None:
    assert normalize_url(given) == normalized


def test_a_url_without_scheme_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        normalize_url("host:8080")
