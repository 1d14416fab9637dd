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

from router.settings import Settings, load_settings
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


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty directory the working directory."""
    for name in [name for name in os.environ if name.startswith("ROUTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_init_writes_a_valid_policy_valid_settings_a_secret_and_a_token(empty: Path) -> None:
    result = run_command("init")
    assert result.exit_code == 0
    assert "router serve" in result.stdout
    assert run_command("policy", "check", "config/policy.yaml").exit_code == 0
    assert load_settings(empty / "config" / "router.yaml") == Settings()
    assert (mode_of(empty / "var"), mode_of(empty / "var" / "token.secret")) == (0o700, 0o600)
    assert mode_of(empty / "var" / "admin.token") == 0o600
    claims = jwt.decode((empty / "var" / "admin.token").read_text().strip(), options={"verify_signature": False})
    assert claims["role"] == "admin"
    # The secret is never printed, and the token only as a path.
    assert (empty / "var" / "token.secret").read_text().strip() not in result.output
    assert (empty / "var" / "admin.token").read_text().strip() not in result.output


def test_a_repeated_init_keeps_every_file_but_the_token(empty: Path) -> None:
    assert run_command("init").exit_code == 0
    (empty / "config" / "policy.yaml").write_text("mine")
    secret = (empty / "var" / "token.secret").read_text()
    (empty / "var" / "admin.token").chmod(0o644)
    assert run_command("init").exit_code == 0
    assert (empty / "config" / "policy.yaml").read_text() == "mine"
    assert (empty / "var" / "token.secret").read_text() == secret
    assert mode_of(empty / "var" / "admin.token") == 0o600


def test_init_prepares_another_directory_without_leaving_anything_here(empty: Path) -> None:
    result = run_command("init", "new/centre")
    assert "cd new/centre" in result.stdout
    assert [path.name for path in empty.iterdir()] == ["new"]
    assert (empty / "new" / "centre" / "var" / "token.secret").exists()


def test_init_follows_the_settings_that_it_finds(empty: Path) -> None:
    (empty / "config").mkdir()
    (empty / "config" / "router.yaml").write_text("journal: {path: data/journal.db}\nserver: {port: 9999}\n")
    result = run_command("init")
    assert (empty / "data" / "token.secret").exists()
    assert not (empty / "var").exists()
    assert "http://127.0.0.1:9999/docs" in result.stdout


def test_init_reports_a_directory_that_cannot_be_written(empty: Path) -> None:
    (empty / "config").write_text("a file")
    result = run_command("init")
    assert result.exit_code == 1
    assert error_line(result).startswith("router: config: ")


def test_commands_read_the_settings_file_of_the_working_directory(empty: Path) -> None:
    (empty / "config").mkdir()
    (empty / "config" / "router.yaml").write_text("server: {prot: 1}\n")
    result = run_command("token", "--role", "admin", "--subject", "eve")
    assert result.exit_code == 2
    assert "server.prot" in error_line(result)


def test_a_settings_file_with_every_line_disabled_is_the_defaults(empty: Path) -> None:
    (empty / "router.yaml").write_text("server:\n  #port: 1\nworkspaces:\n")
    assert load_settings(empty / "router.yaml") == Settings()


def test_a_start_without_a_policy_says_what_to_do(empty: Path) -> None:
    command = [*ROUTER, "serve", "--port", "0", "--admin-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=empty) as process:
        try:
            assert process.stderr is not None
            missing = json.loads(process.stderr.readline())
            assert missing["action"] == "policy_missing"
            for step in ("router init", "router policy publish", "--policy"):
                assert step in missing["event"]
        finally:
            process.kill()
