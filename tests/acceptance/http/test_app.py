"""The application inside the test process, as the demo uses it."""

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from router.app import App, show_first_token
from router.journal.memory import MemoryJournal
from router.model.errors import JournalUnavailable, SettingsInvalid
from router.settings import Settings, settings_from
from tests.support.raw_connection import RawConnection
from tests.support.router_process import POLICY


def some_settings(tmp_path: Path, **server: Any) -> Settings:
    seed = tmp_path / "policy.yaml"
    seed.write_text(POLICY)
    return settings_from(
        {
            "journal": {"backend": "memory", "path": str(tmp_path / "journal.db")},
            "server": {"port": 0, **server},
            "telemetry": {"metrics_port": None, "access_log": False},
            "policy": {"seed_path": str(seed)},
        }
    )


class Terminal(io.StringIO):
    """Output stream that is a terminal."""

    def isatty(self) -> bool:
        return True


class FailingJournal(MemoryJournal):
    """Journal whose disk fails once ``fails`` is set."""

    fails = False

    async def append(self, batch: Any) -> None:
        if self.fails:
            raise JournalUnavailable("the disk failed")
        await super().append(batch)


class SlowJournal(MemoryJournal):
    """Journal that commits a batch when the test permits it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.committing = asyncio.Event()

    async def append(self, batch: Any) -> None:
        self.committing.set()
        await self.may_commit.wait()
        await super().append(batch)


class JournalWithoutSnapshots(MemoryJournal):
    """Journal whose disk is full when a snapshot is saved."""

    async def save_snapshot(self, workspace: str, snapshot: Any) -> None:
        raise JournalUnavailable("the disk is full")


async def submit(app: App) -> int:
    headers = {"Authorization": f"Bearer {app.mint_token(subject='web', role='gateway')}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        body = {"channel": "voice", "queue_id": "support"}
        async with session.post(f"{app.url}/v1/contacts", json=body) as response:
            return response.status


async def test_the_app_starts_serves_and_stops_inside_another_program(tmp_path: Path) -> None:
    app = App(some_settings(tmp_path))
    await app.start()
    assert await submit(app) == 201
    assert app.metrics_url is None and app.failure is not None and not app.failure.done()
    await app.stop()
    with pytest.raises(aiohttp.ClientError):
        await submit(app)


async def test_a_failing_journal_ends_the_app_with_an_error(tmp_path: Path) -> None:
    """F4: nothing more is acknowledged, and ``failure`` reports the error."""
    journal = FailingJournal()
    app = App(some_settings(tmp_path), journal=journal)
    await app.start()
    journal.fails = True
    assert await submit(app) == 503
    assert app.failure is not None
    with pytest.raises(JournalUnavailable):
        await app.failure
    assert app.readiness.stopping
    await app.stop_immediately()


async def test_overload_refuses_only_submits_before_reading_them(tmp_path: Path) -> None:
    journal = SlowJournal()
    settings = some_settings(tmp_path)
    # Half of them may be submits.
    runtime = msgspec.structs.replace(settings.runtime, command_queue_count_max=2)
    app = App(msgspec.structs.replace(settings, runtime=runtime), journal=journal)
    await app.start()
    journal.may_commit.clear()
    journal.committing.clear()
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(submit(app))
        await journal.committing.wait()
        waiting = group.create_task(submit(app))
        headers = {"Authorization": f"Bearer {app.mint_token(subject='web', role='gateway')}"}
        async with aiohttp.ClientSession(headers=headers) as gateway:
            code = ""
            # Which of the two arrives first is not determined; from then on every submit is refused.
            while code != "busy":
                async with gateway.post(f"{app.url}/v1/contacts", data=b"no JSON") as response:
                    code = (await response.json())["code"]
            assert response.status == 503 and int(response.headers["Retry-After"]) >= 1
        headers = {"Authorization": f"Bearer {app.mint_token(subject='root', role='admin')}"}
        async with aiohttp.ClientSession(headers=headers) as admin:
            adding = group.create_task(_status(admin.put(f"{app.url}/v1/agents/ada", json={})))
            # Whether it was refused is known by the answer alone, and that comes after the commit.
            await asyncio.sleep(0)
            journal.may_commit.set()
            assert await adding in (200, 201)
    assert (under_way.result(), waiting.result()) == (201, 201)
    await app.stop()


async def _status(request: Any) -> int:
    async with request as response:
        return int(response.status)


async def test_an_unclean_stop_is_reported(tmp_path: Path) -> None:
    app = App(some_settings(tmp_path), journal=JournalWithoutSnapshots())
    await app.start()
    assert await submit(app) == 201
    with pytest.raises(JournalUnavailable):
        await app.stop()


async def test_an_occupied_port_leaves_no_resources_open(tmp_path: Path) -> None:
    first = App(some_settings(tmp_path))
    await first.start()
    port = int(first.url.rsplit(":", 1)[1])
    journal = MemoryJournal()
    second = App(some_settings(tmp_path, port=port), journal=journal)
    with pytest.raises(SettingsInvalid, match=r"server\.port"):
        await second.start()
    third = App(some_settings(tmp_path), journal=MemoryJournal(journal.storage))
    await third.start()
    await third.stop()
    await first.stop()


async def test_the_first_token_is_shown_once_and_only_on_a_terminal(tmp_path: Path) -> None:
    """S32."""
    app = App(some_settings(tmp_path))
    await app.start()
    terminal, pipe = Terminal(), io.StringIO()
    show_first_token(app, pipe)
    show_first_token(app, terminal)
    await app.stop()
    assert pipe.getvalue() == ""
    assert terminal.getvalue().count("\neyJ") == 1
    again = App(some_settings(tmp_path))
    await again.start()
    quiet = Terminal()
    show_first_token(again, quiet)
    await again.stop()
    assert quiet.getvalue() == ""


async def test_a_connection_with_refused_submits_keeps_its_framing(tmp_path: Path) -> None:
    journal = SlowJournal()
    settings = some_settings(tmp_path)
    runtime = msgspec.structs.replace(settings.runtime, command_queue_count_max=2)
    app = App(msgspec.structs.replace(settings, runtime=runtime), journal=journal)
    await app.start()
    connection = RawConnection(app.url, app.mint_token(subject="web", role="gateway"))
    await connection.open()
    good = b'{"channel": "voice", "queue_id": "support"}'
    connection.submit(good)
    assert await connection.status() == 201
    journal.may_commit.clear()
    journal.committing.clear()
    async with asyncio.TaskGroup() as group:
        accepted = [group.create_task(submit(app))]
        await journal.committing.wait()
        accepted.append(group.create_task(submit(app)))
        while not app._writer.queue_depth:  # noqa: ASYNC110  (polls the queue depth)
            await asyncio.sleep(0)
        connection.submit(good)
        assert await connection.status() == 503
        # The body arrives after the response and does not belong to the next request.
        connection.submit(good[:5], length=len(good))
        assert await connection.status() == 503
        connection.send(good[5:])
        connection.submit(b"", token="unknown")
        assert await connection.status() == 401
        connection.submit(good)
        connection.submit(good)
        assert [await connection.status(), await connection.status()] == [503, 503]
        journal.may_commit.set()
    assert [task.result() for task in accepted] == [201, 201]
    connection.submit(good)
    assert await connection.status() == 201
    await connection.close()
    await app.stop()
