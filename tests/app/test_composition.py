"""Composition root: the seed policy, and an orderly start and stop in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.app import App
from router.client import SupervisorClient
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


def names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_a_started_router_watches_itself_and_its_journal(make_app: MakeApp, tmp_path: Path) -> None:
    journal = {"path": str(tmp_path / "journal.db"), "retention_days": 2}
    supervised = {"writer", "JWK sets", "loop lag", "conditions", "shadows", "retention"}
    async with running(make_app(policy={"seed_path": None}, journal=journal)):
        assert names_of_tasks() >= supervised
    assert not names_of_tasks() & supervised


async def test_the_metrics_page_counts_sockets_and_starts(make_app: MakeApp) -> None:
    sections = {"policy": {"seed_path": None}, "telemetry": {"metrics_port": 0}}
    async with running(make_app(**sections)) as app, aiohttp.ClientSession() as http:
        token = app.mint_token(subject="me", role="supervisor")
        async with SupervisorClient(app.url.replace("http", "ws"), token):
            assert app.metrics_url is not None
            async with http.get(app.metrics_url) as response:
                text = await response.text()
    assert "router_sockets_open 1.0" in text
    assert "router_epoch 1.0" in text


async def test_a_reload_returns_what_it_changed_and_what_needs_a_restart(make_app: MakeApp) -> None:
    async with running(make_app(policy={"seed_path": None})) as app:
        sections = {"journal": {"backend": "memory", "path": "x"}, "policy": {"seed_path": None}}
        changed = settings_from(
            sections | {"telemetry": {"log_level": "debug", "metrics_port": None, "access_log": False}, "server": {"port": 0}}
        )
        assert await app.reload(changed) == (["telemetry.log_level"], ["journal.path"])
        assert app.settings.telemetry.log_level == "debug"
