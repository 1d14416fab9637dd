"""Composition root: the seed policy, and an orderly start and stop in the test's own process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.app import App
from router.model.errors import PolicyInvalid, SettingsInvalid
from router.settings import settings_from
from tests.support.router_process import POLICY

MakeApp = Callable[..., App]


@pytest.fixture
def make_app(tmp_path: Path) -> MakeApp:
    def make(**sections: Any) -> App:
        defaults = {
            "journal": {"backend": "memory", "path": str(tmp_path / "journal.db")},
            "server": {"port": 0},
            "telemetry": {"metrics_port": None, "access_log": False},
        }
        return App(settings_from(defaults | sections))

    return make


@asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def policy_version(app: App) -> int:
    token = app.mint_token(subject="me", role="admin")
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{app.url}/v1/policy") as response:
        return int(response.headers["ETag"].strip('"')) if response.ok else 0


async def test_a_workspace_without_a_policy_starts_with_the_seed_policy(make_app: MakeApp, tmp_path: Path) -> None:
    seed = tmp_path / "policy.yaml"
    seed.write_text(POLICY)
    async with running(make_app(policy={"seed_path": str(seed)})) as app:
        assert await policy_version(app) == 1


async def test_without_a_seed_policy_the_router_starts_without_a_policy(make_app: MakeApp) -> None:
    async with running(make_app(policy={"seed_path": None})) as app:
        assert await policy_version(app) == 0


async def test_a_missing_seed_policy_prevents_the_start(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(policy={"seed_path": str(tmp_path / "missing.yaml")})
    with pytest.raises(SettingsInvalid, match="seed_path"):
        await app.start()


async def test_an_invalid_seed_policy_prevents_the_start(make_app: MakeApp, tmp_path: Path) -> None:
    seed = tmp_path / "policy.yaml"
    seed.write_text("channels: {}")
    with pytest.raises(PolicyInvalid):
        await make_app(policy={"seed_path": str(seed)}).start()


async def test_the_metrics_page_can_be_disabled(make_app: MakeApp) -> None:
    async with running(make_app(policy={"seed_path": None})) as app:
        assert app.metrics_url is None


async def test_the_metrics_page_has_the_values_of_the_writer_and_the_server(make_app: MakeApp) -> None:
    sections = {"policy": {"seed_path": None}, "telemetry": {"metrics_port": 0}}
    async with running(make_app(**sections)) as app, aiohttp.ClientSession() as http:
        assert app.metrics_url is not None
        async with http.get(app.metrics_url) as response:
            text = await response.text()
    assert "router_ready 1.0" in text
    assert "router_command_queue_depth 0.0" in text
    assert "router_sockets_open 0.0" in text
    assert "router_journal_synchronous 0.0" in text
