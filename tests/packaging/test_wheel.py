"""The wheel, as a newcomer gets it: installed in a fresh environment, started in an empty directory."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.support.terminal_session import REPOSITORY, TIMEOUT_S, TerminalSession

BUILD_TIMEOUT_S: Final = 500


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(REPOSITORY))
    (found,) = out.iterdir()
    return found


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=BUILD_TIMEOUT_S, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_contains_its_data_and_its_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    of_the_client = ("web/sdk/index.js", "web/sdk/wire.d.ts", "web/sdk/package.json")
    for name in ("cli/templates/policy.yaml", "cli/templates/router.yaml", "demo/centre.yaml", "py.typed", *of_the_client):
        assert f"router/{name}" in names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installed_wheel_serves_a_first_contact_from_an_empty_directory(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", str(venv))
    run(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    reader = TerminalSession(tmp_path, with_repository=False)
    reader.environment["PATH"] = f"{venv / 'bin'}:{os.environ['PATH']}"
    try:
        printed = reader.type("router init centre")
        commands = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
        enter, serve, again, token, ask = commands
        assert (enter, serve, again) == ("cd centre", "router serve", "cd centre")
        router = reader.start(f"{enter}; {serve}", "router.log")
        reader.wait_for('"action":"started"', "router.log")
        assert '"private_clients"' in reader.type(f"{again}\n{token}\n{ask}")
        assert "valid" in reader.type("router policy check config/policy.yaml")
        submit = (
            "curl -sSf -X POST http://localhost:8080/v1/contacts "
            '-H "Authorization: Bearer $(router token --role gateway --subject web)" -H "Content-Type: application/json" '
            """-d '{"channel": "voice", "attributes": {"topic": "card"}}'"""
        )
        assert json.loads(reader.type(submit))["state"] == "queued"
        os.killpg(router.pid, signal.SIGINT)
        assert router.wait(TIMEOUT_S) == 0
    finally:
        reader.stop()
