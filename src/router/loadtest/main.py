"""``router loadtest``: run a day through real sockets, against a router started for it or one that is already running.

Without a URL a router is started in a child process with a temporary directory and a free port; if the machine has two cores or
more, the router gets one of them exclusively. Exit codes: 0 every check passed, 1 a check failed or the day could not be run, 130
interrupted.
"""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from rich.console import Console

from router.loadtest.execution import LoadTestFailed, failure_from_group
from router.loadtest.report import LoadTestReport, render_loadtest_report
from router.loadtest.router_process import RouterSubprocess, separate_cores, with_changes
from router.loadtest.run import LoadTestPlan, RunOptions, run_day, token_factory
from router.loadtest.session import RouterTarget
from router.model.errors import SettingsInvalid
from router.settings import Settings
from router.simulator.run import SimulationSpec, first_day, resolved_options, with_logs_read

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
_PIPE_COLUMNS: Final = 160


def run_loadtest(
    *,
    settings: Settings,
    logs: tuple[str, ...] = (),
    workload: Path | None = None,
    policy: Path | None = None,
    wrap_up_s: int | None = None,
    seed: int | None = None,
    speed: float = 60.0,
    url: str | None = None,
    json_path: Path | None = None,
    publish: bool = False,
) -> int:
    """Run a day, print its report and return the exit code.

    Give either ``logs`` (``FORMAT:PATH``) or a ``workload``. ``url`` is a running router, whose secret ``settings`` point to;
    None starts one. ``publish`` replaces the policy of a running router. ``json_path`` is the file for the report in JSON, ``-``
    is standard output. Raises RouterError for errors that the user can correct: LoadTestFailed, WorkloadInvalid, PolicyInvalid,
    SettingsInvalid.
    """
    spec = SimulationSpec(
        logs=logs,
        workload=None if workload is None else str(workload),
        policy=None if policy is None else str(policy),
        wrap_up_s=wrap_up_s,
        seed=seed,
    )
    spec = with_logs_read(spec)
    day, source = first_day(spec)
    options = resolved_options(spec)
    plan = LoadTestPlan(day=day, source=source, options=options, speed=speed)
    console = output_console(json_path)
    console.print(f"{day.name}: {len(day.agents):,} agents, {speed:g}×", highlight=False)
    work = (
        _run_on_child_router(settings, plan, console)
        if url is None
        else _run_on_existing_router(settings, plan, console, url=url, publish=publish)
    )
    report = run_until_signal(work)
    if report is None:
        return EXIT_INTERRUPTED
    print_report(report, console, json_path)
    return EXIT_OK if report.passed else EXIT_FAILED


def output_console(json_path: Path | None) -> Console:
    """Return a console on standard output, or on standard error if standard output carries the JSON report."""
    to_stderr = json_path is not None and str(json_path) == "-"
    stream = sys.stderr if to_stderr else sys.stdout
    return Console(stderr=to_stderr, highlight=False, width=None if stream.isatty() else _PIPE_COLUMNS)


def print_report(report: LoadTestReport, console: Console, json_path: Path | None) -> None:
    """Print the report, and write it as JSON if a path is given. Raises LoadTestFailed if the file cannot be written."""
    console.print(render_loadtest_report(report))
    if json_path is None:
        return
    data = report.to_json(with_speed=True)
    if str(json_path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        json_path.write_bytes(data)
    except OSError as error:
        raise LoadTestFailed(f"{json_path}: {error.strerror or 'cannot be written'}") from None


def run_until_signal(work: Coroutine[Any, Any, T]) -> T | None:
    """Run a coroutine on uvloop and return its result, or None after a clean shutdown by SIGINT or SIGTERM.

    Raises RouterError for errors that the user can correct, out of exception groups too.
    """

    async def guarded() -> T | None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(guarded())
    except BaseExceptionGroup as group:
        failure = failure_from_group(group)
        if failure is None:
            raise
        raise failure from group


def child_settings(settings: Settings, directory: Path, **changes: Any) -> Settings:
    """Return the settings of a router started for a run: journal and secret in the directory, no initial policy."""
    return with_changes(
        settings,
        {
            "journal.path": str(directory / "journal.db"),
            "policy.seed_path": None,
            # The access log would be tens of thousands of lines; everything relevant is in the journal.
            "telemetry.access_log": False,
            **changes,
        },
    )


@asynccontextmanager
async def running_router(router: RouterSubprocess) -> AsyncIterator[RouterSubprocess]:
    """Run the router while the block runs; if the router exits by itself, the block fails with LoadTestFailed in a group."""
    async with router, asyncio.TaskGroup() as group:
        watching = group.create_task(router.wait_for_exit())
        yield router
        watching.cancel()


async def _run_on_child_router(settings: Settings, plan: LoadTestPlan, console: Console) -> LoadTestReport:
    with tempfile.TemporaryDirectory(prefix="router-loadtest-") as name:
        directory = Path(name)
        own = child_settings(
            settings,
            directory,
            **{
                "server.host": "127.0.0.1",
                "server.port": 0,
                "server.tls_certificate_path": None,
                "server.tls_key_path": None,
                "telemetry.metrics_port": None,
                "journal.reserved_bytes": 0,
                "auth.issuers": [],
            },
        )
        async with running_router(RouterSubprocess(own, directory)) as router, separate_cores(router) as apart:
            target = RouterTarget(url=router.url, token_factory=token_factory(own))
            run_options = RunOptions(publish=True, owns_router=True, separate_cores=apart)
            return await run_day(target, plan, run_options, console=console)


async def _run_on_existing_router(
    settings: Settings, plan: LoadTestPlan, console: Console, *, url: str, publish: bool
) -> LoadTestReport:
    target = RouterTarget(url=normalize_url(url), token_factory=token_factory(settings))
    run_options = RunOptions(publish=publish, owns_router=False)
    return await run_day(target, plan, run_options, console=console)


def normalize_url(url: str) -> str:
    """Return ``http(s)://host:port`` for a URL that may have the scheme ws or wss and a final slash. Raises SettingsInvalid."""
    text = url.rstrip("/")
    if text.startswith("ws"):
        text = "http" + text.removeprefix("ws")
    if not text.startswith(("http://", "https://")):
        raise SettingsInvalid("--url: a router's URL begins with http://, https://, ws:// or wss://")
    return text
