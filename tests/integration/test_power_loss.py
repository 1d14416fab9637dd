"""Power failure at every cut between two changes of the disk: no acknowledged contact is lost, and the router always starts.

A real router runs with all its file operations recorded (``tests/support/disk_recorder.py``). For each cut of the recording the
disk is rebuilt as it can be after a power failure, with the changes that were not synced lost, kept or torn
(``tests/support/disk_images.py``); a router starts on that image and must have every contact that was acknowledged before the cut.
Deliberately broken routers show that the harness notices what it is for.

The short form tries a seeded sample of the images in less than a minute; ``make test-long`` tries all (POWER_LOSS=all).
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from router.app import App
from router.settings import settings_from
from tests.support.disk_images import DiskImages, Entry
from tests.support.disk_recorder import append_entry
from tests.support.http_api import Api
from tests.support.power_loss import IS_LONG, RecordedRouter, Trial
from tests.support.router_process import POLICY

SMALL: Final = {
    "journal__checkpoint_bytes_max": 65_536,
    "runtime__snapshot_event_count": 40,
    "workspaces": "[]",
    "context__enabled": "false",
}


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RecordedRouter]:
    made = RecordedRouter(tmp_path, **SMALL)
    yield made
    made.process.kill()


@pytest.fixture
def quiet_router(tmp_path: Path) -> Iterator[RecordedRouter]:
    """A router without checkpoints, so that a fault at a counted sync is a fault at the sync of a commit."""
    quiet = {"journal__checkpoint_bytes_max": 1 << 24, "journal__checkpoint_idle_ms": 3_600_000}
    made = RecordedRouter(tmp_path, **{**SMALL, **quiet})
    yield made
    made.process.kill()


async def missing_contacts(directory: Path, acknowledged: Sequence[str]) -> str:
    """Start a router on an image and say whether it lacks contacts. Raises what refuses the start."""
    seed = directory / "policy.yaml"
    seed.write_text(POLICY)
    settings = settings_from(
        {
            "journal": {"path": str(directory / "var" / "journal.db"), "reserved_bytes": 0},
            "server": {"port": 0},
            "telemetry": {"metrics_port": None, "access_log": False, "log_level": "error"},
            "policy": {"seed_path": str(seed)},
        }
    )
    app = App(settings)
    await app.start()
    try:
        listed = await app._writer.query("default", lambda engine: [view.contact_id for view in engine.contacts(limit=10_000)])
        missing = set(acknowledged) - set(listed.value)
        return f"{len(missing)} contacts are missing" if missing else ""
    finally:
        await app.stop_immediately()


async def submit(router: RecordedRouter, first: int, count: int, *, parallel: int = 4) -> list[int]:
    """Submit contacts, each under its own key, until the process ends; return the numbers that got no answer."""
    unanswered: list[int] = []
    numbers = iter(range(first, first + count))
    async with Api(router.process, "gateway", "web") as gateway:

        async def send() -> None:
            for number in numbers:
                try:
                    receipt = await gateway.submit(f"key-{number}")
                except (aiohttp.ClientError, OSError, AssertionError):
                    unanswered.append(number)
                    return
                router.note(receipt["contact_id"])

        await asyncio.gather(*(send() for _ in range(parallel)))
    return unanswered


def trial(entries: Sequence[Entry]) -> Trial:
    return Trial(entries, missing_contacts)


async def test_first_start_load_snapshots_checkpoints_and_stop(router: RecordedRouter) -> None:
    await router.start()
    assert await submit(router, 0, 120) == []
    assert await asyncio.to_thread(router.process.stop) == 0
    entries = router.entries
    disk = DiskImages()
    for entry in entries:
        disk.play(entry)
    disk.check_complete(router.root)
    assert len(disk.acknowledged) == 120
    first_ack = next(index for index, entry in enumerate(entries) if entry[0] == "ack")
    (await trial(entries[:first_ack]).run()).check("first start")
    (await trial(entries).run(first_cut=first_ack)).check("load, snapshots, checkpoints, stop")


async def test_an_accepted_history_loss_then_a_power_failure(router: RecordedRouter) -> None:
    """What the operator has accepted stays accepted, and what is acknowledged after it is kept."""
    await router.start()
    assert await submit(router, 0, 20) == []
    await asyncio.to_thread(router.process.kill)
    log = router.root / "journal.db-wal"
    log.unlink()
    append_entry(router.log_descriptor, ("unlink", log.name))
    append_entry(router.log_descriptor, ("loss",))
    await router.start("--accept-history-loss")
    began = next(index for index, entry in enumerate(router.entries) if entry[0] == "loss")
    assert await submit(router, 100, 10) == []
    await asyncio.to_thread(router.process.kill)
    first_ack = next(index for index, entry in enumerate(router.entries) if index > began and entry[0] == "ack")
    (await trial(router.entries).run(first_cut=first_ack)).check("accepted loss")


async def restarted_after(router: RecordedRouter, *, sabotage: Any = "", **fault: Any) -> tuple[list[Entry], int]:
    """Let a fault end a router under load, start it again, repeat what got no answer; return the log and where that began."""
    await router.start(sabotage=sabotage, **fault)
    unanswered = await submit(router, 0, 60, parallel=1)
    assert unanswered, "the fault did not happen"
    code = await asyncio.to_thread(router.process.wait)
    assert code in (1, -9)
    began = len(router.entries)
    await router.start(sabotage=sabotage)
    assert await submit(router, unanswered[0], 1) == []
    answered = len(router.entries)
    assert await submit(router, unanswered[0] + 1, 5) == []
    await asyncio.to_thread(router.process.kill)
    assert sum(entry[0] == "ack" for entry in router.entries[began:answered]) == 1
    return router.entries, began


async def test_a_kill_before_the_sync_of_a_commit_then_a_power_failure(quiet_router: RecordedRouter) -> None:
    """The next process reads what was never synced, and answers a repeated submit from it."""
    entries, began = await restarted_after(quiet_router, kill_at_wal_sync=25)
    (await trial(entries).run(first_cut=began)).check("kill before a sync, restart")


async def test_a_failed_sync_then_a_power_failure(quiet_router: RecordedRouter) -> None:
    """One sync fails and all later ones succeed; what it covered is in memory, but no later sync writes it."""
    entries, began = await restarted_after(quiet_router, fail_sync=25)
    failed = [index for index, entry in enumerate(entries) if entry[0] == "sync" and not entry[2]]
    assert len(failed) == 1
    assert sum(entry[0] == "ack" for entry in entries[: failed[0]]) > 5, "nothing was acknowledged before the fault"
    assert not any(entry[0] == "ack" for entry in entries[failed[0] : began]), "acknowledged after a failed sync"
    (await trial(entries).run(first_cut=began)).check("failed sync, restart")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "at"),
    [(fault, at) for fault in ("kill_at_wal_sync", "fail_sync") for at in range(8, 40)]
    if IS_LONG
    else [("kill_at_wal_sync", 12), ("kill_at_wal_sync", 22), ("fail_sync", 9), ("fail_sync", 22)],
)
async def test_a_fault_at_any_sync_with_checkpoints_then_a_power_failure(router: RecordedRouter, fault: str, at: int) -> None:
    entries, began = await restarted_after(router, **{fault: at})
    (await trial(entries).run(first_cut=began)).check(f"{fault} {at}, restart")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "fault"),
    [("no_sync_at_start", "kill_at_wal_sync"), ("no_sync_at_start", "fail_sync"), ("sync_without_checkpoint", "fail_sync")],
)
async def test_a_router_that_does_not_sync_what_it_found_is_convicted(
    quiet_router: RecordedRouter, sabotage: str, fault: str
) -> None:
    entries, began = await restarted_after(quiet_router, **{"sabotage": sabotage, fault: 25})
    tried = await trial(entries).run(first_cut=began)
    assert tried.lost or tried.refused


@pytest.mark.slow
async def test_a_router_that_checkpoints_a_log_that_is_not_on_the_disk_is_convicted(tmp_path: Path) -> None:
    """Only where the failed sync covers pages that the main file has already: that depends on how the commits are gathered."""
    for at in (22, 12, 19, 26, 33, 15, 29, 24, 17, 31, 36):
        router = RecordedRouter(tmp_path / str(at), **SMALL)
        try:
            entries, began = await restarted_after(router, sabotage="checkpoint_without_rewrite", fail_sync=at)
        finally:
            router.process.kill()
        if (await trial(entries).run(first_cut=began, images_max=10**9)).refused:
            return
    pytest.fail("no image was refused")


@pytest.mark.slow
async def test_a_router_that_does_not_sync_its_commits_is_convicted(router: RecordedRouter) -> None:
    await router.start(sabotage="normal_sync")
    assert await submit(router, 0, 40) == []
    await asyncio.to_thread(router.process.kill)
    tried = await trial(router.entries).run(images_max=60)
    assert tried.lost or tried.refused
