"""Router in a child process: settings, start, stop, and failures to start."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from router.loadtest.execution import LoadTestFailed
from router.loadtest.main import child_settings
from router.loadtest.router_process import RouterSubprocess, separate_cores, with_changes
from router.model.errors import SettingsInvalid
from router.settings import Settings


def settings_of(directory: Path, port: int = 0) -> Settings:
    changes = {"server.port": port, "telemetry.metrics_port": None, "journal.reserved_bytes": 0}
    return child_settings(Settings(), directory, **changes)


def test_settings_are_changed_by_dotted_names() -> None:
    settings = with_changes(Settings(), {"server.port": 1234, "workspaces": ["default", "other"]})
    assert settings.server.port == 1234
    assert settings.workspaces == ("default", "other")
    assert Settings().server.port != 1234


def test_an_invalid_change_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        with_changes(Settings(), {"server.port": -1})


async def test_the_router_serves_until_it_is_stopped(tmp_path: Path) -> None:
    router = RouterSubprocess(settings_of(tmp_path), tmp_path)
    async with router:
        assert router.url.startswith("http://127.0.0.1:")
        os.kill(router.pid, 0)  # Raises if there is no such process.
    assert await router.stop() == 0
    assert b'"action":"started"' in router.log_path.read_bytes()


async def test_a_router_that_fails_to_start_is_reported_with_its_last_log_lines(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LoadTestFailed, match=r"failed to start\n.*"):
            async with RouterSubprocess(settings_of(tmp_path, port), tmp_path):
                pass


async def test_the_router_gets_a_core_of_its_own_if_there_are_two(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    async with RouterSubprocess(settings_of(tmp_path), tmp_path) as router, separate_cores(router) as separated:
        assert separated == (len(before) >= 2)
        if separated:
            assert len(os.sched_getaffinity(router.pid)) == 1
            assert not os.sched_getaffinity(router.pid) & os.sched_getaffinity(0)
    assert os.sched_getaffinity(0) == before


async def test_an_unexpected_exit_is_an_error(tmp_path: Path) -> None:
    async with asyncio.timeout(30), RouterSubprocess(settings_of(tmp_path), tmp_path) as router:
        os.kill(router.pid, 9)
        with pytest.raises(LoadTestFailed, match="exited with code -9"):
            await router.wait_for_exit()
