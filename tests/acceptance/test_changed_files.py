"""Files that are removed, swapped or shortened under a running router, and a disk that fails: the router stops and says why."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.conftest import MakeRouter
from tests.integration.test_power_loss import SMALL, submit
from tests.support.http_api import Api
from tests.support.power_loss import RecordedRouter
from tests.support.router_process import RouterProcess


def remove(path: Path) -> None:
    path.unlink()


def swap(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.rename(path)


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved"))


async def is_acknowledged(router: RouterProcess) -> bool:
    """Submit one contact; return whether it was acknowledged."""
    async with Api(router, "gateway", "web") as gateway:
        try:
            await gateway.submit()
        except (aiohttp.ClientError, OSError, AssertionError):
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("change", [remove, swap, move_away])
@pytest.mark.parametrize("ending", ["", "-wal", ".hwm"])
async def test_nothing_is_acknowledged_after_a_file_was_changed(
    make_router: MakeRouter, change: Callable[[Path], None], ending: str
) -> None:
    router = make_router(journal__high_water_interval_ms=60_000)
    await asyncio.to_thread(router.start)
    assert await is_acknowledged(router)
    change(Path(f"{router.settings.journal.path}{ending}"))
    assert not await is_acknowledged(router), "acknowledged on a file that is not there"
    assert await asyncio.to_thread(router.wait) == 3
    assert f"journal.db{ending}: the file was" in "".join(router.log)


@pytest.mark.slow
async def test_an_idle_router_notices_shortened_files(make_router: MakeRouter) -> None:
    for ending in ("", ".hwm"):
        router = make_router()
        await asyncio.to_thread(router.start)
        assert await is_acknowledged(router)
        shorten(Path(f"{router.settings.journal.path}{ending}"))
        assert await asyncio.to_thread(router.wait) == 3
        assert "the file was shortened" in "".join(router.log)


@pytest.mark.slow
async def test_after_all_files_were_removed_the_next_start_is_not_a_first_one(make_router: MakeRouter) -> None:
    router = make_router()
    await asyncio.to_thread(router.start)
    assert await is_acknowledged(router)
    async with Api(router, "gateway", "web") as gateway:
        shutil.rmtree(Path(router.settings.journal.path).parent)
        with pytest.raises((aiohttp.ClientError, OSError, AssertionError)):
            await gateway.submit()
    assert await asyncio.to_thread(router.wait) == 3
    router.spawn()
    assert await asyncio.to_thread(router.wait) == 3
    assert "the database is missing, but its high-water mark exists" in "".join(router.log)
    await asyncio.to_thread(router.start, "--accept-history-loss")
    assert await is_acknowledged(router)


@pytest.mark.slow
async def test_a_failed_sync_closes_sockets_with_1012_and_ends_with_an_exit_code(tmp_path: Path) -> None:
    router = RecordedRouter(tmp_path, **SMALL, journal__checkpoint_idle_ms=3_600_000)
    try:
        await router.start(fail_sync=30)
        token = router.process.token("supervisor", "eve")
        async with aiohttp.ClientSession() as session:
            url = router.process.url + "/v1/supervisor"
            async with session.ws_connect(url, headers={"Authorization": f"Bearer {token}"}, protocols=("router.v1+json",)) as ws:
                await ws.send_json({"type": "hello"})
                unanswered = await submit(router, 0, 60, parallel=1)
                assert unanswered and unanswered[0] > 5, "nothing was acknowledged before the fault"
                async for _ in ws:
                    pass
                assert ws.close_code == 1012
        assert await asyncio.to_thread(router.process.wait) == 1
        assert "JournalUnavailable" in "".join(router.process.log)
    finally:
        router.process.kill()


@pytest.mark.slow
async def test_a_position_from_the_future_is_logged_and_counted(make_router: MakeRouter) -> None:
    """What a client has seen is the only evidence of an older copy where there is no second mark."""
    router = make_router()
    await asyncio.to_thread(router.start)
    assert await is_acknowledged(router)
    await asyncio.to_thread(router.stop)
    directory = Path(router.settings.journal.path).parent
    backup = directory.with_name("backup")
    shutil.copytree(directory, backup)
    await asyncio.to_thread(router.start)
    for _ in range(5):
        assert await is_acknowledged(router)
    async with Api(router) as admin:
        seen = (await admin.ok("GET", "/v1/events?limit=1000"))["next"]
    await asyncio.to_thread(router.stop)
    shutil.rmtree(directory)
    shutil.copytree(backup, directory)
    await asyncio.to_thread(router.start)
    async with Api(router) as admin:
        answer = await admin.call("GET", f"/v1/events?after={seen}")
        assert answer.code == "history_reset"
        async with aiohttp.ClientSession() as session:
            metrics = await (await session.get(router.metrics_url)).text()
    assert "router_positions_ahead_total 1.0" in metrics
    assert "router_second_mark_ok 0.0" in metrics
    await asyncio.to_thread(router.stop)
    log = "".join(router.log)
    assert '"action":"position_ahead"' in log
    assert '"action":"second_mark_unset"' in log
