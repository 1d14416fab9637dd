"""``router serve`` as a process, and ``router token``."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import jwt
import msgspec
import pytest

from tests.support.command_line import error_line, run_command

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
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_usage_error_exits_with_two_and_without_traceback() -> None:
    done = subprocess.run([*ROUTER, "token", "--role", "king"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_serve_starts_answers_and_stops_cleanly(tmp_path: Path) -> None:
    command = [*ROUTER, "serve", "--data", str(tmp_path), "--port", "0", "--admin-port", "0"]
    command += ["--policy", str(ROOT / "config" / "policy.yaml")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=environment()
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
        [*ROUTER, "verify", str(tmp_path / "journal.db"), "--json"], capture_output=True, text=True, timeout=60, check=False
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


def test_listening_on_all_addresses_requires_tls_or_a_proxy(tmp_path: Path) -> None:
    result = run_command("serve", "--host", "0.0.0.0", "--data", str(tmp_path))
    assert result.exit_code == 2


def test_a_token_carries_role_subject_workspace_and_lifetime(data: Path) -> None:
    result = run_command("token", "--role", "agent", "--subject", "ada", "--ttl", "30m", "--data", str(data))
    assert result.exit_code == 0
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert (claims["role"], claims["sub"], claims["workspace"]) == ("agent", "ada", "default")
    assert claims["exp"] - claims["iat"] == 1800


def test_a_token_is_printed_as_json(data: Path) -> None:
    result = run_command("token", "--role", "gateway", "--subject", "web", "--data", str(data), "--json")
    found = msgspec.json.decode(result.stdout)
    assert found["token"].count(".") == 2
    assert found["role"] == "gateway"


def test_without_a_secret_no_token_is_signed(tmp_path: Path) -> None:
    result = run_command("token", "--role", "admin", "--subject", "eve", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "first start" in error_line(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "king", "--subject", "eve"),
        ("--role", "admin", "--subject", "Eve Smith"),
        ("--role", "admin", "--subject", "eve", "--ttl", "30d"),
        ("--role", "admin", "--subject", "eve", "--workspace", "nowhere"),
        ("--role", "admin"),
    ],
)
def test_invalid_token_options_are_usage_errors(data: Path, arguments: tuple[str, ...]) -> None:
    result = run_command("token", *arguments, "--data", str(data))
    assert result.exit_code == 2
    assert result.stdout == ""
