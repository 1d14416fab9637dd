"""The command as a process: imports of ``--help``, start and stop of the server, exit codes."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUTER = (sys.executable, "-m", "router")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}


def test_help_does_not_import_server_or_engine() -> None:
    script = (
        "import sys\n"
        "from router.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'aiohttp', 'uvloop', 'rich.table', 'yaml', 'jwt', 'router.engine.engine'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_usage_error_exits_with_two_and_without_traceback() -> None:
    done = subprocess.run(
        [*ROUTER, "token", "--role", "king"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_serve_starts_answers_and_stops_cleanly(tmp_path: Path) -> None:
    command = [*ROUTER, "serve", "--data", str(tmp_path), "--port", "0", "--admin-port", "0"]
    command += ["--policy", str(ROOT / "config" / "policy.yaml")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            url = url_in(process)
            with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    done = subprocess.run(
        [*ROUTER, "verify", str(tmp_path / "journal.db"), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["ok"] is True
    assert done.returncode == 0


def url_in(process: "subprocess.Popen[str]") -> str:
    """Return the URL in the log line of the start."""
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line) if line.startswith("{") else {}
        if found.get("action") == "started":
            return str(found["url"])
    raise AssertionError("the router exited before it had started")
