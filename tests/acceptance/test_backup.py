"""Backup, restore and archive as docs/how-to/recovery.md says it, word for word, with a running router and real commands."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.http_api import Api
from tests.support.router_process import RouterProcess

PAGES: Final = Path(__file__).parents[2] / "docs/how-to"


def recipe(page: str, title: str) -> list[str]:
    """Return the commands of the block that begins with a comment."""
    blocks = re.findall(r"```bash\n# (.*?)\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    commands: str = dict(blocks)[title]
    return commands.strip().splitlines()


class Site:
    """A directory as an operator has it: ``var`` with the journal, and ``router`` on the path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.router = RouterProcess(directory, workspaces="[]")
        commands = directory / "bin"
        commands.mkdir()
        (commands / "router").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m router "$@"\n')
        (commands / "router").chmod(0o755)

    async def run(self, command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", command],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )

    async def follow(self, title: str) -> list[str]:
        return await self.follow_page("recovery.md", title)

    async def follow_page(self, page: str, title: str) -> list[str]:
        """Run a recipe; ``router serve`` is started as the router of this site. Returns what the commands print."""
        printed = []
        for command in recipe(page, title):
            if command.startswith("router serve --data var"):
                await asyncio.to_thread(self.router.start, *command.split()[4:])
            else:
                done = await self.run(command)
                assert done.returncode == 0, (command, done.stderr)
                printed.append(done.stdout)
        return printed


@pytest.fixture
def site(tmp_path: Path) -> Any:
    made = Site(tmp_path)
    yield made
    made.router.kill()


async def submit(router: RouterProcess, count: int) -> list[str]:
    async with Api(router, "gateway", "web") as gateway:
        return [(await gateway.submit())["contact_id"] for _ in range(count)]


async def contacts(router: RouterProcess) -> set[str]:
    async with Api(router) as admin:
        return {one["contact_id"] for one in (await admin.ok("GET", "/v1/contacts?limit=500"))["contacts"]}


async def history_id(router: RouterProcess) -> str:
    async with Api(router) as admin:
        return str((await admin.ok("GET", "/v1/state"))["history_id"])


@pytest.mark.slow
async def test_a_backup_of_a_running_router_is_restored_as_the_page_says(site: Site) -> None:
    await asyncio.to_thread(site.router.start)
    before = await submit(site.router, 20)
    [printed] = await site.follow("make a backup")
    assert printed.strip().endswith("verified")
    after = await submit(site.router, 5)
    old_history = await history_id(site.router)
    token = site.router.token("admin")
    site.router.kill()

    await site.follow("restore a backup")
    found = await contacts(site.router)
    assert set(before) <= found and not set(after) & found
    assert await history_id(site.router) != old_history
    assert site.router.token("admin").split(".")[0] == token.split(".")[0]
    assert len(await submit(site.router, 1)) == 1


@pytest.mark.slow
async def test_commands_wait_for_no_backup(site: Site) -> None:
    """Submits go on while the copy is made: none takes as long as the backup, however slow the machine is."""
    await asyncio.to_thread(site.router.start)
    await submit(site.router, 200)
    running = asyncio.create_task(site.run("router backup --data var --to backup --json"))
    took: list[float] = []
    started = time.perf_counter()
    while not running.done():
        began = time.perf_counter()
        await submit(site.router, 1)
        took.append(time.perf_counter() - began)
    backup_s = time.perf_counter() - started
    report = json.loads((await running).stdout)
    assert report["verified"] and report["problems"] == []
    assert report["records"] >= 200
    assert max(took) < max(1.0, backup_s / 2)


@pytest.mark.slow
async def test_a_stopped_router_is_backed_up_by_the_command_itself(site: Site) -> None:
    await asyncio.to_thread(site.router.start)
    await submit(site.router, 3)
    assert await asyncio.to_thread(site.router.stop) == 0
    await site.follow("make a backup")
    assert (site.directory / "backup" / "token.secret").stat().st_mode & 0o777 == 0o600
    again = await site.run("router backup --data var --to backup")
    assert again.returncode == 3 and "already exists" in again.stderr


@pytest.mark.slow
async def test_errors_name_what_is_wrong(site: Site) -> None:
    missing = await site.run("router backup --data nowhere --to backup")
    assert missing.returncode == 1 and "no journal" in missing.stderr
    await asyncio.to_thread(site.router.start)
    short = await site.run("router journal archive --data var --keep 1h --to archive")
    assert short.returncode != 0 and "at least 2 days" in short.stderr
    assert len(short.stderr.splitlines()) == 1
    young = await site.run("router journal archive --data var --keep 2d --to archive")
    assert young.returncode == 0 and "nothing to archive" in young.stdout
    assert not (site.directory / "archive").exists()


def written(directory: Path, days_ago: int) -> None:
    """Write a journal with two snapshots as of some days ago; negative: with a clock that was ahead."""
    script = Path(__file__).parents[1] / "support" / "old_journal.py"
    subprocess.run(
        [sys.executable, str(script), str(directory / "var" / "journal.db"), str(days_ago)], check=True, cwd=script.parents[2]
    )


@pytest.mark.slow
async def test_old_records_are_archived_and_put_back_as_the_page_says(site: Site) -> None:
    await asyncio.to_thread(written, site.directory, 200)
    await asyncio.to_thread(site.router.start)
    before = await contacts(site.router)
    async with Api(site.router) as admin:
        first = (await admin.events())[0]
    assert first["seq"] == 1
    (site.directory / "archive").mkdir()
    await site.follow("archive records older than 90 days")
    assert (await site.run("router verify archive/2026-q1/archive.db")).returncode == 0
    async with Api(site.router) as admin:
        left = await admin.events()
        assert left[0]["seq"] > 1
        gone = await admin.call("GET", f"/v1/events?after={first['history_id']}:1")
        assert (gone.status, gone.code) == (410, "history_reset")
    assert await contacts(site.router) == before
    await submit(site.router, 2)
    site.router.kill()
    await asyncio.to_thread(site.router.start)
    assert len(await contacts(site.router)) == len(before) + 2
    assert await asyncio.to_thread(site.router.stop) == 0
    verified = await site.run("router verify var/journal.db")
    assert verified.returncode == 0, verified.stdout

    await site.follow("put an archive back")
    assert (await site.run("router verify var/journal.db")).returncode == 0
    await asyncio.to_thread(site.router.start)
    async with Api(site.router) as admin:
        assert (await admin.events())[0]["seq"] == 1


@pytest.mark.slow
async def test_another_user_cannot_give_commands(site: Site) -> None:
    await asyncio.to_thread(site.router.start)
    control = site.directory / "var" / "journal.db.control"
    assert control.stat().st_mode & 0o777 == 0o600
    assert control.parent.stat().st_mode & 0o777 == 0o700
    assert await asyncio.to_thread(site.router.stop) == 0
    assert not control.exists()
    shutil.rmtree(site.directory / "var")


@pytest.mark.slow
async def test_a_journal_that_is_ahead_of_the_clock_is_refused_and_moved_back(site: Site) -> None:
    await asyncio.to_thread(written, site.directory, -3)
    site.router.spawn()
    assert await asyncio.to_thread(site.router.wait) == 1
    assert "ahead of this machine's clock" in "".join(site.router.log)

    [printed] = await site.follow_page("clock.md", "move the journal back to the present")
    assert "moved back by 259," in printed
    assert (await site.run("router verify var/journal.db")).returncode == 0
    await asyncio.to_thread(site.router.start)
    assert len(await contacts(site.router)) == 60
    await submit(site.router, 2)
    async with Api(site.router, role=None) as anonymous, Api(site.router) as admin:
        ready = await anonymous.ok("GET", "/readyz")
        assert abs(ready.get("clock_drift_ms", 0)) < 2_000
        newest = (await admin.events())[-1]
    assert abs(newest["ts"] - time.time() * 1000) < 60_000
    again = await site.run("router journal reset-clock --data var --backup other")
    assert again.returncode == 3 and "another process has opened this journal" in again.stderr


@pytest.mark.slow
async def test_a_clock_that_is_a_little_ahead_is_told(site: Site) -> None:
    """Within the limit the router starts; health, doctor, metrics and log tell the difference."""
    await asyncio.to_thread(written, site.directory, -1)
    site.router = RouterProcess(site.directory, workspaces="[]", runtime__clock_ahead_s_max=200_000)
    await asyncio.to_thread(site.router.start)
    async with Api(site.router, role=None) as anonymous, Api(site.router) as admin:
        ready = await anonymous.ok("GET", "/readyz")
        assert 86_000_000 < ready["clock_drift_ms"] < 87_000_000
        findings = (await admin.ok("GET", "/v1/doctor"))["findings"]
        assert "clock_drift" in [one["code"] for one in findings]
    assert '"action":"clock_drift"' in "".join(site.router.log)
