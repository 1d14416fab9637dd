"""Process of the application: signals, exit codes, notifications, garbage collection and acceptance of lost history."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
import structlog

from router.app import App
from router.app.process import (
    EXIT_FAILED,
    EXIT_JOURNAL,
    EXIT_OK,
    EXIT_SETTINGS,
    SystemdNotifier,
    exit_code_of,
    freeze_and_resume_garbage_collection,
    main_accept_history_loss,
    pause_garbage_collection,
    serve,
    show_first_token,
    show_missing_policy,
)
from router.model.errors import JournalCorrupt, JournalError
from router.settings import Settings, settings_from


@pytest.fixture
def collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_full_collections_are_paused_during_recovery_and_rare_afterwards() -> None:
    pause_garbage_collection()
    assert not gc.isenabled()
    freeze_and_resume_garbage_collection()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    young, middle, full = gc.get_threshold()
    assert full > young > middle


def settings_for(tmp_path: Path, backend: str) -> Settings:
    return settings_from({"journal": {"backend": backend, "path": str(tmp_path / "journal.db")}})


def test_history_loss_of_a_journal_in_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_accept_history_loss(settings_for(tmp_path, "memory")) == EXIT_SETTINGS
    assert "journal.backend" in capsys.readouterr().err


def test_an_intact_journal_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_accept_history_loss(settings_for(tmp_path, "sqlite")) == EXIT_OK
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (JournalCorrupt("a record is missing"), EXIT_JOURNAL, "router: JournalCorrupt: a record is missing\n"),
        (JournalError("the disk is full"), EXIT_FAILED, "router: JournalError: the disk is full\n"),
        (AssertionError("an invariant"), EXIT_FAILED, ""),
        (None, EXIT_FAILED, ""),
    ],
)
def test_only_a_damaged_journal_must_not_be_started_again(
    failure: BaseException | None, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(failure) == code
    assert capsys.readouterr().err == text


# --- from start to exit ---------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a router in memory; signal handlers and the set-up of the log are as before afterwards."""
    before = signal.getsignal(signal.SIGHUP)
    yield settings_from(
        {
            "journal": {"backend": "memory", "path": str(tmp_path / "journal.db")},
            "server": {"port": 0},
            "policy": {"seed_path": None},
            "telemetry": {"metrics_port": None, "access_log": False},
        }
    )
    signal.signal(signal.SIGHUP, before)
    structlog.reset_defaults()


async def exit_code_after(
    settings: Settings, act: Callable[[App], Awaitable[None]], *, load: Callable[[], Settings] | None = None
) -> int:
    """Run the router in this process, act when it has started, and return its exit code."""
    acting: list[asyncio.Task[None]] = []

    async def run(app: App) -> None:
        await act(app)

    def on_started(app: App) -> None:
        acting.append(asyncio.get_running_loop().create_task(run(app)))

    async with asyncio.timeout(20):
        code = await serve(settings, on_started=on_started, load=load)
    await acting[0]
    return code


async def test_a_signal_stops_the_router_in_order(served: Settings) -> None:
    apps: list[App] = []

    async def act(app: App) -> None:
        apps.append(app)
        assert app.readiness.ready and not app.readiness.stopping
        os.kill(os.getpid(), signal.SIGTERM)

    assert await exit_code_after(served, act) == EXIT_OK
    assert apps[0].readiness.stopping


async def test_a_second_signal_ends_the_orderly_stop(served: Settings) -> None:
    async def act(app: App) -> None:
        async def wait_for_clients() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)

        app.stop = wait_for_clients  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGTERM)

    assert await exit_code_after(served, act) == EXIT_OK


@pytest.mark.parametrize(("failure", "code"), [(JournalCorrupt("gone"), EXIT_JOURNAL), (OSError("disk"), EXIT_FAILED)])
async def test_a_failed_task_ends_the_process_with_its_code(served: Settings, failure: Exception, code: int) -> None:
    async def act(app: App) -> None:
        assert app.failure is not None
        app.failure.set_exception(failure)

    assert await exit_code_after(served, act) == code


async def test_an_orderly_stop_that_fails_is_told_by_the_exit_code(served: Settings) -> None:
    async def act(app: App) -> None:
        stop = app.stop

        async def fail() -> None:
            await stop()
            raise OSError("disk")

        app.stop = fail  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGTERM)

    assert await exit_code_after(served, act) == EXIT_FAILED


async def test_the_hang_up_signal_loads_the_settings_again(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> Settings:
        loop.call_soon_threadsafe(loaded.set)
        return settings_from({"telemetry": {"log_level": "error", "metrics_port": None}})

    async def act(app: App) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await loaded.wait()
        while app.settings.telemetry.log_level != "error":  # noqa: ASYNC110  Nothing announces a reload.
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    assert await exit_code_after(served, act, load=load) == EXIT_OK


async def test_the_service_manager_is_told_of_start_life_and_stop(
    served: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")

        async def act(_: App) -> None:
            loop = asyncio.get_running_loop()
            assert (await loop.sock_recv(manager, 200)).startswith(b"READY=1\nSTATUS=Serving at http://")
            for _beat in range(3):
                assert await loop.sock_recv(manager, 200) == b"WATCHDOG=1"
            os.kill(os.getpid(), signal.SIGTERM)
            while (told := await loop.sock_recv(manager, 200)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"

        assert await exit_code_after(served, act) == EXIT_OK


@pytest.mark.parametrize(
    ("variables", "interval_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_hears_twice_as_often_as_it_asks(variables: dict[str, str], interval_s: float | None) -> None:
    assert SystemdNotifier({"NOTIFY_SOCKET": "/run/notify"} | variables).watchdog_interval_s == interval_s
    assert SystemdNotifier(variables).watchdog_interval_s is None


# --- on the terminal ------------------------------------------------------------------------------


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


async def test_only_a_terminal_shows_the_first_token_and_only_on_the_first_start(served: Settings) -> None:
    shown, stored = Terminal(), StringIO()

    async def act(app: App) -> None:
        show_first_token(app, shown)
        show_first_token(app, stored)
        os.kill(os.getpid(), signal.SIGTERM)

    for _start in range(2):
        assert await exit_code_after(served, act) == EXIT_OK
    assert shown.getvalue().count("Admin token") == 1
    assert stored.getvalue() == ""


def test_only_a_terminal_shows_what_to_do_without_a_policy(served: Settings) -> None:
    app = App(served)
    shown, stored = Terminal(), StringIO()
    show_missing_policy(app, shown)
    assert shown.getvalue() == ""
    app.workspaces_without_policy = ["default", "berlin"]
    for out in (shown, stored):
        show_missing_policy(app, out)
    assert "Workspace default, berlin: no active policy" in shown.getvalue()
    assert stored.getvalue() == ""
