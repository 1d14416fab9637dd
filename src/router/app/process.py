"""Process of the application: signals, exit codes, garbage collection, and the first token on the terminal.

A full garbage collection visits every agent and contact and blocks the event loop for longer than any command takes. The
records of the engine contain no reference cycles, so there is almost nothing to collect. Therefore collection is paused while a
workspace is recovered; afterwards everything that exists is exempt from it, and full collections are rare.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, TextIO

import structlog
import uvloop

from router.app.composition import App
from router.app.seed_policies import MISSING_POLICY_TEXT
from router.journal.backends import open_journal
from router.journal.port import StoreJournal
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import JournalCorrupt, JournalError, PolicyInvalid, RouterError, SettingsInvalid
from router.runtime.clock import Clock
from router.server.auth.credentials import Role
from router.settings import Settings
from router.telemetry.exceptions import log_loop_error, report_uncaught_exceptions
from router.telemetry.logs import configure_logs

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2
EXIT_JOURNAL: Final = 3

# Python's switch interval: how long the journal's thread waits for the interpreter lock while the event loop holds it. The
# default of 5 ms would be many times the duration of a commit (0.3 ms). Shorter intervals gain nothing, as the loop has
# released the lock by then.
SWITCH_INTERVAL_S: Final = 0.0005

# Allocations before a collection of generation 0; such collections before one of generation 1; those before a full one. A
# collection costs up to 2 µs per live object, because the objects are not in the CPU caches: 50,000 objects of generation 0 took
# 25 ms, 10,000 of generation 1 still 20 ms, 3,000 still 3 ms. So the young generations are small, and a full collection is as
# rare as before: one in 150 million allocations.
_GC_THRESHOLDS: Final = (500, 1, 150_000)

_NOTIFY_TIMEOUT_S: Final = 0.5

_log: Final = structlog.get_logger("router.app")


class SystemdNotifier:
    """Notifications to the service manager that started this process (systemd, ``Type=notify``); without one, nothing is sent.

    The protocol is that of sd_notify(3): datagrams of ``NAME=value`` lines to the socket ``NOTIFY_SOCKET``. Where the unit sets
    ``WatchdogSec``, ``WATCHDOG_USEC`` holds the interval within which the manager must hear from the process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._is_watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_usec = environment.get("WATCHDOG_USEC", "")

    def notify(self, *assignments: str) -> None:
        """Send assignments, for example ``READY=1``. A manager that cannot be reached is logged, not an error."""
        if not self._address:
            return
        # An @ stands for the null byte that begins the name of an abstract socket.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_NOTIFY_TIMEOUT_S)
                sender.connect(address)
                sender.sendall("\n".join(assignments).encode())
        except OSError as error:
            _log.warning("the service manager cannot be notified", action="notify_failed", reason=error.strerror)

    @property
    def watchdog_interval_s(self) -> float | None:
        """Interval of the notifications, half of what the manager allows; None: it does not watch this process."""
        if not (self._address and self._is_watched and self._watchdog_usec.isdigit() and int(self._watchdog_usec)):
            return None
        return int(self._watchdog_usec) / 2_000_000

    async def keep_alive(self) -> None:
        """Notify the watchdog as long as the event loop turns. A loop that stands still is what it has to find."""
        interval_s = self.watchdog_interval_s
        while interval_s is not None:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(interval_s)


async def serve(
    settings: Settings,
    *,
    on_started: Callable[[App], None] | None = None,
    load: Callable[[], Settings] | None = None,
    clock: Clock | None = None,
) -> int:
    """Run until SIGTERM, SIGINT or a failure, and return the exit code. SIGHUP reloads the settings that ``load`` returns."""
    app = App(settings, clock=clock)
    signals = _Signals()
    try:
        await app.start()
        signals.reload = _Reload(app, load)
        if on_started is not None:
            on_started(app)
        return await _run_until_stopped(app, signals)
    finally:
        signals.remove_handlers()


async def _run_until_stopped(app: App, signals: "_Signals") -> int:
    notifier = SystemdNotifier(os.environ)
    notifier.notify("READY=1", f"STATUS=Serving at {app.url}")
    alive = asyncio.get_running_loop().create_task(notifier.keep_alive(), name="watchdog")
    assert app.failure is not None
    try:
        await asyncio.wait((app.failure, signals.first), return_when=asyncio.FIRST_COMPLETED)
        notifier.notify("STOPPING=1")
        if not signals.first.done():
            await app.stop_immediately()
            return exit_code_of(app.failure.exception())
        return await _stop_in_order(app, signals, app.settings.runtime.stop_timeout_s)
    finally:
        alive.cancel()


def exit_code_of(failure: BaseException | None) -> int:
    """Return the exit code for the failure of a task and say on standard error what failed.

    After a failure of the disk a restart is right: it reads what is on the disk. Files that were removed or replaced have to be put
    back first, so a supervisor must not restart the process; that is the code of a journal that does not open.
    """
    if isinstance(failure, JournalError):
        sys.stderr.write(f"router: {type(failure).__name__}: {failure}\n")
    return EXIT_JOURNAL if isinstance(failure, JournalCorrupt) else EXIT_FAILED


async def _stop_in_order(app: App, signals: "_Signals", timeout_s: float) -> int:
    """Stop in order, as long as neither the timeout nor a second signal ends it."""
    stopping = asyncio.get_running_loop().create_task(app.stop())
    done, _ = await asyncio.wait((stopping, signals.second), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if stopping in done:
        error = stopping.exception()
        if error is not None:
            _log.critical("the orderly stop failed", action="stop_failed", exc_info=error)
        return EXIT_OK if error is None else EXIT_FAILED
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    await app.stop_immediately()
    return EXIT_OK if signals.second.done() else EXIT_FAILED


class _Reload:
    """Reloads the settings of a running router, one request after the other."""

    def __init__(self, app: App, load: Callable[[], Settings] | None) -> None:
        self._app = app
        self._load = load
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self) -> None:
        """Reload soon."""
        task = asyncio.get_running_loop().create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        async with self._lock:
            try:
                settings = self._app.settings if self._load is None else await asyncio.to_thread(self._load)
                changed, ignored = await self._app.reload(settings)
            except SettingsInvalid as error:
                _log.error("the settings were not reloaded: the present ones stay", action="reload_failed", reason=str(error))
                return
            configure_logs(self._app.settings.telemetry.log_level)
            _log.warning("settings, keys and certificates were reloaded", action="reloaded", changed=changed, needs_restart=ignored)


class _Signals:
    """Futures of the first SIGTERM or SIGINT (stop in order) and the second one (stop immediately); SIGHUP reloads."""

    def __init__(self) -> None:
        self.reload: _Reload | None = None
        self._loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = self._loop.create_future()
        self.second: asyncio.Future[None] = self._loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)
        self._loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_hangup(self) -> None:
        if self.reload is None:
            _log.warning("SIGHUP is ignored until the router has started", action="reload_ignored")
        else:
            self.reload.request()

    def _on_signal(self) -> None:
        for waiting in (self.first, self.second):
            if not waiting.done():
                waiting.set_result(None)
                return

    def remove_handlers(self) -> None:
        """Remove the signal handlers; SIGHUP has no effect any more."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.remove_signal_handler(number)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def main_serve(settings: Settings, load: Callable[[], Settings] | None = None, *, clock: Clock | None = None) -> int:
    """Run ``router serve``: set up logging, run, and return the exit code (0 stopped, 1 failed, 2 settings, 3 journal).

    ``load`` returns the settings as their sources are now, for SIGHUP. ``clock`` replaces that of the machine.
    """
    configure_logs(settings.telemetry.log_level)
    report_uncaught_exceptions(sys.stderr)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until the handler is there; it must not end the process.
    # A core dump would contain tokens and secrets.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    pause_garbage_collection()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(log_loop_error)
            return runner.run(serve(settings, on_started=_started, load=load, clock=clock))
    except (SettingsInvalid, PolicyInvalid) as error:
        sys.stderr.write(f"router: {error}\n")
        return EXIT_SETTINGS
    except JournalError as error:
        sys.stderr.write(f"router: {type(error).__name__}: {error}\n")
        return EXIT_JOURNAL
    except RouterError as error:
        sys.stderr.write(f"router: {type(error).__name__}: {error}\n")
        return EXIT_FAILED


def main_accept_history_loss(settings: Settings) -> int:
    """Run ``router serve --accept-history-loss``: make a damaged journal usable and print what was lost."""
    try:
        journal = open_journal(settings.journal, settings.store)
        if not isinstance(journal, SqliteJournal | StoreJournal):
            raise SettingsInvalid("journal.backend: a journal in memory cannot have lost records")
        losses = asyncio.run(journal.accept_history_loss())
    except SettingsInvalid as error:
        sys.stderr.write(f"router: {error}\n")
        return EXIT_SETTINGS
    except JournalError as error:
        sys.stderr.write(f"router: {type(error).__name__}: {error}\n")
        return EXIT_JOURNAL
    for loss in losses:
        sys.stderr.write(
            f"router: workspace {loss.workspace}: kept up to event {loss.kept_seq}, "
            f"dropped {loss.dropped_records} records; history {loss.old_history_id} is now {loss.new_history_id}\n"
        )
    return EXIT_OK


def _started(app: App) -> None:
    freeze_and_resume_garbage_collection()
    show_missing_policy(app)
    show_first_token(app)


def show_missing_policy(app: App, terminal: TextIO | None = None) -> None:
    """Say on a terminal what to do if a workspace has no policy; elsewhere the log line of the start says it."""
    out = terminal if terminal is not None else sys.stderr
    if app.workspaces_without_policy and out.isatty():
        out.write(f"\nWorkspace {', '.join(app.workspaces_without_policy)}: {MISSING_POLICY_TEXT}.\n\n")
        out.flush()


def show_first_token(app: App, terminal: TextIO | None = None) -> None:
    """Show an admin token once, on the first start: on a terminal only, never where the output may be stored."""
    if not app.is_first_start:
        return
    out = terminal if terminal is not None else sys.stderr
    if not out.isatty():
        _log.info("first start: create an admin token with `router token --role admin`", action="first_start")
        return
    token = app.mint_token(subject="first-admin", role=Role.ADMIN)
    out.write(f"\nFirst start. Admin token, shown only now, for one hour:\n\n{token}\n\n")
    out.flush()


def pause_garbage_collection() -> None:
    """Disable the collector until ``freeze_and_resume_garbage_collection``: nothing is garbage while a workspace is recovered."""
    gc.disable()


def freeze_and_resume_garbage_collection() -> None:
    """Collect once, exempt everything that exists now from later collections, and resume with rare full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
