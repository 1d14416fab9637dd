"""``router demo``: one customer's story, then fifteen simulated agents and their customers, both over real sockets.

Each part has a router process of its own. Exit codes: 0 success (the story went as told, and every check of the report passed), 1
one of them did not or could not run, 130 interrupted before the report.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from router.demo.bank import StoryFailed
from router.demo.story import tell_story
from router.demo.transcript import Transcript
from router.loadtest.live_view import time_of_day
from router.loadtest.main import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    child_settings,
    output_console,
    print_report,
    run_until_signal,
    running_router,
)
from router.loadtest.report import LoadTestReport
from router.loadtest.router_process import RouterSubprocess
from router.loadtest.run import LoadTestPlan, RunOptions, run_day, token_factory
from router.loadtest.session import LoadTestSession, RouterTarget
from router.model.errors import SettingsInvalid
from router.server.auth.credentials import Role, mint_token
from router.settings import JournalSettings, ServerSettings, Settings, TelemetrySettings
from router.simulator.run import SimulationSpec, first_day, resolved_options

DEMO_CENTRE_PATH: Final = Path(__file__).with_name("centre.yaml")
DEFAULT_SPEED: Final = 20.0
TOKEN_FILE_NAME: Final = "admin.token"


class DemoPart(StrEnum):
    """A part of the demo."""

    STORY = "story"
    """A customer from a failed payment in an app to the same agent two days later."""
    DAY = "day"
    """A generated quarter of an hour of a small centre."""


class _DemoResult(Struct):
    """Result of the demo, None until the report is printed."""

    report: LoadTestReport | None = None


def run_demo(
    *,
    settings: Settings,
    seed: int = 1,
    speed: float = DEFAULT_SPEED,
    exit_when_done: bool = False,
    json_path: Path | None = None,
    only: DemoPart | None = None,
) -> int:
    """Run the demo, or ``only`` one part, and return the exit code.

    After the day it serves on until SIGINT or SIGTERM, unless ``exit_when_done``. The day's data is kept beside the journal if its
    path differs from the default, otherwise in a temporary directory that is deleted at the end; the story's directory is always
    temporary, because its clock runs ahead. A default port that is in use is replaced by a free one. Raises RouterError for errors
    that the user can correct.
    """
    console = output_console(json_path)
    story_code = EXIT_OK if only is DemoPart.DAY else _run_story(console)
    if only is DemoPart.STORY or story_code == EXIT_INTERRUPTED:
        return story_code
    if only is None:
        console.print(
            Text("\nNow a small contact centre at work, up to a report. (`router demo --only story` shows the story alone.)"),
            soft_wrap=True,
        )
    day_code = _run_day(settings, console, seed=seed, speed=speed, exit_when_done=exit_when_done, json_path=json_path)
    return day_code or story_code


def _run_story(console: Console) -> int:
    transcript = Transcript(console)
    with tempfile.TemporaryDirectory(prefix="router-story-") as name:
        finished = run_until_signal(_finish_story(transcript, Path(name)))
    if finished is None:
        return EXIT_INTERRUPTED
    return EXIT_OK if transcript.summary() else EXIT_FAILED


async def _finish_story(transcript: Transcript, directory: Path) -> bool:
    try:
        await tell_story(transcript, directory)
    except StoryFailed as error:
        transcript.abort(str(error))
    return True


def _run_day(settings: Settings, console: Console, *, seed: int, speed: float, exit_when_done: bool, json_path: Path | None) -> int:
    spec = SimulationSpec(workload=str(DEMO_CENTRE_PATH), seed=seed)
    day, source = first_day(spec)
    plan = LoadTestPlan(day=day, source=source, options=resolved_options(spec), speed=speed)
    result = _DemoResult()
    with _data_directory(settings) as directory:
        run_until_signal(
            _run(settings, plan, console, directory=directory, exit_when_done=exit_when_done, json_path=json_path, result=result)
        )
    if result.report is None:
        return EXIT_INTERRUPTED
    return EXIT_OK if result.report.passed else EXIT_FAILED


async def _run(
    settings: Settings,
    plan: LoadTestPlan,
    console: Console,
    *,
    directory: Path,
    exit_when_done: bool,
    json_path: Path | None,
    result: _DemoResult,
) -> None:
    own = child_settings(settings, directory, **_startup_overrides(settings, console))
    async with running_router(RouterSubprocess(own, directory)) as router:
        token_path = _write_token(own, directory)
        day = plan.day
        console.print(f"router {router.url} · {len(day.agents)} agents connected · {plan.speed:g} times real time")

        async def after_run(session: LoadTestSession, report: LoadTestReport) -> None:
            result.report = report
            print_report(report, console, json_path)
            if not exit_when_done:
                _print_next_steps(router, token_path, console)
                await _follow_events(session, console)

        target = RouterTarget(
            url=router.url, token_factory=token_factory(own), gateway_id="demo-gateway", supervisor_id="demo-supervisor"
        )
        run_options = RunOptions(publish=True, owns_router=True, accept_foreign_contacts=True)
        await run_day(target, plan, run_options, console=console, after_run=after_run)


# --- start ------------------------------------------------------------------------------------------


@contextmanager
def _data_directory(settings: Settings) -> Iterator[Path]:
    """Yield the directory of the journal if it is configured, otherwise a temporary directory."""
    if settings.journal.path == JournalSettings().path:
        with tempfile.TemporaryDirectory(prefix="router-demo-") as name:
            yield Path(name)
        return
    directory = Path(settings.journal.path).parent
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsInvalid(f"journal.path: {error.strerror}") from None
    yield directory


def _startup_overrides(settings: Settings, console: Console) -> dict[str, Any]:
    """Return the changes to the settings: free ports for default ports in use, and the journal path."""
    changes: dict[str, Any] = {}
    server, telemetry = settings.server, settings.telemetry
    if server.port == ServerSettings().port and not _is_free(server.host, server.port):
        console.print(f"port {server.port} is in use: using a free one")
        changes["server.port"] = 0
    port = telemetry.metrics_port
    if port == TelemetrySettings().metrics_port and not _is_free(telemetry.metrics_host, port or 0):
        changes["telemetry.metrics_port"] = 0
    if settings.journal.path == JournalSettings().path:
        changes["journal.reserved_bytes"] = 0
    else:
        changes["journal.path"] = settings.journal.path
    return changes


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _write_token(settings: Settings, directory: Path) -> Path:
    """Write an admin token to a file that only its owner can read, and return the path."""
    path = directory / TOKEN_FILE_NAME
    token = mint_token(settings, subject="demo-admin", role=Role.ADMIN, lifetime_s=settings.auth.lifetime_s_max)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token)
    return path


# --- after the report -------------------------------------------------------------------------------


def _print_next_steps(router: RouterSubprocess, token_path: Path, console: Console) -> None:
    bearer = f'-H "Authorization: Bearer $(cat {token_path})"'
    lines = (
        "",
        "The day is over. The router is still running, and the agents stay connected.",
        f"  API        {router.url}",
        f"  reference  {router.url}/docs",
        *((f"  metrics    {router.metrics_url}",) if router.metrics_url else ()),
        f"  token      {token_path}  (admin, for {router.settings.auth.lifetime_s_max // 3600} hours)",
        f"  log        {router.log_path}",
        "",
        "Submit a first contact and follow its events below:",
        f"  curl -X POST {router.url}/v1/contacts {bearer} \\",
        """    -H 'Content-Type: application/json' -d '{"channel": "voice", "queue_id": "support"}'""",
        f"  curl {router.url}/v1/queues {bearer}",
        "",
        "Ctrl-C stops the demo.",
    )
    for one in lines:
        console.print(Text(one), soft_wrap=True)


async def _follow_events(session: LoadTestSession, console: Console) -> None:
    """Print events as they happen until the task is cancelled."""

    def print_event(at_ms: int, sentence: str) -> None:
        console.print(Text(f"{time_of_day(at_ms)}  {sentence}"), soft_wrap=True)

    session.monitor.on_sentence = print_event
    try:
        await asyncio.Event().wait()
    finally:
        session.monitor.on_sentence = None
        console.print("stopping: agents disconnect, the router drains")
